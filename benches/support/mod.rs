//! Measuring on a noisy machine: many short rounds, the least of them counts.

use std::time::{Duration, Instant};

/// The least time of `rounds` rounds of `work`.
pub fn least(rounds: usize, mut work: impl FnMut()) -> Duration {
    (0..rounds)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .min()
        .unwrap_or_default()
}

/// The value below which `part` (0 to 1) of the sorted `values` lie.
pub fn quantile<T: Copy>(sorted: &[T], part: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}
