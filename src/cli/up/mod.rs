//! `cofferdam up`: the agents that a file declares, in the foreground, until a signal.

mod events;
mod host;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use cofferdam::agent::file::{AgentsFile, schema};
use cofferdam::sandbox::Printable;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::events::Teller;
use self::host::Host;
use super::agent::time;
use super::cache::CacheArgs;
use super::config::UserConfig;
use super::control::protocol::in_keys;
use super::control::server::{Asked, serve};
use super::control::socket::{Socket, SocketArgs};
use super::report::exit;
use super::say::{print, say};

/// How long answers that are under way may take when the command ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Run the agents that a file declares, until a signal.
///
/// All agents are deployed and then started together; what happens to them is printed, one line an event, and
/// `cofferdam agent` asks about them from another terminal. With SIGTERM or SIGINT they finish what is queued,
/// within --drain, and end; a second signal ends them at once, and a third the command, whatever is left to do.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Up {
    /// The file (TOML, JSON or YAML). `docs/agents.md` has its keys.
    #[arg(required_unless_present = "schema")]
    file: Option<PathBuf>,

    /// Read and check the file, load the modules, and run nothing.
    #[arg(long)]
    check: bool,

    /// Print the JSON Schema of such files.
    #[arg(long, exclusive = true)]
    schema: bool,

    /// How long agents may go on with what is queued, after a signal.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s")]
    drain: Duration,

    /// Print events as JSON, one object a line.
    #[arg(long)]
    json: bool,

    /// Do not listen for `cofferdam agent`.
    #[arg(long)]
    no_socket: bool,

    #[command(flatten)]
    socket: SocketArgs,

    #[command(flatten)]
    cache: CacheArgs,

    /// The user's configuration [env: COFFERDAM_CONFIG] [default: cofferdam/config.toml in $XDG_CONFIG_HOME
    /// or ~/.config].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam up examples/agents/agents.toml
  cofferdam up --check agents.toml
  cofferdam up --json --drain 30s agents.toml > events.jsonl
  cofferdam up --schema > agents.schema.json

Exit codes:
  0      all agents ended in order
  1      an agent did not start or failed, or had to be cut off
  120    a module or tool was refused; nothing ran
  2      the file or the options make no sense, or name what is not there";

impl Up {
    /// Runs them and returns the exit code.
    pub fn execute(&self) -> anyhow::Result<u8> {
        let Some(path) = &self.file else {
            print(&schema())?;
            return Ok(0);
        };
        let plan = AgentsFile::load(path)?.plan()?;
        plan.look_at_places()?;
        let config = UserConfig::find(self.config.as_deref())?;
        let resources = self.cache.resources_with(&config, plan.memory, plan.run_permits);
        let driver = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        if self.check {
            let counts = host::counts(&plan);
            let host = driver.block_on(async {
                let host = Host::to_look_at(plan, resources)?;
                anyhow::Ok(host.deploy().await)
            })?;
            return match host {
                Ok(_) => {
                    let path = Printable::whole(&path.display().to_string());
                    Ok(print(&format!("{path}: good ({counts})\n")).map(|()| 0)?)
                }
                Err(problems) => Ok(refused(&problems)),
            };
        }
        // Before anything is opened: a second one must not get in the way of the first.
        let code = driver.block_on(async {
            let socket = if self.no_socket { None } else { Some(Socket::bind(&self.socket.path()?)?) };
            let teller = Teller::new(self.json)?;
            let host = Host::new(plan, resources, teller)?;
            self.run(host, socket.as_ref()).await
        });
        // Guests that were cut off may still be on their way out of a host call.
        driver.shutdown_timeout(Duration::from_millis(100));
        code
    }

    async fn run(&self, host: Host, socket: Option<&Socket>) -> anyhow::Result<u8> {
        let mut signals = Signals::new()?;
        let agents = tokio::select! {
            deployed = host.deploy() => match deployed {
                Ok(agents) => agents,
                Err(problems) => return Ok(refused(&problems)),
            },
            () = signals.next() => return Ok(exit::FAILED),
        };
        let runtime = host.runtime().clone();
        let asked = Asked::default();
        let server = async {
            match socket {
                Some(socket) => serve(socket, &runtime, &asked).await,
                None => std::future::pending().await,
            }
        };
        let work = async {
            tokio::select! {
                () = host.start(&agents, socket.map(|socket| socket.path.as_path())) => signals.next().await,
                () = signals.next() => {}
            }
            let ended = host.drain(self.drain, signals.next()).await;
            asked.answered(LAST_ANSWERS).await;
            ended
        };
        let mut heard = Signals::new()?;
        let third = async {
            for _ in 0..3 {
                heard.next().await;
            }
        };
        tokio::select! {
            ended = work => ended,
            () = server => anyhow::bail!("the socket is gone"),
            () = third => {
                say("cofferdam: a third signal: what was stored or audited last may not be on the disk");
                if let Some(socket) = socket {
                    let _ = std::fs::remove_file(&socket.path);
                }
                // Whatever it is that does not end, there is no waiting for it.
                std::process::exit(exit::FAILED.into())
            }
        }
    }
}

/// Says why nothing was run.
fn refused(problems: &[String]) -> u8 {
    let problems: Vec<_> = problems.iter().map(|problem| in_keys(problem)).collect();
    problems.iter().for_each(|problem| say(&format!("cofferdam: {problem}")));
    if problems.iter().any(|problem| problem.contains("`--")) {
        // The words are those of `cofferdam run`.
        say(
            "What an option named above would allow is allowed here by a key of `policy`; docs/policies.md has them all.",
        );
    }
    exit::REFUSED
}

/// SIGTERM and SIGINT.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
