//! The official specification suite, driven through [`Engine`] and the gate: every file in a store of its own,
//! linked as the file says.
//!
//! | to | look at |
//! |---|---|
//! | see which files are run under which policy | [`SUITES`], [`files`] |
//! | run one | [`run_file`] |
//! | declare what an engine is known not to pass | [`Known`], [`KNOWN`] |
//! | make it a test program | `harness` (feature `harness`) |
//! | show what came of it | [`markdown`] |
//!
//! **Plain and prepared.** No module reaches an engine that was not gated, so nothing is run raw. In *portable*
//! mode a module runs fully prepared: it counts its own fuel and stack. In *native* mode it runs as plainly as it
//! can: the engine's own meter counts and `prepare` writes the least (on Wasmer nothing but two imports and the
//! moved start function). A failure that preparing adds would show in one mode and not in the other, and each
//! entry of [`KNOWN`] says which modes it holds in.
//!
//! **Not offered.** A module that uses a proposal that the engine does not claim has to be refused by the name of
//! that proposal. It then counts as not offered, and so does what the file wants of it afterwards. Everything else
//! has to come out as the file says: trap kinds, unlinkable for the right reason, the stack limit where stacks run
//! out, NaN patterns lane by lane, and every malformed or invalid module refused by the gate.

mod directives;
#[cfg(feature = "harness")]
pub mod harness;
mod known;
mod report;
mod suites;
mod traps;
mod values;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cofferdam_engine::{Engine, FuelMode};
use wast::Wast;
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};

pub use known::{KNOWN, Known};
pub use report::{EngineReport, markdown};
pub use suites::{File, SUITES, Suite, files};

use crate::cell::Cell;
use crate::trouble::{Done, Trouble};
use world::World;

/// What came of one file on one engine in one fuel mode.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// The suite's name.
    pub suite: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// The fuel mode.
    pub mode: FuelMode,
    /// Directives that came out as the file says.
    pub passed: usize,
    /// Directives that need what the engine does not offer, by what that is.
    pub not_offered: BTreeMap<String, usize>,
    /// Directives that fail as declared.
    pub known: usize,
    /// What fails and is not declared, and what is declared and does not fail.
    pub failures: Vec<String>,
}

/// Runs `file` on `engine` in `mode`. What `known` declares has to fail.
#[must_use]
pub fn run_file(engine: &Arc<dyn Engine>, mode: FuelMode, file: &File, known: &[Known]) -> FileReport {
    let id = engine.descriptor().id;
    let mut report = FileReport {
        suite: file.suite.name,
        file: file.name,
        mode,
        passed: 0,
        not_offered: BTreeMap::new(),
        known: 0,
        failures: Vec::new(),
    };
    let known: Vec<&Known> = known.iter().filter(|k| k.is_about(id, mode, file)).collect();
    let mut met = vec![false; known.len()];
    let mut note = |line: usize, done: Done| match done {
        Ok(()) => report.passed += 1,
        Err(Trouble::Lacks(what)) => *report.not_offered.entry(what).or_default() += 1,
        Err(Trouble::Wrong(what)) => match known.iter().position(|k| k.covers(line)) {
            Some(at) => {
                report.known += 1;
                met[at] = true;
            }
            None => report.failures.push(format!("line {line}: {what}")),
        },
    };
    run(&Cell { engine, mode }, file, &mut note);
    for (known, met) in known.iter().zip(met) {
        if !met {
            let reason = known.reason;
            let line = known.lines.start();
            report.failures.push(format!("line {line} is declared to fail ({reason}) and passes; remove the entry"));
        }
    }
    report
}

fn run(cell: &Cell<'_>, file: &File, note: &mut dyn FnMut(usize, Done)) {
    let read = |e: wast::Error| Trouble::Wrong(format!("the file cannot be read: {}", e.message()));
    let mut lexer = Lexer::new(file.text);
    lexer.allow_confusing_unicode(true);
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => return note(0, Err(read(error))),
    };
    let directives = match parse::<Wast<'_>>(&buffer) {
        Ok(parsed) => parsed.directives,
        Err(error) => return note(0, Err(read(error))),
    };
    let mut world = match World::new(*cell, file.suite) {
        Ok(world) => world,
        Err(trouble) => return note(0, Err(trouble)),
    };
    // Looking a line up is a search; `Span` would count from the start of the file each time.
    let breaks: Vec<usize> = file.text.match_indices('\n').map(|(at, _)| at).collect();
    for directive in directives {
        let line = 1 + breaks.partition_point(|at| *at < directive.span().offset());
        let work = AssertUnwindSafe(|| directives::run(&mut world, directive));
        let done = catch_unwind(work).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            Err(Trouble::Wrong(format!("it panicked: {}", said.unwrap_or("no message"))))
        });
        note(line, done);
    }
}
