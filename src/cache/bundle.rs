//! The file that `cofferdam compile` writes: the original module, then the artefact compiled from it. Whoever
//! does not trust the artefact's key still has the module, and compiles it.
//!
//! Magic, length of the module (8 bytes, little endian), module, sealed artefact. The artefact's context is
//! the cache key, which hashes the module, so neither can be exchanged for another.

use cofferdam_engine::Unverified;

/// First bytes of such a file, with the format's version.
pub const MAGIC: &[u8; 8] = b"COFFDAMB";

/// Largest file that is read: no module of 50 MiB compiles to more.
pub const MOST_BYTES: u64 = 1 << 30;

/// A module with an artefact that is not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    /// The module as it came in: untrusted bytes, as any module's.
    pub module: &'a [u8],
    /// What was compiled from it, still sealed.
    pub sealed: &'a [u8],
}

/// Bytes before the module.
pub const HEAD: usize = MAGIC.len() + 8;

/// Length of the module in a bundle that begins with `head`; `None` if that is no bundle's beginning.
#[must_use]
pub fn module_len(head: &[u8]) -> Option<u64> {
    let (len, _) = head.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    Some(u64::from_le_bytes(*len))
}

/// Whether `file` looks like a bundle.
#[must_use]
pub fn is_bundle(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

/// Puts `module` and `sealed` into one file.
#[must_use]
pub fn write(module: &[u8], sealed: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(MAGIC.len() + 8 + module.len() + sealed.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&(module.len() as u64).to_le_bytes());
    file.extend_from_slice(module);
    file.extend_from_slice(sealed);
    file
}

/// The parts of `file`. Nothing is verified yet.
///
/// # Errors
/// [`Unverified`] if it is no bundle or is cut off before the end of its module.
pub fn read(file: &[u8]) -> Result<Bundle<'_>, Unverified> {
    let len = module_len(file).and_then(|len| usize::try_from(len).ok()).ok_or(Unverified)?;
    let (module, sealed) = file.get(HEAD..).and_then(|rest| rest.split_at_checked(len)).ok_or(Unverified)?;
    Ok(Bundle { module, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_or_overlong_is_no_bundle() {
        let file = write(b"module", b"sealed");
        let bundle = read(&file).expect("it was just written");
        assert_eq!((bundle.module, bundle.sealed), (&b"module"[..], &b"sealed"[..]));
        // The artefact's own seal says whether it is whole; the module must be.
        for cut in 0..MAGIC.len() + 8 + b"module".len() {
            assert!(read(&file[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = file;
        long[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&long).is_err());
    }
}
