//! What can be wrong with a policy file. Every message names the file, the place, what was found there, and
//! what may stand there instead.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::sandbox::Printable;

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or where else the policy came from.
    pub file: String,
    /// Path of the key, such as `limits.memory`; empty for the file as a whole.
    pub key: String,
    /// What was found and what is allowed.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(file: &str, key: impl fmt::Display, message: &str) -> Self {
        Self {
            file: file.to_owned(),
            key: Printable::new(&key.to_string()).to_string(),
            message: Printable::whole(message).to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.file, self.message),
            key => write!(f, "{}: `{key}`: {}", self.file, self.message),
        }
    }
}

/// Everything that is wrong in a file, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("cannot read policy file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file that another one extends cannot be read.
    #[error("{} extends {}, which cannot be read: {error}", by.display(), path.display())]
    Base {
        /// The file that is missing.
        path: PathBuf,
        /// The file that names it.
        by: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Files extend each other in a circle.
    #[error("policy files extend each other in a circle: {}", chain(.0))]
    Cycle(Vec<PathBuf>),
    /// Too many files extend one another.
    #[error("policy files extend one another more than {most} deep: {}", chain(files))]
    TooDeep {
        /// The files, the first one first.
        files: Vec<PathBuf>,
        /// How deep they may.
        most: usize,
    },
    /// What stands in it is wrong.
    #[error("{0}")]
    Problems(Problems),
}

fn chain(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" → ")
}

impl From<Vec<Problem>> for PolicyFileError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(Problems(problems))
    }
}
