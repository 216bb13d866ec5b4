//! The same behaviour whatever a directory stands on: each test here runs once for each backing.

use super::super::abi::{O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC};
use super::super::{Clocks, MemoryDir, WasiLimits};
use super::*;

/// What a directory can stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backing {
    Host,
    Memory,
    /// Over an empty directory.
    Overlay,
}

const ALL: [Backing; 3] = [Backing::Host, Backing::Memory, Backing::Overlay];

/// Runs `test` with a guest that has an empty directory as its descriptor 3, on each backing.
fn on_each(limits: WasiLimits, mut test: impl FnMut(&mut Guest, Backing)) {
    for backing in ALL {
        let dir = tempfile::tempdir().expect("a directory");
        let preopen = match backing {
            Backing::Host => Preopen::read_write(dir.path(), "/"),
            Backing::Memory => Preopen::memory(MemoryDir::new(), "/"),
            Backing::Overlay => Preopen::overlay(dir.path(), "/"),
        };
        let clocks = Clocks::Virtual { start_ns: 7_000_000_000 };
        let mut guest = Guest::new(WasiConfig { preopens: vec![preopen], limits, clocks, ..WasiConfig::default() });
        test(&mut guest, backing);
        if backing == Backing::Overlay {
            assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0, "the base is only read");
        }
    }
}

fn each(test: impl FnMut(&mut Guest, Backing)) {
    on_each(WasiLimits::default(), test);
}

impl Guest {
    fn make(&mut self, path: &str, bytes: &[u8]) {
        let fd = self.open(path, O_CREAT, WRITE).expect("made");
        assert_eq!(self.write(fd, bytes), Ok(bytes.len() as u32));
        self.close(fd);
    }

    fn close(&mut self, fd: u32) {
        assert_eq!(self.call("fd_close", args![fd]), Ok(()));
    }

    fn contents(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = self.open(path, 0, READ)?;
        let bytes = self.read(fd, 0x10000);
        self.close(fd);
        bytes
    }

    fn rename(&mut self, old: &str, new: &str) -> Answer {
        let (old, new) = (self.path(old), self.path2(new));
        self.call("path_rename", args![3_u32, PATH, old, 3_u32, PATH2, new])
    }

    fn link(&mut self, old: &str, new: &str) -> Answer {
        let (old, new) = (self.path(old), self.path2(new));
        self.call("path_link", args![3_u32, 0_u32, PATH, old, 3_u32, PATH2, new])
    }

    fn symlink(&mut self, target: &str, path: &str) -> Answer {
        let (target, path) = (self.path(target), self.path2(path));
        self.call("path_symlink", args![PATH, target, 3_u32, PATH2, path])
    }

    /// Inode, type, links, size.
    fn stat(&mut self, path: &str, follow: u32) -> Result<(u64, u8, u64, u64), Errno> {
        let len = self.path(path);
        self.call("path_filestat_get", args![3_u32, follow, PATH, len, OUT])?;
        Ok((self.u64_at(OUT + 8), self.get(OUT + 16, 1)[0], self.u64_at(OUT + 24), self.u64_at(OUT + 32)))
    }

    fn names(&mut self, path: &str) -> Vec<String> {
        let fd = self.open(path, O_DIRECTORY, READ).expect("open");
        let (mut names, mut at) = (Vec::new(), 0);
        assert_eq!(self.call("fd_readdir", args![fd, DATA, 0x8000_u32, 0_u64, OUT]), Ok(()));
        let bytes = self.get(DATA, self.u32_at(OUT) as usize).to_vec();
        while let Some(len) = bytes.get(at + 16..at + 20) {
            let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
            names.push(String::from_utf8(bytes[at + 24..at + 24 + len].to_vec()).expect("UTF-8"));
            at += 24 + len;
        }
        self.close(fd);
        names.retain(|name| name != "." && name != "..");
        names
    }
}

#[test]
fn files_are_made_written_read_cut_and_removed() {
    each(|guest, on| {
        let fd = guest.open("f", O_CREAT | O_EXCL, READ | WRITE).expect("made");
        assert_eq!(guest.write(fd, b"hello world"), Ok(11), "{on:?}");
        assert_eq!(guest.open("f", O_CREAT | O_EXCL, READ), Err(Errno::Exists));
        let mut seek = |offset: i64, whence: u32| {
            guest.call("fd_seek", args![fd, offset, whence, OUT]).map(|()| guest.u64_at(OUT))
        };
        assert_eq!((seek(6, 0), seek(-1, 1), seek(-5, 2)), (Ok(6), Ok(5), Ok(6)));
        assert_eq!(
            (seek(-12, 2), seek(-1, 0), seek(0, 3)),
            (Err(Errno::Invalid), Err(Errno::Invalid), Err(Errno::Invalid))
        );
        assert_eq!(guest.read(fd, 100), Ok(b"world".to_vec()));
        assert_eq!(guest.read(fd, 100), Ok(vec![]));
        // One that was opened before sees what another writes, cuts and leaves out.
        let other = guest.open("f", 0, WRITE).expect("open");
        assert_eq!(guest.call("fd_filestat_set_size", args![other, 5_u64]), Ok(()));
        assert_eq!(guest.call("fd_seek", args![other, 8_i64, 0_u32, OUT]), Ok(()));
        assert_eq!(guest.write(other, b"!"), Ok(1));
        assert_eq!(guest.contents("f"), Ok(b"hello\0\0\0!".to_vec()), "{on:?}");
        assert_eq!(guest.call("fd_filestat_set_size", args![other, 4_u64]), Ok(()));
        assert_eq!(guest.call("fd_filestat_set_size", args![other, 6_u64]), Ok(()));
        assert_eq!(guest.contents("f"), Ok(b"hell\0\0".to_vec()));
        // Removed, it lives as long as it is open.
        let before = guest.stat("f", 0).expect("there");
        assert_eq!((before.1, before.2, before.3), (4, 1, 6), "{on:?}");
        assert_eq!(guest.on_path("path_unlink_file", "f"), Ok(()));
        assert_eq!(guest.stat("f", 0), Err(Errno::NotFound));
        assert_eq!(guest.call("fd_filestat_get", args![other, OUT]), Ok(()));
        assert_eq!((guest.u64_at(OUT + 8), guest.u64_at(OUT + 24)), (before.0, 0));
        assert_eq!(guest.write(other, b"x"), Ok(1));
        guest.make("f", b"new");
        assert_eq!(guest.contents("f"), Ok(b"new".to_vec()));
        assert!(guest.open("f", O_TRUNC, READ).is_ok());
        assert_eq!(guest.contents("f"), Ok(vec![]));
    });
}

#[test]
fn appending_goes_to_the_end() {
    each(|guest, on| {
        guest.make("f", b"0123456789");
        let fd = guest.open_with(3, 1, "f", 0, READ | WRITE, 1).expect("open");
        assert_eq!(guest.write(fd, b"ab"), Ok(2));
        assert_eq!(guest.call("fd_tell", args![fd, OUT]).map(|()| guest.u64_at(OUT)), Ok(12), "{on:?}");
        assert_eq!(guest.call("fd_fdstat_set_flags", args![fd, 0_u32]), Ok(()));
        assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 0_u32, OUT]), Ok(()));
        assert_eq!(guest.write(fd, b"X"), Ok(1));
        assert_eq!(guest.call("fd_fdstat_set_flags", args![fd, 1_u32]), Ok(()));
        assert_eq!(guest.write(fd, b"Y"), Ok(1));
        assert_eq!(guest.contents("f"), Ok(b"X123456789abY".to_vec()), "{on:?}");
    });
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    each(|guest, on| {
        assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
        for (path, wanted) in
            [("d", Errno::Exists), (".", Errno::Exists), ("d/", Errno::Exists), ("x/y", Errno::NotFound)]
        {
            assert_eq!(guest.on_path("path_create_directory", path), Err(wanted), "{on:?} {path}");
        }
        assert_eq!(guest.on_path("path_create_directory", "slash/"), Ok(()));
        guest.make("d/f", b"1");
        for (call, path, wanted) in [
            ("path_remove_directory", "d", Errno::NotEmpty),
            ("path_remove_directory", "d/f", Errno::NotDirectory),
            ("path_remove_directory", "none", Errno::NotFound),
            ("path_remove_directory", ".", Errno::Invalid),
            ("path_remove_directory", "d/..", Errno::Invalid),
            ("path_unlink_file", "d", Errno::IsDirectory),
            ("path_unlink_file", "d/", Errno::IsDirectory),
            ("path_unlink_file", "d/f/", Errno::NotDirectory),
            ("path_unlink_file", "d/f/x", Errno::NotDirectory),
            ("path_unlink_file", "d/none", Errno::NotFound),
            ("path_create_directory", "d/f/x", Errno::NotDirectory),
        ] {
            assert_eq!(guest.on_path(call, path), Err(wanted), "{on:?} {call} {path}");
        }
        assert_eq!(guest.names("."), ["d", "slash"]);
        assert_eq!(guest.rename("d", "slash/e"), Ok(()));
        assert_eq!((guest.names("."), guest.names("slash/e")), (vec!["slash".into()], vec!["f".into()]), "{on:?}");
        assert_eq!(guest.on_path("path_unlink_file", "slash/e/f"), Ok(()));
        assert_eq!(guest.on_path("path_remove_directory", "slash/e/"), Ok(()));
        // A directory that was removed while it is open: nothing is in it and nothing goes in.
        let fd = guest.open("slash", O_DIRECTORY, READ).expect("open");
        assert_eq!(guest.on_path("path_remove_directory", "slash"), Ok(()));
        assert_eq!(guest.open_at(fd, "f", O_CREAT, WRITE), Err(Errno::NotFound), "{on:?}");
        assert_eq!(guest.open_at(fd, ".", O_DIRECTORY, READ).map(|_| ()), Ok(()), "{on:?}");
        assert_eq!(guest.names("."), [""; 0]);
    });
}

#[test]
fn renaming_replaces_only_what_it_may() {
    each(|guest, on| {
        for dir in ["a", "a/in", "b", "c"] {
            assert_eq!(guest.on_path("path_create_directory", dir), Ok(()));
        }
        guest.make("f", b"f");
        guest.make("g", b"g");
        guest.make("c/full", b"");
        for (old, new, wanted) in [
            ("none", "x", Errno::NotFound),
            ("a", "a/in/x", Errno::Invalid),
            ("a", "a/in", Errno::Invalid),
            ("a/in", "a", Errno::NotEmpty),
            ("a", "f", Errno::NotDirectory),
            ("f", "b", Errno::IsDirectory),
            ("b", "c", Errno::NotEmpty),
            ("f", "none/x", Errno::NotFound),
            ("f", "g/x", Errno::NotDirectory),
            (".", "x", Errno::Busy),
            ("a", ".", Errno::Busy),
            ("..", "x", Errno::Permission),
            ("f", "../x", Errno::Permission),
            ("f/", "x", Errno::NotDirectory),
        ] {
            assert_eq!(guest.rename(old, new), Err(wanted), "{on:?} {old} {new}");
        }
        assert_eq!(guest.rename("f", "f"), Ok(()));
        assert_eq!(guest.rename("f", "g"), Ok(()));
        assert_eq!((guest.contents("g"), guest.contents("f")), (Ok(b"f".to_vec()), Err(Errno::NotFound)), "{on:?}");
        assert_eq!(guest.rename("c", "b"), Ok(()));
        assert_eq!(guest.rename("a/in", "b/in/"), Ok(()));
        assert_eq!(guest.names("b"), ["full", "in"], "{on:?}");
        // Two names of one file: nothing happens.
        assert_eq!(guest.link("g", "h"), Ok(()));
        assert_eq!(guest.rename("g", "h"), Ok(()));
        assert_eq!(guest.names("."), ["a", "b", "g", "h"], "{on:?}");
    });
}

#[test]
fn hard_links_are_the_same_file() {
    each(|guest, on| {
        guest.make("f", b"1");
        assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
        assert_eq!(guest.link("f", "d/g"), Ok(()));
        for (old, new, wanted) in [
            ("d", "x", Errno::Permission),
            ("f", "d", Errno::Exists),
            ("f", "d/g", Errno::Exists),
            ("none", "x", Errno::NotFound),
            ("f", "x/y", Errno::NotFound),
            ("../f", "x", Errno::Permission),
        ] {
            assert_eq!(guest.link(old, new), Err(wanted), "{on:?} {old} {new}");
        }
        let fd = guest.open("d/g", 0, WRITE).expect("open");
        assert_eq!(guest.write(fd, b"22"), Ok(2));
        assert_eq!(guest.contents("f"), Ok(b"22".to_vec()), "{on:?}");
        let (f, g) = (guest.stat("f", 0).expect("there"), guest.stat("d/g", 0).expect("there"));
        assert_eq!((f, f.2), (g, 2), "{on:?}");
        assert_eq!(guest.on_path("path_unlink_file", "f"), Ok(()));
        assert_eq!(guest.stat("d/g", 0).map(|s| s.2), Ok(1), "{on:?}");
        // A link to a symbolic link is a link to the link.
        assert_eq!(guest.symlink("nowhere", "s"), Ok(()));
        assert_eq!(guest.link("s", "t"), Ok(()));
        assert_eq!(guest.stat("t", 0).map(|s| s.1), Ok(7), "{on:?}");
    });
}

#[test]
fn symbolic_links_are_followed_and_end() {
    each(|guest, on| {
        assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
        guest.make("d/f", b"data");
        assert_eq!(guest.symlink("d/f", "l"), Ok(()));
        assert_eq!(guest.symlink("d", "dl"), Ok(()));
        assert_eq!(guest.symlink("later", "dangling"), Ok(()));
        assert_eq!(guest.symlink("round", "round"), Ok(()));
        assert_eq!(guest.symlink("x", "l"), Err(Errno::Exists));
        assert_eq!(guest.symlink("x", "d/"), Err(Errno::Exists), "{on:?}");
        assert_eq!(guest.contents("l"), Ok(b"data".to_vec()));
        assert_eq!(guest.contents("dl/f"), Ok(b"data".to_vec()));
        assert_eq!(guest.open_at(3, "l", 0, READ), Err(Errno::Loop), "{on:?}");
        assert_eq!(guest.open("l/", 0, READ), Err(Errno::NotDirectory), "{on:?}");
        assert_eq!(guest.stat("dl/", 0).map(|s| s.1), Ok(3), "{on:?}");
        assert_eq!(guest.stat("l", 0).map(|s| (s.1, s.3)), Ok((7, 3)), "{on:?}");
        assert_eq!(guest.stat("l", 1).map(|s| (s.1, s.3)), Ok((4, 4)));
        assert_eq!(guest.open("round", 0, READ), Err(Errno::Loop));
        assert_eq!(guest.open("round/x", 0, READ), Err(Errno::Loop));
        assert_eq!(guest.open("dangling", 0, READ), Err(Errno::NotFound));
        assert_eq!(guest.open_with(3, 1, "dangling", O_CREAT | O_EXCL, WRITE, 0), Err(Errno::Exists), "{on:?}");
        guest.make("dangling", b"made");
        assert_eq!(guest.contents("later"), Ok(b"made".to_vec()), "{on:?}");
        let len = guest.path("l");
        assert_eq!(guest.call("path_readlink", args![3_u32, PATH, len, DATA, 2_u32, OUT]), Ok(()));
        assert_eq!((guest.u32_at(OUT), guest.get(DATA, 2)), (2, &b"d/"[..]));
        let len = guest.path("d");
        assert_eq!(guest.call("path_readlink", args![3_u32, PATH, len, DATA, 9_u32, OUT]), Err(Errno::Invalid));
        for i in 0..60 {
            assert_eq!(guest.symlink(&format!("l{}", i + 1), &format!("l{i}")), Ok(()));
        }
        assert_eq!(guest.symlink("d/f", "l60"), Ok(()));
        assert_eq!(guest.open("l0", 0, READ), Err(Errno::Loop));
        assert!(guest.open("l40", 0, READ).is_ok(), "{on:?}");
    });
}

#[test]
fn nothing_leads_out() {
    each(|guest, on| {
        assert_eq!(guest.on_path("path_create_directory", "sub"), Ok(()));
        assert_eq!(guest.on_path("path_create_directory", "sub/deep"), Ok(()));
        guest.make("file", b"mine");
        for path in ["../x", "..", "sub/../../x", "./../x", "/", "/etc/passwd", "//x", "sub/deep/../../../file"] {
            for (oflags, rights) in [(0, READ), (O_CREAT, WRITE), (O_TRUNC, WRITE), (O_DIRECTORY, READ)] {
                assert_eq!(guest.open(path, oflags, rights), Err(Errno::Permission), "{on:?} {path}");
            }
            for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
                assert_eq!(guest.on_path(name, path), Err(Errno::Permission), "{on:?} {name} {path}");
            }
            assert_eq!(guest.stat(path, 1), Err(Errno::Permission), "{on:?} {path}");
            assert_eq!(guest.link("file", path), Err(Errno::Permission), "{on:?} {path}");
            assert_eq!(guest.symlink("file", path), Err(Errno::Permission), "{on:?} {path}");
        }
        let deep = guest.open("sub/deep", O_DIRECTORY, READ).expect("open");
        assert_eq!(guest.rename("sub/deep", "moved"), Ok(()));
        for path in ["..", "../..", "../file"] {
            assert_eq!(guest.open_at(deep, path, 0, READ), Err(Errno::Permission), "{on:?} {path}");
        }
        let long = "n".repeat(256);
        assert_eq!(guest.open(&long, O_CREAT, WRITE), Err(Errno::NameTooLong), "{on:?}");
        let winding = format!("{}file", "sub/../".repeat(500));
        assert!(guest.open(&winding, 0, READ).is_ok(), "{on:?}");
    });
}

#[test]
fn directories_open_as_directories() {
    each(|guest, on| {
        assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
        guest.make("f", b"");
        for path in ["d", "d/", "d/.", ".", "./d", "d/../d", "d//", "d/./"] {
            assert!(guest.open(path, O_DIRECTORY, READ).is_ok(), "{on:?} {path}");
        }
        for (path, oflags) in [("f", O_DIRECTORY), ("f/", 0), ("f/x", 0), ("f/", O_CREAT), ("f/.", 0)] {
            assert_eq!(guest.open(path, oflags, READ), Err(Errno::NotDirectory), "{on:?} {path}");
        }
        assert_eq!(guest.open("d", 0, WRITE), Err(Errno::IsDirectory));
        assert_eq!(guest.open("new/", O_CREAT, WRITE), Err(Errno::IsDirectory), "{on:?}");
        assert_eq!(guest.open("none/..", 0, READ), Err(Errno::NotFound), "{on:?}");
        assert_eq!(guest.open("f/..", 0, READ), Err(Errno::NotDirectory), "{on:?}");
    });
}

#[test]
fn times_are_set_as_asked() {
    each(|guest, on| {
        guest.make("f", b"");
        assert_eq!(guest.symlink("f", "l"), Ok(()));
        let mut set = |follow: u32, path: &str, flags: u32| {
            let len = guest.path(path);
            let times = args![3_u32, follow, PATH, len, 1_500_000_000_u64, 2_000_000_007_u64, flags];
            guest.call("path_filestat_set_times", times)?;
            guest.call("path_filestat_get", args![3_u32, follow, PATH, len, OUT])?;
            Ok((guest.u64_at(OUT + 40), guest.u64_at(OUT + 48)))
        };
        assert_eq!(set(0, "f", 1 | 4), Ok((1_500_000_000, 2_000_000_007)), "{on:?}");
        assert_eq!(set(0, "f", 8), Ok((1_500_000_000, 7_000_000_000)), "{on:?}");
        assert_eq!(set(0, "l", 1 | 4), Ok((1_500_000_000, 2_000_000_007)), "{on:?}");
        assert_eq!(set(1, "l", 0), Ok((1_500_000_000, 7_000_000_000)), "{on:?}");
        assert_eq!(set(0, "f", 1 | 2), Err(Errno::Invalid));
        assert_eq!(set(0, "none", 1), Err(Errno::NotFound));
    });
}
