//! The thread that puts on the disk what agents have written.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Core, KvError};

/// A thread that flushes a while after each first write, and for the last time when this is dropped.
pub(super) struct Flusher {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    written: bool,
    closing: bool,
}

impl Flusher {
    pub(super) fn start(core: &Arc<Core>, every: Duration) -> Result<Self, KvError> {
        let signal = Arc::new(Signal::default());
        let (shared, core) = (signal.clone(), core.clone());
        let run = move || shared.run(&core, every);
        let thread = std::thread::Builder::new().name("cofferdam-kv".into()).spawn(run);
        let thread = thread.map_err(|error| KvError::Storage(error.to_string().into()))?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// Something was written, and nothing was before.
    pub(super) fn wake(&self) {
        self.signal.state.lock().written = true;
        self.signal.changed.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.signal.state.lock().closing = true;
        self.signal.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say; what failed was told.
            let _ = thread.join();
        }
    }
}

impl Signal {
    fn run(&self, core: &Core, every: Duration) {
        loop {
            let closing = {
                let mut state = self.state.lock();
                while !state.written && !state.closing {
                    self.changed.wait(&mut state);
                }
                // Others may write meanwhile, and are flushed along.
                if !state.closing {
                    self.changed.wait_while_for(&mut state, |state| !state.closing, every);
                }
                state.written = false;
                state.closing
            };
            // A failure was told by the core, and a storage that failed is not written to any more.
            let done = core.flush();
            if closing || done.is_err() {
                return;
            }
            // Written while the flush was under way, and so not the first write, which wakes.
            if core.unflushed.load(std::sync::atomic::Ordering::Acquire) > 0 {
                self.state.lock().written = true;
            }
        }
    }
}
