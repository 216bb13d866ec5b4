//! The other end of the local socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::control::protocol::{Ask, MAX_LINE, Refusal, VERSION, asked};

/// A connection to a running `cofferdam up`.
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// What was said.
pub enum Line {
    /// A log line.
    Log(Value),
    /// Lines that we were too slow for.
    Lost(u64),
    /// The answer.
    Answer(Result<Value, Refusal>),
    /// Nothing more will come.
    End,
}

impl Client {
    /// Connects to `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> anyhow::Result<Self> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream) }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                anyhow::bail!(
                    "no agents run here: nobody listens on {}; `cofferdam up agents.toml` starts them, and --socket \
                     names another socket",
                    path.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot connect to {}", path.display())),
        }
    }

    /// Asks.
    pub fn say(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let line = format!("{}\n", asked(ask)?);
        anyhow::ensure!(
            line.len() <= MAX_LINE,
            "the message is too large for the local socket: {MAX_LINE} bytes a line"
        );
        match self.stream.get_mut().write_all(line.as_bytes()) {
            // Whoever sent us away has said why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            done => done.context("cannot ask"),
        }
    }

    /// The next line.
    pub fn line(&mut self) -> anyhow::Result<Line> {
        let mut text = Vec::new();
        let most = MAX_LINE as u64 + 1;
        match self.stream.by_ref().take(most).read_until(b'\n', &mut text) {
            Ok(0) => return Ok(Line::End),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Line::End),
            done => done.context("cannot read the answer")?,
        };
        if !text.ends_with(b"\n") && text.len() < MAX_LINE {
            // It was cut off in the middle of a line.
            return Ok(Line::End);
        }
        let nonsense = "what answers on the socket is no `cofferdam up`";
        let mut value: Value = serde_json::from_slice(&text).context(nonsense)?;
        let version = value.get("v").and_then(Value::as_u64).context(nonsense)?;
        anyhow::ensure!(version == VERSION, "`cofferdam up` speaks version {version}, this command version {VERSION}");
        let mut take = |key: &str| value.get_mut(key).map(Value::take);
        if let Some(line) = take("line") {
            return Ok(Line::Log(line));
        }
        if let Some(lost) = take("lost") {
            return Ok(Line::Lost(lost.as_u64().unwrap_or_default()));
        }
        if let Some(error) = take("error") {
            return Ok(Line::Answer(Err(serde_json::from_value(error).context(nonsense)?)));
        }
        Ok(Line::Answer(Ok(take("ok").context(nonsense)?)))
    }
}
