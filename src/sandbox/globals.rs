//! Exported globals, between two calls of a guest.

use cofferdam_engine::{AccessError, Extern, GlobalHandle, Value};

use super::guest::Guest;
use super::load::Printable;

/// Why an exported global could not be read or set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobalError {
    /// The guest exports no global by that name.
    #[error("the module exports no global `{name}`")]
    Missing {
        /// The name asked for.
        name: String,
    },
    /// It is immutable, of another type, or of a type that cannot cross the border.
    #[error("global `{name}`: {error}")]
    Access {
        /// The global.
        name: String,
        /// Why.
        error: AccessError,
    },
}

impl Guest {
    /// The value of the global exported as `name`.
    ///
    /// # Errors
    /// No such global; a type that cannot cross the border.
    pub fn global(&mut self, name: &str) -> Result<Value, GlobalError> {
        let global = self.find_global(name)?;
        self.store.global_get(global).map_err(|error| access(name, error))
    }

    /// Sets the global exported as `name`.
    ///
    /// # Errors
    /// No such global; it is immutable; a value of another type.
    pub fn set_global(&mut self, name: &str, value: impl Into<Value>) -> Result<(), GlobalError> {
        let global = self.find_global(name)?;
        self.store.global_set(global, value.into()).map_err(|error| access(name, error))
    }

    fn find_global(&mut self, name: &str) -> Result<GlobalHandle, GlobalError> {
        match self.store.export(self.instance, name) {
            Some(Extern::Global(global)) => Ok(global),
            _ => Err(GlobalError::Missing { name: Printable::new(name).to_string() }),
        }
    }
}

fn access(name: &str, error: AccessError) -> GlobalError {
    GlobalError::Access { name: Printable::new(name).to_string(), error }
}
