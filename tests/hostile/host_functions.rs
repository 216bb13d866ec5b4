//! Guests that call host functions with everything that is wrong. Each export answers an errno, and its
//! name says which is right.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use cofferdam::host::wasi::{Preopen, Stdin, WasiConfig};
use cofferdam::policy::{Fuel, Limits};
use cofferdam_engine::ExternType;

use super::support::{closed_wasi, hostile, tight};
use super::{Cell, cells, number};

/// The directories of `tests/guests/README.md`.
fn outside() -> tempfile::TempDir {
    let outside = tempfile::tempdir().expect("a directory");
    let at = |name: &str| outside.path().join(name);
    for dir in ["victim_dir", "box", "box/dir"] {
        fs::create_dir(at(dir)).expect("a directory");
    }
    for (file, text) in [("secret", "SECRET\n"), ("victim", "v"), ("box/file", "hello\n"), ("box/dir/nested", "n")] {
        fs::write(at(file), text).expect("a file");
    }
    for (link, target) in [
        ("link_in", "file"),
        ("link_out", ".."),
        ("link_secret", "../secret"),
        ("link_abs", "/etc"),
        ("link_loop", "link_loop"),
        ("link_dangling", "../created"),
    ] {
        symlink(target, at("box").join(link)).expect("a link");
    }
    outside
}

/// Every name below `dir` with what is in it.
fn picture(dir: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).expect("it can be read") {
            let entry = entry.expect("it can be read");
            let kind = entry.file_type().expect("it has a type");
            let content = match () {
                () if kind.is_symlink() => format!("{:?}", fs::read_link(entry.path())),
                () if kind.is_dir() => {
                    todo.push(entry.path());
                    "dir".into()
                }
                () if kind.is_file() => {
                    String::from_utf8_lossy(&fs::read(entry.path()).expect("it can be read")).into()
                }
                () => format!("{kind:?}"),
            };
            all.push((entry.path().display().to_string(), content));
        }
    }
    all.sort();
    all
}

fn wasi(preopen: Preopen) -> WasiConfig {
    WasiConfig {
        args: vec!["guest".into(), "argument".into()],
        env: vec![("NAME".into(), "value".into())],
        stdin: Stdin::Bytes(b"input".to_vec()),
        preopens: vec![preopen],
        ..closed_wasi()
    }
}

/// Calls every export of `file` in turn, each on a fresh guest with a fresh box, and checks its errno.
fn every_export(cell: &Cell, file: &str, read_only: bool, right: impl Fn(&str, i64) -> bool) {
    let module = hostile(file);
    let limits = Limits { fuel: Fuel::new(50_000_000), ..tight() };
    let boxed = |outside: &Path| {
        let host = outside.join("box");
        if read_only { Preopen::read_only(host, "/box") } else { Preopen::read_write(host, "/box") }
    };
    let first = outside();
    let probe = cell.guest(&module, limits.clone(), wasi(boxed(first.path())));
    let exports: Vec<_> = probe.module().prepared().exports().to_vec();
    let mut called = 0;
    for export in exports.iter().filter(|e| matches!(e.ty, ExternType::Func(_))) {
        let outside = outside();
        let before = picture(outside.path());
        let mut guest = cell.guest(&module, limits.clone(), wasi(boxed(outside.path())));
        let report = guest.call(&export.name, &[]);
        let errno =
            number(&report.outcome).unwrap_or_else(|| panic!("{cell} {file} {}: {}", export.name, report.outcome));
        assert!(right(&export.name, errno), "{cell} {file} {}: errno {errno}", export.name);
        let inside = outside.path().join("box");
        let mut after = picture(outside.path());
        let mut expected = before;
        if !read_only {
            // Inside its own directory it may do what it likes; outside nothing may change.
            let is_inside = |(name, _): &(String, String)| Path::new(name).starts_with(&inside);
            after.retain(|entry| !is_inside(entry));
            expected.retain(|entry| !is_inside(entry));
        }
        assert_eq!(after, expected, "{cell} {file} {}", export.name);
        called += 1;
    }
    assert!(called > 5, "{file} has exports");
}

#[test]
fn wild_pointers_are_faults_and_nothing_more() {
    for cell in cells() {
        every_export(&cell, "bad_pointers.wat", false, |name, errno| match name.split('_').next() {
            Some("bad") => errno != 0,
            Some("ok") => errno == 0,
            _ => (0..=76).contains(&errno),
        });
    }
}

#[test]
fn wrong_descriptors_and_values_are_refused() {
    for cell in cells() {
        every_export(&cell, "bad_descriptors.wat", false, |name, errno| (errno == 0) == name.starts_with("ok_"));
        every_export(&cell, "bad_values.wat", false, |name, errno| match name.split('_').next() {
            Some("bad") => errno != 0,
            Some("ok") => errno == 0,
            _ => (0..=76).contains(&errno),
        });
        every_export(&cell, "bad_utf8_path.wat", false, |name, errno| (errno == 0) == name.starts_with("ok_"));
    }
}

#[test]
fn no_path_leads_out_of_the_directory() {
    for cell in cells() {
        every_export(&cell, "path_escapes.wat", false, |name, errno| (errno == 0) == name.starts_with("ok_"));
    }
}

#[test]
fn a_read_only_directory_is_not_changed() {
    for cell in cells() {
        every_export(&cell, "read_only.wat", true, |name, errno| (errno == 0) == name.starts_with("ok_"));
    }
}

#[test]
fn what_is_no_file_is_not_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "hello\n").expect("a file");
    let made = |program: &str, args: &[&str]| Command::new(program).args(args).current_dir(dir.path()).status();
    assert!(made("mkfifo", &["fifo"]).is_ok_and(|s| s.success()), "mkfifo works");
    let device = made("mknod", &["device", "c", "1", "5"]).is_ok_and(|s| s.success());
    if !device {
        eprintln!("skipped: the device rows, because this user may not make devices");
    }
    let _socket = UnixListener::bind(at("socket")).expect("a socket");
    for name in ["fifo", "socket", "device"] {
        symlink(name, at(&format!("link_{name}"))).expect("a link");
    }
    let module = hostile("special_files.wat");
    for cell in cells() {
        for (preopen, wanted) in [(dir.path(), false), (Path::new("/dev"), true)] {
            let config = || wasi(Preopen::read_write(preopen, "/box"));
            let probe = cell.guest(&module, tight(), config());
            for export in probe.module().prepared().exports() {
                let name = &*export.name;
                let in_dev = name.ends_with("_null") || name.ends_with("_zero");
                let function = matches!(export.ty, ExternType::Func(_));
                if !function || in_dev != wanted || (name.contains("device") && !device) {
                    continue;
                }
                let report = cell.guest(&module, tight(), config()).call(name, &[]);
                let errno = number(&report.outcome).unwrap_or_else(|| panic!("{cell} {name}: {}", report.outcome));
                let right = match name.split('_').next() {
                    Some("ok") => errno == 0,
                    Some("open" | "read") => errno != 0,
                    _ => true,
                };
                assert!(right, "{cell} {name}: errno {errno}");
            }
        }
    }
}

#[test]
fn open_files_are_capped() {
    for cell in cells() {
        let outside = outside();
        // The policy's cap alone: the configuration of WASI would allow more.
        let config = wasi(Preopen::read_write(outside.path().join("box"), "/box"));
        let limits = Limits { open_files: 100, ..tight() };
        let mut guest = cell.guest(&hostile("open_many.wat"), limits, config);
        let report = guest.call("run", &[]);
        let count = number(&report.outcome).unwrap_or_else(|| panic!("{cell}: {}", report.outcome));
        assert!((1..=100).contains(&count), "{cell}: {count} files open");
    }
}

#[test]
fn many_buffers_of_the_same_memory_cost_the_host_nothing() {
    for cell in cells() {
        for export in ["run", "read"] {
            let mut config = closed_wasi();
            config.limits.output_bytes = 8 << 20;
            let report = cell.guest(&hostile("iovec_bomb.wat"), tight(), config).call(export, &[]);
            let ended = report.outcome.reason().unwrap_or("completed");
            assert!(["completed", "output", "deadline"].contains(&ended), "{cell} {export}: {}", report.outcome);
        }
        assert_ne!(cell.returns("iovec_bomb.wat", "overflow", tight()), 0, "{cell}");
        assert_eq!(
            cell.returns("no_memory.wat", "random", tight()),
            21,
            "{cell}: without a memory all is out of bounds"
        );
    }
}
