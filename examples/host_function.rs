//! Give guests a function of yours, with state that each guest has of its own.
//!
//! `cargo run --release --example host_function`

use cofferdam::host::CallerExt as _;
use cofferdam::{GuestState, HostFunc, Sandbox, engines};

/// What the host keeps for one guest.
struct Log(Vec<String>);

const GUEST: &str = r#"(module
  (import "env" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "hello from the guest")
  (func (export "greet") (call $log (i32.const 0) (i32.const 20)))
  (func (export "lie") (call $log (i32.const 65530) (i32.const 20))))"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = HostFunc::typed(|caller, (ptr, len): (u32, u32)| {
        // Whoever handles more bytes pays more fuel.
        caller.charge_bytes(len.into())?;
        // Pointers come from the guest: one that leads outside its memory ends it here, as a trap.
        let text = String::from_utf8_lossy(caller.bytes(ptr, len)?).into_owned();
        caller.data::<Log>()?.0.push(text);
        Ok(())
    });
    let sandbox = Sandbox::builder(engines::by_name("auto")?).func("env", "log", log).build()?;
    let module = sandbox.load(GUEST.as_bytes())?;
    let mut guest = sandbox.guest(&module, GuestState::default().with(Log(Vec::new())))?;

    guest.call("greet", &[]).into_result()?;
    let error = guest.call("lie", &[]).into_result().expect_err("it points outside");
    println!("lie: {error}");
    println!("logged: {:?}", guest.state().and_then(|state| state.get::<Log>()).ok_or("it was given one")?.0);
    Ok(())
}
