//! Reads and writes at every size where something changes, and positions where numbers end.

use super::super::abi::O_CREAT;
use super::super::{MemoryDir, WasiLimits};
use super::backings::on_each;
use super::*;

const SIZES: [u32; 14] = [0, 1, 511, 512, 513, 4_095, 4_096, 4_097, 16_383, 16_385, 65_535, 65_536, 65_537, 1 << 20];

fn roomy() -> WasiLimits {
    WasiLimits { scratch_bytes: 64 << 20, ..WasiLimits::default() }
}

fn pattern(len: u32, seed: u32) -> Vec<u8> {
    (0..len).map(|i| ((i + seed) % 253) as u8 + 1).collect()
}

#[test]
fn transfers_of_every_size_are_whole() {
    on_each(roomy(), |guest, on| {
        guest.memory.resize(4 << 20, 0);
        for size in SIZES {
            for at in [0, 1, 16_384, 70_000] {
                let fd = guest.open(&format!("{size}-{at}"), O_CREAT, READ | WRITE).expect("made");
                assert_eq!(guest.call("fd_seek", args![fd, i64::from(at), 0_u32, OUT]), Ok(()));
                let bytes = pattern(size, at);
                assert_eq!(guest.write(fd, &bytes), Ok(size), "{on:?}");
                let end = if size == 0 { 0 } else { at + size };
                assert_eq!(guest.call("fd_filestat_get", args![fd, OUT]), Ok(()));
                assert_eq!(guest.u64_at(OUT + 32), u64::from(end), "{on:?} {size} at {at}");
                assert_eq!(guest.call("fd_seek", args![fd, 0_i64, 0_u32, OUT]), Ok(()));
                let read = guest.read(fd, end + 10).expect("read");
                assert!(read.len() == end as usize, "{on:?} {size} at {at}: {}", read.len());
                if size > 0 {
                    assert!(read[..at as usize].iter().all(|b| *b == 0), "{on:?} {size} at {at}");
                    assert!(read[at as usize..] == bytes, "{on:?} {size} at {at}");
                }
                assert_eq!(guest.call("fd_close", args![fd]), Ok(()));
                assert_eq!(guest.on_path("path_unlink_file", &format!("{size}-{at}")), Ok(()));
            }
        }
    });
}

#[test]
fn lists_of_mixed_sizes_are_scattered_and_gathered() {
    on_each(roomy(), |guest, on| {
        guest.memory.resize(4 << 20, 0);
        let sizes = [0, 1, 65_537, 0, 4_095, 4_096, 0, 70_000, 3, 300_000, 0];
        let total = sizes.iter().sum::<u32>();
        let bytes = pattern(total, 9);
        let lay = |base: u32| {
            let mut at = base;
            sizes.map(|size| {
                at += size;
                (at - size, size)
            })
        };
        let (source, target) = (lay(DATA), lay(2 << 20));
        guest.put(DATA, &bytes);
        let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
        let (iovs, count) = guest.iovs(&source);
        assert_eq!(guest.call("fd_write", args![fd, iovs, count, OUT]), Ok(()));
        assert_eq!(guest.u32_at(OUT), total, "{on:?}");
        let (iovs, count) = guest.iovs(&target);
        assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 0_u64, OUT]), Ok(()));
        assert_eq!(guest.u32_at(OUT), total, "{on:?}");
        assert!(guest.get(2 << 20, total as usize) == bytes, "{on:?}");
        // From the middle on, there is less than was asked for.
        assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 100_000_u64, OUT]), Ok(()));
        assert_eq!(guest.u32_at(OUT), total - 100_000, "{on:?}");
        assert!(guest.get(2 << 20, total as usize - 100_000) == &bytes[100_000..], "{on:?}");
    });
}

#[test]
fn positions_end_where_signed_numbers_do() {
    on_each(roomy(), |guest, on| {
        let fd = guest.open("f", O_CREAT, READ | WRITE).expect("made");
        guest.put(DATA, b"abc");
        let (iovs, count) = guest.iovs(&[(DATA, 3)]);
        let top = i64::MAX as u64;
        for at in [top - 2, top - 1, top, top + 1, u64::MAX - 3, u64::MAX] {
            for call in ["fd_pread", "fd_pwrite"] {
                let answer = guest.call(call, args![fd, iovs, count, at, OUT]);
                assert_eq!(answer, Err(Errno::Invalid), "{on:?} {call} {at:#x}");
            }
        }
        assert_eq!(guest.call("fd_pread", args![fd, iovs, count, 1_u64 << 40, OUT]), Ok(()), "{on:?}");
        assert_eq!(guest.u32_at(OUT), 0, "{on:?}");
        assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, 1_u64 << 40, OUT]), Err(Errno::NoSpace), "{on:?}");
        for size in [top + 1, u64::MAX] {
            assert_eq!(guest.call("fd_filestat_set_size", args![fd, size]), Err(Errno::Invalid), "{on:?}");
        }
        assert_eq!(guest.call("fd_filestat_set_size", args![fd, top]), Err(Errno::NoSpace), "{on:?}");
        for (offset, len, wanted) in [
            (top, 1, Errno::FileTooBig),
            (u64::MAX, 1, Errno::FileTooBig),
            (0, top, Errno::NoSpace),
            (5, 0, Errno::Invalid),
        ] {
            assert_eq!(guest.call("fd_allocate", args![fd, offset, len]), Err(wanted), "{on:?} {offset:#x} {len:#x}");
        }
        for (offset, whence) in [(i64::MIN, 0_u32), (-1, 0), (i64::MIN, 1), (-1, 1), (i64::MIN, 2), (-1, 2)] {
            assert_eq!(guest.call("fd_seek", args![fd, offset, whence, OUT]), Err(Errno::Invalid), "{on:?} {offset}");
        }
        // How far a file can be is up to the host's file system; past the end there is nothing to read.
        assert_eq!(guest.call("fd_seek", args![fd, 1_i64 << 40, 0_u32, OUT]), Ok(()), "{on:?}");
        assert_eq!(guest.call("fd_seek", args![fd, i64::MAX, 1_u32, OUT]), Err(Errno::Invalid), "{on:?}");
        assert_eq!(guest.read(fd, 3), Ok(vec![]), "{on:?}");
        assert_eq!(guest.write(fd, b"abc"), Err(Errno::NoSpace), "{on:?}");
        assert_eq!(guest.write(fd, b""), Ok(0), "{on:?}");
        assert_eq!(guest.call("fd_tell", args![fd, OUT]).map(|()| guest.u64_at(OUT)), Ok(1 << 40), "{on:?}");
    });
}

#[test]
fn what_is_read_ahead_of_a_hole_and_a_base_is_right_at_every_edge() {
    // A file given from Rust, cut, lengthened and written at the edges of pieces, against a plain vector.
    let given = pattern(40_000, 3);
    let dir = MemoryDir::new().file("f", &given);
    let mut guest = Guest::new(WasiConfig { preopens: vec![Preopen::memory(dir, "/")], ..WasiConfig::default() });
    let fd = guest.open("f", 0, READ | WRITE).expect("open");
    let mut model = given;
    for (i, size) in [39_999_usize, 32_768, 50_000, 16_385, 16_384, 16_383, 100_000, 1, 65_536].into_iter().enumerate()
    {
        assert_eq!(guest.call("fd_filestat_set_size", args![fd, size as u64]), Ok(()));
        model.resize(size, 0);
        for at in [size / 2, size.saturating_sub(1), size / 16_384 * 16_384] {
            guest.put(DATA, &[i as u8 + 1; 5]);
            let (iovs, count) = guest.iovs(&[(DATA, 5)]);
            assert_eq!(guest.call("fd_pwrite", args![fd, iovs, count, at as u64, OUT]), Ok(()));
            model.resize(model.len().max(at + 5), 0);
            model[at..at + 5].fill(i as u8 + 1);
        }
        let view = guest.state().memory("/").expect("there").read("f").expect("there");
        assert!(view == model, "{size}");
    }
}
