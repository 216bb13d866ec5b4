//! Names that belong to Cofferdam. A guest that imports or exports one of them is refused, so that it can
//! never reach, replace or forge what `prepare` (or an engine's own meter) adds.

/// Module half of every import that `prepare` adds.
pub const MODULE: &str = "cofferdam:meter";
/// The tick, `(i64) -> ()`. Argument: fuel needed beyond what the counter holds, or [`STACK_EXHAUSTED`].
pub const TICK: &str = "tick";
/// The fuel counter, a mutable `i64`.
pub const FUEL: &str = "fuel";
/// The stack counter, a mutable `i32`: units left.
pub const STACK: &str = "stack";
/// Export under which the start function, if there is one, waits to be called.
pub const START: &str = "cofferdam:start";
/// What the tick is told when the stack counter has run out.
pub const STACK_EXHAUSTED: i64 = -1;

/// Prefixes that guests must not use, as an import's module or an export's name. The second is where an
/// engine's own meter keeps its globals; it is reserved for every engine, so that a module is accepted or
/// refused everywhere alike.
pub const RESERVED_PREFIXES: &[&str] = &["cofferdam:", "wasmer_metering_"];

/// Whether `name` is reserved.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|p| name.starts_with(p))
}
