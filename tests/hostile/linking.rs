//! Guests that reach for the meter, for what is not there, and for types that an engine cannot tell apart.

use cofferdam::sandbox::{GuestError, ImportRefusal, LoadError};
use cofferdam_engine::{CompileError, InstantiateError};

use super::support::{Refused, closed_wasi, guest_with, hostile, policy, tight};
use super::{Cell, cells};

fn refused(cell: &Cell, file: &str) -> LoadError {
    match guest_with(&cell.engine, cell.policy(tight()), &hostile(file), closed_wasi()) {
        Err(Refused::Load(error)) => error,
        other => panic!("{cell} {file}: {:?}", other.map(drop)),
    }
}

#[test]
fn the_meters_names_are_nobody_elses() {
    for cell in cells() {
        for file in [
            "import_hidden_tick.wat",
            "import_hidden_fuel.wat",
            "import_hidden_stack.wat",
            "import_hidden_prefix.wat",
            "export_hidden_start.wat",
            "export_hidden_fuel.wat",
            "export_hidden_metering.wat",
            "export_hidden_exhausted.wat",
        ] {
            let error = refused(&cell, file);
            assert_eq!(error.reason(), "reserved_name", "{cell} {file}: {error}");
        }
    }
}

#[test]
fn imports_that_are_not_there_are_unknown() {
    for cell in cells() {
        for file in ["import_unknown_module.wat", "import_unknown_name.wat", "import_unstable.wat", "import_memory.wat"]
        {
            match refused(&cell, file) {
                LoadError::Imports(list) => {
                    let unknown = list.iter().all(|i| matches!(i, ImportRefusal::Unknown { .. }));
                    assert!(unknown && !list.is_empty(), "{cell} {file}: {list:?}");
                }
                other => panic!("{cell} {file}: {other}"),
            }
        }
        for file in ["import_wrong_signature.wat", "import_wrong_kind.wat"] {
            assert!(matches!(refused(&cell, file), LoadError::Imports(_)), "{cell} {file}");
        }
    }
}

#[test]
fn what_is_not_granted_is_another_error() {
    for cell in cells() {
        let closed = policy(cell.mode, tight()).grants(cofferdam::policy::Grants::none());
        match guest_with(&cell.engine, closed, &hostile("loop_sched_yield.wat"), closed_wasi()) {
            Err(Refused::Load(LoadError::Imports(list))) => {
                assert!(matches!(list[..], [ImportRefusal::NotGranted { .. }]), "{cell}: {list:?}");
            }
            other => panic!("{cell}: {:?}", other.map(drop)),
        }
    }
}

#[test]
fn types_with_one_hash_never_let_a_wrong_call_through() {
    for cell in cells() {
        for file in ["signature_clash.wat", "signature_clash_host.wat", "signature_clash_tick.wat"] {
            match guest_with(&cell.engine, cell.policy(tight()), &hostile(file), closed_wasi()) {
                Err(
                    Refused::Load(LoadError::Compile(CompileError::SignatureClash(_)))
                    | Refused::Guest(GuestError::Instantiate(InstantiateError::SignatureClash(_))),
                ) => {}
                // An engine that compares whole types runs it.
                Ok(mut guest) => {
                    let report = guest.call("run", &[]);
                    let word = report.outcome.reason();
                    let fine = word == Some("bad_signature") || (file.ends_with("tick.wat") && word.is_none());
                    assert!(fine, "{cell} {file}: {}", report.outcome);
                }
                Err(other) => panic!("{cell} {file}: {other:?}"),
            }
        }
    }
}
