//! What comes in as a module or as compiled code.

use cofferdam::cache::bundle;
use cofferdam_engine::{ArtefactKey, FeatureSet, FuelMode, Proposal, VerifiedArtefact};
use cofferdam_prepare::{Assist, Gate, ModuleLimits, PrepareOptions, prepare_for, recognise, validate};
use wasmparser::Validator;

use crate::seeds;

const KEY: ArtefactKey = ArtefactKey::new([7; ArtefactKey::LEN]);

pub(super) fn modules() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = seeds::all().iter().map(|(_, module)| [&[0u8; 2], &**module].concat()).collect();
    all.push([&[1u8; 2], &b"(module (func (export \"f\") (result i32) (i32.const 1)))"[..]].concat());
    all
}

/// Two bytes choose the policy, the rest is the module. Whatever the gate lets through is prepared, and what comes out
/// is valid.
pub(super) fn gate(data: &[u8]) {
    let Some((choice, module)) = data.split_first_chunk::<2>() else { return };
    let levels =
        [FeatureSet::STRICT, FeatureSet::STANDARD, FeatureSet::RELAXED, Proposal::ALL.iter().copied().collect()];
    let features = levels[usize::from(choice[0] & 3)];
    let limits = match choice[0] & 4 {
        0 => ModuleLimits::default(),
        _ => ModuleLimits { functions: 4, locals: 20, nesting: 3, function_bytes: 100, ..ModuleLimits::default() },
    };
    let gate = Gate { features, level: "fuzz".into(), limits };
    let Ok(valid) = recognise(module, &gate.limits).and_then(|module| validate(module, &gate)) else { return };
    assert!(valid.used().minus(features).is_empty(), "{:?} is used and not allowed", valid.used().minus(features));
    let bit = |n: u8| choice[1] >> n & 1 != 0;
    let mode = if bit(0) { FuelMode::Native } else { FuelMode::Portable };
    let assist = Assist {
        native_charges: bit(1),
        divided_bulk: bit(2),
        unreachable_apart: bit(3),
        selects_apart: bit(4),
        parameters_apart: bit(7),
        elses_written: choice[0] & 8 != 0,
        lane_stores_in_two: bit(5),
    };
    let Ok(prepared) = prepare_for(valid, &PrepareOptions { mode, canonical_nans: bit(6) }, assist) else { return };
    let with_ours = prepared.used().with(Proposal::MutableGlobals);
    let checked = Validator::new_with_features(with_ours.validator()).validate_all(prepared.bytes()).map(drop);
    assert!(checked.is_ok(), "what was prepared is not valid: {checked:?}");
    for at in 0..64 {
        let _ = prepared.code_map().place(at % 8, Some(at * 37));
    }
}

pub(super) fn artefacts() -> Vec<Vec<u8>> {
    let sealed = VerifiedArtefact::seal(&KEY, b"context", b"payload");
    vec![sealed.clone(), bundle::write(b"\0asm\x01\0\0\0", &sealed), bundle::write(b"", &[])]
}

/// Nothing opens but what was sealed, whole.
pub(super) fn artefact(data: &[u8]) {
    if let Ok(read) = bundle::read(data) {
        assert!(read.module.len() + read.sealed.len() < data.len(), "longer than the file");
        let _ = bundle::module_len(data);
        opens(read.sealed);
    }
    opens(data);
    // What is sealed with the key opens, whatever is in it, and never gives a module that was not sealed with it.
    let (context, payload) = data.split_at(data.len() / 2);
    let opened = VerifiedArtefact::open(&KEY, VerifiedArtefact::seal(&KEY, context, payload)).expect("just sealed");
    assert!((opened.context(), opened.payload()) == (context, payload), "other parts came out");
    assert!(opened.module().is_none(), "a module came out of nothing");
}

fn opens(data: &[u8]) {
    let genuine = VerifiedArtefact::seal(&KEY, b"context", b"payload");
    if VerifiedArtefact::open(&KEY, data).is_ok() {
        assert!(data == genuine, "a forged artefact opens");
    }
}
