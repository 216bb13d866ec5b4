//! Randomness: `random_get`, from the operating system or from a seed.

use cofferdam_engine::Caller;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::rand::{GetRandomFlags, getrandom};

use super::config::Random;
use super::errno::{Done, Errno};
use super::io::{CHUNK, slice_mut};
use super::state::WasiState;

/// Where random bytes come from.
pub(in crate::host) enum Source {
    System,
    Seeded(Box<ChaCha12Rng>),
}

impl Source {
    pub(in crate::host) fn new(random: Random) -> Self {
        match random {
            Random::Real => Self::System,
            Random::Seeded(seed) => {
                // The seed as it is, rather than expanded by a crate's own recipe, which a release may change.
                let mut key = [0; 32];
                key.iter_mut().zip(seed.to_le_bytes()).for_each(|(k, s)| *k = s);
                Self::Seeded(Box::new(ChaCha12Rng::from_seed(key)))
            }
        }
    }

    pub(in crate::host) fn is_system(&self) -> bool {
        matches!(self, Self::System)
    }

    pub(in crate::host) fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), rustix::io::Errno> {
        match self {
            Self::Seeded(rng) => rng.fill_bytes(bytes),
            Self::System => {
                while !bytes.is_empty() {
                    match getrandom(&mut *bytes, GetRandomFlags::empty()) {
                        Ok(0) => return Err(rustix::io::Errno::IO),
                        Ok(n) => bytes = bytes.get_mut(n..).unwrap_or_default(),
                        Err(rustix::io::Errno::INTR) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

pub(super) fn random_get(caller: &mut Caller<'_>, ptr: u32, len: u32) -> Done {
    caller.bytes(ptr, len)?;
    let mut done = 0;
    while done < len {
        let chunk = (len - done).min(CHUNK);
        caller.charge_bytes(chunk.into())?;
        let (state, memory) = WasiState::and_memory(caller)?;
        state.random.fill(slice_mut(memory, ptr as usize + done as usize, chunk as usize)?).map_err(Errno::from)?;
        done += chunk;
    }
    Ok(())
}
