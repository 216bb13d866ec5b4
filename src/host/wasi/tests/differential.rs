//! The same long sequences of calls on every backing: they must answer the same, hold the same bytes, and
//! give back all that they took.

use std::os::unix::fs::symlink;

use super::super::abi::{O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC};
use super::super::{Clocks, MemoryDir, WasiLimits};
use super::*;

/// Paths that collide often.
const PATHS: [&str; 22] = [
    "f", "a", "a/g", "a/b", "a/b/x", "l", "ld", "ld/g", "n", "a/n", "n/x", "./f", "a/../f", "f/", "n/", "a/.", "a/..",
    "up", "ld/", "dangling", "a/b/deep", "../f",
];

struct Noise(u64);

impl Noise {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.next(PATHS.len() as u64) as usize]
    }
}

fn pattern(len: usize, seed: u64) -> Vec<u8> {
    (0..len as u64).map(|i| ((i * 7 + seed) % 251) as u8 + 1).collect()
}

/// What is there at the beginning.
fn plant(dir: &Path) {
    std::fs::create_dir_all(dir.join("a/b")).expect("made");
    std::fs::write(dir.join("f"), pattern(40_000, 1)).expect("written");
    std::fs::write(dir.join("a/g"), pattern(100, 2)).expect("written");
    std::fs::write(dir.join("a/b/x"), pattern(16_384, 3)).expect("written");
    for (target, link) in [("f", "l"), ("a", "ld"), ("../f", "up"), ("nowhere", "dangling"), ("../../f", "a/b/deep")] {
        symlink(target, dir.join(link)).expect("linked");
    }
}

fn in_memory() -> MemoryDir {
    MemoryDir::new()
        .file("f", pattern(40_000, 1))
        .file("a/g", pattern(100, 2))
        .file("a/b/x", pattern(16_384, 3))
        .link("l", "f")
        .link("ld", "a")
        .link("up", "../f")
        .link("dangling", "nowhere")
        .link("a/b/deep", "../../f")
}

/// What one step answers: an error number, or whatever can be compared of a success.
type Seen = Result<(u64, Vec<u8>), Errno>;

fn step(guest: &mut Guest, what: u64, noise: &mut Noise, open: &mut Vec<u32>) -> Seen {
    let none = |answer: Answer| answer.map(|()| (0, Vec::new()));
    let (path, other) = (noise.path(), noise.path());
    let (a, b, c) = (noise.next(120_000), noise.next(40_000), noise.next(1 << 20));
    let fd = open.get(c as usize % open.len().max(1)).copied().unwrap_or(3);
    match what {
        0 => none(guest.on_path("path_create_directory", path)),
        1 => none(guest.on_path("path_remove_directory", path)),
        2 => none(guest.on_path("path_unlink_file", path)),
        3 | 4 => {
            let (old, new) = (guest.path(path), guest.path2(other));
            none(guest.call("path_rename", args![3_u32, PATH, old, 3_u32, PATH2, new]))
        }
        5 => {
            let (old, new) = (guest.path(path), guest.path2(other));
            none(guest.call("path_link", args![3_u32, 0_u32, PATH, old, 3_u32, PATH2, new]))
        }
        6 => {
            let (target, new) = (guest.path(["f", "a", "n", "g"][c as usize % 4]), guest.path2(other));
            none(guest.call("path_symlink", args![PATH, target, 3_u32, PATH2, new]))
        }
        7..=10 => {
            let oflags = [0, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_DIRECTORY, O_CREAT | O_TRUNC][c as usize % 6];
            let rights = [READ, WRITE, READ | WRITE][c as usize / 6 % 3];
            let flags = u32::from(c % 7 == 0);
            let fd = guest.open_with(3, u32::from(c % 3 > 0), path, oflags, rights, flags)?;
            open.push(fd);
            Ok((fd.into(), Vec::new()))
        }
        11 if open.is_empty() => Ok((0, Vec::new())),
        11 => {
            let fd = open.remove(c as usize % open.len());
            none(guest.call("fd_close", args![fd]))
        }
        12..=14 => {
            let len = b.min(30_000) as usize;
            guest.put(DATA, &pattern(len, a));
            let (iovs, count) =
                guest.iovs(&[(DATA, len as u32 / 3), (DATA, 0), (DATA + len as u32 / 3, len as u32 / 2)]);
            match c % 2 {
                0 => guest.call("fd_write", args![fd, iovs, count, OUT])?,
                _ => guest.call("fd_pwrite", args![fd, iovs, count, a, OUT])?,
            }
            Ok((guest.u32_at(OUT).into(), Vec::new()))
        }
        15..=17 => {
            let (iovs, count) = guest.iovs(&[(DATA, 70), (DATA + 100, b as u32)]);
            match c % 2 {
                0 => guest.call("fd_read", args![fd, iovs, count, OUT])?,
                _ => guest.call("fd_pread", args![fd, iovs, count, a, OUT])?,
            }
            let n = guest.u32_at(OUT) as usize;
            let bytes = [guest.get(DATA, n.min(70)), guest.get(DATA + 100, n.saturating_sub(70))].concat();
            Ok((n as u64, bytes))
        }
        18 => {
            guest.call("fd_seek", args![fd, a as i64 - 40_000, (c % 3) as u32, OUT])?;
            Ok((guest.u64_at(OUT), Vec::new()))
        }
        19 => none(guest.call("fd_filestat_set_size", args![fd, a])),
        20 => none(guest.call("fd_allocate", args![fd, a, b])),
        21 => {
            let len = guest.path(path);
            guest.call("path_readlink", args![3_u32, PATH, len, DATA, 100_u32, OUT])?;
            Ok((0, guest.get(DATA, guest.u32_at(OUT) as usize).to_vec()))
        }
        22 => {
            let follow = (c % 2) as u32;
            let len = guest.path(path);
            guest.call("path_filestat_get", args![3_u32, follow, PATH, len, OUT])?;
            let ty = guest.get(OUT + 16, 1)[0];
            // How large a directory is and what links to it is up to a file system.
            let (links, size) = if ty == 3 { (0, 0) } else { (guest.u64_at(OUT + 24), guest.u64_at(OUT + 32)) };
            Ok((links * 10 + u64::from(ty), size.to_le_bytes().to_vec()))
        }
        _ => {
            // Names and types; inodes must be those that looking at each gives.
            let fd = guest.open(path, O_DIRECTORY, READ)?;
            let listed = guest.call("fd_readdir", args![fd, DATA, 0x8000_u32, 0_u64, OUT]);
            let bytes = guest.get(DATA, guest.u32_at(OUT) as usize).to_vec();
            listed?;
            let (mut at, mut all) = (0, Vec::new());
            while let Some(entry) = bytes.get(at..at + 24) {
                let len = u32::from_le_bytes(entry[16..20].try_into().expect("four bytes")) as usize;
                let name = &bytes[at + 24..at + 24 + len];
                guest.put(PATH, name);
                if name != b".." {
                    let stat = args![fd, 0_u32, PATH, len as u32, OUT];
                    assert_eq!(guest.call("path_filestat_get", stat), Ok(()), "{path}");
                    assert_eq!(
                        guest.get(OUT + 8, 8),
                        &entry[8..16],
                        "the inode of {:?}",
                        String::from_utf8_lossy(name)
                    );
                }
                all.extend_from_slice(&[name, &[entry[20], 0]].concat());
                at += 24 + len;
            }
            guest.call("fd_close", args![fd])?;
            Ok((0, all))
        }
    }
}

#[test]
fn every_backing_answers_the_same() {
    for seed in 1..=20_u64 {
        let (host, base) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        plant(host.path());
        plant(base.path());
        let limits =
            WasiLimits { open_files: 40, scratch_bytes: 1 << 30, disk_bytes: 1 << 40, ..WasiLimits::default() };
        let mut guests = [
            Preopen::read_write(host.path(), "/"),
            Preopen::memory(in_memory(), "/"),
            Preopen::overlay(base.path(), "/"),
        ]
        .map(|preopen| {
            let clocks = Clocks::Virtual { start_ns: 0 };
            let guest = Guest::new(WasiConfig { preopens: vec![preopen], limits, clocks, ..WasiConfig::default() });
            (guest, Vec::new())
        });
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for round in 0..400 {
            let (what, state) = (noise.next(24), noise.0);
            let mut seen = guests.each_mut().map(|(guest, open)| {
                noise.0 = state;
                step(guest, what, &mut noise, open)
            });
            noise.0 = state;
            // cap-std and the kernel do not agree on a name to be made that ends in a slash.
            let slash = matches!(what, 3..=6) && [noise.path(), noise.path()].iter().any(|path| path.ends_with('/'));
            for seen in &mut seen {
                // Which of two reasons is given, where there are two.
                let slash =
                    slash && matches!(seen, Err(Errno::Exists | Errno::IsDirectory | Errno::NotEmpty | Errno::Loop));
                let reasons = [Errno::NotFound, Errno::NotDirectory, Errno::Permission, Errno::Busy];
                let either = matches!(what, 3..=5) && matches!(seen, Err(Errno::Loop));
                if slash || either || matches!(seen, Err(errno) if reasons.contains(errno)) {
                    *seen = Err(Errno::NotFound);
                }
            }
            assert!(seen[0] == seen[1] && seen[0] == seen[2], "seed {seed}, round {round}, step {what}: {:?}", {
                noise.0 = state;
                (noise.path(), noise.path(), seen.map(|s| s.map(|(n, bytes)| (n, bytes.len()))))
            });
        }
        // Everything closed and removed: nothing is held but what was given, and the base is as it was.
        for (guest, open) in &mut guests {
            for fd in open.drain(..) {
                assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
            }
        }
        for (file, bytes) in [("f", pattern(40_000, 1)), ("a/g", pattern(100, 2)), ("a/b/x", pattern(16_384, 3))] {
            assert_eq!(std::fs::read(base.path().join(file)).expect("there"), bytes);
        }
        for (guest, _) in &mut guests[1..] {
            clear(guest, "");
            let usage = guest.state().file_usage();
            assert_eq!(usage.scratch_refusals, 0);
        }
        assert_eq!(guests[1].0.state().file_usage().scratch_bytes, 0, "seed {seed}");
    }
}

/// Removes everything in `path`.
fn clear(guest: &mut Guest, path: &str) {
    let fd = guest.open(if path.is_empty() { "." } else { path }, O_DIRECTORY, READ).expect("open");
    assert_eq!(guest.call("fd_readdir", args![fd, DATA, 0x8000_u32, 0_u64, OUT]), Ok(()));
    let bytes = guest.get(DATA, guest.u32_at(OUT) as usize).to_vec();
    assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
    let mut at = 0;
    while let Some(entry) = bytes.get(at..at + 24) {
        let len = u32::from_le_bytes(entry[16..20].try_into().expect("four bytes")) as usize;
        let name = std::str::from_utf8(&bytes[at + 24..at + 24 + len]).expect("UTF-8");
        at += 24 + len;
        if name == "." || name == ".." {
            continue;
        }
        let name = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        if entry[20] == 3 {
            clear(guest, &name);
            assert_eq!(guest.on_path("path_remove_directory", &name), Ok(()), "{name}");
        } else {
            assert_eq!(guest.on_path("path_unlink_file", &name), Ok(()), "{name}");
        }
    }
}
