//! `poll_oneoff`.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cofferdam_engine::{CancelHandle, Limit, Scheduler};
use parking_lot::Mutex;

use super::super::abi::{O_CREAT, O_DIRECTORY};
use super::super::{Clocks, Stdin};
use super::*;

const MS: u64 = 1_000_000;

/// A subscription to a clock.
pub(super) fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> [u8; 48] {
    let mut raw = [0; 48];
    raw[..8].copy_from_slice(&userdata.to_le_bytes());
    raw[16..20].copy_from_slice(&id.to_le_bytes());
    raw[24..32].copy_from_slice(&timeout.to_le_bytes());
    raw[40..42].copy_from_slice(&flags.to_le_bytes());
    raw
}

/// A subscription to a descriptor; `ty` is 1 to read, 2 to write.
pub(super) fn fd(userdata: u64, ty: u8, fd: u32) -> [u8; 48] {
    let mut raw = [0; 48];
    raw[..8].copy_from_slice(&userdata.to_le_bytes());
    raw[8] = ty;
    raw[16..20].copy_from_slice(&fd.to_le_bytes());
    raw
}

/// One event: userdata, error, type, bytes, flags.
pub(super) type Event = (u64, u16, u8, u64, u16);

pub(super) fn try_poll(guest: &mut Guest, subscriptions: &[[u8; 48]]) -> Result<Result<Vec<Event>, Errno>, HostError> {
    guest.put(DATA, &subscriptions.concat());
    let answer = guest.try_call("poll_oneoff", args![DATA, PATH2, subscriptions.len() as u32, OUT])?;
    let half = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    let events = (0..guest.u32_at(OUT)).map(|i| {
        let at = PATH2 + 32 * i;
        let ty = guest.memory[at as usize + 10];
        (guest.u64_at(at), half(guest.get(at + 8, 2)), ty, guest.u64_at(at + 16), half(guest.get(at + 24, 2)))
    });
    Ok(answer.map(|()| events.collect()))
}

pub(super) fn poll(guest: &mut Guest, subscriptions: &[[u8; 48]]) -> Result<Vec<Event>, Errno> {
    try_poll(guest, subscriptions).expect("the guest goes on")
}

fn virtual_time() -> WasiConfig {
    WasiConfig { clocks: Clocks::Virtual { start_ns: 0 }, ..WasiConfig::default() }
}

#[test]
fn sleeping_takes_its_time_and_no_less() {
    let mut guest = Guest::new(WasiConfig::default());
    let began = Instant::now();
    assert_eq!(poll(&mut guest, &[clock(7, 1, 30 * MS, 0)]), Ok(vec![(7, 0, 0, 0, 0)]));
    assert!(began.elapsed() >= Duration::from_millis(30));
    // The shorter of two; the longer is not reported.
    let began = Instant::now();
    let two = [clock(1, 0, 3600 * 1000 * MS, 0), clock(2, 1, 10 * MS, 0)];
    assert_eq!(poll(&mut guest, &two), Ok(vec![(2, 0, 0, 0, 0)]));
    assert!(began.elapsed() >= Duration::from_millis(10));
    // Moments that are past, and spans of nothing.
    let past = [clock(1, 0, 5, 1), clock(2, 1, 0, 1), clock(3, 1, 0, 0), clock(4, 1, u64::MAX, 0)];
    assert_eq!(poll(&mut guest, &past), Ok(vec![(1, 0, 0, 0, 0), (2, 0, 0, 0, 0), (3, 0, 0, 0, 0)]));
    // A moment that is to come.
    for id in [0_u32, 1] {
        assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Ok(()));
        let due = guest.u64_at(OUT) + 15 * MS;
        assert_eq!(poll(&mut guest, &[clock(9, id, due, 1)]), Ok(vec![(9, 0, 0, 0, 0)]));
        assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Ok(()));
        assert!(guest.u64_at(OUT) >= due);
    }
}

#[test]
fn sleeping_past_the_deadline_or_for_ever_ends() {
    let budget = CallBudget { timeout: Some(Duration::from_millis(50)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
    for timeout in [3600 * 1000 * MS, u64::MAX] {
        let mut guest = Guest::with_budget(WasiConfig::default(), &budget);
        let end = try_poll(&mut guest, &[clock(0, 1, timeout, 0)]);
        assert!(matches!(end, Err(HostError::Limit(Limit::Deadline))));
    }
    let cancel = CancelHandle::new();
    let budget = CallBudget { cancel: Some(cancel.clone()), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
    let mut guest = Guest::with_budget(WasiConfig::default(), &budget);
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        cancel.cancel();
    });
    let end = try_poll(&mut guest, &[clock(0, 1, u64::MAX, 0)]);
    assert!(matches!(end, Err(HostError::Limit(Limit::Cancelled))));
    canceller.join().expect("no panic");
}

#[test]
fn virtual_time_passes_at_once() {
    let mut guest = Guest::new(virtual_time());
    let now = |guest: &mut Guest| {
        assert_eq!(guest.call("clock_time_get", args![1_u32, 0_u64, OUT]), Ok(()));
        guest.u64_at(OUT)
    };
    let day = 86_400 * 1000 * MS;
    let before = now(&mut guest);
    let subscriptions = [clock(1, 1, 2 * day, 0), clock(2, 0, day, 0), clock(3, 1, before + day / 2, 1)];
    assert_eq!(poll(&mut guest, &subscriptions), Ok(vec![(3, 0, 0, 0, 0)]));
    // The half day, and one reading.
    assert_eq!(now(&mut guest) - before, day / 2 + MS);
    assert_eq!(poll(&mut guest, &[clock(1, 1, u64::MAX, 0)]), Ok(vec![(1, 0, 0, 0, 0)]));
    assert_eq!(now(&mut guest), u64::MAX);
}

#[test]
fn files_and_streams_of_our_own_are_always_ready() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("f"), "12345").expect("written");
    let mut guest = Guest::new(WasiConfig {
        stdin: Stdin::Bytes(b"abc".to_vec()),
        preopens: vec![Preopen::read_write(dir.path(), "/")],
        ..virtual_time()
    });
    let file = guest.open("f", O_CREAT, READ | WRITE).expect("open");
    let reader = guest.open("f", 0, READ).expect("open");
    let sub = guest.open(".", O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.read(file, 2), Ok(b"12".to_vec()));
    let bad = Errno::BadFd as u16;
    let subscriptions = [
        fd(1, 1, 0),
        fd(2, 2, 1),
        fd(3, 2, 2),
        fd(4, 1, file),
        fd(5, 2, file),
        fd(6, 2, reader),
        fd(7, 1, sub),
        fd(8, 1, 99),
        fd(9, 2, 0),
        fd(10, 1, 1),
        clock(11, 1, 1000 * MS, 0),
    ];
    let events = poll(&mut guest, &subscriptions).expect("ready");
    let wanted = vec![
        (1, 0, 1, 3, 0),
        (2, 0, 2, 0, 0),
        (3, 0, 2, 0, 0),
        (4, 0, 1, 3, 0),
        (5, 0, 2, 0, 0),
        (6, bad, 2, 0, 0),
        (7, bad, 1, 0, 0),
        (8, bad, 1, 0, 0),
        (9, bad, 2, 0, 0),
        (10, bad, 1, 0, 0),
    ];
    assert_eq!(events, wanted);
    assert_eq!(guest.read(0, 9), Ok(b"abc".to_vec()));
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0)]), Ok(vec![(1, 0, 1, 0, 1)]));
}

#[test]
fn a_pipe_is_ready_when_it_is() {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let mut writer = File::from(writer);
    let mut guest = Guest::new(WasiConfig { stdin: Stdin::File(reader.into()), ..WasiConfig::default() });
    let both = [fd(1, 1, 0), clock(2, 1, 20 * MS, 0), fd(3, 1, 0)];
    assert_eq!(poll(&mut guest, &both), Ok(vec![(2, 0, 0, 0, 0)]));
    writer.write_all(b"four").expect("written");
    assert_eq!(poll(&mut guest, &both), Ok(vec![(1, 0, 1, 4, 0), (3, 0, 1, 4, 0)]));
    assert_eq!(guest.read(0, 9), Ok(b"four".to_vec()));
    let late = std::thread::spawn(move || drop(writer));
    let events = poll(&mut guest, &[fd(1, 1, 0), clock(2, 1, 60_000 * MS, 0)]).expect("ready");
    assert_eq!(events, vec![(1, 0, 1, 0, 1)]);
    late.join().expect("no panic");
}

#[test]
fn a_pipe_that_is_never_ready_ends_at_the_deadline() {
    let (reader, _writer) = rustix::pipe::pipe().expect("a pipe");
    let budget = CallBudget { timeout: Some(Duration::from_millis(50)), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
    let config = WasiConfig { stdin: Stdin::File(reader.into()), ..WasiConfig::default() };
    let mut guest = Guest::with_budget(config, &budget);
    let end = try_poll(&mut guest, &[fd(1, 1, 0)]);
    assert!(matches!(end, Err(HostError::Limit(Limit::Deadline))));
}

#[test]
fn what_is_no_subscription_is_invalid() {
    let mut guest = Guest::new(virtual_time());
    assert_eq!(poll(&mut guest, &[]), Err(Errno::Invalid));
    assert_eq!(poll(&mut guest, &[fd(0, 3, 0)]), Err(Errno::Invalid));
    assert_eq!(poll(&mut guest, &[fd(0, 255, 0), clock(1, 1, 0, 0)]), Err(Errno::Invalid));
    assert_eq!(poll(&mut guest, &[clock(0, 1, 0, 2)]), Err(Errno::Invalid));
    let clocks = [clock(1, 2, MS, 0), clock(2, 3, MS, 0), clock(3, 4, MS, 0), clock(4, u32::MAX, MS, 0)];
    let (unsupported, invalid) = (Errno::NotSupported as u16, Errno::Invalid as u16);
    let wanted =
        vec![(1, unsupported, 0, 0, 0), (2, unsupported, 0, 0, 0), (3, invalid, 0, 0, 0), (4, invalid, 0, 0, 0)];
    assert_eq!(poll(&mut guest, &clocks), Ok(wanted));
    assert_eq!(guest.call("poll_oneoff", args![0_u32, 0_u32, 4097_u32, OUT]), Err(Errno::Invalid));
    assert_eq!(guest.call("poll_oneoff", args![0_u32, 0_u32, u32::MAX, OUT]), Err(Errno::Invalid));
}

#[test]
fn whoever_waits_gives_the_turn_to_others() {
    /// Counts, and while the guest is away writes to it.
    #[derive(Default)]
    struct Count {
        turned: AtomicUsize,
        away: AtomicUsize,
        writer: Mutex<Option<File>>,
    }
    impl Scheduler for Count {
        fn turn(&self) {
            self.turned.fetch_add(1, Ordering::Relaxed);
        }
        fn away(&self, wait: &mut dyn FnMut()) {
            self.away.fetch_add(1, Ordering::Relaxed);
            if let Some(mut writer) = self.writer.lock().take() {
                writer.write_all(b"x").expect("written");
            }
            wait();
        }
    }
    let count = Arc::new(Count::default());
    let budget = CallBudget { scheduler: Some(count.clone()), ..CallBudget::of_fuel(UNLIMITED_FUEL) };
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::with_budget(
        WasiConfig {
            stdin: Stdin::File(reader.into()),
            preopens: vec![Preopen::read_write(dir.path(), "/")],
            ..WasiConfig::default()
        },
        &budget,
    );
    let turns = || count.away.swap(0, Ordering::Relaxed);
    assert_eq!(poll(&mut guest, &[clock(1, 1, MS, 0)]).map(|e| e.len()), Ok(1));
    assert_eq!(turns(), 1);
    assert_eq!(poll(&mut guest, &[fd(1, 1, 0), clock(2, 1, MS, 0)]).map(|e| e.len()), Ok(1));
    assert_eq!(turns(), 1);
    assert_eq!(guest.call("sched_yield", args![]), Ok(()));
    assert_eq!((turns(), count.turned.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(guest.call("fd_sync", args![3_u32]), Ok(()));
    assert_eq!(turns(), 1);
    // There is nothing to read until the turn is given away.
    *count.writer.lock() = Some(writer.into());
    assert_eq!(guest.read(0, 1), Ok(b"x".to_vec()));
    assert_eq!(turns(), 1);
    // What does not wait keeps its turn.
    assert_eq!(poll(&mut guest, &[clock(1, 1, 0, 0)]).map(|e| e.len()), Ok(1));
    assert_eq!(guest.write(1, b"x"), Ok(1));
    assert_eq!(turns(), 0);
}
