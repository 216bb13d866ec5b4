//! Which proposals a module uses, found while it is read and before the validator sees it, so that a refusal
//! can name the proposal and the place where the validator would only say "unknown operator" or less.

use wasmparser::{AbstractHeapType, BlockType, HeapType, Operator, RefType, ValType};

use crate::features::{FeatureSet, Proposal};

/// Where a proposal is used for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    pub offset: u64,
    /// Index of the function it is in.
    pub function: Option<u32>,
}

/// The proposals used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    set: FeatureSet,
    first: [Option<Use>; Proposal::ALL.len()],
    /// First use of a proposal that has no flag at all.
    unknown: Option<(&'static str, Use)>,
    place: Use,
}

impl Used {
    pub(crate) fn set(&self) -> FeatureSet {
        self.set
    }

    pub(crate) fn first(&self, proposal: Proposal) -> Option<Use> {
        self.first.get(proposal as usize).copied().flatten()
    }

    pub(crate) fn unknown(&self) -> Option<(&'static str, Use)> {
        self.unknown
    }

    /// What is noted from now on stands at `offset` in `function`.
    pub(crate) fn at(&mut self, offset: u64, function: Option<u32>) -> &mut Self {
        self.place = Use { offset, function };
        self
    }

    pub(crate) fn note(&mut self, proposal: Proposal) {
        self.set = self.set.with(proposal);
        if let Some(first) = self.first.get_mut(proposal as usize) {
            first.get_or_insert(self.place);
        }
    }

    fn note_unknown(&mut self, name: &'static str) {
        self.unknown.get_or_insert((name, self.place));
    }

    fn note_group(&mut self, group: Group) {
        match group {
            Group::Mvp => {}
            Group::Known(proposal) => self.note(proposal),
            Group::Unknown(name) => self.note_unknown(name),
        }
    }

    pub(crate) fn value_type(&mut self, ty: ValType) {
        match ty {
            ValType::I32 | ValType::I64 => {}
            ValType::F32 | ValType::F64 => self.note(Proposal::Floats),
            ValType::V128 => self.note(Proposal::Simd),
            ValType::Ref(ty) => self.ref_type(ty),
        }
    }

    pub(crate) fn ref_type(&mut self, ty: RefType) {
        self.note(Proposal::ReferenceTypes);
        self.heap_type(ty.heap_type());
        if !ty.is_nullable() {
            self.note(Proposal::FunctionReferences);
        }
    }

    fn heap_type(&mut self, ty: HeapType) {
        use AbstractHeapType as Abstract;
        match ty {
            HeapType::Concrete(_) => self.note(Proposal::FunctionReferences),
            HeapType::Exact(_) => self.note_unknown("custom-descriptors"),
            HeapType::Abstract { shared, ty } => {
                if shared {
                    self.note_unknown("shared-everything-threads");
                }
                match ty {
                    Abstract::Func | Abstract::Extern => {}
                    Abstract::Exn | Abstract::NoExn => self.note(Proposal::Exceptions),
                    Abstract::Cont | Abstract::NoCont => self.note_unknown("stack-switching"),
                    Abstract::Any
                    | Abstract::None
                    | Abstract::NoExtern
                    | Abstract::NoFunc
                    | Abstract::Eq
                    | Abstract::Struct
                    | Abstract::Array
                    | Abstract::I31 => self.note(Proposal::Gc),
                }
            }
        }
    }

    /// Notes what `operator` in a function body uses.
    pub(crate) fn operator(&mut self, operator: &Operator<'_>) {
        let (group, floats) = classify(operator);
        self.note_group(group);
        if floats {
            self.note(Proposal::Floats);
        }
        match operator {
            Operator::Block { blockty }
            | Operator::Loop { blockty }
            | Operator::If { blockty }
            | Operator::Try { blockty } => self.block_type(*blockty),
            Operator::TryTable { try_table } => self.block_type(try_table.ty),
            Operator::TypedSelect { ty } => self.value_type(*ty),
            Operator::RefNull { hty } => self.heap_type(*hty),
            _ => {}
        }
    }

    fn block_type(&mut self, ty: BlockType) {
        match ty {
            BlockType::Empty => {}
            BlockType::Type(ty) => self.value_type(ty),
            BlockType::FuncType(_) => self.note(Proposal::MultiValue),
        }
    }

    /// Notes what `operator` in a constant expression uses.
    pub(crate) fn const_operator(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::I32Add
            | Operator::I32Sub
            | Operator::I32Mul
            | Operator::I64Add
            | Operator::I64Sub
            | Operator::I64Mul => self.note(Proposal::ExtendedConst),
            _ => self.operator(operator),
        }
    }
}

/// The part of WebAssembly that an operator belongs to.
#[derive(Clone, Copy)]
enum Group {
    Mvp,
    Known(Proposal),
    /// A proposal that no policy can allow.
    Unknown(&'static str),
}

/// The group of each list of operators. A proposal that a new version of the parser brings fails the build.
macro_rules! group {
    (mvp) => {
        Group::Mvp
    };
    (sign_extension) => {
        Group::Known(Proposal::SignExtension)
    };
    (saturating_float_to_int) => {
        Group::Known(Proposal::SaturatingFloatToInt)
    };
    (bulk_memory) => {
        Group::Known(Proposal::BulkMemory)
    };
    (reference_types) => {
        Group::Known(Proposal::ReferenceTypes)
    };
    (tail_call) => {
        Group::Known(Proposal::TailCalls)
    };
    (threads) => {
        Group::Known(Proposal::Threads)
    };
    (simd) => {
        Group::Known(Proposal::Simd)
    };
    (relaxed_simd) => {
        Group::Known(Proposal::RelaxedSimd)
    };
    (exceptions) => {
        Group::Known(Proposal::Exceptions)
    };
    (legacy_exceptions) => {
        Group::Known(Proposal::LegacyExceptions)
    };
    (function_references) => {
        Group::Known(Proposal::FunctionReferences)
    };
    (gc) => {
        Group::Known(Proposal::Gc)
    };
    (wide_arithmetic) => {
        Group::Known(Proposal::WideArithmetic)
    };
    (memory_control) => {
        Group::Unknown("memory-control")
    };
    (custom_descriptors) => {
        Group::Unknown("custom-descriptors")
    };
    (shared_everything_threads) => {
        Group::Unknown("shared-everything-threads")
    };
    (stack_switching) => {
        Group::Unknown("stack-switching")
    };
}

macro_rules! define_classify {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// The group of `operator`, and whether it computes with floating point.
        fn classify(operator: &Operator<'_>) -> (Group, bool) {
            match operator {
                $(Operator::$op { .. } => (group!($proposal), const { names_float(stringify!($op)) }),)*
                // The list above is every operator there is; the enum is only marked as open.
                _ => (Group::Unknown("an unknown proposal"), false),
            }
        }
    };
}
wasmparser::for_each_operator!(define_classify);

/// Whether an operator's name contains `F32` or `F64`.
const fn names_float(name: &str) -> bool {
    let name = name.as_bytes();
    let mut at = 0;
    while at + 2 < name.len() {
        if let (b'F', b'3', b'2') | (b'F', b'6', b'4') = (name[at], name[at + 1], name[at + 2]) {
            return true;
        }
        at += 1;
    }
    false
}
