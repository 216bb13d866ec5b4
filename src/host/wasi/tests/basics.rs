//! The table, arguments, environment, clocks, randomness, ends.

use cofferdam_engine::{HostError, Import, StoreContext, StoreLimits, ValType};

use super::super::{Clocks, Random, WasiConfigError, add_to, known_imports};
use super::*;

/// Preview 1 as `wasi_snapshot_preview1.witx` has it after lowering: `i` is i32, `I` is i64.
const WITX: &str = "
    args_get ii:i  args_sizes_get ii:i  environ_get ii:i  environ_sizes_get ii:i
    clock_res_get ii:i  clock_time_get iIi:i
    fd_advise iIIi:i  fd_allocate iII:i  fd_close i:i  fd_datasync i:i  fd_fdstat_get ii:i
    fd_fdstat_set_flags ii:i  fd_fdstat_set_rights iII:i  fd_filestat_get ii:i  fd_filestat_set_size iI:i
    fd_filestat_set_times iIIi:i  fd_pread iiiIi:i  fd_prestat_get ii:i  fd_prestat_dir_name iii:i
    fd_pwrite iiiIi:i  fd_read iiii:i  fd_readdir iiiIi:i  fd_renumber ii:i  fd_seek iIii:i  fd_sync i:i
    fd_tell ii:i  fd_write iiii:i
    path_create_directory iii:i  path_filestat_get iiiii:i  path_filestat_set_times iiiiIIi:i
    path_link iiiiiii:i  path_open iiiiiIIii:i  path_readlink iiiiii:i  path_remove_directory iii:i
    path_rename iiiiii:i  path_symlink iiiii:i  path_unlink_file iii:i
    poll_oneoff iiii:i  proc_exit i:  proc_raise i:i  sched_yield :i  random_get ii:i
    sock_accept iii:i  sock_recv iiiiii:i  sock_send iiiii:i  sock_shutdown ii:i
";

#[test]
fn all_of_preview_1_links_with_its_own_signatures() {
    let letters =
        |types: &[ValType]| -> String { types.iter().map(|t| if *t == ValType::I64 { 'I' } else { 'i' }).collect() };
    let words = WITX.split_whitespace().collect::<Vec<_>>();
    let mut wanted = words.chunks(2).map(|w| (w[0].to_owned(), w[1].to_owned())).collect::<Vec<_>>();
    wanted.sort();
    let mut known = known_imports()
        .iter()
        .map(|k| (k.name.to_owned(), format!("{}:{}", letters(k.params), letters(k.results))))
        .collect::<Vec<_>>();
    known.sort();
    assert_eq!(known, wanted);
    assert_eq!(known.len(), 46);

    let mut all = cofferdam_engine::Imports::new();
    add_to(&mut all);
    for import in known_imports() {
        let Some(Import::Host(func)) = all.get(MODULE, import.name) else { panic!("{}", import.name) };
        assert_eq!((func.ty().params(), func.ty().results()), (import.params, import.results));
    }
}

#[test]
fn calls_that_do_nothing_say_so() {
    let mut guest = Guest::new(WasiConfig::default());
    for import in known_imports().iter().filter(|k| !k.implemented) {
        let params = import.params.iter().map(|t| Value::default_of(*t)).collect::<Vec<_>>();
        let answer = guest.call(import.name, &params);
        match import.name {
            "fd_allocate" => assert_eq!(answer, Err(Errno::NotSeekable)),
            name if name.starts_with("sock_") => assert_eq!(answer, Err(Errno::NotSocket), "{name}"),
            name => assert_eq!(answer, Err(Errno::NotImplemented), "{name}"),
        }
    }
}

#[test]
fn arguments_and_environment_are_what_was_given() {
    let mut guest = Guest::new(WasiConfig {
        args: vec!["prog".into(), "ä b".into(), String::new()],
        env: vec![("HOME".into(), "/x=y".into())],
        ..WasiConfig::default()
    });
    assert_eq!(guest.call("args_sizes_get", args![OUT, OUT + 4]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (3, 11));
    assert_eq!(guest.call("args_get", args![OUT, DATA]), Ok(()));
    assert_eq!(guest.get(DATA, 11), "prog\0ä b\0\0".as_bytes());
    assert_eq!([guest.u32_at(OUT), guest.u32_at(OUT + 4), guest.u32_at(OUT + 8)], [DATA, DATA + 5, DATA + 10]);

    assert_eq!(guest.call("environ_sizes_get", args![OUT, OUT + 4]), Ok(()));
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (1, 10));
    assert_eq!(guest.call("environ_get", args![OUT, DATA]), Ok(()));
    assert_eq!((guest.get(DATA, 10), guest.u32_at(OUT)), (&b"HOME=/x=y\0"[..], DATA));

    // Nothing of the process's own, which surely has an environment.
    assert!(std::env::vars_os().next().is_some());
    let mut bare = Guest::new(WasiConfig::default());
    assert_eq!(bare.call("environ_sizes_get", args![OUT, OUT + 4]), Ok(()));
    assert_eq!(bare.u64_at(OUT), 0);
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    let build = |config: WasiConfig| config.build().expect_err("refused");
    let nul = build(WasiConfig { args: vec!["a".into(), "b\0c".into()], ..WasiConfig::default() });
    assert!(matches!(nul, WasiConfigError::NulInArgument { index: 1 }));
    for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "x\0")] {
        let bad = build(WasiConfig { env: vec![(name.into(), value.into())], ..WasiConfig::default() });
        assert!(matches!(bad, WasiConfigError::BadVariable { name: n } if n == name));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing");
    let none = build(WasiConfig { preopens: vec![Preopen::read_only(&missing, "/")], ..WasiConfig::default() });
    assert!(none.to_string().contains("missing"), "{none}");
    for names in [vec![""], vec!["a\0"], vec!["a", "a"]] {
        let preopens = names.into_iter().map(|n| Preopen::read_only(dir.path(), n)).collect();
        let bad = build(WasiConfig { preopens, ..WasiConfig::default() });
        assert!(matches!(bad, WasiConfigError::GuestName { .. }));
    }
}

#[test]
fn a_virtual_clock_moves_only_with_the_guest() {
    let start_ns = 1_600_000_000_000_000_000;
    let readings = || {
        let mut guest = Guest::new(WasiConfig { clocks: Clocks::Virtual { start_ns }, ..WasiConfig::default() });
        let mut read = |id: u32| {
            assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Ok(()));
            guest.u64_at(OUT)
        };
        [read(0), read(1), read(0), read(1), read(2), read(3)]
    };
    let first = readings();
    assert_eq!(first, readings());
    assert_eq!(first[0], start_ns + 1_000_000);
    assert_eq!(first[2] - first[0], 2_000_000);
    assert!(first[1] > 0 && first[3] - first[1] == 2_000_000 && first[5] > first[4]);
}

#[test]
fn real_clocks_go_forward_and_unknown_ones_are_invalid() {
    let mut guest = Guest::new(WasiConfig::default());
    for id in 0..4_u32 {
        assert_eq!(guest.call("clock_res_get", args![id, OUT]), Ok(()));
        assert!(guest.u64_at(OUT) > 0);
        assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Ok(()));
        let before = guest.u64_at(OUT);
        assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Ok(()));
        assert!(before > 0 && guest.u64_at(OUT) >= before);
    }
    // The year 2020, in nanoseconds.
    assert_eq!(guest.call("clock_time_get", args![0_u32, 0_u64, OUT]), Ok(()));
    assert!(guest.u64_at(OUT) > 1_577_836_800_000_000_000);
    for id in [4, u32::MAX] {
        assert_eq!(guest.call("clock_res_get", args![id, OUT]), Err(Errno::Invalid));
        assert_eq!(guest.call("clock_time_get", args![id, 0_u64, OUT]), Err(Errno::Invalid));
    }
}

#[test]
fn randomness_is_the_systems_or_the_seeds() {
    let draw = |random, lens: &[u32]| {
        let mut guest = Guest::new(WasiConfig { random, ..WasiConfig::default() });
        let mut at = DATA;
        for len in lens {
            assert_eq!(guest.call("random_get", args![at, *len]), Ok(()));
            at += len;
        }
        guest.get(DATA, 64).to_vec()
    };
    assert_eq!(draw(Random::Seeded(1), &[64]), draw(Random::Seeded(1), &[64]));
    assert_ne!(draw(Random::Seeded(1), &[64]), draw(Random::Seeded(2), &[64]));
    // The stream is part of the contract: another release must draw the same.
    assert_eq!(draw(Random::Seeded(7), &[64])[..8], [31, 242, 231, 99, 173, 186, 252, 211]);
    assert_ne!(draw(Random::Real, &[64]), draw(Random::Real, &[64]));
    assert_eq!(draw(Random::Real, &[0]), [0; 64]);
}

#[test]
fn exit_ends_the_guest_with_its_code() {
    let mut guest = Guest::new(WasiConfig::default());
    for code in [0, 1, 255, u32::MAX] {
        let end = guest.try_call("proc_exit", args![code]);
        assert!(matches!(end, Err(HostError::Exit(c)) if c == code));
    }
}

#[test]
fn a_guest_without_wasi_is_a_host_fault() {
    let mut guest = Guest::new(WasiConfig::default());
    guest.context = StoreContext::new(StoreLimits::default(), Box::new(GuestState::default()));
    let end = guest.try_call("args_sizes_get", args![OUT, OUT]);
    assert!(matches!(end, Err(HostError::Failed(_))));
}

#[test]
fn yielding_and_fuel_depend_on_nothing_outside() {
    let run = || {
        let mut guest = Guest::new(WasiConfig { stdout: Output::Discard, ..WasiConfig::default() });
        assert_eq!(guest.call("sched_yield", args![]), Ok(()));
        assert_eq!(guest.write(1, &[b'x'; 1000]), Ok(1000));
        assert_eq!(guest.call("random_get", args![DATA, 1000_u32]), Ok(()));
        assert_eq!(guest.call("clock_time_get", args![0_u32, 0_u64, OUT]), Ok(()));
        guest.consumed()
    };
    assert!(run() > 1000);
    assert_eq!(run(), run());
}
