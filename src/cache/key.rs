//! [`CacheKey`]: everything that decides the machine code of a module, as one hash.

use std::fmt;

use cofferdam_engine::{Engine, ModuleHash};
use cofferdam_prepare::{PREPARE_VERSION, PRICE_VERSION, PrepareOptions};

use crate::policy::SecurityPolicy;

/// Hash of everything in this program that rewrites modules or makes code of them (see `build.rs`): whatever
/// changes there, and whoever forgets to raise a version, what was compiled before is not found any more.
const SOURCES: &str = env!("COFFERDAM_CODE_HASH");

/// What decides the machine code of a module: two loads with the same key may share it. BLAKE3 over the
/// module, the policy's part in it, the versions of what rewrites it, and the engine with its settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    pub(crate) fn new(
        engine: &dyn Engine,
        policy: &SecurityPolicy,
        options: &PrepareOptions,
        module: ModuleHash,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Each part is preceded by its length, so that no two lists of parts read the same.
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        part(env!("CARGO_PKG_VERSION").as_bytes());
        part(&module.0);
        part(&policy.features.bits().to_le_bytes());
        // The level is named in refusals, which are kept as well.
        part(policy.level.name().as_bytes());
        // The module was validated under these limits; looser ones must not lend it to tighter ones.
        part(format!("{:?}", policy.module_limits).as_bytes());
        part(&PREPARE_VERSION.to_le_bytes());
        part(&PRICE_VERSION.to_le_bytes());
        part(options.mode.name().as_bytes());
        part(&[u8::from(options.canonical_nans)]);
        let descriptor = engine.descriptor();
        part(descriptor.id.as_bytes());
        part(descriptor.version.as_bytes());
        part(descriptor.compiler.as_bytes());
        part(engine.settings().as_bytes());
        part(format!("{:?}", engine.assist()).as_bytes());
        part(SOURCES.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key written as `text`, if that is 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self(*blake3::Hash::from_hex(text).ok()?.as_bytes()))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        blake3::Hash::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
