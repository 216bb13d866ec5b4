//! The storage on disks that are full, fail or make the database panic, and in files that are damaged or not ours.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;

const WORKS: u8 = 0;
const FULL: u8 = 1;
const BROKEN: u8 = 2;
const PANICS: u8 = 3;

/// A disk whose content stays when it is opened anew.
#[derive(Clone, Debug, Default)]
struct Disk {
    content: Arc<InMemoryBackend>,
    trouble: Arc<AtomicU8>,
}

impl Disk {
    fn has(&self, trouble: u8) {
        self.trouble.store(trouble, Ordering::SeqCst);
    }

    fn check(&self, writes: bool) -> io::Result<()> {
        match self.trouble.load(Ordering::SeqCst) {
            FULL if writes => Err(io::ErrorKind::StorageFull.into()),
            BROKEN => Err(io::Error::other("broken")),
            PANICS => panic!("as a damaged database may"),
            _ => Ok(()),
        }
    }

    fn store(&self, options: KvOptions) -> KvStore {
        let disk = self.clone();
        KvStore::with_backend(move || disk.clone(), options, false).expect("it is made")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check(false)?;
        self.content.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(true)?;
        self.content.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check(true)?;
        self.content.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(true)?;
        self.content.write(offset, data)
    }
}

fn told(options: KvOptions) -> (KvOptions, Arc<AtomicU32>) {
    let told = Arc::new(AtomicU32::new(0));
    let heard = told.clone();
    let options = options.on_failure(move |error| {
        assert!(matches!(error, KvError::Storage(_)));
        heard.fetch_add(1, Ordering::SeqCst);
    });
    (options, told)
}

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn a_full_disk_is_an_error_and_told_once() {
    let disk = Disk::default();
    let (options, told) = told(KvOptions::default().flush_every(NEVER).reopen_every(NEVER));
    let store = disk.store(options);
    let handle = store.agent("a", MemoryBytes::mib(64)).expect("a name");
    handle.set(b"before", b"v").expect("there is room");
    store.flush().expect("there is room");

    disk.has(FULL);
    // In the page cache there is room yet.
    let _ = handle.set(b"after", &[0; 100_000]);
    assert!(matches!(store.flush(), Err(KvError::Storage(_))));
    assert!(store.has_failed());
    assert_eq!(AbiError::from(handle.set(b"again", b"v").expect_err("it failed")), AbiError::Failed);
    assert!(handle.delete(b"before").is_err() && store.flush().is_err());
    assert_eq!(told.load(Ordering::SeqCst), 1);
    drop((store, handle));
}

#[test]
fn with_room_again_it_works_again_from_what_was_flushed() {
    for trouble in [FULL, BROKEN, PANICS] {
        let disk = Disk::default();
        let (options, told) = told(KvOptions::default().flush_every(Duration::ZERO).reopen_every(Duration::ZERO));
        let store = disk.store(options);
        let handle = store.agent("a", MemoryBytes::kib(1)).expect("a name");
        handle.set(b"before", &[1; 100]).expect("there is room");
        store.flush().expect("there is room");
        for round in 1..=3 {
            disk.has(trouble);
            // The thread that flushes comes upon it, and goes on.
            while !store.has_failed() {
                let _ = handle.set(b"during", &[2; 500]);
            }
            while told.load(Ordering::SeqCst) < round {
                std::thread::yield_now();
            }
            disk.has(WORKS);
            while store.has_failed() {
                std::thread::yield_now();
            }
            assert_eq!(handle.get(b"before").expect("it reads"), Some(vec![1; 100]));
            // Whatever became of the other entry, nothing is counted that is not there.
            handle.set(b"after", b"v").expect("there is room");
            let mut stored = 0;
            let sum = |key: &[u8], len| {
                stored += entry_bytes(key.len(), len);
                Ok::<_, KvError>(())
            };
            handle.list(b"", sum).expect("it lists");
            assert_eq!(handle.used().get(), stored, "{trouble}");
            handle.clear().expect("it works");
            handle.set(b"before", &[1; 100]).expect("there is room");
            store.flush().expect("there is room");
            assert_eq!(told.load(Ordering::SeqCst), round, "each time once");
        }
    }
}

#[test]
fn an_agent_that_cannot_be_counted_is_an_error_and_holds_up_nobody() {
    for trouble in [BROKEN, PANICS] {
        let disk = Disk::default();
        let store = disk.store(KvOptions::default().flush_every(NEVER).reopen_every(NEVER));
        let big = store.agent("big", MemoryBytes::mib(64)).expect("a name");
        // More than the database keeps in memory.
        for n in 0..64u8 {
            big.set(&[n], &vec![n; 1 << 19]).expect("there is room");
        }
        store.flush().expect("there is room");
        drop(big);
        disk.has(trouble);
        assert!(matches!(store.agent("big", MemoryBytes::mib(1)), Err(KvError::Storage(_))));
        assert!(matches!(store.agent("other", MemoryBytes::mib(1)), Err(KvError::Storage(_))));
        assert!(store.0.agents.lock().is_empty());
    }
}

#[test]
fn what_a_write_changed_counts_only_when_it_was_made() {
    let disk = Disk::default();
    let store = disk.store(KvOptions::default().flush_every(NEVER).reopen_every(NEVER));
    let handle = store.agent("a", MemoryBytes::mib(64)).expect("a name");
    handle.set(b"k", b"v").expect("there is room");
    store.flush().expect("there is room");
    let before = handle.used();
    for trouble in [FULL, PANICS] {
        disk.has(trouble);
        // Larger than the cache, so that it has to be written at once.
        handle.set(b"big", &vec![0; 40 << 20]).expect_err("there is no room");
        assert_eq!(handle.used(), before);
    }
}

#[test]
fn a_damaged_file_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("kv");
    let store = KvStore::open(&path, KvOptions::default()).expect("it opens");
    let handle = store.agent("a", MemoryBytes::mib(1)).expect("a name");
    (0..2_000u32).for_each(|n| handle.set(&n.to_be_bytes(), b"value").expect("room"));
    drop((store, handle));
    let file = path.join(FILE);
    let good = std::fs::read(&file).expect("it is there");
    for step in 1..8 {
        let mut bad = good.clone();
        // The header is left as it is: only what it leads to is damaged.
        let from = 4096 + (good.len() - 4096) / 8 * step;
        let until = good.len().min(from + 8192);
        bad[4096..8192].fill(0xa5);
        bad[from..until].fill(0x5a);
        std::fs::write(&file, &bad).expect("there is room");
        match KvStore::open(&path, KvOptions::default()) {
            Err(error) => assert!(matches!(error, KvError::Open { .. }), "{error:?}"),
            // The damage lay where nothing is.
            Ok(store) => drop(store.agent("a", MemoryBytes::mib(1))),
        }
    }
    std::fs::write(&file, b"no database").expect("there is room");
    assert!(matches!(KvStore::open(&path, KvOptions::default()), Err(KvError::Open { .. })));
    std::fs::write(&file, &good).expect("there is room");
    let store = KvStore::open(&path, KvOptions::default()).expect("it is whole again");
    assert_eq!(store.agent("a", MemoryBytes::mib(1)).expect("a name").used().get(), 2_000 * entry_bytes(4, 5));
}

#[test]
fn what_others_could_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = |path: &Path| KvStore::open(path, KvOptions::default()).map(drop);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let refused = |path: &Path, why: &str| match open(path) {
        Err(KvError::Open { why: said, .. }) => assert!(said.contains(why), "{said}"),
        other => panic!("{why}: {other:?}"),
    };
    let path = dir.path().join("kv");
    std::fs::create_dir(&path).expect("there is room");
    mode(&path, 0o755);
    refused(&path, "open to other users");
    mode(&path, 0o700);
    open(&path).expect("it is ours alone");
    let file = path.join(FILE);
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    mode(&file, 0o644);
    refused(&path, "open to other users");
    mode(&file, 0o600);
    std::fs::hard_link(&file, dir.path().join("other")).expect("there is room");
    refused(&path, "another name");
    std::fs::remove_file(&file).expect("it is there");
    std::os::unix::fs::symlink(dir.path().join("other"), &file).expect("there is room");
    refused(&path, "");
    std::fs::remove_file(&file).expect("it is there");
    std::fs::rename(dir.path().join("other"), &file).expect("there is room");
    open(&path).expect("it is ours alone again");
}
