//! From a file to [`AgentsFile`], and the policies in it with what they extend.

use std::io;
use std::path::{Path, PathBuf};

use super::AgentsFile;
use crate::policy::file::{Format, MAX_FILE_BYTES, PolicyFileError, Problem, Problems, parse, read_text};
use crate::sandbox::Printable;

/// Why a file that declares agents cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentsFileError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", Printable::whole(&path.display().to_string()))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A policy that it names cannot be used.
    #[error("{file}: `{key}`: {error}")]
    Policy {
        /// The file.
        file: String,
        /// Where in it.
        key: String,
        /// Why.
        error: PolicyFileError,
    },
    /// What stands in it is wrong.
    #[error("{0}")]
    Problems(Problems),
}

impl From<Vec<Problem>> for AgentsFileError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(Problems(problems))
    }
}

impl AgentsFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// It cannot be read, or says what it cannot; all of that is said at once.
    pub fn load(path: &Path) -> Result<Self, AgentsFileError> {
        let read = |error| AgentsFileError::Read { path: path.to_owned(), error };
        let text = read_text(path, MAX_FILE_BYTES).map_err(read)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::from_text(&path.display().to_string(), &text, Format::of(path), folder)
    }

    /// The same for text. `file` is named in errors, paths in it are relative to `folder`.
    ///
    /// # Errors
    /// It says what it cannot.
    pub fn from_text(file: &str, text: &str, format: Option<Format>, folder: &Path) -> Result<Self, AgentsFileError> {
        let mut read: Self = parse(file, text, format)?;
        file.clone_into(&mut read.name);
        folder.clone_into(&mut read.folder);
        Ok(read)
    }
}
