//! [`Tick`]: makes `Metering` count in the store's own counter, and ask the host where it would trap.
//!
//! `Metering` adds two globals to each module: points left, and whether they ran out. Linked modules would
//! each have their own. Here the first is replaced by the counter that all modules of a store import, and
//! the sequence around the second, `if left < c { exhausted = 1; unreachable }`, becomes
//! `if left < c { tick(c) }`. The globals stay behind unused.

use std::sync::OnceLock;

use cofferdam_prepare::Layout;
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer::wasmparser::Operator;
use wasmer_types::{ExportIndex, LocalFunctionIndex, ModuleInfo};

/// Names under which `Metering` exports its globals. No guest can use them; see `cofferdam_prepare::names`.
const LEFT: &str = "wasmer_metering_remaining_points";
const EXHAUSTED: &str = "wasmer_metering_points_exhausted";

/// Global indices of points left and of the flag.
#[derive(Clone, Copy, Debug)]
struct Metered {
    left: u32,
    exhausted: u32,
}

#[derive(Debug)]
pub(crate) struct Tick {
    layout: Layout,
    metered: OnceLock<Metered>,
}

impl Tick {
    pub fn new(layout: Layout) -> Self {
        Self { layout, metered: OnceLock::new() }
    }
}

fn unknown() -> MiddlewareError {
    MiddlewareError::new("tick", "the metering in front is not what this was written for")
}

impl ModuleMiddleware for Tick {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let metered = self.metered.get().copied();
        Box::new(FunctionTick { layout: self.layout, metered, cost: 0, expected: Expected::Guest })
    }

    fn transform_module_info(&self, module: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let global = |name: &str| match module.exports.get(name) {
            Some(ExportIndex::Global(index)) => Ok(index.as_u32()),
            _ => Err(unknown()),
        };
        let found = Metered { left: global(LEFT)?, exhausted: global(EXHAUSTED)? };
        self.metered.set(found).map_err(|_| unknown())
    }
}

/// Which operator of `Metering`'s comes next, of these: `global.get left; i64.const c; i64.lt_u; if;
/// i32.const 1; global.set exhausted; unreachable; end; global.get left; i64.const c; i64.sub;
/// global.set left`. Only `Metering` can name its globals, so the first is a sure sign.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The guest's own code, or the start of a sequence.
    Guest,
    Cost,
    CompareOrTake,
    If,
    Flag,
    SetFlag,
    Unreachable,
    End,
    Store,
}

#[derive(Debug)]
struct FunctionTick {
    layout: Layout,
    metered: Option<Metered>,
    /// What the sequence asks for.
    cost: i64,
    expected: Expected,
}

impl<'a> FunctionMiddleware<'a> for FunctionTick {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        let Metered { left, exhausted } = self.metered.ok_or_else(unknown)?;
        let Layout { fuel, tick, .. } = self.layout;
        let mut keep = |operator| state.push_operator(operator);
        self.expected = match (self.expected, operator) {
            (Expected::Guest, Operator::GlobalGet { global_index }) if global_index == left => {
                keep(Operator::GlobalGet { global_index: fuel });
                Expected::Cost
            }
            (Expected::Guest, own) => {
                keep(own);
                Expected::Guest
            }
            (Expected::Cost, Operator::I64Const { value }) => {
                self.cost = value;
                keep(Operator::I64Const { value });
                Expected::CompareOrTake
            }
            (Expected::CompareOrTake, compare @ Operator::I64LtU) => {
                keep(compare);
                Expected::If
            }
            (Expected::If, branch @ Operator::If { .. }) => {
                keep(branch);
                Expected::Flag
            }
            (Expected::Flag, Operator::I32Const { value: 1 }) => Expected::SetFlag,
            (Expected::SetFlag, Operator::GlobalSet { global_index }) if global_index == exhausted => {
                keep(Operator::I64Const { value: self.cost });
                keep(Operator::Call { function_index: tick });
                Expected::Unreachable
            }
            (Expected::Unreachable, Operator::Unreachable) => Expected::End,
            (Expected::End, end @ Operator::End) => {
                keep(end);
                Expected::Guest
            }
            (Expected::CompareOrTake, take @ Operator::I64Sub) => {
                keep(take);
                Expected::Store
            }
            (Expected::Store, Operator::GlobalSet { global_index }) if global_index == left => {
                keep(Operator::GlobalSet { global_index: fuel });
                Expected::Guest
            }
            _ => return Err(unknown()),
        };
        Ok(())
    }
}
