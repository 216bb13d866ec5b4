//! [`Event`]: one thing that happened to a guest, as one line of a log.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::sandbox::{CallError, CallErrorKind, LoadError, Outcome, Receipt, is_hidden};

/// The last second that an RFC 3339 date can say: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// One thing that happened.
///
/// ```
/// use cofferdam::audit::{Event, EventKind, Subject};
/// let event = Event::new(Subject::tool("search"), EventKind::DeniedCall, "http_get\n is not granted");
/// let line = serde_json::to_string(&event)?;
/// assert!(line.contains(r#""kind":"denied_call""#) && line.contains(r#""tool":"search""#), "{line}");
/// assert!(!line.contains('\n'));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When, by the host's clock. Written as UTC, RFC 3339, in microseconds.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// To whom.
    #[serde(flatten)]
    pub subject: Subject,
    /// What.
    pub kind: EventKind,
    /// Who brought it about, if that is somebody else: of a tool's event, the agent that called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<AuditText>,
    /// More of it, in words: capped and escaped.
    #[serde(skip_serializing_if = "AuditText::is_empty")]
    pub detail: AuditText,
    /// What the call cost, if there was one.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

impl Event {
    /// `kind` has happened to `subject`, now.
    #[must_use]
    pub fn new(subject: Subject, kind: EventKind, detail: impl AsRef<str>) -> Self {
        let detail = AuditText::new(detail.as_ref());
        Self { at: SystemTime::now(), subject, kind, by: None, detail, receipt: None }
    }

    /// The same, brought about by the agent called `name`.
    #[must_use]
    pub fn by(mut self, name: impl AsRef<str>) -> Self {
        self.by = Some(AuditText::new(name.as_ref()));
        self
    }

    /// The same with what the call cost.
    #[must_use]
    pub fn with_receipt(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// How a call of `subject` ended. `None` if it returned: that is no event.
    #[must_use]
    pub fn ended(subject: Subject, outcome: &Outcome, receipt: &Receipt) -> Option<Self> {
        let kind = match outcome {
            Outcome::Completed { exit_code: None | Some(0), .. } => return None,
            Outcome::Completed { .. } => EventKind::Failed,
            Outcome::Trapped(_) => EventKind::Trapped,
            Outcome::Stopped { .. } => EventKind::LimitReached,
            Outcome::Refused(_) => EventKind::DeniedCall,
            Outcome::HostFault(_) => EventKind::HostFault,
            Outcome::EngineFault(_) => EventKind::EngineFault,
        };
        Some(Self::new(subject, kind, outcome.to_string()).with_receipt(receipt.clone()))
    }

    /// The module of `subject` was not loaded.
    #[must_use]
    pub fn not_loaded(subject: Subject, error: &LoadError) -> Self {
        let kind = match error {
            LoadError::Imports(_) => EventKind::DeniedImport,
            LoadError::NotRun(_) => EventKind::HostFault,
            _ if error.is_engine_fault() => EventKind::EngineFault,
            _ => EventKind::DeniedModule,
        };
        Self::new(subject, kind, error.to_string())
    }

    /// A call of `subject` that gave no result.
    #[must_use]
    pub fn failed(subject: Subject, error: &CallError) -> Self {
        let kind = match error.kind() {
            CallErrorKind::Guest => EventKind::Trapped,
            CallErrorKind::Exit => EventKind::Failed,
            CallErrorKind::Limit => EventKind::LimitReached,
            CallErrorKind::Host => EventKind::HostFault,
            CallErrorKind::Engine => EventKind::EngineFault,
            CallErrorKind::Refused => EventKind::DeniedCall,
        };
        Self::new(subject, kind, error.to_string()).with_receipt(error.receipt().clone())
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A module was refused for an import that it does not get.
    DeniedImport,
    /// A module was refused for something else.
    DeniedModule,
    /// Something was asked for that is not granted: by the guest of a host function, or of the guest.
    DeniedCall,
    /// A limit stopped the guest.
    LimitReached,
    /// The guest wanted to grow past its cap and goes on without.
    RefusedGrowth,
    /// The guest was told again and again that a cap is reached, and goes on.
    CapHit,
    /// The guest trapped.
    Trapped,
    /// The guest failed by its own account: an exit code, an error status, an answer that is none.
    Failed,
    /// A host function failed.
    HostFault,
    /// The engine failed.
    EngineFault,
    /// A rule was broken so that policy ends the guest.
    Violation,
    /// A message could not be delivered.
    DeadLetter,
    /// A guest was deployed, a tool added.
    Deployed,
    /// A tool took the place of another.
    Replaced,
    /// A guest was started.
    Started,
    /// A guest was stopped in order.
    Stopped,
    /// A guest was ended against its will.
    Ended,
    /// A guest was made anew after it had failed.
    Restarted,
    /// A guest or tool was removed.
    Removed,
    /// The limits of a guest were changed.
    LimitsChanged,
    /// Events before this one were lost; the detail says how many.
    Lost,
}

impl fmt::Display for EventKind {
    /// As it stands in the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// To whom something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// Its name: capped and escaped.
    pub name: AuditText,
    /// Its id, if it has one.
    pub id: Option<Uuid>,
}

/// What an event's subject is; in the log, the key that its name stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKind {
    /// An agent.
    Agent,
    /// A tool.
    Tool,
    /// The host itself.
    Host,
}

impl Subject {
    /// The agent `name`.
    #[must_use]
    pub fn agent(name: impl AsRef<str>, id: Uuid) -> Self {
        Self { kind: SubjectKind::Agent, name: AuditText::new(name.as_ref()), id: Some(id) }
    }

    /// The tool `name`.
    #[must_use]
    pub fn tool(name: impl AsRef<str>) -> Self {
        Self { kind: SubjectKind::Tool, name: AuditText::new(name.as_ref()), id: None }
    }

    /// The host: something of its own, such as the audit log.
    #[must_use]
    pub fn host(name: impl AsRef<str>) -> Self {
        Self { kind: SubjectKind::Host, name: AuditText::new(name.as_ref()), id: None }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        let key = match self.kind {
            SubjectKind::Agent => "agent",
            SubjectKind::Tool => "tool",
            SubjectKind::Host => "host",
        };
        map.serialize_entry(key, &self.name)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", &id)?;
        }
        map.end()
    }
}

/// Text of an event, part of which a guest may have written: cut, and escaped so that it cannot change what a
/// terminal shows or end a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AuditText(Arc<str>);

impl AuditText {
    /// Longest text kept, in bytes, those of escapes included.
    pub const MAX: usize = 1024;

    /// `text`, cut and escaped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut shown = String::new();
        for c in text.chars() {
            let before = shown.len();
            if is_hidden(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            if shown.len() > Self::MAX {
                shown.truncate(before);
                shown.push('…');
                break;
            }
        }
        Self(shown.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for AuditText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AuditText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A clock that jumps must not be able to say a time that cannot be written.
fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(Duration::from_secs(LAST_SECOND));
    serializer.collect_str(&humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_the_guest_wrote() {
        let text = format!("\u{1b}[2J\n\u{202e}{}", "\u{7}".repeat(1 << 20));
        let event = Event::new(Subject::agent(&text, Uuid::nil()), EventKind::Violation, &text);
        let line = serde_json::to_string(&event).expect("it can be written");
        assert!(line.is_ascii() || !line.chars().any(crate::sandbox::is_hidden), "{line}");
        assert!(!line.contains('\n') && line.len() < 3 << 10, "{} bytes", line.len());
        let read: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(read["kind"], EventKind::Violation.to_string());
        assert!(read["agent"].as_str().is_some_and(|name| name.starts_with("\\u{1b}[2J\\n\\u{202e}")), "{read}");
    }

    #[test]
    fn text_is_cut_between_characters_and_escapes() {
        let most = AuditText::MAX;
        for (piece, shown) in [("x", "x"), ("€", "€"), ("\u{202e}", "\\u{202e}"), ("\n", "\\n")] {
            let fits = most / shown.len();
            assert_eq!(AuditText::new(&piece.repeat(fits)).as_str(), shown.repeat(fits));
            assert_eq!(AuditText::new(&piece.repeat(fits + 1)).as_str(), shown.repeat(fits) + "…");
        }
    }

    #[test]
    fn an_event_says_who_brought_it_about() {
        let event = Event::new(Subject::tool("search"), EventKind::DeniedCall, "").by("agent\n7");
        let line = serde_json::to_string(&event).expect("it can be written");
        assert!(line.contains(r#""kind":"denied_call","by":"agent\\n7""#), "{line}");
    }

    #[test]
    fn a_clock_that_jumps_can_be_written() {
        let mut event = Event::new(Subject::host("clock"), EventKind::Started, "");
        let far = Duration::from_secs(1 << 50);
        let at = |time| {
            (
                time,
                serde_json::to_value({
                    event.at = time;
                    &event
                })
                .expect("it can be written")["at"]
                    .clone(),
            )
        };
        let times = [SystemTime::UNIX_EPOCH.checked_sub(far), SystemTime::UNIX_EPOCH.checked_add(far)];
        let said: Vec<_> = times.into_iter().flatten().map(at).map(|(_, said)| said).collect();
        assert_eq!(said, ["1970-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z"]);
    }
}
