//! The target `agent-abi` of the runner.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(target) = cofferdam_fuzz::targets::by_name("agent-abi") {
        (target.body)(data);
    }
});
