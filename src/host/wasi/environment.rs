//! Arguments and environment: what the configuration gave, and nothing of the process's own.

use cofferdam_engine::{Caller, OutOfBounds};

use super::errno::{Done, Errno};
use super::state::{Strings, WasiState};

pub(super) fn args_sizes_get(caller: &mut Caller<'_>, count: u32, size: u32) -> Done {
    sizes(caller, |state| &state.args, count, size)
}

pub(super) fn args_get(caller: &mut Caller<'_>, pointers: u32, bytes: u32) -> Done {
    copy(caller, |state| &state.args, pointers, bytes)
}

pub(super) fn environ_sizes_get(caller: &mut Caller<'_>, count: u32, size: u32) -> Done {
    sizes(caller, |state| &state.env, count, size)
}

pub(super) fn environ_get(caller: &mut Caller<'_>, pointers: u32, bytes: u32) -> Done {
    copy(caller, |state| &state.env, pointers, bytes)
}

fn sizes(caller: &mut Caller<'_>, which: fn(&WasiState) -> &Strings, count: u32, size: u32) -> Done {
    let strings = which(WasiState::of(caller)?);
    let (n, bytes) = (strings.starts().len(), strings.bytes().len());
    caller.write(count, &word(n)?.to_le_bytes())?;
    Ok(caller.write(size, &word(bytes)?.to_le_bytes())?)
}

fn copy(caller: &mut Caller<'_>, which: fn(&WasiState) -> &Strings, pointers: u32, bytes: u32) -> Done {
    let strings = which(WasiState::of(caller)?);
    let (table, len) = (word(strings.starts().len() * 4)?, word(strings.bytes().len())?);
    caller.charge_bytes(u64::from(table) + u64::from(len))?;
    caller.bytes(pointers, table)?;
    caller.bytes(bytes, len)?;
    let (state, memory) = WasiState::and_memory(caller)?;
    let strings = which(state);
    let target = memory.get_mut(bytes as usize..).ok_or(OutOfBounds)?;
    target.get_mut(..len as usize).ok_or(OutOfBounds)?.copy_from_slice(strings.bytes());
    let target = memory.get_mut(pointers as usize..).ok_or(OutOfBounds)?;
    for (slot, start) in target.chunks_exact_mut(4).zip(strings.starts()) {
        // The end of the strings is inside a 32-bit memory, so no start wraps.
        slot.copy_from_slice(&bytes.wrapping_add(*start).to_le_bytes());
    }
    Ok(())
}

fn word(n: usize) -> Result<u32, Errno> {
    u32::try_from(n).map_err(|_| Errno::Overflow)
}
