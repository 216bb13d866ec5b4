//! Standard streams: captured, shared, and pipes whose other side does not do its part.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_engine::{CancelHandle, Limit};
use parking_lot::Mutex;

use super::super::{Stdin, WasiLimits};
use super::*;

fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    (reader.into(), writer.into())
}

/// Time that surely passes, for what never ends by itself.
fn brief() -> CallBudget {
    CallBudget { timeout: Some(Duration::from_millis(200)), ..CallBudget::of_fuel(UNLIMITED_FUEL) }
}

/// Time that surely suffices, for what does: a test that hangs fails instead.
fn patient() -> CallBudget {
    CallBudget { timeout: Some(Duration::from_secs(60)), ..CallBudget::of_fuel(UNLIMITED_FUEL) }
}

fn ends_by(end: Result<impl std::fmt::Debug, HostError>, wanted: Limit) {
    assert!(matches!(end, Err(HostError::Limit(limit)) if limit == wanted), "{end:?}");
}

/// Fills `pipe` until it takes no more.
fn fill(pipe: &File) {
    let flags = rustix::fs::fcntl_getfl(pipe).expect("flags");
    rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK).expect("set");
    while rustix::io::write(pipe, &[b'.'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(pipe, flags).expect("set");
}

#[test]
fn output_is_captured_apart() {
    let mut guest = Guest::new(WasiConfig::default());
    assert_eq!(guest.write(1, b"out"), Ok(3));
    assert_eq!(guest.write(2, b"err"), Ok(3));
    assert_eq!(guest.write(1, b"put"), Ok(3));
    let state = guest.state();
    assert_eq!((state.stdout_bytes(), state.stderr_bytes()), (&b"output"[..], &b"err"[..]));
    assert_eq!(state.output_bytes(), 9);
    assert_eq!(guest.write(0, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.read(1, 1), Err(Errno::BadFd));
    for fd in [0_u32, 1, 2] {
        assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 1_u32, OUT]), Err(Errno::NotSeekable));
        assert_eq!(guest.call("fd_tell", args![fd, OUT]), Err(Errno::NotSeekable));
    }
}

#[test]
fn output_ends_at_its_cap_wherever_it_goes() {
    let (mut reader, writer) = pipe();
    let shared = Arc::new(Mutex::new(Vec::new()));
    let outputs = [Output::Capture, Output::Discard, Output::Shared(shared.clone()), Output::File(Arc::new(writer))];
    for output in outputs {
        let limits = WasiLimits { output_bytes: 10, ..WasiLimits::default() };
        let config = WasiConfig { stdout: output.clone(), stderr: Output::Discard, limits, ..WasiConfig::default() };
        let mut guest = Guest::new(config);
        assert_eq!(guest.write(1, b"12345"), Ok(5));
        assert_eq!(guest.write(2, b"67"), Ok(2));
        assert_eq!(guest.write(1, b""), Ok(0));
        ends_by(guest.try_write(1, b"890ab"), Limit::Output);
        assert_eq!(guest.state().output_bytes(), 10);
        ends_by(guest.try_write(2, b"!"), Limit::Output);
        if matches!(output, Output::Capture) {
            assert_eq!(guest.state().stdout_bytes(), b"12345890");
        }
    }
    assert_eq!(*shared.lock(), b"12345890");
    let mut read = [0; 8];
    reader.read_exact(&mut read).expect("written");
    assert_eq!(&read, b"12345890");
}

#[test]
fn a_flood_is_stopped_with_bounded_memory() {
    let limits = WasiLimits { output_bytes: 1 << 20, ..WasiLimits::default() };
    let mut guest = Guest::new(WasiConfig { limits, ..WasiConfig::default() });
    let end = loop {
        // The same memory over and over, far more than there is.
        let (iovs, count) = guest.iovs(&[(0, MEMORY as u32); 100]);
        if let Err(end) = guest.try_call("fd_write", args![1_u32, iovs, count, OUT]) {
            break end;
        }
    };
    assert!(matches!(end, HostError::Limit(Limit::Output)));
    assert_eq!(guest.state().stdout_bytes().len(), 1 << 20);
}

#[test]
fn stdin_is_what_was_given() {
    let mut empty = Guest::new(WasiConfig::default());
    assert_eq!(empty.read(0, 10), Ok(vec![]));
    let mut bytes = Guest::new(WasiConfig { stdin: Stdin::Bytes(b"abcdef".to_vec()), ..WasiConfig::default() });
    assert_eq!(bytes.read(0, 4), Ok(b"abcd".to_vec()));
    assert_eq!(bytes.read(0, 0), Ok(vec![]));
    assert_eq!(bytes.read(0, 4), Ok(b"ef".to_vec()));
    assert_eq!(bytes.read(0, 4), Ok(vec![]));
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"in a file").expect("written");
    std::io::Seek::rewind(&mut file).expect("rewound");
    let mut from_file = Guest::new(WasiConfig { stdin: Stdin::File(file), ..WasiConfig::default() });
    assert_eq!(from_file.read(0, 100), Ok(b"in a file".to_vec()));
    assert_eq!(from_file.read(0, 100), Ok(vec![]));
}

#[test]
fn a_pipe_is_read_as_it_fills_up_to_its_end() {
    let (reader, mut writer) = pipe();
    let mut guest = Guest::with_budget(WasiConfig { stdin: Stdin::File(reader), ..WasiConfig::default() }, &patient());
    writer.write_all(b"first").expect("written");
    assert_eq!(guest.read(0, 100), Ok(b"first".to_vec()));
    let late = std::thread::spawn(move || writer.write_all(b"later").map(|()| drop(writer)));
    assert_eq!(guest.read(0, 100), Ok(b"later".to_vec()));
    late.join().expect("no panic").expect("written");
    assert_eq!(guest.read(0, 100), Ok(vec![]));

    // One whose writer went away before the guest was made.
    let (reader, mut writer) = pipe();
    writer.write_all(b"left").expect("written");
    drop(writer);
    let mut guest = Guest::with_budget(WasiConfig { stdin: Stdin::File(reader), ..WasiConfig::default() }, &patient());
    assert_eq!(guest.read(0, 100), Ok(b"left".to_vec()));
    assert_eq!(guest.read(0, 100), Ok(vec![]));
}

#[test]
fn a_deterministic_guest_does_not_see_how_a_pipe_comes_and_goes() {
    let ((stdin, mut from_us), (mut to_us, stdout)) = (pipe(), pipe());
    let config =
        WasiConfig { stdin: Stdin::File(stdin), stdout: Output::File(Arc::new(stdout)), ..WasiConfig::default() };
    let mut guest = Guest::with_budget(config, &patient());
    guest.state().determine(1);
    let nonblocking = 4_u32;
    for fd in [0_u32, 1] {
        assert_eq!(guest.call("fd_fdstat_set_flags", args![fd, nonblocking]), Ok(()));
    }
    // Nothing is there yet, and it is "ready".
    let ready = super::polling::poll(&mut guest, &[super::polling::fd(7, 1, 0), super::polling::fd(8, 2, 1)]);
    assert_eq!(ready, Ok(vec![(7, 0, 1, 1, 0), (8, 0, 2, 0, 0)]));
    let late = std::thread::spawn(move || {
        for piece in [&b"one "[..], b"two ", b"three"] {
            std::thread::sleep(Duration::from_millis(20));
            from_us.write_all(piece).expect("written");
        }
    });
    assert_eq!(guest.read(0, 10), Ok(b"one two th".to_vec()));
    assert_eq!(guest.read(0, 10), Ok(b"ree".to_vec()));
    assert_eq!(guest.read(0, 10), Ok(vec![]));
    late.join().expect("no panic");

    // More than a pipe takes at a time.
    let much = vec![b'x'; 64 << 10];
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; 3 * (64 << 10)];
        to_us.read_exact(&mut all).map(|()| all.len())
    });
    for _ in 0..3 {
        assert_eq!(guest.write(1, &much), Ok(much.len() as u32));
    }
    assert_eq!(reader.join().expect("no panic").expect("read"), 3 * much.len());
}

#[test]
fn a_pipe_that_never_closes_ends_at_the_deadline_or_by_cancelling() {
    let (reader, _writer) = pipe();
    let stdin = Stdin::File(reader.try_clone().expect("cloned"));
    let mut guest = Guest::with_budget(WasiConfig { stdin, ..WasiConfig::default() }, &brief());
    let (iovs, count) = guest.iovs(&[(DATA, 10)]);
    ends_by(guest.try_call("fd_read", args![0_u32, iovs, count, OUT]), Limit::Deadline);

    let cancel = CancelHandle::new();
    let budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
    let mut guest = Guest::with_budget(WasiConfig { stdin: Stdin::File(reader), ..WasiConfig::default() }, &budget);
    let (iovs, count) = guest.iovs(&[(DATA, 10)]);
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        cancel.cancel();
    });
    ends_by(guest.try_call("fd_read", args![0_u32, iovs, count, OUT]), Limit::Cancelled);
    canceller.join().expect("no panic");
}

#[test]
fn a_guest_that_does_not_want_to_wait_is_told_so() {
    let (reader, _writer) = pipe();
    let (_reader, full) = pipe();
    fill(&full);
    let config =
        WasiConfig { stdin: Stdin::File(reader), stdout: Output::File(Arc::new(full)), ..WasiConfig::default() };
    let mut guest = Guest::with_budget(config, &patient());
    for fd in [0_u32, 1] {
        assert_eq!(guest.call("fd_fdstat_set_flags", args![fd, 4_u32]), Ok(()));
    }
    assert_eq!(guest.read(0, 10), Err(Errno::Again));
    assert_eq!(guest.write(1, b"x"), Err(Errno::Again));
}

#[test]
fn a_reader_that_never_reads_ends_the_writer_at_its_deadline() {
    let (reader, writer) = pipe();
    let config = quiet(Output::File(Arc::new(writer)));
    let mut guest = Guest::with_budget(config, &brief());
    let (iovs, count) = guest.iovs(&[(0, MEMORY as u32); 64]);
    ends_by(guest.try_call("fd_write", args![1_u32, iovs, count, OUT]), Limit::Deadline);
    assert!(guest.state().output_bytes() < 8 << 20);
    drop(reader);
}

#[test]
fn a_slow_reader_gets_everything() {
    let (mut reader, writer) = pipe();
    let mut guest = Guest::with_budget(quiet(Output::File(Arc::new(writer))), &patient());
    let bytes = (0..MEMORY).map(|i| (i % 253) as u8).collect::<Vec<_>>();
    guest.memory.copy_from_slice(&bytes);
    let wanted = [&bytes[0..0x4000], &bytes[0x8000..]].concat();
    let slow = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut part = [0; 3000];
        while all.len() < wanted.len() {
            let n = reader.read(&mut part).expect("readable");
            assert!(n > 0);
            all.extend_from_slice(&part[..n]);
        }
        assert!(all == wanted);
    });
    let (iovs, count) = guest.iovs(&[(0, 0x4000), (DATA, MEMORY as u32 - DATA)]);
    assert_eq!(guest.call("fd_write", args![1_u32, iovs, count, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 0x4000 + MEMORY as u32 - DATA);
    slow.join().expect("all of it");
}

#[test]
fn a_reader_that_went_away_is_a_broken_pipe() {
    let (reader, writer) = pipe();
    let mut guest = Guest::with_budget(quiet(Output::File(Arc::new(writer))), &patient());
    assert_eq!(guest.write(1, b"x"), Ok(1));
    drop(reader);
    assert_eq!(guest.write(1, b"x"), Err(Errno::BrokenPipe));
}

#[test]
fn sockets_are_streams_too() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let file = |socket: std::os::unix::net::UnixStream| File::from(std::os::fd::OwnedFd::from(socket));
    let config = || WasiConfig {
        stdin: Stdin::File(file(theirs.try_clone().expect("cloned"))),
        stdout: Output::File(Arc::new(file(theirs.try_clone().expect("cloned")))),
        ..WasiConfig::default()
    };
    let mut guest = Guest::with_budget(config(), &patient());
    let mut ours = file(ours);
    ours.write_all(b"ping").expect("written");
    assert_eq!(guest.read(0, 100), Ok(b"ping".to_vec()));
    assert_eq!(guest.write(1, &[b'p'; 10_000]), Ok(10_000));
    let mut back = vec![0; 10_000];
    ours.read_exact(&mut back).expect("readable");
    assert_eq!(back, [b'p'; 10_000]);
    // Nobody reads any more: as long as it fits, then the deadline.
    let mut guest = Guest::with_budget(config(), &brief());
    let (iovs, count) = guest.iovs(&[(0, MEMORY as u32); 64]);
    ends_by(guest.try_call("fd_write", args![1_u32, iovs, count, OUT]), Limit::Deadline);
}

#[test]
fn a_writer_of_the_callers_own_may_fail() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::Error::other("no"))
        }
    }
    let mut guest = Guest::new(quiet(Output::Shared(Arc::new(Mutex::new(Broken)))));
    assert_eq!(guest.write(1, b"x"), Err(Errno::BrokenPipe));
    assert_eq!(guest.call("fd_sync", args![1_u32]), Err(Errno::Io));
}
