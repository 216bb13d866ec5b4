//! The first step: what are these bytes? Binary modules pass on as they are, text is translated, and
//! everything else is refused by what it looks like.

use std::fmt;
use std::sync::Arc;

use wast::Wat;
use wast::parser::{ParseBuffer, parse};

use crate::limits::ModuleLimits;
use crate::prepared::ModuleHash;
use crate::refusal::{Refusal, capped};

/// A binary module that looks like one; nothing in it has been checked yet.
#[derive(Clone)]
pub struct ModuleBytes {
    bytes: Arc<[u8]>,
    hash: ModuleHash,
    was_text: bool,
}

impl ModuleBytes {
    /// The binary module.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// BLAKE3 of [`ModuleBytes::bytes`].
    #[must_use]
    pub fn hash(&self) -> ModuleHash {
        self.hash
    }

    /// Whether it came as text.
    #[must_use]
    pub fn was_text(&self) -> bool {
        self.was_text
    }

    pub(crate) fn shared(&self) -> Arc<[u8]> {
        self.bytes.clone()
    }

    fn new(bytes: impl Into<Arc<[u8]>>, was_text: bool) -> Self {
        let bytes = bytes.into();
        Self { hash: ModuleHash::of(&bytes), bytes, was_text }
    }
}

impl fmt::Debug for ModuleBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleBytes").field("hash", &self.hash).field("bytes", &self.bytes.len()).finish()
    }
}

/// First four bytes of every binary module and component.
const MAGIC: &[u8] = b"\0asm";
/// The version and layer that follow in a core module.
const CORE: &[u8] = &[1, 0, 0, 0];
/// Longest message kept about text, in bytes: it may quote the guest.
const MAX_MESSAGE_BYTES: usize = 200;

/// Finds out what `input` is and turns it into a binary module.
///
/// # Errors
/// [`Refusal::Empty`], [`Refusal::NotWasm`], [`Refusal::Component`], [`Refusal::Text`], or [`Refusal::Limit`]
/// for one that is too large.
pub fn recognise(input: &[u8], limits: &ModuleLimits) -> Result<ModuleBytes, Refusal> {
    if input.is_empty() {
        return Err(Refusal::Empty);
    }
    limits.module_bytes(input.len() as u64, 0)?;
    if input.starts_with(MAGIC) {
        check_header(input)?;
        return Ok(ModuleBytes::new(input, false));
    }
    if let Some((_, found)) = KNOWN_FILES.iter().find(|(start, _)| input.starts_with(start)) {
        return Err(Refusal::NotWasm { found });
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return Err(Refusal::NotWasm { found: "a binary file that does not start with `\\0asm`" });
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if after_blanks(text).starts_with('(') {
        translate(text, limits)
    } else {
        Err(Refusal::NotWasm { found: other_text(text) })
    }
}

/// Checks what follows the magic number.
fn check_header(input: &[u8]) -> Result<(), Refusal> {
    match input.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(CORE) => Ok(()),
        // Components share the magic number; the second half of the next word is their layer.
        Some([_, _, 1, 0, ..]) => Err(Refusal::Component),
        Some([_, _, _, _, ..]) => Err(Refusal::NotWasm { found: "a WebAssembly binary of an unknown version" }),
        Some(_) => Err(Refusal::NotWasm { found: "a WebAssembly binary that is cut off in its header" }),
        None => Err(Refusal::NotWasm { found: "a binary file that does not start with `\\0asm`" }),
    }
}

fn translate(text: &str, limits: &ModuleLimits) -> Result<ModuleBytes, Refusal> {
    limits.text_bytes(text.len() as u64, 0)?;
    if first_keyword(text) == Some("component") {
        return Err(Refusal::Component);
    }
    // The reader refuses parentheses nested more than 100 deep and reads folded instructions without
    // recursion, so deep nesting cannot exhaust the stack.
    let encoded = ParseBuffer::new(text).and_then(|buffer| parse::<Wat<'_>>(&buffer)?.encode());
    let bytes = encoded.map_err(|error| {
        let (line, column) = error.span().linecol_in(text);
        let message = capped(&error.message(), MAX_MESSAGE_BYTES).chars().map(printable).collect();
        Refusal::Text { message, line: line + 1, column: column + 1 }
    })?;
    limits.module_bytes(bytes.len() as u64, 0)?;
    // `(module binary …)` quotes whatever bytes it likes.
    check_header(&bytes)?;
    Ok(ModuleBytes::new(bytes, true))
}

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// `text` after whitespace and comments.
fn after_blanks(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix(";;") {
            rest = comment.split_once('\n').map_or("", |(_, next)| next);
        } else if rest.starts_with("(;") {
            rest = after_block_comment(rest);
        } else {
            return rest;
        }
    }
}

/// `text`, which starts with a block comment, after it. Block comments nest.
fn after_block_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0u32);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"(;" => {
                depth += 1;
                at += 2;
            }
            b";)" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return &text[at..];
                }
            }
            _ => at += 1,
        }
    }
    ""
}

fn first_keyword(text: &str) -> Option<&str> {
    let inner = after_blanks(after_blanks(text).strip_prefix('(')?);
    inner.split(|c: char| c.is_whitespace() || "();\"".contains(c)).next()
}

fn other_text(text: &str) -> &'static str {
    let start = text.trim_start();
    if start.starts_with("#!") {
        "a script (it starts with `#!`)"
    } else if start.starts_with('{') || start.starts_with('[') {
        "a text file that looks like JSON"
    } else if start.starts_with('<') {
        "a text file that looks like HTML or XML"
    } else if start.is_empty() {
        "a text file with nothing but blanks"
    } else {
        "a text file that does not start with `(`, as WebAssembly text does"
    }
}

/// Beginnings of files that people pass by mistake.
const KNOWN_FILES: &[(&[u8], &str)] = &[
    (b"\x7fELF", "an ELF executable or library for a native machine"),
    (b"MZ", "a Windows executable"),
    (b"\xcf\xfa\xed\xfe", "a macOS executable or library"),
    (b"\xca\xfe\xba\xbe", "a Java class or universal macOS binary"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"PK\x03\x04", "a zip file; unpack it first"),
    (b"!<arch>\n", "a static library (ar archive)"),
    (b"BC\xc0\xde", "LLVM bitcode; link it to a module first"),
    (b"COFFDAM", "a compiled artefact, which is loaded, not run as a module"),
];
