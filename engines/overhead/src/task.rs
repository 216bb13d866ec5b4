//! What is measured. Each task gives an answer, which is the same on every engine in every column.

use anyhow::Result;

/// A thing to be done some number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// From the bytes of [`Guests::kernels`] to something that can be instantiated.
    Compile,
    /// The same from an artefact in memory that was compiled before.
    Load,
    /// Store, host function, instance, first call, and all of it dropped.
    Instantiate,
    /// A call of a function of two integers by values whose types are known at run time only.
    Call,
    /// A guest's call of a host function of two integers.
    HostCall,
    /// `memory.grow` by a page, in an instance made for it.
    Grow,
    /// One of [`KERNELS`], by its position.
    Kernel(usize),
}

/// A function `k_<name>(n: i32)` that does a fixed piece of work n times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its name, without `k_`.
    pub name: &'static str,
    /// The module that exports it.
    pub module: KernelModule,
    /// What it does, in a few words.
    pub what: &'static str,
    /// Its result for n = 1.
    pub answer: i64,
}

/// The modules that kernels are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelModule {
    /// `examples/guests/kernels.wasm`, compiled from C.
    C,
    /// `guests/json.wat`.
    Json,
    /// `guests/bulk.wat`.
    Bulk,
}

impl KernelModule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::C, Self::Json, Self::Bulk];
}

/// The eight kernels, and behind them the one shaped like CoreMark. The answers are those of programs without WebAssembly:
/// the same C compiled for the machine, and the two texts written once more in another language.
pub const KERNELS: &[Kernel] = &[
    kernel("fib", KernelModule::C, "recursion: the 25th Fibonacci number in 242,785 calls", 75_025),
    kernel("sieve", KernelModule::C, "stores in a pattern: the primes below 131,072", 12_251),
    kernel(
        "matmul",
        KernelModule::C,
        "64-bit floats in memory: a product of 64 × 64 matrices",
        -4_664_704_097_928_120_371,
    ),
    kernel(
        "nbody",
        KernelModule::C,
        "64-bit floats in locals, square roots: 2,000 steps of a solar system",
        -4_608_391_280_384_437_743,
    ),
    kernel("sha256", KernelModule::C, "integers in locals: SHA-256 of 64 KiB", -567_335_584),
    kernel("json", KernelModule::Json, "a byte at a time: scans 64 KiB of JSON", -2_015_177_294),
    kernel("interpreter", KernelModule::C, "`br_table` in a loop: 400,000 operations of a stack machine", 323_881_863),
    kernel("bulk", KernelModule::Bulk, "`memory.fill` and `memory.copy`: about 1.2 MiB in 1,026 pieces", -152_147_800),
    kernel("coremark", KernelModule::C, "like CoreMark: linked lists, matrices, a state machine, CRC-16", 14_279),
];

/// How many of [`KERNELS`] are the eight that means are taken over.
pub const EIGHT: usize = 8;

const fn kernel(name: &'static str, module: KernelModule, what: &'static str, answer: i64) -> Kernel {
    Kernel { name, module, what, answer }
}

/// Pages that one instance is grown by in [`Task::Grow`].
pub const GROWN: u32 = 256;

impl Task {
    /// Every task, in the order of the tables.
    pub fn all() -> impl Iterator<Item = Self> {
        let operations = [Self::Compile, Self::Load, Self::Instantiate, Self::Call, Self::HostCall, Self::Grow];
        operations.into_iter().chain((0..KERNELS.len()).map(Self::Kernel))
    }

    /// What it is called in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Load => "load artefact",
            Self::Instantiate => "instantiate",
            Self::Call => "call",
            Self::HostCall => "host call",
            Self::Grow => "memory.grow",
            Self::Kernel(at) => KERNELS[at].name,
        }
    }

    /// The task of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|task| task.name() == name)
    }

    /// Whether it is one of the eight kernels that means are taken over.
    #[must_use]
    pub fn is_of_the_eight(self) -> bool {
        matches!(self, Self::Kernel(at) if at < EIGHT)
    }

    /// Units of work in one time: what a time in a table is of.
    #[must_use]
    pub fn units(self) -> u32 {
        if self == Self::Grow { GROWN } else { 1 }
    }

    /// The most that may be done in one go, however fast it is: Wasmer frees code with its engine alone.
    #[must_use]
    pub fn most(self) -> u32 {
        match self {
            Self::Compile => 4,
            Self::Load => 50,
            _ => 1_000_000,
        }
    }
}

/// The modules that everything is measured on, as bytes.
#[derive(Clone, Debug)]
pub struct Guests {
    /// `guests/ops.wat`.
    pub ops: Vec<u8>,
    /// `examples/guests/kernels.wasm`.
    pub kernels: Vec<u8>,
    json: Vec<u8>,
    bulk: Vec<u8>,
}

impl Guests {
    /// All of them, which are part of this program.
    ///
    /// # Errors
    /// A text that is wrong.
    pub fn new() -> Result<Self> {
        Ok(Self {
            ops: wat::parse_str(include_str!("../guests/ops.wat"))?,
            kernels: include_bytes!("../../../examples/guests/kernels.wasm").to_vec(),
            json: wat::parse_str(include_str!("../guests/json.wat"))?,
            bulk: wat::parse_str(include_str!("../guests/bulk.wat"))?,
        })
    }

    /// The bytes of a module of kernels.
    #[must_use]
    pub fn of(&self, module: KernelModule) -> &[u8] {
        match module {
            KernelModule::C => &self.kernels,
            KernelModule::Json => &self.json,
            KernelModule::Bulk => &self.bulk,
        }
    }
}
