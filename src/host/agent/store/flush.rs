//! The thread that puts on the disk what agents have written, and opens the storage anew after it has failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::database::Core;
use super::{KvError, KvOptions};

/// A thread that flushes a while after each first write, and for the last time when this is dropped.
pub(super) struct Flusher {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(core: &Arc<Core>, options: KvOptions) -> Result<Self, KvError> {
        let theirs = core.clone();
        let thread = std::thread::Builder::new().name("cofferdam-kv".into()).spawn(move || run(&theirs, &options));
        let thread = thread.map_err(|error| KvError::Storage(error.to_string().into()))?;
        Ok(Self { core: core.clone(), thread: Some(thread) })
    }

    /// Something was written, and nothing was before.
    pub(super) fn wake(&self) {
        self.core.signal.set(|wanted| wanted.written = true);
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.core.signal.set(|wanted| wanted.closing = true);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; what failed was told.
            let _ = thread.join();
        }
    }
}

fn run(core: &Core, options: &KvOptions) {
    let signal = &core.signal;
    loop {
        let (closing, failed) = {
            let mut wanted = signal.state.lock();
            signal.changed.wait_while(&mut wanted, |wanted| !(wanted.written || wanted.failed || wanted.closing));
            // Others may write meanwhile, and are flushed along. A failure is not waited for behind a flush.
            let failed = wanted.failed;
            let pause = if failed { options.reopen_every } else { options.flush_every };
            signal.changed.wait_while_for(&mut wanted, |wanted| !wanted.closing && wanted.failed == failed, pause);
            wanted.written = false;
            (wanted.closing, failed)
        };
        if closing {
            // A failure was told by the core.
            let _ = core.flush();
            return;
        }
        if failed {
            match core.reopen() {
                Ok(()) => signal.state.lock().failed = false,
                Err(error) => tracing::debug!(%error, "the agents' storage still cannot be used"),
            }
            continue;
        }
        // If it fails, it is opened anew the next time round. What was written while it was under way was not the
        // first write, which wakes.
        if core.flush().is_ok() && core.unflushed.load(Ordering::Acquire) > 0 {
            signal.state.lock().written = true;
        }
    }
}
