//! Hashes the sources that decide what machine code a module becomes, so that the artefact cache never lends what
//! another version of them made, even where nobody thought of raising a version.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Crates whose code ends up in artefacts, or reads them back.
const SOURCES: &[&str] = &["engines/prepare/src", "engines/wasmer/src", "engines/wasmtime/src", "engines/wasmi/src"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        hash(&root.join(source), &mut hasher)?;
    }
    println!("cargo::rustc-env=COFFERDAM_CODE_HASH={:016x}", hasher.finish());
    Ok(())
}

/// Hashes names and contents below `path`, in order. What is not there (in a package without its engines) is nothing.
fn hash(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        entry.file_name().hash(hasher);
        if entry.is_dir() { hash(&entry, hasher)? } else { fs::read(&entry)?.hash(hasher) }
    }
    Ok(())
}
