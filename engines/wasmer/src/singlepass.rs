//! Wasmer's Singlepass: compiles in time linear in the code, without optimising. Under the Business Source License 1.1.

use std::sync::Arc;

use cofferdam_engine::{Assist, ExternType, FeatureSet, PreparedModule, Proposal};
use wasmer::sys::{
    CompilerConfig, FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware, Singlepass,
};
use wasmer::wasmparser::Operator;
use wasmer_types::LocalFunctionIndex;

use crate::engine::{Compiler, Settings};

/// What Singlepass runs inside our limits. It does not translate vectors, tail calls, wide arithmetic or 64-bit
/// memories; for exceptions and threads see the other compiler.
pub(crate) const FEATURES: FeatureSet = FeatureSet::STANDARD.with(Proposal::MultiMemory);

pub(crate) const COMPILER: Compiler = Compiler { config, refusal, exact_traps: false, assist: ASSIST };

/// What it translates wrongly otherwise.
const ASSIST: Assist = Assist { elses_written: true, ..Assist::NONE };

fn config(settings: Settings) -> Box<dyn CompilerConfig> {
    let mut config = Singlepass::new();
    config.canonicalize_nans(settings.canonical_nans);
    config.num_threads(settings.threads);
    for middleware in settings.middlewares {
        config.push_middleware(middleware);
    }
    if settings.canonical_nans {
        // Behind all others, so that nothing counts what it adds.
        config.push_middleware(Arc::new(CanonicalNans));
    }
    Box::new(config)
}

/// Why Singlepass cannot compile `module`, although it runs every proposal in it.
fn refusal(module: &PreparedModule) -> Option<String> {
    // It brings a trampoline for each imported function, and panics over several results.
    let several = |ty: &ExternType| matches!(ty, ExternType::Func(Some(func)) if func.results().len() > 1);
    let import = module.imports().iter().find(|import| several(&import.ty))?;
    let name = |text: &str| text.chars().take(100).collect::<String>();
    Some(format!("imported function {:?} {:?} has several results", name(&import.module), name(&import.name)))
}

/// Makes NaNs canonical where Singlepass forgets to.
///
/// It marks results of arithmetic as still to be made canonical, and does so when they are stored, compared bit by bit
/// or handed on. The mark is lost on `f32.neg`, `f32.abs` and on parameters of loops, outlives `f64.neg`, and is never
/// set by conversions between floats whose operand has none. So these and `min` and `max` are followed by an addition
/// of −0, which keeps every number and sets the mark, and everything that sets the mark by a way through an integer, which
/// clears it.
#[derive(Debug)]
struct CanonicalNans;

impl ModuleMiddleware for CanonicalNans {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        Box::new(Self)
    }
}

impl<'a> FunctionMiddleware<'a> for CanonicalNans {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        use Operator as Op;
        let (marks, is_32) = match operator {
            Op::F32Add
            | Op::F32Sub
            | Op::F32Mul
            | Op::F32Div
            | Op::F32Sqrt
            | Op::F32Ceil
            | Op::F32Floor
            | Op::F32Trunc
            | Op::F32Nearest => (true, true),
            Op::F32Min | Op::F32Max | Op::F32DemoteF64 => (false, true),
            Op::F64Add
            | Op::F64Sub
            | Op::F64Mul
            | Op::F64Div
            | Op::F64Sqrt
            | Op::F64Ceil
            | Op::F64Floor
            | Op::F64Trunc
            | Op::F64Nearest => (true, false),
            Op::F64Min | Op::F64Max | Op::F64PromoteF32 => (false, false),
            other => {
                state.push_operator(other);
                return Ok(());
            }
        };
        state.push_operator(operator);
        if is_32 {
            if !marks {
                state.extend([Op::F32Const { value: (-0.0_f32).into() }, Op::F32Add]);
            }
            state.extend([Op::I32ReinterpretF32, Op::F32ReinterpretI32]);
        } else {
            if !marks {
                state.extend([Op::F64Const { value: (-0.0_f64).into() }, Op::F64Add]);
            }
            state.extend([Op::I64ReinterpretF64, Op::F64ReinterpretI64]);
        }
        Ok(())
    }
}
