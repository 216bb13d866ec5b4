//! Directory trees that are made in Rust and read in Rust: [`MemoryDir`] is what a guest is given,
//! [`MemoryView`] what it has made of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use super::errno::Errno;
use super::fs::{Seen, Tree, Volume};

/// A tree of files, directories and symbolic links in memory, to be given to guests with
/// [`Preopen::memory`](super::Preopen::memory). Each guest gets a tree of its own; the bytes of files are
/// shared until somebody writes to them, and do not count against any limit.
///
/// Directories on the way to something are made. Paths are relative, with `/` between names; one that
/// cannot be (a name above 255 bytes, `..`, beneath a file, taken) is told when the guest's configuration
/// is built.
///
/// ```
/// use cofferdam::host::wasi::MemoryDir;
/// let dir = MemoryDir::new().file("etc/motd", "hello\n").dir("tmp").link("motd", "etc/motd");
/// assert_eq!(dir.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryDir {
    entries: BTreeMap<String, Given>,
    /// The first path that was given twice.
    twice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    File(Arc<[u8]>),
    Dir,
    Link(String),
}

impl MemoryDir {
    /// Nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A file at `path`.
    #[must_use]
    pub fn file(self, path: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        self.shared(path, bytes.as_ref().into())
    }

    /// A file at `path` whose bytes are shared with whoever else has them.
    #[must_use]
    pub fn shared(self, path: impl Into<String>, bytes: Arc<[u8]>) -> Self {
        self.with(path.into(), Given::File(bytes))
    }

    /// A directory at `path`, for one that would otherwise be missing because nothing is in it.
    #[must_use]
    pub fn dir(self, path: impl Into<String>) -> Self {
        self.with(path.into(), Given::Dir)
    }

    /// A symbolic link at `path`. It is followed as the guest's own are: never out of the tree.
    #[must_use]
    pub fn link(self, path: impl Into<String>, target: impl Into<String>) -> Self {
        self.with(path.into(), Given::Link(target.into()))
    }

    fn with(mut self, path: String, given: Given) -> Self {
        match self.entries.entry(path) {
            Entry::Vacant(free) => drop(free.insert(given)),
            Entry::Occupied(taken) => drop(self.twice.get_or_insert_with(|| taken.key().clone())),
        }
        self
    }

    /// How many files, links and named directories there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts all of it into `tree`; the path that cannot be, if one cannot.
    pub(super) fn grow(&self, tree: &mut Tree, now: u64) -> Result<(), String> {
        if let Some(path) = &self.twice {
            return Err(path.clone());
        }
        self.entries.iter().try_for_each(|(path, given)| tree.plant(path, given, now).map_err(|_| path.clone()))
    }
}

/// What is in a guest's memory file system or in the scratch of its overlay. Of an overlay that is only
/// what the guest has written: files that it changed, whole, and directories on the way to them.
///
/// What a guest wrote is not to be trusted: names may be any UTF-8 without `/`, trees as deep and files as
/// many as its limits allow, and files may be mostly holes, up to its limits.
#[derive(Clone)]
pub struct MemoryView(Arc<Volume>);

impl std::fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryView")
    }
}

impl MemoryView {
    pub(super) fn new(volume: Arc<Volume>) -> Self {
        Self(volume)
    }

    /// The bytes of the file at `path`; `None` if there is no file, or none that the guest has written to
    /// in an overlay. Symbolic links on the way are followed, within the tree.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.read_whole(path).ok()
    }

    /// Every file, by its path and size, in the order of names within each directory.
    pub fn files(&self) -> impl Iterator<Item = (String, u64)> + use<> {
        let (volume, mut walk) = (self.0.clone(), Walk::default());
        std::iter::from_fn(move || walk.next_file(&volume))
    }

    /// All of it, to be given to another guest. Names that lead to one file become files of their own, which
    /// share their bytes until they are written to.
    ///
    /// # Errors
    /// [`TreeTooLarge`] if it takes more than `max_bytes` of the host's memory: whole paths (those of a deep
    /// tree are long), 128 bytes for each, targets of links, and the size of each file once, holes included.
    pub fn to_dir(&self, max_bytes: u64) -> Result<MemoryDir, TreeTooLarge> {
        let (mut dir, mut walk, mut files, mut left) = (MemoryDir::new(), Walk::default(), HashMap::new(), max_bytes);
        while let Some(seen) = walk.next(&self.0) {
            let inside = match &seen {
                Seen::Dir(_) => 0,
                Seen::Link(target) => target.len() as u64,
                Seen::File(id, _) if files.contains_key(id) => 0,
                Seen::File(_, size) => *size,
            };
            let cost = inside.saturating_add(walk.path.len() as u64 + PATH_BYTES);
            left = left.checked_sub(cost).ok_or(TreeTooLarge { limit: max_bytes })?;
            let given = match seen {
                Seen::Dir(_) => Given::Dir,
                Seen::Link(target) => Given::Link(target),
                Seen::File(id, size) => {
                    let bytes = match files.get(&id).cloned().map_or_else(|| self.0.read_shared(id, size), Ok) {
                        Ok(bytes) => bytes,
                        Err(Errno::NoMemory) => return Err(TreeTooLarge { limit: max_bytes }),
                        Err(_) => {
                            tracing::warn!(size, "a file of a guest could not be read back");
                            continue;
                        }
                    };
                    files.insert(id, bytes.clone());
                    Given::File(bytes)
                }
            };
            dir.entries.insert(walk.path.clone(), given);
        }
        Ok(dir)
    }
}

/// What each path of a [`MemoryDir`] takes beside its length and what is there.
const PATH_BYTES: u64 = 128;

/// What a guest has made does not go into the memory that the caller has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest's files take more than the {limit} bytes they may take here")]
pub struct TreeTooLarge {
    /// How many they may take.
    pub limit: u64,
}

/// A walk over a tree that may be very deep, with one path in hand.
#[derive(Default)]
struct Walk {
    path: String,
    /// For each directory on the way: which it is, and where its part of the path begins.
    stack: Vec<(u32, usize)>,
    begun: bool,
    /// The directory that was said last, which comes next.
    within: Option<u32>,
    /// Directories that were gone into: each once, whatever the tree looks like.
    been: HashSet<u32>,
}

impl Walk {
    fn next_file(&mut self, volume: &Volume) -> Option<(String, u64)> {
        loop {
            if let Seen::File(_, size) = self.next(volume)? {
                return Some((self.path.clone(), size));
            }
        }
    }

    /// What comes next; its path is in `self.path`.
    fn next(&mut self, volume: &Volume) -> Option<Seen> {
        if let Some(id) = self.within.take().filter(|id| self.been.insert(*id)) {
            self.path.push('/');
            self.stack.push((id, self.path.len()));
        }
        let mut after = None;
        if !self.begun {
            self.begun = true;
            self.stack.push((super::fs::ROOT, 0));
        } else if let Some((_, start)) = self.stack.last() {
            // The last name said in this directory.
            after = self.path.get(*start..).map(str::to_owned).filter(|name| !name.is_empty());
        }
        while let Some((dir, start)) = self.stack.last().copied() {
            let bound = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            if let Some((name, seen)) = volume.next_entry(dir, bound) {
                self.path.truncate(start);
                self.path.push_str(&name);
                if let Seen::Dir(id) = seen {
                    self.within = Some(id);
                }
                return Some(seen);
            }
            self.stack.pop();
            // Its own name, without the slash behind it, is the last one said in the directory above.
            self.path.truncate(start.saturating_sub(1));
            after = self.stack.last().and_then(|(_, start)| self.path.get(*start..)).map(str::to_owned);
        }
        None
    }
}

/// The names of a path that is given from Rust.
pub(super) fn names(path: &str) -> Result<Vec<&str>, Errno> {
    let names = path.split('/').collect::<Vec<_>>();
    let good = |name: &&str| !matches!(*name, "" | "." | "..") && name.len() <= 255 && !name.contains('\0');
    if names.iter().all(good) { Ok(names) } else { Err(Errno::Invalid) }
}
