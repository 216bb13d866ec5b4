//! Choose the engine by configuration: the same program, limits and fuel on whichever one it names.
//!
//! `COFFERDAM_ENGINE=wasmer-cranelift cargo run --release --example choose_engine`

use cofferdam::{CallOptions, FuelMode, GuestState, Sandbox, SecurityPolicy, engines};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("this build has {}", engines::names().join(", "));
    let name = std::env::var("COFFERDAM_ENGINE").unwrap_or_else(|_| "auto".into());
    let engine = engines::by_name(&name)?; // an unknown name is an error that lists the known ones
    let descriptor = engine.descriptor().clone();

    // What the policy asks for and the engine cannot enforce would be an error here, not a surprise later.
    let policy = SecurityPolicy::standard().fuel_mode(FuelMode::Portable);
    let sandbox = Sandbox::builder(engine).policy(policy).build()?;
    let module = sandbox.load(include_bytes!("guests/mathlib.wasm"))?;
    let mut guest = sandbox.guest(&module, GuestState::default())?;
    let isqrt = guest.typed::<i64, i64>("isqrt")?;
    let (root, receipt) = isqrt.call_with(&mut guest, 1_000_000_007, &CallOptions::default())?;
    println!("running on {} {}", descriptor.id, descriptor.version);
    println!("isqrt(1000000007) = {root}, for {} fuel, as on every engine", receipt.fuel);
    Ok(())
}
