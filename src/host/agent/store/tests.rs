//! The storage against a model, over reopening, from many threads.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;

const CAP: MemoryBytes = MemoryBytes::kib(64);

fn keys(handle: &KvHandle, prefix: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    handle
        .list(prefix, |key, _| {
            keys.push(key.to_vec());
            Ok::<_, KvError>(())
        })
        .expect("it lists");
    keys
}

#[test]
fn agents_see_their_own_keys_and_no_others() {
    let store = KvStore::in_memory().expect("it is made");
    let names = ["a", "ab", "b", "a.b", "\u{1}a"];
    let handles: Vec<_> = names.iter().map(|name| store.agent(name, CAP).expect("a name")).collect();
    for (name, handle) in names.iter().zip(&handles) {
        handle.set(b"k", name.as_bytes()).expect("room");
        handle.set(b"b", name.as_bytes()).expect("room");
    }
    for (name, handle) in names.iter().zip(&handles) {
        assert_eq!(handle.get(b"k").expect("it reads").as_deref(), Some(name.as_bytes()));
        assert_eq!(keys(handle, b""), [b"b", b"k"]);
        assert_eq!(handle.used().get(), 2 * entry_bytes(1, name.len()));
    }
    handles[0].clear().expect("it clears");
    assert!(keys(&handles[0], b"").is_empty() && handles[0].used().get() == 0);
    assert_eq!(keys(&handles[1], b"").len(), 2);
}

#[test]
fn caps_hold_to_the_byte() {
    let store = KvStore::in_memory().expect("it is made");
    let cap = MemoryBytes::new(entry_bytes(3, 10) + entry_bytes(3, 0));
    let handle = store.agent("a", cap).expect("a name");
    assert!(matches!(handle.set(b"one", &[0; 43 + 3]), Err(KvError::Full { .. })), "one byte too many");
    handle.set(b"one", &[0; 43 + 2]).expect("to the cap");
    assert_eq!(handle.used(), cap);
    assert!(matches!(handle.set(b"t", b""), Err(KvError::Full { .. })));
    handle.set(b"one", &[0; 10]).expect("smaller");
    handle.set(b"two", b"").expect("to the cap");
    assert_eq!(handle.used(), cap);
    assert!(matches!(handle.set(b"two", b"x"), Err(KvError::Full { .. })));
    assert_eq!(handle.get(b"two").expect("it reads").as_deref(), Some(&b""[..]), "a refused write changes nothing");

    handle.set_cap(MemoryBytes::new(1));
    handle.set(b"one", &[1; 11]).expect_err("a cap that was lowered holds");
    assert!(handle.delete(b"two").expect("taking away always works") && !handle.delete(b"two").expect("it works"));
    assert_eq!(handle.used().get(), entry_bytes(3, 10));
    handle.set_cap(MemoryBytes::new(entry_bytes(3, 9)));
    handle.set(b"one", &[1; 9]).expect("within the new cap");
    handle.set_cap(MemoryBytes::new(2_000));
    handle.set(b"one", &[1; 1_000]).expect("within the new cap");
    handle.set_cap(MemoryBytes::new(100));
    handle.set(b"one", &[1; 500]).expect("above the cap, and smaller than before");
    handle.set(b"one", &[1; 501]).expect_err("no larger");
    handle.delete(b"one").expect("it is there");

    assert!(matches!(handle.set(b"", b""), Err(KvError::EmptyKey)));
    handle.set_cap(CAP);
    handle.set(&[7; MAX_KEY], b"").expect("the longest key");
    assert!(matches!(handle.set(&[7; MAX_KEY + 1], b""), Err(KvError::LongKey(513))));
    assert!(matches!(store.agent("", CAP), Err(KvError::Name(0))));
    assert!(matches!(store.agent(&"x".repeat(256), CAP), Err(KvError::Name(256))));
}

#[test]
fn what_was_written_is_there_and_counted_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("deep/kv");
    // Longer than any test: what is there was flushed by the last handle's end.
    let options = || KvOptions::default().flush_every(Duration::from_secs(3600));
    let used = {
        let store = KvStore::open(&path, options()).expect("it opens");
        let other = KvStore::open(&path, options());
        assert!(matches!(other, Err(KvError::Open { .. })), "one at a time");
        let handle = store.agent("a", CAP).expect("a name");
        for n in 0..100u32 {
            handle.set(&n.to_be_bytes(), &vec![1; n as usize]).expect("room");
        }
        handle.delete(&7u32.to_be_bytes()).expect("it works");
        drop(store);
        handle.used()
    };
    let store = KvStore::open(&path, options()).expect("it opens again");
    let handle = store.agent("a", CAP).expect("a name");
    assert_eq!(handle.used(), used);
    assert_eq!(keys(&handle, b"").len(), 99);
    assert_eq!(handle.get(&99u32.to_be_bytes()).expect("it reads").map(|v| v.len()), Some(99));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_flush_is_made_without_being_asked_for() {
    #[derive(Debug)]
    struct Counting(InMemoryBackend, Arc<AtomicU32>);
    impl StorageBackend for Counting {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }
    let syncs = Arc::new(AtomicU32::new(0));
    let counted = syncs.clone();
    let backend = move || Counting(InMemoryBackend::new(), counted.clone());
    let store = KvStore::with_backend(backend, KvOptions::default().flush_every(Duration::ZERO), false);
    let store = store.expect("it is made");
    let handle = store.agent("a", CAP).expect("a name");
    let before = syncs.load(Ordering::SeqCst);
    handle.set(b"k", b"v").expect("room");
    // However long the thread takes to get its turn.
    while store.0.core.unflushed.load(Ordering::Acquire) > 0 {
        std::thread::yield_now();
    }
    let after = syncs.load(Ordering::SeqCst);
    assert!(after > before);
    store.flush().expect("nothing is left to do");
    assert_eq!(syncs.load(Ordering::SeqCst), after, "and nothing was done");
}

#[test]
fn many_threads_write_at_once_and_nothing_is_miscounted() {
    let store = KvStore::in_memory().expect("it is made");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                let (shared, own) = (store.agent("shared", CAP).expect("a name"), [b'o', thread]);
                for n in 0..200u8 {
                    shared.set(&[n % 16], &vec![thread; usize::from(n)]).expect("room");
                    while shared.try_set(&own, &[n]).is_none() {
                        std::thread::yield_now();
                    }
                    if n % 3 == 0 {
                        shared.delete(&[n % 16]).expect("it works");
                    }
                }
            });
        }
    });
    let handle = store.agent("shared", CAP).expect("a name");
    let mut counted = 0;
    handle
        .list(b"", |key, len| {
            counted += entry_bytes(key.len(), len);
            Ok::<_, KvError>(())
        })
        .expect("it lists");
    assert_eq!(handle.used().get(), counted);
    assert!(store.0.core.unflushed.load(Ordering::Acquire) < FLUSH_MEMORY);
}

#[test]
fn handles_that_are_gone_leave_nothing_behind() {
    let store = KvStore::in_memory().expect("it is made");
    for n in 0..100 {
        let handle = store.agent(&format!("agent-{n}"), CAP).expect("a name");
        let same = store.agent(&format!("agent-{n}"), MemoryBytes::new(5)).expect("a name");
        assert_eq!(handle.cap().get(), 5, "the last cap counts for both");
        drop((handle, same));
    }
    assert!(store.0.agents.lock().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Set(usize, Vec<u8>, usize),
    Delete(usize, Vec<u8>),
    Clear(usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop::collection::vec(0u8..3, 0..4);
    let step = prop_oneof![
        8 => (0usize..2, key(), 0usize..120).prop_map(|(a, k, n)| Step::Set(a, k, n)),
        3 => (0usize..2, key()).prop_map(|(a, k)| Step::Delete(a, k)),
        1 => (0usize..2).prop_map(Step::Clear),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_behaves_like_a_map_with_a_cap(steps in steps()) {
        const SMALL: u64 = 400;
        let names = ["a", "ab"];
        let store = KvStore::in_memory().expect("it is made");
        let open = |name: &str| store.agent(name, MemoryBytes::new(SMALL)).expect("a name");
        let mut handles = names.map(open);
        let mut models: [BTreeMap<Vec<u8>, usize>; 2] = Default::default();
        let used = |model: &BTreeMap<Vec<u8>, usize>| model.iter().map(|(k, n)| entry_bytes(k.len(), *n)).sum::<u64>();
        for step in steps {
            match step {
                Step::Set(a, key, len) => {
                    let mut after = models[a].clone();
                    after.insert(key.clone(), len);
                    let fits = !key.is_empty() && used(&after) <= SMALL;
                    prop_assert_eq!(handles[a].set(&key, &vec![9; len]).is_ok(), fits);
                    if fits {
                        models[a] = after;
                    }
                }
                Step::Delete(a, key) => {
                    let there = models[a].remove(&key).is_some();
                    prop_assert_eq!(handles[a].delete(&key).unwrap_or(false), there);
                }
                Step::Clear(a) => {
                    handles[a].clear().expect("it clears");
                    models[a].clear();
                }
                // What is stored is counted anew.
                Step::Reopen => {
                    drop(handles);
                    handles = names.map(open);
                }
            }
            for (handle, model) in handles.iter().zip(&models) {
                prop_assert_eq!(handle.used().get(), used(model));
                prop_assert!(keys(handle, b"").iter().eq(model.keys()));
                let within: Vec<_> = model.keys().filter(|key| key.starts_with(&[1])).collect();
                prop_assert!(keys(handle, &[1]).iter().eq(within));
            }
        }
    }
}
