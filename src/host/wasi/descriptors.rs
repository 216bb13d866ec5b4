//! The guest's descriptor table: bounded, lowest free number first.

use std::collections::BTreeSet;

use super::abi::rights;
use super::config::Access;
use super::errno::Errno;
use super::fs::{Dir, File};
use super::readdir::Listing;

/// One open descriptor.
pub(super) struct Descriptor {
    pub kind: Kind,
    /// `fdflags` as the guest set them.
    pub flags: u16,
    /// Rights the guest has given away.
    pub dropped: Dropped,
}

/// Rights that a guest has given away, for good. All others are what the kind of a descriptor and its
/// directory allow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    /// For the descriptor itself.
    pub base: u64,
    /// For what is opened through it.
    pub inheriting: u64,
}

impl Descriptor {
    /// Whether what `right` stands for has not been given away. Without the right to read or to write a
    /// descriptor is one that was not opened for that, and says so.
    pub fn allows(&self, right: u64) -> Result<(), Errno> {
        match self.dropped.base & right {
            0 => Ok(()),
            missing if missing & (rights::FD_READ | rights::FD_WRITE) != 0 => Err(Errno::BadFd),
            _ => Err(Errno::NotCapable),
        }
    }
}

/// What a descriptor stands for. The streams themselves are in the guest's state, so that renumbering
/// them does not move them.
pub(super) enum Kind {
    Stdin,
    Stdout,
    Stderr,
    File(OpenFile),
    Dir(OpenDir),
}

/// An open regular file.
#[derive(Clone)]
pub(super) struct OpenFile {
    pub file: File,
    pub readable: bool,
    pub writable: bool,
    /// Of the directory it was opened through.
    pub access: Access,
}

/// An open directory.
pub(super) struct OpenDir {
    pub dir: Dir,
    pub access: Access,
    /// The name given by the configuration, if it was.
    pub preopen: Option<Box<str>>,
    /// Its entries as they were when the guest began to read them.
    pub listing: Option<Listing>,
}

impl OpenDir {
    /// The directory, to change something in it.
    pub fn writable(&self) -> Result<&Dir, Errno> {
        match self.access {
            Access::ReadWrite => Ok(&self.dir),
            Access::ReadOnly => Err(Errno::ReadOnly),
        }
    }
}

/// The table.
pub(super) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// Slots that are free.
    free: BTreeSet<u32>,
    limit: usize,
}

impl Descriptors {
    /// An empty table for at most `limit` descriptors.
    pub fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), free: BTreeSet::new(), limit: limit as usize }
    }

    /// At most `limit` descriptors from now on; what is open stays open.
    pub fn tighten(&mut self, limit: u32) {
        self.limit = self.limit.min(limit as usize);
    }

    pub fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.slots.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BadFd)
    }

    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BadFd)
    }

    /// The open directory `fd`.
    pub fn dir(&self, fd: u32) -> Result<&OpenDir, Errno> {
        match &self.get(fd)?.kind {
            Kind::Dir(dir) => Ok(dir),
            _ => Err(Errno::NotDirectory),
        }
    }

    /// Whether another descriptor can be opened, asked before anything is.
    pub fn room(&self) -> Result<(), Errno> {
        if self.lowest() < self.limit { Ok(()) } else { Err(Errno::TooManyOpen) }
    }

    /// The lowest free number.
    fn lowest(&self) -> usize {
        self.free.first().map_or(self.slots.len(), |free| *free as usize)
    }

    /// Opens a descriptor under the lowest free number.
    pub fn insert(&mut self, kind: Kind, flags: u16) -> Result<u32, Errno> {
        let at = self.lowest();
        let fd = u32::try_from(at).ok().filter(|_| at < self.limit).ok_or(Errno::TooManyOpen)?;
        let descriptor = Some(Descriptor { kind, flags, dropped: Dropped::default() });
        match self.slots.get_mut(at) {
            Some(slot) => *slot = descriptor,
            None => self.slots.push(descriptor),
        }
        self.free.remove(&fd);
        Ok(fd)
    }

    /// Frees a number.
    pub fn take(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let taken = self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BadFd)?;
        self.free.insert(fd);
        Ok(taken)
    }

    /// Moves `from` to `to`, which must be open too, and returns what was open there.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.take(from)?;
        let slot = self.get_mut(to)?;
        Ok(Some(std::mem::replace(slot, moved)))
    }
}
