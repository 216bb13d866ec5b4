//! Calls on one descriptor that move no data: closing, flags, metadata, positions, preopens.

use std::io::SeekFrom;
use std::time::Duration;

use cofferdam_engine::{Caller, Wake};

use super::abi::{
    FD_APPEND, FD_DSYNC, FD_NONBLOCK, FD_RSYNC, FD_SYNC, FileType, SET_ATIM, SET_ATIM_NOW, SET_MTIM, SET_MTIM_NOW,
    fdstat, filestat, prestat, rights, stream_filestat,
};
use super::config::Access;
use super::descriptors::{Descriptor, Dropped, Kind, OpenFile};
use super::errno::{Done, Errno};
use super::fs::{CHUNK, File, NewTime, NewTimes};
use super::state::WasiState;

/// All `fdflags` there are.
pub(super) const FD_FLAGS: u16 = FD_APPEND | FD_DSYNC | FD_NONBLOCK | FD_RSYNC | FD_SYNC;
/// Highest number of an `advice`.
const LAST_ADVICE: u32 = 5;

pub(super) fn fd_close(caller: &mut Caller<'_>, fd: u32) -> Done {
    let state = WasiState::of(caller)?;
    let closed = state.descriptors.take(fd)?;
    forget(state, Some(closed));
    Ok(())
}

pub(super) fn fd_renumber(caller: &mut Caller<'_>, from: u32, to: u32) -> Done {
    let state = WasiState::of(caller)?;
    let closed = state.descriptors.renumber(from, to)?;
    forget(state, closed);
    Ok(())
}

/// Gives back what a descriptor that is closed had taken of the guest's budgets.
fn forget(state: &mut WasiState, closed: Option<Descriptor>) {
    if let Some(Descriptor { kind: Kind::Dir(dir), .. }) = closed
        && let Some(listing) = dir.listing
    {
        state.listing_bytes = state.listing_bytes.saturating_sub(listing.cost());
    }
}

pub(super) fn fd_advise(caller: &mut Caller<'_>, fd: u32, offset: u64, len: u64, advice: u32) -> Done {
    if advice > LAST_ADVICE || offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Errno::Invalid.into());
    }
    // A hint, so checked and then ignored: read-ahead would be work that nobody pays for.
    file(caller, fd).map(|_| ())
}

/// Chunks of the base of an overlay that are copied for one allocation between two looks at fuel and time.
const CHUNKS_AT_ONCE: u64 = 16;

pub(super) fn fd_allocate(caller: &mut Caller<'_>, fd: u32, offset: u64, len: u64) -> Done {
    let open = file(caller, fd)?;
    if !open.writable {
        return Err(if open.access == Access::ReadOnly { Errno::ReadOnly } else { Errno::BadFd }.into());
    }
    if len == 0 {
        return Err(Errno::Invalid.into());
    }
    let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok()).ok_or(Errno::FileTooBig)?;
    match open.file.clone() {
        File::Host(file) => {
            let state = WasiState::of(caller)?;
            let quota = state.quota.clone();
            // A disk takes its time; others may run meanwhile.
            Ok(caller.wait(Wake::Every(Duration::ZERO), || Some(file.allocate(offset, len, &quota)))??)
        }
        File::Volume(file) => {
            let mut at = offset;
            while at < end {
                let next = file.allocate(at, end, CHUNKS_AT_ONCE, WasiState::of(caller)?.terms())?;
                caller.charge_bytes((next - at).min(CHUNKS_AT_ONCE * CHUNK))?;
                caller.check()?;
                at = next;
            }
            Ok(())
        }
    }
}

pub(super) fn fd_sync(caller: &mut Caller<'_>, fd: u32) -> Done {
    sync(caller, fd, false)
}

pub(super) fn fd_datasync(caller: &mut Caller<'_>, fd: u32) -> Done {
    sync(caller, fd, true)
}

fn sync(caller: &mut Caller<'_>, fd: u32, data_only: bool) -> Done {
    let state = WasiState::of(caller)?;
    let file = match &state.descriptors.get(fd)?.kind {
        Kind::Stdin => return Ok(()),
        Kind::Stdout => return state.outputs[0].flush(),
        Kind::Stderr => return state.outputs[1].flush(),
        Kind::File(open) => open.file.on_disk(),
        Kind::Dir(open) => open.dir.on_disk()?,
    };
    let Some(file) = file else { return Ok(()) };
    let sync = || if data_only { file.sync_data() } else { file.sync_all() };
    // A disk takes its time; others may run meanwhile.
    Ok(caller.wait(Wake::Every(Duration::ZERO), || Some(sync()))??)
}

pub(super) fn fd_fdstat_get(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let state = WasiState::of(caller)?;
    let descriptor = state.descriptors.get(fd)?;
    let ty = match &descriptor.kind {
        Kind::Stdin => state.stdin.file_type(),
        Kind::Stdout => state.outputs[0].file_type(),
        Kind::Stderr => state.outputs[1].file_type(),
        Kind::File(_) => FileType::RegularFile,
        Kind::Dir(_) => FileType::Directory,
    };
    let (base, inheriting) = rights_of(descriptor);
    let stat = fdstat(ty, descriptor.flags, base, inheriting);
    Ok(caller.write(out, &stat)?)
}

/// What a descriptor can do, and what can be asked for when something is opened through it.
fn rights_of(descriptor: &Descriptor) -> (u64, u64) {
    let Descriptor { kind, dropped, .. } = descriptor;
    let (base, inheriting) = match kind {
        Kind::Stdin => (rights::STREAM | rights::FD_READ, 0),
        Kind::Stdout | Kind::Stderr => (rights::STREAM | rights::FD_WRITE, 0),
        Kind::File(file) => (rights::file(file.readable, file.writable), 0),
        Kind::Dir(_) => (rights::DIRECTORY, rights::INHERITING),
    };
    (base & !dropped.base, inheriting & !dropped.inheriting)
}

pub(super) fn fd_fdstat_set_flags(caller: &mut Caller<'_>, fd: u32, flags: u32) -> Done {
    let flags = u16::try_from(flags).ok().filter(|f| f & !FD_FLAGS == 0).ok_or(Errno::Invalid)?;
    let descriptor = WasiState::of(caller)?.descriptors.get_mut(fd)?;
    if (flags ^ descriptor.flags) & (FD_DSYNC | FD_RSYNC | FD_SYNC) != 0 {
        // The kernel cannot change these either once a file is open.
        return Err(Errno::NotSupported.into());
    }
    if let Kind::File(open) = &descriptor.kind {
        open.file.set_append(flags & FD_APPEND != 0)?;
    }
    descriptor.flags = flags;
    Ok(())
}

/// Gives rights away. None can be got back, and none be got that the descriptor did not have.
pub(super) fn fd_fdstat_set_rights(caller: &mut Caller<'_>, fd: u32, base: u64, inheriting: u64) -> Done {
    let descriptor = WasiState::of(caller)?.descriptors.get_mut(fd)?;
    let (had_base, had_inheriting) = rights_of(descriptor);
    if base & !had_base != 0 || inheriting & !had_inheriting != 0 {
        return Err(Errno::NotCapable.into());
    }
    descriptor.dropped = Dropped { base: !base, inheriting: !inheriting };
    Ok(())
}

pub(super) fn fd_filestat_get(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let state = WasiState::of(caller)?;
    let stat = match &state.descriptors.get(fd)?.kind {
        Kind::Stdin => stream_filestat(state.stdin.file_type()),
        Kind::Stdout => stream_filestat(state.outputs[0].file_type()),
        Kind::Stderr => stream_filestat(state.outputs[1].file_type()),
        Kind::File(open) => filestat(&open.file.stat()?),
        Kind::Dir(open) => filestat(&open.dir.stat_self()?),
    };
    Ok(caller.write(out, &stat)?)
}

pub(super) fn fd_filestat_set_size(caller: &mut Caller<'_>, fd: u32, size: u64) -> Done {
    let state = WasiState::of(caller)?;
    match &state.descriptors.get(fd)?.kind {
        // The same number on every backing and file system.
        Kind::File(open) if open.writable && i64::try_from(size).is_err() => Err(Errno::Invalid.into()),
        Kind::File(open) if open.writable => Ok(open.file.set_size(size, state.terms())?),
        Kind::File(OpenFile { access: Access::ReadOnly, .. }) => Err(Errno::ReadOnly.into()),
        Kind::File(_) => Err(Errno::BadFd.into()),
        Kind::Dir(_) => Err(Errno::IsDirectory.into()),
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::Invalid.into()),
    }
}

pub(super) fn fd_filestat_set_times(caller: &mut Caller<'_>, fd: u32, atim: u64, mtim: u64, flags: u32) -> Done {
    let times = new_times(atim, mtim, flags)?;
    let state = WasiState::of(caller)?;
    match &state.descriptors.get(fd)?.kind {
        Kind::File(OpenFile { access: Access::ReadOnly, .. }) => Err(Errno::ReadOnly.into()),
        Kind::File(open) => Ok(open.file.set_times(times, state.terms())?),
        Kind::Dir(open) => Ok(open.writable()?.set_own_times(times, state.terms())?),
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::Invalid.into()),
    }
}

/// The times to set, by `fstflags`.
pub(super) fn new_times(atim: u64, mtim: u64, flags: u32) -> Result<NewTimes, Errno> {
    let both = |a, b| flags & (a | b) == a | b;
    let unknown = flags & !(SET_ATIM | SET_ATIM_NOW | SET_MTIM | SET_MTIM_NOW) != 0;
    if unknown || both(SET_ATIM, SET_ATIM_NOW) || both(SET_MTIM, SET_MTIM_NOW) {
        return Err(Errno::Invalid);
    }
    let time = |set, now, ns| match flags {
        f if f & set != 0 => NewTime::At(ns),
        f if f & now != 0 => NewTime::Now,
        _ => NewTime::Keep,
    };
    Ok([time(SET_ATIM, SET_ATIM_NOW, atim), time(SET_MTIM, SET_MTIM_NOW, mtim)])
}

pub(super) fn fd_prestat_get(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let name = preopen(caller, fd)?;
    let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    Ok(caller.write(out, &prestat(len))?)
}

pub(super) fn fd_prestat_dir_name(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let name = preopen(caller, fd)?.to_owned();
    if (len as usize) < name.len() {
        return Err(Errno::NameTooLong.into());
    }
    caller.charge_bytes(name.len() as u64)?;
    Ok(caller.write(ptr, name.as_bytes())?)
}

/// The guest's name of the preopened directory `fd`. Guests ask from 3 upwards until there is none.
fn preopen<'a>(caller: &'a mut Caller<'_>, fd: u32) -> Done<&'a str> {
    match &WasiState::of(caller)?.descriptors.get(fd)?.kind {
        Kind::Dir(open) => Ok(open.preopen.as_deref().ok_or(Errno::BadFd)?),
        _ => Err(Errno::BadFd.into()),
    }
}

pub(super) fn fd_seek(caller: &mut Caller<'_>, fd: u32, offset: i64, whence: u32, out: u32) -> Done {
    let to = match whence {
        0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Invalid)?),
        1 => SeekFrom::Current(offset),
        2 => SeekFrom::End(offset),
        _ => return Err(Errno::Invalid.into()),
    };
    // Asking where it is takes less than moving it.
    let right = if to == SeekFrom::Current(0) { rights::FD_TELL } else { rights::FD_SEEK };
    WasiState::of(caller)?.descriptors.get(fd)?.allows(right)?;
    caller.bytes(out, 8)?;
    let position = file(caller, fd)?.file.seek(to)?;
    Ok(caller.write(out, &position.to_le_bytes())?)
}

pub(super) fn fd_tell(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let position = file(caller, fd)?.file.seek(SeekFrom::Current(0))?;
    Ok(caller.write(out, &position.to_le_bytes())?)
}

/// The file `fd`, for something that only files have.
fn file<'a>(caller: &'a mut Caller<'_>, fd: u32) -> Done<&'a OpenFile> {
    match &WasiState::of(caller)?.descriptors.get(fd)?.kind {
        Kind::File(open) => Ok(open),
        Kind::Dir(_) => Err(Errno::BadFd.into()),
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::NotSeekable.into()),
    }
}
