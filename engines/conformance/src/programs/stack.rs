//! The stack budget fires, never the machine's own stack, whatever the frames look like; and at the depth that
//! the contract's formula gives.

use std::fmt::Write as _;

use cofferdam_engine::{Extern, Limit, Stop, StoreLimits, Value};

use super::Program;
use crate::cell::Cell;
use crate::clause::Clause;
use crate::trouble::{Done, Trouble, same};

pub const ROWS: &[Program] = &[
    ("stack.frames-without-values", Clause::Stack, |cell| recurse(cell, &Shape::default())),
    ("stack.frames-of-49000-locals", Clause::Stack, |cell| {
        recurse(cell, &Shape { locals: 49_000, ..Shape::default() })
    }),
    ("stack.frames-of-20000-vectors", Clause::Stack, |cell| {
        recurse(cell, &Shape { locals: 20_000, local_type: "v128", ..Shape::default() })
    }),
    ("stack.frames-of-live-locals", Clause::Stack, |cell| recurse(cell, &Shape { live: 200, ..Shape::default() })),
    ("stack.frames-of-1000-parameters", Clause::Stack, |cell| {
        recurse(cell, &Shape { params: 1_000, ..Shape::default() })
    }),
    ("stack.frames-of-1000-vectors", Clause::Stack, |cell| {
        recurse(cell, &Shape { params: 1_000, param_type: "v128", ..Shape::default() })
    }),
    ("stack.frames-of-1000-results", Clause::Stack, |cell| {
        recurse(cell, &Shape { results: 1_000, ..Shape::default() })
    }),
    ("stack.frames-of-kept-values", Clause::Stack, kept_values),
    ("stack.four-million-units", Clause::Stack, |cell| recurse(cell, &Shape { units: 4 << 20, ..Shape::default() })),
];

/// What the frames of an endless recursion look like.
struct Shape {
    params: u32,
    param_type: &'static str,
    results: u32,
    locals: u32,
    local_type: &'static str,
    /// `i64` locals that are written before the call and read after it.
    live: u32,
    units: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            params: 0,
            param_type: "i64",
            results: 0,
            locals: 0,
            local_type: "i64",
            live: 0,
            units: StoreLimits::default().stack_units,
        }
    }
}

impl Shape {
    fn wat(&self) -> String {
        let repeat = |text: &str, count: u32| text.repeat(count as usize);
        let zero = match self.param_type {
            "v128" => "(v128.const i64x2 0 0)",
            _ => "(i64.const 0)",
        };
        let (mut pass, mut spread, mut gather) = (String::new(), String::new(), String::new());
        // Writing to a string cannot fail.
        for i in 0..self.params {
            let _ = write!(pass, "(local.get {i})");
        }
        for i in 0..self.live {
            let _ = write!(
                spread,
                "(local.set {i} (i64.extend_i32_u (i32.mul (global.get $depth) (i32.const {}))))",
                i + 3
            );
            let _ = write!(gather, "(i64.store (i32.const {}) (local.get {i}))", i * 8);
        }
        let signature = format!(
            "(param {}) (result {})",
            repeat(&format!("{} ", self.param_type), self.params),
            repeat("i64 ", self.results)
        );
        let locals = repeat(&format!("{} ", self.local_type), self.locals) + &repeat("i64 ", self.live);
        format!(
            r#"(module (memory 1) (global $depth (export "depth") (mut i32) (i32.const 0))
            (func $f {signature} (local {locals})
                (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                {spread} {pass} (call $f) {gather})
            (func (export "run") {} (call $f) {})
            (func (export "ok") (result i32) (i32.const 1)))"#,
            repeat(zero, self.params),
            repeat("(drop)", self.results),
        )
    }

    /// 64, and 16 a parameter, local, operand at the most, and argument or result of a callee at the most.
    fn weight(locals: u32, operands: u32, callee: u32) -> u32 {
        64 + 16 * (locals + operands + callee)
    }

    /// How often `$f` is entered before the budget is spent.
    fn depth(&self) -> u32 {
        let callee = self.params.max(self.results);
        let values = self.params.max(self.results);
        let spread = if self.live > 0 { 2 } else { 0 };
        let locals = self.params + self.locals + self.live;
        let each = Self::weight(locals, values.max(2).max(spread), callee);
        let run = Self::weight(0, values, callee);
        self.units.saturating_sub(run) / each
    }
}

fn recurse(cell: &Cell<'_>, shape: &Shape) -> Done {
    ends_at(cell, &shape.wat(), shape.units, shape.depth())
}

/// What is the same in each pass of a loop, and is computed once by an optimiser and kept over the call: no local or
/// operand of the guest's holds it, and the frame is several times as large as one that holds those.
fn kept_values(cell: &Cell<'_>) -> Done {
    let mut kept = String::new();
    for i in 0..200 {
        let _ = write!(
            kept,
            "(i64.store (i32.const {}) (i64.mul (i64.xor (local.get 0) (i64.const {})) (i64.const {})))",
            i * 8,
            0x1234_5678_9abc_i64 + i * 7_919,
            i * 2 + 3,
        );
    }
    let wat = format!(
        r#"(module (memory 1) (global $depth (export "depth") (mut i32) (i32.const 0))
            (func $f (param i64)
                (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
                (loop $again
                    (call $f (local.get 0))
                    {kept}
                    (br_if $again (i64.eqz (local.get 0)))))
            (func (export "run") (call $f (i64.const 5)))
            (func (export "ok") (result i32) (i32.const 1)))"#
    );
    let units = StoreLimits::default().stack_units;
    ends_at(cell, &wat, units, (units - Shape::weight(0, 1, 1)) / Shape::weight(1, 3, 1))
}

/// `run` of `wat` recurses without end, and `units` are spent at `depth`.
fn ends_at(cell: &Cell<'_>, wat: &str, units: u32, depth: u32) -> Done {
    let limits = StoreLimits { stack_units: units, ..StoreLimits::default() };
    let mut guest = cell.guest_with(wat, &limits)?;
    for round in 1..=2 {
        match guest.call("run", &[])? {
            Err(Stop::Limit { limit: Limit::Stack, frames }) => {
                // A machine stack that ended has no frames to show: these are from our own check.
                let shown = !frames.is_empty() || !cell.engine.descriptor().capabilities.trap_frames;
                same("frames are shown", &shown, &true)?;
            }
            other => return Err(Trouble::wrong(format!("endless recursion ended as {other:?}"))),
        }
        let Extern::Global(global) = guest.export("main", "depth")? else { return Err(Trouble::wrong("no global")) };
        let expected = Value::from(depth.wrapping_mul(round));
        same("depth over all calls", &guest.store.global_get(global), &Ok(expected))?;
        same("a call afterwards", &guest.call("ok", &[])?.ok(), &Some(vec![Value::I32(1)]))?;
    }
    Ok(())
}
