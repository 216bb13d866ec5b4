//! Every function that WASIX offers, called with arguments that no compiler emits: the guest may be told an error,
//! trapped or stopped; the host goes on.
#![cfg(feature = "wasix")]

use std::time::Duration;

use cofferdam::host::wasi::{MemoryDir, Preopen};
use cofferdam::host::wasix::known_imports;
use cofferdam::policy::Limits;
use cofferdam::sandbox::CommandError;
use cofferdam::{Outcome, Sandbox, ValType, engines};
use proptest::prelude::*;

fn argument() -> impl Strategy<Value = i64> {
    prop_oneof![
        prop::sample::select(vec![0, 1, 2, 3, 4, 5, 8, 64, 1024, 0xfff8, 0xffff, 0x1_0000, -1, -2, -8, i64::MAX]),
        prop::sample::select(vec![i64::from(i32::MAX), i64::from(i32::MIN), i64::MIN, 1 << 31, 0xffff_fffe]),
        any::<i64>(),
        0_i64..0x1_0000,
    ]
}

fn sandbox() -> Sandbox {
    let limits = Limits { timeout: Some(Duration::from_millis(40)), open_files: 16, ..Limits::tool() };
    let engine = engines::by_name("wasmer-cranelift").expect("the feature brings it");
    Sandbox::builder(engine).wasix().limits(limits).build().expect("all of it can be enforced")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_argument_is_the_hosts_fault(
        which in any::<prop::sample::Index>(),
        also in any::<prop::sample::Index>(),
        arguments in prop::collection::vec(argument(), 24),
        memory in prop::collection::vec(any::<u8>(), 256),
    ) {
        let sandbox = sandbox();
        let offered = known_imports();
        let data: String = memory.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let (mut imports, mut calls) = (String::new(), String::new());
        let mut arguments = arguments.into_iter().cycle();
        for (at, index) in [which, also].into_iter().enumerate() {
            let (module, name, ty) = index.get(&offered);
            let list = |word: &str, types: &[ValType]| {
                if types.is_empty() { return String::new() }
                format!("({word} {})", types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            };
            let (params, results) = (list("param", ty.params()), list("result", ty.results()));
            imports += &format!("(import \"{module}\" \"{name}\" (func $f{at} {params} {results}))\n");
            let given: Vec<_> = ty.params().iter().map(|ty| {
                let value = arguments.next().unwrap_or(0);
                if *ty == ValType::I32 { format!("(i32.const {})", value as i32) } else { format!("(i64.const {value})") }
            }).collect();
            let call = format!("(call $f{at} {})", given.join(" "));
            calls += &if ty.results().is_empty() { call } else { format!("(drop {call})") };
        }
        let guest = format!(
            "(module {imports} (memory (export \"memory\") 1) (data (i32.const 0) \"{data}\")
             (func (export \"_start\") {calls}))"
        );
        let module = sandbox.load(guest.as_bytes()).unwrap_or_else(|e| panic!("{e}: {guest}"));
        let dir = MemoryDir::new().file("a", "text");
        let ended = sandbox.command(&module).stdin("input").preopen(Preopen::memory(dir, "/d")).run();
        match ended {
            Ok(_) => {}
            Err(CommandError::Ended { error, .. }) => prop_assert!(
                matches!(error.outcome(), Outcome::Trapped(_) | Outcome::Stopped { .. }), "{}: {guest}", error.outcome()
            ),
            Err(error) => panic!("{error}: {guest}"),
        }
    }
}
