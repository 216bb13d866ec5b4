//! Three tools in a row: what one answers is what the next one is called with.
//!
//! `cargo run --release --example pipeline`

use cofferdam::policy::{Fuel, Limits, MemoryBytes};
use cofferdam::tool::{ToolError, ToolRegistry};
use cofferdam::{Sandbox, engines};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(engines::by_name("auto")?).wasi().limits(Limits::tool()).build()?;
    let tools = ToolRegistry::new(sandbox.resources().clone());

    // Two WASI commands and, between them, a schema tool, which says by itself what it takes.
    let words = sandbox.load(include_bytes!("guests/words.wasm"))?;
    let takes = json!({"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}});
    tools.add(sandbox.tool("words", &words).input_schema(takes).memory(MemoryBytes::mib(4)).build()?)?;
    let statistics = sandbox.load(include_bytes!("guests/statistics.wasm"))?;
    tools.add(sandbox.tool("statistics", &statistics).fuel(Fuel::new(1_000_000)).build()?)?;
    let scale = sandbox.load(include_bytes!("guests/scale.wasm"))?;
    tools.add(sandbox.tool("scale", &scale).description("Draws a range and its mean.").build()?)?;

    let mut value = json!({"text": "A cofferdam keeps the water out while the work is done"});
    for name in ["words", "statistics", "scale"] {
        let output = tools.call(name, &value)?;
        let fuel = output.receipt.map_or(0, |receipt| receipt.fuel);
        println!("{name}: {} for {fuel} fuel", output.value);
        value = output.value;
    }

    // What does not fit is refused before anything runs.
    let error = tools.call("statistics", &json!({"numbers": []})).err().unwrap_or_else(|| ToolError::failed("?"));
    println!("statistics of nothing: {error}");
    Ok(())
}
