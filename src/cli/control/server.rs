//! Answers what is asked over the local socket. It only reads words and calls the runtime.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::agent::{Address, AgentId, Runtime, UnknownAgent};
use cofferdam::policy::file::PolicyFile;
use cofferdam::sandbox::Printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder as _, LinesCodec};

use super::protocol::{self, Ask, MAX_LINE, Refusal, answered, in_keys};
use super::socket::Socket;

/// Clients at once; one more is told so and sent away.
const CLIENTS: usize = 32;
/// How long a client may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take to read a line.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for a reply.
const MOST_WAIT: Duration = Duration::from_secs(3_600);
/// How often a client that asks nothing more is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// Those who wait for an answer.
#[derive(Clone)]
pub struct Asked(Arc<Semaphore>);

impl Default for Asked {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CLIENTS)))
    }
}

impl Asked {
    /// Returns when all answers are given, or after `time`.
    pub async fn answered(&self, time: Duration) {
        let all = u32::try_from(CLIENTS).unwrap_or(u32::MAX);
        if timeout(time, self.0.acquire_many(all)).await.is_err() {
            tracing::debug!("somebody did not hear the answer");
        }
    }
}

/// Takes clients until it is dropped. Those who wait for an answer are counted in `asked`.
pub async fn serve(socket: &Socket, runtime: &Runtime, asked: &Asked) {
    let places = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no client can be taken");
                // Out of files, most likely: it must not become a loop.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The permissions of the directory and the socket say the same.
        let owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw());
        if !owner {
            continue;
        }
        let place = places.clone().try_acquire_owned().ok();
        let (runtime, asked) = (runtime.clone(), asked.clone());
        tokio::spawn(async move {
            let (read, write) = stream.into_split();
            let mut client = Client { read, write, lines: Lines::default(), asked };
            let done = match place {
                Some(_place) => client.serve(&runtime).await,
                None => {
                    let refusal = Refusal::new("busy", format!("{CLIENTS} clients are connected, as many as may be"));
                    client.say(&answered(Err(refusal))).await
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a client is gone");
            }
        });
    }
}

/// Lines out of a stream, of bounded length.
struct Lines {
    codec: LinesCodec,
    buffer: BytesMut,
}

impl Default for Lines {
    fn default() -> Self {
        Self { codec: LinesCodec::new_with_max_length(MAX_LINE), buffer: BytesMut::new() }
    }
}

struct Client {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    lines: Lines,
    asked: Asked,
}

impl Client {
    async fn serve(&mut self, runtime: &Runtime) -> anyhow::Result<()> {
        loop {
            let line = match timeout(SILENCE, self.line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => {
                    let refusal = Refusal::new("bad-request", format!("{error}; a line has at most {MAX_LINE} bytes"));
                    return self.say(&answered(Err(refusal))).await;
                }
                Err(_) => return self.say(&answered(Err(Refusal::new("bad-request", "nothing was asked")))).await,
            };
            // There are as many as there are clients.
            let _asked = self.asked.0.clone().acquire_owned().await?;
            match protocol::read(&line) {
                Ok(Ask::Logs { agent, follow: true }) => {
                    self.follow(runtime, &agent).await?;
                    return Ok(());
                }
                Ok(ask) => {
                    // A client that goes away while it waits takes what it asked for with it, as far as that can
                    // still be taken back. What is there already is said.
                    let done = tokio::select! {
                        biased;
                        done = answer(runtime, ask) => done,
                        () = gone(&mut self.read, &mut self.lines.buffer) => return Ok(()),
                    };
                    self.say(&answered(done)).await?;
                }
                Err(refusal) => self.say(&answered(Err(refusal))).await?,
            }
        }
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.lines.codec.decode(&mut self.lines.buffer)? {
                return Ok(Some(line));
            }
            if self.read.read_buf(&mut self.lines.buffer).await? == 0 {
                return Ok(self.lines.codec.decode_eof(&mut self.lines.buffer)?);
            }
        }
    }

    async fn say(&mut self, value: &Value) -> anyhow::Result<()> {
        let mut line = value.to_string();
        if line.len() >= MAX_LINE {
            let refusal = Refusal::new("too-large", format!("the answer is above the {MAX_LINE} bytes of a line"));
            line = answered(Err(refusal)).to_string();
        }
        line.push('\n');
        timeout(PATIENCE, self.write.write_all(line.as_bytes())).await??;
        Ok(())
    }

    /// Log lines until the agent is removed or the client goes away.
    async fn follow(&mut self, runtime: &Runtime, agent: &str) -> anyhow::Result<()> {
        let followed = find(runtime, agent).and_then(|id| Ok(runtime.follow_logs(id)?));
        let (lines, mut next) = match followed {
            Ok(followed) => followed,
            Err(refusal) => return self.say(&answered(Err(refusal))).await,
        };
        for line in lines {
            self.say(&json!({ "v": protocol::VERSION, "line": protocol::log_line(&line) })).await?;
        }
        loop {
            let line = tokio::select! {
                biased;
                line = next.recv() => line,
                () = gone(&mut self.read, &mut self.lines.buffer) => return Ok(()),
            };
            let line = match line {
                Ok(line) => json!({ "v": protocol::VERSION, "line": protocol::log_line(&line) }),
                Err(RecvError::Lagged(lost)) => json!({ "v": protocol::VERSION, "lost": lost }),
                Err(RecvError::Closed) => return self.say(&answered(Ok(Value::Null))).await,
            };
            self.say(&line).await?;
        }
    }
}

/// Waits until the client has gone, or has said more than one line that nobody reads yet. One that asks nothing
/// more may still read.
async fn gone(read: &mut OwnedReadHalf, buffer: &mut BytesMut) {
    loop {
        if buffer.len() > MAX_LINE {
            return;
        }
        match read.read_buf(buffer).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => return,
        }
    }
    // Of this the system wakes nobody who does not listen for more: a look now and then is enough.
    while !hung_up(read) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the other end is closed in both directions.
fn hung_up(read: &OwnedReadHalf) -> bool {
    let stream: &UnixStream = read.as_ref();
    let mut about = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::empty())];
    // No answer means that there is nothing to say of it yet.
    poll(&mut about, Some(&Timespec::default())).is_ok()
        && about.iter().any(|about| about.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// The agent called `name`, or with that id.
fn find(runtime: &Runtime, name: &str) -> Result<AgentId, Refusal> {
    match name.parse().map_err(|error| Refusal::new("bad-request", error))? {
        Address::Id(id) => Ok(id),
        Address::Name(name) => runtime.find(&name).ok_or_else(|| UnknownAgent(name.into()).into()),
        Address::Topic(_) => Err(Refusal::new("bad-request", "this is for one agent, not for a topic")),
    }
}

async fn answer(runtime: &Runtime, ask: Ask) -> Result<Value, Refusal> {
    let find = |name: &str| find(runtime, name);
    let bytes = |bytes: &protocol::Bytes| {
        bytes.bytes().ok_or_else(|| Refusal::new("bad-request", "`hex` has two digits for each byte"))
    };
    Ok(match ask {
        Ask::List {} => runtime.list().iter().map(protocol::agent).collect(),
        Ask::Info { agent } => about(runtime, find(&agent)?)?,
        Ask::Call { agent, function, input } => {
            let (id, input) = (find(&agent)?, bytes(&input)?);
            let (output, receipt) = runtime.execute_with_receipt(id, &function, &input).await;
            let output = output.map_err(|error| Refusal::from(error).with_receipt(receipt.as_ref()))?;
            json!({ "output": protocol::Bytes::from(&*output), "receipt": receipt })
        }
        Ask::Send { to, body, wait_ms } => {
            let to: Address = to.parse().map_err(|error| Refusal::new("bad-request", error))?;
            let body = bytes(&body)?;
            match wait_ms {
                None => json!({ "receivers": runtime.send(&to, &body).await? }),
                Some(time) => {
                    let reply = runtime.request(&to, &body, Duration::from_millis(time).min(MOST_WAIT)).await?;
                    json!({ "receivers": 1, "reply": protocol::Bytes::from(&*reply) })
                }
            }
        }
        Ask::Logs { agent, .. } => runtime.logs(find(&agent)?)?.iter().map(protocol::log_line).collect(),
        Ask::Stop { agent } => {
            let done = runtime.stop(find(&agent)?).await?;
            let failed = done.failed.map(|why| Printable::whole(&in_keys(&why)).to_string());
            json!({ "handled": done.handled, "dropped": done.dropped, "cut_off": done.cut_off, "failed": failed })
        }
        Ask::Start { agent } => {
            runtime.start(find(&agent)?).await?;
            Value::Null
        }
        Ask::Remove { agent } => {
            runtime.remove(find(&agent)?).await?;
            Value::Null
        }
        Ask::DeadLetters {} => {
            let letters: Vec<_> = runtime.dead_letters().iter().map(protocol::dead_letter).collect();
            json!({ "total": runtime.dead_letters_total(), "letters": letters })
        }
    })
}

/// An agent with what it may do.
fn about(runtime: &Runtime, id: AgentId) -> Result<Value, Refusal> {
    let mut value = protocol::agent(&runtime.info(id)?);
    let policy = PolicyFile::describe(&runtime.policy(id)?);
    let functions = runtime.exposed_host_functions(id)?;
    if let Some(object) = value.as_object_mut() {
        let names = functions.into_iter().map(|(module, name)| format!("{module}.{name}"));
        object.insert("host_functions".to_owned(), names.collect());
        object.insert("policy".to_owned(), serde_json::to_value(policy).unwrap_or_default());
    }
    Ok(value)
}
