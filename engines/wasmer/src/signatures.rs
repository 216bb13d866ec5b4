//! Function types by the hash that Wasmer tells them apart with.
//!
//! Wasmer compares signatures by their CRC32. Two types with the same CRC32 panic the host in one engine
//! and pass for each other across engines, so that a wrong-typed `call_indirect` succeeds. CRC32 collides
//! at will; therefore every type that comes near a store is entered here first, and a collision is a
//! refusal.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

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

/// The types of one module, with distinct hashes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Signatures(Arc<HashMap<VMSignatureHash, FuncType>>);

impl Signatures {
    /// The types `types` and the tick's.
    pub fn of(engine: &'static str, types: &[FuncType]) -> Result<Self, SignatureClash> {
        let mut all = HashMap::with_capacity(types.len() + 1);
        for ty in types.iter().chain([&tick()]) {
            match all.entry(hash(ty)) {
                Entry::Vacant(free) => drop(free.insert(ty.clone())),
                Entry::Occupied(known) => same(engine, known.get(), ty)?,
            }
        }
        Ok(Self(Arc::new(all)))
    }
}

/// The types of everything in a store, with distinct hashes.
#[derive(Debug, Default)]
pub(crate) struct StoreSignatures {
    modules: Vec<Signatures>,
    /// Of host functions that came without a module.
    others: HashMap<VMSignatureHash, FuncType>,
}

impl StoreSignatures {
    /// Adds a module's types; on a clash nothing changes.
    pub fn add_module(&mut self, engine: &'static str, module: &Signatures) -> Result<(), SignatureClash> {
        if self.modules.iter().any(|known| Arc::ptr_eq(&known.0, &module.0)) {
            return Ok(());
        }
        // The first module was checked in itself when it was compiled.
        if !self.modules.is_empty() || !self.others.is_empty() {
            module.0.iter().try_for_each(|(hash, ty)| self.check(engine, *hash, ty))?;
        }
        self.modules.push(module.clone());
        Ok(())
    }

    /// Adds one type; on a clash nothing changes.
    pub fn add(&mut self, engine: &'static str, ty: &FuncType) -> Result<(), SignatureClash> {
        let hash = hash(ty);
        self.check(engine, hash, ty)?;
        self.others.insert(hash, ty.clone());
        Ok(())
    }

    /// The type with this hash.
    pub fn get(&self, hash: VMSignatureHash) -> Option<&FuncType> {
        self.modules.iter().find_map(|m| m.0.get(&hash)).or_else(|| self.others.get(&hash))
    }

    fn check(&self, engine: &'static str, hash: VMSignatureHash, ty: &FuncType) -> Result<(), SignatureClash> {
        self.get(hash).map_or(Ok(()), |known| same(engine, known, ty))
    }
}

/// Two types with one hash must be one type.
fn same(engine: &'static str, known: &FuncType, ty: &FuncType) -> Result<(), SignatureClash> {
    if known == ty {
        return Ok(());
    }
    Err(SignatureClash { engine, first: shown(known), second: shown(ty) })
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
