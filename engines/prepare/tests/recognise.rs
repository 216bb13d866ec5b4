//! What is taken for a module, and what the refusal says of everything else.

use cofferdam_prepare::{ModuleHash, ModuleLimits, Refusal, recognise};

fn refusal(input: &[u8]) -> Refusal {
    recognise(input, &ModuleLimits::default()).expect_err("it is not a module")
}

#[test]
fn a_binary_module_passes_unchanged() {
    let bytes = b"\0asm\x01\0\0\0";
    let module = recognise(bytes, &ModuleLimits::default()).expect("the smallest module");
    assert_eq!(module.bytes(), bytes);
    assert_eq!(module.hash(), ModuleHash::of(bytes));
    assert!(!module.was_text());
}

#[test]
fn text_is_translated_after_blanks_and_comments() {
    for text in [
        "(module)",
        "  \n\t(module)",
        ";; a comment (not a module)\n(module)",
        "(; a (; nested ;) comment ;) (module)",
        "\u{feff}(module)",
        "(func)",
        "(module $name (func (export \"f\")))",
    ] {
        let module = recognise(text.as_bytes(), &ModuleLimits::default()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(module.was_text(), "{text}");
        assert!(module.bytes().starts_with(b"\0asm\x01\0\0\0"), "{text}");
        assert_eq!(module.hash(), ModuleHash::of(module.bytes()), "the hash is of the binary");
    }
}

#[test]
fn other_files_are_refused_by_what_they_look_like() {
    let rows: &[(&[u8], &str)] = &[
        (b"#!/bin/sh\n", "script"),
        (b"{\"a\": 1}", "JSON"),
        (b"<html>", "HTML"),
        (b"hello", "does not start with `(`"),
        (b" \n ", "blanks"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"MZ\x90\x00\xff", "Windows"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xff\xfe\xfd", "does not start with `\\0asm`"),
        (b"\0asm", "cut off"),
        (b"\0asm\x01", "cut off"),
        (b"\0asm\x02\0\0\0", "unknown version"),
    ];
    for (input, word) in rows {
        let refusal = refusal(input);
        assert!(matches!(refusal, Refusal::NotWasm { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains(word), "{refusal} should speak of {word}");
    }
}

#[test]
fn empty_and_components_have_their_own_words() {
    assert_eq!(refusal(b""), Refusal::Empty);
    assert_eq!(refusal(b"\0asm\x0d\0\x01\0"), Refusal::Component);
    assert_eq!(refusal(b"(component)"), Refusal::Component);
    assert_eq!(refusal(b";; c\n( component $x )"), Refusal::Component);
    assert_eq!(refusal(br#"(module binary "\00asm\0d\00\01\00")"#), Refusal::Component);
    assert!(matches!(refusal(br#"(module binary "not wasm")"#), Refusal::NotWasm { .. }));
}

#[test]
fn bad_text_is_placed_by_line_and_column() {
    let Refusal::Text { message, line, column } = refusal(b"(module\n  (func\n    i32.bad))") else {
        panic!("it is text")
    };
    assert_eq!((line, column), (3, 5), "{message}");
    assert!(message.contains("unknown operator"), "{message}");
}

#[test]
fn what_text_quotes_is_capped_and_cannot_move_the_cursor() {
    let long = format!("(module (func \"\u{1b}[31m{}\"))", "x".repeat(10_000));
    let text = refusal(long.as_bytes()).to_string();
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn sizes_are_checked_before_anything_else() {
    let limits = ModuleLimits { module_bytes: 20, text_bytes: 10, ..ModuleLimits::default() };
    let limit = |input: &[u8]| match recognise(input, &limits) {
        Err(Refusal::Limit { limit, need, cap, .. }) => (limit, need, cap),
        other => panic!("{other:?}"),
    };
    assert_eq!(limit(&[0xff; 21]), ("module_bytes", 21, 20));
    assert_eq!(limit(b"(module   )"), ("text_bytes", 11, 10));
}

/// Runs `f` where a recursive reader would overflow soon.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(f).expect("a thread");
    thread.join().expect("it must not overflow");
}

#[test]
fn nested_text_cannot_overflow_the_stack() {
    on_a_small_stack(|| {
        let deep = 200_000;
        for (open, inner, close) in [
            ("(block ", "nop", ")"),
            ("(i32.eqz ", "(i32.const 0)", ")"),
            ("(if (i32.const 0) (then ", "nop", "))"),
            ("block ", "", " end"),
            ("(; ", "", " ;)"),
            ("(@custom ", "", ")"),
            ("(", "", ")"),
        ] {
            let text = format!("(module (func {}{inner}{}))", open.repeat(deep), close.repeat(deep));
            // Whether it is accepted does not matter here; the gate has a limit on nesting.
            let _ = recognise(text.as_bytes(), &ModuleLimits::default());
        }
        let _ = recognise("(".repeat(1_000_000).as_bytes(), &ModuleLimits::default());
        let _ = recognise("(;".repeat(1_000_000).as_bytes(), &ModuleLimits::default());
    });
}
