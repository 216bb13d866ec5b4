//! What Wasmtime's errors mean in the contract's words, and where in the guest they happened.

use std::error::Error;
use std::fmt;

use cofferdam_engine::{EngineFault, HostError, Limit, Place, Stop, Trap as GuestTrap, TrapKind};
use wasmtime::{Trap, WasmBacktrace};

use crate::store::Code;

/// How a host function or the tick ends a call: travels through Wasmtime as an error.
#[derive(Debug)]
pub(crate) struct HostStop(pub HostError);

impl fmt::Display for HostStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for HostStop {}

/// One branch of the outcome vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Guest(TrapKind),
    Limit(Limit),
    /// Cannot happen as this adapter uses the engine.
    Engine(&'static str),
}

/// What `trap` means; `None` for a trap that this Wasmtime did not have when this was written.
pub(crate) fn meaning(trap: Trap) -> Option<Meaning> {
    const COMPONENTS: Meaning = Meaning::Engine("a trap of the component model, which is not compiled in");
    Some(match trap {
        Trap::UnreachableCodeReached => Meaning::Guest(TrapKind::Unreachable),
        Trap::MemoryOutOfBounds => Meaning::Guest(TrapKind::MemoryOutOfBounds),
        Trap::TableOutOfBounds => Meaning::Guest(TrapKind::TableOutOfBounds),
        Trap::IndirectCallToNull => Meaning::Guest(TrapKind::IndirectCallToNull),
        Trap::BadSignature => Meaning::Guest(TrapKind::BadSignature),
        Trap::IntegerOverflow => Meaning::Guest(TrapKind::IntegerOverflow),
        Trap::IntegerDivisionByZero => Meaning::Guest(TrapKind::IntegerDivisionByZero),
        Trap::BadConversionToInteger => Meaning::Guest(TrapKind::InvalidConversionToInteger),
        Trap::HeapMisaligned => Meaning::Guest(TrapKind::UnalignedAtomic),
        Trap::NullReference => Meaning::Guest(TrapKind::NullReference),
        Trap::ArrayOutOfBounds => Meaning::Guest(TrapKind::ArrayOutOfBounds),
        Trap::CastFailure => Meaning::Guest(TrapKind::CastFailure),
        Trap::UncaughtException => Meaning::Guest(TrapKind::UncaughtException),
        // The stack budget fires first; should a machine stack end all the same, it is the same limit.
        Trap::StackOverflow => Meaning::Limit(Limit::Stack),
        Trap::OutOfFuel => Meaning::Limit(Limit::Fuel),
        Trap::Interrupt => Meaning::Engine("an interrupt, where epochs end with a reason"),
        Trap::AtomicWaitNonSharedMemory => Meaning::Engine("an atomic wait, which the gate refuses"),
        Trap::AllocationTooLarge => Meaning::Engine("an allocation on the collected heap, which the gate refuses"),
        Trap::UnhandledTag | Trap::ContinuationAlreadyConsumed => {
            Meaning::Engine("stack switching, which the gate refuses")
        }
        Trap::DisabledOpcode => Meaning::Engine("an operator of the interpreter, which is not used"),
        Trap::CannotEnterComponent
        | Trap::NoAsyncResult
        | Trap::AsyncDeadlock
        | Trap::CannotLeaveComponent
        | Trap::CannotBlockSyncTask
        | Trap::InvalidChar
        | Trap::DebugAssertStringEncodingFinished
        | Trap::DebugAssertEqualCodeUnits
        | Trap::DebugAssertPointerAligned
        | Trap::DebugAssertUpperBitsUnset
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer
        | Trap::TaskCancelNotCancelled
        | Trap::TaskCancelOrReturnTwice
        | Trap::SubtaskCancelAfterTerminal
        | Trap::TaskReturnInvalid
        | Trap::WaitableSetDropHasWaiters
        | Trap::SubtaskDropNotResolved
        | Trap::ThreadNewIndirectInvalidType
        | Trap::ThreadNewIndirectUninitialized
        | Trap::BackpressureOverflow
        | Trap::UnsupportedCallbackCode
        | Trap::CannotResumeThread
        | Trap::ConcurrentFutureStreamOp
        | Trap::ReferenceCountOverflow
        | Trap::StreamOpTooBig
        | Trap::WaitableSyncAndAsync => COMPONENTS,
        _ => return None,
    })
}

/// Why a call did not return, with the guests' frames.
pub(crate) fn stop(error: &wasmtime::Error, code: &Code) -> Stop {
    const DOING: &str = "calling";
    if let Some(HostStop(why)) = error.downcast_ref::<HostStop>() {
        return match why {
            HostError::Limit(limit) => Stop::Limit { limit: *limit, frames: places(error, code) },
            HostError::Trap(kind) => Stop::Trap(GuestTrap { kind: *kind, frames: places(error, code) }),
            other => other.clone().into(),
        };
    }
    match error.downcast_ref::<Trap>().map(|trap| meaning(*trap)) {
        Some(Some(Meaning::Guest(kind))) => Stop::Trap(GuestTrap { kind, frames: places(error, code) }),
        Some(Some(Meaning::Limit(limit))) => Stop::Limit { limit, frames: places(error, code) },
        Some(Some(Meaning::Engine(what))) => EngineFault::new(DOING, what).into(),
        Some(None) => EngineFault::new(DOING, "a trap of a kind unknown here").into(),
        None => EngineFault::new(DOING, error).into(),
    }
}

/// The guests' places in the trace that came with `error`, innermost first.
fn places(error: &wasmtime::Error, code: &Code) -> Vec<Place> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let place = |frame: &wasmtime::FrameInfo| {
        let offset = frame.module_offset().and_then(|at| u32::try_from(at).ok());
        code.prepared(frame.module())?.code_map().place(frame.func_index(), offset)
    };
    trace.frames().iter().filter_map(place).take(GuestTrap::MAX_FRAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word() {
        let all: Vec<Trap> = (0..=u8::MAX).filter_map(Trap::from_u8).collect();
        assert!(all.len() > 20, "the codes are there");
        let mut seen = std::collections::HashMap::new();
        for trap in all {
            let meaning = meaning(trap).unwrap_or_else(|| panic!("{trap:?} has no meaning yet"));
            if let Meaning::Guest(kind) = meaning {
                let before = seen.insert(kind, trap);
                assert_eq!(before, None, "{trap:?}");
            }
        }
    }
}
