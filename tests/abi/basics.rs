//! Grants; bytes in and out, log, time, randomness.

use std::sync::Arc;

use cofferdam::host::agent::{AbiError, AgentState, Capability, LogLevel, MAX_LOG_LINE, MODULE};
use cofferdam::host::wasi::{Clocks, Random};
use cofferdam::policy::{Grants, MemoryBytes, SecurityPolicy};
use cofferdam::{GuestState, Outcome};

use super::*;

#[test]
fn what_is_not_granted_is_not_linked() {
    for cell in cells() {
        for capability in Capability::ALL {
            let module = driver(capability.functions());
            let load = |grants| cell.sandbox(SecurityPolicy::standard().grants(grants)).load(module.as_bytes());
            for other in Capability::ALL.iter().filter(|other| *other != capability) {
                let done = load(Grants::none().capability(*other));
                if *capability == Capability::Io {
                    done.unwrap_or_else(|e| panic!("{other}: {e}"));
                    continue;
                }
                let refused = done.err().unwrap_or_else(|| panic!("{capability} with {other}")).to_string();
                assert!(refused.contains(capability.functions()[0]) && refused.contains("does not grant"), "{refused}");
            }
            load(Grants::none()).expect_err("nothing is granted");
            load(Grants::none().capability(*capability)).unwrap_or_else(|e| panic!("{e}"));
            load(Grants::none().module(MODULE)).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

#[test]
fn a_guest_that_is_no_agent_fails_by_the_hosts_fault() {
    for cell in cells() {
        let sandbox = cell.sandbox(cell.policy(&[]));
        let module = sandbox.load(driver(Capability::Io.functions()).as_bytes()).expect("granted");
        let mut guest = sandbox.guest(&module, GuestState::default()).expect("it is made");
        let outcome = guest.call("input_len", &[]).outcome;
        assert!(matches!(&outcome, Outcome::HostFault(why) if why.contains("AgentState")), "{outcome:?}");
    }
}

#[test]
fn bytes_go_in_by_pieces_and_come_out_in_order() {
    for cell in cells() {
        let mut guest = cell.guest(&[], AgentState::new("a"));
        guest.state().begin_call(Arc::from(&b"0123456789"[..]), 0);
        assert_eq!(guest.call("input_len", &[]), Ok(10));
        assert_eq!(guest.call("input_read", args![OUT, 4u32, 0u32]), Ok(4));
        assert_eq!(guest.call("input_read", args![OUT + 4, 100u32, 4u32]), Ok(6));
        assert_eq!(guest.get(OUT, 11), b"0123456789\0");
        for (len, offset) in [(10u32, 10u32), (10, 11), (10, u32::MAX), (0, 0)] {
            assert_eq!(guest.call("input_read", args![OUT, len, offset]), Ok(0));
        }
        assert_eq!(guest.call("result_read", args![OUT, 10u32, 0u32]), Ok(0), "there is no result");
        assert_eq!(guest.call("output_write", args![OUT, 4u32]), Ok(4));
        assert_eq!(guest.call("output_write", args![OUT, 0u32]), Ok(0));
        assert_eq!(guest.call("output_write", args![OUT + 8, 2u32]), Ok(2));
        assert_eq!(guest.state().end_call(), b"012389");
        assert_eq!(guest.call("input_len", &[]), Ok(0));
        assert_eq!(guest.state().end_call(), b"");
    }
}

#[test]
fn output_ends_at_the_message_cap() {
    for cell in cells() {
        let mut guest = cell.guest(&[], AgentState::new("a"));
        assert_eq!(guest.call("output_write", args![0u32, 100_001u32]), Err(AbiError::TooLarge));
        assert_eq!(guest.call("output_write", args![0u32, 99_999u32]), Ok(99_999));
        assert_eq!(guest.call("output_write", args![0u32, 2u32]), Err(AbiError::TooLarge));
        assert_eq!(guest.call("output_write", args![0u32, 1u32]), Ok(1));
        assert_eq!(guest.call("output_write", args![0u32, 1u32]), Err(AbiError::TooLarge));
        assert_eq!(guest.call("output_write", args![0u32, 0u32]), Ok(0));
        assert_eq!(guest.state().end_call().len(), 100_000);
        assert_eq!(guest.call("output_write", args![0u32, MEMORY]), Err(AbiError::TooLarge));
    }
}

#[test]
fn log_lines_are_filtered_escaped_and_cut() {
    for cell in cells() {
        let lines = Arc::new(Lines::default());
        let state = AgentState::new("a").log_to(lines.clone(), LogLevel::Info).clocks(Clocks::Virtual { start_ns: 77 });
        let mut guest = cell.guest(&[Capability::Log], state);
        let mut log = |level: i32, text: &[u8]| {
            let len = guest.put(DATA, text);
            guest.call("log", args![level, DATA, len])
        };
        assert_eq!(log(0, b"bad"), Ok(0));
        assert_eq!(log(2, "two\nlines\u{1b}[2J, \u{202e}back".as_bytes()), Ok(0));
        assert_eq!(log(3, b"not shown"), Ok(0));
        assert_eq!(log(2, b""), Ok(0));
        for level in [5, -1, i32::MAX] {
            assert_eq!(log(level, b"x"), Err(AbiError::Invalid));
        }
        assert_eq!(log(2, b"a\xffb"), Err(AbiError::Invalid));
        assert_eq!(log(2, b"ends in \xe2\x82"), Err(AbiError::Invalid), "half a character");
        assert_eq!(log(3, b"\xff"), Err(AbiError::Invalid), "shown or not");

        let full = "x".repeat(MAX_LOG_LINE);
        assert_eq!(log(1, full.as_bytes()), Ok(0));
        assert_eq!(log(1, format!("{full}y").as_bytes()), Ok(0));
        // A character of three bytes over the edge: it goes as a whole.
        assert_eq!(log(1, format!("{}€€{}", &full[2..], "z".repeat(10_000)).as_bytes()), Ok(0));
        // What lies beyond the edge is not looked at.
        let beyond = [full.as_bytes(), &[b'y', b'y', b'y', 0xff]].concat();
        assert_eq!(log(1, &beyond), Ok(0));

        assert_eq!(lines.texts()[..2], ["error bad", "info two\\nlines\\u{1b}[2J, \\u{202e}back"]);
        let lines = lines.0.lock();
        let cut: Vec<_> = lines.iter().map(|line| (line.text.to_string().len(), line.cut)).collect();
        assert_eq!(cut[3..], [(4096, 0), (4096, 1), (4094, 6 + 10_000), (4096, 4)]);
        assert!(lines.iter().all(|line| line.time_ns == 77 && &*line.agent == "a"), "logging reads no clock");
    }
}

#[test]
fn log_ends_at_its_cap_and_begins_anew_with_the_next_call() {
    for cell in cells() {
        let lines = Arc::new(Lines::default());
        let state = AgentState::new("a").log_to(lines.clone(), LogLevel::Info).log_bytes(MemoryBytes::new(100));
        let mut guest = cell.guest(&[Capability::Log], state);
        assert_eq!(guest.call("log", args![2, DATA, 101u32]), Err(AbiError::Full));
        assert_eq!(guest.call("log", args![2, DATA, 60u32]), Ok(0));
        assert_eq!(guest.call("log", args![2, DATA, 41u32]), Err(AbiError::Full));
        assert_eq!(guest.call("log", args![2, DATA, 0u32]), Ok(0), "which counts 32");
        assert_eq!(guest.call("log", args![2, DATA, 0u32]), Err(AbiError::Full));
        assert_eq!((lines.0.lock().len(), guest.state().refused_log_lines()), (2, 3));
        guest.state().begin_call(Arc::default(), 0);
        assert_eq!(guest.call("log", args![2, DATA, 100u32]), Ok(0));
    }
}

#[test]
fn what_the_host_keeps_of_a_log_does_not_show() {
    for cell in cells() {
        let cap = MemoryBytes::new(100);
        let kept = |level| AgentState::new("a").log_to(Arc::new(Lines::default()), level).log_bytes(cap);
        let hosts = [kept(LogLevel::Trace), kept(LogLevel::Error), AgentState::new("a").log_bytes(cap)];
        let told = hosts.map(|state| {
            let mut guest = cell.guest(&[Capability::Log], state);
            [50u32, 0, 50, 1].map(|len| guest.call("log", args![3, DATA, len]))
        });
        assert_eq!(told, [[Ok(0), Ok(0), Err(AbiError::Full), Err(AbiError::Full)]; 3]);
    }
}

#[test]
fn time_and_randomness_are_the_hosts_or_repeatable() {
    let mut told = Vec::new();
    for cell in cells() {
        let both = [Capability::Time, Capability::Random];
        let mut guest = cell.guest(&both, AgentState::new("a"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let read = guest.call("get_time", &[]).expect("a time");
        assert!((read - i64::try_from(now.as_nanos()).expect("before 2262")).abs() < 60_000_000_000);
        assert_eq!(guest.call("random", args![OUT, 32u32]), Ok(0));
        assert_eq!(guest.call("random", args![OUT, 0u32]), Ok(0));
        let first = guest.get(OUT, 33);
        assert!(first[..32].iter().any(|b| *b != 0) && first[32] == 0);
        assert_eq!(guest.call("random", args![OUT, 32u32]), Ok(0));
        assert_ne!(guest.get(OUT, 33), first);

        let mut guest = cell.deterministic(42, &both, AgentState::new("a"));
        assert_eq!(guest.call("random", args![OUT, 300_000u32]), Ok(0), "in pieces");
        let times = [guest.call("get_time", &[]), guest.call("get_time", &[])];
        assert_eq!(times, [Ok(1_000_000), Ok(2_000_000)]);
        told.push(guest.get(OUT, 300_000));

        // What was configured to be repeatable stays as it is.
        let state = AgentState::new("a").clocks(Clocks::Virtual { start_ns: 5 }).randomness(Random::Seeded(42));
        let mut guest = cell.deterministic(7, &both, state);
        assert_eq!(guest.call("get_time", &[]), Ok(1_000_005));
        assert_eq!(guest.call("random", args![OUT, 300_000u32]), Ok(0));
        told.push(guest.get(OUT, 300_000));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "one seed, one sequence, on every engine");
}

#[test]
fn bytes_are_paid_for() {
    let mut fuel = Vec::new();
    for cell in cells().into_iter().filter(|cell| cell.mode == cofferdam::FuelMode::Portable) {
        let lines = Arc::new(Lines::default());
        let state = AgentState::new("a").log_to(lines, LogLevel::Info).log_bytes(MemoryBytes::mib(1));
        let mut guest = cell.guest(&[Capability::Log, Capability::Random], state);
        guest.state().begin_call(vec![7; 80_000].into(), 0);
        guest.put(DATA, &[b'x'; 5_000]);
        let mut costs = Vec::new();
        let cases: [(&str, &[Value], &[Value], u64); 4] = [
            ("input_read", args![OUT, 0u32, 0u32], args![OUT, 80_000u32, 0u32], 10_000),
            ("output_write", args![OUT, 0u32], args![OUT, 80_000u32], 10_000),
            ("random", args![OUT, 0u32], args![OUT, 80_000u32], 320_000),
            ("log", args![2, DATA, 0u32], args![2, DATA, 5_000u32], 4 * 4096),
        ];
        for (function, less, more, least) in cases {
            let [less, more] = [less, more].map(|args| guest.report(function, args).receipt.fuel);
            assert_eq!(more - less, least, "{function}");
            costs.push((less, more));
        }
        fuel.push(costs);
    }
    assert!(fuel.windows(2).all(|pair| pair[0] == pair[1]), "the same on every engine");
}
