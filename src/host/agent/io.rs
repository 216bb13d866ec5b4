//! Bytes into a call and out of it: `input_len`, `input_read`, `output_write`, and `result_read` for results that
//! were larger than their room.

use std::sync::Arc;

use cofferdam_engine::{Caller, HostFunc, HostPrice, Imports, OutOfBounds};

use super::error::{AbiError, Done, capped, length, status};
use super::{MODULE, price, state, state_and_memory};
use crate::host::no_room;

/// Bytes into the export that runs and out of it.
#[derive(Debug, Default)]
pub struct Io {
    /// What the export was given, or the message that it took last.
    pub input: Arc<[u8]>,
    /// What it has given so far.
    pub output: Vec<u8>,
    /// The most that it may give, and the most that a value or an argument of a tool may have, in bytes.
    pub output_cap: u64,
    /// The last result of a host function that was larger than the room it was given.
    pub result: Vec<u8>,
}

pub(super) fn define(imports: &mut Imports) {
    let mut add = |name, func: HostFunc| imports.host(MODULE, name, func);
    add("input_len", HostFunc::typed(|caller, ()| status(input_len(caller))).quick());
    add(
        "input_read",
        HostFunc::typed(|caller, (ptr, len, at)| status(read(caller, From::Input, ptr, len, at))).priced(COPY),
    );
    let writes = HostFunc::typed(|caller, (ptr, len)| {
        let done = output_write(caller, ptr, len);
        capped(caller, "output_write", done)
    });
    add("output_write", writes.priced(COPY));
    add(
        "result_read",
        HostFunc::typed(|caller, (ptr, len, at)| status(read(caller, From::Result, ptr, len, at))).priced(COPY),
    );
}

/// Finding the state and moving a few bytes.
const COPY: HostPrice = price(60);

/// What is read from.
#[derive(Clone, Copy)]
enum From {
    Input,
    Result,
}

impl Io {
    fn get(&self, from: From) -> &[u8] {
        match from {
            From::Input => &self.input,
            From::Result => &self.result,
        }
    }
}

fn input_len(caller: &mut Caller<'_>) -> Done<i32> {
    length(state(caller)?.io.input.len())
}

/// Copies what `from` has beyond `offset` into the guest, as far as there is room.
fn read(caller: &mut Caller<'_>, from: From, ptr: u32, len: u32, offset: u32) -> Done<i32> {
    caller.bytes(ptr, len)?;
    let left = state(caller)?.io.get(from).len().saturating_sub(offset as usize);
    caller.charge_bytes(left.min(len as usize) as u64)?;
    let (state, memory) = state_and_memory(caller)?;
    length(copy(state.io.get(from), offset, memory, ptr, len)? as usize)
}

fn output_write(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done<i32> {
    caller.bytes(ptr, len)?;
    let agent = state(caller)?;
    if agent.within_cap(len)? > agent.message_cap().saturating_sub(agent.io.output.len()) {
        return Err(AbiError::TooLarge.into());
    }
    caller.charge_bytes(len.into())?;
    let (state, memory) = state_and_memory(caller)?;
    state.io.output.try_reserve(len as usize).map_err(|_| no_room(len as usize))?;
    state.io.output.extend_from_slice(slice(memory, ptr, len)?);
    length(len as usize)
}

/// Gives `data` to the guest: all of it if `cap` bytes hold it, else it is kept for `result_read`. The room was
/// checked before. Answers its length.
pub(super) fn give(caller: &mut Caller<'_>, ptr: u32, cap: u32, data: Vec<u8>) -> Done<i32> {
    length(data.len())?;
    caller.charge_bytes(data.len() as u64)?;
    give_paid(caller, ptr, cap, data)
}

/// The same with bytes that were paid for before.
pub(super) fn give_paid(caller: &mut Caller<'_>, ptr: u32, cap: u32, data: Vec<u8>) -> Done<i32> {
    let given = length(data.len())?;
    if data.len() <= cap as usize {
        caller.write(ptr, &data)?;
    } else {
        state(caller)?.io.result = data;
    }
    Ok(given)
}

/// The part of guest memory that `ptr` and `len` name.
pub(super) fn slice(memory: &mut [u8], ptr: u32, len: u32) -> Result<&mut [u8], OutOfBounds> {
    let start = ptr as usize;
    memory.get_mut(start..start.checked_add(len as usize).ok_or(OutOfBounds)?).ok_or(OutOfBounds)
}

/// Copies `from`, beginning at `offset`, to where `ptr` and `len` say, and returns how many bytes that were.
pub(super) fn copy(from: &[u8], offset: u32, memory: &mut [u8], ptr: u32, len: u32) -> Result<u32, OutOfBounds> {
    let rest = from.get(offset as usize..).unwrap_or(&[]);
    let into = slice(memory, ptr, len)?;
    let n = rest.len().min(into.len());
    into[..n].copy_from_slice(&rest[..n]);
    Ok(n as u32)
}
