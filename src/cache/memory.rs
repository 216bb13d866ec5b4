//! [`ModuleCache`]: compiled modules of this process, bounded by the bytes they keep in memory.

use std::sync::Arc;

use cofferdam_engine::CompiledModule;
use cofferdam_prepare::Refusal;

use super::key::CacheKey;

/// What came of compiling a module once.
#[derive(Clone)]
pub(crate) enum Kept {
    /// Its code.
    Code(Arc<dyn CompiledModule>),
    /// It is refused, and will be as long as the key is the same.
    Refused(Refusal),
}

/// Tables and mappings that every module has in an engine, roughly.
const FIXED_WEIGHT: usize = 64 << 10;
/// A refusal with its texts, which are capped, and its place in the cache.
const REFUSAL_WEIGHT: u32 = 1 << 10;

/// Bytes kept: machine code, the prepared module and the engine's copy of its data, the map back to the
/// original.
fn weight(kept: &Kept) -> u32 {
    let Kept::Code(module) = kept else { return REFUSAL_WEIGHT };
    let prepared = module.prepared();
    let parts =
        [module.code_bytes(), prepared.bytes().len().saturating_mul(2), prepared.code_map().size(), FIXED_WEIGHT];
    u32::try_from(parts.into_iter().fold(0, usize::saturating_add)).unwrap_or(u32::MAX)
}

/// Compiled modules, and refusals, by what decides them.
pub struct ModuleCache(moka::sync::Cache<CacheKey, Kept>);

impl ModuleCache {
    /// Room for `bytes` bytes of modules; the least used go first.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let cache = moka::sync::Cache::builder().max_capacity(bytes).weigher(|_, kept: &Kept| weight(kept)).build();
        Self(cache)
    }

    /// What is kept under `key`.
    pub(crate) fn get(&self, key: &CacheKey) -> Option<Kept> {
        self.0.get(key)
    }

    /// What is kept under `key`, or else what `make` makes: once, however many ask at the same time. The
    /// others wait for it, and no lock is held meanwhile.
    pub(crate) fn get_or_make<E: Clone + Send + Sync + 'static>(
        &self,
        key: CacheKey,
        make: impl Fn() -> Result<Kept, E>,
    ) -> Result<Kept, E> {
        loop {
            let mut asked_here = false;
            let made = self.0.try_get_with(key, || {
                asked_here = true;
                make()
            });
            match made {
                Ok(kept) => return Ok(kept),
                // Another's failure may be for want of a grant that we have: ask for ourselves.
                Err(_) if !asked_here => {}
                Err(error) => return Err((*error).clone()),
            }
        }
    }

    /// Modules and refusals kept.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    /// Whether nothing is kept.
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
