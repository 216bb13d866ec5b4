//! Wasmer's Singlepass: compiles in time linear in the code, without optimising. Under the Business Source License 1.1.

use cofferdam_engine::FeatureSet;
use wasmer::sys::{CompilerConfig, Singlepass};

use crate::engine::Settings;

/// What Singlepass runs inside our limits.
pub(crate) const FEATURES: FeatureSet = FeatureSet::STANDARD;

pub(crate) fn config(settings: Settings) -> Box<dyn CompilerConfig> {
    let mut config = Singlepass::new();
    config.canonicalize_nans(settings.canonical_nans);
    config.num_threads(settings.threads);
    for middleware in settings.middlewares {
        config.push_middleware(middleware);
    }
    Box::new(config)
}
