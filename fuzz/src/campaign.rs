//! A campaign: workers in processes of their own run the cases of a seed, and whoever started them counts, and notices
//! when one dies or does not come on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use cofferdam_engine::Engine;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::differ::{Ends, Finding, Verdict, What, check};
use crate::engines;
use crate::reduce::Reducer;

/// A case that takes longer has hung: the backstop of one call is five seconds, and a case has hundreds at most.
const HANGS: Duration = Duration::from_secs(180);
/// Time to make one finding smaller.
const REDUCE: Duration = Duration::from_secs(20);
/// Findings of one kind that are made smaller and written; the rest is counted.
const KEPT: u64 = 4;

/// What a campaign is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed, which names every case with its number.
    pub seed: u64,
    /// The first case.
    pub first: u64,
    /// Cases; `u64::MAX` for as many as there is time for.
    pub cases: u64,
    /// When to end.
    pub time: Duration,
    /// Engines by name.
    pub engines: Vec<String>,
    /// Where findings go.
    pub out: PathBuf,
    /// Processes.
    pub jobs: u64,
    /// Whether findings are made smaller.
    pub reduce: bool,
}

/// Figures of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Cases tried.
    pub cases: u64,
    /// Modules that ran on at least one engine.
    pub modules: u64,
    /// Modules by engine, and their sum.
    pub engines: BTreeMap<String, u64>,
    /// Modules times engines.
    pub modules_by_engines: u64,
    /// Modules that ran on at least two engines, so that there was something to compare.
    pub compared: u64,
    /// Native modes that were compared with portable ones.
    pub native: u64,
    /// Runs over all engines, modes and budgets.
    pub runs: u64,
    /// Ends of calls on one engine in portable mode.
    pub ends: Ends,
    /// Modules that the gate refused.
    pub refused: u64,
    /// Modules whose instantiation every engine refused alike.
    pub not_instantiated: u64,
    /// Cases that the deadline cut; not compared.
    pub cut: u64,
    /// Engines that said they cannot, by reason.
    pub cannot: BTreeMap<String, u64>,
    /// How modules were made.
    pub origins: BTreeMap<String, u64>,
    /// Differences by kind.
    pub findings: BTreeMap<String, u64>,
}

impl Tally {
    fn count(&mut self, case: &Case, verdict: &Verdict) {
        self.cases += 1;
        self.refused += u64::from(verdict.refused.is_some());
        self.modules += u64::from(!verdict.engines.is_empty());
        self.compared += u64::from(verdict.engines.len() > 1);
        self.modules_by_engines += verdict.engines.len() as u64;
        self.native += verdict.native;
        self.runs += verdict.runs;
        self.ends.add(&verdict.ends);
        self.not_instantiated += u64::from(verdict.not_instantiated);
        self.cut += u64::from(verdict.cut);
        for engine in &verdict.engines {
            *self.engines.entry(engine.clone()).or_default() += 1;
        }
        for (engine, why) in &verdict.cannot {
            let why: String = why.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
            *self.cannot.entry(format!("{engine}: {why}")).or_default() += 1;
        }
        *self.origins.entry(case.origin.clone()).or_default() += 1;
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.cases, other.cases),
            (&mut self.modules, other.modules),
            (&mut self.compared, other.compared),
            (&mut self.modules_by_engines, other.modules_by_engines),
            (&mut self.native, other.native),
            (&mut self.runs, other.runs),
            (&mut self.refused, other.refused),
            (&mut self.not_instantiated, other.not_instantiated),
            (&mut self.cut, other.cut),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
        self.ends.add(&other.ends);
        let maps = [
            (&mut self.engines, &other.engines),
            (&mut self.cannot, &other.cannot),
            (&mut self.origins, &other.origins),
            (&mut self.findings, &other.findings),
        ];
        for (sum, more) in maps {
            for (key, count) in more {
                *sum.entry(key.clone()).or_default() += count;
            }
        }
    }

    /// Differences.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.findings.values().sum()
    }
}

/// What a campaign came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// First case.
    pub first: u64,
    /// The case after the last.
    pub next: u64,
    /// Seconds it took.
    pub seconds: u64,
    /// Engines and their versions.
    pub versions: Vec<String>,
    /// Figures.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a worker says, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// Figures since the last time.
    Tally(Box<Tally>),
    /// A difference, in words.
    Found { index: u64, finding: Finding, file: Option<String> },
    /// It is done; the next case would be this one.
    Done { next: u64 },
}

fn kind(finding: &Finding) -> String {
    format!("{}: {} / {}", finding.what, finding.first, finding.second)
}

/// Runs every `step`th case from `first` on, in this process. Writes what it finds to standard output, and the number
/// of the case under way into `mark`.
///
/// # Errors
/// Nothing but trouble with files and pipes.
pub fn work(plan: &Plan, first: u64, step: u64, mark: &Path) -> anyhow::Result<()> {
    // An engine that panics is caught by its adapter and reported; the message would only drown the rest.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let all: Vec<Arc<dyn Engine>> =
        plan.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<_>>()?;
    let features = engines::shared_features(&all);
    let mark = File::create(mark)?;
    let mut out = std::io::stdout().lock();
    let mut say = |said: &Said| -> anyhow::Result<()> {
        serde_json::to_writer(&mut out, said)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    };
    let mut tally = Tally::default();
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    let mut told = Instant::now();
    let end = plan.first.saturating_add(plan.cases);
    let mut index = first;
    while index < end && began.elapsed() < plan.time {
        mark.write_all_at(&index.to_le_bytes(), 0)?;
        let Some(case) = Case::of(plan.seed, index, features) else {
            index += step;
            continue;
        };
        let verdict = check(&all, &case);
        tally.count(&case, &verdict);
        if let Some(finding) = &verdict.finding {
            let kind = kind(finding);
            *tally.findings.entry(kind.clone()).or_default() += 1;
            let seen = kept.entry(kind).or_default();
            *seen += 1;
            let file = if *seen <= KEPT { Some(keep(plan, index, &all, &case, finding)?) } else { None };
            if file.is_some() {
                say(&Said::Found { index, finding: finding.clone(), file })?;
            }
        }
        if told.elapsed() > Duration::from_millis(500) {
            say(&Said::Tally(Box::new(std::mem::take(&mut tally))))?;
            told = Instant::now();
        }
        index += step;
    }
    say(&Said::Tally(Box::new(tally)))?;
    say(&Said::Done { next: index })
}

/// Writes a finding as it came and made smaller.
fn keep(plan: &Plan, index: u64, all: &[Arc<dyn Engine>], case: &Case, finding: &Finding) -> anyhow::Result<String> {
    let name = format!("{}-{index}", plan.seed);
    let note = format!("{}, run {}: {}", kind(finding), finding.run, finding.detail);
    case.write(&plan.out, &format!("{name}.full"), &note)?;
    if plan.reduce {
        let small = Reducer::new(all, case, finding, REDUCE).run();
        let note = match check(all, &small).finding {
            Some(finding) => format!("{}, run {}: {}", kind(&finding), finding.run, finding.detail),
            None => note,
        };
        small.write(&plan.out, &name, &note)?;
        return Ok(plan.out.join(format!("{name}.wasm")).display().to_string());
    }
    Ok(plan.out.join(format!("{name}.full.wasm")).display().to_string())
}

struct Worker {
    child: Child,
    mark: PathBuf,
    /// The case it was at, and since when.
    at: (u64, Instant),
    done: bool,
}

enum Event {
    Said(usize, Box<Said>),
    Ended(usize),
}

/// Runs a campaign: starts workers, adds up, restarts those that die. `progress` is called about twice a second.
///
/// # Errors
/// Workers cannot be started, or files cannot be written.
pub fn run(plan: &Plan, mut progress: impl FnMut(&Summary)) -> anyhow::Result<Summary> {
    std::fs::create_dir_all(&plan.out).with_context(|| plan.out.display().to_string())?;
    let began = Instant::now();
    let all: Vec<_> = plan.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let version = |e: &Arc<dyn Engine>| format!("{} {}", e.descriptor().id, e.descriptor().version);
    let mut summary = Summary {
        seed: plan.seed,
        first: plan.first,
        versions: all.iter().map(version).collect(),
        ..Summary::default()
    };
    let (sender, events) = channel();
    let mut workers = Vec::new();
    for number in 0..plan.jobs as usize {
        workers.push(start(plan, number, plan.first + number as u64, plan.time, &sender)?);
    }
    watch(plan, &mut summary, &mut workers, (&sender, &events), began, &mut progress)?;
    summary.seconds = began.elapsed().as_secs();
    for worker in &workers {
        let _ = std::fs::remove_file(&worker.mark);
    }
    Ok(summary)
}

fn watch(
    plan: &Plan,
    summary: &mut Summary,
    workers: &mut [Worker],
    (sender, events): (&Sender<Event>, &Receiver<Event>),
    began: Instant,
    progress: &mut impl FnMut(&Summary),
) -> anyhow::Result<()> {
    let mut shown = Instant::now();
    while workers.iter().any(|worker| !worker.done) {
        match events.recv_timeout(Duration::from_millis(500)) {
            Ok(Event::Said(number, said)) => match *said {
                Said::Tally(tally) => summary.tally.add(&tally),
                Said::Found { index, finding, file } => {
                    let file = file.unwrap_or_default();
                    eprintln!("case {index}: {}, run {}\n{}\n  {file}", kind(&finding), finding.run, finding.detail);
                }
                Said::Done { next } => {
                    summary.next = summary.next.max(next);
                    workers[number].done = true;
                }
            },
            Ok(Event::Ended(number)) if !workers[number].done => {
                let index = at(&workers[number].mark);
                let status = workers[number].child.wait()?;
                let what = if status.signal() == Some(9) { What::Hang } else { What::Crash };
                *summary.tally.findings.entry(format!("{what}: {status}")).or_default() += 1;
                eprintln!("case {index}: the process ended, {status}");
                if let Some(case) = Case::of(plan.seed, index, engines_features(plan)?) {
                    case.write(&plan.out, &format!("{}-{index}.full", plan.seed), &format!("{what}: {status}"))?;
                }
                let left = plan.time.saturating_sub(began.elapsed());
                workers[number] = start(plan, number, index + plan.jobs, left, sender)?;
            }
            Ok(Event::Ended(_)) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        for worker in workers.iter_mut().filter(|worker| !worker.done) {
            let now = at(&worker.mark);
            if now != worker.at.0 {
                worker.at = (now, Instant::now());
            } else if worker.at.1.elapsed() > HANGS {
                worker.child.kill()?;
                worker.at.1 = Instant::now();
            }
        }
        if shown.elapsed() > Duration::from_millis(500) {
            shown = Instant::now();
            summary.seconds = began.elapsed().as_secs();
            progress(summary);
        }
    }
    for worker in workers {
        worker.child.wait()?;
    }
    Ok(())
}

fn engines_features(plan: &Plan) -> anyhow::Result<cofferdam_engine::FeatureSet> {
    let all: Vec<_> = plan.engines.iter().map(|name| engines::by_name(name)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(engines::shared_features(&all))
}

/// The case that a worker is at.
fn at(mark: &Path) -> u64 {
    let read = std::fs::read(mark).ok();
    read.and_then(|bytes| bytes.first_chunk::<8>().copied()).map_or(0, u64::from_le_bytes)
}

fn start(plan: &Plan, number: usize, first: u64, time: Duration, sender: &Sender<Event>) -> anyhow::Result<Worker> {
    let mark = plan.out.join(format!(".running-{}-{number}", std::process::id()));
    std::fs::write(&mark, first.to_le_bytes())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("worker").args(["--seed", &plan.seed.to_string()]).args(["--first", &first.to_string()]);
    command.args(["--begin", &plan.first.to_string()]).args(["--step", &plan.jobs.to_string()]);
    command.args(["--cases", &plan.cases.to_string()]).args(["--seconds", &time.as_secs().to_string()]);
    command.args(["--engines", &plan.engines.join(",")]).arg("--out").arg(&plan.out).arg("--mark").arg(&mark);
    if !plan.reduce {
        command.arg("--as-found");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = child.stdout.take().context("the worker has no standard output")?;
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            if let Ok(said) = serde_json::from_str(&line) {
                let _ = sender.send(Event::Said(number, Box::new(said)));
            }
        }
        let _ = sender.send(Event::Ended(number));
    });
    Ok(Worker { child, mark, at: (first, Instant::now()), done: false })
}
