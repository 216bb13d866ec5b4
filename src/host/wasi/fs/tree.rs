//! The nodes of a memory file system or an overlay, in one flat table: however deep a guest nests its
//! directories, nothing here recurses.
//!
//! Over a base (a directory of the host's, only ever read), a node stands for something of the base as soon
//! as it is opened or changed. While it is unchanged it is *clean*: it counts nothing, and goes when nobody
//! has it open. A name of the base that was removed or moved away leaves a whiteout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cap_fs_ext::FollowSymlinks;

use super::super::abi::FileType;
use super::super::errno::Errno;
use super::super::quota::Quota;
use super::content::{Base, Content, Origin};
use super::{Stat, host};

/// Where a node is in the table.
pub type NodeId = u32;
/// The directory that everything is beneath.
pub const ROOT: NodeId = 0;
/// Bytes of scratch that a file, directory or link counts beside what is in it.
pub const NODE_BYTES: u64 = 512;
/// Bytes of scratch that a name counts beside its length.
pub const ENTRY_BYTES: u64 = 64;
/// Marks inode numbers of the base, which the host gave, so that they differ from ours.
const BASE_INODE: u64 = 1 << 63;

pub struct Tree {
    nodes: Vec<Option<Node>>,
    /// Places between that nothing is in; the table never ends in one.
    free: BTreeSet<NodeId>,
    next_inode: u64,
    device: u64,
    /// What lies beneath, if something does.
    pub base: Option<cap_std::fs::Dir>,
    pub quota: Arc<Quota>,
    /// Nodes that the call in hand has made for things of the base.
    fresh: Vec<NodeId>,
}

pub struct Node {
    pub inode: u64,
    pub kind: Kind,
    /// Entries of the tree that lead here.
    pub names: u64,
    /// Links of the file on the host besides the one that was found.
    pub other_links: u64,
    /// Handles on it.
    pub open: u64,
    /// Nanoseconds since 1970: accessed, modified, changed.
    pub times: [u64; 3],
    /// Where a clean node is: it stands for the entry of this name in the base's directory there.
    pub home: Option<(NodeId, Box<str>)>,
    /// The host's device that a node for something of the base is on.
    pub host_device: u64,
    /// Whether [`NODE_BYTES`] were taken for it.
    charged: bool,
}

pub enum Kind {
    Dir(Directory),
    File {
        content: Content,
        path: Option<Box<str>>,
    },
    Link(Box<str>),
    /// Something else of the base, that is only looked at.
    Special(FileType),
}

#[derive(Default)]
pub struct Directory {
    /// Where it is; a directory that was removed is nowhere, and the root is in itself.
    pub parent: Option<NodeId>,
    pub entries: BTreeMap<Box<str>, Entry>,
    /// The directory of the base that shows through, as a path beneath it.
    pub beneath: Option<Box<str>>,
}

#[derive(Clone, Copy)]
pub struct Entry {
    /// `None` for a whiteout: a name of the base that does not show.
    pub node: Option<NodeId>,
    /// Whether scratch was taken for it.
    pub charged: bool,
}

/// What stands somewhere: a node, or something of the base that needed none so far.
#[derive(Clone)]
pub enum At {
    Node(NodeId),
    Base {
        path: Box<str>,
        /// As the guest sees it.
        stat: Stat,
        /// The host's.
        device: u64,
    },
}

/// What an entry counts.
pub fn entry_bytes(name: &str) -> u64 {
    ENTRY_BYTES + name.len() as u64
}

impl Tree {
    /// A tree with nothing in it but what shows of `base`.
    pub fn new(device: u64, base: Option<cap_std::fs::Dir>, quota: Arc<Quota>, now: u64) -> Self {
        let beneath = base.is_some().then(Box::default);
        let root = Directory { parent: Some(ROOT), beneath, ..Directory::default() };
        let mut tree =
            Self { nodes: Vec::new(), free: BTreeSet::new(), next_inode: 1, device, base, quota, fresh: Vec::new() };
        let root = tree.node_of(Kind::Dir(root), now);
        tree.insert(Node { names: 1, charged: false, ..root });
        tree
    }

    /// A new node that nothing leads to yet and that is not paid for.
    fn node_of(&mut self, kind: Kind, now: u64) -> Node {
        let inode = self.next_inode;
        self.next_inode += 1;
        Node {
            inode,
            kind,
            names: 0,
            other_links: 0,
            open: 0,
            times: [now; 3],
            home: None,
            host_device: 0,
            charged: false,
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.free.pop_first()
            && let Some(slot) = self.nodes.get_mut(id as usize)
        {
            *slot = Some(node);
            return id;
        }
        self.nodes.push(Some(node));
        // Each is paid for with many bytes, so 32 bits never suffice to count too few.
        (self.nodes.len() - 1) as NodeId
    }

    /// The place `id` is empty now.
    fn vacate(&mut self, id: NodeId) {
        self.free.insert(id);
        while let Some(None) = self.nodes.last() {
            self.nodes.pop();
            self.free.remove(&(self.nodes.len() as NodeId));
        }
        if self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
    }

    /// Sets the times of every node that does not stand for something of the base.
    pub fn made_at(&mut self, now: u64) {
        for node in self.nodes.iter_mut().flatten().filter(|node| node.home.is_none()) {
            node.times = [now; 3];
        }
    }

    pub fn node(&self, id: NodeId) -> Result<&Node, Errno> {
        self.nodes.get(id as usize).and_then(Option::as_ref).ok_or(Errno::Stale)
    }

    pub fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(id as usize).and_then(Option::as_mut).ok_or(Errno::Stale)
    }

    pub fn dir(&self, id: NodeId) -> Result<&Directory, Errno> {
        if let Kind::Dir(dir) = &self.node(id)?.kind { Ok(dir) } else { Err(Errno::NotDirectory) }
    }

    pub fn dir_mut(&mut self, id: NodeId) -> Result<&mut Directory, Errno> {
        if let Kind::Dir(dir) = &mut self.node_mut(id)?.kind { Ok(dir) } else { Err(Errno::NotDirectory) }
    }

    pub fn stat(&self, id: NodeId) -> Result<Stat, Errno> {
        let node = self.node(id)?;
        let (ty, size) = match &node.kind {
            Kind::Dir(_) => (FileType::Directory, 0),
            Kind::File { content, .. } => (FileType::RegularFile, content.size()),
            Kind::Link(target) => (FileType::SymbolicLink, target.len() as u64),
            Kind::Special(ty) => (*ty, 0),
        };
        let links = node.names + node.other_links;
        Ok(Stat { device: self.device, inode: node.inode, ty, links, size, times: node.times })
    }

    pub fn stat_at(&self, at: &At) -> Result<Stat, Errno> {
        match at {
            At::Node(id) => self.stat(*id),
            At::Base { stat, .. } => Ok(*stat),
        }
    }

    /// What is called `name` in `dir`.
    pub fn child(&self, dir: &At, name: &str) -> Result<Option<At>, Errno> {
        let beneath = match dir {
            At::Base { path, .. } => path,
            At::Node(id) => {
                let dir = self.dir(*id)?;
                match (dir.entries.get(name), &dir.beneath) {
                    (Some(entry), _) => return Ok(entry.node.map(At::Node)),
                    (None, Some(path)) => path,
                    (None, None) => return Ok(None),
                }
            }
        };
        self.in_base(beneath, name)
    }

    /// What the base has under `name` in its directory `dir`.
    pub fn in_base(&self, dir: &str, name: &str) -> Result<Option<At>, Errno> {
        let Some(base) = &self.base else { return Ok(None) };
        let path = if dir.is_empty() { name.into() } else { format!("{dir}/{name}").into_boxed_str() };
        match host::stat(base, &path, FollowSymlinks::No) {
            Ok(stat) => Ok(Some(At::Base { path, stat: self.of_base(stat), device: stat.device })),
            Err(Errno::NotFound) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What the host says of something in the base, as the guest sees it.
    fn of_base(&self, stat: Stat) -> Stat {
        let links = if stat.ty == FileType::Directory { 1 } else { stat.links };
        Stat { device: self.device, inode: stat.inode | BASE_INODE, links, ..stat }
    }

    /// The inode number of an entry of the base.
    pub fn base_inode(inode: u64) -> u64 {
        inode | BASE_INODE
    }

    /// A node for `at`, which is called `name` in `parent`.
    pub fn node_for(&mut self, parent: NodeId, name: &str, at: &At) -> Result<NodeId, Errno> {
        let (path, stat, device) = match at {
            At::Node(id) => return Ok(*id),
            At::Base { path, stat, device } => (path.clone(), stat, *device),
        };
        // The same call may have made one already, on another path.
        if let Some(Entry { node: Some(id), .. }) = self.dir(parent)?.entries.get(name) {
            return Ok(*id);
        }
        let kind = match (stat.ty, &self.base) {
            (FileType::Directory, _) => {
                Kind::Dir(Directory { parent: Some(parent), beneath: Some(path), ..Directory::default() })
            }
            (FileType::RegularFile, _) => {
                Kind::File { content: Content::over(Base { origin: Origin::Closed, len: stat.size }), path: Some(path) }
            }
            (FileType::SymbolicLink, Some(base)) => Kind::Link(host::read_link(base, &path)?.into()),
            (ty, _) => Kind::Special(ty),
        };
        let home = Some((parent, name.into()));
        let node = Node {
            inode: stat.inode,
            kind,
            names: 1,
            other_links: stat.links.saturating_sub(1),
            open: 0,
            times: stat.times,
            home,
            host_device: device,
            charged: false,
        };
        let id = self.insert(node);
        self.dir_mut(parent)?.entries.insert(name.into(), Entry { node: Some(id), charged: false });
        self.fresh.push(id);
        Ok(id)
    }

    /// Makes the node `id` the tree's own, to be changed: it is paid for now, and so is every directory of
    /// the base on the way to it.
    pub fn own(&mut self, id: NodeId) -> Result<(), Errno> {
        let (mut clean, mut cost, mut at) = (Vec::new(), 0, id);
        while let Node { home: Some((parent, name)), kind, .. } = self.node(at)? {
            clean.push(at);
            let inside = if let Kind::Link(target) = kind { target.len() as u64 } else { 0 };
            cost += NODE_BYTES + inside + entry_bytes(name);
            at = *parent;
        }
        self.quota.scratch.take(cost)?;
        for id in clean {
            let node = self.node_mut(id)?;
            node.charged = true;
            if let Some((parent, name)) = node.home.take()
                && let Some(entry) = self.dir_mut(parent)?.entries.get_mut(&name)
            {
                entry.charged = true;
            }
        }
        Ok(())
    }

    /// Makes something new, called `name` in `parent`.
    pub fn create(&mut self, parent: NodeId, name: &str, kind: Kind, now: u64) -> Result<NodeId, Errno> {
        if self.node(parent)?.names == 0 {
            // Somebody has removed the directory.
            return Err(Errno::NotFound);
        }
        self.own(parent)?;
        let inside = if let Kind::Link(target) = &kind { target.len() as u64 } else { 0 };
        self.quota.scratch.take(NODE_BYTES + inside + entry_bytes(name))?;
        let node = self.node_of(kind, now);
        let id = self.insert(Node { names: 1, charged: true, ..node });
        self.put_entry(parent, name, Entry { node: Some(id), charged: true })?;
        self.touch(parent, now)?;
        Ok(id)
    }

    /// As [`Tree::create`], for what the host gives the guest to begin with: that counts nothing.
    pub fn give(&mut self, parent: NodeId, name: &str, kind: Kind, now: u64) -> Result<NodeId, Errno> {
        let node = self.node_of(kind, now);
        let id = self.insert(Node { names: 1, ..node });
        self.put_entry(parent, name, Entry { node: Some(id), charged: false })?;
        Ok(id)
    }

    /// Puts an entry that is paid for; what stood there, if anything, is no longer.
    pub fn put_entry(&mut self, dir: NodeId, name: &str, entry: Entry) -> Result<(), Errno> {
        let old = self.dir_mut(dir)?.entries.insert(name.into(), entry);
        if old.is_some_and(|old| old.charged) {
            self.quota.scratch.give_back(entry_bytes(name));
        }
        Ok(())
    }

    /// Takes the name away. Where the base has one like it, a whiteout is left.
    pub fn take_entry(&mut self, dir: NodeId, name: &str) -> Result<(), Errno> {
        let shows = self.before_taking(dir, name)?;
        self.after_taking(dir, name, shows)
    }

    /// What may fail of [`Tree::take_entry`]: says whether a whiteout is needed, and takes the bytes for it.
    pub fn before_taking(&mut self, dir: NodeId, name: &str) -> Result<bool, Errno> {
        let beneath = self.dir(dir)?.beneath.clone();
        let shows = match beneath {
            Some(path) => self.in_base(&path, name)?.is_some(),
            None => false,
        };
        let old = self.dir(dir)?.entries.get(name).copied();
        if shows && !old.is_some_and(|old| old.charged) {
            self.quota.scratch.take(entry_bytes(name))?;
        }
        Ok(shows)
    }

    /// The rest of [`Tree::take_entry`].
    pub fn after_taking(&mut self, dir: NodeId, name: &str, shows: bool) -> Result<(), Errno> {
        if shows {
            self.dir_mut(dir)?.entries.insert(name.into(), Entry { node: None, charged: true });
        } else if self.dir_mut(dir)?.entries.remove(name).is_some_and(|old| old.charged) {
            self.quota.scratch.give_back(entry_bytes(name));
        }
        Ok(())
    }

    /// One name less leads to `id`.
    pub fn unname(&mut self, id: NodeId, now: u64) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        node.names = node.names.saturating_sub(1);
        node.times[2] = now;
        node.home = None;
        if let Kind::Dir(dir) = &mut node.kind {
            dir.parent = None;
            dir.beneath = None;
        }
        self.drop_unused(id);
        Ok(())
    }

    /// What was changed in the directory `id` shows in its times.
    pub fn touch(&mut self, id: NodeId, now: u64) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        (node.times[1], node.times[2]) = (now, now);
        Ok(())
    }

    /// Forgets `id` if no name leads to it and nobody has it open.
    pub fn drop_unused(&mut self, id: NodeId) {
        let Some(slot) = self.nodes.get_mut(id as usize) else { return };
        let Some(node) = slot.take_if(|node| node.names == 0 && node.open == 0) else { return };
        self.vacate(id);
        let inside = match &node.kind {
            Kind::File { content, .. } => content.charged(),
            Kind::Link(target) if node.charged => target.len() as u64,
            Kind::Dir(dir) => dir.entries.iter().filter(|(_, e)| e.charged).map(|(name, _)| entry_bytes(name)).sum(),
            Kind::Link(_) | Kind::Special(_) => 0,
        };
        self.quota.scratch.give_back(inside + if node.charged { NODE_BYTES } else { 0 });
    }

    /// Forgets `id` if it is clean and nobody has it open, and what it was kept for likewise.
    pub fn drop_clean(&mut self, id: NodeId) {
        let mut at = id;
        loop {
            let Ok(node) = self.node(at) else { return };
            let empty = if let Kind::Dir(dir) = &node.kind { dir.entries.is_empty() } else { true };
            let Some((parent, name)) = node.home.clone().filter(|_| empty && node.open == 0) else { return };
            if let Ok(dir) = self.dir_mut(parent) {
                dir.entries.remove(&name);
            }
            if let Some(slot) = self.nodes.get_mut(at as usize) {
                *slot = None;
                self.vacate(at);
            }
            at = parent;
        }
    }

    /// At the end of a call: of the nodes it has made for things of the base, those that nothing came of go.
    pub fn settle(&mut self) {
        while let Some(id) = self.fresh.pop() {
            self.drop_clean(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shrinks_with_what_is_in_it() {
        let mut tree = Tree::new(1, None, Arc::new(Quota::new(1 << 30, 0)), 0);
        for round in 0..2 {
            for i in 0..1_000 {
                let kind = Kind::Link("x".into());
                assert!(tree.create(ROOT, &format!("l{i}"), kind, 0).is_ok(), "{round}");
            }
            assert_eq!(tree.nodes.len(), 1_001);
            // All but one that lies between, and then that one.
            for i in (0..1_000).filter(|i| *i != 500).chain([500]) {
                assert_eq!(tree.unlink(ROOT, &format!("l{i}"), 0), Ok(()));
            }
            assert_eq!((tree.nodes.len(), tree.free.len()), (1, 0));
            assert!(tree.nodes.capacity() < 100);
        }
    }
}
