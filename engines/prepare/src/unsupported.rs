//! What a policy may allow and no engine here could run inside its limits: refused by name, never run
//! unbounded.

use crate::features::Proposal;
use crate::refusal::Refusal;
use crate::validate::ValidModule;

/// Checks that limits can be enforced on everything that `module` uses.
pub(crate) fn check_supported(module: &ValidModule) -> Result<(), Refusal> {
    let unsupported = |proposal: Proposal, what: &'static str, why: &'static str| {
        let used = module.first_use(proposal)?;
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
    if let Some(offset) = module.facts.shared_memory {
        let why = "threads that share a memory cannot be metered or stopped";
        return Err(Refusal::Unsupported { what: "a shared memory", why, function: None, offset });
    }
    Ok(())
}
