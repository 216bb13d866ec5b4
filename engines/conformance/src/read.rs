//! Reads row files: modules as WebAssembly text between lines that begin with `;;!` and say what is done with
//! them. `rows/README.md` describes the lines.

use cofferdam_engine::{FeatureSet, Limit, Proposal, StoreLimits, TrapKind};

use crate::clause::Clause;
use crate::row::{
    AccessEnd, Body, Call, CallEnd, Cap, Frame, HostMade, MadeEnd, Row, Script, Step, Target, UsageField,
};

/// Fuel of a call whose row names none.
pub const PLENTY: u64 = 1 << 50;

type Read<T> = Result<T, String>;

/// The rows of a file. One that cannot be read becomes a row that fails.
pub fn rows(file: &str, text: &str) -> Vec<Row> {
    let mut rows: Vec<Reading> = Vec::new();
    let mut lost = None;
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix(";;! row ") {
            rows.push(Reading::new(name.trim()));
        } else if let Some(row) = rows.last_mut() {
            row.line(at + 1, trimmed);
        } else if trimmed.starts_with(";;!") {
            lost = Some(at + 1);
        }
    }
    let mut rows: Vec<Row> = rows.into_iter().map(Reading::finish).collect();
    if let Some(line) = lost {
        let body = Body::Unreadable(format!("{file}:{line}: a line before the first row"));
        rows.push(Row { name: file.to_owned(), clause: Clause::Border, portable_only: false, body });
    }
    rows
}

struct Reading {
    name: String,
    clause: Option<Clause>,
    portable_only: bool,
    script: Script,
    module: Option<usize>,
    trouble: Option<String>,
}

impl Reading {
    fn new(name: &str) -> Self {
        let all: FeatureSet = Proposal::ALL.iter().copied().collect();
        let script = Script {
            modules: Vec::new(),
            features: all,
            canonical_nans: false,
            limits: StoreLimits::default(),
            caps: Vec::new(),
            steps: Vec::new(),
        };
        Self { name: name.to_owned(), clause: None, portable_only: false, script, module: None, trouble: None }
    }

    fn finish(mut self) -> Row {
        let clause = self.clause.unwrap_or_else(|| {
            self.trouble.get_or_insert_with(|| "no clause is named".to_owned());
            Clause::Border
        });
        if self.script.steps.is_empty() {
            self.trouble.get_or_insert_with(|| "nothing is done".to_owned());
        }
        let body = match self.trouble {
            None => Body::Script(Box::new(self.script)),
            Some(trouble) => Body::Unreadable(trouble),
        };
        Row { name: self.name, clause, portable_only: self.portable_only, body }
    }

    fn line(&mut self, at: usize, line: &str) {
        let Some(directive) = line.strip_prefix(";;!") else {
            if line.is_empty() || (line.starts_with(";;") && self.module.is_none()) {
                return;
            }
            let index = *self.module.get_or_insert_with(|| {
                self.script.modules.push(("main".to_owned(), String::new()));
                self.script.modules.len() - 1
            });
            if let Some((_, text)) = self.script.modules.get_mut(index) {
                text.push_str(line);
                text.push('\n');
            }
            return;
        };
        if let Err(trouble) = self.directive(at, directive.trim()) {
            self.trouble.get_or_insert_with(|| format!("line {at}: {trouble}: `{directive}`"));
        }
    }

    fn directive(&mut self, at: usize, line: &str) -> Read<()> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "clause" => self.clause = Some(Clause::by_id(rest).ok_or("no such clause")?),
            "allow" => self.script.features = features(rest)?,
            "portable" => self.portable_only = true,
            "nans" => self.script.canonical_nans = true,
            "cap" => self.cap(rest)?,
            "module" => {
                self.script.modules.push((rest.to_owned(), String::new()));
                self.module = Some(self.script.modules.len() - 1);
            }
            _ => self.script.steps.push((at, step(word, rest)?)),
        }
        Ok(())
    }

    fn cap(&mut self, rest: &str) -> Read<()> {
        let (what, much) = rest.split_once(' ').ok_or("a cap has a number")?;
        let much = number(much)?;
        let limits = &mut self.script.limits;
        match what {
            "pages" => {
                limits.memory_bytes = much << 16;
                self.script.caps.push(Cap::Memory);
            }
            "tables" => {
                limits.table_elements = much;
                self.script.caps.push(Cap::Tables);
            }
            "stack" => limits.stack_units = u32::try_from(much).map_err(|e| e.to_string())?,
            "instances" => limits.instances = u32::try_from(much).map_err(|e| e.to_string())?,
            "host-calls" => limits.host_calls = much,
            _ => return Err("no such cap".to_owned()),
        }
        Ok(())
    }
}

fn features(words: &str) -> Read<FeatureSet> {
    let mut set = FeatureSet::NONE;
    for word in words.split_whitespace() {
        set = match word {
            "mvp" => FeatureSet::MVP,
            "strict" => FeatureSet::STRICT,
            "standard" => FeatureSet::STANDARD,
            "relaxed" => FeatureSet::RELAXED,
            other => set.with(other.parse::<Proposal>().map_err(|e| e.to_string())?),
        };
    }
    Ok(set)
}

/// A whole number, decimal or with `0x`; `P` after it means pages.
pub(crate) fn number(word: &str) -> Read<u64> {
    let word = word.trim();
    let (digits, unit) = word.strip_suffix('P').map_or((word, 1), |pages| (pages, 1 << 16));
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    number.ok().and_then(|n| n.checked_mul(unit)).ok_or_else(|| format!("`{word}` is no number"))
}

fn target(word: &str) -> Target {
    let (instance, name) = word.split_once('.').unwrap_or(("main", word));
    Target { instance: instance.to_owned(), name: name.to_owned() }
}

fn step(word: &str, rest: &str) -> Read<Step> {
    let mut parts = rest.split('|').map(str::trim);
    let first = parts.next().unwrap_or("");
    let (what, end) = match first.split_once("=>") {
        Some((what, end)) => (what.trim(), Some(end.trim())),
        None => (first, None),
    };
    let words: Vec<&str> = what.split_whitespace().collect();
    let word_at = |i: usize| words.get(i).copied().ok_or_else(|| "too few words".to_owned());
    let needed = || end.ok_or_else(|| "no `=>`".to_owned());
    Ok(match word {
        "instantiate" => Step::Instantiate { module: word_at(0)?.to_owned(), end: made_end(end.unwrap_or("made"))? },
        "call" | "start" | "exhaust" => {
            let at = word_at(0);
            let (instance, function) = match word {
                "start" => (at.unwrap_or("main").to_owned(), None),
                _ => {
                    let target = target(at?);
                    (target.instance, Some(target.name))
                }
            };
            let args = words.iter().skip(1).map(|w| (*w).to_owned()).collect();
            let mut call = Call {
                function,
                instance,
                args,
                budget: PLENTY,
                timeout_ms: None,
                end: call_end(needed()?)?,
                fuel: None,
                frames: None,
            };
            for part in parts {
                option(&mut call, part)?;
            }
            match (word, call.fuel) {
                ("exhaust", Some(fuel)) => Step::Exhaust { call, fuel },
                ("exhaust", None) => return Err("no fuel is named".to_owned()),
                _ => Step::Call(call),
            }
        }
        "usage" => {
            let fields = words.chunks(2).map(|pair| match pair {
                [field, much] => Ok((usage_field(field)?, number(much)?)),
                _ => Err("a field without a number".to_owned()),
            });
            Step::Usage(fields.collect::<Read<_>>()?)
        }
        "global" => Step::Global { target: target(word_at(0)?), value: needed()?.to_owned() },
        "set-global" => {
            Step::SetGlobal { target: target(word_at(0)?), value: word_at(1)?.to_owned(), end: access_end(needed()?)? }
        }
        "memory" => Step::Memory { target: target(word_at(0)?), at: number(word_at(1)?)?, bytes: bytes(needed()?)? },
        "memory-size" => Step::MemorySize { target: target(word_at(0)?), bytes: number(needed()?)? },
        "write" => Step::WriteMemory {
            target: target(word_at(0)?),
            at: number(word_at(1)?)?,
            bytes: bytes(word_at(2)?)?,
            end: access_end(needed()?)?,
        },
        "grow" => {
            let end = needed()?;
            let end = number(end).map_or_else(|_| Err(access_end(end)), Ok);
            let end = match end {
                Ok(pages) => Ok(pages),
                Err(end) => Err(end?),
            };
            Step::GrowMemory { target: target(word_at(0)?), pages: number(word_at(1)?)?, end }
        }
        "table-size" => Step::TableSize { target: target(word_at(0)?), elements: number(needed()?)? },
        "table" => {
            let end = needed()?;
            let value = access_end(end).map_or_else(|_| Ok(end.to_owned()), Err);
            Step::TableAt { target: target(word_at(0)?), index: number(word_at(1)?)?, value }
        }
        "no-export" => Step::NoExport(target(word_at(0)?)),
        "host" => Step::Host {
            what: host_made(&words)?,
            name: word_at(1)?.to_owned(),
            end: access_end(end.unwrap_or("fine"))?,
        },
        "trace" => {
            let told = needed()?.split_whitespace().map(str::parse::<i32>);
            Step::Trace(told.collect::<Result<_, _>>().map_err(|e| e.to_string())?)
        }
        "gate" => Step::Gate { module: word_at(0)?.to_owned(), reason: needed()?.to_owned() },
        _ => return Err("no such step".to_owned()),
    })
}

fn option(call: &mut Call, part: &str) -> Read<()> {
    let (word, rest) = part.split_once(' ').unwrap_or((part, ""));
    match word {
        "fuel" => call.fuel = Some(number(rest)?),
        "budget" => call.budget = number(rest)?,
        "timeout" => call.timeout_ms = Some(number(rest)?),
        "frames" => call.frames = Some(rest.split_whitespace().map(frame).collect::<Read<_>>()?),
        _ => return Err("no such option".to_owned()),
    }
    Ok(())
}

/// `3:name@0x2f`, where name and offset may be left out.
fn frame(word: &str) -> Read<Frame> {
    let (word, offset) = match word.split_once('@') {
        Some((word, offset)) => (word, Some(number(offset)?)),
        None => (word, None),
    };
    let (function, name) = match word.split_once(':') {
        Some((function, name)) => (function, Some(name.to_owned())),
        None => (word, None),
    };
    let narrow = |n: u64| u32::try_from(n).map_err(|e| e.to_string());
    Ok(Frame { function: narrow(number(function)?)?, name, offset: offset.map(narrow).transpose()? })
}

const TRAPS: [TrapKind; 13] = [
    TrapKind::Unreachable,
    TrapKind::MemoryOutOfBounds,
    TrapKind::TableOutOfBounds,
    TrapKind::IndirectCallToNull,
    TrapKind::BadSignature,
    TrapKind::IntegerOverflow,
    TrapKind::IntegerDivisionByZero,
    TrapKind::InvalidConversionToInteger,
    TrapKind::NullReference,
    TrapKind::UnalignedAtomic,
    TrapKind::UncaughtException,
    TrapKind::CastFailure,
    TrapKind::ArrayOutOfBounds,
];

const LIMITS: [Limit; 10] = [
    Limit::Fuel,
    Limit::Deadline,
    Limit::Cancelled,
    Limit::Stack,
    Limit::Memory,
    Limit::TableElements,
    Limit::Instances,
    Limit::Output,
    Limit::Message,
    Limit::HostCalls,
];

fn trap(word: &str) -> Read<TrapKind> {
    TRAPS.into_iter().find(|t| t.reason() == word).ok_or_else(|| "no such trap".to_owned())
}

fn call_end(text: &str) -> Read<CallEnd> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "trap" => CallEnd::Trap(trap(rest)?),
        "limit" => {
            let limit = LIMITS.into_iter().find(|l| l.reason() == rest);
            CallEnd::Limit(limit.ok_or("no such limit")?)
        }
        "exit" => CallEnd::Exit(rest.parse::<u32>().map_err(|e| e.to_string())?),
        "host-fault" => CallEnd::Host,
        "bad-arguments" => CallEnd::BadArguments,
        "()" => CallEnd::Completed(Vec::new()),
        _ => CallEnd::Completed(text.split_whitespace().map(str::to_owned).collect()),
    })
}

fn made_end(text: &str) -> Read<MadeEnd> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["made"] => MadeEnd::Made,
        ["memory", need, cap] => MadeEnd::Memory(number(need)?, number(cap)?),
        ["tables", need, cap] => MadeEnd::TableElements(number(need)?, number(cap)?),
        ["instances", cap] => MadeEnd::Instances(cap.parse::<u32>().map_err(|e| e.to_string())?),
        ["missing", module, name] => MadeEnd::MissingImport((*module).to_owned(), (*name).to_owned()),
        ["mistyped", module, name] => MadeEnd::ImportType((*module).to_owned(), (*name).to_owned()),
        ["trap", kind] => MadeEnd::Trap(trap(kind)?),
        _ => return Err("no such end of instantiation".to_owned()),
    })
}

fn access_end(word: &str) -> Read<AccessEnd> {
    Ok(match word {
        "fine" => AccessEnd::Fine,
        "out-of-bounds" => AccessEnd::OutOfBounds,
        "wrong-type" => AccessEnd::WrongType,
        "immutable" => AccessEnd::Immutable,
        "refused" => AccessEnd::Refused,
        _ => return Err("no such end of an access".to_owned()),
    })
}

fn usage_field(word: &str) -> Read<UsageField> {
    Ok(match word {
        "memory" => UsageField::Memory,
        "peak" => UsageField::Peak,
        "tables" => UsageField::Tables,
        "instances" => UsageField::Instances,
        "refused" => UsageField::Refused,
        "host-calls" => UsageField::HostCalls,
        _ => return Err("no such field of usage".to_owned()),
    })
}

fn host_made(words: &[&str]) -> Read<HostMade> {
    let most = |words: &[&str]| words.first().map(|w| number(w)).transpose();
    Ok(match words {
        ["memory", _, least, rest @ ..] => HostMade::Memory(number(least)?, most(rest)?),
        ["table", _, least, rest @ ..] => HostMade::Table(number(least)?, most(rest)?),
        ["global", _, value] => HostMade::Global(value.parse::<i64>().map_err(|e| e.to_string())?),
        _ => return Err("no such thing to make".to_owned()),
    })
}

/// Bytes as hexadecimal digits, two a byte.
fn bytes(text: &str) -> Read<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| *c != '_').collect();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
    pairs.collect::<Result<_, _>>().map_err(|e| e.to_string())
}
