//! The words of the local socket, version 1: one JSON object a line, in both directions.

use std::fmt;

use cofferdam::agent::{
    AgentInfo, DeadLetter, ExecuteError, RequestError, SendError, StartError, StopError, UnknownAgent,
};
use cofferdam::host::agent::LogLine;
use cofferdam::sandbox::{CallErrorKind, Printable, Receipt};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::{Map, Value, json};

use crate::cli::report::exit;

/// The version of the protocol, `v` of every line.
pub const VERSION: u64 = 1;

/// Longest line, in bytes: a message of 3.9 MiB fits however it is written.
pub const MAX_LINE: usize = 8 << 20;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// All agents. With braces, so that other keys are refused.
    List {},
    /// One agent, with what it may do.
    Info {
        /// Its name or id.
        agent: String,
    },
    /// To call an export with bytes.
    Call {
        /// The agent's name or id.
        agent: String,
        /// The export.
        function: String,
        /// What it is given.
        #[serde(default)]
        input: Bytes,
    },
    /// To send a message.
    Send {
        /// A name, an id, or a topic after `#`.
        to: String,
        /// The message.
        #[serde(default)]
        body: Bytes,
        /// To wait for the reply so long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
    },
    /// The last log lines, and perhaps those that follow.
    Logs {
        /// The agent's name or id.
        agent: String,
        /// Whether those that follow are wanted.
        #[serde(default)]
        follow: bool,
    },
    /// To let it drain and end.
    Stop {
        /// Its name or id.
        agent: String,
    },
    /// To start it, for the first time or again.
    Start {
        /// Its name or id.
        agent: String,
    },
    /// To end it at once and forget it.
    Remove {
        /// Its name or id.
        agent: String,
    },
    /// Messages that were accepted and never handled.
    DeadLetters {},
}

/// Bytes in JSON: text where they are text, else hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "text, or an object with `hex`")]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Anything.
    Hex {
        /// Two digits a byte.
        hex: String,
    },
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => {
                let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
                Self::Hex { hex: bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect() }
            }
        }
    }
}

impl Bytes {
    /// The bytes; `None` if they are no hexadecimal.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Hex { hex } => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
                let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
                pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
            }
        }
    }
}

/// What is asked in `line`.
pub fn read(line: &str) -> Result<Ask, Refusal> {
    let bad = |why: String| Refusal::new("bad-request", why);
    let Object(mut object) = serde_json::from_str(line).map_err(|error| match error.classify() {
        Category::Data => bad(error.to_string()),
        _ => bad(format!("this is no JSON: {error}")),
    })?;
    match object.remove("v").and_then(|v| v.as_u64()) {
        Some(VERSION) => {}
        Some(other) => {
            return Err(Refusal::new("version", format!("version {other} is not spoken here; {VERSION} is")));
        }
        None => return Err(bad(format!("a request says its version: \"v\": {VERSION}"))),
    }
    serde_json::from_value(object.into()).map_err(|error| bad(Printable::new(&error.to_string()).to_string()))
}

/// An object in which no key stands twice.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Object, A::Error> {
                let mut object = Map::new();
                while let Some((key, value)) = all.next_entry::<String, Value>()? {
                    let again = format!("the key `{}` stands twice", Printable::new(&key));
                    if object.insert(key, value).is_some() {
                        return Err(A::Error::custom(again));
                    }
                }
                Ok(Object(object))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A line that asks.
pub fn asked(ask: &Ask) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(ask)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), VERSION.into());
    }
    Ok(value)
}

/// A line that answers.
pub fn answered(done: Result<Value, Refusal>) -> Value {
    match done {
        Ok(value) => json!({ "v": VERSION, "ok": value }),
        Err(refusal) => json!({ "v": VERSION, "error": refusal }),
    }
}

/// A log line.
pub fn log_line(line: &LogLine) -> Value {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(line.time_ns);
    json!({
        "at": time(at), "agent": &*line.agent, "level": line.level.name(), "text": line.text.as_str(), "cut": line.cut,
    })
}

/// `at` as RFC 3339, in UTC.
pub fn time(at: std::time::SystemTime) -> String {
    // The last second that such a date can say.
    let most = std::time::Duration::from_secs(253_402_300_799);
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().min(most);
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}

/// An agent.
pub fn agent(info: &AgentInfo) -> Value {
    let usage = &info.usage;
    json!({
        "id": info.id,
        "name": info.name,
        "state": info.state,
        "failure": info.failure.as_ref().map(|failure| json!({
            "why": Printable::whole(&in_keys(&failure.why)).to_string(), "when": time(failure.when), "times": failure.times,
        })),
        "engine": info.engine,
        "queued": info.queued,
        "deployed": time(info.deployed),
        "usage": {
            "memory_bytes": usage.memory.get(),
            "peak_memory_bytes": usage.peak_memory.get(),
            "fuel": usage.fuel,
            "calls": usage.calls,
            "wall_ms": usage.wall.as_secs_f64() * 1e3,
            "host_calls": usage.host_calls,
            "messages_in": usage.messages_in,
            "messages_out": usage.messages_out,
            "bytes_in": usage.bytes_in,
            "bytes_out": usage.bytes_out,
            "violations": usage.violations,
            "cap_hits": usage.cap_hits,
            "failed_messages": usage.failed_messages,
            "cut_off": usage.cut_off,
        },
    })
}

/// Most bytes of a dead letter's body that are shown.
const SHOWN: usize = 1 << 10;

/// A dead letter; of a long body the beginning.
pub fn dead_letter(letter: &DeadLetter) -> Value {
    let shown = letter.body.get(..SHOWN).unwrap_or(&letter.body);
    json!({
        "at": time(letter.at),
        "from": letter.from,
        "to": letter.to,
        "topic": letter.topic,
        "reason": letter.reason,
        "bytes": letter.body.len(),
        "body": Bytes::from(shown),
    })
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In a word: `bad-request`, `version`, `busy`, `unknown`, `refused`, `failed`, `trapped`, `stopped`,
    /// `host-fault`, `engine-fault`, `too-large`.
    pub kind: String,
    /// In words for people.
    pub message: String,
    /// What a call cost that was begun and failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Value>,
}

/// `text` with the keys of a file in the place of the names that only programs know.
pub fn in_keys(text: &str) -> String {
    let names = [
        ("`Limits::", "`limits."),
        ("`AgentConfig::", "`"),
        ("`MaxAgents`", "`host.max_agents`"),
        ("`--grant`", "`grants` in its `policy`"),
    ];
    names.into_iter().fold(text.to_owned(), |text, (name, key)| text.replace(name, key))
}

impl Refusal {
    /// One of this `kind`.
    pub fn new(kind: &str, message: impl std::fmt::Display) -> Self {
        let message = in_keys(&message.to_string());
        Self { kind: kind.to_owned(), message: Printable::whole(&message).to_string(), receipt: None }
    }

    /// The same of a call that has cost something.
    pub fn with_receipt(mut self, receipt: Option<&Receipt>) -> Self {
        self.receipt = receipt.and_then(|receipt| serde_json::to_value(receipt).ok());
        self
    }

    /// The exit code of a command that is refused like this.
    pub fn exit_code(&self) -> u8 {
        match self.kind.as_str() {
            "refused" | "too-large" => exit::REFUSED,
            "failed" => exit::FAILED,
            "trapped" => exit::TRAPPED,
            "stopped" => exit::STOPPED,
            "host-fault" => exit::HOST_FAULT,
            "engine-fault" => exit::ENGINE_FAULT,
            _ => exit::USAGE,
        }
    }
}

impl From<UnknownAgent> for Refusal {
    fn from(error: UnknownAgent) -> Self {
        Self::new("unknown", error)
    }
}

impl From<ExecuteError> for Refusal {
    fn from(error: ExecuteError) -> Self {
        let kind = match &error {
            ExecuteError::Unknown(_) => "unknown",
            ExecuteError::TooLarge { .. } => "too-large",
            ExecuteError::Call(call) => match call.kind() {
                CallErrorKind::Guest => "trapped",
                CallErrorKind::Exit => "failed",
                CallErrorKind::Limit => "stopped",
                CallErrorKind::Host => "host-fault",
                CallErrorKind::Engine => "engine-fault",
                _ => "refused",
            },
            ExecuteError::Failed(_) => "failed",
            _ => "refused",
        };
        Self::new(kind, error)
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Unknown(_) => "unknown",
            SendError::TooLarge { .. } => "too-large",
            _ => "refused",
        };
        Self::new(kind, error)
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Send(error) => error.into(),
            RequestError::Topic => Self::new("bad-request", error),
            _ => Self::new("failed", error),
        }
    }
}

impl From<StartError> for Refusal {
    fn from(error: StartError) -> Self {
        let kind = match &error {
            StartError::Unknown(_) => "unknown",
            StartError::Illegal(_) => "refused",
            _ => "failed",
        };
        Self::new(kind, error)
    }
}

impl From<StopError> for Refusal {
    fn from(error: StopError) -> Self {
        let kind = match &error {
            StopError::Unknown(_) => "unknown",
            _ => "refused",
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_comes_back_from_its_line() {
        let wild = Bytes::from(&b"\xff\x00"[..]);
        assert_eq!(wild, Bytes::Hex { hex: "ff00".to_owned() });
        assert_eq!(wild.bytes().as_deref(), Some(&b"\xff\x00"[..]));
        assert_eq!(Bytes::from("é\n".as_bytes()).bytes().as_deref(), Some("é\n".as_bytes()));
        let asks = [
            Ask::List {},
            Ask::Call { agent: "a".into(), function: "f".into(), input: wild },
            Ask::Send { to: "#t".into(), body: Bytes::default(), wait_ms: Some(5) },
            Ask::Logs { agent: "a".into(), follow: true },
        ];
        for ask in asks {
            let line = asked(&ask).expect("it can be written").to_string();
            assert_eq!(read(&line), Ok(ask), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let kind = |line: &str| read(line).map_err(|refusal| refusal.kind);
        for line in
            ["", "[]", "{}", "{\"v\":1}", "{\"v\":1,\"op\":\"fly\"}", "{\"v\":1,\"op\":\"info\",\"agnt\":\"a\"}"]
        {
            assert_eq!(kind(line), Err("bad-request".to_owned()), "{line}");
        }
        for line in [
            "{\"v\":1,\"op\":\"list\",\"x\":1}",
            "{\"v\":1,\"op\":\"dead-letters\",\"x\":1}",
            "{\"v\":1,\"op\":\"send\",\"to\":\"a\",\"body\":{\"hex\":\"00\",\"x\":1}}",
            "{\"v\":1,\"v\":1,\"op\":\"list\"}",
            "{\"v\":1,\"op\":\"list\",\"op\":\"dead-letters\"}",
            "{\"v\":1,\"op\":\"list\"} {}",
        ] {
            assert_eq!(kind(line), Err("bad-request".to_owned()), "{line}");
        }
        assert_eq!(read("{\"op\":\"list\",\"v\":1}"), Ok(Ask::List {}));
        assert_eq!(kind("{\"v\":2,\"op\":\"list\"}"), Err("version".to_owned()));
        for hex in ["f", "fg", "+f", "éé"] {
            assert_eq!(Bytes::Hex { hex: hex.to_owned() }.bytes(), None, "{hex}");
        }
    }
}
