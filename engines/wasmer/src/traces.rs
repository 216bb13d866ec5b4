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

    /// The guests' places at `trace`.
    ///
    /// Singlepass knows no position for traps inside of some operators and in calls of Wasmer's library, and has one
    /// place in each function for each other kind of trap, behind the code, with the position of the last `end`. Where
    /// the operator is not known, none is named.
    pub fn places(&self, trace: &[usize]) -> Vec<Place> {
        const END: u8 = 0x0b;
        let Ok(frames) = FRAME_INFO.read() else { return Vec::new() };
        let place = |address: &usize| {
            let frame = frames.lookup_frame_info(*address)?;
            let module = self.module_at(*address)?;
            let bytes = module.prepared.bytes();
            // Wasmer's answer for what it does not know is the begin of the function, where no operator stands.
            let known =
                |at: &u32| frame.func_offset() > 0 && (module.exact_traps || bytes.get(*at as usize) != Some(&END));
            let offset = u32::try_from(frame.module_offset()).ok().filter(|at| *at != u32::MAX).filter(known);
            module.prepared.code_map().place(frame.func_index(), offset)
        };
        trace.iter().filter_map(place).collect()
    }
}
