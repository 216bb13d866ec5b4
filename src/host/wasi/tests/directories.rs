//! Directories, names, links, the descriptor table.

use std::fs;

use super::super::WasiLimits;
use super::super::abi::{O_CREAT, O_DIRECTORY, O_EXCL};
use super::*;

/// One entry of a listing: cookie of the next, inode, type, name.
type Entry = (u64, u64, u8, String);

/// Entries that are wholly in `bytes`.
fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while rest.len() >= 24 {
        let word = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().expect("eight bytes"));
        let len = (word(16) & 0xffff_ffff) as usize;
        let Some(name) = rest.get(24..24 + len) else { break };
        all.push((word(0), word(8), rest[20], String::from_utf8(name.to_vec()).expect("UTF-8")));
        rest = &rest[24 + len..];
    }
    all
}

fn read_dir(guest: &mut Guest, fd: u32, len: u32, cookie: u64) -> Result<Vec<u8>, Errno> {
    guest.call("fd_readdir", args![fd, DATA, len, cookie, OUT])?;
    Ok(guest.get(DATA, guest.u32_at(OUT) as usize).to_vec())
}

#[test]
fn listings_are_whole_sorted_and_typed() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("b"), "").expect("written");
    fs::create_dir(dir.path().join("a")).expect("made");
    std::os::unix::fs::symlink("b", dir.path().join("ü")).expect("linked");
    let mut guest = Guest::reading(dir.path());
    let all = entries(&read_dir(&mut guest, 3, 4096, 0).expect("listed"));
    let inode = |name: &str| fs::symlink_metadata(dir.path().join(name)).expect("there").ino();
    let wanted = [
        (1, inode("."), 3, ".".to_owned()),
        (2, inode("."), 3, "..".to_owned()),
        (3, inode("a"), 3, "a".to_owned()),
        (4, inode("b"), 4, "b".to_owned()),
        (5, inode("ü"), 7, "ü".to_owned()),
    ];
    assert_eq!(all, wanted);
    assert_eq!(read_dir(&mut guest, 3, 4096, 5), Ok(vec![]));
    assert_eq!(read_dir(&mut guest, 3, 4096, u64::MAX), Ok(vec![]));
    assert_eq!(read_dir(&mut guest, 1, 4096, 0), Err(Errno::NotDirectory));
    assert_eq!(read_dir(&mut guest, 9, 4096, 0), Err(Errno::BadFd));
}

#[test]
fn a_short_buffer_gets_a_cut_entry_and_cookies_go_on_from_there() {
    let dir = tempfile::tempdir().expect("a directory");
    for i in 0..50 {
        fs::write(dir.path().join(format!("file-{i:02}")), "").expect("written");
    }
    for len in [24_u32, 31, 32, 33, 100, 1000] {
        let mut guest = Guest::in_dir(dir.path());
        let (mut names, mut cookie, mut len) = (Vec::new(), 0, len);
        loop {
            let bytes = read_dir(&mut guest, 3, len, cookie).expect("listed");
            assert!(bytes.len() as u32 <= len);
            let whole = entries(&bytes);
            if let Some((next, ..)) = whole.last() {
                cookie = *next;
            } else if (bytes.len() as u32) < len {
                break;
            } else {
                // As libc does: not even one entry fits, so the buffer grows.
                len += 8;
            }
            names.extend(whole.into_iter().map(|(.., name)| name));
        }
        assert_eq!(names.len(), 52, "{len}");
        assert_eq!(names[51], "file-49");
    }
}

#[test]
fn cookies_survive_changes_and_cookie_0_looks_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(name), "").expect("written");
    }
    let mut guest = Guest::in_dir(dir.path());
    assert_eq!(entries(&read_dir(&mut guest, 3, 4096, 0).expect("listed")).len(), 5);
    for name in ["a", "b", "c"] {
        assert_eq!(guest.on_path("path_unlink_file", name), Ok(()));
    }
    fs::write(dir.path().join("0"), "").expect("written");
    let rest = entries(&read_dir(&mut guest, 3, 4096, 3).expect("listed"));
    assert_eq!(rest.iter().map(|e| &*e.3).collect::<Vec<_>>(), ["b", "c"]);
    let again = entries(&read_dir(&mut guest, 3, 4096, 0).expect("listed"));
    assert_eq!(again.iter().map(|e| &*e.3).collect::<Vec<_>>(), [".", "..", "0"]);
}

#[test]
fn listings_are_bounded_over_all_directories() {
    let dir = tempfile::tempdir().expect("a directory");
    for i in 0..20 {
        fs::write(dir.path().join(format!("{i:0100}")), "").expect("written");
    }
    // 22 entries take less than 5,000 bytes; two listings take more than 8,000.
    let limits = WasiLimits { listing_bytes: 8_000, ..WasiLimits::default() };
    let preopens = vec![Preopen::read_only(dir.path(), "/")];
    let mut guest = Guest::new(WasiConfig { preopens, limits, ..WasiConfig::default() });
    let second = guest.open(".", O_DIRECTORY, READ).expect("open");
    assert!(read_dir(&mut guest, 3, 100, 0).is_ok());
    assert_eq!(read_dir(&mut guest, second, 100, 0), Err(Errno::NoMemory));
    // Reading again does not count twice, and closing gives back.
    assert!(read_dir(&mut guest, 3, 100, 0).is_ok());
    assert_eq!(guest.call("fd_renumber", args![second, 3_u32]), Ok(()));
    assert!(read_dir(&mut guest, 3, 100, 0).is_ok());
    let third = guest.open(".", O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.call("fd_close", args![3_u32]), Ok(()));
    assert!(read_dir(&mut guest, third, 100, 0).is_ok());
}

#[test]
fn names_that_are_no_utf8_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "").expect("written");
    let mut guest = Guest::in_dir(dir.path());
    assert_eq!(entries(&read_dir(&mut guest, 3, 4096, 0).expect("listed")).len(), 2);
}

#[test]
fn directories_are_made_renamed_and_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    assert_eq!(guest.on_path("path_create_directory", "d"), Ok(()));
    assert_eq!(guest.on_path("path_create_directory", "d"), Err(Errno::Exists));
    assert_eq!(guest.on_path("path_create_directory", "slash/"), Ok(()));
    assert_eq!(guest.on_path("path_create_directory", "x/y"), Err(Errno::NotFound));
    assert!(guest.open("d/f", O_CREAT, WRITE).is_ok());
    assert_eq!(guest.on_path("path_remove_directory", "d"), Err(Errno::NotEmpty));
    assert_eq!(guest.on_path("path_remove_directory", "d/f"), Err(Errno::NotDirectory));
    assert_eq!(guest.on_path("path_unlink_file", "d"), Err(Errno::IsDirectory));
    assert_eq!(guest.on_path("path_unlink_file", "d/"), Err(Errno::IsDirectory));
    assert_eq!(guest.on_path("path_unlink_file", "d/f/"), Err(Errno::NotDirectory));
    assert_eq!(guest.on_path("path_unlink_file", "d/none"), Err(Errno::NotFound));
    let (old, new) = (guest.path("d"), guest.path2("slash/e"));
    assert_eq!(guest.call("path_rename", args![3_u32, PATH, old, 3_u32, PATH2, new]), Ok(()));
    assert!(dir.path().join("slash/e/f").exists());
    assert_eq!(guest.on_path("path_unlink_file", "slash/e/f"), Ok(()));
    assert_eq!(guest.on_path("path_remove_directory", "slash/e/"), Ok(()));
    assert_eq!(guest.on_path("path_remove_directory", "slash"), Ok(()));
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
}

#[test]
fn directories_open_as_directories() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("d")).expect("made");
    fs::write(dir.path().join("f"), "").expect("written");
    let mut guest = Guest::in_dir(dir.path());
    for path in ["d", "d/", "d/.", ".", "./d", "d/../d"] {
        assert!(guest.open(path, O_DIRECTORY, READ).is_ok(), "{path}");
        assert!(guest.open(path, 0, READ).is_ok(), "{path}");
    }
    for (path, oflags) in [("f", O_DIRECTORY), ("f/", 0), ("f/x", 0), ("f/", O_CREAT)] {
        assert_eq!(guest.open(path, oflags, READ), Err(Errno::NotDirectory), "{path}");
    }
    assert_eq!(guest.open("d", 0, WRITE), Err(Errno::IsDirectory));
    assert_eq!(guest.open("d", O_CREAT, READ), Err(Errno::IsDirectory));
    assert_eq!(guest.open("new/", O_CREAT, WRITE), Err(Errno::IsDirectory));
    assert_eq!(guest.open("none", 0, READ), Err(Errno::NotFound));
    let fd = guest.open("d", 0, READ).expect("open");
    assert_eq!(guest.read(fd, 1), Err(Errno::IsDirectory));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::IsDirectory));
    assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 0_u32, OUT]), Err(Errno::BadFd));
    assert!(guest.open_at(fd, "x", O_CREAT | O_EXCL, WRITE).is_ok());
    assert!(dir.path().join("d/x").exists());
    assert_eq!(guest.open_at(0, "x", 0, READ), Err(Errno::NotDirectory));
    assert_eq!(guest.open_at(77, "x", 0, READ), Err(Errno::BadFd));
}

#[test]
fn links_inside_are_made_read_and_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("f"), "data").expect("written");
    let mut guest = Guest::in_dir(dir.path());
    let (target, link) = (guest.path("f"), guest.path2("l"));
    assert_eq!(guest.call("path_symlink", args![PATH, target, 3_u32, PATH2, link]), Ok(()));
    assert_eq!(guest.call("path_symlink", args![PATH, target, 3_u32, PATH2, link]), Err(Errno::Exists));
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH2, link, DATA, 100_u32, OUT]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.get(DATA, 1)), (1, &b"f"[..]));
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH2, link, DATA, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 0);
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH, target, DATA, 9_u32, OUT]), Err(Errno::Invalid));
    let fd = guest.open("l", 0, READ).expect("followed");
    assert_eq!(guest.read(fd, 9), Ok(b"data".to_vec()));
    assert_eq!(guest.open_at(3, "l", 0, READ), Err(Errno::Loop));
    // A dangling link: created through when followed.
    std::os::unix::fs::symlink("later", dir.path().join("dangling")).expect("linked");
    assert_eq!(guest.open("dangling", 0, READ), Err(Errno::NotFound));
    assert!(guest.open("dangling", O_CREAT, WRITE).is_ok());
    assert!(dir.path().join("later").exists());
    // Around in a circle.
    std::os::unix::fs::symlink("round", dir.path().join("round")).expect("linked");
    assert_eq!(guest.open("round", 0, READ), Err(Errno::Loop));
    assert_eq!(guest.on_path("path_unlink_file", "l"), Ok(()));
    assert!(dir.path().join("f").exists());

    let (old, new) = (guest.path("f"), guest.path2("hard"));
    assert_eq!(guest.call("path_link", args![3_u32, 1_u32, PATH, old, 3_u32, PATH2, new]), Err(Errno::Invalid));
    assert_eq!(guest.call("path_link", args![3_u32, 0_u32, PATH, old, 3_u32, PATH2, new]), Ok(()));
    assert_eq!(fs::read(dir.path().join("hard")).expect("there"), b"data");
}

#[test]
fn numbers_are_the_lowest_free_and_can_be_moved() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let a = guest.open("a", O_CREAT, WRITE).expect("open");
    let b = guest.open("b", O_CREAT, WRITE).expect("open");
    assert_eq!((a, b), (4, 5));
    assert_eq!(guest.call("fd_close", args![0_u32]), Ok(()));
    assert_eq!(guest.call("fd_close", args![4_u32]), Ok(()));
    assert_eq!(guest.open("c", O_CREAT, WRITE), Ok(0));
    assert_eq!(guest.open("d", O_CREAT, WRITE), Ok(4));
    assert_eq!(guest.open("e", O_CREAT, WRITE), Ok(6));

    // Standard output becomes a file, and the old standard output goes on elsewhere.
    assert_eq!(guest.call("fd_renumber", args![1_u32, 6_u32]), Ok(()));
    assert_eq!(guest.call("fd_renumber", args![b, 6_u32]), Ok(()));
    assert_eq!(guest.write(1, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.write(6, b"in b"), Ok(4));
    assert_eq!(fs::read(dir.path().join("b")).expect("there"), b"in b");
    assert_eq!(guest.call("fd_renumber", args![6_u32, 6_u32]), Ok(()));
    assert_eq!(guest.call("fd_renumber", args![6_u32, 5_u32]), Err(Errno::BadFd));
    assert_eq!(guest.call("fd_renumber", args![5_u32, 6_u32]), Err(Errno::BadFd));
    assert_eq!(guest.write(6, b"!"), Ok(1));
}

#[test]
fn the_table_is_bounded_and_nothing_is_touched_when_it_is_full() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = WasiLimits { open_files: 6, ..WasiLimits::default() };
    let preopens = vec![Preopen::read_write(dir.path(), "/")];
    let mut guest = Guest::new(WasiConfig { preopens, limits, ..WasiConfig::default() });
    assert_eq!(guest.open("a", O_CREAT, WRITE), Ok(4));
    assert_eq!(guest.open("b", O_CREAT, WRITE), Ok(5));
    assert_eq!(guest.open("c", O_CREAT, WRITE), Err(Errno::TooManyOpen));
    assert!(!dir.path().join("c").exists());
    assert_eq!(guest.call("fd_close", args![2_u32]), Ok(()));
    assert_eq!(guest.open("c", O_CREAT, WRITE), Ok(2));
    assert_eq!(guest.open("d", O_CREAT, WRITE), Err(Errno::TooManyOpen));
}

#[test]
fn preopens_are_told_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let preopens = vec![Preopen::read_only(dir.path(), "/data"), Preopen::read_only(dir.path(), ".")];
    let mut guest = Guest::new(WasiConfig { preopens, ..WasiConfig::default() });
    assert_eq!(guest.call("fd_prestat_get", args![3_u32, OUT]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (0, 5));
    assert_eq!(guest.call("fd_prestat_dir_name", args![3_u32, DATA, 4_u32]), Err(Errno::NameTooLong));
    assert_eq!(guest.call("fd_prestat_dir_name", args![3_u32, DATA, 9_u32]), Ok(()));
    assert_eq!(guest.get(DATA, 6), b"/data\0");
    assert_eq!(guest.call("fd_prestat_get", args![4_u32, OUT]), Ok(()));
    for fd in [0_u32, 5, u32::MAX] {
        assert_eq!(guest.call("fd_prestat_get", args![fd, OUT]), Err(Errno::BadFd));
        assert_eq!(guest.call("fd_prestat_dir_name", args![fd, DATA, 9_u32]), Err(Errno::BadFd));
    }
    let sub = guest.open(".", O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.call("fd_prestat_get", args![sub, OUT]), Err(Errno::BadFd));
}
