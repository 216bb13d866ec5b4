//! What WASIX programs use of our own WASI: its directories, its streams, its caps and its accounts.

mod files;

use std::io::IoSlice;

use cofferdam_engine::{Caller, HostError, Limit};

use super::WasiLimits;
use super::calls;
use super::descriptors::{Kind, OpenDir};
use super::errno::{Done, Errno, Failure};
use super::io::CHUNK;
use super::state::{Strings, WasiState};

pub(in crate::host) use files::Files;

/// What the bridge is told: what was done, an error number for the guest, or what ends the guest.
type Told<T> = Result<Result<T, u16>, HostError>;

fn told<T>(done: Done<T>) -> Told<T> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(Failure::Errno(errno)) => Ok(Err(errno as u16)),
        Err(Failure::Stop(error)) => Err(error),
    }
}

/// Writes all of `bytes` to the guest's standard output or standard error, counted and waited for as in preview 1.
/// They are paid for already.
pub(in crate::host) fn write_all(caller: &mut Caller<'_>, to_stderr: bool, bytes: &[u8]) -> Told<()> {
    told(write(caller, usize::from(to_stderr), bytes))
}

fn write(caller: &mut Caller<'_>, which: usize, mut bytes: &[u8]) -> Done {
    while !bytes.is_empty() {
        let state = WasiState::of(caller)?;
        let room = usize::try_from(state.output_left).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(HostError::Limit(Limit::Output).into());
        }
        let part = bytes.get(..room.min(CHUNK as usize)).unwrap_or(bytes);
        let Some(sink) = state.outputs.get_mut(which) else { return Err(Errno::BadFd.into()) };
        let n = match sink.write(&[IoSlice::new(part)]) {
            Ok(0) => return Ok(()),
            Ok(n) => n.min(part.len()),
            Err(blocked) => {
                blocked.wait(caller, true)?;
                continue;
            }
        };
        state.output_left -= n as u64;
        if let (Some(open), Some(last)) = (state.open_line.get_mut(which), part.get(..n).and_then(<[u8]>::last)) {
            *open = *last != b'\n';
        }
        bytes = bytes.get(n..).unwrap_or_default();
    }
    Ok(())
}

/// Reads at most `most` bytes of the guest's standard input, waiting for the first of them; none at its end.
pub(in crate::host) fn read_some(caller: &mut Caller<'_>, most: usize) -> Told<Vec<u8>> {
    told(read(caller, most))
}

fn read(caller: &mut Caller<'_>, most: usize) -> Done<Vec<u8>> {
    let mut buffer = vec![0; most];
    loop {
        match WasiState::of(caller)?.stdin.read(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(blocked) => blocked.wait(caller, true)?,
        }
    }
}

/// Pays for what a call has found to do beyond its price.
pub(in crate::host) fn settle(caller: &mut Caller<'_>) -> Result<(), HostError> {
    calls::settle(caller)
}

impl Strings {
    fn list(&self) -> Vec<String> {
        let strings = self.bytes().split(|byte| *byte == 0).take(self.starts().len());
        strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
    }
}

impl WasiState {
    /// Arguments, the program's name first.
    pub(in crate::host) fn arguments(&self) -> Vec<String> {
        self.args.list()
    }

    /// Variables, as `NAME=VALUE`.
    pub(in crate::host) fn variables(&self) -> Vec<String> {
        self.env.list()
    }

    /// The caps that hold for WASIX as well.
    pub(in crate::host) fn caps(&self) -> &WasiLimits {
        &self.limits
    }

    /// The directories that the guest was given, by its names for them, in order.
    pub(in crate::host) fn directories(&self) -> Vec<(String, Files)> {
        let numbers = 3..self.limits.open_files;
        let dirs = numbers.map_while(|fd| match &self.descriptors.get(fd).ok()?.kind {
            Kind::Dir(OpenDir { dir, access, preopen: Some(name), .. }) => {
                Some((name.to_string(), Files::new(dir.clone(), *access, self)))
            }
            _ => None,
        });
        dirs.collect()
    }
}
