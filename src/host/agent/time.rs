//! `get_time`: the agent's clock, the same that WASI has.

use cofferdam_engine::{HostFunc, Imports};

use super::{MODULE, price, state};
use crate::host::wasi::clock::ClockId;

pub(super) fn define(imports: &mut Imports) {
    // After the year 2262 it stands still rather than to turn negative, which would be an error code.
    let time =
        HostFunc::typed(|caller, ()| Ok(state(caller)?.clock.read(ClockId::Realtime).min(i64::MAX.cast_unsigned())));
    imports.host(MODULE, "get_time", time.priced(price(80)).quick());
}
