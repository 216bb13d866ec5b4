//! Values as people write them: `10MiB`, `500ms`, `2M`, `64:ro`. Each parser is what clap calls.

use std::path::PathBuf;
use std::time::Duration;

use cofferdam::host::wasi::{Access, MemoryDir, Preopen, Source};
use cofferdam::policy::{Fuel, MemoryBytes};
use cofferdam::{ValType, Value};

/// `10MiB`, `64 kB`, `1.5G` (binary), or plain bytes.
pub fn memory(s: &str) -> Result<MemoryBytes, String> {
    let size: bytesize::ByteSize =
        s.trim().parse().map_err(|_| format!("`{s}` is no size; write for instance 10MiB, 512KiB or 65536 (bytes)"))?;
    Ok(MemoryBytes::new(size.as_u64()))
}

/// `500ms`, `1m 30s`, plain seconds, or `none`.
pub fn timeout(s: &str) -> Result<Timeout, String> {
    let s = s.trim();
    if s == "none" {
        return Ok(Timeout(None));
    }
    let plain = s.parse::<f64>().ok().filter(|v| *v >= 0.0).and_then(|v| Duration::try_from_secs_f64(v).ok());
    plain
        .or_else(|| humantime::parse_duration(s).ok())
        .map(|d| Timeout(Some(d)))
        .ok_or_else(|| format!("`{s}` is no duration; write for instance 500ms, 30s, 2m, 5 (seconds) or none"))
}

/// A deadline, or the decision to have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

/// A count with `k`, `M`, `G` or `T` for thousands and so on, `_` between digits, or `unlimited`.
pub fn count(s: &str) -> Result<u64, String> {
    let bad = || format!("`{s}` is no count; write for instance 2M, 500k, 1_000_000 or unlimited");
    let s = s.trim();
    if s == "unlimited" {
        return Ok(u64::MAX);
    }
    let (digits, factor) = match s.char_indices().next_back() {
        Some((i, 'k' | 'K')) => (&s[..i], 1e3),
        Some((i, 'm' | 'M')) => (&s[..i], 1e6),
        Some((i, 'g' | 'G' | 'b' | 'B')) => (&s[..i], 1e9),
        Some((i, 't' | 'T')) => (&s[..i], 1e12),
        _ => (s, 1.0),
    };
    let digits = digits.trim().replace('_', "");
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor as u64).ok_or_else(bad);
    }
    let starts_right = digits.starts_with(|c: char| c.is_ascii_digit());
    let value = digits.parse::<f64>().ok().filter(|_| starts_right && factor > 1.0).ok_or_else(bad)? * factor;
    if value.is_finite() && value < 9.0e18 { Ok(value as u64) } else { Err(bad()) }
}

/// A count of fuel.
pub fn fuel(s: &str) -> Result<Fuel, String> {
    count(s).map(Fuel::new)
}

/// `NAME=COUNT`.
pub fn module_limit(s: &str) -> Result<(String, u64), String> {
    let (name, cap) = s.split_once('=').ok_or("write NAME=COUNT, for instance nesting=10k")?;
    Ok((name.to_owned(), count(cap)?))
}

/// Stack units: plain, or with the suffixes of sizes (`512KiB` is 524,288 units).
pub fn stack(s: &str) -> Result<u32, String> {
    u32::try_from(memory(s)?.get())
        .ok()
        .filter(|units| *units <= MAX_STACK_UNITS)
        .ok_or_else(|| format!("`{s}` is too large a stack; at most {} MiB", MAX_STACK_UNITS >> 20))
}

/// Native stacks take four times as many bytes, for every guest that runs.
const MAX_STACK_UNITS: u32 = 256 << 20;

/// `HOST[:GUEST][:ro|:rw|:overlay]`. Without GUEST the guest sees the name as given; without `:ro` it may
/// write, with `:overlay` into memory only.
pub fn preopen(s: &str) -> Result<Preopen, String> {
    let source: fn(PathBuf) -> Source = if s.ends_with(":overlay") { Source::Overlay } else { Source::Host };
    let (rest, access) = match s.rsplit_once(':') {
        Some((rest, "ro")) => (rest, Access::ReadOnly),
        Some((rest, "rw" | "overlay")) => (rest, Access::ReadWrite),
        _ => (s, Access::ReadWrite),
    };
    let (host, guest) = match rest.split_once(':') {
        Some((host, "")) => (host, host),
        Some((host, guest)) => (host, guest),
        None => (rest, rest),
    };
    if host.is_empty() {
        return Err("write HOST[:GUEST][:ro|:overlay], for instance --dir data:/data:ro".into());
    }
    Ok(Preopen { source: source(host.into()), guest: guest.to_owned(), access })
}

/// `GUEST`: a name for a file system in memory.
pub fn tmpfs(s: &str) -> Result<Preopen, String> {
    if s.is_empty() {
        return Err("write the guest's name for it, for instance --tmpfs /tmp".into());
    }
    Ok(Preopen::memory(MemoryDir::new(), s))
}

/// `NAME=VALUE`, or `NAME` for the value that this process has.
pub fn variable(s: &str) -> Result<(String, String), String> {
    match s.split_once('=') {
        Some(("", _)) => Err("a variable needs a name: NAME=VALUE, or NAME to pass on your own".into()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match std::env::var(s) {
            Ok(value) => Ok((s.to_owned(), value)),
            Err(_) => Err(format!("`{s}` is not set here; write {s}=VALUE")),
        },
    }
}

/// An argument of an export, by the type of its parameter. Integers may be signed or unsigned, decimal or `0x`.
pub fn argument(s: &str, ty: ValType) -> Result<Value, String> {
    let bad = || format!("`{s}` is no {ty}");
    match ty {
        ValType::I32 => {
            let n = integer(s).ok_or_else(bad)?;
            i32::try_from(n).or_else(|_| u32::try_from(n).map(u32::cast_signed)).map(Value::I32).map_err(|_| bad())
        }
        ValType::I64 => {
            let n = integer(s).ok_or_else(bad)?;
            i64::try_from(n).or_else(|_| u64::try_from(n).map(u64::cast_signed)).map(Value::I64).map_err(|_| bad())
        }
        ValType::F32 => s.parse::<f32>().ok().map(Value::from).filter(|v| finite(s, v)).ok_or_else(bad),
        ValType::F64 => s.parse::<f64>().ok().map(Value::from).filter(|v| finite(s, v)).ok_or_else(bad),
        ValType::V128 => {
            let digits = s.strip_prefix("0x").ok_or_else(bad)?;
            u128::from_str_radix(digits, 16).map(Value::V128).map_err(|_| bad())
        }
        ValType::FuncRef if s == "null" => Ok(Value::FuncRef(None)),
        ValType::ExternRef if s == "null" => Ok(Value::ExternRef(None)),
        ValType::ExternRef => s.parse().map(|n| Value::ExternRef(Some(n))).map_err(|_| bad()),
        ValType::FuncRef => Err(format!("`{s}` is no {ty}; only null can be given")),
    }
}

/// Whether a number that was written with digits is still one: too large a number is refused, not infinite.
fn finite(s: &str, value: &Value) -> bool {
    let infinite = match value {
        Value::F32(bits) => f32::from_bits(*bits).is_infinite(),
        Value::F64(bits) => f64::from_bits(*bits).is_infinite(),
        _ => false,
    };
    !(infinite && s.contains(|c: char| c.is_ascii_digit()))
}

fn integer(s: &str) -> Option<i128> {
    let s = s.replace('_', "");
    let (negative, digits) = s.strip_prefix('-').map_or((false, s.as_str()), |rest| (true, rest));
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.starts_with('+') => return None,
        None => digits.parse::<u64>().ok()?,
    };
    let n = i128::from(magnitude);
    Some(if negative { -n } else { n })
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
    fn directories_take_a_guest_name_and_read_only() {
        let parts = |s| preopen(s).map(|p| (p.source.to_string(), p.guest, p.access));
        assert_eq!(parts("."), Ok((".".into(), ".".into(), Access::ReadWrite)));
        assert_eq!(parts("a:/b"), Ok(("a".into(), "/b".into(), Access::ReadWrite)));
        assert_eq!(parts("a:/b:ro"), Ok(("a".into(), "/b".into(), Access::ReadOnly)));
        assert_eq!(parts("a:ro"), Ok(("a".into(), "a".into(), Access::ReadOnly)));
        assert_eq!(parts("a:/b:overlay"), Ok(("a".into(), "/b".into(), Access::ReadWrite)));
        assert!(preopen(":/b").is_err() && preopen("").is_err() && preopen(":overlay").is_err());
        assert_eq!(preopen("a:/b:overlay"), Ok(Preopen::overlay("a", "/b")));
        assert_eq!(preopen("a:overlay"), Ok(Preopen::overlay("a", "a")));
        assert_eq!(preopen("a:/b"), Ok(Preopen::read_write("a", "/b")));
        assert_eq!(tmpfs("/tmp"), Ok(Preopen::memory(MemoryDir::new(), "/tmp")));
        assert!(tmpfs("").is_err());
    }

    #[test]
    fn arguments_follow_the_parameter_type() {
        assert_eq!(argument("-1", ValType::I32), Ok(Value::I32(-1)));
        assert_eq!(argument("4294967295", ValType::I32), Ok(Value::I32(-1)));
        assert_eq!(argument("0xff", ValType::I64), Ok(Value::I64(255)));
        assert_eq!(argument("18446744073709551615", ValType::I64), Ok(Value::I64(-1)));
        assert_eq!(argument("2.5", ValType::F64), Ok(Value::from(2.5f64)));
        assert!(argument("4294967296", ValType::I32).is_err());
        assert!(argument("2.5", ValType::I32).is_err());
        assert!(argument("1e40", ValType::F32).is_err() && argument("1e309", ValType::F64).is_err());
        assert_eq!(argument("-inf", ValType::F64), Ok(Value::from(f64::NEG_INFINITY)));
        assert!(argument("--1", ValType::I32).is_err());
    }
}
