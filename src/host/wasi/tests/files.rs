//! Reading and writing files, positions, metadata.

use std::fs;

use super::super::abi::{O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, rights};
use super::super::{Access, Clocks};
use super::*;

#[test]
fn a_file_is_created_written_read_and_seeked() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let fd = guest.open("f", O_CREAT | O_EXCL, READ | WRITE).expect("created");
    assert_eq!(fd, 4);
    assert_eq!(guest.write(fd, b"hello world"), Ok(11));
    assert_eq!(fs::read(dir.path().join("f")).expect("there"), b"hello world");

    let mut seek =
        |offset: i64, whence: u32| guest.call("fd_seek", args![fd, offset, whence, OUT]).map(|()| guest.u64_at(OUT));
    assert_eq!(seek(6, 0), Ok(6));
    assert_eq!(seek(-1, 1), Ok(5));
    assert_eq!(seek(-5, 2), Ok(6));
    assert_eq!(seek(-12, 2), Err(Errno::Invalid));
    assert_eq!(seek(-1, 0), Err(Errno::Invalid));
    assert_eq!(seek(0, 3), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_tell", args![fd, OUT]), Ok(()));
    assert_eq!(guest.u64_at(OUT), 6);
    assert_eq!(guest.read(fd, 100), Ok(b"world".to_vec()));
    assert_eq!(guest.read(fd, 100), Ok(vec![]));

    assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
    assert_eq!(guest.read(fd, 1), Err(Errno::BadFd));
    assert_eq!(guest.call("fd_close", args![fd]), Err(Errno::BadFd));
    assert_eq!(guest.open("f", O_CREAT | O_EXCL, READ), Err(Errno::Exists));
}

#[test]
fn lists_are_scattered_and_gathered_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("created");
    guest.put(DATA, b"abcdefghij");
    // Later memory first, one range twice, empty ones between.
    let (iovs, count) = guest.iovs(&[(DATA + 5, 5), (0, 0), (DATA, 5), (DATA, 1), (0, 0)]);
    assert_eq!(guest.call("fd_write", args![fd, iovs, count, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 11);
    assert_eq!(fs::read(dir.path().join("f")).expect("there"), b"fghijabcdea");

    let (iovs, count) = guest.iovs(&[(DATA + 100, 3), (0, 0), (DATA + 90, 4), (DATA + 200, 100)]);
    assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 1_u64, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 10);
    assert_eq!(guest.get(DATA + 100, 3), b"ghi");
    assert_eq!(guest.get(DATA + 90, 4), b"jabc");
    assert_eq!(guest.get(DATA + 200, 4), b"dea\0");

    // Ranges that overlap: the later one is what stays.
    let (iovs, count) = guest.iovs(&[(DATA, 4), (DATA + 2, 4)]);
    assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 0_u64, OUT]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.get(DATA, 6)), (8, &b"fgjabc"[..]));
    // More ranges than go into one system call.
    let list = (0..100).map(|i| (DATA + i, 1)).collect::<Vec<_>>();
    let (iovs, count) = guest.iovs(&list);
    assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 0_u64, OUT]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.get(DATA, 11)), (11, &b"fghijabcdea"[..]));
}

#[test]
fn transfers_longer_than_a_chunk_are_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = (0..700_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    fs::write(dir.path().join("in"), &bytes).expect("written");
    let mut guest = Guest::in_dir(dir.path());
    guest.memory.resize(1 << 20, 0);
    let (from, to) = (guest.open("in", 0, READ).expect("open"), guest.open("out", O_CREAT, WRITE).expect("open"));
    assert_eq!(guest.read(from, 800_000).expect("read"), bytes);
    let (iovs, count) = guest.iovs(&[(DATA, 400_000), (DATA + 400_000, 300_000)]);
    assert_eq!(guest.call("fd_write", args![to, iovs, count, OUT]), Ok(()));
    assert_eq!(guest.u32_at(OUT), 700_000);
    assert_eq!(fs::read(dir.path().join("out")).expect("there"), bytes);
}

#[test]
fn positions_given_do_not_move_the_files_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("created");
    guest.put(DATA, b"xyz");
    let (iovs, count) = guest.iovs(&[(DATA, 3)]);
    assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 2_u64, OUT]), Ok(()));
    assert_eq!(guest.read(fd, 10), Ok(b"\0\0xyz".to_vec()));
    assert_eq!(guest.call("fd_pread", args![fd, iovs, count, u64::MAX, OUT]), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_pread", args![0_u32, iovs, count, 0_u64, OUT]), Err(Errno::NotSeekable));
    assert_eq!(guest.call("fd_pwrite", args![1_u32, iovs, count, 0_u64, OUT]), Err(Errno::NotSeekable));
}

#[test]
fn rights_asked_for_decide_what_a_descriptor_does() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("f"), "old").expect("written");
    let mut guest = Guest::in_dir(dir.path());
    let reader = guest.open("f", 0, READ).expect("open");
    assert_eq!(guest.write(reader, b"x"), Err(Errno::BadFd));
    assert_eq!(guest.call("fd_filestat_set_size", args![reader, 0_u64]), Err(Errno::BadFd));
    let writer = guest.open("f", 0, WRITE).expect("open");
    assert_eq!(guest.read(writer, 1), Err(Errno::BadFd));
    assert_eq!(guest.write(writer, b"new"), Ok(3));
    assert_eq!(guest.read(reader, 9), Ok(b"new".to_vec()));

    let mut rights_of = |fd: u32| {
        assert_eq!(guest.call("fd_fdstat_get", args![fd, OUT]), Ok(()));
        (guest.memory[OUT as usize], guest.u64_at(OUT + 8), guest.u64_at(OUT + 16))
    };
    assert_eq!(rights_of(reader), (4, rights::file(true, false), 0));
    assert_eq!(rights_of(writer), (4, rights::file(false, true), 0));
    let (ty, base, inheriting) = rights_of(3);
    assert_eq!(ty, 3);
    assert_eq!(base & (READ | WRITE), 0);
    assert_eq!(inheriting & (READ | WRITE), READ | WRITE);
    // What libc takes for a terminal is a character device without seeking.
    let (ty, base, _) = rights_of(1);
    assert_eq!((ty, base & (rights::FD_SEEK | rights::FD_TELL)), (0, 0));
}

#[test]
fn truncating_appending_and_resizing() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("f");
    fs::write(&file, "0123456789").expect("written");
    let mut guest = Guest::in_dir(dir.path());
    let appender = guest.open_with(3, 1, "f", 0, WRITE, 1).expect("open");
    assert_eq!(guest.write(appender, b"ab"), Ok(2));
    assert_eq!(fs::read(&file).expect("there"), b"0123456789ab");
    // Appending can be switched off and on.
    assert_eq!(guest.call("fd_fdstat_set_flags", args![appender, 0_u32]), Ok(()));
    assert_eq!(guest.call("fd_seek", args![appender, 0_i64, 0_u32, OUT]), Ok(()));
    assert_eq!(guest.write(appender, b"X"), Ok(1));
    assert_eq!(guest.call("fd_fdstat_set_flags", args![appender, 1_u32]), Ok(()));
    assert_eq!(guest.write(appender, b"Y"), Ok(1));
    assert_eq!(fs::read(&file).expect("there"), b"X123456789abY");
    assert_eq!(guest.call("fd_fdstat_get", args![appender, OUT]), Ok(()));
    assert_eq!(guest.get(OUT + 2, 2), [1, 0]);
    assert_eq!(guest.call("fd_fdstat_set_flags", args![appender, 32_u32]), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_fdstat_set_flags", args![appender, 16_u32]), Err(Errno::NotSupported));

    assert_eq!(guest.call("fd_filestat_set_size", args![appender, 3_u64]), Ok(()));
    assert_eq!(fs::read(&file).expect("there"), b"X12");
    assert_eq!(guest.call("fd_filestat_set_size", args![appender, u64::MAX]), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_allocate", args![appender, 0_u64, 1_u64 << 40]), Err(Errno::NoSpace));
    let cut = guest.open("f", O_TRUNC, READ).expect("open");
    assert_eq!(guest.read(cut, 1), Ok(vec![]));
    assert_eq!(fs::read(&file).expect("there"), b"");
    for (oflags, fdflags) in [(16, 0), (u32::MAX, 0), (O_CREAT | O_DIRECTORY, 0), (0, 32), (0, 0x10000)] {
        assert_eq!(guest.open_with(3, 1, "f", oflags, READ, fdflags), Err(Errno::Invalid));
    }
    assert_eq!(guest.open_with(3, 2, "f", 0, READ, 0), Err(Errno::Invalid));
    for flags in [2, 4, 8, 16] {
        assert!(guest.open_with(3, 1, "f", 0, READ | WRITE, flags).is_ok());
    }
}

#[test]
fn syncing_and_advising_do_no_harm() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut guest = Guest::in_dir(dir.path());
    let fd = guest.open("f", O_CREAT, READ | WRITE).expect("created");
    for open in [0, 1, 2, 3, fd] {
        assert_eq!(guest.call("fd_sync", args![open]), Ok(()));
        assert_eq!(guest.call("fd_datasync", args![open]), Ok(()));
    }
    for advice in 0..6_u32 {
        assert_eq!(guest.call("fd_advise", args![fd, 0_u64, 10_u64, advice]), Ok(()));
    }
    assert_eq!(guest.call("fd_advise", args![fd, 0_u64, 10_u64, 6_u32]), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_advise", args![fd, u64::MAX, 10_u64, 0_u32]), Err(Errno::Invalid));
    assert_eq!(guest.call("fd_advise", args![1_u32, 0_u64, 0_u64, 0_u32]), Err(Errno::NotSeekable));
    assert_eq!(guest.call("fd_sync", args![99_u32]), Err(Errno::BadFd));
}

#[test]
fn metadata_is_laid_out_as_preview_1_says() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("f"), "12345").expect("written");
    std::os::unix::fs::symlink("f", dir.path().join("l")).expect("linked");
    let mut guest = Guest::in_dir(dir.path());
    let host = fs::metadata(dir.path().join("f")).expect("there");
    let check = |guest: &Guest, ty: u8, size: u64, inode: u64| {
        assert_eq!((guest.u64_at(OUT), guest.u64_at(OUT + 8)), (host.dev(), inode));
        assert_eq!((guest.get(OUT + 16, 8), guest.u64_at(OUT + 32)), (&[ty, 0, 0, 0, 0, 0, 0, 0][..], size));
    };
    let len = guest.path("l");
    assert_eq!(guest.call("path_filestat_get", args![3_u32, 1_u32, PATH, len, OUT]), Ok(()));
    check(&guest, 4, 5, host.ino());
    assert_eq!(guest.u64_at(OUT + 24), 1);
    assert_eq!(guest.u64_at(OUT + 48), host.mtime() as u64 * 1_000_000_000 + host.mtime_nsec() as u64);
    assert_eq!(guest.u64_at(OUT + 40), host.atime() as u64 * 1_000_000_000 + host.atime_nsec() as u64);
    assert_eq!(guest.u64_at(OUT + 56), host.ctime() as u64 * 1_000_000_000 + host.ctime_nsec() as u64);
    assert_eq!(guest.call("path_filestat_get", args![3_u32, 0_u32, PATH, len, OUT]), Ok(()));
    check(&guest, 7, 1, fs::symlink_metadata(dir.path().join("l")).expect("there").ino());
    let fd = guest.open("f", 0, READ).expect("open");
    assert_eq!(guest.call("fd_filestat_get", args![fd, OUT]), Ok(()));
    check(&guest, 4, 5, host.ino());
    assert_eq!(guest.call("fd_filestat_get", args![3_u32, OUT]), Ok(()));
    assert_eq!(guest.memory[OUT as usize + 16], 3);
    assert_eq!(guest.call("fd_filestat_get", args![1_u32, OUT]), Ok(()));
    assert_eq!(guest.call("path_filestat_get", args![3_u32, 2_u32, PATH, len, OUT]), Err(Errno::Invalid));
    assert_eq!(guest.call("path_filestat_get", args![1_u32, 0_u32, PATH, len, OUT]), Err(Errno::NotDirectory));
}

#[test]
fn times_are_set_as_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("f"), "").expect("written");
    std::os::unix::fs::symlink("f", dir.path().join("l")).expect("linked");
    let start_ns = 5_000_000_000;
    let mut guest = Guest::new(WasiConfig {
        preopens: vec![Preopen::read_write(dir.path(), ".")],
        clocks: Clocks::Virtual { start_ns },
        ..WasiConfig::default()
    });
    let times = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        let m = fs::symlink_metadata(dir.path().join(name)).expect("there");
        ((m.atime(), m.atime_nsec()), (m.mtime(), m.mtime_nsec()))
    };
    let mut set = |follow: u32, name: &str, atim: u64, mtim: u64, flags: u32| {
        let len = guest.path(name);
        guest.call("path_filestat_set_times", args![3_u32, follow, PATH, len, atim, mtim, flags])
    };
    assert_eq!(set(0, "f", 1_500_000_000, 2_000_000_007, 1 | 4), Ok(()));
    assert_eq!(times("f"), ((1, 500_000_000), (2, 7)));
    // Only one of them; "now" is the guest's own now.
    assert_eq!(set(0, "f", 9, 9, 8), Ok(()));
    assert_eq!(times("f"), ((1, 500_000_000), (5, 0)));
    assert_eq!(set(0, "f", 9, 9, 0), Ok(()));
    assert_eq!(times("f"), ((1, 500_000_000), (5, 0)));
    // A link itself, and through it.
    assert_eq!(set(0, "l", 3_000_000_000, 3_000_000_000, 5), Ok(()));
    assert_eq!((times("l").1, times("f").1), ((3, 0), (5, 0)));
    assert_eq!(set(1, "l", 4_000_000_000, 4_000_000_000, 5), Ok(()));
    assert_eq!((times("l").1, times("f").1), ((3, 0), (4, 0)));
    for flags in [1 | 2, 4 | 8, 16, u32::MAX] {
        assert_eq!(set(0, "f", 0, 0, flags), Err(Errno::Invalid));
    }
    let fd = guest.open("f", 0, READ).expect("open");
    assert_eq!(guest.call("fd_filestat_set_times", args![fd, 7_u64, 8_000_000_000_u64, 5_u32]), Ok(()));
    assert_eq!(times("f"), ((0, 7), (8, 0)));
    assert_eq!(guest.call("fd_filestat_set_times", args![3_u32, 0_u64, 1_000_000_000_u64, 4_u32]), Ok(()));
    assert_eq!(times(".").1, (1, 0));
    assert_eq!(guest.call("fd_filestat_set_times", args![1_u32, 0_u64, 0_u64, 4_u32]), Err(Errno::Invalid));
}

#[test]
fn read_only_directories_refuse_every_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("d")).expect("made");
    fs::write(dir.path().join("f"), "old").expect("written");
    let preopens = vec![Preopen::read_only(dir.path(), "/ro"), Preopen::read_write(other.path(), "/rw")];
    let mut guest = Guest::new(WasiConfig { preopens, ..WasiConfig::default() });
    let fd = guest.open("f", 0, READ).expect("reading is allowed");
    assert_eq!(guest.read(fd, 9), Ok(b"old".to_vec()));
    // An existing file may be "created" and read, as on any read-only file system.
    assert!(guest.open("f", O_CREAT, READ).is_ok());

    let refused = Err(Errno::ReadOnly);
    assert_eq!(guest.open("f", 0, WRITE).map(|_| ()), refused);
    assert_eq!(guest.open("f", 0, READ | WRITE).map(|_| ()), refused);
    assert_eq!(guest.open("f", O_TRUNC, READ).map(|_| ()), refused);
    assert_eq!(guest.open("new", O_CREAT, READ).map(|_| ()), refused);
    assert_eq!(guest.on_path("path_create_directory", "new"), refused);
    assert_eq!(guest.on_path("path_remove_directory", "d"), refused);
    assert_eq!(guest.on_path("path_unlink_file", "f"), refused);
    let (f, new) = (guest.path("f"), guest.path2("new"));
    for (from, to) in [(3_u32, 3_u32), (3, 4), (4, 3)] {
        assert_eq!(guest.call("path_rename", args![from, PATH, f, to, PATH2, new]), refused);
        assert_eq!(guest.call("path_link", args![from, 0_u32, PATH, f, to, PATH2, new]), refused);
    }
    assert_eq!(guest.call("path_symlink", args![PATH, f, 3_u32, PATH2, new]), refused);
    assert_eq!(guest.call("path_filestat_set_times", args![3_u32, 0_u32, PATH, f, 0_u64, 0_u64, 10_u32]), refused);
    assert_eq!(guest.call("fd_filestat_set_times", args![fd, 0_u64, 0_u64, 10_u32]), refused);
    assert_eq!(guest.call("fd_filestat_set_times", args![3_u32, 0_u64, 0_u64, 10_u32]), refused);
    assert_eq!(guest.call("fd_filestat_set_size", args![fd, 0_u64]), refused);
    assert_eq!(guest.write(fd, b"x"), Err(Errno::BadFd));
    // A directory opened through it is as read-only.
    let sub = guest.open("d", O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.open_at(sub, "x", O_CREAT, WRITE).map(|_| ()), refused);

    assert_eq!(fs::read(dir.path().join("f")).expect("there"), b"old");
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 2);
    assert_eq!(fs::read_dir(other.path()).expect("there").count(), 0);
    assert_eq!(Preopen::read_only(".", ".").access, Access::ReadOnly);
}
