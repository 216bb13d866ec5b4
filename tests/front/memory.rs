//! Guest memory from outside: checked, whatever is asked.

use cofferdam::policy::{Limits, MemoryBytes};
use cofferdam::sandbox::{GlobalError, MemoryError};
use cofferdam::{AccessError, Value};

use crate::matrix::matrix;
use crate::{guest, sandbox};

const PAGE: u64 = 65_536;

#[test]
fn reads_and_writes_stop_at_the_edge_and_change_nothing_beyond() {
    let text = r#"(module (memory (export "memory") 1 8) (memory (export "other") 2) (func (export "f")))"#;
    for (engine, mode) in matrix() {
        let mut guest = guest(&sandbox(&engine, mode, Limits::agent()), text);
        assert_eq!(guest.memory("other").and_then(|m| m.size()), Ok(2 * PAGE));
        let missing = guest.memory("f").map(drop).expect_err("it is a function");
        assert_eq!(missing.to_string(), "the module exports no memory `f`");

        let mut memory = guest.memory("memory").expect("it is there");
        memory.write(PAGE - 4, &[1, 2, 3, 4]).expect("it fits exactly");
        assert_eq!(memory.get::<u32>(PAGE - 4), Ok(0x0403_0201));
        assert_eq!(memory.get::<i16>(PAGE - 2), Ok(0x0403));
        for (offset, len) in [(PAGE - 3, 4), (PAGE, 1), (u64::MAX, 1), (u64::MAX - 1, 2), (1 << 32, 1), (0, PAGE + 1)] {
            let outside = Err(MemoryError::OutOfBounds { offset, len, size: PAGE });
            assert_eq!(memory.read(offset, len), outside, "{mode}");
            let bytes = vec![9; usize::try_from(len).expect("it is small")];
            assert_eq!(memory.write(offset, &bytes).map(|()| vec![]), outside, "{mode}");
        }
        // A length that no host could allocate is refused before anything is.
        assert!(matches!(memory.read(0, u64::MAX), Err(MemoryError::OutOfBounds { .. })));
        assert_eq!(memory.read(PAGE - 4, 4), Ok(vec![1, 2, 3, 4]), "a refused write wrote nothing");
        assert_eq!(memory.read(PAGE, 0), Ok(vec![]));
        memory.set(8, -1.5f64).expect("it fits");
        assert_eq!(memory.get(8), Ok(-1.5f64));
    }
}

#[test]
fn text_is_checked_and_growth_is_under_the_cap() {
    let text = r#"(module (memory (export "memory") 1 4) (data (i32.const 0) "abc\ff\c3\a9"))"#;
    for (engine, mode) in matrix() {
        for (cap, most) in [(MemoryBytes::mib(10), 4), (MemoryBytes::kib(3 * 64), 3)] {
            let mut guest = guest(&sandbox(&engine, mode, Limits { memory: cap, ..Limits::agent() }), text);
            let mut memory = guest.memory("memory").expect("it is there");
            assert_eq!(memory.string(4, 2).as_deref(), Ok("é"));
            assert_eq!(memory.string(0, 4), Err(MemoryError::NotUtf8 { offset: 0, len: 4, valid: 3 }));
            assert_eq!(memory.grow(most - 1), Ok(1));
            for pages in [1, u64::MAX, 1 << 48] {
                assert_eq!(memory.grow(pages), Err(MemoryError::Growth { pages, size: most * PAGE }), "{mode}");
            }
            assert_eq!((memory.size(), guest.usage().memory_bytes), (Ok(most * PAGE), most * PAGE));
        }
    }
}

#[test]
fn globals_are_read_and_set_as_their_type_allows() {
    let text = r#"(module (global (export "count") (mut i64) (i64.const 5)) (global (export "pi") f64 (f64.const 3.25))
      (func (export "f") (result i64) (global.get 0)))"#;
    for (engine, mode) in matrix() {
        let mut guest = guest(&sandbox(&engine, mode, Limits::agent()), text);
        assert_eq!((guest.global("count"), guest.global("pi")), (Ok(Value::I64(5)), Ok(3.25f64.into())));
        guest.set_global("count", -9i64).expect("it is mutable");
        assert_eq!(guest.call("f", &[]).outcome.values(), Some(&[Value::I64(-9)][..]), "{mode}");
        let refused = |set: Result<(), GlobalError>| match set {
            Err(GlobalError::Access { error, .. }) => Some(error),
            _ => None,
        };
        assert_eq!(refused(guest.set_global("count", 1i32)), Some(AccessError::WrongType));
        assert_eq!(refused(guest.set_global("pi", 1.0f64)), Some(AccessError::Immutable));
        let missing = guest.global("f").expect_err("it is a function");
        assert_eq!(missing.to_string(), "the module exports no global `f`");
    }
}
