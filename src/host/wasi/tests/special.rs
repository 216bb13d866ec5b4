//! FIFOs, devices and sockets in a directory that was given: looked at, never opened.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::abi::{O_CREAT, O_DIRECTORY, O_TRUNC};
use super::*;

#[test]
fn what_may_block_or_act_is_not_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, mode, 0).expect("made");
    let _listener = UnixListener::bind(dir.path().join("socket")).expect("bound");
    std::os::unix::fs::symlink("fifo", dir.path().join("link")).expect("linked");
    let mut names = vec!["fifo", "socket", "link"];
    // Only root may make a device; without one the other three are left.
    let null = rustix::fs::makedev(1, 3);
    if mknodat(CWD, dir.path().join("device"), FileType::CharacterDevice, mode, null).is_ok() {
        names.push("device");
    }
    let mut guest = Guest::in_dir(dir.path());
    for name in &names {
        for (oflags, rights) in [(0, READ), (0, WRITE), (0, READ | WRITE), (O_CREAT, WRITE), (O_TRUNC, WRITE)] {
            for nonblock in [0, 4] {
                assert_eq!(guest.open_with(3, 1, name, oflags, rights, nonblock), Err(Errno::Access), "{name}");
            }
        }
        assert_eq!(guest.open(name, O_DIRECTORY, READ), Err(Errno::NotDirectory), "{name}");
        let len = guest.path(name);
        // Its times can be set and it can be looked at, without anybody at its other end.
        let times = guest.call("path_filestat_set_times", args![3_u32, 1_u32, PATH, len, 0_u64, 0_u64, 5_u32]);
        assert_eq!(times, Ok(()), "{name}");
        assert_eq!(guest.call("path_filestat_get", args![3_u32, 1_u32, PATH, len, OUT]), Ok(()), "{name}");
        let wanted = match *name {
            "socket" => 6,
            "device" => 2,
            _ => 0,
        };
        assert_eq!(guest.memory[OUT as usize + 16], wanted, "{name}");
    }
    for name in names {
        assert_eq!(guest.on_path("path_unlink_file", name), Ok(()), "{name}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
}

#[test]
fn files_of_proc_do_not_lead_out() {
    let preopens = vec![Preopen::read_only("/proc/self", "/")];
    let mut guest = Guest::new(WasiConfig { preopens, ..WasiConfig::default() });
    for path in ["root", "root/etc/passwd", "cwd", "exe", "fd/0", "fd/1"] {
        let opened = guest.open(path, 0, READ);
        assert!(matches!(opened, Err(Errno::Loop | Errno::Permission)), "{path}: {opened:?}");
    }
}
