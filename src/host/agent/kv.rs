//! `kv_get`, `kv_set`, `kv_delete`, `kv_list`: the agent's part of the [`KvStore`](super::KvStore).

use std::time::Duration;

use cofferdam_engine::{Caller, HostError, HostFunc, HostPrice, Imports, Wake};

use super::error::{AbiError, Done, capped};
use super::io::give_paid;
use super::store::{KvError, KvHandle, MAX_KEY};
use super::{Capability, MODULE, state};
use crate::host::room_for;

/// A look into the database: 2 µs and 1 ns for each byte.
const READ: HostPrice = HostPrice { base: 2_000, per_256_bytes: 256 };
/// A write of its own in memory, 30 µs, and 3 ns for each byte of pages that are copied and checked. The disk comes
/// later, and nobody waits for it.
const WRITE: HostPrice = HostPrice { base: 15_000, per_256_bytes: 512 };
/// For each key of a list, beside its bytes.
const ENTRY: u64 = 200;

/// Bytes of a list that are paid for at once; a multiple of those that a price is for, so that no fraction is lost.
const CHUNK: usize = 4 << 10;

/// Time between two looks whether another one has written.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

pub(super) fn define(imports: &mut Imports) {
    let mut add = |name, price, func: HostFunc| imports.host(MODULE, name, func.priced(price));
    let gets = HostFunc::typed(|caller, (k, kl, p, cap)| {
        let done = kv_get(caller, (k, kl), p, cap);
        capped(caller, "kv_get", done)
    });
    add("kv_get", READ, gets);
    let sets = HostFunc::typed(|caller, (k, kl, p, len)| {
        let done = kv_set(caller, (k, kl), p, len);
        capped(caller, "kv_set", done)
    });
    add("kv_set", WRITE, sets);
    let deletes = HostFunc::typed(|caller, (k, kl)| {
        let done = kv_delete(caller, (k, kl));
        capped(caller, "kv_delete", done)
    });
    add("kv_delete", WRITE, deletes);
    let lists = HostFunc::typed(|caller, (k, kl, p, cap)| {
        let done = kv_list(caller, (k, kl), p, cap);
        capped(caller, "kv_list", done)
    });
    add("kv_list", READ, lists);
}

/// The agent's storage and the key, with what reading the key costs.
fn begin(caller: &mut Caller<'_>, key: (u32, u32), least: u32) -> Done<(KvHandle, Vec<u8>)> {
    let (ptr, len) = key;
    let agent = state(caller)?;
    let Some(handle) = agent.kv.clone() else {
        return Err(agent.denied(Capability::Kv, "any storage").into());
    };
    if len < least {
        return Err(AbiError::Invalid.into());
    }
    if len as usize > MAX_KEY {
        return Err(AbiError::TooLarge.into());
    }
    caller.charge_bytes(len.into())?;
    Ok((handle, caller.bytes(ptr, len)?.to_vec()))
}

fn kv_get(caller: &mut Caller<'_>, key: (u32, u32), ptr: u32, cap: u32) -> Done<i32> {
    caller.bytes(key.0, key.1)?;
    caller.bytes(ptr, cap)?;
    forget_result(caller)?;
    let (handle, key) = begin(caller, key, 1)?;
    let most = state(caller)?.message_cap();
    let seen = handle.look(&key, |value| -> Done<Vec<u8>> {
        // It may have been stored under a larger cap.
        if value.len() > most {
            return Err(AbiError::TooLarge.into());
        }
        caller.charge_bytes(value.len() as u64)?;
        room_for(value.len())?;
        Ok(value.to_vec())
    });
    let value = seen.map_err(AbiError::from)?.ok_or(AbiError::NotFound)??;
    give_paid(caller, ptr, cap, value)
}

/// An older result must not be taken for the one of this call, should it fail.
fn forget_result(caller: &mut Caller<'_>) -> Result<(), HostError> {
    state(caller)?.io.result = Vec::new();
    Ok(())
}

fn kv_set(caller: &mut Caller<'_>, key: (u32, u32), ptr: u32, len: u32) -> Done<i32> {
    caller.bytes(key.0, key.1)?;
    caller.bytes(ptr, len)?;
    let (handle, key) = begin(caller, key, 1)?;
    state(caller)?.within_cap(len)?;
    caller.charge_bytes(len.into())?;
    let value = caller.bytes(ptr, len)?;
    let done = match handle.try_set(&key, value) {
        Some(done) => done,
        None => {
            room_for(value.len())?;
            let value = value.to_vec();
            caller.wait(Wake::Every(LOOK_AGAIN), || handle.try_set(&key, &value))?
        }
    };
    done.map_err(AbiError::from)?;
    Ok(0)
}

fn kv_delete(caller: &mut Caller<'_>, key: (u32, u32)) -> Done<i32> {
    caller.bytes(key.0, key.1)?;
    let (handle, key) = begin(caller, key, 1)?;
    let done = match handle.try_delete(&key) {
        Some(done) => done,
        None => caller.wait(Wake::Every(LOOK_AGAIN), || handle.try_delete(&key))?,
    };
    if done.map_err(AbiError::from)? { Ok(0) } else { Err(AbiError::NotFound.into()) }
}

fn kv_list(caller: &mut Caller<'_>, prefix: (u32, u32), ptr: u32, cap: u32) -> Done<i32> {
    /// Why a list ends early.
    enum Ended {
        Storage(KvError),
        Guest(HostError),
    }
    impl From<KvError> for Ended {
        fn from(error: KvError) -> Self {
            Self::Storage(error)
        }
    }

    caller.bytes(prefix.0, prefix.1)?;
    caller.bytes(ptr, cap)?;
    forget_result(caller)?;
    let (handle, prefix) = begin(caller, prefix, 0)?;
    let (mut list, mut paid) = (Vec::new(), 0);
    let listed = handle.list(&prefix, |key, _| {
        caller.charge(ENTRY).map_err(Ended::Guest)?;
        let due = (list.len() + 4 + key.len()) / CHUNK * CHUNK;
        if due > paid {
            caller.charge_bytes((due - paid) as u64).map_err(Ended::Guest)?;
            paid = due;
        }
        list.extend_from_slice(&(key.len() as u32).to_le_bytes());
        list.extend_from_slice(key);
        Ok(())
    });
    match listed {
        Ok(()) => {
            caller.charge_bytes((list.len() - paid) as u64)?;
            give_paid(caller, ptr, cap, list)
        }
        Err(Ended::Storage(error)) => Err(AbiError::from(error).into()),
        Err(Ended::Guest(error)) => Err(error.into()),
    }
}
