//! Where an operator really is, when Wasmer says where it is.
//!
//! Wasmer takes an operator's position before it reads it. Of what a middleware puts in place of one
//! operator, only the first gets that position; the rest, the operator itself included, gets the next one's.

use std::collections::HashMap;

use cofferdam_engine::PreparedModule;
use cofferdam_prepare::metering::Bulk;
use wasmer::wasmparser::{Operator, Parser, Payload};
use wasmer_vm::TrapCode;

use crate::traces::Doing;

/// The real offsets of some of `said`, which Wasmer gave for operators of rewritten function `function`;
/// the others are right.
pub(crate) fn real_offsets(
    module: &PreparedModule,
    function: u32,
    said: &[(u32, Doing)],
) -> HashMap<(u32, Doing), u32> {
    let mut real = HashMap::new();
    let imported = module.layout().tick + 1;
    let bodies = Parser::new(0).parse_all(module.bytes()).filter_map(|payload| match payload {
        Ok(Payload::CodeSectionEntry(body)) => Some(body),
        _ => None,
    });
    let Some(body) = function.checked_sub(imported).and_then(|defined| bodies.into_iter().nth(defined as usize)) else {
        return real;
    };
    let Ok(mut reader) = body.get_operators_reader() else { return real };
    // The module was read before, so reading never fails; if it did, offsets would stay as said.
    while let Ok((operator, start)) = reader.read_with_offset() {
        let end = reader.original_position();
        for (at, doing) in said.iter().filter(|(at, _)| u64::from(*at) == end) {
            if is_behind(&operator, *doing, module) {
                real.insert((*at, *doing), u32::try_from(start).unwrap_or(*at));
            }
        }
        if reader.eof() {
            break;
        }
    }
    real
}

/// Whether `operator` was given the position behind it.
fn is_behind(operator: &Operator<'_>, doing: Doing, module: &PreparedModule) -> bool {
    match doing {
        // Whatever calls has something inserted before it, or is inserted itself.
        Doing::Call => true,
        // Of what the library does, bulk operators alone have.
        Doing::Library => Bulk::of(operator, module.spaces()).is_some(),
        Doing::Trap(TrapCode::BadSignature | TrapCode::IndirectCallToNull | TrapCode::TableAccessOutOfBounds) => {
            matches!(operator, Operator::CallIndirect { .. })
        }
        Doing::Trap(_) => false,
    }
}
