//! [`Trouble`]: why a row did not pass.

use std::fmt::Display;

/// Why a row did not pass on an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The engine did other than the contract says.
    #[error("{0}")]
    Wrong(String),
    /// The engine says openly that it lacks what the row needs; a policy that needs it would be refused.
    #[error("the engine has no {0}")]
    Lacks(String),
}

impl Trouble {
    /// The engine did other than the contract says.
    pub fn wrong(what: impl Display) -> Self {
        Self::Wrong(what.to_string())
    }
}

/// How a row ends.
pub type Done<T = ()> = Result<T, Trouble>;

/// `what` must be `expected`.
///
/// # Errors
/// [`Trouble::Wrong`] with both.
pub fn same<T: PartialEq + std::fmt::Debug>(what: impl Display, found: &T, expected: &T) -> Done {
    if found == expected {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{what}: expected {expected:?}, found {found:?}")))
}
