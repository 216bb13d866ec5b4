//! Paths that end in `/`: only directories may be called so.

use super::super::MemoryDir;
use super::super::abi::{O_CREAT, O_DIRECTORY};
use super::*;

impl Guest {
    fn move_to(&mut self, old: &str, new: &str) -> Answer {
        let (old, new) = (self.path(old), self.path2(new));
        self.call("path_rename", args![3_u32, PATH, old, 3_u32, PATH2, new])
    }

    fn type_of(&mut self, path: &str, lookup: u32) -> Result<u8, Errno> {
        let len = self.path(path);
        self.call("path_filestat_get", args![3_u32, lookup, PATH, len, OUT])?;
        Ok(self.get(OUT + 16, 1)[0])
    }
}

/// Runs `test` in an empty directory of the host's, and in one in memory.
fn each(test: impl Fn(&mut Guest)) {
    let dir = tempfile::tempdir().expect("a directory");
    test(&mut Guest::in_dir(dir.path()));
    let memory = Preopen::memory(MemoryDir::new(), "/");
    test(&mut Guest::new(WasiConfig { preopens: vec![memory], ..WasiConfig::default() }));
}

#[test]
fn a_file_is_not_renamed_to_the_name_of_a_directory() {
    each(|guest| {
        guest.open("file", O_CREAT, WRITE).unwrap();
        assert_eq!(guest.move_to("file", "new/"), Err(Errno::NotDirectory));
        assert_eq!(guest.move_to("file/", "new"), Err(Errno::NotDirectory));
        assert_eq!(guest.move_to("file/", "new/"), Err(Errno::NotDirectory));
        assert_eq!(guest.move_to("nosuch", "new/"), Err(Errno::NotFound));
        assert_eq!(guest.move_to("file", "new"), Ok(()));
    });
}

#[test]
fn a_directory_is_renamed_with_and_without_slashes() {
    each(|guest| {
        guest.on_path("path_create_directory", "a").unwrap();
        for (old, new) in [("a/", "b"), ("b", "a/"), ("a/", "b//"), ("b", "a")] {
            assert_eq!(guest.move_to(old, new), Ok(()), "{old} to {new}");
        }
        assert_eq!(guest.on_path("path_remove_directory", "a/"), Ok(()));
    });
}

#[test]
fn a_file_is_not_made_under_the_name_of_a_directory() {
    each(|guest| {
        assert_eq!(guest.open("new/", O_CREAT, WRITE), Err(Errno::IsDirectory));
        assert_eq!(guest.type_of("new", 0), Err(Errno::NotFound));
    });
}

#[test]
fn a_file_with_a_slash_behind_it_is_not_there() {
    each(|guest| {
        guest.open("file", O_CREAT, WRITE).unwrap();
        for path in ["file/", "file//", "file/."] {
            assert_eq!(guest.open(path, 0, READ), Err(Errno::NotDirectory), "{path}");
            assert_eq!(guest.type_of(path, 0), Err(Errno::NotDirectory), "{path}");
            assert_eq!(guest.type_of(path, 1), Err(Errno::NotDirectory), "{path}");
            assert_eq!(guest.on_path("path_remove_directory", path), Err(Errno::NotDirectory), "{path}");
            assert_eq!(guest.on_path("path_unlink_file", path), Err(Errno::NotDirectory), "{path}");
        }
        guest.on_path("path_create_directory", "dir").unwrap();
        for path in ["dir/", "dir//", "dir/.", "dir"] {
            assert_eq!(guest.type_of(path, 0), Ok(3), "{path}");
            guest.open(path, O_DIRECTORY, 0).unwrap();
            assert_eq!(guest.on_path("path_unlink_file", path), Err(Errno::IsDirectory), "{path}");
        }
    });
}

#[test]
fn a_symbolic_link_is_not_made_under_the_name_of_a_directory() {
    each(|guest| {
        guest.open("file", O_CREAT, WRITE).unwrap();
        guest.on_path("path_create_directory", "dir").unwrap();
        for (path, errno) in [
            ("new/", Errno::NotFound),
            ("file/", Errno::NotDirectory),
            ("file", Errno::Exists),
            ("dir/", Errno::Exists),
            ("dir", Errno::Exists),
        ] {
            let (target, link) = (guest.path("target"), guest.path2(path));
            assert_eq!(guest.call("path_symlink", args![PATH, target, 3, PATH2, link]), Err(errno), "{path}");
        }
    });
}
