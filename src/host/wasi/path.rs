//! Calls on paths. A path is resolved beneath the directory it is relative to, by what stands behind it (see
//! `fs`), never by looking at the string; what the string itself rules out (absolute, NUL, no UTF-8) is refused first.
//!
//! What leads out is refused with `EPERM`, what a read-only directory does not allow with `EROFS`. Links
//! that a guest makes only ever lead downwards from where they are, so that whatever it renames
//! afterwards, another program that follows them stays inside too.

use cap_fs_ext::FollowSymlinks;
use cofferdam_engine::Caller;

use super::abi::{LOOKUP_FOLLOW, filestat};
use super::errno::{Done, Errno};
use super::fd::new_times;
use super::fs::{Dir, Terms};
use super::readdir::pay;
use super::state::WasiState;

/// Fuel for each byte of a path: two of them may be a component, and each component is looked up.
const PATH_BYTE_PRICE: u64 = 30;
/// Components of a symbolic link that a guest makes on the host: whoever walks it later pays for no more than
/// the path that leads to it.
const MAX_TARGET_NAMES: usize = 64;

pub(super) fn path_create_directory(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let (dir, terms) = changing(caller, fd)?;
    Ok(dir.create_dir(&path, terms)?)
}

pub(super) fn path_remove_directory(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let path = path.trim_end_matches('/');
    let dir = changing(caller, fd)?.0.clone();
    let base_shows = dir.base_shows(path, &mut |entries| pay(caller, entries))?;
    let (dir, terms) = changing(caller, fd)?;
    Ok(dir.remove_dir(path, base_shows, terms)?)
}

pub(super) fn path_unlink_file(caller: &mut Caller<'_>, fd: u32, ptr: u32, len: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let (dir, terms) = changing(caller, fd)?;
    if path.ends_with('/') {
        // Only a directory may be called so, and a directory is not unlinked.
        dir.stat(&path, FollowSymlinks::Yes)?;
        return Err(Errno::IsDirectory.into());
    }
    Ok(dir.unlink(&path, terms)?)
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
    let to = changing_both(caller, old_fd, new_fd)?.1.clone();
    let base_shows = to.base_shows(&new, &mut |entries| pay(caller, entries))?;
    let (from, to, terms) = changing_both(caller, old_fd, new_fd)?;
    Ok(from.rename(&old, to, &new, base_shows, terms)?)
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
    let (from, to, terms) = changing_both(caller, old_fd, new_fd)?;
    Ok(from.link(&old, to, &new, terms)?)
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
    let (dir, terms) = changing(caller, fd)?;
    let names = target.split('/').filter(|name| !name.is_empty()).count();
    if matches!(dir, Dir::Host(_)) && names > MAX_TARGET_NAMES {
        return Err(Errno::NameTooLong.into());
    }
    Ok(dir.symlink(&target, &link, terms)?)
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
    let target = WasiState::of(caller)?.descriptors.dir(fd)?.dir.read_link(&path)?;
    let target = target.as_bytes();
    let part = target.get(..buf_len as usize).unwrap_or(target);
    caller.charge_bytes(part.len() as u64)?;
    caller.write(buf, part)?;
    let n = u32::try_from(part.len()).map_err(|_| Errno::Overflow)?;
    Ok(caller.write(out, &n.to_le_bytes())?)
}

pub(super) fn path_filestat_get(caller: &mut Caller<'_>, fd: u32, flags: u32, ptr: u32, len: u32, out: u32) -> Done {
    let path = read_path(caller, ptr, len)?;
    let follow = lookup(flags)?;
    let stat = WasiState::of(caller)?.descriptors.dir(fd)?.dir.stat(&path, follow)?;
    Ok(caller.write(out, &filestat(&stat))?)
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
    let times = new_times(atim, mtim, times)?;
    let (dir, terms) = changing(caller, fd)?;
    Ok(dir.set_times(&path, follow, times, terms)?)
}

/// The directory `fd`, if something may be changed in it.
fn changing<'c>(caller: &'c mut Caller<'_>, fd: u32) -> Done<(&'c Dir, Terms<'c>)> {
    let state = WasiState::of(caller)?;
    Ok((state.descriptors.dir(fd)?.writable()?, state.terms()))
}

/// The directories `from` and `to`, if something may be changed in both.
fn changing_both<'c>(caller: &'c mut Caller<'_>, from: u32, to: u32) -> Done<(&'c Dir, &'c Dir, Terms<'c>)> {
    let state = WasiState::of(caller)?;
    let from = state.descriptors.dir(from)?.writable()?;
    Ok((from, state.descriptors.dir(to)?.writable()?, state.terms()))
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
