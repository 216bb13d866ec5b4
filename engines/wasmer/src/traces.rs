//! From machine addresses back to places in the guests' own modules.

use std::collections::HashMap;
use std::sync::Arc;

use backtrace::Backtrace;
use cofferdam_engine::{FuelMode, Place, Trap};
use wasmer_compiler::FRAME_INFO;
use wasmer_vm::TrapCode;

use crate::compiled::Compiled;
use crate::native;

/// What the code at an address was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// It called a function of the guest's or the host's, or the tick.
    Call,
    /// It called Wasmer's library for an operator, and that trapped.
    Library,
    /// It trapped itself.
    Trap(TrapCode),
}

/// One machine frame of guest code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    address: usize,
    doing: Doing,
}

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

    fn module_at(&self, address: usize) -> Option<usize> {
        self.0.iter().position(|m| m.code.contains(&address))
    }

    /// The guest code that waits on this thread's stack, innermost first.
    pub fn trace_here(&self) -> Vec<Frame> {
        let mut trace = Vec::new();
        let mut seen = 0;
        backtrace::trace(|frame| {
            seen += 1;
            // A return address may lie just behind the code that called.
            let address = (frame.ip() as usize).wrapping_sub(1);
            if self.module_at(address).is_some() {
                trace.push(Frame { address, doing: Doing::Call });
            }
            trace.len() < Trap::MAX_FRAMES && seen < MACHINE_FRAMES
        });
        trace
    }

    /// The guest code in `backtrace`, innermost first; that one trapped at `pc` by itself, or else in
    /// Wasmer's library.
    pub fn trace_of(&self, backtrace: &Backtrace, pc: Option<(usize, TrapCode)>) -> Vec<Frame> {
        let mut innermost = true;
        let frames = backtrace.frames().iter().filter_map(|frame| {
            let ip = frame.ip() as usize;
            let frame = match pc {
                Some((trapped_at, code)) if trapped_at == ip => Frame { address: ip, doing: Doing::Trap(code) },
                None if innermost => Frame { address: ip.wrapping_sub(1), doing: Doing::Library },
                _ => Frame { address: ip.wrapping_sub(1), doing: Doing::Call },
            };
            self.module_at(frame.address)?;
            innermost = false;
            Some(frame)
        });
        frames.take(Trap::MAX_FRAMES).collect()
    }

    /// The guests' places at `trace`.
    pub fn places(&self, trace: &[Frame]) -> Vec<Place> {
        struct Found {
            module: usize,
            function: u32,
            offset: Option<u32>,
            doing: Doing,
        }
        let Ok(frames) = FRAME_INFO.read() else { return Vec::new() };
        let find = |frame: &Frame| {
            let info = frames.lookup_frame_info(frame.address)?;
            let offset = u32::try_from(info.module_offset()).ok().filter(|at| *at != u32::MAX);
            let module = self.module_at(frame.address)?;
            Some(Found { module, function: info.func_index(), offset, doing: frame.doing })
        };
        let mut found: Vec<_> = trace.iter().filter_map(find).collect();
        drop(frames);

        // Middlewares shift positions; each function is read once, however often it is in the trace.
        let mut shifted: HashMap<_, Vec<(u32, Doing)>> = HashMap::new();
        for frame in found.iter().filter(|f| self.0[f.module].prepared.mode() == FuelMode::Native) {
            shifted.entry((frame.module, frame.function)).or_default().extend(frame.offset.map(|at| (at, frame.doing)));
        }
        for ((module, function), offsets) in shifted {
            let real = native::real_offsets(&self.0[module].prepared, function, &offsets);
            for frame in found.iter_mut().filter(|f| (f.module, f.function) == (module, function)) {
                frame.offset = frame.offset.map(|at| real.get(&(at, frame.doing)).copied().unwrap_or(at));
            }
        }
        let place = |f: &Found| self.0[f.module].prepared.code_map().place(f.function, f.offset);
        found.iter().filter_map(place).collect()
    }
}
