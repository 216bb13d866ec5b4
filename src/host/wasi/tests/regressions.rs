//! What once went wrong where guests list, rename and remove, and where Rust reads what they have made.

use super::super::abi::{O_CREAT, O_DIRECTORY, O_TRUNC};
use super::super::{MemoryDir, TreeTooLarge, WasiLimits};
use super::*;
use crate::policy::{Determinism, Limits, MemoryBytes};

fn on(preopen: Preopen, limits: WasiLimits) -> Guest {
    Guest::new(WasiConfig { preopens: vec![preopen], limits, ..WasiConfig::default() })
}

fn over(dir: &Path) -> Guest {
    on(Preopen::overlay(dir, "/"), WasiLimits::default())
}

/// A directory of the host's with `count` empty files.
fn many(count: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for i in 0..count {
        std::fs::write(dir.path().join(format!("f{i}")), "").expect("written");
    }
    dir
}

fn list(guest: &mut Guest, fd: u32) -> Answer {
    guest.call("fd_readdir", args![fd, DATA, 64_u32, 0_u64, OUT])
}

#[test]
fn a_listing_without_room_is_paid_for() {
    let dir = many(300);
    let mut memory = MemoryDir::new();
    for i in 0..300 {
        memory = memory.file(format!("f{i}"), "");
    }
    let limits = WasiLimits { listing_bytes: 250 * 104, ..WasiLimits::default() };
    for preopen in
        [Preopen::overlay(dir.path(), "/"), Preopen::memory(memory, "/"), Preopen::read_only(dir.path(), "/")]
    {
        let mut guest = on(preopen, limits);
        let before = guest.consumed();
        assert_eq!(list(&mut guest, 3), Err(Errno::NoMemory));
        assert!(guest.consumed() - before > 200 * 1_000);
    }
}

#[test]
fn hidden_names_are_paid_for() {
    let dir = many(300);
    let mut guest = over(dir.path());
    for i in 0..300 {
        assert_eq!(guest.on_path("path_unlink_file", &format!("f{i}")), Ok(()));
    }
    let before = guest.consumed();
    assert_eq!(list(&mut guest, 3), Ok(()));
    assert!(guest.consumed() - before > 300 * 1_000);
    assert_eq!(guest.u32_at(OUT), 24 + 1 + 24 + 2, "nothing but the directory itself");
}

#[test]
fn removing_a_directory_costs_what_is_hidden_and_one_more() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, count) in [("d", 200), ("e", 3)] {
        std::fs::create_dir(dir.path().join(name)).expect("made");
        for i in 0..count {
            std::fs::write(dir.path().join(format!("{name}/f{i}")), "").expect("written");
        }
    }
    let mut guest = over(dir.path());
    let remove = |guest: &mut Guest, path: &str| {
        let before = guest.consumed();
        (guest.on_path("path_remove_directory", path), guest.consumed() - before)
    };
    let (full, price) = remove(&mut guest, "d");
    assert_eq!(full, Err(Errno::NotEmpty));
    assert_eq!(remove(&mut guest, "e"), (full, price), "however many names there are");
    for i in 0..200 {
        assert_eq!(guest.on_path("path_unlink_file", &format!("d/f{i}")), Ok(()));
    }
    let (empty, paid) = remove(&mut guest, "d");
    assert_eq!(empty, Ok(()));
    assert!(paid > price + 199 * 1_000, "{paid}");
    // Moved over, it must be empty just so.
    assert_eq!(guest.on_path("path_create_directory", "new"), Ok(()));
    assert_eq!(guest.rename("new", "e"), Err(Errno::NotEmpty));
    for i in 0..3 {
        assert_eq!(guest.on_path("path_unlink_file", &format!("e/f{i}")), Ok(()));
    }
    assert_eq!(guest.rename("new", "e"), Ok(()));
    assert_eq!(guest.names("."), ["e"]);
}

#[test]
fn what_comes_back_to_rust_has_a_limit() {
    let mut guest = on(Preopen::memory(MemoryDir::new(), "/"), WasiLimits::default());
    guest.make("a", &[7; 10_000]);
    for i in 0..50 {
        assert_eq!(guest.link("a", &format!("b{i}")), Ok(()));
    }
    let view = guest.state().memory("/").expect("there is one");
    // Fifty names and one file.
    let dir = view.to_dir(10_000 + 51 * (128 + 3)).expect("it fits");
    assert_eq!(dir.len(), 51);
    assert_eq!(view.to_dir(10_000).err(), Some(TreeTooLarge { limit: 10_000 }));
    let mut again = on(Preopen::memory(dir, "/"), WasiLimits::default());
    assert_eq!(again.contents("b49"), Ok(vec![7; 10_000]));
    // Deep trees have long paths.
    let mut at = 3;
    for _ in 0..2_000 {
        let len = guest.path("d");
        assert_eq!(guest.call("path_create_directory", args![at, PATH, len]), Ok(()));
        let below = guest.open_at(at, "d", O_DIRECTORY, READ).expect("open");
        if at != 3 {
            guest.close(at);
        }
        at = below;
    }
    assert_eq!(view.to_dir(1 << 20), Err(TreeTooLarge { limit: 1 << 20 }));
    assert_eq!(view.to_dir(8 << 20).map(|dir| dir.len()), Ok(2_051));
    // A base that is mostly a hole.
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::File::create(dir.path().join("f")).and_then(|file| file.set_len(1 << 40)).expect("made");
    let mut guest = over(dir.path());
    let fd = guest.open("f", 0, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"x"), Ok(1));
    let view = guest.state().memory("/").expect("there is one");
    assert_eq!(view.to_dir(1 << 30), Err(TreeTooLarge { limit: 1 << 30 }));
}

#[test]
fn reading_from_rust_costs_the_guest_nothing() {
    let dir = many(1);
    let mut guest = over(dir.path());
    guest.make("new", b"1");
    let len = guest.path("new");
    let price = |guest: &mut Guest| {
        let before = guest.consumed();
        assert_eq!(guest.call("path_filestat_get", args![3_u32, 0_u32, PATH, len, OUT]), Ok(()));
        guest.consumed() - before
    };
    let before = price(&mut guest);
    let view = guest.state().memory("/").expect("there is one");
    assert_eq!(view.read("new"), Some(b"1".to_vec()));
    assert_eq!(price(&mut guest), before);
}

#[test]
fn a_deterministic_run_has_no_times_of_the_hosts() {
    let preopens = vec![Preopen::memory(MemoryDir::new().file("d/f", "x"), "/")];
    let wasi = WasiConfig { preopens, ..WasiConfig::default() }.build().expect("a good configuration");
    let mut state = GuestState::with_wasi(wasi);
    state.apply(&Limits::agent(), Determinism::Full { seed: 1 });
    let mut guest = Guest::of(state, &CallBudget::of_fuel(UNLIMITED_FUEL));
    for path in [".", "d", "d/f"] {
        guest.stat(path, 0).expect("there");
        assert_eq!([40, 48, 56].map(|at| guest.u64_at(OUT + at)), [0; 3], "{path}");
    }
}

#[test]
fn a_rename_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("a/in")).expect("made");
    // Room for what is made the guest's own and the new name, but for no whiteout.
    let name = "n".repeat(200);
    std::fs::write(dir.path().join(&name), "x").expect("written");
    let mut failed = 0;
    for scratch_bytes in (0..2_000).step_by(8) {
        let limits = WasiLimits { scratch_bytes, ..WasiLimits::default() };
        let mut guest = on(Preopen::overlay(dir.path(), "/"), limits);
        match guest.rename(&name, "new") {
            Ok(()) => assert_eq!(guest.names("."), ["a", "new"]),
            Err(errno) => {
                failed += 1;
                assert_eq!(errno, Errno::NoSpace);
                assert_eq!(guest.names("."), ["a", name.as_str()]);
            }
        }
    }
    assert!(failed > 0 && failed < 250, "{failed}");
}

#[test]
fn a_link_of_the_base_gives_back_what_it_took() {
    let dir = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("t".repeat(1_000), dir.path().join("l")).expect("linked");
    let mut guest = over(dir.path());
    guest.make("mine", &[0; 4_096]);
    let before = guest.state().file_usage().scratch_bytes;
    assert_eq!(guest.rename("l", "m"), Ok(()));
    let whiteout = 64 + 1;
    assert_eq!(guest.state().file_usage().scratch_bytes, before + 512 + 1_000 + 65 + whiteout);
    assert_eq!(guest.on_path("path_unlink_file", "m"), Ok(()));
    assert_eq!(guest.state().file_usage().scratch_bytes, before + whiteout);
}

#[test]
fn what_a_guest_wrote_stays_when_the_base_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["cut", "part"] {
        std::fs::write(dir.path().join(name), vec![1; 40_000]).expect("written");
    }
    let mut guest = over(dir.path());
    let fd = guest.open("cut", O_TRUNC, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"new"), Ok(3));
    guest.close(fd);
    let fd = guest.open("part", 0, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"new"), Ok(3));
    guest.close(fd);
    for name in ["cut", "part"] {
        std::fs::remove_file(dir.path().join(name)).expect("removed");
    }
    assert_eq!(guest.contents("cut"), Ok(b"new".to_vec()));
    let fd = guest.open("part", 0, READ).expect("open");
    assert_eq!(guest.read(fd, 4), Ok(b"new\x01".to_vec()));
    assert_eq!(guest.call("fd_seek", args![fd, 20_000_i64, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.read(fd, 4), Err(Errno::Io), "it was never copied");
}

#[test]
fn two_names_of_the_base_are_two_files_once_one_is_written_to() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a"), "old").expect("written");
    std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).expect("linked");
    let mut guest = over(dir.path());
    assert_eq!(guest.rename("a", "b"), Ok(()));
    assert_eq!(guest.names("."), ["a", "b"], "one file, unchanged: nothing happens");
    let fd = guest.open("a", O_TRUNC, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"new"), Ok(3));
    assert_eq!(guest.rename("a", "b"), Ok(()));
    assert_eq!((guest.names("."), guest.contents("b")), (vec!["b".into()], Ok(b"new".to_vec())));
}

#[test]
fn links_on_the_host_have_few_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    assert_eq!(guest.symlink(&"./".repeat(64), "fits"), Ok(()));
    assert_eq!(guest.symlink(&"./".repeat(65), "long"), Err(Errno::NameTooLong));
}

#[test]
fn what_the_host_may_come_to_hold_is_known() {
    let limits = WasiLimits { scratch_bytes: 1_000, output_bytes: 200, listing_bytes: 30, ..WasiLimits::default() };
    let state = |stdout: Output, stderr: Output, preopens| {
        let config = WasiConfig { limits, stdout, stderr, preopens, ..WasiConfig::default() };
        GuestState::with_wasi(config.build().expect("a good configuration"))
    };
    assert_eq!(GuestState::default().host_bytes(), 0);
    assert_eq!(state(Output::Discard, Output::Discard, vec![]).host_bytes(), 30);
    assert_eq!(state(Output::Discard, Output::Capture, vec![]).host_bytes(), 230);
    let mut all = state(Output::Capture, Output::Capture, vec![Preopen::memory(MemoryDir::new(), "/")]);
    assert_eq!(all.host_bytes(), 1_230);
    let policy = Limits { memory: MemoryBytes::new(10), scratch: MemoryBytes::new(100), ..Limits::agent() };
    all.apply(&policy, Determinism::Off);
    assert_eq!(all.host_bytes(), 310);
}

#[test]
fn holes_behind_an_end_that_moved_are_counted_and_appending_leaves_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
    assert_eq!(guest.write(fd, &[1; 1_000]), Ok(1_000));
    assert_eq!(guest.call("fd_filestat_set_size", args![fd, 0_u64]), Ok(()));
    let before = guest.state().file_usage().disk_bytes;
    assert_eq!(guest.write(fd, b"x"), Ok(1));
    assert_eq!(guest.state().file_usage().disk_bytes, before + 1_001);
    let fd = guest.open_with(3, 1, "f", 0, READ | WRITE, 1).expect("open");
    let (iovs, count) = guest.iovs(&[(DATA, 1)]);
    assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 1_000_000_u64, OUT]), Ok(()));
    assert_eq!(guest.state().file_usage().disk_bytes, before + 1_002);
}

#[test]
fn a_rename_away_from_a_base_that_broke_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("d/sub")).expect("made");
    let mut guest = over(dir.path());
    guest.make("d/sub/f", b"1");
    std::fs::remove_dir_all(dir.path().join("d")).expect("removed");
    std::fs::write(dir.path().join("d"), "").expect("written");
    // Whether a whiteout is needed cannot be found out.
    assert_eq!(guest.rename("d/sub", "top"), Err(Errno::NotDirectory));
    assert_eq!((guest.names("."), guest.contents("d/sub/f")), (vec!["d".into()], Ok(b"1".to_vec())));
    let view = guest.state().memory("/").expect("there is one");
    assert_eq!(view.files().collect::<Vec<_>>(), [("d/sub/f".into(), 1)]);
}

#[test]
fn room_that_could_not_be_filled_is_given_back() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("f"), vec![1; 100_000]).expect("written");
    let mut guest = over(dir.path());
    let fd = guest.open("f", 0, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"x"), Ok(1));
    guest.close(fd);
    std::fs::remove_file(dir.path().join("f")).expect("removed");
    let fd = guest.open("f", 0, READ | WRITE).expect("open");
    for _ in 0..20 {
        assert_eq!(guest.call("fd_allocate", args![fd, 0_u64, 100_000_u64]), Err(Errno::Io));
    }
    // The piece that is there, and at most one that was paid for and not filled.
    assert!(guest.state().file_usage().scratch_bytes <= 577 + 2 * 16_384);
    guest.close(fd);
    assert_eq!(guest.on_path("path_unlink_file", "f"), Ok(()));
    assert_eq!(guest.state().file_usage().scratch_bytes, 0);
}

#[test]
fn a_sandbox_sets_aside_and_determines_what_a_guest_has_of_files() {
    let Ok(engine) = crate::engines::by_name("auto") else { return };
    let limits = Limits { scratch: MemoryBytes::new(1 << 20), ..Limits::agent() };
    let mut policy = crate::SecurityPolicy::standard().limits(limits.clone()).grants(crate::policy::Grants::wasi());
    policy.determinism = Determinism::Full { seed: 1 };
    let sandbox = crate::Sandbox::builder(engine).policy(policy).build().expect("it can enforce that");
    let module = sandbox
        .load(
            br#"(module
            (import "wasi_snapshot_preview1" "path_filestat_get"
                (func $stat (param i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "f")
            (func (export "times") (result i64)
                (if (call $stat (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64))
                    (then (return (i64.const -1))))
                (i64.or (i64.load (i32.const 104)) (i64.or (i64.load (i32.const 112)) (i64.load (i32.const 120))))))"#,
        )
        .expect("it is good");
    let preopens = vec![Preopen::memory(MemoryDir::new().file("f", "x"), "/")];
    let config = WasiConfig { preopens, stdout: Output::Discard, stderr: Output::Discard, ..WasiConfig::default() };
    let state = GuestState::with_wasi(config.build().expect("a good configuration"));
    let before = sandbox.resources().reserved_memory().get();
    let mut guest = sandbox.guest(&module, state).expect("there is room");
    let listings = WasiLimits::default().listing_bytes.min(limits.memory.get());
    assert_eq!(sandbox.resources().reserved_memory().get() - before, limits.memory.get() + (1 << 20) + listings);
    assert_eq!(guest.typed::<(), i64>("times").expect("there").call(&mut guest, ()).expect("it returns"), 0);
}
