//! Storage as guests see it.

use cofferdam::host::agent::{AbiError, AgentState, Capability, KvOptions, KvStore, MAX_KEY, entry_bytes};
use cofferdam::policy::MemoryBytes;

use super::*;

const CAP: MemoryBytes = MemoryBytes::mib(1);

fn guest(cell: &Cell, store: &KvStore, name: &str) -> Driver {
    let handle = store.agent(name, CAP).expect("a name");
    cell.guest(&[Capability::Kv], AgentState::new(name).kv(handle))
}

impl Driver {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<i64, AbiError> {
        let (klen, len) = (self.put(KEY, key), self.put(DATA, value));
        self.call("kv_set", args![KEY, klen, DATA, len])
    }

    fn value(&mut self, key: &[u8]) -> Result<Vec<u8>, AbiError> {
        let klen = self.put(KEY, key);
        let len = self.call("kv_get", args![KEY, klen, OUT, 200_000u32])?;
        Ok(self.get(OUT, len))
    }

    fn keys(&mut self, prefix: &[u8]) -> Vec<Vec<u8>> {
        let plen = self.put(KEY, prefix);
        let len = self.call("kv_list", args![KEY, plen, OUT, 900_000u32]).expect("a list");
        let list = self.get(OUT, len);
        let (mut keys, mut rest) = (Vec::new(), &list[..]);
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (key, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
            keys.push(key.to_vec());
            rest = tail;
        }
        assert!(rest.is_empty());
        keys
    }
}

#[test]
fn values_are_kept_beyond_the_life_of_a_guest_and_from_other_agents() {
    let directory = tempfile::tempdir().expect("a directory");
    for cell in cells() {
        let path = directory.path().join(format!("{}-{:?}", cell.engine.descriptor().id, cell.mode));
        let open = || KvStore::open(&path, KvOptions::default()).expect("it opens");
        let store = open();
        let mut a = guest(&cell, &store, "a");
        assert_eq!(a.value(b"k"), Err(AbiError::NotFound));
        assert_eq!(a.set(b"k", b"of a"), Ok(0));
        assert_eq!(a.set(b"empty", b""), Ok(0));
        assert_eq!(a.value(b"empty"), Ok(Vec::new()));
        let mut b = guest(&cell, &store, "ab");
        assert_eq!(b.value(b"k"), Err(AbiError::NotFound));
        assert_eq!(b.set(b"k", b"of b"), Ok(0));
        let klen = b.put(KEY, b"k");
        assert_eq!(b.call("kv_delete", args![KEY, klen]), Ok(0));
        assert_eq!(b.call("kv_delete", args![KEY, klen]), Err(AbiError::NotFound));
        assert!(b.keys(b"").is_empty());
        drop((a, b, store));

        let mut a = guest(&cell, &open(), "a");
        assert_eq!(a.value(b"k"), Ok(b"of a".to_vec()));
        assert_eq!(a.keys(b""), [&b"empty"[..], b"k"]);
        let used = a.state().storage().expect("given").used();
        assert_eq!(used.get(), entry_bytes(1, 4) + entry_bytes(5, 0));
    }
}

#[test]
fn caps_hold_to_the_byte() {
    let store = KvStore::in_memory().expect("it is made");
    for (n, cell) in cells().iter().enumerate() {
        let name = format!("a{n}");
        let mut a = guest(cell, &store, &name);
        assert_eq!(a.set(b"", b"v"), Err(AbiError::Invalid));
        assert_eq!(a.set(&[1; MAX_KEY + 1], b"v"), Err(AbiError::TooLarge));
        assert_eq!(a.set(&[1; MAX_KEY], b"v"), Ok(0));
        for (len, done) in [(100_001, Err(AbiError::TooLarge)), (100_000, Ok(0)), (99_999, Ok(0))] {
            assert_eq!(a.set(b"k", &vec![5; len]), done, "{len}");
        }
        assert_eq!(a.value(b"k").map(|v| v.len()), Ok(99_999));
        let handle = store.agent(&name, CAP).expect("a name");
        handle.clear().expect("it clears");
        handle.set_cap(MemoryBytes::new(entry_bytes(1, 10)));
        assert_eq!(a.set(b"k", &[0; 11]), Err(AbiError::Full));
        assert_eq!(a.value(b"k"), Err(AbiError::NotFound), "a refused write changes nothing");
        assert_eq!(a.set(b"k", &[0; 10]), Ok(0));
        assert_eq!(a.set(b"l", b""), Err(AbiError::Full));
    }
}

#[test]
fn what_is_larger_than_its_room_is_read_afterwards() {
    let store = KvStore::in_memory().expect("it is made");
    for cell in cells() {
        let mut a = guest(&cell, &store, "a");
        let value: Vec<u8> = (0..1000u32).map(|n| n as u8).collect();
        a.set(b"k", &value).expect("room");
        let klen = a.put(KEY, b"k");
        a.put(OUT, &[0xee; 1100]);
        assert_eq!(a.call("kv_get", args![KEY, klen, OUT, 999u32]), Ok(1000));
        assert_eq!(a.get(OUT, 1100), [0xee; 1100], "nothing is written into room that is too small");
        assert_eq!(a.call("result_read", args![OUT, 600u32, 0u32]), Ok(600));
        assert_eq!(a.call("result_read", args![OUT + 600, 600u32, 600u32]), Ok(400));
        assert_eq!(a.get(OUT, 1000), value);
        assert_eq!(a.call("kv_get", args![KEY, klen, OUT, 1000u32]), Ok(1000));
        assert_eq!(a.call("kv_get", args![KEY, klen, 0u32, 0u32]), Ok(1000));
        assert_eq!(a.call("kv_list", args![KEY, 0u32, OUT, 0u32]), Ok(5));
        assert_eq!(a.call("result_read", args![OUT, 9u32, 0u32]), Ok(5), "the last result, and no other");
    }
}

#[test]
fn lists_are_in_order_within_a_prefix_however_many_keys_there_are() {
    let store = KvStore::in_memory().expect("it is made");
    let handle = store.agent("many", MemoryBytes::mib(4)).expect("a name");
    for n in 0..10_000u32 {
        handle.set(format!("{}/{n:05}", if n % 2 == 0 { "even" } else { "odd" }).as_bytes(), b"").expect("room");
    }
    for key in [&b"\xff"[..], b"\xff\xff", b"eve", b"even", b"evenx"] {
        handle.set(key, b"").expect("room");
    }
    for cell in cells() {
        let mut a = cell.guest(&[Capability::Kv], AgentState::new("many").kv(handle.clone()));
        assert_eq!(a.keys(b"").len(), 10_005);
        let even = a.keys(b"even/");
        assert_eq!((even.len(), &even[0][..], &even[4999][..]), (5_000, &b"even/00000"[..], &b"even/09998"[..]));
        assert!(even.is_sorted());
        assert_eq!(a.keys(b"even/0999"), [b"even/09990", b"even/09992", b"even/09994", b"even/09996", b"even/09998"]);
        assert_eq!(a.keys(b"\xff"), [&b"\xff"[..], b"\xff\xff"]);
        assert!(a.keys(b"zebra").is_empty() && a.keys(&[b'e'; MAX_KEY]).is_empty());
        let plen = a.put(DATA, &[0; MAX_KEY + 1]);
        assert_eq!(a.call("kv_list", args![DATA, plen, OUT, 0u32]), Err(AbiError::TooLarge));
    }
}

#[test]
fn an_older_result_is_not_that_of_a_call_that_fails() {
    let store = KvStore::in_memory().expect("it is made");
    for cell in cells() {
        let mut a = guest(&cell, &store, "a");
        a.set(b"secret", &[7; 1000]).expect("room");
        let (secret, other) = (a.put(KEY, b"secret"), a.put(KEY + 100, b"other"));
        for (function, wrong) in [
            ("kv_get", args![KEY + 100, other, OUT, 0u32]),
            ("kv_get", args![KEY, 0u32, OUT, 0u32]),
            ("kv_list", args![KEY, 600u32, OUT, 0u32]),
        ] {
            assert_eq!(a.call("kv_get", args![KEY, secret, OUT, 0u32]), Ok(1000));
            assert_eq!(a.call("result_read", args![OUT, 1000u32, 0u32]), Ok(1000));
            a.call(function, wrong).expect_err(function);
            assert_eq!(a.call("result_read", args![OUT, 1000u32, 0u32]), Ok(0), "{function}");
        }
    }
}

#[test]
fn a_value_is_paid_for_before_it_is_copied_and_capped_like_a_message() {
    let store = KvStore::in_memory().expect("it is made");
    let handle = store.agent("a", CAP).expect("a name");
    handle.set(b"k", &[1; 100_001]).expect("room");
    handle.set(b"l", &[1; 100_000]).expect("room");
    for cell in cells() {
        let mut a = cell.guest(&[Capability::Kv], AgentState::new("a").kv(handle.clone()));
        assert_eq!(a.value(b"k"), Err(AbiError::TooLarge), "stored by somebody who may have more");
        assert_eq!(a.value(b"l").map(|value| value.len()), Ok(100_000));
        let mut policy = cell.policy(&[Capability::Kv]);
        policy.limits.fuel = cofferdam::policy::Fuel::new(50_000);
        let mut poor = cell.guest_under(policy, &[Capability::Kv], AgentState::new("a").kv(handle.clone()));
        let klen = poor.put(KEY, b"l");
        let report = poor.report("kv_get", args![KEY, klen, OUT, 0u32]);
        assert!(matches!(report.outcome, cofferdam::Outcome::Stopped { limit: cofferdam::Limit::Fuel, .. }));
    }
}

#[test]
fn a_long_list_is_paid_for_and_ends_with_the_fuel() {
    let store = KvStore::in_memory().expect("it is made");
    let handle = store.agent("many", MemoryBytes::mib(4)).expect("a name");
    (0..5_000u32).for_each(|n| handle.set(&n.to_be_bytes(), b"").expect("room"));
    for cell in cells() {
        let mut policy = cell.policy(&[Capability::Kv]);
        policy.limits.fuel = cofferdam::policy::Fuel::new(100_000);
        let state = AgentState::new("many").kv(handle.clone());
        let mut a = cell.guest_under(policy, &[Capability::Kv], state);
        let report = a.report("kv_list", args![0u32, 0u32, OUT, 900_000u32]);
        let stopped = matches!(report.outcome, cofferdam::Outcome::Stopped { limit: cofferdam::Limit::Fuel, .. });
        assert!(stopped && report.receipt.fuel == 100_000, "{:?}", report.outcome);
    }
}

#[test]
fn an_agent_without_storage_is_denied() {
    for cell in cells() {
        let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let heard = told.clone();
        let state = AgentState::new("a").on_denied(move |capability, _| heard.lock().push(capability));
        let mut a = cell.guest(&[Capability::Kv], state);
        assert_eq!(a.set(b"k", b"v"), Err(AbiError::Denied));
        assert_eq!(a.value(b"k"), Err(AbiError::Denied));
        assert_eq!(a.call("kv_delete", args![KEY, 1u32]), Err(AbiError::Denied));
        assert_eq!(a.call("kv_list", args![KEY, 1u32, OUT, 0u32]), Err(AbiError::Denied));
        assert_eq!(*told.lock(), [Capability::Kv; 4], "the host hears of each");
    }
}
