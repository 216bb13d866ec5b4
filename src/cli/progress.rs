//! A sign of life on work that takes long, for a person at a terminal. Machines and logs see nothing of it.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::ProgressBar;

/// Work that is done by then needs no sign.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Does `work`. If it takes long and somebody is watching, says `what` is going on.
pub fn while_doing<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, wait) = channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
                spinner.enable_steady_tick(TICK);
                // Until the other end is dropped.
                let _ = wait.recv();
                spinner.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}
