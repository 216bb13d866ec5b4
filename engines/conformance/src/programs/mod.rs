//! Rows that data cannot say.

use crate::clause::Clause;
use crate::row::{Body, Row};
use crate::trouble::Done;
use crate::cell::Cell;

type Program = (&'static str, Clause, fn(&Cell<'_>) -> Done);

const PROGRAMS: &[&[Program]] = &[];

/// All of them.
pub fn rows() -> impl Iterator<Item = Row> {
    PROGRAMS.iter().copied().flatten().map(|(name, clause, program)| Row {
        name: (*name).to_owned(),
        clause: *clause,
        portable_only: false,
        body: Body::Program(*program),
    })
}
