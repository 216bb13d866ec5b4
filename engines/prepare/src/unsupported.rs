//! What a policy may allow and no engine here could run inside its limits: refused by name, never run
//! unbounded.

use crate::features::Proposal;
use crate::refusal::Refusal;
use crate::validate::Place;

/// Checks that limits can be enforced on everything that a module uses: `first_use` says where it uses a
/// proposal first, `shared_memory` is the offset of its first shared memory.
pub(crate) fn check_supported(
    first_use: impl Fn(Proposal) -> Option<Place>,
    shared_memory: Option<u64>,
) -> Result<(), Refusal> {
    let unsupported = |proposal: Proposal, what: &'static str, why: &'static str| {
        let used = first_use(proposal)?;
        Some(Refusal::Unsupported { what, why, function: used.function, offset: used.offset })
    };
    let refusals = [
        unsupported(Proposal::Gc, "garbage-collected types", "their heap cannot be capped"),
        unsupported(
            Proposal::LegacyExceptions,
            "the withdrawn form of exceptions",
            "it cannot be metered; build with the standard form (`-wasm-use-legacy-eh=false`)",
        ),
    ];
    if let Some(refusal) = refusals.into_iter().flatten().next() {
        return Err(refusal);
    }
    if let Some(offset) = shared_memory {
        let why = "threads that share a memory cannot be metered or stopped";
        return Err(Refusal::Unsupported { what: "a shared memory", why, function: None, offset });
    }
    Ok(())
}
