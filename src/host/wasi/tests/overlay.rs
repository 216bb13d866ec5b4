//! Overlays, trees from Rust and back, and directories that vanish while a guest uses them.

use std::fs;

use super::super::abi::{O_CREAT, O_DIRECTORY, O_TRUNC};
use super::super::{Access, Clocks, MemoryDir, WasiConfigError, WasiLimits};
use super::backings::Backing;
use super::*;

fn over(dir: &Path) -> Guest {
    Guest::new(WasiConfig { preopens: vec![Preopen::overlay(dir, "/w")], ..WasiConfig::default() })
}

/// A base with something of each kind.
fn base() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(dir.path().join("d/e")).expect("made");
    fs::write(dir.path().join("f"), vec![b'f'; 50_000]).expect("written");
    fs::write(dir.path().join("d/g"), "g").expect("written");
    fs::write(dir.path().join("d/e/h"), "h").expect("written");
    std::os::unix::fs::symlink("d/g", dir.path().join("l")).expect("linked");
    dir
}

/// Everything in a directory, as text.
fn shown(dir: &Path) -> String {
    let mut lines = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).expect("there");
        let bytes = if metadata.is_file() { fs::read(&path).expect("readable") } else { Vec::new() };
        lines.push(format!("{} {:?} {} {bytes:?}", path.display(), metadata.file_type(), metadata.len()));
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).expect("readable").map(|e| e.expect("readable").path()));
        }
    }
    lines.sort();
    lines.join("\n")
}

#[test]
fn the_base_shows_through_and_is_never_changed() {
    let dir = base();
    let before = shown(dir.path());
    let mut guest = over(dir.path());
    assert_eq!(guest.names("."), ["d", "f", "l"]);
    assert_eq!(guest.contents("l"), Ok(b"g".to_vec()));
    assert_eq!(guest.state().file_usage().scratch_bytes, 0, "looking costs nothing");
    // One byte in the middle: one piece is held.
    let fd = guest.open("f", 0, READ | WRITE).expect("open");
    assert_eq!(guest.call("fd_seek", args![fd, 20_000_i64, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.write(fd, b"!"), Ok(1));
    assert_eq!(guest.state().file_usage().scratch_bytes, 512 + 64 + 1 + 16_384);
    let mut wanted = vec![b'f'; 50_000];
    wanted[20_000] = b'!';
    assert!(guest.contents("f").expect("read") == wanted);
    // Removed, made anew, renamed, hidden.
    assert_eq!(guest.on_path("path_unlink_file", "d/g"), Ok(()));
    assert_eq!(guest.contents("l"), Err(Errno::NotFound));
    assert_eq!(guest.names("d"), ["e"]);
    assert_eq!(guest.rename("d/e", "moved"), Ok(()));
    assert_eq!(guest.contents("moved/h"), Ok(b"h".to_vec()));
    assert_eq!((guest.names("d"), guest.names(".")), (vec![], ["d", "f", "l", "moved"].map(String::from).to_vec()));
    assert_eq!(guest.on_path("path_remove_directory", "d"), Ok(()));
    assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
    assert_eq!(guest.names("d"), [""; 0], "what was removed does not come back");
    assert_eq!(guest.rename("moved", "d"), Ok(()));
    assert_eq!(guest.names("d"), ["h"]);
    guest.make("new", b"new");
    assert_eq!(shown(dir.path()), before);
    // What Rust sees of it: what the guest has made or changed.
    let view = guest.state().memory("/w").expect("there is one");
    let files = view.files().collect::<Vec<_>>();
    assert_eq!(files, [("f".to_owned(), 50_000), ("new".to_owned(), 3)]);
    assert!(view.read("f").expect("changed") == wanted);
    assert_eq!((view.read("d/h"), view.read("l"), view.read("../f")), (None, None, None));
}

#[test]
fn an_unchanged_file_of_the_base_is_the_same_before_and_after() {
    let dir = base();
    let mut guest = over(dir.path());
    let before = guest.stat("d/g", 0).expect("there");
    let fd = guest.open("d/g", 0, READ | WRITE).expect("open");
    assert_eq!(guest.stat("d/g", 0), Ok(before));
    assert_eq!(guest.write(fd, b"12"), Ok(2));
    assert_eq!(guest.stat("d/g", 0), Ok((before.0, 4, 1, 2)), "the same inode");
    // A reader that was there before sees what is written.
    let reader = guest.open("f", 0, READ).expect("open");
    let writer = guest.open("f", O_TRUNC, WRITE).expect("open");
    assert_eq!(guest.read(reader, 9), Ok(vec![]));
    assert_eq!(guest.write(writer, b"new"), Ok(3));
    assert_eq!(guest.read(reader, 9), Ok(b"new".to_vec()));
}

#[test]
fn a_full_scratch_does_not_keep_a_guest_from_reading() {
    let dir = base();
    let preopens = vec![Preopen::overlay(dir.path(), "/w")];
    let limits = WasiLimits { scratch_bytes: 0, ..WasiLimits::default() };
    let mut guest = Guest::new(WasiConfig { preopens, limits, ..WasiConfig::default() });
    assert_eq!(guest.contents("d/e/h"), Ok(b"h".to_vec()));
    assert_eq!(guest.names("d/e"), ["h"]);
    for (name, path) in [("path_unlink_file", "f"), ("path_create_directory", "x"), ("path_unlink_file", "d/e/h")] {
        assert_eq!(guest.on_path(name, path), Err(Errno::NoSpace), "{name} {path}");
    }
    let fd = guest.open("f", 0, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"x"), Err(Errno::NoSpace));
    assert_eq!(guest.rename("f", "y"), Err(Errno::NoSpace));
    assert_eq!(guest.names("."), ["d", "f", "l"]);
}

#[test]
fn links_and_special_files_of_a_base_do_not_lead_out() {
    let dir = base();
    let secret = dir.path().join("inside");
    fs::create_dir(&secret).expect("made");
    for (target, link) in [("../f", "up"), ("/etc/passwd", "absolute"), ("/proc/self/root", "magic"), ("..", "dir")] {
        std::os::unix::fs::symlink(target, secret.join(link)).expect("linked");
    }
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, secret.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("made");
    let mut guest = over(&secret);
    for path in ["up", "absolute", "magic/etc/passwd", "dir/f", "dir"] {
        assert_eq!(guest.open(path, 0, READ), Err(Errno::Permission), "{path}");
        assert_eq!(guest.open(path, O_CREAT, WRITE), Err(Errno::Permission), "{path}");
    }
    let len = guest.path("absolute");
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH, len, DATA, 99_u32, OUT]), Err(Errno::Permission));
    for rights in [READ, WRITE] {
        assert_eq!(guest.open("fifo", 0, rights), Err(Errno::Access));
    }
    assert_eq!(guest.rename("fifo", "elsewhere"), Ok(()));
    assert_eq!(guest.on_path("path_unlink_file", "elsewhere"), Ok(()));
    assert_eq!(guest.on_path("path_unlink_file", "up"), Ok(()));
    assert_eq!(guest.names("."), ["absolute", "dir", "magic"]);
    assert!(secret.join("up").is_symlink() && secret.join("fifo").exists());
}

#[test]
fn a_read_only_volume_is_read_only() {
    let preopen = Preopen { access: Access::ReadOnly, ..Preopen::memory(MemoryDir::new().file("f", "x"), "/") };
    let mut guest = Guest::new(WasiConfig { preopens: vec![preopen], ..WasiConfig::default() });
    assert_eq!(guest.contents("f"), Ok(b"x".to_vec()));
    assert_eq!(guest.open("f", 0, WRITE), Err(Errno::ReadOnly));
    assert_eq!(guest.open("new", O_CREAT, WRITE), Err(Errno::ReadOnly));
    assert_eq!(guest.on_path("path_unlink_file", "f"), Err(Errno::ReadOnly));
    let fd = guest.open("f", 0, READ).expect("open");
    assert_eq!(guest.call("fd_allocate", args![fd, 0_u64, 9_u64]), Err(Errno::ReadOnly));
}

#[test]
fn a_tree_from_rust_goes_to_guests_and_comes_back() {
    let dir = MemoryDir::new().file("etc/motd", "hello").dir("var/tmp").link("motd", "etc/motd");
    let preopens = || vec![Preopen::memory(dir.clone(), "/a"), Preopen::memory(dir.clone(), "/b")];
    let clocks = Clocks::Virtual { start_ns: 1_000 };
    let mut guest = Guest::new(WasiConfig { preopens: preopens(), clocks, ..WasiConfig::default() });
    assert_eq!(guest.contents("motd"), Ok(b"hello".to_vec()));
    assert_eq!(guest.state().file_usage().scratch_bytes, 0, "what is given does not count");
    guest.make("var/tmp/x", b"made");
    let fd = guest.open("etc/motd", 0, WRITE).expect("open");
    assert_eq!(guest.write(fd, b"HE"), Ok(2));
    // The other tree is another tree.
    let (old, new) = (guest.path("motd"), guest.path2("m"));
    for call in ["path_rename", "path_link"] {
        let params: &[Value] = match call {
            "path_link" => args![3_u32, 0_u32, PATH, old, 4_u32, PATH2, new],
            _ => args![3_u32, PATH, old, 4_u32, PATH2, new],
        };
        assert_eq!(guest.call(call, params), Err(Errno::CrossDevice), "{call}");
    }
    let (a, b) = (guest.state().memory("/a").expect("there"), guest.state().memory("/b").expect("there"));
    assert!(guest.state().memory("/c").is_none());
    assert_eq!(a.read("motd"), Some(b"HEllo".to_vec()));
    assert_eq!(b.read("motd"), Some(b"hello".to_vec()));
    assert_eq!(a.files().collect::<Vec<_>>(), [("etc/motd".to_owned(), 5), ("var/tmp/x".to_owned(), 4)]);
    assert_eq!((a.read("none"), a.read("etc")), (None, None));
    let again = Preopen::memory(a.to_dir(1 << 20).expect("it fits"), "/");
    let mut guest = Guest::new(WasiConfig { preopens: vec![again], ..WasiConfig::default() });
    assert_eq!((guest.contents("motd"), guest.names("var")), (Ok(b"HEllo".to_vec()), vec!["tmp".to_owned()]));
    assert_eq!(b.to_dir(1 << 20).expect("it fits"), dir.clone().dir("etc").dir("var"));
}

#[test]
fn trees_that_cannot_be_are_refused_by_name() {
    for (dir, wanted) in [
        (MemoryDir::new().file("a", "").file("a/b", ""), "a/b"),
        (MemoryDir::new().file("a", "").file("a", ""), "a"),
        (MemoryDir::new().file("/a", ""), "/a"),
        (MemoryDir::new().file("a/../b", ""), "a/../b"),
        (MemoryDir::new().file("", ""), ""),
        (MemoryDir::new().dir("a\0"), "a\0"),
        (MemoryDir::new().link("a", ""), "a"),
        (MemoryDir::new().file("n".repeat(256), ""), &"n".repeat(256)),
    ] {
        let preopens = vec![Preopen::memory(dir, "/tmp")];
        let refused = WasiConfig { preopens, ..WasiConfig::default() }.build();
        assert!(
            matches!(refused, Err(WasiConfigError::MemoryPath { path, guest }) if path == wanted && guest == "/tmp")
        );
    }
}

#[test]
fn metadata_in_memory_is_the_same_in_every_run() {
    let run = || {
        let preopens = vec![Preopen::memory(MemoryDir::new().file("a/b", "x"), "/")];
        let clocks = Clocks::Virtual { start_ns: 5 };
        let mut guest = Guest::new(WasiConfig { preopens, clocks, ..WasiConfig::default() });
        guest.make("f", b"1");
        assert_eq!(guest.call("clock_time_get", args![0_u32, 0_u64, OUT]), Ok(()));
        guest.make("g", b"1");
        ["f", "g", "a", "a/b", "."].map(|path| {
            let len = guest.path(path);
            assert_eq!(guest.call("path_filestat_get", args![3_u32, 0_u32, PATH, len, OUT]), Ok(()));
            guest.get(OUT, 64).to_vec()
        })
    };
    let stats = run();
    assert_eq!(stats, run());
    let time = |stat: &[u8]| u64::from_le_bytes(stat[48..56].try_into().expect("eight bytes"));
    assert_eq!((time(&stats[0]), time(&stats[1]), time(&stats[3])), (5, 1_000_005, 5));
}

#[test]
fn a_directory_that_vanishes_leaves_errors_and_open_files() {
    for backing in [Backing::Host, Backing::Overlay] {
        let dir = base();
        let preopen = match backing {
            Backing::Overlay => Preopen::overlay(dir.path(), "/w"),
            _ => Preopen::read_write(dir.path(), "/w"),
        };
        let mut guest = Guest::new(WasiConfig { preopens: vec![preopen], ..WasiConfig::default() });
        let fd = guest.open("d/g", 0, READ | WRITE).expect("open");
        let sub = guest.open("d", O_DIRECTORY, READ).expect("open");
        dir.close().expect("removed");
        assert_eq!(guest.read(fd, 9), Ok(b"g".to_vec()), "{backing:?}");
        assert_eq!(guest.write(fd, b"more"), Ok(4), "{backing:?}");
        assert_eq!(guest.call("fd_filestat_get", args![fd, OUT]), Ok(()));
        for (at, path) in [(3, "f"), (3, "d/e/h"), (sub, "e/h")] {
            assert_eq!(guest.open_at(at, path, 0, READ), Err(Errno::NotFound), "{backing:?} {path}");
        }
        assert_eq!(guest.stat("f", 0), Err(Errno::NotFound), "{backing:?}");
        assert_eq!(guest.open("l", 0, READ), Err(Errno::NotFound), "{backing:?}");
        let made = guest.on_path("path_create_directory", "x");
        // An overlay has a place of its own to write to.
        assert_eq!(made, if backing == Backing::Overlay { Ok(()) } else { Err(Errno::NotFound) });
        assert_eq!(guest.call("fd_readdir", args![sub, DATA, 4096_u32, 0_u64, OUT]), Ok(()), "{backing:?}");
        for fd in [sub, fd] {
            assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
        }
    }
}
