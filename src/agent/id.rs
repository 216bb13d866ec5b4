//! Who is who: [`AgentId`], [`AgentName`], [`Topic`], [`Address`], and [`MaxAgents`]. None of them can hold an
//! illegal value.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::sandbox::Printable;

/// A deployment's id: a UUID, version 7. Never used again, also when the name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentId(Uuid);

impl AgentId {
    /// A new one.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A new one, of a host whose clock shows `time`: before 1970 it may, where nothing keeps it over a power cut.
    fn at(time: SystemTime) -> Self {
        /// Keeps ids of one process in order, though many are made in a millisecond or the clock goes back.
        static ORDER: Mutex<ContextV7> = Mutex::new(ContextV7::new());
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let order = ORDER.lock();
        Self(Uuid::new_v7(Timestamp::from_unix(&*order, since.as_secs(), since.subsec_nanos())))
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AgentId {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Uuid::try_parse(s).map(Self).map_err(|_| NameError::NoId(Printable::new(s)))
    }
}

/// Text that is no name, topic or id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Too long, empty, or with other characters.
    #[error("`{0}` is no name: 1 to {max} of a-z, 0-9, `.`, `_` and `-`, the first a letter or digit", max = MAX_NAME)]
    BadName(Printable),
    /// It would be taken for an id.
    #[error("`{0}` is an id and cannot be a name")]
    LooksLikeId(Printable),
    /// No id.
    #[error("`{0}` is no agent id (a UUID)")]
    NoId(Printable),
}

/// Longest name of an agent or topic, in bytes.
pub const MAX_NAME: usize = 64;

fn check(text: &str) -> Result<(), NameError> {
    let first = text.as_bytes().first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    if first && rest && text.len() <= MAX_NAME { Ok(()) } else { Err(NameError::BadName(Printable::new(text))) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $also:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name written in `text`.
            ///
            /// # Errors
            /// It is none.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                let also: fn(&str) -> Result<(), NameError> = $also;
                also(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(s: String) -> Result<Self, NameError> {
                Self::new(&s)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}

name! {
    /// An agent's name, unique among those that are deployed: 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`, the first
    /// a letter or digit. Text that is a UUID is none.
    AgentName, |text| match Uuid::try_parse(text) {
        Ok(_) => Err(NameError::LooksLikeId(Printable::new(text))),
        Err(_) => Ok(()),
    }
}

name! {
    /// What agents subscribe to. The rule is that of names.
    Topic, |_| Ok(())
}

/// Where a message goes. In text: a UUID, a name, or a topic after `#`.
///
/// ```
/// use cofferdam::agent::{Address, AgentName, Topic};
/// assert_eq!("#prices".parse(), Ok(Address::Topic(Topic::new("prices")?)));
/// assert_eq!("auctioneer".parse(), Ok(Address::Name(AgentName::new("auctioneer")?)));
/// assert!("No Such Name".parse::<Address>().is_err());
/// # Ok::<(), cofferdam::agent::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// One deployment.
    Id(AgentId),
    /// Whoever has this name.
    Name(AgentName),
    /// Everybody who subscribed.
    Topic(Topic),
}

impl FromStr for Address {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        match s.strip_prefix('#') {
            Some(topic) => Ok(Self::Topic(topic.parse()?)),
            None => match s.parse() {
                Ok(id) => Ok(Self::Id(id)),
                Err(_) => Ok(Self::Name(s.parse()?)),
            },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Topic(topic) => write!(f, "#{topic}"),
        }
    }
}

impl From<AgentId> for Address {
    fn from(id: AgentId) -> Self {
        Self::Id(id)
    }
}

impl From<AgentName> for Address {
    fn from(name: AgentName) -> Self {
        Self::Name(name)
    }
}

impl From<Topic> for Address {
    fn from(topic: Topic) -> Self {
        Self::Topic(topic)
    }
}

/// An agent's id and name together.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: AgentName,
}

/// How many agents may be deployed at once. Default 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxAgents(NonZeroUsize);

impl MaxAgents {
    /// `n` agents; `None` for 0.
    #[must_use]
    pub const fn new(n: usize) -> Option<Self> {
        match NonZeroUsize::new(n) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

impl Default for MaxAgents {
    fn default() -> Self {
        const SEED: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not 0");
        Self(SEED)
    }
}

impl fmt::Display for MaxAgents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ids_are_made_in_order_whatever_the_clock_shows() {
        let century = Duration::from_secs(86_400 * 36_525);
        let now = SystemTime::now();
        let times = [now, now - century, now, UNIX_EPOCH, now + century, now - century];
        let ids: Vec<_> = times.into_iter().flat_map(|time| [AgentId::at(time), AgentId::at(time)]).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    }

    #[test]
    fn names_hold_only_what_is_allowed() {
        let long = "a".repeat(MAX_NAME);
        for good in ["a", "0", "a.b_c-d", long.as_str()] {
            assert_eq!(AgentName::new(good).map(String::from), Ok(good.to_owned()));
        }
        let longer = "a".repeat(MAX_NAME + 1);
        for bad in ["", "A", ".a", "-a", "a b", "a#", "ä", "a\n", longer.as_str()] {
            assert!(AgentName::new(bad).is_err() && Topic::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_cannot_be_a_name() {
        let id = AgentId::new();
        assert!(matches!(AgentName::new(&id.to_string()), Err(NameError::LooksLikeId(_))));
        assert_eq!(id.to_string().parse(), Ok(Address::Id(id)));
        assert_eq!(id.uuid().get_version_num(), 7);
    }

    #[test]
    fn addresses_come_back_from_text() {
        for text in ["#t", "name", "0190d3a1-7c5e-7abc-8def-0123456789ab"] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        assert!("#".parse::<Address>().is_err() && "##a".parse::<Address>().is_err());
    }
}
