//! Load a module, call a function of it with Rust types, and see what it cost.
//!
//! `cargo run --release --example embed`

use cofferdam::{CallOptions, GuestState, Sandbox, engines};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(engines::by_name("auto")?).build()?;

    // Checked against the policy and compiled once; every guest made of it has a memory of its own.
    let module = sandbox.load(include_bytes!("guests/mathlib.wasm"))?;
    let mut guest = sandbox.guest(&module, GuestState::default())?;

    let gcd = guest.typed::<(i32, i32), i32>("gcd")?;
    println!("the greatest common divisor of 48 and 18 is {}", gcd.call(&mut guest, (48, 18))?);

    let fib = guest.typed::<i32, i64>("fib")?;
    let (number, receipt) = fib.call_with(&mut guest, 90, &CallOptions::default())?;
    println!("Fibonacci number 90 is {number}, for {} fuel on {}", receipt.fuel, receipt.engine);

    // What the guest does wrong comes back as an error, with the place.
    let divide = guest.typed::<(i32, i32), i32>("divide")?;
    let error = divide.call(&mut guest, (1, 0)).expect_err("nobody can do that");
    println!("1 / 0: {error}");
    for place in &error.trap().ok_or("a trap was expected")?.frames {
        println!("  in {}", place.name.as_deref().unwrap_or("?"));
    }
    Ok(())
}
