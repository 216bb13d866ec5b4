//! Compiled artefacts on their way to and from disk. An engine's loader trusts its input with the whole
//! process, and so does everybody who is given a [`PreparedModule`], so both come only out of a
//! [`VerifiedArtefact`]: bytes whose keyed MAC was checked first.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::prepared::{Inner, PreparedModule};

/// The key that authenticates artefacts: whoever has it can run native code in this process.
#[derive(Clone)]
pub struct ArtefactKey([u8; 32]);

impl ArtefactKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// A key from 32 secret random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ArtefactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArtefactKey(…)")
    }
}

/// First bytes of a sealed artefact, with the format's version.
pub const ARTEFACT_MAGIC: &[u8; 8] = b"COFFDAM3";
const MAC_BYTES: usize = 32;
/// From here on, hashing on all cores is worth the hand-over.
const WORTH_THREADS: usize = 1 << 20;

/// The file is not a sealed artefact of this format, or not sealed with this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the artefact is damaged, of another format, or not sealed with this key")]
pub struct Unverified;

/// Compiled code whose origin was checked.
#[derive(Clone, Debug)]
pub struct VerifiedArtefact {
    sealed: Vec<u8>,
    context: Range<usize>,
    prepared: Range<usize>,
    payload: Range<usize>,
}

impl VerifiedArtefact {
    /// Seals an engine's bytes `payload` made for `context` (the cache key).
    #[must_use]
    pub fn seal(key: &ArtefactKey, context: &[u8], payload: &[u8]) -> Vec<u8> {
        seal(key, [context, &[], payload])
    }

    /// Seals an engine's bytes `payload` together with the module that they were compiled from, so that
    /// loading needs neither validation nor rewriting.
    ///
    /// # Errors
    /// [`Unverified`] if the module cannot be written down, which would be a fault of this crate.
    pub fn seal_module(
        key: &ArtefactKey,
        context: &[u8],
        module: &PreparedModule,
        payload: &[u8],
    ) -> Result<Vec<u8>, Unverified> {
        let prepared = postcard::to_stdvec(&*module.0).map_err(|_| Unverified)?;
        Ok(seal(key, [context, &prepared, payload]))
    }

    /// Checks and opens what [`VerifiedArtefact::seal`] or [`VerifiedArtefact::seal_module`] made.
    ///
    /// # Errors
    /// [`Unverified`] if a single bit differs, or the key does.
    pub fn open(key: &ArtefactKey, sealed: impl Into<Vec<u8>>) -> Result<Self, Unverified> {
        let sealed = sealed.into();
        let rest = sealed.strip_prefix(ARTEFACT_MAGIC).ok_or(Unverified)?;
        let (tag, body) = rest.split_first_chunk::<MAC_BYTES>().ok_or(Unverified)?;
        // `blake3::Hash` compares in constant time.
        if mac(key, body) != *tag {
            return Err(Unverified);
        }
        let mut at = ARTEFACT_MAGIC.len() + MAC_BYTES;
        let mut part = || {
            let len = sealed.get(at..)?.first_chunk::<8>()?;
            let from = at + len.len();
            at = from.checked_add(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
            (at <= sealed.len()).then_some(from..at)
        };
        let (Some(context), Some(prepared), Some(payload)) = (part(), part(), part()) else { return Err(Unverified) };
        Ok(Self { sealed, context, prepared, payload })
    }

    /// The cache key that it was made for.
    #[must_use]
    pub fn context(&self) -> &[u8] {
        &self.sealed[self.context.clone()]
    }

    /// The engine's own bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.sealed[self.payload.clone()]
    }

    /// The module that the engine's bytes were compiled from, if it was sealed with them by this version.
    #[must_use]
    pub fn module(&self) -> Option<PreparedModule> {
        let inner: Inner = postcard::from_bytes(&self.sealed[self.prepared.clone()]).ok()?;
        Some(PreparedModule(Arc::new(inner)))
    }
}

/// Magic, MAC, then each part behind its length. The MAC is keyed BLAKE3 over all but itself.
fn seal(key: &ArtefactKey, parts: [&[u8]; 3]) -> Vec<u8> {
    let len = parts.iter().map(|part| 8 + part.len()).sum::<usize>();
    let mut sealed = Vec::with_capacity(ARTEFACT_MAGIC.len() + MAC_BYTES + len);
    sealed.extend_from_slice(ARTEFACT_MAGIC);
    sealed.extend_from_slice(&[0; MAC_BYTES]);
    for part in parts {
        sealed.extend_from_slice(&(part.len() as u64).to_le_bytes());
        sealed.extend_from_slice(part);
    }
    let (head, body) = sealed.split_at_mut(ARTEFACT_MAGIC.len() + MAC_BYTES);
    head[ARTEFACT_MAGIC.len()..].copy_from_slice(mac(key, body).as_bytes());
    sealed
}

fn mac(key: &ArtefactKey, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(ARTEFACT_MAGIC);
    if body.len() < WORTH_THREADS {
        hasher.update(body)
    } else {
        hasher.update_rayon(body)
    };
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_or_other_key_is_refused() {
        let key = ArtefactKey::new([7; 32]);
        let sealed = VerifiedArtefact::seal(&key, b"context", b"payload");
        let opened = VerifiedArtefact::open(&key, sealed.as_slice()).expect("it was just sealed");
        assert_eq!((opened.context(), opened.payload()), (&b"context"[..], &b"payload"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(VerifiedArtefact::open(&key, bad).is_err(), "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(VerifiedArtefact::open(&key, &sealed[..cut]).is_err(), "cut at {cut}");
        }
        assert!(VerifiedArtefact::open(&ArtefactKey::new([8; 32]), sealed).is_err());
    }
}
