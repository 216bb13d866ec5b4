//! Whatever numbers a guest passes: an answer, no panic, no growth, nothing outside the memory.

use cofferdam_engine::{Limit, ValType};

use super::super::{Clocks, Random, WasiLimits, known_imports};
use super::*;

/// Numbers that are at an edge of something.
const EDGES: [u64; 12] = [
    0,
    1,
    3,
    4,
    MEMORY as u64 - 4,
    MEMORY as u64 - 1,
    MEMORY as u64,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
    u64::MAX,
];

fn value(ty: ValType, n: u64) -> Value {
    if ty == ValType::I64 { n.into() } else { (n as u32).into() }
}

fn guest(dir: &Path) -> Guest {
    Guest::new(WasiConfig {
        args: vec!["a".into(), "b".into()],
        preopens: vec![Preopen::read_write(dir, "/")],
        clocks: Clocks::Virtual { start_ns: 0 },
        random: Random::Seeded(1),
        limits: WasiLimits { output_bytes: 1 << 20, ..WasiLimits::default() },
        ..WasiConfig::default()
    })
}

/// Calls with `params` and checks that the guest was told something sensible.
fn survives(guest: &mut Guest, name: &str, params: &[Value]) {
    match guest.try_call(name, params) {
        // `try_call` has checked that the answer is an error number of ours.
        Ok(_) => {}
        Err(HostError::Exit(_)) => assert_eq!(name, "proc_exit"),
        Err(HostError::Limit(Limit::Output)) => assert_eq!(name, "fd_write"),
        Err(other) => panic!("{name}{params:?}: {other}"),
    }
}

#[test]
fn every_call_survives_every_edge() {
    let dir = tempfile::tempdir().expect("a directory");
    for import in known_imports() {
        let mut guest = guest(dir.path());
        // Each parameter at each edge, with each edge for all the others.
        for (i, other) in (0..import.params.len()).flat_map(|i| EDGES.map(|o| (i, o))) {
            for edge in EDGES {
                let params = import.params.iter().enumerate();
                let params = params.map(|(j, ty)| value(*ty, if i == j { edge } else { other })).collect::<Vec<_>>();
                survives(&mut guest, import.name, &params);
            }
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0, "zeros name no file");
}

#[test]
fn every_call_survives_noise() {
    // A fixed sequence, so that a failure can be seen again.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..40 {
        let mut guest = guest(dir.path());
        for byte in &mut guest.memory {
            // Small numbers make plausible lists; letters make plausible paths.
            let n = noise();
            *byte = match round % 4 {
                0 => (n % 3) as u8,
                1 => b"ab./\0"[(n % 5) as usize],
                2 => n as u8,
                _ => 0,
            };
        }
        for import in known_imports().iter().cycle().take(46 * 20) {
            let params = import.params.iter().map(|ty| {
                let n = noise();
                value(*ty, if n & 3 == 0 { EDGES[(n >> 8) as usize % EDGES.len()] } else { (n >> 8) % 0x1_8000 })
            });
            let params = params.collect::<Vec<_>>();
            survives(&mut guest, import.name, &params);
        }
    }
}

#[test]
fn without_a_memory_every_pointer_is_a_fault() {
    for import in known_imports().iter().filter(|k| k.implemented && k.name != "proc_exit") {
        let mut guest = Guest::new(WasiConfig { args: vec!["a".into()], ..WasiConfig::default() });
        guest.memory.clear();
        let params = import.params.iter().map(|ty| value(*ty, 1)).collect::<Vec<_>>();
        let answer = guest.try_call(import.name, &params).expect("the guest goes on");
        let touches = matches!(
            import.name,
            "args_get"
                | "args_sizes_get"
                | "environ_sizes_get"
                | "clock_res_get"
                | "clock_time_get"
                | "fd_fdstat_get"
                | "fd_filestat_get"
                | "fd_pread"
                | "fd_pwrite"
                | "fd_read"
                | "fd_readdir"
                | "fd_seek"
                | "fd_write"
                | "poll_oneoff"
                | "random_get"
        ) || import.name.starts_with("path_");
        if touches {
            assert_eq!(answer, Err(Errno::Fault), "{}", import.name);
        }
    }
}

#[test]
fn lists_are_bounded_in_number_and_in_sum() {
    let mut guest = Guest::new(quiet(Output::Discard));
    for count in [1025_u32, u32::MAX] {
        for name in ["fd_read", "fd_write"] {
            assert_eq!(guest.call(name, args![1_u32, DATA, count, OUT]), Err(Errno::Invalid), "{name}");
        }
        for name in ["fd_pread", "fd_pwrite"] {
            assert_eq!(guest.call(name, args![1_u32, DATA, count, 0_u64, OUT]), Err(Errno::Invalid), "{name}");
        }
    }
    // Each fits, together they are above 4 GiB.
    guest.memory.resize(8 << 20, 0);
    let list = vec![(0, 8 << 20); 512];
    let (iovs, count) = guest.iovs(&list);
    assert_eq!(guest.call("fd_write", args![1_u32, iovs, count, OUT]), Err(Errno::Invalid));
    // The last one does not fit: nothing is written at all.
    let (iovs, count) = guest.iovs(&[(DATA, 4), (8 << 20, 1)]);
    assert_eq!(guest.call("fd_write", args![1_u32, iovs, count, OUT]), Err(Errno::Fault));
    assert_eq!(guest.call("fd_write", args![1_u32, iovs, 1_u32, 0xffff_fffd_u32]), Err(Errno::Fault));
    assert_eq!(guest.state().output_bytes(), 0);
}

#[test]
fn work_is_paid_for_before_it_is_done() {
    let broke = |fuel, name: &str, params: &[Value]| {
        let mut guest = Guest::with_budget(quiet(Output::Capture), &CallBudget::of_fuel(fuel));
        guest.put(OUT + 64, &[DATA.to_le_bytes(), 0x10000_u32.to_le_bytes()].concat());
        let end = guest.try_call(name, params);
        assert!(matches!(end, Err(HostError::Limit(Limit::Fuel))), "{name}: {end:?}");
        assert_eq!(guest.state().output_bytes(), 0);
        assert!(guest.get(DATA, 0x10000).iter().all(|b| *b == 0), "{name}");
        assert_eq!(guest.consumed(), fuel);
    };
    broke(5_000, "fd_write", args![1_u32, OUT + 64, 1_u32, OUT]);
    broke(5_000, "random_get", args![DATA, 0x10000_u32]);
    broke(50_000, "poll_oneoff", args![0_u32, 0_u32, 1600_u32, OUT]);
    broke(10, "fd_close", args![1_u32]);
}

#[test]
fn a_list_inside_what_it_fills_is_read_first() {
    let mut guest =
        Guest::new(WasiConfig { stdin: super::super::Stdin::Bytes(vec![0xff; 64]), ..WasiConfig::default() });
    // The list lies where the data goes, and so does the count of bytes.
    let (iovs, count) = guest.iovs(&[(OUT + 64, 32), (OUT + 64, 32)]);
    assert_eq!(guest.call("fd_read", args![0_u32, iovs, count, OUT + 64]), Ok(()));
    assert_eq!(guest.u32_at(OUT + 64), 32);
    assert_eq!(guest.get(OUT + 68, 28), [0xff; 28]);
}
