//! Pointers and lengths that lie: a trap in every function, whatever else is wrong with the call, and nothing
//! is allocated or changed for them.

use std::sync::Arc;

use cofferdam::host::agent::{AgentState, Capability, KvStore};
use cofferdam::policy::MemoryBytes;

use super::*;

/// Pointers and lengths that do not lie within the memory.
const WILD: [(u32, u32); 6] =
    [(MEMORY, 1), (MEMORY - 3, 4), (0, u32::MAX), (1, u32::MAX), (u32::MAX, 1), (u32::MAX, u32::MAX)];

/// Every function that takes ranges: its arguments with a good range everywhere, and where ranges stand in them.
fn takers() -> Vec<(&'static str, Vec<Value>, Vec<usize>)> {
    let good = |n: usize| [Value::from(KEY), Value::from(1u32)].repeat(n);
    let with = |n, more: &[Value]| [&good(n)[..], more].concat();
    let zero = Value::from(0u32);
    vec![
        ("input_read", with(1, &[zero]), vec![0]),
        ("result_read", with(1, &[zero]), vec![0]),
        ("output_write", good(1), vec![0]),
        ("log", [&[Value::from(2)][..], &good(1)].concat(), vec![1]),
        ("random", good(1), vec![0]),
        ("kv_get", good(2), vec![0, 2]),
        ("kv_set", good(2), vec![0, 2]),
        ("kv_delete", good(1), vec![0]),
        ("kv_list", good(2), vec![0, 2]),
        ("call_tool", good(3), vec![0, 2, 4]),
        ("send_message", good(2), vec![0, 2]),
        ("request", with(2, &[zero]), vec![0, 2]),
        ("receive_message", with(1, &[zero]), vec![0]),
        ("reply", good(1), vec![0]),
    ]
}

#[test]
fn every_wild_range_is_a_trap() {
    let store = KvStore::in_memory().expect("it is made");
    for cell in cells() {
        let handle = || store.agent("a", MemoryBytes::mib(1)).expect("a name");
        let guest = || cell.guest(&Capability::ALL[1..], AgentState::new("a").kv(handle()));
        for (function, good, places) in takers() {
            assert_eq!(good.len(), super::ty(function).params().len(), "{function}");
            // Good ones do not end the guest.
            let _ = guest().call(function, &good);
            for place in places {
                for (ptr, len) in WILD {
                    let mut args = good.clone();
                    args[place] = ptr.into();
                    args[place + 1] = len.into();
                    guest().is_wild(function, &args);
                }
            }
        }
        assert!(handle().get(b"x").expect("it reads").is_none());
    }
}

#[test]
fn a_range_at_the_very_end_is_good() {
    for cell in cells() {
        let mut guest = cell.guest(&[Capability::Random], AgentState::new("a"));
        guest.state().begin_call(Arc::from(&b"1234"[..]), 0);
        assert_eq!(guest.call("input_read", args![MEMORY - 4, 4u32, 0u32]), Ok(4));
        assert_eq!(guest.get(MEMORY - 4, 4), b"1234");
        assert_eq!(guest.call("random", args![MEMORY, 0u32]), Ok(0));
        assert_eq!(guest.call("output_write", args![MEMORY - 4, 4u32]), Ok(4));
    }
}
