//! How `cofferdam agent` speaks with a running `cofferdam up`: [`protocol`] is what is said, [`socket`] where,
//! [`server`] answers. `docs/agents.md` describes it for other programs.

pub mod protocol;
pub mod server;
pub mod socket;
