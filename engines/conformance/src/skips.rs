//! What the project's own engines are known not to pass, with the reason.

use cofferdam_engine::FuelMode;

use crate::run::Skip;

/// The declared skips of the engines that the project has adapters for. A skip fails the run when its row
/// starts to pass.
pub const SKIPS: &[Skip] = &[
    Skip {
        engine: "wasmtime",
        row: "charge.trap-inside-a-segment",
        mode: Some(FuelMode::Native),
        reason: "Wasmtime writes its count back at calls and returns only, so a trap loses what came after the last",
    },
    Skip {
        engine: "wasmi",
        row: "stack.frames-of-49000-locals",
        mode: None,
        reason: "Wasmi takes 30,000 locals in one function, and the adapter refuses more when it compiles",
    },
    Skip {
        engine: "wasmi-lazy",
        row: "stack.frames-of-49000-locals",
        mode: None,
        reason: "Wasmi takes 30,000 locals in one function, and finds out when the function is first called",
    },
    Skip { engine: "wasmi", row: "found.br_table-past-other-operands", mode: None, reason: CARRYING },
    Skip { engine: "wasmi-lazy", row: "found.br_table-past-other-operands", mode: None, reason: CARRYING },
    Skip { engine: "wasmer-singlepass", row: "border.host-values", mode: None, reason: SEVERAL_RESULTS },
    Skip { engine: "wasmer-singlepass", row: "frames.offsets", mode: None, reason: ONE_PLACE },
    Skip { engine: "wasmer-singlepass", row: "frames.offsets-of-bulk-operators", mode: None, reason: ONE_PLACE },
];

/// Why Wasmi does not run some `br_table`s.
const CARRYING: &str =
    "Wasmi 2.0.0 loses what a `br_table` carries past other operands, and the adapter refuses it when it compiles";

const SEVERAL_RESULTS: &str =
    "Singlepass panics over imported functions with several results, and the adapter refuses them when it compiles";

const ONE_PLACE: &str = "Singlepass traps at one place in each function for each kind of trap, and has no positions for \
    most calls of Wasmer's library: the innermost frame then has its function and no offset";
