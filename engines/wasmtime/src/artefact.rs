//! The header in front of Wasmtime's own bytes in a saved artefact: what must be the same for them to run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use cofferdam_engine::PreparedModule;
use cofferdam_prepare::{PREPARE_VERSION, PRICE_VERSION};

/// Layout of the artefact itself.
const FORMAT: &str = "cofferdam-wasmtime 1";

/// What decides machine code beside a module and its switches: Wasmtime's own hash covers its version, the
/// processor and how code is generated.
pub(crate) fn settings() -> &'static str {
    static SETTINGS: OnceLock<String> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let mut settings = DefaultHasher::new();
        if let Ok(engine) = wasmtime::Engine::new(&wasmtime::Config::new()) {
            engine.precompile_compatibility_hash().hash(&mut settings);
        }
        format!("{FORMAT} {:016x}", settings.finish())
    })
}

/// The header of artefacts for `module`, as `engine` would make them here and now. Wasmtime's own hash covers
/// its version, the processor and every setting that changes machine code.
pub(crate) fn header(engine: &wasmtime::Engine, module: &PreparedModule) -> Vec<u8> {
    let mut settings = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut settings);
    let mut bytes = DefaultHasher::new();
    module.bytes().hash(&mut bytes);
    let text = format!(
        "{FORMAT}\n{version} {settings:016x}\n{hash}\n{len} {check:016x}\nprepare {PREPARE_VERSION} prices {PRICE_VERSION} \
         mode {mode}\n",
        version = wasmtime_environ::VERSION,
        settings = settings.finish(),
        hash = module.hash(),
        len = module.bytes().len(),
        check = bytes.finish(),
        mode = module.mode(),
    );
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend_from_slice(text.as_bytes());
    header
}

/// Puts `code` behind `header`.
pub(crate) fn seal(mut header: Vec<u8>, code: &[u8]) -> Vec<u8> {
    header.extend_from_slice(code);
    header
}

/// What stands behind `header` in `artefact`, if it begins with exactly that.
pub(crate) fn open<'a>(header: &[u8], artefact: &'a [u8]) -> Option<&'a [u8]> {
    artefact.strip_prefix(header)
}
