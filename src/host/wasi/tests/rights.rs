//! Rights: what a descriptor says it can do, giving that away, and what is then refused.

use super::*;
use crate::host::wasi::abi::rights;

impl Guest {
    /// The rights of `fd`: its own, and those of what is opened through it.
    fn rights(&mut self, fd: u32) -> (u64, u64) {
        self.call("fd_fdstat_get", args![fd, OUT]).expect("open");
        (self.u64_at(OUT + 8), self.u64_at(OUT + 16))
    }

    /// Gives rights of `fd` away.
    fn drop_rights(&mut self, fd: u32, base: u64, inheriting: u64) -> Answer {
        let (had_base, had_inheriting) = self.rights(fd);
        self.call("fd_fdstat_set_rights", args![fd, had_base & !base, had_inheriting & !inheriting])
    }
}

#[test]
fn a_file_without_the_right_to_read_or_write_is_no_file_for_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    let file = guest.open("file", 1, READ | WRITE).unwrap();
    assert_eq!(guest.write(file, b"1234"), Ok(4));
    let (base, _) = guest.rights(file);
    assert_eq!(base & (READ | WRITE), READ | WRITE);

    guest.drop_rights(file, READ | WRITE, 0).unwrap();
    let (base, _) = guest.rights(file);
    assert_eq!(base & (READ | WRITE), 0);
    assert_ne!(base & rights::FD_SEEK, 0);
    assert_eq!(guest.write(file, b"5"), Err(Errno::BadFd));
    assert_eq!(guest.read(file, 4), Err(Errno::BadFd));
    assert_eq!(guest.call("fd_seek", args![file, 0_u64, 0, OUT]), Ok(()));
}

#[test]
fn rights_that_are_gone_do_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    let file = guest.open("file", 1, READ).unwrap();
    let (base, inheriting) = guest.rights(file);
    assert_eq!(guest.call("fd_fdstat_set_rights", args![file, base | WRITE, inheriting]), Err(Errno::NotCapable));
    assert_eq!(guest.call("fd_fdstat_set_rights", args![file, base, 1_u64]), Err(Errno::NotCapable));
    assert_eq!(guest.call("fd_fdstat_set_rights", args![file, base, inheriting]), Ok(()));
    guest.drop_rights(file, READ, 0).unwrap();
    assert_eq!(guest.call("fd_fdstat_set_rights", args![file, base, inheriting]), Err(Errno::NotCapable));
    assert_eq!(guest.call("fd_fdstat_set_rights", args![99, 0_u64, 0_u64]), Err(Errno::BadFd));
}

#[test]
fn dropped_rights_move_with_a_renumbered_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    let a = guest.open("a", 1, READ | WRITE).unwrap();
    let b = guest.open("b", 1, READ | WRITE).unwrap();
    guest.drop_rights(a, WRITE, 0).unwrap();
    guest.call("fd_renumber", args![a, b]).unwrap();
    assert_eq!(guest.write(b, b"x"), Err(Errno::BadFd));
    let again = guest.open("a", 0, READ | WRITE).unwrap();
    assert_eq!(again, a);
    assert_eq!(guest.write(again, b"x"), Ok(1));
}

#[test]
fn each_call_on_a_path_needs_its_right() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    for (right, name) in [
        (rights::PATH_CREATE_DIRECTORY, "path_create_directory"),
        (rights::PATH_REMOVE_DIRECTORY, "path_remove_directory"),
        (rights::PATH_UNLINK_FILE, "path_unlink_file"),
    ] {
        let mut guest = Guest::in_dir(dir.path());
        guest.drop_rights(3, right, 0).unwrap();
        assert_eq!(guest.on_path(name, "dir"), Err(Errno::NotCapable), "{name}");
    }

    let mut guest = Guest::in_dir(dir.path());
    guest.open("file", 1, WRITE).unwrap();
    guest.drop_rights(3, rights::PATH_FILESTAT_GET | rights::PATH_SYMLINK | rights::FD_READDIR, 0).unwrap();
    let len = guest.path("file");
    let len2 = guest.path2("new");
    assert_eq!(guest.call("path_filestat_get", args![3, 0, PATH, len, OUT]), Err(Errno::NotCapable));
    assert_eq!(guest.call("path_symlink", args![PATH, len, 3, PATH2, len2]), Err(Errno::NotCapable));
    assert_eq!(guest.call("fd_readdir", args![3, DATA, 64, 0_u64, OUT]), Err(Errno::NotCapable));
    // Of two descriptors, each needs its own.
    guest.drop_rights(3, rights::PATH_LINK_TARGET | rights::PATH_RENAME_TARGET, 0).unwrap();
    assert_eq!(guest.call("path_link", args![3, 0, PATH, len, 3, PATH2, len2]), Err(Errno::NotCapable));
    assert_eq!(guest.call("path_rename", args![3, PATH, len, 3, PATH2, len2]), Err(Errno::NotCapable));
    guest.open("file", 0, READ).unwrap();
    guest.drop_rights(3, rights::PATH_OPEN, 0).unwrap();
    assert_eq!(guest.open("file", 0, READ), Err(Errno::NotCapable));
}

#[test]
fn creating_and_cutting_need_a_right_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    let file = guest.open("file", 1, WRITE).unwrap();
    guest.write(file, b"text").unwrap();
    // What can be asked of files has nothing to do with what can be asked of paths.
    guest.drop_rights(3, 0, rights::FD_FILESTAT_SET_SIZE).unwrap();
    guest.open("file", 8, 0).unwrap();
    guest.write(file, b"text").unwrap();
    guest.drop_rights(3, rights::PATH_FILESTAT_SET_SIZE | rights::PATH_CREATE_FILE, 0).unwrap();
    assert_eq!(guest.open("file", 8, 0), Err(Errno::NotCapable));
    assert_eq!(guest.open("other", 1, 0), Err(Errno::NotCapable));
    assert_ne!(std::fs::read(dir.path().join("file")).unwrap(), b"");
    assert!(!dir.path().join("other").exists());
}

#[test]
fn what_is_opened_inherits_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    std::fs::write(dir.path().join("dir/file"), "text").unwrap();
    let mut guest = Guest::in_dir(dir.path());
    guest.drop_rights(3, 0, WRITE | rights::FD_FILESTAT_GET).unwrap();
    let sub = guest.open("dir", 2, 0).unwrap();
    assert_eq!(guest.open_at(sub, "file", 0, READ | WRITE), Err(Errno::NotCapable));
    let file = guest.open_at(sub, "file", 0, READ).unwrap();
    assert_eq!(guest.read(file, 4).unwrap(), b"text");
    assert_eq!(guest.call("fd_filestat_get", args![file, OUT]), Err(Errno::NotCapable));
    let (base, _) = guest.rights(file);
    assert_eq!(base & (WRITE | rights::FD_FILESTAT_GET), 0);
}

#[test]
fn asking_for_the_position_takes_less_than_moving_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    let file = guest.open("file", 1, READ | WRITE).unwrap();
    guest.drop_rights(file, rights::FD_SEEK, 0).unwrap();
    assert_eq!(guest.call("fd_seek", args![file, 0_u64, 1, OUT]), Ok(()));
    assert_eq!(guest.call("fd_seek", args![file, 1_u64, 1, OUT]), Err(Errno::NotCapable));
    assert_eq!(guest.call("fd_tell", args![file, OUT]), Ok(()));
    guest.drop_rights(file, rights::FD_TELL, 0).unwrap();
    assert_eq!(guest.call("fd_tell", args![file, OUT]), Err(Errno::NotCapable));
}

#[test]
fn nothing_is_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let mut guest = Guest::in_dir(dir.path());
    for (fd, errno) in [(0, Errno::NotSocket), (1, Errno::NotSocket), (3, Errno::NotSocket), (9, Errno::BadFd)] {
        assert_eq!(guest.call("sock_accept", args![fd, 0, OUT]), Err(errno));
        assert_eq!(guest.call("sock_recv", args![fd, DATA, 0, 0, OUT, OUT]), Err(errno));
        assert_eq!(guest.call("sock_send", args![fd, DATA, 0, 0, OUT]), Err(errno));
        assert_eq!(guest.call("sock_shutdown", args![fd, 1]), Err(errno));
    }
}
