//! From bytes to a module that can be instantiated: recognise, validate and gate, check imports, prepare,
//! compile. Compiled modules are kept by weight, and compiled once however many ask at the same time.

use std::fmt;
use std::sync::Arc;

use cofferdam_engine::{
    ArtefactKey, CompileError, CompiledModule, Engine, EngineFault, ExternType, FuncType, HostError, HostFunc, Import,
    ImportType, Imports, ModuleHash, PreparedModule, Proposal, TrapKind, VerifiedArtefact,
};
use cofferdam_prepare::{ModuleBytes, PrepareOptions, Refusal, prepare_for, recognise, validate};

use super::asynchronous::NotRun;
use crate::cache::{CacheKey, Counters, DiskCache, Found, Kept, ModuleCache, bundle, open_module, seal_module};
use crate::engines::{Elsewhere, proposals, that_run};
use crate::host::wasix;
use crate::policy::{Determinism, SecurityPolicy, UnknownImports};

/// Why a module may not run, or cannot.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Its bytes, or what is in them, are refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It wants imports that it does not get.
    #[error("{}", ImportList(.0))]
    Imports(Vec<ImportRefusal>),
    /// It uses proposals that the engine does not run.
    #[error("engine `{engine}` cannot run {}; {elsewhere}", proposals(.lacks))]
    Lacks {
        /// The engine's id.
        engine: &'static str,
        /// The proposals that it uses and the engine does not run.
        lacks: Vec<Proposal>,
        /// Engines that run all that it uses.
        elsewhere: Elsewhere,
    },
    /// The engine cannot run it, or failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It was to be loaded on a worker, and was not.
    #[error(transparent)]
    NotRun(#[from] NotRun),
}

impl LoadError {
    /// The word for it in reports.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Imports(_) => "import",
            Self::Compile(CompileError::Engine(_)) => "engine",
            Self::Lacks { .. } | Self::Compile(CompileError::Unsupported { .. }) => "proposal",
            Self::Compile(CompileError::SignatureClash(_)) => "signature_clash",
            Self::Compile(CompileError::Limit { .. }) => "engine_limit",
            Self::Compile(_) => "capability",
            Self::NotRun(_) => "not_run",
        }
    }

    /// Whether the engine failed, rather than the module being refused.
    #[must_use]
    pub const fn is_engine_fault(&self) -> bool {
        matches!(self, Self::Compile(CompileError::Engine(_)))
    }
}

/// One import that a module wants and does not get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// Nobody here knows it.
    #[error("{kind} `{module}.{name}` is unknown; {}", stand_in_flags(kind))]
    Unknown {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What it would have to be.
        kind: &'static str,
    },
    /// It is known, and the policy does not grant it.
    #[error("{kind} `{module}.{name}` is known, but the policy does not grant it; `--grant` does")]
    NotGranted {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What it would be.
        kind: &'static str,
    },
    /// It is WASIX, and not given or not offered.
    #[error("{kind} `{module}.{name}` {why}")]
    Wasix {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What it would be.
        kind: &'static str,
        /// Why, and what would change it.
        why: String,
    },
    /// It is known under another signature.
    #[error("function `{module}.{name}` is {given}, but the module wants {wanted}")]
    Signature {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What the host has.
        given: String,
        /// What the module wants.
        wanted: String,
    },
}

/// Text that a guest wrote, cut and escaped, safe to show or log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printable(Arc<str>);

impl Printable {
    /// Longest text shown, in characters.
    pub const MAX: usize = 128;

    /// `text`, cut to [`Printable::MAX`] characters and with control characters escaped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::cut(text, Self::MAX)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text` with control characters escaped, however long it is.
    #[must_use]
    pub fn whole(text: &str) -> Self {
        Self::cut(text, usize::MAX)
    }

    fn cut(text: &str, most: usize) -> Self {
        let mut shown = String::new();
        for (i, c) in text.chars().enumerate() {
            if i == most {
                shown.push('…');
                break;
            }
            if is_hidden(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        Self(shown.into())
    }
}

/// Whether `c` is a control character, or one that could reorder or hide text on a terminal: Unicode's
/// categories Cf, Zl and Zp, and the block of tags.
#[must_use]
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn stand_in_flags(kind: &str) -> &'static str {
    match kind {
        "function" => "`--unknown-imports trap` or `default` links a stand-in",
        "tag" => "nothing can stand in for it",
        _ => "`--unknown-imports default` links a stand-in",
    }
}

struct ImportList<'a>(&'a [ImportRefusal]);

impl fmt::Display for ImportList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        match self.0 {
            [one] => write!(f, "import refused: {one}"),
            many => {
                write!(f, "{} imports refused:", many.len())?;
                many.iter().take(SHOWN).try_for_each(|refusal| write!(f, "\n  {refusal}"))?;
                if many.len() > SHOWN { write!(f, "\n  … and {} more", many.len() - SHOWN) } else { Ok(()) }
            }
        }
    }
}

/// A module that passed every gate and is compiled. Cheap to clone; the machine code is shared.
#[derive(Clone)]
pub struct Module {
    pub(super) compiled: Arc<dyn CompiledModule>,
    pub(super) imports: Imports,
    /// Memories, tables and globals to be made up in each store (policy `--unknown-imports default`).
    pub(super) stand_ins: Vec<ImportType>,
}

impl Module {
    /// What it was compiled from: imports, exports, hash, proposals used.
    #[must_use]
    pub fn prepared(&self) -> &PreparedModule {
        self.compiled.prepared()
    }

    /// Whether it has an export `name` that is a function.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        matches!(self.prepared().export(name), Some(ExternType::Func(_)))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Module").field(&self.prepared().hash()).finish()
    }
}

/// What a load asks, whoever asks.
pub(super) struct Loader<'a> {
    pub engine: &'a dyn Engine,
    pub policy: &'a SecurityPolicy,
    pub host: &'a Imports,
    pub cache: &'a ModuleCache,
    pub disk: Option<&'a DiskCache>,
}

impl Loader<'_> {
    /// The way of a module, up to the door of its store.
    pub fn load(&self, bytes: &ModuleBytes) -> Result<Module, LoadError> {
        let key = self.key(bytes.hash());
        let kept = self.cache.get_or_make(key, || self.find_or_compile(&key, bytes))?;
        self.module(kept)
    }

    /// The same for a module that is in memory already; `None` if it is not.
    pub fn find(&self, bytes: &ModuleBytes) -> Option<Result<Module, LoadError>> {
        Some(self.module(self.cache.get(&self.key(bytes.hash()))?))
    }

    /// A module with the artefact that was compiled from it: loaded if a key of `trusted` sealed it and it was
    /// made for this engine and policy, and else compiled like any other; and then, why.
    pub fn load_bundle(
        &self,
        file: &[u8],
        trusted: &[ArtefactKey],
    ) -> Result<(Module, Option<&'static str>), LoadError> {
        let bundle =
            bundle::read(file).map_err(|_| Refusal::NotWasm { found: "a compiled artefact that is cut off" })?;
        let bytes = recognise(bundle.module, &self.policy.module_limits)?;
        let key = self.key(bytes.hash());
        let opened = open_module(trusted, &key, bundle.sealed)
            .and_then(|(module, artefact)| self.revive(&module, &artefact).ok_or("the engine does not take it"));
        match opened {
            Ok(code) => {
                Ok((self.module(self.cache.get_or_make(key, || Ok::<_, LoadError>(Kept::Code(code.clone())))?)?, None))
            }
            Err(problem) => Ok((self.load(&bytes)?, Some(problem))),
        }
    }

    /// `module` with its code in one file, sealed with `seal`.
    pub fn bundle(&self, input: &[u8], seal: &ArtefactKey) -> Result<Vec<u8>, LoadError> {
        let original = recognise(input, &self.policy.module_limits)?;
        let module = self.load(&original)?;
        let prepared = module.prepared();
        let payload = self.payload(&*module.compiled).map_err(CompileError::Engine)?;
        let sealed = seal_module(seal, &self.key(prepared.hash()), prepared, &payload)
            .map_err(|error| CompileError::Engine(EngineFault::new("sealing an artefact", error)))?;
        Ok(bundle::write(original.bytes(), &sealed))
    }

    fn options(&self) -> PrepareOptions {
        let canonical_nans = self.policy.determinism != Determinism::Off;
        PrepareOptions { mode: self.policy.fuel_mode, canonical_nans }
    }

    fn key(&self, module: ModuleHash) -> CacheKey {
        CacheKey::new(self.engine, self.policy, &self.options(), module)
    }

    fn module(&self, kept: Kept) -> Result<Module, LoadError> {
        let compiled = match kept {
            Kept::Code(compiled) => compiled,
            Kept::Refused(refusal) => return Err(refusal.into()),
        };
        let (imports, stand_ins) =
            link(compiled.prepared().imports(), self.policy, self.host).map_err(LoadError::Imports)?;
        Ok(Module { compiled, imports, stand_ins })
    }

    fn find_or_compile(&self, key: &CacheKey, bytes: &ModuleBytes) -> Result<Kept, LoadError> {
        let Some(disk) = self.disk else { return self.compile(bytes) };
        if let Some(kept) = self.find_on_disk(disk, key, false) {
            return Ok(kept);
        }
        // Another process may be compiling it, or may have done so since we looked; the claim is held so that
        // others wait for us.
        let claim = disk.claim(key);
        if let Some(kept) = self.find_on_disk(disk, key, claim.is_some()) {
            return Ok(kept);
        }
        Counters::add(&disk.counters.misses, 1);
        let kept = self.compile(bytes)?;
        match &kept {
            Kept::Refused(refusal) => disk.store_refusal(key, refusal),
            Kept::Code(code) => match self.payload(&**code) {
                Ok(payload) => disk.store_module(key, code.prepared(), &payload),
                Err(error) => tracing::warn!(%error, "an artefact could not be saved"),
            },
        }
        Ok(kept)
    }

    /// What is on the disk; what is not to be believed is set aside by whoever has `claimed` the key.
    fn find_on_disk(&self, disk: &DiskCache, key: &CacheKey, claimed: bool) -> Option<Kept> {
        let problem = match disk.find(key) {
            Found::Refused(refusal) => {
                Counters::add(&disk.counters.refusal_hits, 1);
                return Some(Kept::Refused(refusal));
            }
            Found::Module(module, artefact) => match self.revive(&module, &artefact) {
                Some(code) => {
                    Counters::add(&disk.counters.hits, 1);
                    return Some(Kept::Code(code));
                }
                None => "the engine does not take it",
            },
            Found::Unfit(problem) => problem,
            Found::Nothing => return None,
        };
        if claimed {
            disk.set_aside(key, problem);
        }
        None
    }

    /// What is saved of an engine's code: nothing for one that has none to save.
    fn payload(&self, code: &dyn CompiledModule) -> Result<Vec<u8>, EngineFault> {
        if self.engine.descriptor().capabilities.artefacts { code.serialize() } else { Ok(Vec::new()) }
    }

    /// The code of a module that was saved before.
    fn revive(&self, module: &PreparedModule, artefact: &VerifiedArtefact) -> Option<Arc<dyn CompiledModule>> {
        if self.engine.descriptor().capabilities.artefacts {
            self.engine.load(module, artefact).ok()
        } else {
            self.engine.compile(module).ok()
        }
    }

    fn compile(&self, bytes: &ModuleBytes) -> Result<Kept, LoadError> {
        let valid = match validate(bytes.clone(), &self.policy.gate()) {
            Ok(valid) => valid,
            Err(refusal) => return Ok(Kept::Refused(refusal)),
        };
        // Before the expensive steps: a module that will not be linked need not be compiled.
        link(valid.imports(), self.policy, self.host).map_err(LoadError::Imports)?;
        match prepare_for(valid, &self.options(), self.engine.assist()) {
            Ok(prepared) => {
                self.offered(&prepared)?;
                Ok(Kept::Code(self.engine.compile(&prepared)?))
            }
            Err(refusal) => Ok(Kept::Refused(refusal)),
        }
    }

    /// Whether the engine runs every proposal that `module` uses. It would refuse the first that it does not; this
    /// names all of them, and who runs them.
    fn offered(&self, module: &PreparedModule) -> Result<(), LoadError> {
        let descriptor = self.engine.descriptor();
        let lacks: Vec<_> = module.used().minus(descriptor.capabilities.features).iter().collect();
        if lacks.is_empty() {
            return Ok(());
        }
        Err(LoadError::Lacks { engine: descriptor.id, lacks, elsewhere: that_run(module.used(), self.policy) })
    }
}

/// Those of `imports` that a module would not get under `policy` from what `host` has.
#[must_use]
pub fn refused_imports(imports: &[ImportType], policy: &SecurityPolicy, host: &Imports) -> Vec<ImportRefusal> {
    link(imports, policy, host).err().unwrap_or_default()
}

type Linked = (Imports, Vec<ImportType>);

/// Exactly what `imports` ask for, from what the host has and the policy grants. All refusals at once,
/// so that a user need not find them one by one.
fn link(imports: &[ImportType], policy: &SecurityPolicy, host: &Imports) -> Result<Linked, Vec<ImportRefusal>> {
    let mut linked = Imports::new();
    let mut stand_ins = Vec::new();
    let mut refused = Vec::new();
    for import in imports {
        let (module, name) = (&*import.module, &*import.name);
        let shown = || (Printable::new(module), Printable::new(name));
        if let Some(why) = wasix::refusal(module, name, policy) {
            let (module, name) = shown();
            refused.push(ImportRefusal::Wasix { module, name, kind: import.ty.kind(), why });
            continue;
        }
        match (host.get(module, name), &import.ty) {
            (Some(_), _) if !policy.grants.allows(module, name) => {
                let (module, name) = shown();
                refused.push(ImportRefusal::NotGranted { module, name, kind: import.ty.kind() });
            }
            (Some(Import::Host(func)), ExternType::Func(wanted)) if wanted.as_ref() != Some(func.ty()) => {
                let (module, name) = shown();
                let wanted =
                    wanted.as_ref().map_or_else(|| "types the host cannot name".to_owned(), FuncType::to_string);
                refused.push(ImportRefusal::Signature { module, name, given: func.ty().to_string(), wanted });
            }
            (Some(Import::Host(func)), ty) if !matches!(ty, ExternType::Func(_)) => {
                let (module, name) = shown();
                let (given, wanted) = (func.ty().to_string(), format!("a {}", ty.kind()));
                refused.push(ImportRefusal::Signature { module, name, given, wanted });
            }
            (Some(given), _) => {
                linked.define(module, name, given.clone());
            }
            (None, ExternType::Func(Some(ty))) if policy.unknown_imports != UnknownImports::Refuse => {
                let stub = stand_in(ty.clone(), policy.unknown_imports, &Printable::new(&format!("{module}.{name}")));
                linked.define(module, name, Import::Host(Arc::new(stub)));
            }
            (None, ExternType::Memory(_) | ExternType::Table(_) | ExternType::Global(_))
                if policy.unknown_imports == UnknownImports::Default =>
            {
                stand_ins.push(import.clone());
            }
            (None, _) => {
                let (module, name) = shown();
                refused.push(ImportRefusal::Unknown { module, name, kind: import.ty.kind() });
            }
        }
    }
    if refused.is_empty() { Ok((linked, stand_ins)) } else { Err(refused) }
}

/// A function for an import that nobody knows.
fn stand_in(ty: FuncType, unknown: UnknownImports, name: &Printable) -> HostFunc {
    let name = name.clone();
    HostFunc::new(ty, move |_, _, _| {
        if unknown == UnknownImports::Default {
            // Results start as zeros.
            return Ok(());
        }
        tracing::warn!(import = %name, "the guest called an import that is not provided; it is trapped");
        Err(HostError::Trap(TrapKind::Unreachable))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_text_is_cut_and_escaped() {
        assert_eq!(Printable::new("plain").to_string(), "plain");
        assert_eq!(Printable::new("a\u{1b}[31m\n\u{202e}b").to_string(), "a\\u{1b}[31m\\n\\u{202e}b");
        for c in
            ['\u{61c}', '\u{2028}', '\u{2029}', '\u{ad}', '\u{180e}', '\u{fff9}', '\u{fffb}', '\u{e0041}', '\u{1d173}']
        {
            assert_eq!(Printable::new(&c.to_string()).to_string(), c.escape_default().to_string());
        }
        assert_eq!(Printable::new(&"x".repeat(4000)).to_string().chars().count(), Printable::MAX + 1);
    }
}
