//! Making, moving and removing names in a tree, in the order of checks that Linux has.

use cap_fs_ext::FollowSymlinks;

use super::super::abi::FileType;
use super::super::errno::Errno;
use super::content::Content;
use super::tree::{At, Directory, Entry, Kind, NodeId, ROOT, Tree, entry_bytes};
use super::walk::{Last, Place};
use super::{NewTime, NewTimes, OpenHow};

/// Fuel for each step when a directory is moved and must not go beneath itself, and for each entry of the
/// tree's own that is looked at to see whether a directory is empty.
const STEP_PRICE: u64 = 10;

impl Tree {
    /// The file at `path`, opened as asked; one that is new is made.
    pub fn open_file(&mut self, start: NodeId, path: &str, how: &OpenHow, now: u64) -> Result<NodeId, Errno> {
        let follow = if how.create && how.exclusive { FollowSymlinks::No } else { how.follow };
        let place = self.walk(start, path, follow)?;
        let id = match (&place.found, &place.name) {
            (None, _) if place.slash => return Err(Errno::IsDirectory),
            (None, Some(name)) if how.create => {
                let parent = self.parent(&place)?;
                return self.create(parent, name, Kind::File { content: Content::default(), path: None }, now);
            }
            (None, _) => return Err(Errno::NotFound),
            (Some(_), _) if how.create && how.exclusive => return Err(Errno::Exists),
            (Some(_), _) => self.found(&place)?,
        };
        match &self.node(id)?.kind {
            Kind::File { .. } => {}
            Kind::Dir(_) => return Err(Errno::IsDirectory),
            Kind::Link(_) => return Err(Errno::Loop),
            Kind::Special(_) => return Err(Errno::Access),
        }
        if how.truncate {
            self.set_size(id, 0, now)?;
        }
        Ok(id)
    }

    /// Cuts or lengthens the file `id`.
    pub fn set_size(&mut self, id: NodeId, size: u64, now: u64) -> Result<(), Errno> {
        self.own(id)?;
        let quota = self.quota.clone();
        let node = self.node_mut(id)?;
        let Kind::File { content, .. } = &mut node.kind else { return Err(Errno::Invalid) };
        content.set_size(size, &quota.scratch)?;
        (node.times[1], node.times[2]) = (now, now);
        Ok(())
    }

    pub fn create_dir(&mut self, start: NodeId, path: &str, now: u64) -> Result<(), Errno> {
        let place = self.walk(start, path, Last::Name)?;
        let (parent, name) = self.vacant(&place)?;
        let dir = Directory { parent: Some(parent), ..Directory::default() };
        self.create(parent, name, Kind::Dir(dir), now).map(|_| ())
    }

    pub fn symlink(&mut self, start: NodeId, target: &str, path: &str, now: u64) -> Result<(), Errno> {
        let place = self.walk(start, path, Last::Name)?;
        if let (true, Some(at)) = (place.slash, &place.found)
            && self.stat_at(at)?.ty != FileType::Directory
        {
            return Err(Errno::NotDirectory);
        }
        let (parent, name) = self.vacant(&place)?;
        if place.slash {
            return Err(Errno::NotFound);
        }
        self.create(parent, name, Kind::Link(target.into()), now).map(|_| ())
    }

    /// Gives what is at `old` another name.
    pub fn link(&mut self, from: NodeId, old: &str, to: NodeId, new: &str, now: u64) -> Result<(), Errno> {
        let source = self.walk(from, old, FollowSymlinks::No)?;
        let file = self.found(&source)?;
        let place = self.walk(to, new, Last::Name)?;
        let (parent, name) = self.vacant(&place)?;
        match self.stat(file)?.ty {
            FileType::Directory => return Err(Errno::Permission),
            FileType::RegularFile | FileType::SymbolicLink => {}
            _ => return Err(Errno::Access),
        }
        if place.slash || self.node(parent)?.names == 0 || self.node(file)?.names == 0 {
            return Err(Errno::NotFound);
        }
        self.own(file)?;
        self.own(parent)?;
        self.quota.scratch.take(entry_bytes(name))?;
        self.put_entry(parent, name, Entry { node: Some(file), charged: true })?;
        let node = self.node_mut(file)?;
        node.names += 1;
        node.times[2] = now;
        self.touch(parent, now)
    }

    /// The directory and name for something new at `place`.
    fn vacant<'p>(&mut self, place: &'p Place) -> Result<(NodeId, &'p str), Errno> {
        match (&place.name, &place.found) {
            (Some(name), None) => Ok((self.parent(place)?, name)),
            _ => Err(Errno::Exists),
        }
    }

    /// Removes the directory at `path`, which is not empty if `base_shows`.
    pub fn remove_dir(&mut self, start: NodeId, path: &str, base_shows: bool, now: u64) -> Result<(), Errno> {
        let place = self.walk(start, path, FollowSymlinks::No)?;
        let Some(name) = &place.name else { return Err(Errno::Invalid) };
        let id = self.found(&place)?;
        self.empty(id, base_shows)?;
        self.remove(&place, name, id, now)
    }

    pub fn unlink(&mut self, start: NodeId, path: &str, now: u64) -> Result<(), Errno> {
        let place = self.walk(start, path, FollowSymlinks::No)?;
        let (Some(name), Some(at)) = (&place.name, &place.found) else {
            return Err(if place.found.is_some() { Errno::IsDirectory } else { Errno::NotFound });
        };
        if self.stat_at(at)?.ty == FileType::Directory {
            return Err(Errno::IsDirectory);
        }
        let id = self.found(&place)?;
        self.remove(&place, name, id, now)
    }

    /// Takes the name at `place` away from `id`.
    fn remove(&mut self, place: &Place, name: &str, id: NodeId, now: u64) -> Result<(), Errno> {
        let parent = self.parent(place)?;
        self.own(parent)?;
        self.take_entry(parent, name)?;
        self.unname(id, now)?;
        self.touch(parent, now)
    }

    /// That `id` is a directory in which nothing shows, of the base or its own.
    fn empty(&self, id: NodeId, base_shows: bool) -> Result<(), Errno> {
        let dir = self.dir(id)?;
        self.quota.owe(dir.entries.len() as u64 * STEP_PRICE);
        if base_shows || dir.entries.values().any(|entry| entry.node.is_some()) {
            return Err(Errno::NotEmpty);
        }
        Ok(())
    }

    /// Moves `old` to `new`, over what is there: a directory in which something shows if `base_shows`.
    pub fn rename(
        &mut self,
        (from, old): (NodeId, &str),
        (to, new): (NodeId, &str),
        base_shows: bool,
        now: u64,
    ) -> Result<(), Errno> {
        let source = self.walk(from, old, Last::Name)?;
        let target = self.walk(to, new, Last::Name)?;
        let (Some(old), Some(new)) = (&source.name, &target.name) else { return Err(Errno::Busy) };
        let moved = self.found(&source)?;
        let (from, to) = (self.parent(&source)?, self.parent(&target)?);
        let is_dir = self.stat(moved)?.ty == FileType::Directory;
        if !is_dir && (source.slash || target.slash) {
            return Err(Errno::NotDirectory);
        }
        if is_dir && self.is_beneath(to, moved)? {
            return Err(Errno::Invalid);
        }
        if self.node(to)?.names == 0 {
            return Err(Errno::NotFound);
        }
        let replaced = match &target.found {
            None => None,
            Some(at) => {
                let there = self.stat_at(at)?;
                let there_is_dir = there.ty == FileType::Directory;
                if self.is_same(at, moved)? {
                    return Ok(());
                }
                let id = self.found(&target)?;
                if there_is_dir && self.is_beneath(from, id)? {
                    return Err(Errno::NotEmpty);
                }
                if is_dir && !there_is_dir {
                    return Err(Errno::NotDirectory);
                }
                if !is_dir && there_is_dir {
                    return Err(Errno::IsDirectory);
                }
                if is_dir {
                    self.empty(id, base_shows)?;
                }
                Some(id)
            }
        };
        self.own(moved)?;
        self.own(from)?;
        self.own(to)?;
        self.quota.scratch.take(entry_bytes(new))?;
        // All that can fail comes before the first change.
        let shows = self.before_taking(from, old).inspect_err(|_| self.quota.scratch.give_back(entry_bytes(new)))?;
        self.put_entry(to, new, Entry { node: Some(moved), charged: true })?;
        if let Some(replaced) = replaced {
            self.unname(replaced, now)?;
        }
        self.after_taking(from, old, shows)?;
        if let Kind::Dir(dir) = &mut self.node_mut(moved)?.kind {
            dir.parent = Some(to);
        }
        self.node_mut(moved)?.times[2] = now;
        self.touch(from, now)?;
        self.touch(to, now)
    }

    /// Whether `at` is the file `id`: the same node, or of the base both, unchanged, and one file there.
    fn is_same(&self, at: &At, id: NodeId) -> Result<bool, Errno> {
        let clean = |id| self.node(id).map(|node| node.home.is_some().then_some((node.host_device, node.inode)));
        let there = match at {
            At::Node(other) if *other == id => return Ok(true),
            At::Node(other) => clean(*other)?,
            At::Base { stat, device, .. } => Some((*device, stat.inode)),
        };
        Ok(there.is_some() && there == clean(id)?)
    }

    /// Whether `id` is `above` or somewhere beneath it.
    fn is_beneath(&self, id: NodeId, above: NodeId) -> Result<bool, Errno> {
        let mut at = id;
        loop {
            self.quota.owe(STEP_PRICE);
            if at == above {
                return Ok(true);
            }
            match self.dir(at)?.parent {
                Some(parent) if at != ROOT => at = parent,
                _ => return Ok(false),
            }
        }
    }

    /// Sets times of `id`. When they are changed is a time too.
    pub fn set_times(&mut self, id: NodeId, [accessed, modified]: NewTimes, now: u64) -> Result<(), Errno> {
        self.own(id)?;
        let node = self.node_mut(id)?;
        let new = |old, time| match time {
            NewTime::Keep => old,
            NewTime::Now => now,
            NewTime::At(ns) => ns,
        };
        node.times = [new(node.times[0], accessed), new(node.times[1], modified), now];
        Ok(())
    }
}
