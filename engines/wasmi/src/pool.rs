//! [`Pool`]: the Wasmi engines behind one [`crate::WasmiEngine`].
//!
//! Modules that are linked must be translated by one Wasmi engine, and a Wasmi engine never gives up what it
//! translated. So modules share an engine until it has had enough of them, and then the next begin with a new
//! one; the old one goes with the last of its modules and stores.

use cofferdam_engine::{FeatureSet, FuelMode};
use parking_lot::Mutex;
use wasmi::{CompilationMode, Engine};

use crate::config::config;

/// Bytes of modules after which a Wasmi engine takes no more: what may stay behind after they are dropped.
const ENOUGH: usize = 4 << 20;

/// Makes Wasmi engines, and says which one takes the next module.
pub(crate) struct Pool {
    compilation: CompilationMode,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Vec<Open>,
    /// The engine of the module that was translated last: the likely one for the next store.
    latest: Option<Engine>,
}

/// An engine that takes modules of one feature set and one fuel mode.
struct Open {
    set: FeatureSet,
    mode: FuelMode,
    engine: Engine,
    bytes: usize,
}

impl Pool {
    pub fn new(compilation: CompilationMode) -> Self {
        Self { compilation, shared: Mutex::default() }
    }

    /// The engine for a module of so many bytes.
    pub fn for_module(&self, set: FeatureSet, mode: FuelMode, bytes: usize) -> Engine {
        let mut shared = self.shared.lock();
        let engine = match shared.open.iter_mut().find(|open| (open.set, open.mode) == (set, mode)) {
            Some(open) if open.bytes == 0 || open.bytes.saturating_add(bytes) <= ENOUGH => {
                open.bytes = open.bytes.saturating_add(bytes);
                open.engine.clone()
            }
            Some(open) => {
                (open.engine, open.bytes) = (self.make(set, mode), bytes);
                open.engine.clone()
            }
            None => {
                let engine = self.make(set, mode);
                shared.open.push(Open { set, mode, engine: engine.clone(), bytes });
                engine
            }
        };
        shared.latest = Some(engine.clone());
        engine
    }

    /// An engine for a store that holds no instance yet; it moves if that turns out to be the wrong one.
    pub fn likely(&self) -> Engine {
        let latest = self.shared.lock().latest.clone();
        latest.unwrap_or_else(|| self.for_module(crate::config::FEATURES, FuelMode::Portable, 0))
    }

    fn make(&self, set: FeatureSet, mode: FuelMode) -> Engine {
        Engine::new(&config(set, mode, self.compilation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_share_an_engine_until_it_has_enough_and_what_is_unused_is_freed() {
        let pool = Pool::new(CompilationMode::Eager);
        let set = crate::config::FEATURES;
        let take = |mode, bytes| pool.for_module(set, mode, bytes);
        let first = take(FuelMode::Portable, 1000);
        assert!(Engine::same(&first, &take(FuelMode::Portable, 1000)));
        assert!(Engine::same(&first, &pool.likely()));
        assert!(!Engine::same(&first, &take(FuelMode::Native, 1000)));
        assert!(!Engine::same(&first, &pool.for_module(FeatureSet::MVP, FuelMode::Portable, 1000)));
        let weak = first.weak();
        drop(first);
        assert!(weak.upgrade().is_some(), "it takes more modules");
        // More than one engine takes by itself is taken by a new one.
        take(FuelMode::Portable, 2 * ENOUGH);
        assert!(weak.upgrade().is_none(), "it took all it takes, and nobody uses it");
    }
}
