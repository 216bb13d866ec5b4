//! [`CallError`]: a call that did not give what was asked of it, to be passed on with `?`.

use std::fmt;

use cofferdam_engine::{Limit, Trap, Value};

use super::outcome::{Outcome, Receipt, Report};

/// Why a call gave no result, with what it cost. One pointer wide.
///
/// ```
/// use cofferdam::sandbox::CallErrorKind;
/// use cofferdam::{engines, GuestState, Limit, Sandbox};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if engines::names().is_empty() { return Ok(()); }
/// let sandbox = Sandbox::builder(engines::by_name("auto")?).build()?;
/// let module = sandbox.load(br#"(module (func (export "spin") (loop (br 0))))"#)?;
/// let mut guest = sandbox.guest(&module, GuestState::default())?;
///
/// let error = guest.call("spin", &[]).into_result().unwrap_err();
/// assert_eq!((error.kind(), error.limit()), (CallErrorKind::Limit, Some(Limit::Fuel)));
/// assert_eq!(error.receipt().fuel, 1_000_000);
/// assert_eq!(error.to_string(), "fuel budget spent (raise it with `Limits::fuel`)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CallError(Box<Failed>);

#[derive(Clone, Debug)]
struct Failed {
    report: Report,
    /// What the outcome alone does not say.
    detail: Option<String>,
}

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// The guest's fault: it trapped, or handed out pointers that lie outside its memory.
    Guest,
    /// The guest ended itself: with an exit code other than 0, or where a value was expected of it.
    Exit,
    /// A limit was reached.
    Limit,
    /// A host function failed.
    Host,
    /// The engine failed.
    Engine,
    /// The call was not begun: what was asked for is not there, or does not fit.
    Refused,
}

impl CallError {
    pub(super) fn new(report: Report, detail: Option<String>) -> Self {
        Self(Box::new(Failed { report, detail }))
    }

    /// Whose doing it was.
    #[must_use]
    pub fn kind(&self) -> CallErrorKind {
        match self.outcome() {
            Outcome::Completed { .. } => CallErrorKind::Exit,
            Outcome::Trapped(_) => CallErrorKind::Guest,
            Outcome::Stopped { .. } => CallErrorKind::Limit,
            Outcome::Refused(_) => CallErrorKind::Refused,
            Outcome::HostFault(_) => CallErrorKind::Host,
            Outcome::EngineFault(_) => CallErrorKind::Engine,
        }
    }

    /// How the call ended.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.0.report.outcome
    }

    /// What it cost all the same.
    #[must_use]
    pub fn receipt(&self) -> &Receipt {
        &self.0.report.receipt
    }

    /// The limit that was reached, if one was.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        if let Outcome::Stopped { limit, .. } = self.outcome() { Some(*limit) } else { None }
    }

    /// The trap, if the guest trapped.
    #[must_use]
    pub fn trap(&self) -> Option<&Trap> {
        if let Outcome::Trapped(trap) = self.outcome() { Some(trap) } else { None }
    }

    /// The exit code, if the guest ended itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<u32> {
        if let Outcome::Completed { exit_code, .. } = self.outcome() { *exit_code } else { None }
    }

    /// The report of the call.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.0.report
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError").field("report", &self.0.report).field("detail", &self.0.detail).finish()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.exit_code() {
            write!(f, "the guest ended itself with exit code {code}")?;
        } else {
            self.outcome().fmt(f)?;
        }
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        match self.limit().and_then(field) {
            Some(field) => write!(f, " (raise it with `Limits::{field}`)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}

/// The field of [`Limits`](crate::policy::Limits) that a limit stands in.
const fn field(limit: Limit) -> Option<&'static str> {
    Some(match limit {
        Limit::Fuel => "fuel",
        Limit::Deadline => "timeout",
        Limit::Stack => "stack_units",
        Limit::Memory => "memory",
        Limit::TableElements => "table_elements",
        Limit::Instances => "instances",
        Limit::Output => "output",
        Limit::Message => "message",
        Limit::HostCalls => "host_calls",
        _ => return None,
    })
}

impl Report {
    /// What the function returned, to be used with `?`. A guest that ended itself with exit code 0 returned
    /// nothing.
    ///
    /// # Errors
    /// Every other ending.
    pub fn into_result(self) -> Result<Vec<Value>, CallError> {
        match self.outcome {
            Outcome::Completed { values, exit_code: None | Some(0) } => Ok(values),
            _ => Err(CallError::new(self, None)),
        }
    }
}
