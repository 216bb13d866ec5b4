//! Places that a [`Plan`] names, as they are on this machine now.

use std::path::Path;

use super::plan::Plan;
use super::read::AgentsFileError;
use crate::host::wasi::Source;
use crate::policy::file::Problem;

impl Plan {
    /// Looks at the directories that will be needed.
    ///
    /// # Errors
    /// One is not there, or is none.
    pub fn look_at_places(&self) -> Result<(), AgentsFileError> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, path: &Path, what: &str| {
            problems.push(Problem::new(&self.file, key, &format!("{} {what}", path.display())));
        };
        if let Some(state) = self.state.as_ref().filter(|state| state.exists() && !state.is_dir()) {
            wrong("state", state, "is no directory");
        }
        if let Some(audit) = &self.audit {
            let parent = audit.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !parent.is_dir() {
                wrong("audit", parent, "is no directory that is there");
            } else if audit.is_dir() {
                wrong("audit", audit, "is a directory, and a file is wanted");
            }
        }
        for tool in &self.tools {
            for dir in &tool.dirs {
                if let Source::Host(path) | Source::Overlay(path) = &dir.source
                    && !path.is_dir()
                {
                    wrong(&format!("tools.{}.policy.wasi.dirs", tool.name), path, "is no directory that is there");
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }
}
