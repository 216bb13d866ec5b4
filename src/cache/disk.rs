//! [`DiskCache`]: artefacts on disk, shared by all processes of one user. A file is believed only when its MAC
//! is right and it was made for exactly the key that it is looked up by; any other is set aside and the module
//! compiled again. No failure of the disk is ever a failure of a load.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_engine::{ArtefactKey, PreparedModule, VerifiedArtefact};
use cofferdam_prepare::Refusal;
use serde::Serialize;

use super::directory::{CacheError, Directory, Entry, TEMPORARY};
use super::key::CacheKey;
use super::statistics::{Counters, Statistics};
use crate::policy::MemoryBytes;

/// Where artefacts are kept, and how many.
#[derive(Clone, Debug)]
pub struct DiskCacheConfig {
    /// The directory. It is made with mode 0700; one that exists must be ours and closed to others.
    pub directory: PathBuf,
    /// Bytes of all artefacts together. Above it those that were not used for longest are removed.
    pub max_bytes: MemoryBytes,
}

impl DiskCacheConfig {
    /// `directory`, with room for 1 GiB: some hundred tools, or twenty language runtimes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), max_bytes: MemoryBytes::mib(1024) }
    }

    /// `$XDG_CACHE_HOME/cofferdam`, or else `~/.cache/cofferdam`, as the XDG base directory specification has
    /// it; `None` if there is no home.
    #[must_use]
    pub fn default_directory() -> Option<PathBuf> {
        let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).map(|caches| caches.join("cofferdam"))
    }
}

/// Ending of the names of artefacts.
const ARTEFACT: &str = ".art";
/// Files set aside are kept here for a look, the newest few.
const QUARANTINE: &str = "quarantine";
const MOST_IN_QUARANTINE: usize = 8;
const STATISTICS: &str = "statistics.json";
/// An artefact is read whole, so one of this size is no use to anybody.
const MOST_ARTEFACT_BYTES: u64 = 1 << 30;
/// Other processes that compile are waited for this long: as long as the worst module that the default limits
/// accept takes. They may be stopped, so not for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Statistics are not worth more.
const STATISTICS_PATIENCE: Duration = Duration::from_millis(20);
/// What a process that died left half-written is removed after this long.
const STALE: Duration = Duration::from_secs(3600);

/// Last byte of an artefact's context: what it is.
const MODULE: u8 = 0;
const REFUSAL: u8 = 1;

/// What is in the cache for a key.
pub(crate) enum Found {
    /// A module with its code.
    Module(PreparedModule, VerifiedArtefact),
    /// It was refused.
    Refused(Refusal),
    /// What is not to be believed, for this reason.
    Unfit(&'static str),
    /// Nothing.
    Nothing,
}

/// Compiled modules and refusals on disk. Everything on it may be called from many threads and processes.
pub struct DiskCache {
    directory: Directory,
    key: ArtefactKey,
    max_bytes: u64,
    pub(crate) counters: Counters,
}

impl fmt::Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DiskCache").field(&self.directory.path()).finish()
    }
}

/// What a cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Where it is.
    pub directory: PathBuf,
    /// Artefacts and refusals.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have together.
    pub max_bytes: u64,
    /// Files set aside.
    pub quarantined: u64,
    /// What all processes that shared it did.
    pub statistics: Statistics,
}

/// What came of verifying a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Files whose seal is right.
    pub good: u64,
    /// Files that were set aside, by name.
    pub set_aside: Vec<String>,
}

impl DiskCache {
    /// Opens a cache, made if it is not there.
    ///
    /// # Errors
    /// [`CacheError`] if the directory or its key cannot be used or trusted.
    pub fn open(config: &DiskCacheConfig) -> Result<Self, CacheError> {
        let directory = Directory::open(&config.directory)?;
        let key = directory.key()?;
        Ok(Self { directory, key, max_bytes: config.max_bytes.get(), counters: Counters::default() })
    }

    /// The key that seals its artefacts, made at first use.
    #[must_use]
    pub fn key(&self) -> &ArtefactKey {
        &self.key
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What this process did.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// What is there for `key`. A file that cannot be read is [`Found::Nothing`].
    pub(crate) fn find(&self, key: &CacheKey) -> Found {
        let name = file_name(key);
        let sealed = match self.directory.read(&name, MOST_ARTEFACT_BYTES, true) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Found::Unfit("it is no file, or too large");
            }
            Err(error) => {
                tracing::warn!(%error, file = name, "the artefact cache cannot be read");
                return Found::Nothing;
            }
        };
        self.unseal(key, sealed).unwrap_or_else(Found::Unfit)
    }

    fn unseal(&self, key: &CacheKey, sealed: Vec<u8>) -> Result<Found, &'static str> {
        let artefact = VerifiedArtefact::open(&self.key, sealed)
            .map_err(|_| "it is damaged, of another format, or not sealed with this cache's key")?;
        match artefact.context().split_last() {
            Some((&MODULE, of)) if of == key.bytes() => match artefact.module() {
                Some(module) => Ok(Found::Module(module, artefact)),
                None => Err("its module cannot be read"),
            },
            Some((&REFUSAL, of)) if of == key.bytes() => match postcard::from_bytes(artefact.payload()) {
                Ok(refusal) => Ok(Found::Refused(refusal)),
                Err(_) => Err("its refusal cannot be read"),
            },
            _ => Err("it was made for another module, policy or engine"),
        }
    }

    /// Waits for other processes that compile what `key` names, then keeps them waiting until the guard is
    /// dropped. What was not found before is to be looked for again under it: somebody may have stored it since,
    /// even where nobody had to be waited for. Locks are shared by a few keys in four thousand, so that no lock
    /// file ever needs to be removed.
    pub(crate) fn claim(&self, key: &CacheKey) -> Option<File> {
        let [high, low, ..] = key.bytes();
        self.directory.lock(&format!("lock-{:x}{low:02x}", high & 15), PATIENCE)
    }

    /// Keeps the code of a module. Failures are said and otherwise ignored.
    pub(crate) fn store_module(&self, key: &CacheKey, module: &PreparedModule, payload: &[u8]) {
        if let Ok(sealed) = seal_module(&self.key, key, module, payload) {
            self.store(key, &sealed);
        }
    }

    /// Keeps a refusal.
    pub(crate) fn store_refusal(&self, key: &CacheKey, refusal: &Refusal) {
        if let Ok(payload) = postcard::to_stdvec(refusal) {
            self.store(key, &VerifiedArtefact::seal(&self.key, &context(key, REFUSAL), &payload));
        }
    }

    fn store(&self, key: &CacheKey, sealed: &[u8]) {
        let len = sealed.len() as u64;
        if len > self.max_bytes || len > MOST_ARTEFACT_BYTES {
            tracing::debug!(bytes = len, "an artefact is larger than the cache may be");
            return;
        }
        match self.directory.write(&file_name(key), sealed) {
            Ok(()) => {
                Counters::add(&self.counters.stored, 1);
                if let Err(error) = self.evict(&file_name(key)) {
                    tracing::warn!(%error, "the artefact cache cannot be tidied");
                }
            }
            Err(error) => {
                tracing::warn!(%error, directory = %self.directory.path().display(), "an artefact could not be kept");
            }
        }
    }

    /// Removes what was not used for longest until a tenth of the room is free, if there is too much.
    /// `stored` was just stored for somebody and stays.
    fn evict(&self, stored: &str) -> io::Result<()> {
        let all = self.directory.entries()?;
        let newest = all.iter().map(|e| e.used).max().unwrap_or(0);
        for left in all.iter().filter(|e| e.name.starts_with(TEMPORARY)) {
            if newest - left.used > STALE.as_nanos().cast_signed() {
                gone(self.directory.remove(&left.name))?;
            }
        }
        let mut artefacts: Vec<Entry> = all.into_iter().filter(|e| e.name.ends_with(ARTEFACT)).collect();
        let mut bytes: u64 = artefacts.iter().map(|e| e.bytes).sum();
        if bytes <= self.max_bytes {
            return Ok(());
        }
        artefacts.sort_by_key(|e| e.used);
        for entry in artefacts.iter().filter(|e| e.name != stored) {
            if bytes <= self.max_bytes / 10 * 9 {
                break;
            }
            gone(self.directory.remove(&entry.name))?;
            bytes -= entry.bytes;
            Counters::add(&self.counters.evicted, 1);
        }
        Ok(())
    }

    /// Moves what is there for `key` out of the way, because of `problem`. For whoever has the claim: another
    /// process may have put a good one in its place otherwise.
    pub(crate) fn set_aside(&self, key: &CacheKey, problem: &'static str) {
        let name = file_name(key);
        tracing::warn!(file = name, problem, "a file in the artefact cache is not believed; it is set aside");
        Counters::add(&self.counters.set_aside, 1);
        if let Err(error) = self.quarantine(&name) {
            tracing::warn!(%error, file = name, "it could not be set aside");
        }
    }

    fn quarantine(&self, name: &str) -> io::Result<()> {
        let aside = self.directory.subdirectory(QUARANTINE)?;
        let mut there = aside.entries()?;
        there.sort_by_key(|e| e.used);
        let surplus = (there.len() + 1).saturating_sub(MOST_IN_QUARANTINE);
        for entry in there.iter().take(surplus) {
            gone(aside.remove(&entry.name))?;
        }
        match self.directory.move_to(name, &aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Something that is no file stands there, or the disk is full: at least it goes.
            Err(_) => gone(self.directory.remove(name)),
            Ok(()) => Ok(()),
        }
    }

    /// What it holds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn inventory(&self) -> io::Result<Inventory> {
        let artefacts: Vec<_> = self.directory.entries()?.into_iter().filter(|e| e.name.ends_with(ARTEFACT)).collect();
        let quarantined = self.directory.subdirectory(QUARANTINE).and_then(|aside| aside.entries());
        Ok(Inventory {
            directory: self.directory.path().to_owned(),
            files: artefacts.len() as u64,
            bytes: artefacts.iter().map(|e| e.bytes).sum(),
            max_bytes: self.max_bytes,
            quarantined: quarantined.map_or(0, |files| files.len() as u64),
            statistics: self.kept_statistics().plus(self.statistics()),
        })
    }

    /// Verifies the seal of every file and sets aside those that are wrong.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn verify(&self) -> io::Result<Verified> {
        let mut verified = Verified::default();
        for entry in self.directory.entries()?.into_iter().filter(|e| e.name.ends_with(ARTEFACT)) {
            let name = entry.name;
            let Some(key) = name.strip_suffix(ARTEFACT).and_then(CacheKey::parse) else {
                verified.set_aside.push(name.clone());
                self.quarantine(&name)?;
                continue;
            };
            let sealed = match self.directory.read(&name, MOST_ARTEFACT_BYTES, false) {
                // Removed by somebody else meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
                read => Some(read?),
            };
            if sealed.is_some_and(|sealed| self.unseal(&key, sealed).is_ok()) {
                verified.good += 1;
            } else {
                self.quarantine(&name)?;
                Counters::add(&self.counters.set_aside, 1);
                verified.set_aside.push(name);
            }
        }
        Ok(verified)
    }

    /// Removes every artefact, what was set aside and the statistics. The key stays. Returns how many
    /// artefacts there were and their bytes.
    ///
    /// # Errors
    /// The directory cannot be read or changed.
    pub fn clear(&self) -> io::Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for entry in self.directory.entries()? {
            let ours = entry.name.ends_with(ARTEFACT);
            // What another process is writing is left to it.
            if ours || entry.name == STATISTICS {
                gone(self.directory.remove(&entry.name))?;
            }
            if ours {
                files += 1;
                bytes += entry.bytes;
            }
        }
        let aside = self.directory.subdirectory(QUARANTINE)?;
        for entry in aside.entries()? {
            gone(aside.remove(&entry.name))?;
        }
        Ok((files, bytes))
    }

    fn kept_statistics(&self) -> Statistics {
        // Nobody depends on them, so what cannot be read counts as nothing.
        let text = self.directory.read(STATISTICS, 4_096, false).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// Adds what this process did to what all did.
impl Drop for DiskCache {
    fn drop(&mut self) {
        let done = self.statistics();
        if done == Statistics::default() {
            return;
        }
        let Some(_guard) = self.directory.lock("lock-statistics", STATISTICS_PATIENCE) else { return };
        if let Ok(text) = serde_json::to_vec(&self.kept_statistics().plus(done)) {
            let _ = self.directory.write(STATISTICS, &text);
        }
    }
}

/// A module with its engine's bytes, sealed for `key`.
pub(crate) fn seal_module(
    seal: &ArtefactKey,
    key: &CacheKey,
    module: &PreparedModule,
    payload: &[u8],
) -> Result<Vec<u8>, cofferdam_engine::Unverified> {
    VerifiedArtefact::seal_module(seal, &context(key, MODULE), module, payload)
}

/// Opens what [`seal_module`] made for `key` with any of `seals`.
pub(crate) fn open_module(
    seals: &[ArtefactKey],
    key: &CacheKey,
    sealed: &[u8],
) -> Result<(PreparedModule, VerifiedArtefact), &'static str> {
    let artefact = seals
        .iter()
        .find_map(|seal| VerifiedArtefact::open(seal, sealed).ok())
        .ok_or("it is damaged, or sealed with a key that is not trusted here (--trust-key names one)")?;
    if artefact.context() != context(key, MODULE) {
        return Err("it was compiled for another engine, version, processor or policy");
    }
    let module = artefact.module().ok_or("its module cannot be read")?;
    Ok((module, artefact))
}

fn context(key: &CacheKey, kind: u8) -> Vec<u8> {
    [&key.bytes()[..], &[kind]].concat()
}

fn file_name(key: &CacheKey) -> String {
    format!("{key}{ARTEFACT}")
}

/// Somebody else may have removed it first.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
