//! `log`: one line of text for the host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cofferdam_engine::{Caller, HostFunc, HostPrice, Imports};

use super::error::{AbiError, Done, capped};
use super::{MODULE, price, state_and_memory};
use crate::host::wasi::clock::ClockId;
use crate::sandbox::Printable;

/// Bytes of a line that are kept; the rest is cut off and counted.
pub const MAX_LOG_LINE: usize = 4 << 10;

/// Log of one call into the guest, if the host does not say otherwise.
const LOG_BYTES: u64 = 64 << 10;

/// What a line counts at least, so that empty ones are bounded, too.
const LEAST: u64 = 32;

/// A line is escaped, copied and given away.
const LINE: HostPrice = HostPrice { base: price(500).base, per_256_bytes: 1024 };

/// How much a log line matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// For those who look for a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All of them; the number that guests use is the place in this list.
    pub const ALL: &'static [Self] = &[Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LogLevel {
    type Err = &'static str;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|level| level.name() == s);
        found.ok_or("the log levels are `error`, `warn`, `info`, `debug` and `trace`")
    }
}

/// One line that an agent logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// The agent's name.
    pub agent: Arc<str>,
    /// How much it matters, in the agent's opinion.
    pub level: LogLevel,
    /// When, by the agent's own clock, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What it says: one line, safe to show.
    pub text: Printable,
    /// Bytes that were cut off.
    pub cut: u32,
}

/// Where log lines go. Called on the guest's thread: it must not block.
pub trait LogSink: Send + Sync {
    /// Takes a line.
    fn line(&self, line: LogLine);
}

/// What the host keeps of an agent's log.
pub(super) struct Log {
    pub(super) sink: Option<Arc<dyn LogSink>>,
    /// Less important lines are dropped.
    pub(super) level: LogLevel,
    /// Bytes in one call.
    pub(super) cap: u64,
    /// Bytes left in this one.
    pub(super) left: u64,
    pub(super) refused: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { sink: None, level: LogLevel::default(), cap: LOG_BYTES, left: LOG_BYTES, refused: 0 }
    }
}

pub(super) fn define(imports: &mut Imports) {
    let log = HostFunc::typed(|caller, (level, ptr, len)| {
        let done = log(caller, level, ptr, len);
        capped(caller, "log", done)
    });
    imports.host(MODULE, "log", log.priced(LINE));
}

fn log(caller: &mut Caller<'_>, level: u32, ptr: u32, len: u32) -> Done<i32> {
    caller.bytes(ptr, len)?;
    let Some(level) = LogLevel::ALL.get(level as usize).copied() else { return Err(AbiError::Invalid.into()) };
    // Only what is kept is looked at, and three bytes more, in which a character may end.
    let looked_at = len.min(MAX_LOG_LINE as u32 + 3);
    let bytes = caller.bytes(ptr, looked_at)?;
    let text = prefix(bytes, looked_at == len).ok_or(AbiError::Invalid)?;
    let kept = text.len() as u64;
    caller.charge_bytes(kept)?;
    let (state, memory) = state_and_memory(caller)?;
    // Before anything else is looked at: what the host keeps must not show in what the guest is told.
    let Some(left) = state.log.left.checked_sub(kept.max(LEAST)) else {
        state.log.refused += 1;
        return Err(AbiError::Full.into());
    };
    state.log.left = left;
    if level > state.log.level || state.log.sink.is_none() {
        return Ok(0);
    }
    let start = ptr as usize;
    let text = memory.get(start..start + kept as usize).map(String::from_utf8_lossy).unwrap_or_default();
    let line = LogLine {
        agent: state.name.clone(),
        level,
        time_ns: state.clock.now(ClockId::Realtime),
        text: Printable::whole(&text),
        cut: len - kept as u32,
    };
    if let Some(sink) = &state.log.sink {
        sink.line(line);
    }
    Ok(0)
}

/// The text in `bytes` up to [`MAX_LOG_LINE`]. `None` if that is no UTF-8. Of a line that goes on (not
/// `complete`), the last character may be a part of one.
fn prefix(bytes: &[u8], complete: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if !complete && error.error_len().is_none() || error.valid_up_to() >= MAX_LOG_LINE => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    Some(text.get(..text.floor_char_boundary(MAX_LOG_LINE)).unwrap_or_default())
}
