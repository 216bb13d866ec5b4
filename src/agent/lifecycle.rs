//! [`State`] and the one table of its moves, [`next`]: whatever is not in it does not happen.

use std::fmt;

use serde::Serialize;

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not deployed: before, and after removal.
    Unloaded,
    /// Compiled and admitted; nothing has run.
    Loaded,
    /// Takes messages and calls. `init` comes first.
    Running,
    /// Takes no new work and finishes what is queued.
    Draining,
    /// Ended in order; its memory is given back. It can be started again, as new.
    Stopped,
    /// Ended by a fault or a violation; its memory is given back. It can be started again, as new.
    Failed,
}

/// What happens to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Its module passed every gate.
    Deploy,
    /// It is to run.
    Start,
    /// It is to stop.
    Drain,
    /// It has nothing left to do, or no time.
    Finish,
    /// It cannot go on.
    Fail,
    /// It is to be forgotten.
    Remove,
}

/// The state does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent that is {from} cannot {what}", what = self.what())]
pub struct IllegalMove {
    /// What the agent is doing.
    pub from: State,
    /// What was to happen.
    pub event: Move,
}

impl IllegalMove {
    const fn what(&self) -> &'static str {
        match self.event {
            Move::Deploy => "be deployed",
            Move::Start => "be started",
            Move::Drain => "be stopped",
            Move::Finish => "come to an end",
            Move::Fail => "fail",
            Move::Remove => "be removed",
        }
    }
}

impl State {
    /// Every state.
    pub const ALL: &'static [Self] =
        &[Self::Unloaded, Self::Loaded, Self::Running, Self::Draining, Self::Stopped, Self::Failed];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Loaded => "loaded",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an agent that is `from` is after `event`.
///
/// # Errors
/// The table has no such move.
pub const fn next(from: State, event: Move) -> Result<State, IllegalMove> {
    Ok(match (from, event) {
        (State::Unloaded, Move::Deploy) => State::Loaded,
        (State::Loaded | State::Stopped | State::Failed, Move::Start) => State::Running,
        (State::Running, Move::Drain) => State::Draining,
        (State::Loaded, Move::Drain) | (State::Draining, Move::Finish) => State::Stopped,
        (State::Running | State::Draining, Move::Fail) => State::Failed,
        (State::Loaded | State::Running | State::Draining | State::Stopped | State::Failed, Move::Remove) => {
            State::Unloaded
        }
        _ => return Err(IllegalMove { from, event }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use State::{Draining, Failed, Loaded, Running, Stopped, Unloaded};
        let no = None;
        // deploy, start, drain, finish, fail, remove
        let table = [
            (Unloaded, [Some(Loaded), no, no, no, no, no]),
            (Loaded, [no, Some(Running), Some(Stopped), no, no, Some(Unloaded)]),
            (Running, [no, no, Some(Draining), no, Some(Failed), Some(Unloaded)]),
            (Draining, [no, no, no, Some(Stopped), Some(Failed), Some(Unloaded)]),
            (Stopped, [no, Some(Running), no, no, no, Some(Unloaded)]),
            (Failed, [no, Some(Running), no, no, no, Some(Unloaded)]),
        ];
        let moves = [Move::Deploy, Move::Start, Move::Drain, Move::Finish, Move::Fail, Move::Remove];
        assert_eq!(table.map(|(from, _)| from), State::ALL);
        for (from, row) in table {
            for (event, expected) in moves.into_iter().zip(row) {
                assert_eq!(next(from, event), expected.ok_or(IllegalMove { from, event }), "{from} {event:?}");
            }
        }
        let refused = next(Stopped, Move::Drain).expect_err("it is stopped already");
        assert_eq!(refused.to_string(), "an agent that is stopped cannot be stopped");
    }
}
