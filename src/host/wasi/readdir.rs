//! `fd_readdir`: listings as they were when the guest began to read, sorted by name, so that cookies stay
//! valid while entries come and go and the order depends on the names alone.

use cofferdam_engine::{Caller, OutOfBounds};

use super::abi::dirent;
use super::descriptors::{Kind, OpenDir};
use super::errno::{Done, Errno};
use super::fs::{Dir, ENTRY_PRICE};
use super::state::WasiState;

/// Bytes that one entry takes beside its name, while the listing is made and after.
const ENTRY_BYTES: u64 = 96;

/// The entries of a directory in the form in which guests get them.
pub(super) struct Listing {
    bytes: Vec<u8>,
    /// Where each entry starts; a cookie is an index in here.
    starts: Vec<usize>,
    cost: u64,
}

impl Listing {
    /// Bytes that it counts against the guest's budget.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Reads `dir`.
    fn read(caller: &mut Caller<'_>, dir: &Dir, budget: u64) -> Done<Self> {
        let mut cost = 0;
        let mut entries = Vec::new();
        let quota = WasiState::of(caller)?.quota.clone();
        let mut each = |name: &str, inode, ty| {
            cost += ENTRY_BYTES + name.len() as u64;
            if cost > budget {
                return Err(Errno::NoMemory.into());
            }
            entries.push((name.to_owned(), inode, ty));
            Ok(())
        };
        dir.entries(&mut each, &quota, &mut |entries| pay(caller, entries))?;
        entries.sort_unstable_by(|(a, ..), (b, ..)| a.cmp(b));
        let mut listing = Self { bytes: Vec::new(), starts: Vec::with_capacity(entries.len()), cost };
        for (index, (name, inode, ty)) in entries.iter().enumerate() {
            let len = u32::try_from(name.len()).map_err(|_| Errno::NameTooLong)?;
            listing.starts.push(listing.bytes.len());
            listing.bytes.extend_from_slice(&dirent(index as u64 + 1, *inode, len, *ty));
            listing.bytes.extend_from_slice(name.as_bytes());
        }
        Ok(listing)
    }

    /// Everything from the entry `cookie` on.
    fn from(&self, cookie: u64) -> &[u8] {
        let start = usize::try_from(cookie).ok().and_then(|c| self.starts.get(c));
        start.and_then(|s| self.bytes.get(*s..)).unwrap_or_default()
    }
}

/// Pays for so many entries of a directory of the host's before they are read, and looks at the time.
pub(super) fn pay(caller: &mut Caller<'_>, entries: u64) -> Done {
    caller.charge(entries * ENTRY_PRICE)?;
    Ok(caller.check()?)
}

pub(super) fn fd_readdir(caller: &mut Caller<'_>, fd: u32, buf: u32, len: u32, cookie: u64, out: u32) -> Done {
    caller.bytes(buf, len)?;
    caller.bytes(out, 4)?;
    let state = WasiState::of(caller)?;
    let open = open_dir(state, fd)?;
    if cookie == 0 || open.listing.is_none() {
        let dir = open.dir.clone();
        let freed = open.listing.take().map_or(0, |old| old.cost());
        state.listing_bytes = state.listing_bytes.saturating_sub(freed);
        let budget = state.limits.listing_bytes.saturating_sub(state.listing_bytes);
        let listing = Listing::read(caller, &dir, budget)?;
        let state = WasiState::of(caller)?;
        state.listing_bytes += listing.cost();
        open_dir(state, fd)?.listing = Some(listing);
    }
    let rest = open_dir(WasiState::of(caller)?, fd)?.listing.as_ref().map_or(0, |l| l.from(cookie).len());
    let n = u32::try_from(rest).map_or(len, |rest| rest.min(len));
    caller.charge_bytes(n.into())?;
    let (state, memory) = WasiState::and_memory(caller)?;
    let listing = open_dir(state, fd)?.listing.as_ref().map_or(&[][..], |l| l.from(cookie));
    // The last entry may be cut: the guest then asks again from its cookie, with more room.
    let target = memory.get_mut(buf as usize..).and_then(|m| m.get_mut(..n as usize)).ok_or(OutOfBounds)?;
    target.copy_from_slice(listing.get(..n as usize).ok_or(Errno::Io)?);
    Ok(caller.write(out, &n.to_le_bytes())?)
}

fn open_dir(state: &mut WasiState, fd: u32) -> Result<&mut OpenDir, Errno> {
    match &mut state.descriptors.get_mut(fd)?.kind {
        Kind::Dir(open) => Ok(open),
        _ => Err(Errno::NotDirectory),
    }
}
