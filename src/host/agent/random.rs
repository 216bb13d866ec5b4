//! `random`: random bytes, from the same source that WASI has.

use cofferdam_engine::{Caller, HostFunc, HostPrice, Imports};

use super::error::{AbiError, Done, status};
use super::io::slice;
use super::{MODULE, state_and_memory};

/// Filled at once; between two pieces the deadline is looked at.
const CHUNK: u32 = 256 << 10;

pub(super) fn define(imports: &mut Imports) {
    let random = HostFunc::typed(|caller, (ptr, len)| status(random(caller, ptr, len)));
    imports.host(MODULE, "random", random.priced(HostPrice { base: 500, per_256_bytes: 1024 }));
}

fn random(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done<i32> {
    caller.bytes(ptr, len)?;
    let mut done = 0;
    while done < len {
        let chunk = (len - done).min(CHUNK);
        caller.charge_bytes(chunk.into())?;
        let (state, memory) = state_and_memory(caller)?;
        // The range was checked, so that the sum cannot overflow.
        let bytes = slice(memory, ptr + done, chunk)?;
        state.random.fill(bytes).map_err(|_| AbiError::Failed)?;
        done += chunk;
    }
    Ok(0)
}
