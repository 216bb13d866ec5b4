//! The second step: validation and the gate. One pass reads the module, checks limits before anything is
//! allocated, notes which proposals are used, and feeds the validator, so that a refusal can name what the
//! validator alone would not.

use std::fmt;
use std::sync::Arc;

use wasmparser::{Operator, Parser, ValidPayload, Validator, WasmFeatures};

use crate::features::{FeatureSet, Proposal};
use crate::function_names::name_of;
use crate::limits::ModuleLimits;
use crate::metering::Spaces;
use crate::prepared::ModuleHash;
use crate::proposals::{Use, Used};
use crate::recognise::ModuleBytes;
use crate::refusal::{FunctionRef, Refusal, capped};
use crate::types::{ExportType, FuncType, ImportType};
use crate::unsupported::never;
use crate::walk::Walk;

/// What a policy allows modules to be.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Proposals that may be used.
    pub features: FeatureSet,
    /// Name of the policy level, for messages.
    pub level: Arc<str>,
    /// How large a module may be.
    pub limits: ModuleLimits,
}

impl Default for Gate {
    /// Level *standard* with the default limits.
    fn default() -> Self {
        Self { features: FeatureSet::STANDARD, level: "standard".into(), limits: ModuleLimits::default() }
    }
}

/// A module that is valid and that its gate lets through.
#[derive(Clone)]
pub struct ValidModule {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: ModuleHash,
    pub(crate) allowed: FeatureSet,
    pub(crate) used: FeatureSet,
    pub(crate) uses: Used,
    pub(crate) imports: Vec<ImportType>,
    pub(crate) exports: Vec<ExportType>,
    pub(crate) signatures: Vec<FuncType>,
    pub(crate) facts: Facts,
}

/// Arity of a function type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arity {
    pub params: u32,
    pub results: u32,
}

/// What rewriting needs to know about a module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Per type; nothing for those that are not functions.
    pub types: Vec<Arity>,
    /// Type index of every function, imported ones first.
    pub functions: Vec<u32>,
    pub imported_functions: u32,
    pub imported_globals: u32,
    pub spaces: Spaces,
    pub start: Option<u32>,
    /// Estimated microseconds to compile it on one core.
    pub work: u64,
    /// Offset of the first shared memory.
    pub shared_memory: Option<u64>,
    /// Per defined function, the most operands on its stack at any time.
    pub operand_heights: Vec<u32>,
}

impl Facts {
    fn arity(&self, ty: u32) -> Arity {
        self.types.get(ty as usize).copied().unwrap_or_default()
    }

    fn function_type(&self, function: u32) -> Arity {
        self.functions.get(function as usize).map_or_else(Arity::default, |ty| self.arity(*ty))
    }

    /// Arity of defined function `defined`.
    pub(crate) fn defined_type(&self, defined: usize) -> Arity {
        let function = self.functions.get(self.imported_functions as usize + defined);
        function.map_or_else(Arity::default, |ty| self.arity(*ty))
    }

    /// Most operands on the stack of defined function `defined`.
    pub(crate) fn operand_height(&self, defined: usize) -> u32 {
        self.operand_heights.get(defined).copied().unwrap_or(0)
    }

    /// What a block of type `ty` takes and leaves.
    pub(crate) fn block_type(&self, ty: wasmparser::BlockType) -> Arity {
        match ty {
            wasmparser::BlockType::Empty => Arity::default(),
            wasmparser::BlockType::Type(_) => Arity { params: 0, results: 1 },
            wasmparser::BlockType::FuncType(ty) => self.arity(ty),
        }
    }

    /// Arity of what `operator` calls, if it is a call of any kind.
    pub(crate) fn callee(&self, operator: &Operator<'_>) -> Option<Arity> {
        match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                Some(self.function_type(*function_index))
            }
            Operator::CallIndirect { type_index, .. }
            | Operator::ReturnCallIndirect { type_index, .. }
            | Operator::CallRef { type_index }
            | Operator::ReturnCallRef { type_index } => Some(self.arity(*type_index)),
            _ => None,
        }
    }
}

impl ValidModule {
    /// BLAKE3 of the module.
    #[must_use]
    pub fn hash(&self) -> ModuleHash {
        self.hash
    }

    /// Size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: an empty module does not validate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What it imports, in order.
    #[must_use]
    pub fn imports(&self) -> &[ImportType] {
        &self.imports
    }

    /// What it exports, in order.
    #[must_use]
    pub fn exports(&self) -> &[ExportType] {
        &self.exports
    }

    /// The proposals that it really uses.
    #[must_use]
    pub fn used(&self) -> FeatureSet {
        self.used
    }

    /// The proposals that its gate allows.
    #[must_use]
    pub fn allowed(&self) -> FeatureSet {
        self.allowed
    }

    /// Estimated microseconds to compile it on one core, which `compile_work` of the module limits caps.
    #[must_use]
    pub fn compile_work(&self) -> u64 {
        self.facts.work
    }

    /// Where `proposal` is used first.
    pub(crate) fn first_use(&self, proposal: Proposal) -> Option<Place> {
        let Use { offset, function } = self.uses.first(proposal)?;
        Some(Place { offset, function: function.map(|index| function_ref(&self.bytes, index)) })
    }
}

/// A place in the module, ready for a message.
pub(crate) struct Place {
    pub offset: u64,
    pub function: Option<FunctionRef>,
}

impl fmt::Debug for ValidModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidModule")
            .field("hash", &self.hash)
            .field("bytes", &self.bytes.len())
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

pub(crate) fn function_ref(bytes: &[u8], index: u32) -> FunctionRef {
    FunctionRef { index, name: name_of(bytes, index) }
}

/// Validates `module` and checks it against `gate`.
///
/// # Errors
/// Every [`Refusal`] but those about recognising and rewriting.
pub fn validate(module: ModuleBytes, gate: &Gate) -> Result<ValidModule, Refusal> {
    let bytes = module.shared();
    gate.limits.module_bytes(bytes.len() as u64, 0)?;
    let features = gate.features.validator();
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut walk = Walk::new(&bytes, gate, Validator::new_with_features(features));
    for payload in parser.parse_all(&bytes) {
        let payload = payload.map_err(|error| explain(&bytes, gate, walk.function, &error))?;
        walk.payload(&payload)?;
    }
    let found = walk.finish();
    Ok(ValidModule {
        hash: module.hash(),
        allowed: gate.features,
        used: found.used.set(),
        uses: found.used,
        imports: found.imports,
        exports: found.exports,
        signatures: found.signatures,
        facts: found.facts,
        bytes,
    })
}

/// Turns what the validator says into a refusal: a missing proposal by name where that is all that is wrong.
pub(crate) fn explain(bytes: &[u8], gate: &Gate, function: Option<u32>, error: &wasmparser::Error) -> Refusal {
    let offset = error.offset();
    let function = function.map(|index| function_ref(bytes, index));
    let missing = missing_proposal(bytes, gate, error);
    if let Some((what, why)) = missing.and_then(never) {
        return Refusal::Unsupported { what, why, function, offset };
    }
    match missing {
        Some(proposal) => Refusal::Proposal { proposal, function, offset, level: gate.level.clone() },
        None => Refusal::Invalid { offset, function, message: capped(error.message(), MAX_MESSAGE_BYTES).to_owned() },
    }
}

/// Longest message of the validator that is kept, in bytes; it may quote names of the guest.
const MAX_MESSAGE_BYTES: usize = 300;

/// The proposal that `error` would not have come without.
fn missing_proposal(bytes: &[u8], gate: &Gate, error: &wasmparser::Error) -> Option<Proposal> {
    let refused = || Proposal::ALL.iter().copied().filter(|p| !gate.features.has(*p));
    if let Some(missing) = error.missing_wasm_feature() {
        return refused().find(|p| p.switch().contains(missing));
    }
    // Some rules are only relaxed by a proposal, and their errors do not say by which. Every other invalid
    // module is told from these at the price of one more validation.
    let with_all = Proposal::ALL.iter().copied().collect::<FeatureSet>().validator();
    if !valid_beyond(bytes, with_all, error.offset()) {
        return None;
    }
    refused().find(|p| valid_beyond(bytes, gate.features.with(*p).validator(), error.offset()))
}

/// Whether a validator with `features` finds nothing wrong in `bytes` up to and including `offset`.
fn valid_beyond(bytes: &[u8], features: WasmFeatures, offset: u64) -> bool {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut validator = Validator::new_with_features(features);
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    for payload in parser.parse_all(bytes) {
        let checked = payload.and_then(|payload| {
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                let mut function = function.into_validator(std::mem::take(&mut allocations));
                function.validate(&body)?;
                allocations = function.into_allocations();
            }
            Ok(())
        });
        if let Err(error) = checked {
            return error.offset() > offset;
        }
    }
    true
}
