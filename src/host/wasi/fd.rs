//! Calls on one descriptor that move no data: closing, flags, metadata, positions, preopens.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::time::Duration;

use cap_std::fs::Metadata;
use cofferdam_engine::{Caller, Wake};
use rustix::fs::{OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::abi::{
    FD_APPEND, FD_DSYNC, FD_NONBLOCK, FD_RSYNC, FD_SYNC, FileType, SET_ATIM, SET_ATIM_NOW, SET_MTIM, SET_MTIM_NOW,
    fdstat, filestat, prestat, rights, stream_filestat,
};
use super::clock::ClockId;
use super::config::Access;
use super::descriptors::{Descriptor, Kind, OpenFile, readable};
use super::errno::{Done, Errno};
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

/// Reserving is refused: it would take disk from the host that no write was charged for.
pub(super) fn fd_allocate(caller: &mut Caller<'_>, fd: u32, _offset: u64, _len: u64) -> Done {
    file(caller, fd)?;
    Err(Errno::NotImplemented.into())
}

pub(super) fn fd_sync(caller: &mut Caller<'_>, fd: u32) -> Done {
    sync(caller, fd, File::sync_all)
}

pub(super) fn fd_datasync(caller: &mut Caller<'_>, fd: u32) -> Done {
    sync(caller, fd, File::sync_data)
}

fn sync(caller: &mut Caller<'_>, fd: u32, how: fn(&File) -> std::io::Result<()>) -> Done {
    let state = WasiState::of(caller)?;
    let file = match &state.descriptors.get(fd)?.kind {
        Kind::Stdin => return Ok(()),
        Kind::Stdout => return state.outputs[0].flush(),
        Kind::Stderr => return state.outputs[1].flush(),
        Kind::File(open) => open.file.clone(),
        Kind::Dir(open) => File::from(readable(&open.dir)?).into(),
    };
    // A disk takes its time; others may run meanwhile.
    Ok(caller.wait(Wake::Every(Duration::ZERO), || Some(how(&file)))??)
}

pub(super) fn fd_fdstat_get(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let state = WasiState::of(caller)?;
    let Descriptor { kind, flags } = state.descriptors.get(fd)?;
    let stat = match kind {
        Kind::Stdin => fdstat(state.stdin.file_type(), *flags, rights::STREAM | rights::FD_READ, 0),
        Kind::Stdout => fdstat(state.outputs[0].file_type(), *flags, rights::STREAM | rights::FD_WRITE, 0),
        Kind::Stderr => fdstat(state.outputs[1].file_type(), *flags, rights::STREAM | rights::FD_WRITE, 0),
        Kind::File(f) => fdstat(FileType::RegularFile, *flags, rights::file(f.readable, f.writable), 0),
        Kind::Dir(_) => fdstat(FileType::Directory, *flags, rights::DIRECTORY, rights::INHERITING),
    };
    Ok(caller.write(out, &stat)?)
}

pub(super) fn fd_fdstat_set_flags(caller: &mut Caller<'_>, fd: u32, flags: u32) -> Done {
    let flags = u16::try_from(flags).ok().filter(|f| f & !FD_FLAGS == 0).ok_or(Errno::Invalid)?;
    let descriptor = WasiState::of(caller)?.descriptors.get_mut(fd)?;
    if (flags ^ descriptor.flags) & (FD_DSYNC | FD_RSYNC | FD_SYNC) != 0 {
        // The kernel cannot change these either once a file is open.
        return Err(Errno::NotSupported.into());
    }
    if let Kind::File(open) = &descriptor.kind {
        let mut os = rustix::fs::fcntl_getfl(&*open.file)?;
        os.set(OFlags::APPEND, flags & FD_APPEND != 0);
        rustix::fs::fcntl_setfl(&*open.file, os)?;
    }
    descriptor.flags = flags;
    Ok(())
}

/// Rights are what the kind of a descriptor and its directory allow; they cannot be given away.
pub(super) fn fd_fdstat_set_rights(caller: &mut Caller<'_>, fd: u32, _base: u64, _inheriting: u64) -> Done {
    WasiState::of(caller)?.descriptors.get(fd)?;
    Err(Errno::NotImplemented.into())
}

pub(super) fn fd_filestat_get(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let state = WasiState::of(caller)?;
    let stat = match &state.descriptors.get(fd)?.kind {
        Kind::Stdin => stream_filestat(state.stdin.file_type()),
        Kind::Stdout => stream_filestat(state.outputs[0].file_type()),
        Kind::Stderr => stream_filestat(state.outputs[1].file_type()),
        Kind::File(open) => filestat(&Metadata::from_file(&open.file)?),
        Kind::Dir(open) => filestat(&open.dir.dir_metadata()?),
    };
    Ok(caller.write(out, &stat)?)
}

pub(super) fn fd_filestat_set_size(caller: &mut Caller<'_>, fd: u32, size: u64) -> Done {
    match &WasiState::of(caller)?.descriptors.get(fd)?.kind {
        Kind::File(open) if open.writable => Ok(open.file.set_len(size)?),
        Kind::File(OpenFile { access: Access::ReadOnly, .. }) => Err(Errno::ReadOnly.into()),
        Kind::File(_) => Err(Errno::BadFd.into()),
        Kind::Dir(_) => Err(Errno::IsDirectory.into()),
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::Invalid.into()),
    }
}

pub(super) fn fd_filestat_set_times(caller: &mut Caller<'_>, fd: u32, atim: u64, mtim: u64, flags: u32) -> Done {
    let state = WasiState::of(caller)?;
    let times = timestamps(state, atim, mtim, flags)?;
    match &state.descriptors.get(fd)?.kind {
        Kind::File(OpenFile { access: Access::ReadOnly, .. }) => Err(Errno::ReadOnly.into()),
        Kind::File(open) => Ok(rustix::fs::futimens(&*open.file, &times)?),
        Kind::Dir(open) => {
            let dir = open.writable()?;
            Ok(rustix::fs::utimensat(&**dir, ".", &times, rustix::fs::AtFlags::empty())?)
        }
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::Invalid.into()),
    }
}

/// The times to set, by `fstflags`. "Now" is the guest's own now where its clock is virtual.
pub(super) fn timestamps(state: &mut WasiState, atim: u64, mtim: u64, flags: u32) -> Result<Timestamps, Errno> {
    let both = |a, b| flags & (a | b) == a | b;
    let unknown = flags & !(SET_ATIM | SET_ATIM_NOW | SET_MTIM | SET_MTIM_NOW) != 0;
    if unknown || both(SET_ATIM, SET_ATIM_NOW) || both(SET_MTIM, SET_MTIM_NOW) {
        return Err(Errno::Invalid);
    }
    let clock = &state.clock;
    let special = |nanos| Timespec { tv_sec: 0, tv_nsec: nanos };
    let at = |ns: u64| Timespec {
        // Both fit: a 64-bit count of nanoseconds is less than 600 years.
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    };
    let time = |set, now, ns| match flags {
        f if f & set != 0 => at(ns),
        f if f & now != 0 && clock.is_virtual() => at(clock.now(ClockId::Realtime)),
        f if f & now != 0 => special(UTIME_NOW),
        _ => special(UTIME_OMIT),
    };
    Ok(Timestamps {
        last_access: time(SET_ATIM, SET_ATIM_NOW, atim),
        last_modification: time(SET_MTIM, SET_MTIM_NOW, mtim),
    })
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
    caller.bytes(out, 8)?;
    let position = (&*file(caller, fd)?.file).seek(to)?;
    Ok(caller.write(out, &position.to_le_bytes())?)
}

pub(super) fn fd_tell(caller: &mut Caller<'_>, fd: u32, out: u32) -> Done {
    let position = (&*file(caller, fd)?.file).stream_position()?;
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
