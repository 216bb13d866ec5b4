//! Reading and writing: straight between the host's files and the guest's memory, with no copy between.
//!
//! Long transfers go in chunks. A write pays for each chunk before it is moved, a read after, because
//! only then is it known how much there was: so at most one chunk is ever moved unpaid.

use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use cofferdam_engine::{Caller, HostError, Limit, OutOfBounds};

use super::abi::{FD_NONBLOCK, IOVEC};
use super::descriptors::{Kind, OpenFile};
use super::errno::{Done, Errno, Failure};
use super::state::WasiState;
use super::stream::Blocked;

/// Bytes moved at a time.
pub(super) const CHUNK: u32 = 256 << 10;

/// Ranges in one system call.
const RANGES: usize = 64;

/// Fuel for each range of a list.
const RANGE_PRICE: u64 = 30;

/// Fuel for each system call beyond the first that one call of the guest leads to.
const AGAIN_PRICE: u64 = 500;

pub(super) fn fd_read(caller: &mut Caller<'_>, fd: u32, iovs: u32, count: u32, out: u32) -> Done {
    let iovs = Iovs::read(caller, iovs, count)?;
    caller.bytes(out, 4)?;
    let state = WasiState::of(caller)?;
    let (descriptor, whole) = (state.descriptors.get(fd)?, state.whole);
    let n = match &descriptor.kind {
        Kind::Stdin => {
            let wait = descriptor.flags & FD_NONBLOCK == 0 || whole;
            read_stdin(caller, &iovs, wait)?
        }
        Kind::File(file) if file.readable => {
            let file = file.clone();
            read_file(caller, &file, iovs, None)?
        }
        Kind::Dir(_) => return Err(Errno::IsDirectory.into()),
        Kind::Stdout | Kind::Stderr | Kind::File(_) => return Err(Errno::BadFd.into()),
    };
    Ok(caller.write(out, &n.to_le_bytes())?)
}

pub(super) fn fd_pread(caller: &mut Caller<'_>, fd: u32, iovs: u32, count: u32, offset: u64, out: u32) -> Done {
    let iovs = Iovs::read(caller, iovs, count)?;
    caller.bytes(out, 4)?;
    let file = positioned(caller, fd)?;
    if !file.readable {
        return Err(Errno::BadFd.into());
    }
    let n = read_file(caller, &file, iovs, Some(offset))?;
    Ok(caller.write(out, &n.to_le_bytes())?)
}

pub(super) fn fd_write(caller: &mut Caller<'_>, fd: u32, iovs: u32, count: u32, out: u32) -> Done {
    let iovs = Iovs::read(caller, iovs, count)?;
    caller.bytes(out, 4)?;
    let state = WasiState::of(caller)?;
    let descriptor = state.descriptors.get(fd)?;
    let wait = descriptor.flags & FD_NONBLOCK == 0 || state.whole;
    let n = match &descriptor.kind {
        Kind::Stdout => write_output(caller, 0, iovs, wait)?,
        Kind::Stderr => write_output(caller, 1, iovs, wait)?,
        Kind::File(file) if file.writable => {
            let file = file.clone();
            write_file(caller, &file, iovs, None)?
        }
        Kind::Dir(_) => return Err(Errno::IsDirectory.into()),
        Kind::Stdin | Kind::File(_) => return Err(Errno::BadFd.into()),
    };
    Ok(caller.write(out, &n.to_le_bytes())?)
}

pub(super) fn fd_pwrite(caller: &mut Caller<'_>, fd: u32, iovs: u32, count: u32, offset: u64, out: u32) -> Done {
    let iovs = Iovs::read(caller, iovs, count)?;
    caller.bytes(out, 4)?;
    let file = positioned(caller, fd)?;
    if !file.writable {
        return Err(Errno::BadFd.into());
    }
    let n = write_file(caller, &file, iovs, Some(offset))?;
    Ok(caller.write(out, &n.to_le_bytes())?)
}

/// The file `fd`, which must be something that has positions.
fn positioned(caller: &mut Caller<'_>, fd: u32) -> Done<OpenFile> {
    match &WasiState::of(caller)?.descriptors.get(fd)?.kind {
        Kind::File(file) => Ok(file.clone()),
        Kind::Dir(_) => Err(Errno::IsDirectory.into()),
        Kind::Stdin | Kind::Stdout | Kind::Stderr => Err(Errno::NotSeekable.into()),
    }
}

fn read_file(caller: &mut Caller<'_>, file: &OpenFile, mut iovs: Iovs, offset: Option<u64>) -> Done<u32> {
    let mut done = 0;
    while !iovs.is_empty() {
        let windows = iovs.upcoming(CHUNK);
        let (_, memory) = WasiState::and_memory(caller)?;
        let at = offset.map(|at| at.saturating_add(done.into()));
        let read = |slices: &mut [IoSliceMut<'_>]| file.file.read(slices, at);
        // Ranges that overlap cannot be lent out at once; they are filled one after the other.
        let (asked, n) = match disjoint(memory, &windows) {
            Some(mut slices) => (windows.iter().map(Range::len).sum(), read(&mut slices)),
            None => {
                let Some(first) = windows.first() else { break };
                let slice = memory.get_mut(first.clone()).ok_or(OutOfBounds)?;
                (first.len(), read(&mut [IoSliceMut::new(slice)]))
            }
        };
        let n = match n {
            Ok(n) => n.min(asked),
            Err(_) if done > 0 => break,
            Err(error) => return Err(error.into()),
        };
        caller.charge_bytes(n as u64)?;
        // At most `CHUNK`, and the sum of all was checked.
        done += n as u32;
        if n < asked {
            break;
        }
        iovs.advance(n);
        if !iovs.is_empty() {
            caller.charge(AGAIN_PRICE)?;
        }
    }
    Ok(done)
}

fn write_file(caller: &mut Caller<'_>, file: &OpenFile, mut iovs: Iovs, offset: Option<u64>) -> Done<u32> {
    let mut done = 0;
    while !iovs.is_empty() {
        let windows = iovs.upcoming(CHUNK);
        let asked = windows.iter().map(Range::len).sum::<usize>();
        caller.charge_bytes(asked as u64)?;
        let (state, memory) = WasiState::and_memory(caller)?;
        let at = offset.map(|at| at.saturating_add(done.into()));
        let n = match file.file.write(&shared(memory, &windows)?, at, state.terms()) {
            Ok(n) => n.min(asked),
            Err(_) if done > 0 => break,
            Err(error) => return Err(error.into()),
        };
        done += n as u32;
        if n < asked {
            break;
        }
        iovs.advance(n);
        if !iovs.is_empty() {
            caller.charge(AGAIN_PRICE)?;
        }
    }
    Ok(done)
}

/// Reads into the first range alone: whether there is more can only be found out by waiting for it. What is
/// there is enough, unless the range is to be filled as far as there is anything to come.
fn read_stdin(caller: &mut Caller<'_>, iovs: &Iovs, wait: bool) -> Done<u32> {
    let Some(mut range) = iovs.upcoming(CHUNK).into_iter().next() else { return Ok(0) };
    let mut done = 0;
    while !range.is_empty() {
        let (state, memory) = WasiState::and_memory(caller)?;
        let fill = state.whole && !state.stdin.is_terminal();
        let buffer = memory.get_mut(range.clone()).ok_or(OutOfBounds)?;
        match state.stdin.read(buffer) {
            Ok(n) => {
                let n = n.min(range.len());
                caller.charge_bytes(n as u64)?;
                // At most `CHUNK`.
                done += n as u32;
                range.start += n;
                if n == 0 || !fill {
                    break;
                }
            }
            Err(Blocked::Failed(Failure::Errno(_))) if done > 0 => break,
            Err(blocked) => blocked.wait(caller, wait)?,
        }
    }
    Ok(done)
}

fn write_output(caller: &mut Caller<'_>, which: usize, mut iovs: Iovs, wait: bool) -> Done<u32> {
    let (mut done, mut paid) = (0, 0);
    while !iovs.is_empty() {
        if paid == 0 {
            let chunk = iovs.upcoming(CHUNK).iter().map(Range::len).sum::<usize>();
            caller.charge_bytes(chunk as u64)?;
            paid = chunk;
        }
        let (state, memory) = WasiState::and_memory(caller)?;
        let room = usize::try_from(state.output_left).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(HostError::Limit(Limit::Output).into());
        }
        let windows = iovs.upcoming(u32::try_from(paid.min(room)).unwrap_or(CHUNK));
        let Some(sink) = state.outputs.get_mut(which) else { return Err(Errno::BadFd.into()) };
        let n = match sink.write(&shared(memory, &windows)?) {
            Ok(0) => break,
            Ok(n) => n.min(paid.min(room)),
            Err(Blocked::Failed(Failure::Errno(_))) if done > 0 => break,
            Err(Blocked::On(_)) if done > 0 && !wait => break,
            Err(blocked) => {
                blocked.wait(caller, wait)?;
                continue;
            }
        };
        state.output_left -= n as u64;
        if let (Some(open), Some(last)) = (state.open_line.get_mut(which), last_byte(memory, &windows, n)) {
            *open = last != b'\n';
        }
        done += n as u32;
        paid -= n;
        iovs.advance(n);
    }
    Ok(done)
}

/// The last of the first `n` bytes of `windows`.
fn last_byte(memory: &[u8], windows: &[Range<usize>], n: usize) -> Option<u8> {
    let mut at = n.checked_sub(1)?;
    for window in windows {
        match at.checked_sub(window.len()) {
            None => return memory.get(window.start + at).copied(),
            Some(rest) => at = rest,
        }
    }
    None
}

/// `len` bytes of `memory` at `start`.
pub(super) fn slice_mut(memory: &mut [u8], start: usize, len: usize) -> Result<&mut [u8], OutOfBounds> {
    let end = start.checked_add(len).ok_or(OutOfBounds)?;
    memory.get_mut(start..end).ok_or(OutOfBounds)
}

/// A scatter or gather list, copied out of the guest's memory before any of it is written, and checked:
/// every range lies inside the memory, and together they are less than 4 GiB.
struct Iovs {
    ranges: Vec<Range<usize>>,
    /// How many ranges are done with.
    at: usize,
}

impl Iovs {
    fn read(caller: &mut Caller<'_>, ptr: u32, count: u32) -> Done<Self> {
        if count > WasiState::of(caller)?.limits.iovs {
            return Err(Errno::Invalid.into());
        }
        let len = count.checked_mul(IOVEC).ok_or(Errno::Invalid)?;
        caller.charge(u64::from(count) * RANGE_PRICE)?;
        let size = caller.memory_size();
        let mut ranges = Vec::with_capacity(count as usize);
        let mut total = 0_u32;
        for iov in caller.bytes(ptr, len)?.chunks_exact(IOVEC as usize) {
            let word = |at| iov.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
            let (start, len) = (word(0) as usize, word(4));
            let end = start.checked_add(len as usize).filter(|end| *end <= size).ok_or(OutOfBounds)?;
            total = total.checked_add(len).ok_or(Errno::Invalid)?;
            if len > 0 {
                ranges.push(start..end);
            }
        }
        Ok(Self { ranges, at: 0 })
    }

    fn is_empty(&self) -> bool {
        self.at >= self.ranges.len()
    }

    /// The next ranges, together at most `max` bytes, and few enough that looking at them again after
    /// each short write costs little.
    fn upcoming(&self, max: u32) -> Vec<Range<usize>> {
        let mut left = max as usize;
        let mut next = Vec::new();
        for range in self.ranges.iter().skip(self.at).take(RANGES) {
            if left == 0 {
                break;
            }
            let len = range.len().min(left);
            next.push(range.start..range.start + len);
            left -= len;
        }
        next
    }

    /// The next `n` bytes are done with.
    fn advance(&mut self, mut n: usize) {
        while let Some(range) = self.ranges.get_mut(self.at) {
            let len = range.len().min(n);
            range.start += len;
            n -= len;
            if range.start < range.end {
                break;
            }
            self.at += 1;
        }
    }
}

/// All of `ranges` to be written at once; `None` if two of them overlap.
fn disjoint<'m>(memory: &'m mut [u8], ranges: &[Range<usize>]) -> Option<Vec<IoSliceMut<'m>>> {
    if let [only] = ranges {
        return Some(vec![IoSliceMut::new(memory.get_mut(only.clone())?)]);
    }
    let mut order = (0..ranges.len()).collect::<Vec<_>>();
    order.sort_unstable_by_key(|i| ranges.get(*i).map(|r| r.start));
    let (mut rest, mut offset) = (memory, 0);
    let mut slices = Vec::with_capacity(ranges.len());
    for i in order {
        let range = ranges.get(i)?;
        let (_, from) = rest.split_at_mut_checked(range.start.checked_sub(offset)?)?;
        let (slice, after) = from.split_at_mut_checked(range.len())?;
        slices.push((i, IoSliceMut::new(slice)));
        (rest, offset) = (after, range.end);
    }
    slices.sort_unstable_by_key(|(i, _)| *i);
    Some(slices.into_iter().map(|(_, slice)| slice).collect())
}

/// All of `ranges` to be read at once.
fn shared<'m>(memory: &'m [u8], ranges: &[Range<usize>]) -> Result<Vec<IoSlice<'m>>, OutOfBounds> {
    ranges.iter().map(|r| memory.get(r.clone()).map(IoSlice::new).ok_or(OutOfBounds)).collect()
}
