//! Rows that data cannot say.

mod artefacts;
mod border;
mod determinism;
mod frames;
mod stack;
mod threads;

use crate::cell::Cell;
use crate::clause::Clause;
use crate::row::{Body, Row};
use crate::trouble::Done;

type Program = (&'static str, Clause, fn(&Cell<'_>) -> Done);

const PROGRAMS: &[&[Program]] =
    &[artefacts::ROWS, border::ROWS, determinism::ROWS, frames::ROWS, stack::ROWS, threads::ROWS];

/// All of them.
pub fn rows() -> impl Iterator<Item = Row> {
    PROGRAMS.iter().copied().flatten().map(|(name, clause, program)| Row {
        name: (*name).to_owned(),
        clause: *clause,
        portable_only: false,
        body: Body::Program(*program),
    })
}

/// Calls itself as the Fibonacci numbers do.
const FIB: &str = r#"(module (func $f (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0))
        (else (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
                       (call $f (i32.sub (local.get 0) (i32.const 2))))))))"#;
