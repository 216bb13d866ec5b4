//! Compiled artefacts on their way to and from disk. An engine's loader trusts its input with the whole
//! process, so it sees only a [`VerifiedArtefact`]: bytes whose keyed MAC was checked first.

/// The key that authenticates artefacts: whoever has it can run native code in this process.
#[derive(Clone)]
pub struct ArtefactKey([u8; 32]);

impl ArtefactKey {
    /// A key from 32 secret random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for ArtefactKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArtefactKey(…)")
    }
}

/// First bytes of a sealed artefact, with the format's version.
const MAGIC: &[u8; 8] = b"COFFDAM1";
const MAC_BYTES: usize = 32;

/// The file is not a sealed artefact of this format, or not sealed with this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the artefact is damaged, of another format, or not sealed with this key")]
pub struct Unverified;

/// Compiled code whose origin was checked.
#[derive(Clone, Debug)]
pub struct VerifiedArtefact {
    context: Vec<u8>,
    payload: Vec<u8>,
}

impl VerifiedArtefact {
    /// Seals `payload` (from [`crate::CompiledModule::serialize`]) made for `context` (the cache key):
    /// magic, MAC, length of the context, context, payload. The MAC is keyed BLAKE3 over all the rest.
    #[must_use]
    pub fn seal(key: &ArtefactKey, context: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(8 + context.len() + payload.len());
        body.extend_from_slice(&(context.len() as u64).to_le_bytes());
        body.extend_from_slice(context);
        body.extend_from_slice(payload);
        let mut sealed = Vec::with_capacity(MAGIC.len() + MAC_BYTES + body.len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(mac(key, &body).as_bytes());
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Checks and opens what [`VerifiedArtefact::seal`] made.
    ///
    /// # Errors
    /// [`Unverified`] if a single bit differs, or the key does.
    pub fn open(key: &ArtefactKey, sealed: &[u8]) -> Result<Self, Unverified> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(Unverified)?;
        let (tag, body) = rest.split_first_chunk::<MAC_BYTES>().ok_or(Unverified)?;
        // `blake3::Hash` compares in constant time.
        if mac(key, body) != *tag {
            return Err(Unverified);
        }
        let (len, rest) = body.split_first_chunk::<8>().ok_or(Unverified)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| Unverified)?;
        let (context, payload) = rest.split_at_checked(len).ok_or(Unverified)?;
        Ok(Self { context: context.to_vec(), payload: payload.to_vec() })
    }

    /// The cache key that it was made for.
    #[must_use]
    pub fn context(&self) -> &[u8] {
        &self.context
    }

    /// The engine's own bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

fn mac(key: &ArtefactKey, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(MAGIC);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_or_other_key_is_refused() {
        let key = ArtefactKey::new([7; 32]);
        let sealed = VerifiedArtefact::seal(&key, b"context", b"payload");
        let opened = VerifiedArtefact::open(&key, &sealed).expect("it was just sealed");
        assert_eq!((opened.context(), opened.payload()), (&b"context"[..], &b"payload"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(VerifiedArtefact::open(&key, &bad).is_err(), "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(VerifiedArtefact::open(&key, &sealed[..cut]).is_err(), "cut at {cut}");
        }
        assert!(VerifiedArtefact::open(&ArtefactKey::new([8; 32]), &sealed).is_err());
    }
}
