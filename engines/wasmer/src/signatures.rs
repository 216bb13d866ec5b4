//! Function types by the hash that Wasmer tells them apart with.
//!
//! Wasmer compares signatures by their CRC32. Two types with the same CRC32 panic the host in one engine
//! and pass for each other across engines, so that a wrong-typed `call_indirect` succeeds. CRC32 collides
//! at will; therefore every type that comes near a store is entered here first, and a collision is a
//! refusal.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use cofferdam_engine::{FuncType, SignatureClash, ValType};

use wasmer_vm::VMSignatureHash;

use crate::types;

/// The hash that Wasmer will use for `ty`.
pub(crate) fn hash(ty: &FuncType) -> VMSignatureHash {
    VMSignatureHash::new(types::func_type(ty).signature_hash())
}

/// The type of the injected tick.
pub(crate) fn tick() -> FuncType {
    FuncType::new([ValType::I64], [])
}

/// Distinct types with distinct hashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signatures(HashMap<VMSignatureHash, FuncType>);

impl Signatures {
    /// The types `types` and the tick's.
    pub fn of(engine: &'static str, types: &[FuncType]) -> Result<Self, SignatureClash> {
        let mut all = Self::default();
        all.add(engine, &tick())?;
        types.iter().try_for_each(|ty| all.add(engine, ty))?;
        Ok(all)
    }

    /// Adds `ty`; on a clash nothing changes.
    pub fn add(&mut self, engine: &'static str, ty: &FuncType) -> Result<(), SignatureClash> {
        self.check(engine, hash(ty), ty)?;
        self.0.entry(hash(ty)).or_insert_with(|| ty.clone());
        Ok(())
    }

    /// Adds all of `other`; on a clash nothing changes.
    pub fn merge(&mut self, engine: &'static str, other: &Self) -> Result<(), SignatureClash> {
        other.0.iter().try_for_each(|(hash, ty)| self.check(engine, *hash, ty))?;
        for (hash, ty) in &other.0 {
            if let Entry::Vacant(free) = self.0.entry(*hash) {
                free.insert(ty.clone());
            }
        }
        Ok(())
    }

    /// The type with this hash.
    pub fn get(&self, hash: VMSignatureHash) -> Option<&FuncType> {
        self.0.get(&hash)
    }

    fn check(&self, engine: &'static str, hash: VMSignatureHash, ty: &FuncType) -> Result<(), SignatureClash> {
        match self.0.get(&hash) {
            Some(known) if known != ty => {
                Err(SignatureClash { engine, first: shown(known), second: shown(ty) })
            }
            _ => Ok(()),
        }
    }
}

/// Types that collide may have hundreds of parameters.
fn shown(ty: &FuncType) -> String {
    const KEPT: usize = 200;
    let mut text = ty.to_string();
    if text.len() > KEPT {
        text.truncate(KEPT);
        text.push('…');
    }
    text
}
