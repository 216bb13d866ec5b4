//! [`TypedFunc`]: an export whose signature was compared with Rust types once, so that calls need not be.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cofferdam_engine::{FuncHandle, WasmValues, signature};

use super::error::CallError;
use super::guest::{CallOptions, Guest};
use super::load::Printable;
use super::outcome::{CallRefusal, Outcome, Receipt};

/// A function of one guest, from Rust types to Rust types. Clones are the same function.
///
/// ```
/// use cofferdam::{engines, GuestState, Sandbox};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).build()?;
/// let module = sandbox.load(br#"(module (func (export "mean") (param f64 f64) (result f64)
///     (f64.div (f64.add (local.get 0) (local.get 1)) (f64.const 2))))"#)?;
/// let mut guest = sandbox.guest(&module, GuestState::default())?;
///
/// let mean = guest.typed::<(f64, f64), f64>("mean")?;
/// assert_eq!(mean.call(&mut guest, (1.5, 2.0))?, 1.75);
/// let wrong = guest.typed::<(f32, f32), f64>("mean").unwrap_err();
/// assert_eq!(wrong.to_string(), "function `mean` is (f64, f64) -> (f64), not (f32, f32) -> (f64)");
/// # Ok(())
/// # }
/// ```
pub struct TypedFunc<P, R> {
    func: FuncHandle,
    name: Arc<str>,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        Self { func: self.func, name: self.name.clone(), types: PhantomData }
    }
}

impl<P, R> fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.name).finish()
    }
}

impl Guest {
    /// The function exported as `name`, if it takes `P` and gives `R`: nothing, `()`; one value; or a tuple
    /// of up to ten. `u32` and `u64` stand for the same types as `i32` and `i64`, `u128` for a `v128`.
    ///
    /// # Errors
    /// No such function; another signature.
    pub fn typed<P: WasmValues, R: WasmValues>(&mut self, name: &str) -> Result<TypedFunc<P, R>, CallRefusal> {
        let (func, ty) = self.function(name)?;
        if ty.params() != P::TYPES || ty.results() != R::TYPES {
            return Err(CallRefusal::Signature {
                name: Printable::new(name).to_string(),
                found: ty.to_string(),
                wanted: signature::<P, R>().to_string(),
            });
        }
        Ok(TypedFunc { func, name: name.into(), types: PhantomData })
    }
}

impl<P: WasmValues, R: WasmValues> TypedFunc<P, R> {
    /// The name it is exported by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls it under the guest's limits. Nothing is looked up, compared or allocated on the way.
    ///
    /// # Errors
    /// Every ending but a return. A guest that ended itself returned only if nothing was expected of it
    /// and its exit code was 0.
    pub fn call(&self, guest: &mut Guest, params: P) -> Result<R, CallError> {
        self.call_with(guest, params, &CallOptions::default()).map(|(given, _)| given)
    }

    /// The same with other limits for this call, and with what it cost.
    ///
    /// # Errors
    /// As [`TypedFunc::call`].
    pub fn call_with(&self, guest: &mut Guest, params: P, options: &CallOptions) -> Result<(R, Receipt), CallError> {
        let resources = guest.resources().clone();
        let _permit = resources.permits.acquire();
        let mut spending = guest.begin(options);
        let mut results = R::zeros();
        let done = if guest.owns(self.func) {
            guest.step(self.func, &self.name, params.into_values().as_ref(), results.as_mut(), &mut spending)
        } else {
            Err(Outcome::Refused(CallRefusal::OtherGuest { name: Printable::new(&self.name).to_string() }))
        };
        let outcome = match done {
            Ok(()) => Outcome::Completed { values: Vec::new(), exit_code: None },
            Err(outcome) => outcome,
        };
        let report = guest.end(outcome, &spending);
        let given = match report.outcome {
            Outcome::Completed { exit_code: None, .. } => R::from_values(results.as_ref()),
            // Only `()` can be made of no values.
            Outcome::Completed { exit_code: Some(0), .. } => R::from_values(&[]),
            _ => None,
        };
        match given {
            Some(given) => Ok((given, report.receipt)),
            None => Err(CallError::new(report, None)),
        }
    }
}
