//! [`Figures`]: what this process holds of the machine, as the kernel counts it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Resident memory in KiB.
    pub resident: u64,
    /// Mappings of memory.
    pub maps: u64,
    /// Open descriptors.
    pub descriptors: u64,
    pub threads: u64,
}

impl Figures {
    /// As things stand.
    pub fn now() -> Self {
        let text = |file: &str| std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let entries = |dir: &str| std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{dir}: {e}")).count() as u64;
        let status = text("/proc/self/status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says so");
        Self {
            resident: resident.trim().trim_end_matches(" kB").parse().expect("it is a number"),
            maps: text("/proc/self/maps").lines().count() as u64,
            // One of them is the listing's own.
            descriptors: entries("/proc/self/fd") - 1,
            threads: entries("/proc/self/task"),
        }
    }

    /// As things stand when nothing has come or gone for a while: threads leave some time after they were told to.
    pub fn still() -> Self {
        let (mut last, mut still) = (Self::now(), 0);
        for _ in 0..500 {
            std::thread::sleep(Duration::from_millis(10));
            let now = Self::now();
            let same = (now.threads, now.descriptors) == (last.threads, last.descriptors);
            still = if same { still + 1 } else { 0 };
            last = now;
            if still == 20 {
                break;
            }
        }
        last
    }

    /// As things stand when threads and descriptors are no more than in `before`. If they stay, they are seen.
    pub fn back_at(before: &Self) -> Self {
        for _ in 0..1_000 {
            let now = Self::now();
            if now.threads <= before.threads && now.descriptors <= before.descriptors {
                return now;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self::now()
    }

    /// So many times as much of each.
    pub fn times(&self, n: u64) -> Self {
        Self {
            resident: self.resident * n,
            maps: self.maps * n,
            descriptors: self.descriptors * n,
            threads: self.threads * n,
        }
    }

    /// The highest of each.
    pub fn highest(all: &[Self]) -> Self {
        all.iter().fold(Self::default(), |highest, figures| Self {
            resident: highest.resident.max(figures.resident),
            maps: highest.maps.max(figures.maps),
            descriptors: highest.descriptors.max(figures.descriptors),
            threads: highest.threads.max(figures.threads),
        })
    }
}
