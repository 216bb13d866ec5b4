//! The header in front of Wasmer's own bytes in a saved artefact: what must be the same for them to run.

use cofferdam_engine::PreparedModule;
use cofferdam_prepare::{PREPARE_VERSION, PRICE_VERSION};
use wasmer::sys::NativeEngineExt;

/// Layout of the artefact itself.
const FORMAT: &str = "cofferdam-wasmer 1";

/// What decides the machine code that `engine` makes, beside its version.
pub(crate) fn settings(engine: &wasmer::Engine) -> String {
    let target = engine.target();
    format!("{FORMAT}\n{} {} {:x}", engine.deterministic_id(), target.triple(), target.cpu_features().as_u64())
}

/// The header of artefacts for `module`, as `engine` would make them here and now.
pub(crate) fn header(id: &str, engine: &wasmer::Engine, module: &PreparedModule) -> Vec<u8> {
    let text = format!(
        "{id} {version}\n{settings}\n{hash}\n{len} {crc:08x}\nprepare {PREPARE_VERSION} \
         prices {PRICE_VERSION} mode {mode}\n",
        version = wasmer_vm::VERSION,
        settings = settings(engine),
        hash = module.hash(),
        len = module.bytes().len(),
        crc = crc32fast::hash(module.bytes()),
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
