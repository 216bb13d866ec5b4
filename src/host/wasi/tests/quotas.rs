//! What files may take: of memory, of the disk, of descriptors.

use super::super::abi::{O_CREAT, O_DIRECTORY, O_TRUNC};
use super::super::{MemoryDir, WasiLimits};
use super::*;
use crate::policy::{Determinism, Limits, MemoryBytes};

const SCRATCH: u64 = 64 << 10;

fn in_memory(scratch_bytes: u64) -> Guest {
    on(Preopen::memory(MemoryDir::new(), "/"), WasiLimits { scratch_bytes, ..WasiLimits::default() })
}

fn on(preopen: Preopen, limits: WasiLimits) -> Guest {
    Guest::new(WasiConfig { preopens: vec![preopen], limits, ..WasiConfig::default() })
}

#[test]
fn memory_is_filled_to_its_cap_and_given_back() {
    let mut guest = in_memory(SCRATCH);
    guest.memory.resize(1 << 20, 0);
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
    let before = guest.state().file_usage().scratch_bytes;
    assert_eq!(before, 512 + 64 + 1, "a file and its name");
    // Three whole pieces, and of the fourth the largest power of two that fits.
    assert_eq!(guest.write(fd, &[1; 100_000]), Ok(3 * 16_384 + 8_192));
    assert_eq!(guest.write(fd, &[1; 100_000]), Err(Errno::NoSpace));
    let usage = guest.state().file_usage();
    assert_eq!((usage.scratch_bytes, usage.scratch_refusals), (before + 57_344, 2));
    // Without lengthening the file, there is room.
    let (iovs, count) = guest.iovs(&[(DATA, 57_344)]);
    assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 0_u64, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 57_344);
    assert_eq!(guest.open("g", O_CREAT, WRITE).map(|_| ()), Ok(()), "a name is small");
    assert_eq!(guest.call("fd_filestat_set_size", args![fd, 100_u64]), Ok(()));
    assert_eq!(guest.state().file_usage().scratch_bytes, before + 577 + 512);
    assert_eq!(guest.on_path("path_unlink_file", "f"), Ok(()));
    assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.write(fd, &[1; 100]), Ok(100), "it is still open");
    assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
    assert_eq!(guest.state().file_usage().scratch_bytes, 577);
    assert_eq!(guest.on_path("path_unlink_file", "g"), Ok(()));
    assert_eq!(guest.call("fd_close", args![5_u32]), Ok(()));
    assert_eq!(guest.state().file_usage().scratch_bytes, 0);
}

#[test]
fn names_are_not_for_nothing() {
    for name in ["path_create_directory", "path_symlink", "path_link", "path_open"] {
        let mut guest = in_memory(SCRATCH);
        let fd = guest.open("x", O_CREAT, WRITE).expect("made");
        assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
        let made = (0..10_000)
            .take_while(|i| {
                let path = format!("{i:0200}");
                let (old, new) = (guest.path("x"), guest.path2(&path));
                let answer = match name {
                    "path_open" => guest.open(&path, O_CREAT, WRITE).and_then(|fd| guest.call("fd_close", args![fd])),
                    "path_symlink" => guest.call(name, args![PATH, old, 3_u32, PATH2, new]),
                    "path_link" => guest.call(name, args![3_u32, 0_u32, PATH, old, 3_u32, PATH2, new]),
                    _ => guest.on_path(name, &path),
                };
                assert!(matches!(answer, Ok(()) | Err(Errno::NoSpace)), "{answer:?}");
                answer.is_ok()
            })
            .count();
        let each = if name == "path_link" { 264 } else { 776 } + u64::from(name == "path_symlink");
        assert_eq!(made as u64, (SCRATCH - 577) / each, "{name}");
    }
}

#[test]
fn holes_are_paid_for_before_they_are_made() {
    let dir = tempfile::tempdir().expect("a directory");
    for preopen in [
        Preopen::memory(MemoryDir::new(), "/"),
        Preopen::overlay(dir.path(), "/"),
        Preopen::read_write(dir.path(), "/"),
    ] {
        let host = matches!(preopen.source, super::super::Source::Host(_));
        let limits = WasiLimits { scratch_bytes: 1 << 20, disk_bytes: 1 << 20, ..WasiLimits::default() };
        let mut guest = on(preopen, limits);
        let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
        let used = |guest: &mut Guest| {
            let usage = guest.state().file_usage();
            if host { usage.disk_bytes } else { usage.scratch_bytes }
        };
        let before = used(&mut guest);
        guest.put(DATA, b"x");
        let (iovs, count) = guest.iovs(&[(DATA, 1)]);
        for at in [1_u64 << 20, 1 << 30, 1 << 40] {
            assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, at, OUT]), Err(Errno::NoSpace));
            assert_eq!(guest.call("fd_seek", args![fd, at.cast_signed(), 0_u32, OUT]), Ok(()));
            assert_eq!(guest.write(fd, b"x"), Err(Errno::NoSpace));
            assert_eq!(guest.call("fd_filestat_set_size", args![fd, at]), Err(Errno::NoSpace));
            assert_eq!(guest.call("fd_allocate", args![fd, 0_u64, at]), Err(Errno::NoSpace));
            assert_eq!(guest.call("fd_allocate", args![fd, at, 1_u64]), Err(Errno::NoSpace));
        }
        assert_eq!(used(&mut guest), before);
        assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 99_999_u64, OUT]), Ok(()));
        let counted = if host { 100_000 } else { 6 * 16_384 + 2_048 };
        assert_eq!(used(&mut guest) - before, counted);
        // Inside, there is nothing more to pay for; on the disk, what is written.
        assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 50_u64, OUT]), Ok(()));
        assert_eq!(used(&mut guest) - before, counted + u64::from(host));
        assert_eq!(guest.call("fd_allocate", args![fd, 0_u64, 0_u64]), Err(Errno::Invalid));
        assert_eq!(guest.call("fd_allocate", args![fd, u64::MAX, 2_u64]), Err(Errno::FileTooBig));
        assert_eq!(guest.call("fd_allocate", args![fd, 0_u64, 200_000_u64]), Ok(()));
        assert_eq!(guest.call("fd_filestat_get", args![fd, OUT]), Ok(()));
        assert_eq!(guest.u64_at(OUT + 32), 200_000);
        let reader = guest.open("f", 0, READ).expect("open");
        assert_eq!(guest.call("fd_allocate", args![reader, 0_u64, 9_u64]), Err(Errno::BadFd));
        assert_eq!(guest.call("fd_allocate", args![3_u32, 0_u64, 9_u64]), Err(Errno::BadFd));
    }
}

#[test]
fn what_is_written_to_the_host_is_counted_and_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = WasiLimits { disk_bytes: 4096 + 10_000, ..WasiLimits::default() };
    let mut guest = on(Preopen::read_write(dir.path(), "/"), limits);
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
    assert_eq!(guest.write(fd, &[1; 6_000]), Ok(6_000));
    // Overwriting counts as well: a disk can be worn out too.
    assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.write(fd, &[2; 6_000]), Ok(4_000));
    assert_eq!(guest.write(fd, &[3; 1]), Err(Errno::NoSpace));
    assert_eq!(guest.write(fd, &[]), Ok(0));
    assert_eq!(guest.on_path("path_create_directory", "d"), Err(Errno::NoSpace));
    assert_eq!(guest.open("g", O_CREAT, WRITE), Err(Errno::NoSpace));
    assert_eq!(guest.call("fd_filestat_set_size", args![fd, 6_001_u64]), Err(Errno::NoSpace));
    // Nothing is given back, and what takes nothing works.
    assert_eq!(guest.call("fd_filestat_set_size", args![fd, 10_u64]), Ok(()));
    assert!(guest.open("f", O_TRUNC, READ).is_ok());
    assert_eq!(guest.on_path("path_unlink_file", "f"), Ok(()));
    let usage = guest.state().file_usage();
    assert_eq!((usage.disk_bytes, usage.disk_refusals, usage.scratch_bytes), (14_096, 5, 0));
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0);
}

#[test]
fn calls_that_fail_count_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("d")).expect("made");
    let mut guest = on(Preopen::read_write(dir.path(), "/"), WasiLimits::default());
    assert_eq!(guest.on_path("path_create_directory", "d"), Err(Errno::Exists));
    assert_eq!(guest.open("none/x", O_CREAT, WRITE), Err(Errno::NotFound));
    let (old, new) = (guest.path("d"), guest.path2("e"));
    assert_eq!(guest.call("path_link", args![3_u32, 0_u32, PATH, old, 3_u32, PATH2, new]), Err(Errno::Permission));
    assert_eq!(guest.state().file_usage(), super::super::FileUsage::default());
}

#[test]
fn a_policy_tightens_what_was_configured() {
    let dir = tempfile::tempdir().expect("a directory");
    let preopens = vec![Preopen::read_write(dir.path(), "/"), Preopen::memory(MemoryDir::new(), "/tmp")];
    let wasi = WasiConfig { preopens, ..WasiConfig::default() }.build().expect("a good configuration");
    let mut state = GuestState::with_wasi(wasi);
    let limits = Limits { disk: MemoryBytes::new(8_192), scratch: MemoryBytes::new(2_048), ..Limits::agent() };
    state.apply(&limits, Determinism::Off);
    let mut guest = Guest::of(state, &CallBudget::of_fuel(UNLIMITED_FUEL));
    let (disk, memory) = (guest.open_at(3, "f", O_CREAT, WRITE), guest.open_at(4, "f", O_CREAT, WRITE));
    assert_eq!(guest.write(disk.expect("made"), &[0; 9_000]), Ok(4_096));
    assert_eq!(guest.write(memory.expect("made"), &[0; 9_000]), Ok(1_024));
}

#[test]
fn ten_thousand_descriptors_are_open_at_once() {
    let limits = WasiLimits { open_files: 10_004, scratch_bytes: 1 << 30, ..WasiLimits::default() };
    let mut guest = on(Preopen::memory(MemoryDir::new().file("f", "x"), "/"), limits);
    for fd in 4..10_004_u32 {
        assert_eq!(guest.open("f", 0, READ), Ok(fd));
    }
    assert_eq!(guest.open("f", 0, READ), Err(Errno::TooManyOpen));
    assert_eq!(guest.read(10_003, 9), Ok(b"x".to_vec()));
    for fd in [9_000, 77, 5_000, 5_001] {
        assert_eq!(guest.call("fd_close", args![fd as u32]), Ok(()));
    }
    for fd in [77, 5_000, 5_001, 9_000] {
        assert_eq!(guest.open("f", 0, READ), Ok(fd));
    }
    // Closed from above and below, the lowest is always next.
    for fd in (4..10_004_u32).rev().step_by(2) {
        assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
    }
    assert_eq!(guest.open("f", 0, READ), Ok(5));
    assert_eq!(guest.open("f", 0, READ), Ok(7));
}

#[test]
fn a_tree_deeper_than_any_stack_is_made_and_dropped() {
    let mut guest = in_memory(256 << 20);
    let mut at = 3;
    for _ in 0..100_000 {
        let len = guest.path("d");
        assert_eq!(guest.call("path_create_directory", args![at, PATH, len]), Ok(()));
        let below = guest.open_at(at, "d", O_DIRECTORY, READ).expect("open");
        if at != 3 {
            assert_eq!(guest.call("fd_close", args![at]), Ok(()));
        }
        at = below;
    }
    // Into itself from far below: the way up is looked at, and paid for.
    let (before, old, new) = (guest.consumed(), guest.path("d"), guest.path2("x"));
    assert_eq!(guest.call("path_rename", args![3_u32, PATH, old, at, PATH2, new]), Err(Errno::Invalid));
    assert!(guest.consumed() - before > 1_000_000);
    let view = guest.state().memory("/").expect("there is one");
    assert_eq!(view.files().count(), 0);
}
