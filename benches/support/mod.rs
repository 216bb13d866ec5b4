//! What the benches share.

/// The value below which `part` (0 to 1) of the sorted `values` lie.
pub fn quantile<T: Copy>(sorted: &[T], part: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}
