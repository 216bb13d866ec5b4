//! The suite's words for traps, as kinds of ours. The words are the specification's; no engine's text is read.

use cofferdam_engine::TrapKind;

/// Words, and the kind that they mean.
const WORDS: &[(&str, TrapKind)] = &[
    ("unreachable", TrapKind::Unreachable),
    ("out of bounds memory access", TrapKind::MemoryOutOfBounds),
    ("out of bounds table access", TrapKind::TableOutOfBounds),
    ("out of bounds array access", TrapKind::ArrayOutOfBounds),
    ("undefined element", TrapKind::TableOutOfBounds),
    ("uninitialized element", TrapKind::IndirectCallToNull),
    ("indirect call type mismatch", TrapKind::BadSignature),
    ("integer overflow", TrapKind::IntegerOverflow),
    ("integer divide by zero", TrapKind::IntegerDivisionByZero),
    ("invalid conversion to integer", TrapKind::InvalidConversionToInteger),
    ("unaligned atomic", TrapKind::UnalignedAtomic),
    ("cast failure", TrapKind::CastFailure),
    ("descriptor cast failure", TrapKind::CastFailure),
    ("null reference", TrapKind::NullReference),
    ("null function reference", TrapKind::NullReference),
    ("null structure reference", TrapKind::NullReference),
    ("null array reference", TrapKind::NullReference),
    ("null i31 reference", TrapKind::NullReference),
    ("null descriptor reference", TrapKind::NullReference),
];

/// Whether `kind` is what `message` means. Some messages are the beginning of several (`out of bounds`), and
/// some say more than the kind (`uninitialized element 7`).
pub(super) fn means(message: &str, kind: TrapKind) -> bool {
    WORDS.iter().any(|(words, meant)| *meant == kind && (words.starts_with(message) || message.starts_with(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_mean_their_kinds_and_no_others() {
        let kinds = |message: &str| {
            let mut kinds: Vec<TrapKind> = Vec::new();
            for (_, kind) in WORDS {
                if means(message, *kind) && !kinds.contains(kind) {
                    kinds.push(*kind);
                }
            }
            kinds
        };
        assert_eq!(kinds("unreachable"), [TrapKind::Unreachable]);
        assert_eq!(kinds("uninitialized element 7"), [TrapKind::IndirectCallToNull]);
        assert_eq!(kinds("undefined"), [TrapKind::TableOutOfBounds]);
        assert_eq!(
            kinds("out of bounds"),
            [TrapKind::MemoryOutOfBounds, TrapKind::TableOutOfBounds, TrapKind::ArrayOutOfBounds]
        );
        assert_eq!(kinds("out of memory"), []);
    }
}
