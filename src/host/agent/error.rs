//! [`AbiError`]: every way in which a host function of an agent can say no.

use cofferdam_engine::{Caller, HostError, OutOfBounds};

/// What a host function answers instead of a result: numbers below 0, the same in every function. They are
/// part of the binary interface: a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
#[non_exhaustive]
pub enum AbiError {
    /// No such key, tool, receiver or topic.
    #[error("not found")]
    NotFound = -1,
    /// The agent's configuration does not allow it.
    #[error("denied")]
    Denied = -2,
    /// Above a cap: of a message, a key, a value, a result.
    #[error("too large")]
    TooLarge = -3,
    /// No room: of a mailbox, of storage, of log, of timers.
    #[error("full")]
    Full = -4,
    /// It took longer than was allowed.
    #[error("timed out")]
    TimedOut = -5,
    /// An argument that makes no sense: text that is no UTF-8, a bad name, a level that does not exist.
    #[error("invalid")]
    Invalid = -6,
    /// The receiver does not run any more.
    #[error("gone")]
    Gone = -7,
    /// The current message wants no reply, or has one.
    #[error("no reply is expected")]
    NoReplyExpected = -8,
    /// A tool or the storage failed.
    #[error("failed")]
    Failed = -9,
    /// Not in this place: a reply outside of a message, for one.
    #[error("not now")]
    NotNow = -10,
}

impl AbiError {
    /// Every one of them, from -1 down.
    pub const ALL: &'static [Self] = &[
        Self::NotFound,
        Self::Denied,
        Self::TooLarge,
        Self::Full,
        Self::TimedOut,
        Self::Invalid,
        Self::Gone,
        Self::NoReplyExpected,
        Self::Failed,
        Self::NotNow,
    ];

    /// The number that the guest sees.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Its name in `docs/abi.md` and in the headers for guests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Denied => "DENIED",
            Self::TooLarge => "TOO_LARGE",
            Self::Full => "FULL",
            Self::TimedOut => "TIMED_OUT",
            Self::Invalid => "INVALID",
            Self::Gone => "GONE",
            Self::NoReplyExpected => "NO_REPLY_EXPECTED",
            Self::Failed => "FAILED",
            Self::NotNow => "NOT_NOW",
        }
    }
}

/// Why a host function does not give what it was asked for.
pub(super) enum Failure {
    /// The guest is told, and goes on.
    Code(AbiError),
    /// The guest ends.
    Stop(HostError),
}

impl From<AbiError> for Failure {
    fn from(error: AbiError) -> Self {
        Self::Code(error)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Stop(error)
    }
}

impl From<OutOfBounds> for Failure {
    fn from(error: OutOfBounds) -> Self {
        Self::Stop(error.into())
    }
}

/// What the body of a host function ends with.
pub(super) type Done<T> = Result<T, Failure>;

/// The same as [`status`], for what has a cap: being told that it is reached is counted for the agent of `caller`.
pub(super) fn capped<T: From<i32>>(caller: &mut Caller<'_>, function: &str, done: Done<T>) -> Result<T, HostError> {
    if let Err(Failure::Code(error @ (AbiError::Full | AbiError::TooLarge))) = &done
        && let Ok(agent) = super::state(caller)
    {
        agent.hit_cap(function, *error);
    }
    status(done)
}

/// The number for the guest: a result, 0 or above, or a code.
pub(super) fn status<T: From<i32>>(done: Done<T>) -> Result<T, HostError> {
    match done {
        Ok(value) => Ok(value),
        Err(Failure::Code(error)) => Ok(error.code().into()),
        Err(Failure::Stop(error)) => Err(error),
    }
}

/// A length as a result. Caps keep all of them far below 2 GiB.
pub(super) fn length(len: usize) -> Done<i32> {
    i32::try_from(len).map_err(|_| AbiError::TooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_down_from_minus_one_and_stay() {
        let codes: Vec<_> = AbiError::ALL.iter().map(|e| e.code()).collect();
        assert_eq!(codes, (1..=10).map(|n| -n).collect::<Vec<_>>());
    }
}
