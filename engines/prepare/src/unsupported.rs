//! What a policy may allow and no engine here could run inside its limits: refused by name, never run
//! unbounded.

use crate::features::Proposal;
use crate::refusal::Refusal;
use crate::validate::Place;

/// What a use of `proposal` is called and why it cannot run here, whatever else there is in the module.
pub(crate) const fn never(proposal: Proposal) -> Option<(&'static str, &'static str)> {
    match proposal {
        Proposal::Gc => Some(("garbage-collected types", "their heap cannot be capped")),
        Proposal::LegacyExceptions => Some((
            "the withdrawn form of exceptions",
            "it cannot be metered; build with the standard form (`-wasm-use-legacy-eh=false`)",
        )),
        _ => None,
    }
}

/// Checks that limits can be enforced on everything that a module uses: `first_use` says where it uses a
/// proposal first, `shared_memory` is the offset of its first shared memory.
pub(crate) fn check_supported(
    first_use: impl Fn(Proposal) -> Option<Place>,
    shared_memory: Option<u64>,
) -> Result<(), Refusal> {
    for proposal in [Proposal::Gc, Proposal::LegacyExceptions] {
        if let (Some((what, why)), Some(used)) = (never(proposal), first_use(proposal)) {
            return Err(Refusal::Unsupported { what, why, function: used.function, offset: used.offset });
        }
    }
    if let Some(offset) = shared_memory {
        let why = "threads that share a memory cannot be metered or stopped";
        return Err(Refusal::Unsupported { what: "a shared memory", why, function: None, offset });
    }
    Ok(())
}
