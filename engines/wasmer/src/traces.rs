//! From machine addresses back to places in the guests' own modules.

use std::sync::Arc;

use backtrace::Backtrace;
use cofferdam_engine::{Place, Trap};
use wasmer_compiler::FRAME_INFO;

use crate::compiled::Compiled;

/// How far down the machine stack a host function's failure is traced: its own frames and ours come first.
const MACHINE_FRAMES: usize = 4 * Trap::MAX_FRAMES;

/// Where the code of a store's modules lies.
#[derive(Default)]
pub(crate) struct CodeRanges(Vec<Arc<Compiled>>);

impl CodeRanges {
    pub fn add(&mut self, module: &Arc<Compiled>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, module)) {
            self.0.push(module.clone());
        }
    }

    fn module_at(&self, address: usize) -> Option<&Compiled> {
        self.0.iter().find(|m| m.code.contains(&address)).map(|m| &**m)
    }

    /// The guest code that waits on this thread's stack, innermost first.
    pub fn trace_here(&self) -> Vec<usize> {
        let mut trace = Vec::new();
        let mut seen = 0;
        backtrace::trace(|frame| {
            seen += 1;
            // A return address may lie just behind the code that called.
            let address = (frame.ip() as usize).wrapping_sub(1);
            if self.module_at(address).is_some() {
                trace.push(address);
            }
            trace.len() < Trap::MAX_FRAMES && seen < MACHINE_FRAMES
        });
        trace
    }

    /// The guest code in `backtrace`, innermost first. `trapped_at` is where the machine itself trapped.
    pub fn trace_of(&self, backtrace: &Backtrace, trapped_at: Option<usize>) -> Vec<usize> {
        let addresses = backtrace.frames().iter().map(|frame| {
            let ip = frame.ip() as usize;
            if trapped_at == Some(ip) { ip } else { ip.wrapping_sub(1) }
        });
        addresses.filter(|a| self.module_at(*a).is_some()).take(Trap::MAX_FRAMES).collect()
    }

    /// The guests' places at `trace`, the stack of a host function.
    pub fn places(&self, trace: &[usize]) -> Vec<Place> {
        self.places_of(trace, Vague::No)
    }

    /// The guests' places at `trace`, at whose begin `by` happened.
    ///
    /// Singlepass has one place in each function for each kind of trap, behind the code, with the position of the
    /// function's last `end`; and none for calls of Wasmer's library. Where it does not know an operator, none is named.
    pub fn places_of_trap(&self, trace: &[usize], by: TrapBy) -> Vec<Place> {
        let exact = trace.first().and_then(|address| self.module_at(*address)).is_none_or(|module| module.exact_traps);
        let vague = match by {
            _ if exact => Vague::No,
            TrapBy::Machine => Vague::AtAnEnd,
            TrapBy::Library => Vague::Yes,
        };
        self.places_of(trace, vague)
    }

    fn places_of(&self, trace: &[usize], innermost: Vague) -> Vec<Place> {
        const END: u8 = 0x0b;
        let Ok(frames) = FRAME_INFO.read() else { return Vec::new() };
        let place = |(depth, address): (usize, &usize)| {
            let frame = frames.lookup_frame_info(*address)?;
            let prepared = &self.module_at(*address)?.prepared;
            let known = |at: &u32| match innermost {
                _ if depth > 0 => true,
                Vague::No => true,
                Vague::AtAnEnd => prepared.bytes().get(*at as usize) != Some(&END),
                Vague::Yes => false,
            };
            let offset = u32::try_from(frame.module_offset()).ok().filter(|at| *at != u32::MAX).filter(known);
            prepared.code_map().place(frame.func_index(), offset)
        };
        trace.iter().enumerate().filter_map(place).collect()
    }
}

/// What trapped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TrapBy {
    /// An instruction of the guest's.
    Machine,
    /// A function of Wasmer's library that the guest called.
    Library,
}

/// Whether the position of the innermost frame is not to be trusted.
#[derive(Clone, Copy, Debug)]
enum Vague {
    No,
    AtAnEnd,
    Yes,
}
