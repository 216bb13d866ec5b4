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
        Some(Some(Meaning::Guest(TrapKind::Unreachable))) => {
            Stop::Trap(GuestTrap { kind: TrapKind::Unreachable, frames: unreachable_places(error, code) })
        }
        Some(Some(Meaning::Guest(kind))) => Stop::Trap(GuestTrap { kind, frames: places(error, code) }),
        Some(Some(Meaning::Limit(limit))) => Stop::Limit { limit, frames: places(error, code) },
        Some(Some(Meaning::Engine(what))) => EngineFault::new(DOING, what).into(),
        Some(None) => EngineFault::new(DOING, "a trap of a kind unknown here").into(),
        None => EngineFault::new(DOING, error).into(),
    }
}

/// The guests' places in the trace that came with `error`, innermost first.
fn places(error: &wasmtime::Error, code: &Code) -> Vec<Place> {
    places_with(error, code, |_, at| at)
}

/// The same for `unreachable`. Cranelift makes one instruction of a branch and the `unreachable` that it leads to,
/// and that one names the branch.
fn unreachable_places(error: &wasmtime::Error, code: &Code) -> Vec<Place> {
    let mut innermost = true;
    places_with(error, code, |bytes, at| if std::mem::take(&mut innermost) { unreachable_at(bytes, at) } else { at })
}

fn places_with(error: &wasmtime::Error, code: &Code, mut corrected: impl FnMut(&[u8], usize) -> usize) -> Vec<Place> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let place = |frame: &wasmtime::FrameInfo| {
        let prepared = code.prepared(frame.module())?;
        let offset = frame.module_offset().map(|at| corrected(prepared.bytes(), at));
        prepared.code_map().place(frame.func_index(), offset.and_then(|at| u32::try_from(at).ok()))
    };
    trace.frames().iter().filter_map(place).take(GuestTrap::MAX_FRAMES).collect()
}

/// Where the `unreachable` is, given the offset of it or of an `if` that it is the first operator of. Another branch
/// may be the one that was joined, or inserted code, which belongs to the operator behind it: both stay as they are.
fn unreachable_at(bytes: &[u8], at: usize) -> usize {
    const UNREACHABLE: u8 = 0x00;
    const IF: u8 = 0x04;
    if bytes.get(at) != Some(&IF) {
        return at;
    }
    // The block's type: a number of seven bits in each byte, the last without the eighth.
    let last = bytes[at + 1..].iter().take(5).position(|byte| byte & 0x80 == 0);
    let first = last.map(|last| at + 1 + last + 1).filter(|first| bytes.get(*first) == Some(&UNREACHABLE));
    first.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_is_found_behind_the_branch_to_it() {
        assert_eq!(unreachable_at(&[0x01, 0x00, 0x0b], 1), 1);
        assert_eq!(unreachable_at(&[0x04, 0x40, 0x00, 0x0b], 0), 2);
        assert_eq!(unreachable_at(&[0x04, 0x80, 0x01, 0x00, 0x0b], 0), 3);
        // The other arm, or behind a block: not known.
        assert_eq!(unreachable_at(&[0x04, 0x40, 0x01, 0x05, 0x00, 0x0b], 0), 0);
        assert_eq!(unreachable_at(&[0x0d, 0x00, 0x0b, 0x00], 0), 0);
        assert_eq!(unreachable_at(&[0x04, 0x80], 0), 0);
        assert_eq!(unreachable_at(&[], 7), 7);
    }

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
