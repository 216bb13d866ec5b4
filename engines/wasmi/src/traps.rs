//! What Wasmi's traps mean in the contract's words. Wasmi keeps no frames, so there are none to give.

use std::fmt;

use cofferdam_engine::{EngineFault, HostError, Limit, Stop, Trap, TrapKind};
use wasmi::{Error, TrapCode};

/// Why a host function, or the tick, ended the call: what travels through Wasmi as its error.
#[derive(Debug)]
pub(crate) struct Stopped(pub HostError);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl wasmi::errors::HostError for Stopped {}

/// The tick wants to be taken from outside of the interpreter: see `machine_stack.rs`.
#[derive(Debug)]
pub(crate) struct TickOutside(pub i64);

impl fmt::Display for TickOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tick where the interpreter could not be left")
    }
}

impl wasmi::errors::HostError for TickOutside {}

/// Ends the call from inside.
#[cold]
pub(crate) fn stopped(error: HostError) -> Error {
    Error::host(Stopped(error))
}

/// One branch of the outcome vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Guest(TrapKind),
    Limit(Limit),
    /// Cannot happen as this adapter uses the engine, or is the machine's fault.
    Engine(&'static str),
}

/// What `code` means. There is no wildcard, so that a code which a new Wasmi brings fails the build.
const fn meaning(code: TrapCode) -> Meaning {
    match code {
        TrapCode::UnreachableCodeReached => Meaning::Guest(TrapKind::Unreachable),
        TrapCode::MemoryOutOfBounds => Meaning::Guest(TrapKind::MemoryOutOfBounds),
        TrapCode::TableOutOfBounds => Meaning::Guest(TrapKind::TableOutOfBounds),
        TrapCode::IndirectCallToNull => Meaning::Guest(TrapKind::IndirectCallToNull),
        TrapCode::IntegerDivisionByZero => Meaning::Guest(TrapKind::IntegerDivisionByZero),
        TrapCode::IntegerOverflow => Meaning::Guest(TrapKind::IntegerOverflow),
        TrapCode::BadConversionToInteger => Meaning::Guest(TrapKind::InvalidConversionToInteger),
        TrapCode::BadSignature => Meaning::Guest(TrapKind::BadSignature),
        // The stack budget fires first; should Wasmi's stack end all the same, it is the same limit.
        TrapCode::StackOverflow => Meaning::Limit(Limit::Stack),
        TrapCode::OutOfFuel => Meaning::Engine("out of fuel where the call could not be resumed"),
        TrapCode::GrowthOperationLimited => Meaning::Engine("a growth was to trap, which we never ask for"),
        TrapCode::OutOfSystemMemory => Meaning::Engine("the machine is out of memory"),
    }
}

/// What `error` traps with, if it is a trap of the guest's.
pub(crate) fn guest_trap(error: &Error) -> Option<Trap> {
    match error.kind().as_trap_code().map(meaning)? {
        Meaning::Guest(kind) => Some(Trap::new(kind)),
        Meaning::Limit(_) | Meaning::Engine(_) => None,
    }
}

/// Why a call did not return.
pub(crate) fn stop(error: Error) -> Stop {
    match error.kind().as_trap_code().map(meaning) {
        Some(Meaning::Guest(kind)) => return Stop::Trap(Trap::new(kind)),
        Some(Meaning::Limit(limit)) => return Stop::limit(limit),
        Some(Meaning::Engine(what)) => return EngineFault::new("calling", what).into(),
        None => {}
    }
    if let Some(Stopped(end)) = error.downcast_ref() {
        return end.clone().into();
    }
    EngineFault::new("calling", error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let mut seen = std::collections::HashSet::new();
        let codes: Vec<_> = (0..=u8::MAX).filter_map(|number| TrapCode::try_from(number).ok()).collect();
        assert_eq!(codes.len(), 12, "all of this Wasmi's codes");
        for code in codes {
            match meaning(code) {
                Meaning::Guest(kind) => assert!(seen.insert(kind.reason()), "{code:?}"),
                Meaning::Limit(limit) => assert!(seen.insert(limit.reason()), "{code:?}"),
                Meaning::Engine(what) => assert!(seen.insert(what), "{code:?}"),
            }
        }
    }

    #[test]
    fn what_a_host_function_ended_with_comes_out_again() {
        assert!(matches!(stop(stopped(HostError::Exit(3))), Stop::Exit(3)));
        let limit = stop(stopped(HostError::Limit(Limit::Output)));
        assert!(matches!(limit, Stop::Limit { limit: Limit::Output, .. }));
    }
}
