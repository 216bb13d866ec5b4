//! What is in a file of a memory file system: chunks over an optional base that is never changed.
//!
//! A file counts what it holds, before it is held. Where it has no base it counts its size, holes included,
//! in whole chunks; its end counts the next power of two from 512 bytes up. Where it has a base it counts
//! only the chunks that were written.

use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

use super::super::errno::Errno;
use super::super::quota::Pool;

/// Bytes that are held, copied and counted at once.
pub const CHUNK: u64 = 16 << 10;
/// What the end of a file counts at least.
const SMALLEST: u64 = 512;
/// The highest size of a file, and the highest position in one.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The bytes of one file.
#[derive(Default)]
pub struct Content {
    size: u64,
    chunks: BTreeMap<u64, Vec<u8>>,
    base: Option<Base>,
    /// How many of the chunks lie over the base.
    copied: u64,
    /// Bytes of scratch that were taken.
    charged: u64,
}

/// What a file is before anything is written to it.
pub struct Base {
    /// Where the bytes are.
    pub origin: Origin,
    /// How many of them show. Cutting the file makes it less.
    pub len: u64,
}

/// Where the bytes of a base are.
pub enum Origin {
    /// In memory, shared with whoever else was given them.
    Bytes(Arc<[u8]>),
    /// In a file of the host's, opened for reading.
    Host(Arc<std::fs::File>),
    /// In a file of the host's that nobody has open now.
    Closed,
}

impl Content {
    /// The content of `base`, unchanged.
    pub fn over(base: Base) -> Self {
        Self { size: base.len, base: Some(base), ..Self::default() }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of scratch that it has taken.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Whether there is something of the base that was not copied.
    pub fn needs_base(&self) -> bool {
        self.copied < self.covered()
    }

    /// The base, to open or close it.
    pub fn base_mut(&mut self) -> Option<&mut Base> {
        self.base.as_mut()
    }

    /// Fills `slices` from `at` on, and says how many bytes there were.
    pub fn read(&self, mut at: u64, slices: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        let mut done = 0;
        for slice in slices {
            let mut from = 0;
            while at < self.size
                && let Some(rest) = slice.get_mut(from..).filter(|rest| !rest.is_empty())
            {
                let n = match self.piece(at, rest) {
                    Ok(n) => n,
                    Err(_) if done > 0 => return Ok(done),
                    Err(errno) => return Err(errno),
                };
                at += n as u64;
                from += n;
                done += n;
            }
        }
        Ok(done)
    }

    /// Fills the beginning of `into`, as far as one look at the chunks goes: at least one byte.
    fn piece(&self, at: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
        let (index, within) = (at / CHUNK, (at % CHUNK) as usize);
        if let Some(chunk) = self.chunks.get(&index) {
            let n = into.len().min(left).min(CHUNK as usize - within);
            let (Some(into), held) = (into.get_mut(..n), chunk.get(within..).unwrap_or_default()) else {
                return Err(Errno::Io);
            };
            copy_or_zero(into, held);
            return Ok(n);
        }
        let next = self.chunks.range(index..).next().map_or(u64::MAX, |(i, _)| i.saturating_mul(CHUNK));
        let n = into.len().min(left).min(usize::try_from(next - at).unwrap_or(usize::MAX));
        let into = into.get_mut(..n).ok_or(Errno::Io)?;
        match &self.base {
            Some(base) if at < base.len => base.read(at, into),
            _ => {
                into.fill(0);
                Ok(n)
            }
        }
    }

    /// Puts `slices` at `at`, as far as `pool` pays for it, and says how many bytes that was.
    ///
    /// # Errors
    /// If nothing can be put there: the file would be too long, or the pool is used up.
    pub fn write(&mut self, mut at: u64, slices: &[IoSlice<'_>], pool: &Pool) -> Result<usize, Errno> {
        let wanted = slices.iter().map(|s| s.len()).sum::<usize>();
        if wanted > 0 && at >= MAX_SIZE {
            return Err(Errno::FileTooBig);
        }
        let mut done = 0;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let n = match self.put(at, rest, pool) {
                    Ok(n) => n,
                    Err(errno) => {
                        if errno == Errno::NoSpace {
                            pool.count_refusal();
                        }
                        return if done > 0 { Ok(done) } else { Err(errno) };
                    }
                };
                at += n as u64;
                done += n;
                rest = rest.get(n..).unwrap_or_default();
            }
        }
        Ok(done)
    }

    /// Puts the beginning of `bytes` at `at`, as much as goes into one chunk and is paid for.
    fn put(&mut self, at: u64, bytes: &[u8], pool: &Pool) -> Result<usize, Errno> {
        let (index, within) = (at / CHUNK, (at % CHUNK) as usize);
        let most = bytes.len().min(CHUNK as usize - within).min(usize::try_from(MAX_SIZE - at).unwrap_or(usize::MAX));
        if most == 0 {
            return Err(Errno::FileTooBig);
        }
        let copies = index < self.covered() && !self.chunks.contains_key(&index);
        // What does not fit whole may fit in part, to a lower power of two.
        let mut end = within + most;
        while !self.pay(self.size.max(index * CHUNK + end as u64), u64::from(copies), pool) {
            end = end.next_power_of_two() / 2;
            if end <= within || end < SMALLEST as usize {
                return Err(Errno::NoSpace);
            }
        }
        let n = end - within;
        let mut chunk = match self.chunks.remove(&index) {
            Some(chunk) => chunk,
            None if copies && n < CHUNK as usize => self.load(index)?,
            None => Vec::new(),
        };
        let last = index >= self.covered() && index >= self.size / CHUNK;
        let room = if last { end.next_power_of_two().max(SMALLEST as usize) } else { CHUNK as usize };
        let more = room.min(CHUNK as usize).saturating_sub(chunk.len());
        let roomy = chunk.capacity() >= end || chunk.try_reserve_exact(more).is_ok();
        if roomy {
            if chunk.len() < within {
                chunk.resize(within, 0);
            }
            let (over, new) = bytes.get(..n).unwrap_or_default().split_at((chunk.len() - within).min(n));
            chunk.get_mut(within..within + over.len()).ok_or(Errno::Io)?.copy_from_slice(over);
            chunk.extend_from_slice(new);
            self.size = self.size.max(at + n as u64);
        }
        if roomy || !copies {
            self.chunks.insert(index, chunk);
            self.copied += u64::from(copies);
        }
        if roomy { Ok(n) } else { Err(Errno::NoSpace) }
    }

    /// The chunk `index` of the base.
    fn load(&self, index: u64) -> Result<Vec<u8>, Errno> {
        let Some(base) = &self.base else { return Ok(Vec::new()) };
        let at = index * CHUNK;
        let len = base.len.saturating_sub(at).min(CHUNK) as usize;
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK as usize).map_err(|_| Errno::NoSpace)?;
        chunk.resize(len, 0);
        let mut from = 0;
        while let Some(rest) = chunk.get_mut(from..).filter(|rest| !rest.is_empty()) {
            from += base.read(at + from as u64, rest)?;
        }
        Ok(chunk)
    }

    /// Cuts or lengthens it.
    pub fn set_size(&mut self, size: u64, pool: &Pool) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::FileTooBig);
        }
        if size >= self.size {
            if !self.pay(size, 0, pool) {
                pool.count_refusal();
                return Err(Errno::NoSpace);
            }
            self.size = size;
            return Ok(());
        }
        self.size = size;
        drop(self.chunks.split_off(&size.div_ceil(CHUNK)));
        let (last, end) = (size / CHUNK, (size % CHUNK) as usize);
        if let Some(base) = &mut self.base {
            base.len = base.len.min(size);
        }
        let covered = self.covered();
        if let Some(chunk) = self.chunks.get_mut(&last) {
            chunk.truncate(end);
            if last >= covered {
                chunk.shrink_to(end.next_power_of_two().max(SMALLEST as usize));
            }
        }
        if self.base.is_some() {
            self.copied = self.chunks.range(..covered).count() as u64;
        }
        let cost = self.cost(size, 0);
        pool.give_back(self.charged.saturating_sub(cost));
        self.charged = self.charged.min(cost);
        Ok(())
    }

    /// Makes sure that writes up to `end` are paid for. Chunks of the base in between are copied, beginning
    /// at `from`, at most `most` of them; says where to go on.
    pub fn allocate(&mut self, from: u64, end: u64, most: u64, pool: &Pool) -> Result<u64, Errno> {
        if end > self.size {
            self.set_size(end, pool)?;
        }
        let stop = end.min(self.covered().saturating_mul(CHUNK));
        let mut at = from;
        for _ in 0..most {
            if at >= stop {
                break;
            }
            let index = at / CHUNK;
            if !self.chunks.contains_key(&index) {
                if !self.pay(self.size, 1, pool) {
                    pool.count_refusal();
                    return Err(Errno::NoSpace);
                }
                let chunk = self.load(index)?;
                self.copied += 1;
                self.chunks.insert(index, chunk);
            }
            at = (index + 1) * CHUNK;
        }
        Ok(if at >= stop { end } else { at })
    }

    /// Chunks that lie over the base, in whole or in part.
    fn covered(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.len.div_ceil(CHUNK))
    }

    /// What it counts with this size and so many more chunks over the base.
    fn cost(&self, size: u64, copies: u64) -> u64 {
        let dense = size.saturating_sub(self.covered() * CHUNK);
        let end = match dense % CHUNK {
            0 => 0,
            tail => tail.next_power_of_two().max(SMALLEST),
        };
        (self.copied + copies) * CHUNK + dense / CHUNK * CHUNK + end
    }

    /// Takes what it will count more than now; `false` if that is not there.
    fn pay(&mut self, size: u64, copies: u64, pool: &Pool) -> bool {
        let cost = self.cost(size, copies);
        let more = cost.saturating_sub(self.charged);
        let paid = pool.try_take(more);
        if paid {
            self.charged += more;
        }
        paid
    }
}

impl Base {
    /// Fills the beginning of `into` from `at`, which is below `len`: at least one byte.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let n = into.len().min(usize::try_from(self.len - at).unwrap_or(usize::MAX));
        let into = into.get_mut(..n).ok_or(Errno::Io)?;
        match &self.origin {
            Origin::Bytes(bytes) => {
                let held = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                copy_or_zero(into, held);
                Ok(n)
            }
            Origin::Host(file) => match rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *into, at))? {
                // Somebody has made it shorter.
                0 => {
                    into.fill(0);
                    Ok(n)
                }
                read => Ok(read.min(n)),
            },
            Origin::Closed => Err(Errno::Io),
        }
    }
}

/// Fills `into` with `held`, and with zeros where that ends.
fn copy_or_zero(into: &mut [u8], held: &[u8]) {
    let (copied, zeros) = into.split_at_mut(held.len().min(into.len()));
    copied.copy_from_slice(held.get(..copied.len()).unwrap_or_default());
    zeros.fill(0);
}
