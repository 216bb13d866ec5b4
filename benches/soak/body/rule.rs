//! The rule: what may be different at the end, and by how much.
//!
//! The figures are taken after each round. The first fifth of the rounds is for warming up; the rest is cut into
//! four. **The highest figures of the last quarter may not exceed those of the first by more than the slack. When all
//! is dropped, descriptors and threads are back at what they were before the phase, and memory and mappings within the
//! slack of it.** The sums that the runtime keeps are zero after every round.

use super::figures::Figures;

/// From the first quarter to the last. Pools of threads grow for as long as a busy machine keeps their threads from
/// work, and keep them for a while, each with two mappings or three. A leak is told from that by its size over all
/// rounds, so more rounds find smaller ones; a single thread that stays is found by [`LEFT`].
const GROWS: Figures = Figures { resident: 6 << 10, maps: 64, descriptors: 4, threads: 16 };

/// From before the phase to its end. Allocators and pools keep what they will need again; nothing else stays.
const LEFT: Figures = Figures { resident: 16 << 10, maps: 32, descriptors: 0, threads: 0 };

/// The parts of a phase that are compared: the first and the last quarter of what follows the warm-up.
pub fn quarters(rounds: &[Figures]) -> (&[Figures], &[Figures]) {
    let warm = &rounds[rounds.len() / 5..];
    let quarter = warm.len().div_ceil(4);
    (&warm[..quarter], &warm[warm.len() - quarter..])
}

/// What is wrong with the figures of a phase: from before it, after each of its rounds, and after all was dropped.
///
/// Where `width` engines work at the same time, the slack is that of each of them.
pub fn judge(before: &Figures, rounds: &[Figures], after: &Figures, width: u64) -> Vec<String> {
    let (first, last) = quarters(rounds);
    let mut wrong = Vec::new();
    compare("grows", &Figures::highest(first), &Figures::highest(last), &GROWS.times(width), &mut wrong);
    compare("is left", before, after, &LEFT.times(width), &mut wrong);
    wrong
}

fn compare(how: &str, was: &Figures, is: &Figures, slack: &Figures, wrong: &mut Vec<String>) {
    for (what, was, is, slack) in [
        ("resident KiB", was.resident, is.resident, slack.resident),
        ("mappings", was.maps, is.maps, slack.maps),
        ("descriptors", was.descriptors, is.descriptors, slack.descriptors),
        ("threads", was.threads, is.threads, slack.threads),
    ] {
        if is > was + slack {
            wrong.push(format!("{what} {how}: {is}, was {was} and may be {slack} more"));
        }
    }
}
