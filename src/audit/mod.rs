//! What was refused, reached or broken, by whom and when: events for those who watch over guests. The runtime
//! and the tools give them to an [`AuditSink`]; [`AuditLog`] keeps them in a file, [`MemorySink`] in memory.
//!
//! No sink makes a guest wait: what cannot be kept is counted, said once, and lost.

mod event;
mod log;
mod memory;
mod queue;
mod rotate;
mod throttle;
mod writer;

use std::io;

pub use event::{AuditText, Event, EventKind, Subject, SubjectKind};
pub use log::{AuditError, AuditLog, AuditLogConfig};
pub use memory::MemorySink;

/// Takes events. Called from threads that run guests: it must be quick, and must not wait for a disk.
pub trait AuditSink: Send + Sync {
    /// Takes one event.
    fn record(&self, event: Event);

    /// Returns when everything taken so far is where it is kept. Not to be called on a guest's way.
    ///
    /// # Errors
    /// Something of it could not be kept.
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    /// Events that were lost so far.
    fn lost(&self) -> u64 {
        0
    }
}

/// Takes no notice of any event.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAudit;

impl AuditSink for NoAudit {
    fn record(&self, _: Event) {}
}
