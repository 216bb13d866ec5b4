//! Ways out of a directory, and paths that are no paths.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::abi::{O_CREAT, O_DIRECTORY, O_TRUNC};
use super::*;

/// A directory `inside` to be given, beside a secret that is not.
fn yard() -> tempfile::TempDir {
    let yard = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(yard.path().join("inside/sub/deep")).expect("made");
    fs::create_dir(yard.path().join("outside")).expect("made");
    fs::write(yard.path().join("outside/secret"), "secret").expect("written");
    fs::write(yard.path().join("secret"), "secret").expect("written");
    fs::write(yard.path().join("inside/file"), "mine").expect("written");
    yard
}

/// That nothing outside has changed.
fn untouched(yard: &Path) {
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).expect("there").map(|e| e.expect("readable").file_name());
        let mut names = entries.collect::<Vec<_>>();
        names.sort();
        names
    };
    assert_eq!(names(yard), ["inside", "outside", "secret"]);
    assert_eq!(names(&yard.join("outside")), ["secret"]);
    assert_eq!(fs::read(yard.join("secret")).expect("there"), b"secret");
    assert_eq!(fs::read(yard.join("outside/secret")).expect("there"), b"secret");
}

/// Every call that takes a path, on a path that must be refused as `wanted`.
fn refused(guest: &mut Guest, path: &str, wanted: Errno) {
    let wanted = Err(wanted);
    for (oflags, rights) in [(0, READ), (O_CREAT, WRITE), (O_TRUNC, WRITE), (O_DIRECTORY, READ)] {
        for follow in [0, 1] {
            assert_eq!(guest.open_with(3, follow, path, oflags, rights, 0).map(|_| ()), wanted, "open {path}");
        }
    }
    for name in ["path_create_directory", "path_remove_directory", "path_unlink_file"] {
        assert_eq!(guest.on_path(name, path), wanted, "{name} {path}");
    }
    let (bad, good) = (guest.path(path), guest.path2("file"));
    for follow in [0_u32, 1] {
        let stat = guest.call("path_filestat_get", args![3_u32, follow, PATH, bad, OUT]);
        let times = args![3_u32, follow, PATH, bad, 0_u64, 0_u64, 5_u32];
        assert_eq!((stat, guest.call("path_filestat_set_times", times)), (wanted, wanted), "{path}");
    }
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH, bad, DATA, 99_u32, OUT]), wanted, "readlink {path}");
    assert_eq!(guest.call("path_rename", args![3_u32, PATH, bad, 3_u32, PATH2, good]), wanted, "rename from {path}");
    assert_eq!(guest.call("path_rename", args![3_u32, PATH2, good, 3_u32, PATH, bad]), wanted, "rename to {path}");
    let (from, to) =
        (args![3_u32, 0_u32, PATH, bad, 3_u32, PATH2, good], args![3_u32, 0_u32, PATH2, good, 3_u32, PATH, bad]);
    assert_eq!(guest.call("path_link", from), wanted, "link from {path}");
    assert_eq!(guest.call("path_link", to), wanted, "link to {path}");
    assert_eq!(guest.call("path_symlink", args![PATH2, good, 3_u32, PATH, bad]), wanted, "symlink at {path}");
}

#[test]
fn dots_and_slashes_do_not_lead_out() {
    let yard = yard();
    let mut guest = Guest::in_dir(&yard.path().join("inside"));
    let absolute = yard.path().join("secret").display().to_string();
    for path in
        ["../secret", "sub/../../secret", "./../secret", "../outside/secret", "/", "/etc/passwd", "//x", &absolute]
    {
        refused(&mut guest, path, Errno::Permission);
    }
    untouched(yard.path());
    // From a directory below, up to where it was opened and no further.
    let sub = guest.open("sub", O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.open_at(sub, "../file", 0, READ), Err(Errno::Permission));
    assert!(guest.open_at(sub, "deep/../deep", O_DIRECTORY, READ).is_ok());
}

#[test]
fn symbolic_links_do_not_lead_out() {
    let yard = yard();
    let inside = yard.path().join("inside");
    symlink("../secret", inside.join("up")).expect("linked");
    symlink(yard.path().join("secret"), inside.join("absolute")).expect("linked");
    symlink("../outside", inside.join("dir")).expect("linked");
    symlink("up", inside.join("chain")).expect("linked");
    symlink("sub/back/../secret", inside.join("winding")).expect("linked");
    symlink("..", inside.join("sub/back")).expect("linked");
    symlink("/proc/self/root", inside.join("magic")).expect("linked");
    let mut guest = Guest::in_dir(&inside);
    for path in
        ["up", "absolute", "chain", "winding", "dir/secret", "magic/etc/passwd", "sub/back/../secret", "dir/new"]
    {
        for (oflags, rights) in [(0, READ), (O_CREAT, WRITE), (O_TRUNC, WRITE), (O_CREAT | O_TRUNC, READ | WRITE)] {
            assert_eq!(guest.open(path, oflags, rights), Err(Errno::Permission), "{path}");
        }
        let len = guest.path(path);
        let stat = guest.call("path_filestat_get", args![3_u32, 1_u32, PATH, len, OUT]);
        let times = guest.call("path_filestat_set_times", args![3_u32, 1_u32, PATH, len, 0_u64, 0_u64, 5_u32]);
        assert_eq!((stat, times), (Err(Errno::Permission), Err(Errno::Permission)), "{path}");
    }
    for name in ["dir", "dir/", "dir/."] {
        assert_eq!(guest.open(name, O_DIRECTORY, READ), Err(Errno::Permission), "{name}");
    }
    for name in ["path_create_directory", "path_unlink_file", "path_remove_directory"] {
        assert_eq!(guest.on_path(name, "dir/secret"), Err(Errno::Permission), "{name}");
    }
    let (file, out) = (guest.path("file"), guest.path2("dir/file"));
    assert_eq!(guest.call("path_rename", args![3_u32, PATH, file, 3_u32, PATH2, out]), Err(Errno::Permission));
    assert_eq!(guest.call("path_link", args![3_u32, 0_u32, PATH, file, 3_u32, PATH2, out]), Err(Errno::Permission));
    let secret = guest.path2("dir/secret");
    assert_eq!(guest.call("path_rename", args![3_u32, PATH2, secret, 3_u32, PATH, file]), Err(Errno::Permission));
    assert_eq!(guest.call("path_link", args![3_u32, 0_u32, PATH2, secret, 3_u32, PATH, file]), Err(Errno::Permission));
    // Where an absolute link points is not told either.
    let len = guest.path("absolute");
    assert_eq!(guest.call("path_readlink", args![3_u32, PATH, len, DATA, 99_u32, OUT]), Err(Errno::Permission));
    // The links themselves may be looked at and removed; what they point to stays.
    assert_eq!(guest.on_path("path_unlink_file", "up"), Ok(()));
    untouched(yard.path());
}

#[test]
fn a_guest_makes_only_links_that_lead_down() {
    let yard = yard();
    let inside = yard.path().join("inside");
    let mut guest = Guest::in_dir(&inside);
    let link = guest.path2("sub/link");
    for target in ["/etc/passwd", "..", "../file", "../../secret", "deep/../..", "deep/.."] {
        let len = guest.path(target);
        let made = guest.call("path_symlink", args![PATH, len, 3_u32, PATH2, link]);
        assert_eq!(made, Err(Errno::Permission), "{target}");
    }
    let len = guest.path("deep/...x..");
    assert_eq!(guest.call("path_symlink", args![PATH, len, 3_u32, PATH2, link]), Ok(()));
    // Renamed to the top, the link still leads down.
    let top = guest.path("top");
    assert_eq!(guest.call("path_rename", args![3_u32, PATH2, link, 3_u32, PATH, top]), Ok(()));
    assert_eq!(fs::read_link(inside.join("top")).expect("a link"), Path::new("deep/...x.."));
    let empty = guest.call("path_symlink", args![PATH, 0_u32, 3_u32, PATH2, link]);
    assert_eq!(empty, Err(Errno::NotFound));
}

#[test]
fn a_directory_moved_up_does_not_take_the_way_out_along() {
    let yard = yard();
    let mut guest = Guest::in_dir(&yard.path().join("inside"));
    let deep = guest.open("sub/deep", O_DIRECTORY, READ).expect("open");
    let (from, to) = (guest.path("sub/deep"), guest.path2("moved"));
    assert_eq!(guest.call("path_rename", args![3_u32, PATH, from, 3_u32, PATH2, to]), Ok(()));
    // Also by somebody else, to a place outside.
    for path in ["..", "../..", "../secret", "../file", "../../secret"] {
        assert_eq!(guest.open_at(deep, path, 0, READ), Err(Errno::Permission), "{path}");
    }
    fs::rename(yard.path().join("inside/moved"), yard.path().join("outside/moved")).expect("moved");
    assert_eq!(guest.open_at(deep, "../secret", 0, READ), Err(Errno::Permission));
    // Nor does renaming the directory given, or into itself.
    for (from, to, wanted) in
        [(".", "x", Errno::Busy), ("sub", "sub/x", Errno::Invalid), ("..", "x", Errno::Permission)]
    {
        let (old, new) = (guest.path(from), guest.path2(to));
        assert_eq!(guest.call("path_rename", args![3_u32, PATH, old, 3_u32, PATH2, new]), Err(wanted), "{from}");
    }
    assert_eq!(guest.on_path("path_remove_directory", "."), Err(Errno::Invalid));
    assert_eq!(guest.on_path("path_remove_directory", "sub/.."), Err(Errno::Invalid));
}

#[test]
fn what_is_no_path_is_refused() {
    let yard = yard();
    let mut guest = Guest::in_dir(&yard.path().join("inside"));
    refused(&mut guest, "", Errno::NotFound);
    refused(&mut guest, "file\0", Errno::Invalid);
    refused(&mut guest, "\0", Errno::Invalid);
    refused(&mut guest, "sub/\0/x", Errno::Invalid);
    refused(&mut guest, &"x".repeat(4097), Errno::NameTooLong);
    for bad in [&b"\xff"[..], b"caf\xe9", b"\xc0\xaf", b"\xed\xa0\x80", b"sub/\x80"] {
        guest.put(PATH, bad);
        let len = bad.len() as u32;
        let made = guest.call("path_create_directory", args![3_u32, PATH, len]);
        let opened = guest.call("path_open", args![3_u32, 0_u32, PATH, len, O_CREAT, WRITE, WRITE, 0_u32, OUT]);
        let linked = guest.call("path_symlink", args![PATH, len, 3_u32, PATH, len]);
        assert_eq!([made, opened, linked], [Err(Errno::IllegalSequence); 3]);
    }
    let long = "n".repeat(256);
    assert_eq!(guest.open(&long, O_CREAT, WRITE), Err(Errno::NameTooLong));
    assert_eq!(guest.on_path("path_create_directory", &long), Err(Errno::NameTooLong));
    untouched(yard.path());
}

#[test]
fn many_components_and_links_end() {
    let yard = yard();
    let inside = yard.path().join("inside");
    for i in 0..60 {
        symlink(format!("l{}", i + 1), inside.join(format!("l{i}"))).expect("linked");
    }
    symlink("file", inside.join("l60")).expect("linked");
    let mut guest = Guest::in_dir(&inside);
    assert_eq!(guest.open("l0", 0, READ), Err(Errno::Loop));
    assert!(guest.open("l40", 0, READ).is_ok());
    let winding = format!("{}file", "sub/../".repeat(500));
    assert!(guest.open(&winding, 0, READ).is_ok());
    let dots = format!("{}file", "./".repeat(2000));
    assert!(guest.open(&dots, 0, READ).is_ok());
}
