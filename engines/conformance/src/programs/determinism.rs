//! The same memory, byte for byte, and the same fuel every time.

use cofferdam_engine::{CallBudget, Extern, StoreLimits, Value};

use super::{FIB, Program};
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("memory.every-byte", Clause::Determinism, every_byte),
    ("fuel.repeats", Clause::Charging, fuel_repeats),
    ("fuel.independent-of-the-budget", Clause::Tick, independent_of_the_budget),
];

/// Fills its memory with the numbers of a linear congruence.
const NOISE: &str = r#"(module (memory (export "m") 2)
    (func (export "run") (param $x i32) (local $i i32)
        (loop $l
            (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
            (i32.store8 (local.get $i) (i32.shr_u (local.get $x) (i32.const 24)))
            (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 131072))))))"#;

fn every_byte(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest_of(NOISE)?;
    guest.call("run", &[Value::I32(5)])?.map_err(Trouble::wrong)?;
    let Extern::Memory(memory) = guest.export("main", "m")? else { return Err(Trouble::wrong("no memory")) };
    let mut found = vec![0; 2 << 16];
    same("memory_read", &guest.store.memory_read(memory, 0, &mut found), &Ok(()))?;
    let mut x = 5u32;
    let step = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    let expected: Vec<u8> = (0..2 << 16).map(step).collect();
    same("hash of the memory", &blake3::hash(&found), &blake3::hash(&expected))
}

fn fuel_repeats(cell: &Cell<'_>) -> Done {
    let module = cell.compile(FIB)?;
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut guest = cell.guest(&StoreLimits::default())?;
        guest.add("main", &*module)?;
        for n in [10, 15, 10] {
            guest.call("fib", &[Value::I32(n)])?.map_err(Trouble::wrong)?;
            all.push(guest.consumed);
        }
    }
    let (first, second) = all.split_at(3);
    same("the same calls in two stores", &second, &first)?;
    same("the same call twice", &first.first(), &first.last())
}

fn independent_of_the_budget(cell: &Cell<'_>) -> Done {
    let mut guest = cell.guest_of(FIB)?;
    let mut consumed = Vec::new();
    for fuel in [10_000_000, 99_999_999, 1 << 50, u64::MAX] {
        let mut budget = CallBudget::of_fuel(fuel);
        guest.call_with("fib", &[Value::I32(20)], &mut budget)?.map_err(Trouble::wrong)?;
        consumed.push(budget.consumed);
    }
    same("fuel under four budgets", &consumed.iter().all(|c| Some(c) == consumed.first()), &true)
}
