//! The target `artefact` of the runner.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(target) = cofferdam_fuzz::targets::by_name("artefact") {
        (target.body)(data);
    }
});
