//! How a path leads through a tree: component by component, never above the directory it starts from, with
//! the error numbers that the host's own resolution beneath a directory gives.

use cap_fs_ext::FollowSymlinks;

use super::super::abi::FileType;
use super::super::errno::Errno;
use super::host;
use super::tree::{At, Kind, NodeId, Tree};

/// Symbolic links on one path, as Linux has it.
const MAX_LINKS: u32 = 40;
/// Bytes that the symbolic links of one path may bring along, so that nobody pays for a short path and has
/// a long one walked.
const MAX_LINK_BYTES: usize = 4096;
/// Bytes of one name.
pub const MAX_NAME: usize = 255;
/// Fuel for each component that a symbolic link brings along or that the base is asked for.
const STEP_PRICE: u64 = 60;
const BASE_STEP_PRICE: u64 = 2_500;

/// Where a path leads.
pub struct Place {
    /// The directories from the start to the one that the last name is in.
    pub dirs: Vec<At>,
    /// The last name; `None` if the path ends at one of `dirs`: in `.` or `..`.
    pub name: Option<Box<str>>,
    /// What is there.
    pub found: Option<At>,
    /// Whether the path ends in `/`.
    pub slash: bool,
}

/// What the last name of a path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// What a link there leads to.
    Followed,
    /// What is there, which is a directory if the path ends in `/`.
    Itself,
    /// The name: something is to be made, moved or removed.
    Name,
}

impl From<FollowSymlinks> for Last {
    fn from(follow: FollowSymlinks) -> Self {
        if follow == FollowSymlinks::Yes { Self::Followed } else { Self::Itself }
    }
}

impl Tree {
    /// Walks `path` from the directory `start`.
    pub fn walk(&self, start: NodeId, path: &str, meant: impl Into<Last>) -> Result<Place, Errno> {
        let mut owed = 0;
        let place = self.resolve(start, path, meant.into(), &mut owed);
        self.quota.owe(owed);
        place
    }

    /// The same; the fuel for it is added to `owed`.
    pub fn resolve(&self, start: NodeId, path: &str, meant: Last, owed: &mut u64) -> Result<Place, Errno> {
        let mut dirs = vec![At::Node(start)];
        let (mut rest, mut at) = (path.to_owned(), 0);
        let (mut links, mut link_bytes) = (0, 0);
        loop {
            let trimmed = rest.get(at..).unwrap_or_default().trim_start_matches('/');
            let (name, after) = trimmed.split_once('/').unwrap_or((trimmed, ""));
            let slash = trimmed.len() > name.len();
            let last = after.trim_start_matches('/').is_empty();
            match name {
                "" => break Ok(Place { found: dirs.last().cloned(), dirs, name: None, slash: true }),
                "." => {}
                ".." if dirs.len() == 1 => break Err(Errno::Permission),
                ".." => drop(dirs.pop()),
                _ if name.len() > MAX_NAME => break Err(Errno::NameTooLong),
                _ => {
                    let Some(dir) = dirs.last() else { break Err(Errno::Stale) };
                    *owed += if self.base.is_some() { BASE_STEP_PRICE } else { 0 };
                    *owed += if links > 0 { STEP_PRICE } else { 0 };
                    let found = match self.child(dir, name) {
                        Ok(found) => found,
                        Err(errno) => break Err(errno),
                    };
                    let ty = match found.as_ref().map(|at| self.stat_at(at)).transpose() {
                        Ok(stat) => stat.map(|stat| stat.ty),
                        Err(errno) => break Err(errno),
                    };
                    match (ty, found) {
                        (None, None) if !last => break Err(Errno::NotFound),
                        (Some(FileType::SymbolicLink), Some(link))
                            if !last || meant == Last::Followed || slash && meant == Last::Itself =>
                        {
                            let target = match self.target(&link) {
                                Ok(target) => target,
                                Err(errno) => break Err(errno),
                            };
                            links += 1;
                            link_bytes += target.len();
                            if links > MAX_LINKS || link_bytes > MAX_LINK_BYTES {
                                break Err(Errno::Loop);
                            }
                            if target.starts_with('/') {
                                break Err(Errno::Permission);
                            }
                            if target.is_empty() {
                                break Err(Errno::NotFound);
                            }
                            rest = if slash { format!("{target}/{after}") } else { target.into() };
                            at = 0;
                            continue;
                        }
                        (Some(FileType::Directory), Some(dir)) if !last => dirs.push(dir),
                        (Some(ty), Some(_)) if ty != FileType::Directory && (!last || slash && meant != Last::Name) => {
                            break Err(Errno::NotDirectory);
                        }
                        (_, found) => break Ok(Place { dirs, name: Some(name.into()), found, slash }),
                    }
                }
            }
            at = rest.len() - after.len();
        }
    }

    /// Where the symbolic link `at` points.
    pub fn target(&self, at: &At) -> Result<Box<str>, Errno> {
        match (at, &self.base) {
            (At::Node(id), _) => match &self.node(*id)?.kind {
                Kind::Link(target) => Ok(target.clone()),
                _ => Err(Errno::Invalid),
            },
            (At::Base { path, .. }, Some(base)) => Ok(host::read_link(base, path)?.into()),
            (At::Base { .. }, None) => Err(Errno::Stale),
        }
    }

    /// A node for the directory that the last name of `place` is in.
    pub fn parent(&mut self, place: &Place) -> Result<NodeId, Errno> {
        let mut parent = None;
        for at in &place.dirs {
            parent = Some(match (at, parent) {
                (At::Base { path, .. }, Some(parent)) => {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    self.node_for(parent, name, at)?
                }
                (At::Node(id), _) => *id,
                (At::Base { .. }, None) => return Err(Errno::Stale),
            });
        }
        parent.ok_or(Errno::Stale)
    }

    /// A node for what was found at `place`.
    pub fn found(&mut self, place: &Place) -> Result<NodeId, Errno> {
        let at = place.found.as_ref().ok_or(Errno::NotFound)?;
        let parent = self.parent(place)?;
        match &place.name {
            Some(name) => self.node_for(parent, name, at),
            None => Ok(parent),
        }
    }
}
