//! `cofferdam agent`: asks a running `cofferdam up` about its agents, and tells it what to do with them.

mod client;
mod show;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use cofferdam::policy::units as amounts;
use serde_json::{Value, json};

use self::client::{Client, Line};
use super::control::protocol::{Ask, Bytes, MAX_LINE, Refusal};
use super::control::socket::SocketArgs;
use super::report::exit;
use super::say::{print, say, visible};

/// Look at the agents of a running `cofferdam up`, call them, send to them, stop and start them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Agent {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    socket: SocketArgs,

    /// Say it as JSON.
    #[arg(long, global = true)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam agent list
  cofferdam agent send counter 5 --wait 1s
  cofferdam agent send '#prices' '{\"dam\": 12}'
  cofferdam agent call ping start 10
  cofferdam agent logs -f ping
  cofferdam agent stop ping

Exit codes:
  0      it is done
  1      the agent failed, was cut off or gave no reply; or the log that is followed was cut off
  120    refused: it does not run, its mailbox is full, the message is too large
  121    trapped: the agent's fault
  122    stopped by a limit
  123    a host function failed
  124    the engine failed
  2      there is no such agent, nothing runs at the socket, or the options make no sense";

#[derive(Debug, Subcommand)]
enum Command {
    /// All agents, with what they use.
    List,
    /// One agent: its state, what it has used, what it may do.
    Info {
        /// Its name or id.
        agent: String,
    },
    /// Call an export with bytes, when the agent's turn comes, and print the bytes that it gives.
    Call {
        /// Its name or id.
        agent: String,
        /// The export.
        function: String,
        /// What it is given: text, or `-` for standard input.
        #[arg(value_name = "INPUT|-", default_value = "", hide_default_value = true, allow_negative_numbers = true)]
        input: String,
        /// Say what it cost, on standard error.
        #[arg(long)]
        stats: bool,
    },
    /// Send a message, to an agent or to everybody who subscribed to a topic.
    Send {
        /// A name, an id, or a topic after `#`.
        to: String,
        /// The message: text, or `-` for standard input.
        #[arg(value_name = "MESSAGE|-", default_value = "", hide_default_value = true, allow_negative_numbers = true)]
        message: String,
        /// Wait for the reply so long, and print it.
        #[arg(long, value_name = "TIME", value_parser = time)]
        wait: Option<Duration>,
    },
    /// The last lines that it logged.
    Logs {
        /// Its name or id.
        agent: String,
        /// Go on with those that follow.
        #[arg(long, short)]
        follow: bool,
    },
    /// Let it finish what is queued, and end it. It can be started again.
    Stop {
        /// Its name or id.
        agent: String,
    },
    /// Start it, for the first time or again.
    Start {
        /// Its name or id.
        agent: String,
    },
    /// End it at once, whatever it does, and forget it.
    Remove {
        /// Its name or id.
        agent: String,
    },
    /// Messages that were accepted and never handled.
    DeadLetters,
}

/// A time that ends.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = amounts::timeout(text).map_err(|error| error.to_string())?;
    time.0.ok_or_else(|| "a time such as 500ms or 5s belongs here".to_owned())
}

impl Agent {
    /// Asks, says what is answered and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        match self.attempt() {
            // With --json whatever is wrong is an object, too.
            Err(error) if self.json => Ok(self.refused(&Refusal::new("usage", format!("{error:#}")))),
            done => done,
        }
    }

    fn attempt(&self) -> anyhow::Result<u8> {
        let ask = self.command.ask()?;
        let mut client = Client::connect(&self.socket.path()?)?;
        client.say(&ask)?;
        loop {
            match client.line()? {
                Line::Log(line) if self.json => print(&format!("{}\n", visible(&line.to_string())))?,
                Line::Log(line) => print(&format!("{}\n", show::log_line(&line)))?,
                Line::Lost(lost) => say(&format!("cofferdam: {lost} lines are missing here")),
                Line::Answer(Ok(value)) => {
                    self.answer(&value)?;
                    return Ok(self.exit_code(&value));
                }
                Line::Answer(Err(refusal)) => return Ok(self.refused(&refusal)),
                // At the end of a log there is an answer.
                Line::End if matches!(ask, Ask::Logs { follow: true, .. }) => {
                    let message = "the log is cut off here: `cofferdam up` has ended, or lines were not read for 10 s";
                    return Ok(self.refused(&Refusal::new("failed", message)));
                }
                Line::End => anyhow::bail!("`cofferdam up` ended before it had answered"),
            }
        }
    }

    /// Of what was done: an agent that was stopped may have failed, or have been cut off.
    fn exit_code(&self, value: &Value) -> u8 {
        let cut_off = value.get("cut_off").and_then(Value::as_u64).unwrap_or_default() > 0;
        let failed = value.get("failed").is_some_and(|why| !why.is_null());
        if matches!(self.command, Command::Stop { .. }) && (cut_off || failed) { exit::FAILED } else { 0 }
    }

    fn refused(&self, refusal: &Refusal) -> u8 {
        if self.json {
            say(&visible(&json!({ "error": refusal }).to_string()));
        } else {
            say(&format!("cofferdam: {}", refusal.message));
            if let (Command::Call { stats: true, .. }, Some(receipt)) = (&self.command, &refusal.receipt) {
                say(&show::receipt(&json!({ "receipt": receipt })));
            }
        }
        refusal.exit_code()
    }

    fn answer(&self, value: &Value) -> anyhow::Result<()> {
        if self.json {
            let text = match (&self.command, value) {
                // To log lines that were followed there is nothing to add.
                (Command::Logs { follow: true, .. }, Value::Null) => return Ok(()),
                (_, Value::Null) => "{}".to_owned(),
                (_, value) => visible(&value.to_string()),
            };
            return Ok(print(&format!("{text}\n"))?);
        }
        let bytes = |key: &str| {
            let bytes: Option<Bytes> = value.get(key).and_then(|bytes| serde_json::from_value(bytes.clone()).ok());
            bytes.and_then(|bytes| bytes.bytes())
        };
        let text = match &self.command {
            Command::List => show::list(value),
            Command::Info { .. } => show::info(value),
            Command::Call { stats, .. } => {
                give(&bytes("output").unwrap_or_default())?;
                if *stats {
                    say(&show::receipt(value));
                }
                return Ok(());
            }
            Command::Send { .. } => match bytes("reply") {
                Some(reply) => return give(&reply),
                None => match value.get("receivers").and_then(Value::as_u64).unwrap_or_default() {
                    1 => "sent\n".to_owned(),
                    n => format!("sent to {n}\n"),
                },
            },
            Command::Logs { .. } => {
                let lines = value.as_array().into_iter().flatten();
                lines.map(|line| format!("{}\n", show::log_line(line))).collect()
            }
            Command::Stop { agent } => show::stopped(agent, value),
            Command::Start { agent } => format!("{agent} runs\n"),
            Command::Remove { agent } => format!("{agent} is removed\n"),
            Command::DeadLetters => show::dead_letters(value),
        };
        print(&text)?;
        Ok(())
    }
}

impl Command {
    fn ask(&self) -> anyhow::Result<Ask> {
        Ok(match self {
            Self::List => Ask::List {},
            Self::Info { agent } => Ask::Info { agent: agent.clone() },
            Self::Call { agent, function, input, .. } => {
                Ask::Call { agent: agent.clone(), function: function.clone(), input: given(input)? }
            }
            Self::Send { to, message, wait } => Ask::Send {
                to: to.clone(),
                body: given(message)?,
                wait_ms: wait.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            },
            Self::Logs { agent, follow } => Ask::Logs { agent: agent.clone(), follow: *follow },
            Self::Stop { agent } => Ask::Stop { agent: agent.clone() },
            Self::Start { agent } => Ask::Start { agent: agent.clone() },
            Self::Remove { agent } => Ask::Remove { agent: agent.clone() },
            Self::DeadLetters => Ask::DeadLetters {},
        })
    }
}

/// What an argument or standard input says.
fn given(text: &str) -> anyhow::Result<Bytes> {
    if text != "-" {
        return Ok(Bytes::Text(text.to_owned()));
    }
    let (mut bytes, most) = (Vec::new(), MAX_LINE as u64);
    std::io::stdin().lock().take(most + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    anyhow::ensure!(bytes.len() as u64 <= most, "standard input has more than {most} bytes, the most that can be sent");
    Ok(bytes.as_slice().into())
}

/// Gives bytes to whoever reads standard output: as they are to a program, safe to look at to a person.
fn give(bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        drop(stdout);
        print(&show::safe(bytes))?;
        return Ok(());
    }
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}
