//! Fuzz targets: functions over bytes that must neither panic nor hang, and check what they can. The runner
//! (`fuzz target NAME`) and the `cargo fuzz` targets run the same bodies.

mod files;
mod guests;
mod loading;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::random::Random;

/// A fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Its body: panics if something is wrong.
    pub body: fn(&[u8]),
    /// Good input to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const ALL: &[Target] = &[
    Target {
        name: "gate",
        about: "modules: recognise, validate, prepare",
        body: loading::gate,
        seeds: loading::modules,
    },
    Target {
        name: "artefact",
        about: "compiled files: bundles and sealed artefacts",
        body: loading::artefact,
        seeds: loading::artefacts,
    },
    Target {
        name: "wasi",
        about: "calls of WASI preview 1: pointers, paths, descriptors",
        body: guests::wasi,
        seeds: guests::calls,
    },
    Target {
        name: "agent-abi",
        about: "calls of `cofferdam_v1`: messages, keys, logs",
        body: guests::agent_abi,
        seeds: guests::calls,
    },
    Target { name: "policy-file", about: "policy files", body: files::policy, seeds: files::policies },
    Target { name: "agents-file", about: "agents.toml", body: files::agents, seeds: files::agents_files },
];

/// The target called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<Target> {
    ALL.iter().copied().find(|target| target.name == name)
}

/// An input that something was wrong with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which one of the run.
    pub index: u64,
    /// The bytes.
    pub input: Vec<u8>,
    /// What the panic said.
    pub said: String,
}

/// Runs `target` on inputs made from `seed`, for `time`. Returns how many there were, and the first that failed.
#[must_use]
pub fn run(target: Target, seed: u64, time: Duration) -> (u64, Option<Failure>) {
    let began = Instant::now();
    let seeds = (target.seeds)();
    let mut index = 0;
    while began.elapsed() < time {
        let input = input(&mut Random::of(seed, index), &seeds);
        if let Some(said) = fails(target, &input) {
            return (index + 1, Some(Failure { index, input, said }));
        }
        index += 1;
    }
    (index, None)
}

/// What `target` says against `input`, if it does.
#[must_use]
pub fn fails(target: Target, input: &[u8]) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| (target.body)(input))).err()?;
    let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Some(said.unwrap_or("no message").to_owned())
}

/// Noise, or a seed with some of its bytes changed, cut, doubled or taken from another.
fn input(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if seeds.is_empty() || random.one_in(8) {
        let len = random.spread(11) as usize;
        return random.bytes(len);
    }
    let mut bytes = seeds[random.index(seeds.len())].clone();
    for _ in 0..random.spread(4) {
        let at = random.index(bytes.len() + 1);
        let end = (at + random.spread(6) as usize).min(bytes.len());
        match random.below(7) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            2 => {
                let other = &seeds[random.index(seeds.len())];
                let from = random.index(other.len() + 1);
                let piece = other[from..(from + random.spread(8) as usize).min(other.len())].to_vec();
                drop(bytes.splice(at..end, piece));
            }
            3 => {
                let noise = random.bytes(end - at);
                bytes[at..end].copy_from_slice(&noise);
            }
            4 => {
                let edge = random.pick(&[0, 1, 0x7f, 0x80, 0xff]);
                bytes[at..end].fill(edge);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}
