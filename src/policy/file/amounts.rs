//! Values in files: amounts as numbers or as text with a unit, and words from a list. They are read by the
//! same code as the command line's, and each knows its own JSON Schema.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use cofferdam_engine::{FuelMode, Proposal};
use cofferdam_prepare::ModuleLimits;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::policy::units::{self, Timeout};
use crate::policy::{Fuel, MemoryBytes};

/// An amount: `$whole` takes a plain number, `$parse` text, `$show` turns it back into text.
macro_rules! amount {
    ($(#[$doc:meta])* $name:ident($inner:ty), $number:literal, $expected:literal, $examples:tt, $whole:expr, $parse:expr, $show:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let text = $show(self.0);
                // TOML has no integers above this.
                match text.parse::<i64>() {
                    Ok(n) => s.serialize_i64(n),
                    Err(_) => s.serialize_str(&text),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Read;
                impl Visitor<'_> for Read {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_u64<E: de::Error>(self, n: u64) -> Result<$name, E> {
                        $whole(n).map($name).map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, n: i64) -> Result<$name, E> {
                        match u64::try_from(n) {
                            Ok(n) => self.visit_u64(n),
                            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(n), &self)),
                        }
                    }
                    fn visit_f64<E: de::Error>(self, n: f64) -> Result<$name, E> {
                        let text = n.to_string();
                        $parse(text.as_str()).map($name).map_err(|_| E::invalid_value(de::Unexpected::Float(n), &self))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $parse(text).map($name).map_err(E::custom)
                    }
                }
                d.deserialize_any(Read)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": [$number, "string"], "minimum": 0, "description": $expected, "examples": $examples })
            }
        }
    };
}

amount! {
    /// A size of memory.
    Size(MemoryBytes), "integer", "a size such as \"10MiB\", or a number of bytes", ["10MiB", 65536],
    |n| Ok::<_, String>(MemoryBytes::new(n)), units::memory, units::show_memory
}
amount! {
    /// A count of things.
    Count(u64), "integer", "a count such as \"2M\", \"unlimited\", or a number", ["100k", 1000, "unlimited"],
    Ok::<u64, String>, units::count, units::show_count
}
amount! {
    /// A count that fits 32 bits.
    SmallCount(u32), "integer", "a count such as \"1k\", or a number", [64, "1k"],
    |n| Ok::<_, String>(small(n)), |text: &str| units::count(text).map(small), |n: u32| units::show_count(n.into())
}
amount! {
    /// An amount of fuel.
    FuelAmount(Fuel), "integer", "fuel such as \"2M\", \"unlimited\", or a number", ["2M", 1000000, "unlimited"],
    |n| Ok::<_, String>(Fuel::new(n)), units::fuel, units::show_fuel
}
amount! {
    /// A wall-clock time, or the decision to have none.
    Time(Option<Duration>), "number", "a time such as \"500ms\", \"none\", or a number of seconds", ["500ms", 30, "none"],
    |n| Ok::<_, String>(Some(Duration::from_secs(n))), |text: &str| units::timeout(text).map(|Timeout(time)| time),
    units::show_timeout
}
amount! {
    /// Stack units, about a byte each.
    StackUnits(u32), "integer", "stack units such as \"512KiB\", or a number of them", ["512KiB", 524288],
    |n: u64| units::stack_units(n).ok_or_else(|| units::UnitError::Stack(n.to_string())), units::stack,
    |n: u32| units::show_memory(MemoryBytes::new(n.into()))
}

/// No guest can have four billion of anything: more is as good as that.
fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A word out of a list. `$all` yields every name.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident($inner:ty), $what:literal, $all:expr, $parse:expr, $show:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str($show(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(d)?;
                $parse(&text).map($name).ok_or_else(|| {
                    let names: Vec<_> = $all.map(|name| format!("`{name}`")).collect();
                    de::Error::custom(format!("unknown {} `{text}`, expected one of {}", $what, names.join(", ")))
                })
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let names: Vec<&str> = $all.collect();
                json_schema!({ "type": "string", "enum": names })
            }
        }
    };
}

word! {
    /// A WebAssembly proposal by its name.
    ProposalName(Proposal), "proposal", Proposal::ALL.iter().map(|p| p.name()),
    |text: &str| text.parse::<Proposal>().ok(), |p: Proposal| p.name()
}
word! {
    /// Who counts fuel.
    FuelModeName(FuelMode), "fuel mode", [FuelMode::Portable, FuelMode::Native].iter().map(|m| m.name()),
    |text: &str| text.parse::<FuelMode>().ok(), |m: FuelMode| m.name()
}
word! {
    /// The name of a module limit.
    LimitName(&'static str), "field", ModuleLimits::ALL.iter().map(|(name, _)| *name),
    |text: &str| ModuleLimits::ALL.iter().map(|(name, _)| *name).find(|name| *name == text), |name: &'static str| name
}
