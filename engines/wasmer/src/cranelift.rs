//! Wasmer's Cranelift: optimising, quick to compile, and free of Wasmer's own licence restrictions.

use wasmer::sys::{CompilerConfig, Cranelift, CraneliftOptLevel};

use crate::engine::Settings;

pub(crate) fn config(settings: Settings) -> Box<dyn CompilerConfig> {
    let mut config = Cranelift::new();
    config.opt_level(CraneliftOptLevel::Speed);
    config.canonicalize_nans(settings.canonical_nans);
    config.num_threads(settings.threads);
    for middleware in settings.middlewares {
        config.push_middleware(middleware);
    }
    Box::new(config)
}
