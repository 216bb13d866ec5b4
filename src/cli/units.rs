//! Values as people write them on the command line only: `data:/data:ro`, `NAME=VALUE`, an export's
//! arguments. Each parser is what clap calls. Amounts are read by the library's `policy::units`.

use std::path::PathBuf;

use cofferdam::host::agent::{self, Capability};
use cofferdam::host::wasi::{self, Access, MemoryDir, Preopen, Source};
use cofferdam::policy::units::count;
use cofferdam::{ValType, Value};

/// A count of things that one guest cannot have four billion of: more is as good as that.
pub fn small_count(s: &str) -> Result<u32, String> {
    count(s).map(|n| u32::try_from(n).unwrap_or(u32::MAX)).map_err(|e| e.to_string())
}

/// `NAME=COUNT`.
pub fn module_limit(s: &str) -> Result<(String, u64), String> {
    let (name, cap) = s.split_once('=').ok_or("write NAME=COUNT, for instance nesting=10k")?;
    Ok((name.to_owned(), count(cap).map_err(|e| e.to_string())?))
}

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

/// What `--grant` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// All that the host has under this import module.
    Module(String),
    /// One name of a module.
    Import(String, String),
    /// What agents may do.
    Capability(Capability),
}

/// `MODULE` or `MODULE#NAME`. `wasi` stands for WASI preview 1. `cofferdam_v1.NAME` is a function that agents may
/// call, or a capability: all functions that belong to it.
pub fn grant(s: &str) -> Result<Grant, String> {
    if let Some(name) = s.strip_prefix(agent::MODULE).and_then(|rest| rest.strip_prefix(['.', '#'])) {
        return match name.parse() {
            Ok(capability) => Ok(Grant::Capability(capability)),
            Err(_) if Capability::of(name).is_some() => Ok(Grant::Import(agent::MODULE.to_owned(), name.to_owned())),
            Err(error) => Err(format!("`{name}` is no function that agents may call, and {error}")),
        };
    }
    let named = |module: &str| if module == "wasi" { wasi::MODULE.to_owned() } else { module.to_owned() };
    Ok(match s.split_once('#') {
        Some((module, name)) => Grant::Import(named(module), name.to_owned()),
        None => Grant::Module(named(s)),
    })
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
