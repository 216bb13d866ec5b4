//! A memory file system or an overlay as descriptors see it: handles on the nodes of one tree.

use std::io::{IoSlice, IoSliceMut, SeekFrom};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use cap_fs_ext::FollowSymlinks;
use parking_lot::Mutex;

use super::super::abi::FileType;
use super::super::clock::ClockId;
use super::super::errno::{Done, Errno};
use super::super::memory_dir::{Given, names};
use super::super::quota::Quota;
use super::content::{Base, Content, MAX_SIZE, Origin};
use super::tree::{At, Directory, Kind, Node, NodeId, ROOT, Tree};
use super::walk::Last;
use super::{ENTRY_BATCH, ENTRY_PRICE, Each, NewTimes, OpenHow, Pay, Stat, Terms, host};

/// Fuel for passing over a whiteout.
const STEP_PRICE: u64 = 100;

/// One memory file system or overlay.
pub struct Volume(Mutex<Tree>);

/// An open file or directory of a volume. While there is one, its node stays.
pub struct Handle {
    volume: Arc<Volume>,
    node: NodeId,
    /// Where the next read or write begins.
    position: AtomicU64,
    append: AtomicBool,
}

impl Terms<'_> {
    fn now(self) -> u64 {
        self.clock.now(ClockId::Realtime)
    }
}

impl Volume {
    pub fn new(tree: Tree) -> Arc<Self> {
        Arc::new(Self(Mutex::new(tree)))
    }

    /// A handle on the directory that everything is beneath.
    pub fn root(self: &Arc<Self>) -> Handle {
        if let Ok(root) = self.0.lock().node_mut(ROOT) {
            root.open += 1;
        }
        Handle::new(self, ROOT, false)
    }

    /// Does something to the tree and cleans up behind it.
    fn with<T>(&self, what: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        let tree = &mut *self.0.lock();
        let done = what(tree);
        tree.settle();
        done
    }
}

impl Handle {
    fn new(volume: &Arc<Volume>, node: NodeId, append: bool) -> Self {
        Self { volume: volume.clone(), node, position: AtomicU64::new(0), append: AtomicBool::new(append) }
    }

    /// Both handles are on the same volume, or the call cannot be done.
    fn beside(&self, other: &Self) -> Result<(), Errno> {
        if Arc::ptr_eq(&self.volume, &other.volume) { Ok(()) } else { Err(Errno::CrossDevice) }
    }

    pub fn stat(&self) -> Result<Stat, Errno> {
        self.volume.0.lock().stat(self.node)
    }

    pub fn stat_at(&self, path: &str, follow: FollowSymlinks) -> Result<Stat, Errno> {
        let tree = self.volume.0.lock();
        let place = tree.walk(self.node, path, follow)?;
        tree.stat_at(place.found.as_ref().ok_or(Errno::NotFound)?)
    }

    pub fn open_dir(&self, path: &str, follow: FollowSymlinks) -> Result<Self, Errno> {
        self.volume.with(|tree| {
            let place = tree.walk(self.node, path, follow)?;
            let id = tree.found(&place)?;
            tree.dir(id)?;
            tree.node_mut(id)?.open += 1;
            Ok(Self::new(&self.volume, id, false))
        })
    }

    pub fn open_file(&self, path: &str, how: &OpenHow, terms: Terms<'_>) -> Result<Self, Errno> {
        self.volume.with(|tree| {
            let id = tree.open_file(self.node, path, how, terms.now())?;
            tree.open_base(id)?;
            tree.node_mut(id)?.open += 1;
            Ok(Self::new(&self.volume, id, how.append))
        })
    }

    pub fn create_dir(&self, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.create_dir(self.node, path, terms.now()))
    }

    pub fn remove_dir(&self, path: &str, base_shows: bool, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.remove_dir(self.node, path, base_shows, terms.now()))
    }

    pub fn unlink(&self, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.unlink(self.node, path, terms.now()))
    }

    pub fn rename(&self, old: &str, to: &Self, new: &str, base_shows: bool, terms: Terms<'_>) -> Result<(), Errno> {
        self.beside(to)?;
        self.volume.with(|tree| tree.rename((self.node, old), (to.node, new), base_shows, terms.now()))
    }

    pub fn link(&self, old: &str, to: &Self, new: &str, terms: Terms<'_>) -> Result<(), Errno> {
        self.beside(to)?;
        self.volume.with(|tree| tree.link(self.node, old, to.node, new, terms.now()))
    }

    pub fn symlink(&self, target: &str, path: &str, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.symlink(self.node, target, path, terms.now()))
    }

    pub fn read_link(&self, path: &str) -> Result<String, Errno> {
        let tree = self.volume.0.lock();
        let place = tree.walk(self.node, path, FollowSymlinks::No)?;
        let target = tree.target(place.found.as_ref().ok_or(Errno::NotFound)?)?;
        // Where an absolute link points is not told.
        if target.starts_with('/') { Err(Errno::Permission) } else { Ok(target.into()) }
    }

    pub fn set_times_at(
        &self,
        path: &str,
        follow: FollowSymlinks,
        times: NewTimes,
        terms: Terms<'_>,
    ) -> Result<(), Errno> {
        self.volume.with(|tree| {
            let place = tree.walk(self.node, path, follow)?;
            let id = tree.found(&place)?;
            tree.set_times(id, times, terms.now())
        })
    }

    pub fn set_times(&self, times: NewTimes, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.set_times(self.node, times, terms.now()))
    }

    pub fn entries(&self, each: &mut Each<'_>, quota: &Quota, pay: &mut Pay<'_>) -> Done {
        let tree = self.volume.0.lock();
        let own = tree.stat(self.node)?.inode;
        each(".", own, FileType::Directory)?;
        each("..", own, FileType::Directory)?;
        let dir = tree.dir(self.node)?;
        for (name, entry) in &dir.entries {
            match entry.node {
                Some(id) => {
                    quota.owe(ENTRY_PRICE);
                    let stat = tree.stat(id)?;
                    each(name, stat.inode, stat.ty)?;
                }
                None => quota.owe(STEP_PRICE),
            }
        }
        let (Some(base), Some(path)) = (&tree.base, &dir.beneath) else { return Ok(()) };
        let below = match host::open_dir(base, if path.is_empty() { "." } else { path }, FollowSymlinks::No) {
            Err(Errno::NotFound) => return Ok(()),
            below => below?,
        };
        // Paying may give the turn away, so from here on the volume is locked for one look at a time.
        drop(tree);
        let mut shown = |name: &str, inode, ty| match name {
            "." | ".." => Ok(()),
            _ if self.holds(self.node, name) => Ok(()),
            _ => each(name, Tree::base_inode(inode), ty),
        };
        host::entries(&below, &mut shown, pay)
    }

    /// Whether the directory `id` has an entry or a whiteout of this name.
    fn holds(&self, id: NodeId, name: &str) -> bool {
        self.volume.0.lock().dir(id).is_ok_and(|dir| dir.entries.contains_key(name))
    }

    /// Whether something of the base shows in the directory at `path`. No more is read than there are
    /// whiteouts and one entry, of which one must show: so what is paid does not depend on the order in which
    /// the host lists.
    pub fn base_shows(&self, path: &str, pay: &mut Pay<'_>) -> Done<bool> {
        // The call itself says what is wrong with the path.
        let Some((below, id, hidden)) = self.volume.0.lock().below(self.node, path) else { return Ok(false) };
        let (mut seen, mut shows, mut paid) = (0, false, 0);
        for entry in rustix::fs::Dir::new(host::readable(&below).map_err(Errno::from)?).map_err(Errno::from)? {
            let entry = entry.map_err(Errno::from)?;
            // A name that is no UTF-8 cannot be said, so it cannot have been removed.
            let name = entry.file_name().to_str().ok();
            if matches!(name, Some("." | "..")) {
                continue;
            }
            if paid == 0 {
                paid = ENTRY_BATCH.min(hidden as u64 + 1);
                pay(paid)?;
            }
            paid -= 1;
            seen += 1;
            shows |= !name.is_some_and(|name| id.is_some_and(|id| self.holds(id, name)));
            if seen > hidden {
                break;
            }
        }
        Ok(shows)
    }

    /// Does something to the content of the file.
    fn content<T>(&self, what: impl FnOnce(&mut Content) -> Result<T, Errno>) -> Result<T, Errno> {
        match &mut self.volume.0.lock().node_mut(self.node)?.kind {
            Kind::File { content, .. } => what(content),
            _ => Err(Errno::IsDirectory),
        }
    }

    pub fn read(&self, slices: &mut [IoSliceMut<'_>], at: Option<u64>) -> Result<usize, Errno> {
        let from = at.unwrap_or_else(|| self.position.load(Relaxed));
        let n = self.content(|content| content.read(from, slices))?;
        if at.is_none() {
            self.position.store(from + n as u64, Relaxed);
        }
        Ok(n)
    }

    pub fn write(&self, slices: &[IoSlice<'_>], at: Option<u64>, terms: Terms<'_>) -> Result<usize, Errno> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        let mut tree = self.volume.0.lock();
        tree.own(self.node)?;
        let now = terms.now();
        let node = tree.node_mut(self.node)?;
        let Kind::File { content, .. } = &mut node.kind else { return Err(Errno::IsDirectory) };
        // As Linux has it, a file that appends does so wherever it is told to write.
        let from = match at {
            _ if self.append.load(Relaxed) => content.size(),
            Some(at) => at,
            None => self.position.load(Relaxed),
        };
        let n = content.write(from, slices, &terms.quota.scratch)?;
        (node.times[1], node.times[2]) = (now, now);
        if at.is_none() {
            self.position.store(from + n as u64, Relaxed);
        }
        Ok(n)
    }

    pub fn seek(&self, to: SeekFrom) -> Result<u64, Errno> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.load(Relaxed).checked_add_signed(by),
            SeekFrom::End(by) => self.content(|content| Ok(content.size()))?.checked_add_signed(by),
        };
        let position = position.filter(|at| *at <= MAX_SIZE).ok_or(Errno::Invalid)?;
        self.position.store(position, Relaxed);
        Ok(position)
    }

    pub fn set_size(&self, size: u64, terms: Terms<'_>) -> Result<(), Errno> {
        self.volume.with(|tree| tree.set_size(self.node, size, terms.now()))
    }

    /// Makes sure that writes from `from` to `end` are paid for, beginning with at most `most` chunks of the
    /// base; says where to go on.
    pub fn allocate(&self, from: u64, end: u64, most: u64, terms: Terms<'_>) -> Result<u64, Errno> {
        self.volume.0.lock().own(self.node)?;
        self.content(|content| content.allocate(from, end, most, &terms.quota.scratch))
    }

    pub fn set_append(&self, append: bool) {
        self.append.store(append, Relaxed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut tree = self.volume.0.lock();
        let Ok(node) = tree.node_mut(self.node) else { return };
        node.open = node.open.saturating_sub(1);
        if node.open > 0 {
            return;
        }
        tree.close_base(self.node);
        tree.drop_unused(self.node);
        tree.drop_clean(self.node);
    }
}

impl Tree {
    /// The base's directory that shows through the one at `path`, that directory's node if it has one, and how
    /// many names of it are taken or hidden.
    fn below(&self, start: NodeId, path: &str) -> Option<(cap_std::fs::Dir, Option<NodeId>, usize)> {
        let base = self.base.as_ref()?;
        let found = self.walk(start, path, Last::Name).ok()?.found?;
        let (beneath, id, hidden) = match &found {
            At::Node(id) => {
                let dir = self.dir(*id).ok()?;
                (dir.beneath.as_ref()?, Some(*id), dir.entries.len())
            }
            At::Base { path, stat, .. } if stat.ty == FileType::Directory => (path, None, 0),
            At::Base { .. } => return None,
        };
        let beneath: &str = if beneath.is_empty() { "." } else { beneath };
        Some((host::open_dir(base, beneath, FollowSymlinks::No).ok()?, id, hidden))
    }

    /// Opens what the file `id` is in the base, if it is anything there and nobody has it open.
    fn open_base(&mut self, id: NodeId) -> Result<(), Errno> {
        let Some(base) = &self.base else { return Ok(()) };
        let node = self.node(id)?;
        let Kind::File { path: Some(path), content } = &node.kind else { return Ok(()) };
        if !content.needs_base() {
            return Ok(());
        }
        let file = match host::open_plain(base, path) {
            Ok(file) => file,
            // The guest's own by now: what it has written of it is there still.
            Err(_) if node.home.is_none() => return Ok(()),
            Err(errno) => return Err(errno),
        };
        if let Kind::File { content, .. } = &mut self.node_mut(id)?.kind
            && let Some(beneath) = content.base_mut()
            && matches!(beneath.origin, Origin::Closed)
        {
            beneath.origin = Origin::Host(file);
        }
        Ok(())
    }
}

/// What [`Volume::next_entry`] has seen.
pub enum Seen {
    Dir(NodeId),
    /// Which it is, and its size in bytes.
    File(NodeId, u64),
    Link(String),
}

impl Volume {
    /// The first entry of `dir` after `from` that is the volume's own: not one of the base, unchanged.
    pub fn next_entry(&self, dir: NodeId, from: Bound<&str>) -> Option<(String, Seen)> {
        let tree = self.0.lock();
        tree.dir(dir).ok()?.entries.range::<str, _>((from, Bound::Unbounded)).find_map(|(name, entry)| {
            let id = entry.node?;
            let node = tree.node(id).ok().filter(|node| node.home.is_none())?;
            let seen = match &node.kind {
                Kind::Dir(_) => Seen::Dir(id),
                Kind::File { content, .. } => Seen::File(id, content.size()),
                Kind::Link(target) => Seen::Link(target.to_string()),
                Kind::Special(_) => return None,
            };
            Some((name.to_string(), seen))
        })
    }

    /// The bytes of the file at `path`.
    pub fn read_whole(&self, path: &str) -> Result<Vec<u8>, Errno> {
        self.with(|tree| {
            // Nobody owes for it: it is not the guest that looks.
            let place = tree.resolve(ROOT, path, FollowSymlinks::Yes.into(), &mut 0)?;
            let Some(At::Node(id)) = place.found else { return Err(Errno::NotFound) };
            if tree.node(id)?.home.is_some() {
                return Err(Errno::NotFound);
            }
            tree.with_base(id, whole)
        })
    }

    /// The bytes of the file `id`, which are `size` as far as the caller knows.
    pub fn read_shared(&self, id: NodeId, size: u64) -> Result<Arc<[u8]>, Errno> {
        let size = usize::try_from(size).map_err(|_| Errno::NoMemory)?;
        // Making what is shared does not say that there is no memory; asking first does.
        Vec::<u8>::new().try_reserve_exact(size).map_err(|_| Errno::NoMemory)?;
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, size).collect();
        let into = Arc::get_mut(&mut bytes).ok_or(Errno::Io)?;
        self.with(|tree| tree.with_base(id, |content| fill(content, into)))?;
        Ok(bytes)
    }

    /// Sets the times of all that is the volume's own, as if it had been made at `now`.
    pub fn made_at(&self, now: u64) {
        self.0.lock().made_at(now);
    }
}

/// All of `content`, which must have its base open.
fn whole(content: &Content) -> Result<Vec<u8>, Errno> {
    let size = usize::try_from(content.size()).map_err(|_| Errno::NoMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| Errno::NoMemory)?;
    bytes.resize(size, 0);
    fill(content, &mut bytes)?;
    Ok(bytes)
}

/// Fills `into` with the beginning of `content`.
fn fill(content: &Content, into: &mut [u8]) -> Result<(), Errno> {
    let mut from = 0;
    while let Some(rest) = into.get_mut(from..).filter(|rest| !rest.is_empty()) {
        match content.read(from as u64, &mut [IoSliceMut::new(rest)])? {
            0 => break,
            n => from += n,
        }
    }
    Ok(())
}

impl Tree {
    /// Does something to the content of the file `id` while its base is open.
    fn with_base<T>(&mut self, id: NodeId, what: impl FnOnce(&Content) -> Result<T, Errno>) -> Result<T, Errno> {
        self.open_base(id)?;
        let Kind::File { content, .. } = &self.node(id)?.kind else { return Err(Errno::IsDirectory) };
        let done = what(content);
        self.close_base(id);
        done
    }

    /// Closes what the file `id` is in the base, if nobody has it open.
    fn close_base(&mut self, id: NodeId) {
        if let Ok(Node { kind: Kind::File { content, .. }, open: 0, .. }) = self.node_mut(id)
            && let Some(base) = content.base_mut()
            && matches!(base.origin, Origin::Host(_))
        {
            base.origin = Origin::Closed;
        }
    }

    /// Puts what the host gives at `path`, and the directories on the way there.
    pub fn plant(&mut self, path: &str, given: &Given, now: u64) -> Result<(), Errno> {
        let names = names(path)?;
        let (last, way) = names.split_last().ok_or(Errno::Invalid)?;
        let mut at = ROOT;
        let inside = |parent| Kind::Dir(Directory { parent: Some(parent), ..Directory::default() });
        for name in way {
            at = match self.dir(at)?.entries.get(*name).and_then(|entry| entry.node) {
                Some(id) => id,
                None => self.give(at, name, inside(at), now)?,
            };
        }
        if let Some(id) = self.dir(at)?.entries.get(*last).and_then(|entry| entry.node) {
            return if matches!(given, Given::Dir) { self.dir(id).map(|_| ()) } else { Err(Errno::Exists) };
        }
        let kind = match given {
            Given::Dir => inside(at),
            Given::Link(target) if target.is_empty() || target.contains('\0') => return Err(Errno::Invalid),
            Given::Link(target) => Kind::Link(target.as_str().into()),
            Given::File(bytes) => {
                let base = Base { len: bytes.len() as u64, origin: Origin::Bytes(bytes.clone()) };
                Kind::File { content: Content::over(base), path: None }
            }
        };
        self.give(at, last, kind, now).map(|_| ())
    }
}
