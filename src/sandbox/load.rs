//! From bytes to a module that can be instantiated: recognise, validate and gate, check imports, prepare,
//! compile. Compiled modules are kept by weight, and compiled once however many ask at the same time.

use std::fmt;
use std::sync::Arc;

use cofferdam_engine::{
    CompileError, CompiledModule, Engine, ExternType, FuncType, HostError, HostFunc, Import, ImportType, Imports,
    ModuleHash, PreparedModule, TrapKind,
};
use cofferdam_prepare::{
    ModuleBytes, PREPARE_VERSION, PRICE_VERSION, PrepareOptions, Refusal, prepare_for, recognise, validate,
};

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
    /// The engine cannot run it, or failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl LoadError {
    /// The word for it in reports.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Imports(_) => "import",
            Self::Compile(CompileError::Engine(_)) => "engine",
            Self::Compile(CompileError::Unsupported { .. }) => "proposal",
            Self::Compile(CompileError::SignatureClash(_)) => "signature_clash",
            Self::Compile(_) => "capability",
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
    #[error("{kind} `{module}.{name}` is unknown; {} links a stand-in", stand_in_flags(kind))]
    Unknown {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What it would have to be.
        kind: &'static str,
    },
    /// It is known, and the policy does not grant it.
    #[error("{kind} `{module}.{name}` is known, but the policy does not grant it")]
    NotGranted {
        /// Module half of its name.
        module: Printable,
        /// Field half of its name.
        name: Printable,
        /// What it would be.
        kind: &'static str,
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
            // Beside control characters this escapes what could reorder or hide text on a terminal.
            if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        Self(shown.into())
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn stand_in_flags(kind: &str) -> &'static str {
    if kind == "function" { "`--unknown-imports trap` or `default`" } else { "`--unknown-imports default`" }
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

/// What decides the machine code of a module: two loads with the same key may share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CacheKey([u8; 32]);

impl CacheKey {
    fn new(engine: &dyn Engine, policy: &SecurityPolicy, options: &PrepareOptions, module: ModuleHash) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Each part is preceded by its length, so that no two lists of parts read the same.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        part(&module.0);
        part(&policy.features.bits().to_le_bytes());
        // The module was validated under these limits; looser ones must not lend it to tighter ones.
        part(format!("{:?}", policy.module_limits).as_bytes());
        part(&PREPARE_VERSION.to_le_bytes());
        part(&PRICE_VERSION.to_le_bytes());
        part(options.mode.name().as_bytes());
        part(&[u8::from(options.canonical_nans)]);
        let descriptor = engine.descriptor();
        part(descriptor.id.as_bytes());
        part(descriptor.version.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// Tables and mappings that every module has in an engine, roughly.
const FIXED_WEIGHT: usize = 64 << 10;

/// Bytes that a module keeps in memory: machine code, the prepared module and the engine's copy of its
/// data, the map back to the original.
fn weight(module: &dyn CompiledModule) -> u32 {
    let prepared = module.prepared();
    let parts =
        [module.code_bytes(), prepared.bytes().len().saturating_mul(2), prepared.code_map().size(), FIXED_WEIGHT];
    u32::try_from(parts.into_iter().fold(0, usize::saturating_add)).unwrap_or(u32::MAX)
}

/// Compiled modules by what decides their code, bounded by the bytes they keep in memory.
pub struct ModuleCache(moka::sync::Cache<CacheKey, Arc<dyn CompiledModule>>);

impl ModuleCache {
    /// Room for `bytes` bytes of modules; the least used go first.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, module: &Arc<dyn CompiledModule>| weight(&**module))
            .build();
        Self(cache)
    }

    /// Modules kept.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    /// Whether no module is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes kept: machine code and what belongs to it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }
}

/// The way of a module, up to the door of its store.
pub(super) fn load(
    engine: &dyn Engine,
    policy: &SecurityPolicy,
    host: &Imports,
    cache: &ModuleCache,
    input: &[u8],
) -> Result<Module, LoadError> {
    let bytes = recognise(input, &policy.module_limits)?;
    let options = PrepareOptions { mode: policy.fuel_mode, canonical_nans: policy.determinism != Determinism::Off };
    let key = CacheKey::new(engine, policy, &options, bytes.hash());
    // One compile per key however many ask; others wait for it, and no lock is held meanwhile.
    let compiled = loop {
        let mut asked_here = false;
        let made = cache.0.try_get_with(key, || {
            asked_here = true;
            compile(engine, policy, host, &options, bytes.clone())
        });
        match made {
            Ok(compiled) => break compiled,
            // Another's refusal may be for want of a grant that we have: ask for ourselves.
            Err(_) if !asked_here => {}
            Err(error) => return Err((*error).clone()),
        }
    };
    let (imports, stand_ins) = link(compiled.prepared().imports(), policy, host).map_err(LoadError::Imports)?;
    Ok(Module { compiled, imports, stand_ins })
}

fn compile(
    engine: &dyn Engine,
    policy: &SecurityPolicy,
    host: &Imports,
    options: &PrepareOptions,
    bytes: ModuleBytes,
) -> Result<Arc<dyn CompiledModule>, LoadError> {
    let valid = validate(bytes, &policy.gate())?;
    // Before the expensive steps: a module that will not be linked need not be compiled.
    link(valid.imports(), policy, host).map_err(LoadError::Imports)?;
    let prepared = prepare_for(valid, options, engine.assist())?;
    Ok(engine.compile(&prepared)?)
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
        assert_eq!(Printable::new(&"x".repeat(4000)).to_string().chars().count(), Printable::MAX + 1);
    }
}
