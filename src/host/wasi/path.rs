//! Calls on paths. A path is resolved beneath the directory it is relative to, by cap-std, never by
//! looking at the string; what the string itself rules out (absolute, NUL, no UTF-8) is refused first.
//!
//! What leads out is refused with `EPERM`, what a read-only directory does not allow with `EROFS`. Links
//! that a guest makes only ever lead downwards from where they are, so that whatever it renames
//! afterwards, another program that follows them stays inside too.

use std::sync::Arc;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use cofferdam_engine::Caller;
use rustix::fs::{AtFlags, OFlags};

use super::abi::{LOOKUP_FOLLOW, filestat};
use super::errno::{Done, Errno};
use super::fd::timestamps;
use super::state::WasiState;

/// Fuel for each byte of a path: two of them may be a component, and each component is looked up.
const PATH_BYTE_PRICE: u64 = 30;

pub(super) fn path_create_directory(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    Ok(changing(caller, fd)?.create_dir(path)?)
}

pub(super) fn path_remove_directory(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let trimmed = path.trim_end_matches('/');
    Ok(changing(caller, fd)?.remove_dir(trimmed)?)
}

pub(super) fn path_unlink_file(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let dir = changing(caller, fd)?;
    if path.ends_with('/') {
        // Only a directory may be called so, and a directory is not unlinked.
        dir.metadata(path)?;
        return Err(Errno::IsDirectory.into());
    }
    Ok(dir.remove_file(path)?)
}

pub(super) fn path_rename(
    caller: &mut Caller<'_>,
    old_fd: u32,
    old_ptr: u32,
    old_len: u32,
    new_fd: u32,
    new_ptr: u32,
    new_len: u32,
) -> Done {
    let old = read_path(caller, old_ptr, old_len)?;
    let new = read_path(caller, new_ptr, new_len)?;
    let from = changing(caller, old_fd)?;
    let to = changing(caller, new_fd)?;
    Ok(from.rename(old, &to, new)?)
}

/// Both directories must be writable: a second name would otherwise let a guest write to a file that it
/// was only given to read.
#[expect(clippy::too_many_arguments, reason = "the signature is preview 1's")]
pub(super) fn path_link(
    caller: &mut Caller<'_>,
    old_fd: u32,
    old_flags: u32,
    old_ptr: u32,
    old_len: u32,
    new_fd: u32,
    new_ptr: u32,
    new_len: u32,
) -> Done {
    let old = read_path(caller, old_ptr, old_len)?;
    let new = read_path(caller, new_ptr, new_len)?;
    if lookup(old_flags)? == FollowSymlinks::Yes {
        return Err(Errno::Invalid.into());
    }
    let from = changing(caller, old_fd)?;
    let to = changing(caller, new_fd)?;
    Ok(from.hard_link(old, &to, new)?)
}

pub(super) fn path_symlink(
    caller: &mut Caller<'_>,
    old_ptr: u32,
    old_len: u32,
    fd: u32,
    new_ptr: u32,
    new_len: u32,
) -> Done {
    let target = read_path(caller, old_ptr, old_len)?;
    let link = read_path(caller, new_ptr, new_len)?;
    if target.split('/').any(|part| part == "..") {
        return Err(Errno::Permission.into());
    }
    Ok(changing(caller, fd)?.symlink(target, link)?)
}

pub(super) fn path_readlink(
    caller: &mut Caller<'_>,
    fd: u32,
    ptr: u32,
    len: u32,
    buf: u32,
    buf_len: u32,
    out: u32,
) -> Done {
    let path = read_path(caller, ptr, len)?;
    caller.bytes(buf, buf_len)?;
    caller.bytes(out, 4)?;
    let target = WasiState::of(caller)?.descriptors.dir(fd)?.dir.read_link(path)?;
    let target = target.to_str().ok_or(Errno::IllegalSequence)?.as_bytes();
    let part = target.get(..buf_len as usize).unwrap_or(target);
    caller.charge_bytes(part.len() as u64)?;
    caller.write(buf, part)?;
    let n = u32::try_from(part.len()).map_err(|_| Errno::Overflow)?;
    Ok(caller.write(out, &n.to_le_bytes())?)
}

pub(super) fn path_filestat_get(caller: &mut Caller<'_>, fd: u32, flags: u32, ptr: u32, len: u32, out: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let follow = lookup(flags)?;
    let dir = &WasiState::of(caller)?.descriptors.dir(fd)?.dir;
    let metadata = match follow {
        FollowSymlinks::Yes => dir.metadata(path)?,
        FollowSymlinks::No => dir.symlink_metadata(path)?,
    };
    Ok(caller.write(out, &filestat(&metadata))?)
}

#[expect(clippy::too_many_arguments, reason = "the signature is preview 1's")]
pub(super) fn path_filestat_set_times(
    caller: &mut Caller<'_>,
    fd: u32,
    flags: u32,
    ptr: u32,
    len: u32,
    atim: u64,
    mtim: u64,
    times: u32,
) -> Done {
    let path = read_path(caller, ptr, len)?;
    let follow = lookup(flags)?;
    let times = timestamps(WasiState::of(caller)?, atim, mtim, times)?;
    let dir = changing(caller, fd)?;
    // Only a reference, not really open: so that a FIFO cannot block and a device is left alone.
    let mut options = OpenOptions::new();
    options.read(true).follow(follow).custom_flags(OFlags::PATH.bits().cast_signed());
    let file = dir.open_with(path, &options)?;
    Ok(rustix::fs::utimensat(&file, "", &times, AtFlags::EMPTY_PATH)?)
}

/// The directory `fd`, if something may be changed in it.
fn changing(caller: &mut Caller<'_>, fd: u32) -> Done<Arc<Dir>> {
    Ok(WasiState::of(caller)?.descriptors.dir(fd)?.writable()?.clone())
}

/// `lookupflags`.
pub(super) fn lookup(flags: u32) -> Result<FollowSymlinks, Errno> {
    match flags {
        0 => Ok(FollowSymlinks::No),
        LOOKUP_FOLLOW => Ok(FollowSymlinks::Yes),
        _ => Err(Errno::Invalid),
    }
}

/// A relative path out of the guest's memory, paid for by its length.
pub(super) fn read_path(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done<String> {
    if len > WasiState::of(caller)?.limits.path_bytes {
        return Err(Errno::NameTooLong.into());
    }
    caller.charge(u64::from(len) * PATH_BYTE_PRICE)?;
    let path = std::str::from_utf8(caller.bytes(ptr, len)?).map_err(|_| Errno::IllegalSequence)?;
    if path.contains('\0') {
        return Err(Errno::Invalid.into());
    }
    if path.is_empty() {
        return Err(Errno::NotFound.into());
    }
    if path.starts_with('/') {
        return Err(Errno::Permission.into());
    }
    Ok(path.to_owned())
}
