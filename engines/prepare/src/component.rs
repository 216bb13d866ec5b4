//! What can be told about a component without being able to run one: which core modules are in it, and what
//! it imports and exports. Read by hand and only as far as it is simple, because no other part of this crate
//! knows components.

/// What is in a component, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentParts {
    /// Offset and size in bytes of every core module in it.
    pub modules: Vec<(u64, u64)>,
    /// Names that it imports, such as `wasi:cli/environment@0.2.0`; capped.
    pub imports: Vec<String>,
    /// Names that it exports; capped.
    pub exports: Vec<String>,
}

/// Most entries of each list.
const LISTED: usize = 1_000;
/// Longest name kept, in characters.
const NAME_CHARS: usize = 128;
/// Bytes of magic number and version.
const HEADER: usize = 8;

/// Reads the sections of the component `input`, which starts with its magic number.
#[must_use]
pub fn component_parts(input: &[u8]) -> ComponentParts {
    let mut parts = ComponentParts::default();
    let mut reader = Reader { bytes: input, at: HEADER };
    while let Some((id, section)) = reader.section() {
        let start = (reader.at - section.len()) as u64;
        match id {
            1 if parts.modules.len() < LISTED => parts.modules.push((start, section.len() as u64)),
            10 => names(section, &mut parts.imports, false),
            11 => names(section, &mut parts.exports, true),
            _ => {}
        }
    }
    parts
}

/// The names in an import or export section, until one that is not simple.
fn names(section: &[u8], into: &mut Vec<String>, exports: bool) {
    let mut reader = Reader { bytes: section, at: 0 };
    let count = reader.number().unwrap_or(0);
    for _ in 0..count.min(LISTED as u64) {
        let Some(name) = reader.entry(exports) else { return };
        if into.len() < LISTED {
            into.push(name.chars().take(NAME_CHARS).collect());
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An unsigned LEB128 number of at most 32 bits.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn section(&mut self) -> Option<(u8, &'a [u8])> {
        let id = self.byte()?;
        let size = self.number()?;
        Some((id, self.take(size)?))
    }

    /// One import or export: its name; what it is, is skipped.
    fn entry(&mut self, export: bool) -> Option<&'a str> {
        if self.byte()? > 1 {
            return None;
        }
        let length = self.number()?;
        let name = std::str::from_utf8(self.take(length)?).ok()?;
        if export {
            self.sort_and_index()?;
            if self.byte()? == 1 {
                self.description()?;
            }
        } else {
            self.description()?;
        }
        Some(name)
    }

    fn sort_and_index(&mut self) -> Option<()> {
        // Core things have a second byte.
        if self.byte()? == 0 {
            self.byte()?;
        }
        self.number().map(drop)
    }

    fn description(&mut self) -> Option<()> {
        match self.byte()? {
            0 => {
                self.byte()?;
                self.number().map(drop)
            }
            1 | 4 | 5 => self.number().map(drop),
            // A type: equal to another, or a resource of its own.
            3 => match self.byte()? {
                0 => self.number().map(drop),
                1 => Some(()),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for (id, body) in sections {
            bytes.extend([*id, u8::try_from(body.len()).expect("it is small")]);
            bytes.extend(*body);
        }
        bytes
    }

    #[test]
    fn modules_and_names_are_listed() {
        let imports = [&[2, 0, 3][..], b"a:b", &[5, 0, 0, 1], b"c", &[1, 7]].concat();
        let exports = [&[1, 0, 3][..], b"run", &[5, 2, 0]].concat();
        let bytes = component(&[(1, b"\0asm\x01\0\0\0"), (7, &[0]), (10, &imports), (11, &exports)]);
        let parts = component_parts(&bytes);
        assert_eq!(parts.modules, [(10, 8)]);
        assert_eq!((parts.imports, parts.exports), (vec!["a:b".to_owned(), "c".to_owned()], vec!["run".to_owned()]));
    }

    #[test]
    fn whatever_is_cut_off_or_odd_ends_the_list() {
        let imports = [&[200, 200, 200, 200, 7, 0, 3][..], b"a:b", &[5, 0, 9]].concat();
        let bytes = component(&[(10, &imports), (1, b"x")]);
        for end in 0..=bytes.len() {
            let _ = component_parts(&bytes[..end]);
        }
        assert_eq!(component_parts(&bytes).imports, ["a:b"]);
        assert_eq!(component_parts(&component(&[(10, &[1, 0, 2, 0xff, 0xff, 5, 0])])).imports, [""; 0]);
    }
}
