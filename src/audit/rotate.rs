//! Rotation by size: `audit.jsonl` becomes `audit.jsonl.1`, that becomes `.2`, and so on; the oldest goes.
//! Gaps that a crash has left in the chain are filled as it moves on.

use std::io;
use std::path::{Path, PathBuf};

/// The name of the `n`th file before `path`.
pub(super) fn numbered(path: &Path, n: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    name.into()
}

/// Moves the chain on by one, so that at most `keep` files stand behind `path`, which is then free.
///
/// # Errors
/// A file could not be moved. Nothing is overwritten then but what was to go anyway.
pub(super) fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    if keep == 0 {
        return gone(std::fs::remove_file(path));
    }
    // Up to the first gap: what stands behind it need not move.
    let there = |n: &usize| numbered(path, *n).symlink_metadata().is_ok();
    let last = (1..keep).take_while(there).last().unwrap_or(0);
    for n in (1..=last).rev() {
        gone(std::fs::rename(numbered(path, n), numbered(path, n + 1)))?;
    }
    gone(std::fs::rename(path, numbered(path, 1)))
}

fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(path: &Path) -> Vec<Option<String>> {
        let read = |path: PathBuf| std::fs::read_to_string(path).ok();
        (0..6).map(|n| read(if n == 0 { path.to_owned() } else { numbered(path, n) })).collect()
    }

    fn text(n: &str) -> Option<String> {
        Some(n.to_owned())
    }

    #[test]
    fn the_chain_moves_on_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("log");
        for n in ["a", "b", "c", "d", "e"] {
            std::fs::write(&path, n).expect("there is room");
            rotate(&path, 3).expect("it can be moved");
        }
        assert_eq!(chain(&path), [None, text("e"), text("d"), text("c"), None, None]);
        std::fs::write(&path, "f").expect("there is room");
        rotate(&path, 0).expect("it can be removed");
        assert_eq!(chain(&path)[0], None);
    }

    #[test]
    fn what_a_crash_left_is_filled_in_and_nothing_is_lost_for_it() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = dir.path().join("log");
        // In the middle of a rotation: `.1` was moved to `.2` already.
        std::fs::write(&path, "new").expect("there is room");
        std::fs::write(numbered(&path, 2), "old").expect("there is room");
        std::fs::write(numbered(&path, 3), "oldest").expect("there is room");
        rotate(&path, 3).expect("it can be moved");
        assert_eq!(chain(&path), [None, text("new"), text("old"), text("oldest"), None, None]);
        // Nothing to rotate is no failure.
        rotate(&path, 3).expect("there is nothing to do");
        assert_eq!(chain(&path), [None, None, text("new"), text("old"), None, None]);
    }
}
