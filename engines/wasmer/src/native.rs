//! Native fuel: Wasmer's own metering, with our price list, in the form that our tick and counters need.
//!
//! The chain is `Metering`, then [`charges`] (what `Metering` cannot see: function entries, lengths of bulk
//! operators, stack), then [`tick`] (where `Metering` would trap for good, the guest asks the host).
//! `Metering` comes first, so that it counts the guest's own operators and nothing that is inserted.

mod charges;
mod tick;

use std::sync::Arc;

use cofferdam_engine::PreparedModule;
use cofferdam_prepare::metering;
use wasmer::sys::ModuleMiddleware;
use wasmer_middlewares::Metering;

/// The chain for `module`. It keeps state for one module: never to be used for another.
pub(crate) fn middlewares(module: &PreparedModule) -> Vec<Arc<dyn ModuleMiddleware>> {
    // The limit is set for each call, in the store's own counter.
    let metering = Metering::new(0, |operator: &wasmer::wasmparser::Operator<'_>| metering::price(operator));
    vec![Arc::new(metering), Arc::new(charges::Charges(module.clone())), Arc::new(tick::Tick::new(module.layout()))]
}
