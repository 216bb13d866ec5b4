//! [`Descriptors`]: which numbers wasmer-wasix holds open for a guest, for their cap.
//!
//! It holds more than the guest believes. A descriptor of a directory that was given is never closed, nor is any
//! other that leads to that directory, although `fd_close` says so; so those that the guest closed are given to it
//! again when it opens the same once more, as every program does that lists a directory twice.

use std::collections::{BTreeMap, BTreeSet};

/// A `path_open` of a given directory itself: which one, flags, flags, rights, rights and flags.
pub(crate) type Opening = [i64; 6];

/// The books of one guest.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// The numbers below are those that the program starts with: streams, the root, directories.
    given: u32,
    open: BTreeSet<u32>,
    /// How those were opened that lead to a given directory itself.
    openings: BTreeMap<u32, Opening>,
    /// Those of them that the guest closed.
    kept: BTreeMap<Opening, Vec<u32>>,
}

impl Descriptors {
    pub fn new(given: u32) -> Self {
        Self { given, open: (0..given).collect(), openings: BTreeMap::new(), kept: BTreeMap::new() }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// What `params` of `path_open` say, if `path` is a given directory itself.
    pub fn opening(&self, params: [i64; 6], path: &[u8]) -> Option<Opening> {
        let [dir, ..] = params;
        (path == b"." && (3..i64::from(self.given)).contains(&dir)).then_some(params)
    }

    /// One that was opened in the same way and closed by the guest.
    pub fn kept(&self, opening: &Opening) -> Option<u32> {
        self.kept.get(opening)?.last().copied()
    }

    /// It is the guest's again.
    pub fn take(&mut self, opening: &Opening) {
        if let Some(kept) = self.kept.get_mut(opening) {
            kept.pop();
        }
    }

    pub fn opened(&mut self, fd: u32, opening: Option<Opening>) {
        self.open.insert(fd);
        self.openings.remove(&fd);
        self.openings.extend(opening.map(|opening| (fd, opening)));
    }

    /// The guest closed `fd`; `still_open` says whether wasmer-wasix did.
    pub fn closed(&mut self, fd: u32, still_open: bool) {
        if !still_open {
            self.open.remove(&fd);
            self.openings.remove(&fd);
        } else if let Some(opening) = self.openings.get(&fd) {
            let kept = self.kept.entry(*opening).or_default();
            if !kept.contains(&fd) {
                kept.push(fd);
            }
        }
    }

    /// Rights or flags of `fd` are others now: neither it nor what was opened by it is as it was opened.
    pub fn changed(&mut self, fd: u32) {
        self.openings.remove(&fd);
        self.openings.retain(|_, [dir, ..]| *dir != i64::from(fd));
        self.kept.retain(|[dir, ..], _| *dir != i64::from(fd));
        for kept in self.kept.values_mut() {
            kept.retain(|other| *other != fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Opening = [4, 0, 2, 8, 8, 0];

    #[test]
    fn what_is_kept_is_counted_and_given_again() {
        let mut books = Descriptors::new(5);
        assert_eq!((books.opening(HERE, b"."), books.opening(HERE, b"a")), (Some(HERE), None));
        assert_eq!(books.opening([5, 0, 2, 8, 8, 0], b"."), None, "that is the guest's own");
        books.opened(5, Some(HERE));
        books.closed(5, true);
        books.closed(5, true);
        assert_eq!((books.len(), books.kept(&HERE)), (6, Some(5)));
        books.take(&HERE);
        assert_eq!((books.len(), books.kept(&HERE)), (6, None));
        books.closed(5, true);
        books.changed(4);
        assert_eq!((books.len(), books.kept(&HERE)), (6, None), "it was opened with other rights");
        books.opened(6, None);
        books.closed(6, false);
        assert_eq!(books.len(), 6);
    }
}
