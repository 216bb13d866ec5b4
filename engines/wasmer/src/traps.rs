//! What Wasmer's traps mean in the contract's words.

use cofferdam_engine::{EngineFault, HostError, Limit, Stop, Trap as GuestTrap, TrapKind};
use wasmer_compiler::FRAME_INFO;
use wasmer_vm::{Trap, TrapCode};

use crate::host::HostStop;
use crate::traces::CodeRanges;

/// One branch of the outcome vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Guest(TrapKind),
    Limit(Limit),
    /// Cannot happen as this adapter uses the engine.
    Engine(&'static str),
}

/// What `code` means. There is no wildcard, so that a code which a new Wasmer brings fails the build.
pub(crate) fn meaning(code: TrapCode) -> Meaning {
    match code {
        TrapCode::UnreachableCodeReached => Meaning::Guest(TrapKind::Unreachable),
        TrapCode::HeapAccessOutOfBounds => Meaning::Guest(TrapKind::MemoryOutOfBounds),
        TrapCode::TableAccessOutOfBounds => Meaning::Guest(TrapKind::TableOutOfBounds),
        TrapCode::IndirectCallToNull => Meaning::Guest(TrapKind::IndirectCallToNull),
        TrapCode::BadSignature => Meaning::Guest(TrapKind::BadSignature),
        TrapCode::IntegerOverflow => Meaning::Guest(TrapKind::IntegerOverflow),
        TrapCode::IntegerDivisionByZero => Meaning::Guest(TrapKind::IntegerDivisionByZero),
        TrapCode::BadConversionToInteger => Meaning::Guest(TrapKind::InvalidConversionToInteger),
        TrapCode::HeapMisaligned | TrapCode::UnalignedAtomic => Meaning::Guest(TrapKind::UnalignedAtomic),
        TrapCode::UncaughtException => Meaning::Guest(TrapKind::UncaughtException),
        TrapCode::UninitializedExnRef => Meaning::Guest(TrapKind::NullReference),
        // The stack budget fires first; should a machine stack end all the same, it is the same limit.
        TrapCode::StackOverflow => Meaning::Limit(Limit::Stack),
        TrapCode::YieldOutsideAsyncContext => Meaning::Engine("an asynchronous host function, which we never make"),
        TrapCode::HostInterrupt => Meaning::Engine("an interrupt, which we never send"),
        TrapCode::ReadonlyTableModified => Meaning::Engine("a read-only table, which we never make"),
    }
}

/// Why a call did not return, with the guests' frames.
pub(crate) fn stop(trap: Trap, code: &CodeRanges) -> Stop {
    match trap {
        Trap::User(error) => match error.downcast::<HostStop>() {
            Ok(stop) => host_stop(stop.error, || code.places(&stop.trace)),
            Err(other) => EngineFault::new("calling", other).into(),
        },
        Trap::Lib { trap_code, backtrace } => {
            by_meaning(meaning(trap_code), || code.places(&code.trace_of(&backtrace, None)))
        }
        Trap::Wasm { pc, backtrace, signal_trap } => {
            let written = FRAME_INFO.read().ok().and_then(|frames| frames.lookup_trap_info(pc));
            match written.map(|info| info.trap_code).or(signal_trap) {
                Some(trap) => by_meaning(meaning(trap), || code.places(&code.trace_of(&backtrace, Some(pc)))),
                None => EngineFault::new("calling", "a machine trap where none was expected").into(),
            }
        }
        Trap::UncaughtException { backtrace, .. } => {
            let frames = code.places(&code.trace_of(&backtrace, None));
            Stop::Trap(GuestTrap { kind: TrapKind::UncaughtException, frames })
        }
        Trap::OOM { .. } => EngineFault::new("calling", "the machine is out of memory").into(),
    }
}

fn by_meaning(meaning: Meaning, frames: impl FnOnce() -> Vec<cofferdam_engine::Place>) -> Stop {
    match meaning {
        Meaning::Guest(kind) => Stop::Trap(GuestTrap { kind, frames: frames() }),
        Meaning::Limit(limit) => Stop::Limit { limit, frames: frames() },
        Meaning::Engine(what) => EngineFault::new("calling", what).into(),
    }
}

fn host_stop(error: HostError, frames: impl FnOnce() -> Vec<cofferdam_engine::Place>) -> Stop {
    match error {
        HostError::Limit(limit) => Stop::Limit { limit, frames: frames() },
        HostError::Trap(kind) => Stop::Trap(GuestTrap { kind, frames: frames() }),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of this Wasmer; [`meaning`] does not build if one is missing there.
    const ALL: [TrapCode; 16] = [
        TrapCode::StackOverflow,
        TrapCode::HeapAccessOutOfBounds,
        TrapCode::HeapMisaligned,
        TrapCode::TableAccessOutOfBounds,
        TrapCode::IndirectCallToNull,
        TrapCode::BadSignature,
        TrapCode::IntegerOverflow,
        TrapCode::IntegerDivisionByZero,
        TrapCode::BadConversionToInteger,
        TrapCode::UnreachableCodeReached,
        TrapCode::UnalignedAtomic,
        TrapCode::UncaughtException,
        TrapCode::UninitializedExnRef,
        TrapCode::YieldOutsideAsyncContext,
        TrapCode::HostInterrupt,
        TrapCode::ReadonlyTableModified,
    ];

    #[test]
    fn every_code_has_its_own_word() {
        let mut seen = std::collections::HashMap::new();
        for (number, code) in ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number, "the list is complete and in order");
            if let Meaning::Guest(kind) = meaning(code) {
                seen.entry(kind).or_insert_with(Vec::new).push(code);
            }
        }
        seen.retain(|_, codes| codes.len() > 1);
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [TrapKind::UnalignedAtomic]);
    }
}
