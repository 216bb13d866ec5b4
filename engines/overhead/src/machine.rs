//! What a run ran on, and how much else the machine had to do meanwhile.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// The machine of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// When it began, in UTC.
    pub date: String,
    /// The processor's name.
    pub processor: String,
    /// Processors that the process may use.
    pub processors: usize,
    /// Operating system and architecture that this was built for.
    pub system: String,
    /// Load averages over a minute before and after; this program makes one of it itself.
    pub load: Option<(f64, f64)>,
    /// The part of the processors' time that the host of this virtual machine gave to others.
    pub stolen: Option<f64>,
    /// The part of the processors' time that all processes together used, this one among them.
    pub busy: Option<f64>,
    /// How long all of it took, in seconds.
    pub seconds: u64,
}

/// A run under way.
#[derive(Debug)]
pub struct Watch {
    began: SystemTime,
    load: Option<f64>,
    times: Option<Times>,
}

/// Processor time since the machine was started, in ticks.
#[derive(Clone, Copy, Debug)]
struct Times {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Times {
    fn now() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/stat").ok()?;
        let of: Vec<f64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
        // user, nice, system, idle, waiting, interrupts (2), stolen; guests are part of the first two.
        let [_, _, _, idle, waiting, _, _, stolen, ..] = of.as_slice() else { return None };
        Some(Self { all: of[..8].iter().sum(), idle: idle + waiting, stolen: *stolen })
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name");
    named.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

impl Watch {
    /// Begins.
    #[must_use]
    pub fn begin() -> Self {
        Self { began: SystemTime::now(), load: load(), times: Times::now() }
    }

    /// What there is to be said at the end.
    #[must_use]
    pub fn end(&self) -> Machine {
        let part = |of: fn(Times) -> f64| {
            let (before, after) = (self.times?, Times::now()?);
            let all = after.all - before.all;
            (all > 0.0).then(|| (of(after) - of(before)) / all)
        };
        let stolen = part(|times| times.stolen);
        let idle = part(|times| times.idle);
        Machine {
            date: humantime::format_rfc3339_seconds(self.began).to_string(),
            processor: processor(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
            load: self.load.zip(load()),
            stolen,
            busy: idle.map(|idle| 1.0 - idle - stolen.unwrap_or(0.0)),
            seconds: self.began.elapsed().map_or(0, |took| took.as_secs()),
        }
    }
}
