//! Amounts as people write them, on the command line, in the environment and in files alike: `10MiB`,
//! `500ms`, `2M`. Each has a parser and a way back that loses nothing.

use std::time::Duration;

use super::{Fuel, MemoryBytes};

/// Text that is no amount of the kind wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// No size of memory.
    #[error("`{0}` is no size; write for instance 10MiB, 512KiB or 65536 (bytes)")]
    Size(String),
    /// No duration.
    #[error("`{0}` is no duration; write for instance 500ms, 30s, 2m, 5 (seconds) or none")]
    Time(String),
    /// No count.
    #[error("`{0}` is no count; write for instance 2M, 500k, 1_000_000 or unlimited")]
    Count(String),
    /// No stack, or one that no thread can have.
    #[error("`{0}` is too large a stack; at most {most} MiB", most = MAX_STACK_UNITS >> 20)]
    Stack(String),
}

/// Native stacks take four times as many bytes, for every guest that runs.
const MAX_STACK_UNITS: u32 = 256 << 20;

/// Longest text that is quoted back, in characters.
const QUOTED: usize = 64;

fn quoted(s: &str) -> String {
    s.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `10MiB`, `64 kB`, `1.5G` (binary), or plain bytes.
///
/// # Errors
/// [`UnitError::Size`].
pub fn memory(s: &str) -> Result<MemoryBytes, UnitError> {
    let size: bytesize::ByteSize = s.trim().parse().map_err(|_| UnitError::Size(quoted(s)))?;
    Ok(MemoryBytes::new(size.as_u64()))
}

/// The shortest text that [`memory`] reads as exactly `bytes`.
#[must_use]
pub fn show_memory(bytes: MemoryBytes) -> String {
    let n = bytes.get();
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| n > 0 && n.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", n >> shift),
        None => n.to_string(),
    }
}

/// `500ms`, `1m 30s`, plain seconds, or `none`.
///
/// # Errors
/// [`UnitError::Time`].
pub fn timeout(s: &str) -> Result<Timeout, UnitError> {
    let text = s.trim();
    if text == "none" {
        return Ok(Timeout(None));
    }
    let plain = text.parse::<f64>().ok().filter(|v| *v >= 0.0).and_then(|v| Duration::try_from_secs_f64(v).ok());
    plain
        .or_else(|| humantime::parse_duration(text).ok())
        .map(|d| Timeout(Some(d)))
        .ok_or_else(|| UnitError::Time(quoted(s)))
}

/// A deadline, or the decision to have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// The text that [`timeout`] reads as exactly `time`.
#[must_use]
pub fn show_timeout(time: Option<Duration>) -> String {
    time.map_or_else(|| "none".to_owned(), |t| humantime::format_duration(t).to_string())
}

/// A count with `k`, `M`, `G` or `T` for thousands and so on, `_` between digits, or `unlimited`.
///
/// # Errors
/// [`UnitError::Count`].
pub fn count(s: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Count(quoted(s));
    let text = s.trim();
    if text == "unlimited" {
        return Ok(u64::MAX);
    }
    let (digits, factor) = match text.char_indices().next_back() {
        Some((i, 'k' | 'K')) => (&text[..i], 1e3),
        Some((i, 'm' | 'M')) => (&text[..i], 1e6),
        Some((i, 'g' | 'G' | 'b' | 'B')) => (&text[..i], 1e9),
        Some((i, 't' | 'T')) => (&text[..i], 1e12),
        _ => (text, 1.0),
    };
    let digits = digits.trim().replace('_', "");
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor as u64).ok_or_else(bad);
    }
    let starts_right = digits.starts_with(|c: char| c.is_ascii_digit());
    let value = digits.parse::<f64>().ok().filter(|_| starts_right && factor > 1.0).ok_or_else(bad)? * factor;
    if value.is_finite() && value < 9.0e18 { Ok(value as u64) } else { Err(bad()) }
}

/// The shortest text that [`count`] reads as exactly `n`.
#[must_use]
pub fn show_count(n: u64) -> String {
    if n == u64::MAX {
        return "unlimited".to_owned();
    }
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M")];
    match units.into_iter().find(|(unit, _)| n > 0 && n.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", n / unit),
        None => n.to_string(),
    }
}

/// A count of fuel.
///
/// # Errors
/// [`UnitError::Count`].
pub fn fuel(s: &str) -> Result<Fuel, UnitError> {
    count(s).map(Fuel::new)
}

/// The text that [`fuel`] reads as exactly `fuel`.
#[must_use]
pub fn show_fuel(fuel: Fuel) -> String {
    if fuel == Fuel::UNLIMITED { "unlimited".to_owned() } else { show_count(fuel.get()) }
}

/// Stack units: plain, or with the suffixes of sizes (`512KiB` is 524,288 units).
///
/// # Errors
/// [`UnitError::Size`]; [`UnitError::Stack`] above 256 Mi units.
pub fn stack(s: &str) -> Result<u32, UnitError> {
    stack_units(memory(s)?.get()).ok_or_else(|| UnitError::Stack(quoted(s)))
}

/// `units`, if a thread can have four times as many bytes of stack.
#[must_use]
pub fn stack_units(units: u64) -> Option<u32> {
    u32::try_from(units).ok().filter(|units| *units <= MAX_STACK_UNITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_units_and_plain_bytes() {
        let bytes = |s| memory(s).map(MemoryBytes::get).ok();
        assert_eq!(bytes("10MiB"), Some(10 << 20));
        assert_eq!(bytes("64KiB"), Some(64 << 10));
        assert_eq!(bytes("65536"), Some(65_536));
        assert_eq!(bytes("ten"), None);
        assert_eq!(bytes("-1"), None);
        assert_eq!(stack("512KiB"), Ok(512 << 10));
        assert!(stack("5GiB").is_err());
    }

    #[test]
    fn durations_take_units_seconds_and_none() {
        assert_eq!(timeout("500ms"), Ok(Timeout(Some(Duration::from_millis(500)))));
        assert_eq!(timeout("1.5"), Ok(Timeout(Some(Duration::from_millis(1500)))));
        assert_eq!(timeout("1m 30s"), Ok(Timeout(Some(Duration::from_secs(90)))));
        assert_eq!(timeout("none"), Ok(Timeout(None)));
        for bad in ["-1", "soon", "", "NaN", "inf"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_take_thousands() {
        assert_eq!(count("2M"), Ok(2_000_000));
        assert_eq!(count("1.5k"), Ok(1_500));
        assert_eq!(count("1_000"), Ok(1_000));
        assert_eq!(count("0"), Ok(0));
        assert_eq!(fuel("unlimited"), Ok(Fuel::UNLIMITED));
        for bad in ["", "M", "-1", "1.5", "1e9", "infG", "99999999999999999999", "2X"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_the_same() {
        for n in [0, 1, 1023, 1 << 10, 10 << 20, (1 << 30) + 1, 3 << 40, 1_000_000, 50_000_000_000, 1 << 62] {
            assert_eq!(memory(&show_memory(MemoryBytes::new(n))), Ok(MemoryBytes::new(n)), "{n}");
            assert_eq!(count(&show_count(n)), Ok(n), "{n}");
            assert_eq!(fuel(&show_fuel(Fuel::new(n))), Ok(Fuel::new(n)), "{n}");
        }
        assert_eq!(count(&show_count(u64::MAX)), Ok(u64::MAX));
        for ms in [0, 1, 1500, 90_000, 86_400_000] {
            let time = Some(Duration::from_millis(ms));
            assert_eq!(timeout(&show_timeout(time)), Ok(Timeout(time)), "{ms}");
        }
        assert_eq!(timeout(&show_timeout(None)), Ok(Timeout(None)));
    }
}
