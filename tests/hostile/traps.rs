//! Guests that fault, exit, and name things so as to deceive.

use cofferdam::Outcome;
use cofferdam::sandbox::Printable;

use super::faults::FAULTS;
use super::support::{Refused, closed_wasi, guest_with, hostile, tight};
use super::{cells, number};

#[test]
fn every_fault_has_its_word_and_harms_nobody_else() {
    for cell in cells() {
        for (reason, exports) in FAULTS {
            for export in *exports {
                cell.ends("traps.wat", export, tight(), reason);
                assert_eq!(cell.returns("traps.wat", "ok", tight()), 7, "{cell} after {export}");
            }
        }
    }
}

#[test]
fn faults_at_the_start_are_the_guests() {
    for cell in cells() {
        let report = cell.ends("start_trap.wat", "run", tight(), "unreachable");
        if cell.engine.descriptor().capabilities.trap_frames {
            assert_eq!(names(&report.outcome), ["fail_at_start", "start"], "{cell}");
        }
        let (_, report) = cell.call("start_exit.wat", "run", &[], tight());
        assert!(matches!(report.outcome, Outcome::Completed { exit_code: Some(5), .. }), "{cell}: {}", report.outcome);
        match guest_with(&cell.engine, cell.policy(tight()), &hostile("traps_at_start.wat"), closed_wasi()) {
            Err(Refused::Guest(error)) => {
                assert!(error.to_string().contains("memory access out of bounds"), "{cell}: {error}");
            }
            Err(other) => panic!("{cell}: {other:?}"),
            Ok(_) => panic!("{cell}: a segment past the end was written"),
        }
    }
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome.frames().iter().map(|f| f.name.as_deref().unwrap_or("?").to_owned()).collect()
}

#[test]
fn frames_are_those_of_the_original_module() {
    let binary = wat::parse_bytes(&hostile("trap_frames.wat")).expect("it is good").into_owned();
    for cell in cells() {
        let report = cell.ends("trap_frames.wat", "run", tight(), "unreachable");
        if !cell.engine.descriptor().capabilities.trap_frames {
            assert!(report.outcome.frames().is_empty(), "{cell}: it says that it has none");
            continue;
        }
        assert_eq!(names(&report.outcome), ["inner", "middle", "outer", "run"], "{cell}");
        for frame in report.outcome.frames() {
            let at = frame.offset.expect("the engine tells offsets") as usize;
            // unreachable, call, call_indirect: an operator of the original module, not one between.
            assert!(matches!(binary[at], 0x00 | 0x10 | 0x11), "{cell}: {frame:?} is at byte {:#x}", binary[at]);
        }
        let report = cell.ends("trap_frames.wat", "run_indirect", tight(), "unreachable");
        assert_eq!(names(&report.outcome), ["inner", "run_indirect"], "{cell}");
        let report = cell.ends("trap_frames.wat", "run_later", tight(), "integer_division_by_zero");
        assert_eq!(names(&report.outcome), ["divide", "run_later"], "{cell}");
        let report = cell.ends("trap_frames.wat", "run_deep", tight(), "unreachable");
        let frames = names(&report.outcome);
        assert!((2..=64).contains(&frames.len()), "{cell}: {} frames", frames.len());
        assert!(frames.iter().skip(1).all(|n| n == "recurse"), "{cell}: {frames:?}");
    }
}

#[test]
fn exit_codes_come_through_whole() {
    let rows = [
        ("exit_0", 0),
        ("exit_1", 1),
        ("exit_3", 3),
        ("exit_255", 255),
        ("exit_256", 256),
        ("exit_70000", 70_000),
        ("exit_max", u32::MAX),
        ("exit_nested", 3),
        ("exit_in_loop", 3),
    ];
    for cell in cells() {
        for (export, code) in rows {
            let (mut guest, report) = cell.call("exit_codes.wat", export, &[], tight());
            match report.outcome {
                Outcome::Completed { exit_code, .. } => assert_eq!(exit_code, Some(code), "{cell} {export}"),
                other => panic!("{cell} {export}: {other}"),
            }
            assert_eq!(guest.call(export, &[]).outcome.reason(), Some("poisoned"), "{cell} {export}: it has ended");
        }
    }
}

#[test]
fn names_that_drive_a_terminal_are_shown_escaped_and_cut() {
    for cell in cells() {
        match guest_with(&cell.engine, cell.policy(tight()), &hostile("hostile_names.wat"), closed_wasi()) {
            Err(Refused::Load(error)) => {
                let text = error.to_string();
                let tame = text.chars().all(|c| c == '\n' || !c.is_control());
                assert!(tame && text.lines().all(|l| l.len() < 2_000), "{text}");
            }
            other => panic!("{cell}: {:?}", other.map(drop)),
        }
        let trapping = cell.policy(tight()).unknown_imports(cofferdam::policy::UnknownImports::Trap);
        let guest = guest_with(&cell.engine, trapping, &hostile("hostile_names.wat"), closed_wasi());
        let report = guest.unwrap_or_else(|e| panic!("{cell}: {e:?}")).call("run", &[]);
        assert_eq!(report.outcome.reason(), Some("unreachable"), "{cell}: {}", report.outcome);
        for frame in report.outcome.frames() {
            let shown = Printable::new(frame.name.as_deref().unwrap_or_default()).to_string();
            assert!(shown.len() <= 4 * (Printable::MAX + 1) && !shown.chars().any(char::is_control), "{shown}");
        }
    }
}

#[test]
fn unknown_imports_end_as_the_policy_says() {
    use cofferdam::policy::UnknownImports::{Default, Refuse, Trap};
    for cell in cells() {
        let call = |unknown, export: &str| {
            let policy = cell.policy(tight()).unknown_imports(unknown);
            guest_with(&cell.engine, policy, &hostile("call_unknown_import.wat"), closed_wasi())
                .map(|mut guest| guest.call(export, &[]).outcome)
        };
        assert!(matches!(call(Refuse, "run_quiet"), Err(Refused::Load(_))), "{cell}");
        assert_eq!(call(Trap, "run_quiet").map(|o| number(&o)).ok(), Some(Some(7)), "{cell}");
        assert_eq!(call(Trap, "run").map(|o| o.reason()).ok(), Some(Some("unreachable")), "{cell}");
        assert_eq!(call(Default, "run").map(|o| number(&o)).ok(), Some(Some(0)), "{cell}");
    }
}
