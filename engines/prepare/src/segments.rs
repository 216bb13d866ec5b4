//! Where fuel is charged: cuts a function into segments, each of which is charged in full before its first
//! operator. A segment is a basic block that also ends at calls, so that what a trap, an exception or a stop
//! inside a callee leaves unexecuted was not charged.

use wasmparser::{Catch, Operator, OperatorsReader};

use crate::metering::{is_call, is_tail_call, may_reach_host, price};

/// One segment: what happens before the operator at which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Position of its first operator, counted in operators.
    pub at: u32,
    /// Fuel for all of it.
    pub cost: u64,
    /// Whether the counter is checked: at function entries, at loop headers, and where a host function may
    /// be called.
    pub check: bool,
    /// Whether somebody else may have changed the counter since this function last looked: at the entry,
    /// after calls, and where exceptions are caught.
    pub reload: bool,
}

/// A segment that costs this much ends, and the next one begins with a check: a straight line of a million
/// loads must not run unseen.
const LONGEST_UNCHECKED: u64 = 50_000;

/// No segment costs more: far beyond any function's size, and far from wrapping a counter around.
const MOST: u64 = 1 << 62;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Block,
    Loop,
    If,
    Else,
}

struct Frame {
    kind: Kind,
    /// Whether its start can be reached.
    live: bool,
    /// Whether the end of its first arm can be reached.
    then_live: bool,
    /// Whether something branches to its end.
    targeted: bool,
    /// Whether exceptions are caught to its label.
    catches: bool,
    /// Of a loop, its header's segment.
    header: Option<usize>,
}

impl Frame {
    fn new(kind: Kind, live: bool) -> Self {
        Self { kind, live, then_live: false, targeted: false, catches: false, header: None }
    }
}

struct Cutter {
    segments: Vec<Segment>,
    /// The segment that the next operator belongs to; `None` in code that cannot be reached.
    current: Option<usize>,
    frames: Vec<Frame>,
}

/// Cuts the function whose operators `reader` yields, in a module that imports `imported` functions.
/// `entry` is charged with the first segment.
pub(crate) fn cut(mut reader: OperatorsReader<'_>, imported: u32, entry: u64) -> wasmparser::Result<Vec<Segment>> {
    let first = Segment { at: 0, cost: entry, check: true, reload: true };
    let mut cutter = Cutter { segments: vec![first], current: Some(0), frames: Vec::new() };
    let mut at = 0;
    while !reader.eof() {
        cutter.operator(at, &reader.read()?, imported)?;
        at += 1;
    }
    let mut segments = cutter.segments;
    segments.retain(|s| s.cost > 0 || s.check || s.reload);
    Ok(segments)
}

impl Cutter {
    fn operator(&mut self, at: u32, operator: &Operator<'_>, imported: u32) -> wasmparser::Result<()> {
        if let Some(segment) = self.current.and_then(|current| self.segments.get_mut(current)) {
            segment.cost = segment.cost.saturating_add(price(operator)).min(MOST);
            // The whole segment is paid for at its start, so a check there stands before the call.
            segment.check |= may_reach_host(operator, imported);
        }
        let live = self.current.is_some();
        match operator {
            Operator::Block { .. } => self.frames.push(Frame::new(Kind::Block, live)),
            Operator::TryTable { try_table } => {
                if live {
                    for catch in &try_table.catches {
                        self.catch_at(catch);
                    }
                }
                self.frames.push(Frame::new(Kind::Block, live));
            }
            Operator::Loop { .. } => {
                let mut frame = Frame::new(Kind::Loop, live);
                if live {
                    self.start(at + 1, true, false);
                    frame.header = self.current;
                }
                self.frames.push(frame);
            }
            Operator::If { .. } => {
                self.frames.push(Frame::new(Kind::If, live));
                if live {
                    self.start(at + 1, false, false);
                }
            }
            Operator::Else => self.otherwise(at),
            Operator::End => self.end(at),
            _ if !live => {}
            Operator::Return | Operator::Unreachable => self.leave(),
            Operator::Br { relative_depth } => {
                self.target(*relative_depth);
                self.leave();
            }
            Operator::BrTable { targets } => {
                for target in targets.targets() {
                    self.target(target?);
                }
                self.target(targets.default());
                self.leave();
            }
            Operator::Throw { .. } | Operator::ThrowRef => self.leave(),
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                self.target(*relative_depth);
                self.start(at + 1, false, false);
            }
            _ if is_tail_call(operator) => self.leave(),
            _ if is_call(operator) => self.start(at + 1, false, true),
            _ if self.current_cost() >= LONGEST_UNCHECKED => self.start(at + 1, true, false),
            _ => {}
        }
        Ok(())
    }

    fn current_cost(&self) -> u64 {
        self.current.and_then(|current| self.segments.get(current)).map_or(0, |segment| segment.cost)
    }

    fn start(&mut self, at: u32, check: bool, reload: bool) {
        self.current = Some(self.segments.len());
        self.segments.push(Segment { at, cost: 0, check, reload });
    }

    /// Control does not go on to the next operator.
    fn leave(&mut self) {
        let left = self.current.take().and_then(|current| self.segments.get_mut(current));
        if let Some(segment) = left.filter(|segment| segment.cost == 0) {
            // Nothing is charged from here to where the function is left, so nobody needs the counter.
            segment.reload = false;
        }
    }

    fn frame(&mut self, depth: u32) -> Option<&mut Frame> {
        let at = self.frames.len().checked_sub(depth as usize + 1)?;
        self.frames.get_mut(at)
    }

    fn target(&mut self, depth: u32) {
        // Deeper than the outermost block is a return.
        if let Some(frame) = self.frame(depth) {
            frame.targeted = true;
        }
    }

    fn catch_at(&mut self, catch: &Catch) {
        let (Catch::One { label, .. } | Catch::OneRef { label, .. } | Catch::All { label } | Catch::AllRef { label }) =
            catch;
        let Some(frame) = self.frame(*label) else { return };
        frame.targeted = true;
        frame.catches = true;
        let header = frame.header;
        if let Some(segment) = header.and_then(|header| self.segments.get_mut(header)) {
            segment.reload = true;
        }
    }

    fn otherwise(&mut self, at: u32) {
        let live = self.current.is_some();
        let Some(frame) = self.frames.last_mut() else { return };
        frame.kind = Kind::Else;
        frame.then_live = live;
        if frame.live {
            self.start(at + 1, false, false);
        } else {
            self.current = None;
        }
    }

    fn end(&mut self, at: u32) {
        let live = self.current.is_some();
        let Some(frame) = self.frames.pop() else {
            // The function's own end.
            return self.leave();
        };
        let joins = match frame.kind {
            // Falls through into whatever follows, in the same segment.
            Kind::Loop => return,
            Kind::Block if !frame.targeted => return,
            Kind::Block => true,
            Kind::If => frame.live,
            Kind::Else => live || frame.then_live || frame.targeted,
        };
        if joins {
            self.start(at + 1, false, frame.catches);
        } else {
            self.current = None;
        }
    }
}
