use super::*;
use serde_json::{Map, json};

fn refused(schema: &Value) -> SchemaError {
    Check::new(schema).expect_err("it cannot be bounded")
}

#[test]
fn values_are_compared_and_differences_named() {
    let check = Check::new(&json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"n": {"$ref": "#/definitions/n"}, "s": {"pattern": "^a+$"}},
        "required": ["n"],
        "definitions": {"n": {"type": "integer"}},
    }))
    .expect("it is good");
    assert_eq!(check.compare(&json!({"n": 1, "s": "aaa"})), Ok(()));
    let said = |value| check.compare(&value).expect_err("it differs").to_string();
    assert!(said(json!({"n": "\u{1b}"})).starts_with("/n: "), "{}", said(json!({"n": "\u{1b}"})));
    assert!(!said(json!({"n": "\u{1b}"})).contains('\u{1b}'));
    assert!(said(json!({})).contains("required"));
    assert!(said(json!({"n": 1, "s": "b".repeat(100_000)})).len() < 1_000);
}

#[test]
fn what_leads_elsewhere_is_refused() {
    for target in ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#name", "#/%24defs/a", "#/no"] {
        assert!(matches!(refused(&json!({"$ref": target})), SchemaError::Reference { .. }), "{target}");
    }
    assert!(matches!(refused(&json!({"$dynamicRef": "#a"})), SchemaError::Reference { .. }));
    let inner = json!({"properties": {"a": {"$id": "http://a/b", "$ref": "#/properties"}}});
    assert!(matches!(refused(&inner), SchemaError::Reference { .. }));
    assert!(matches!(refused(&json!({"$schema": "http://example.com/mine"})), SchemaError::Dialect(_)));
    assert!(matches!(refused(&json!({"$schema": 5})), SchemaError::Dialect(_)));
    assert!(matches!(refused(&json!([])), SchemaError::NotObject("an array")));
    assert!(matches!(refused(&json!({"type": 5})), SchemaError::Invalid(_)));
}

/// Each definition refers to the next twice: two to the power of `n` steps, in a few kilobytes.
fn doubling(n: usize) -> Value {
    let mut definitions = Map::new();
    for i in 0..n {
        let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
        definitions.insert(format!("d{i}"), json!({"allOf": [next, next]}));
    }
    definitions.insert(format!("d{n}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn bombs_are_refused_before_anything_is_compared() {
    assert!(Check::new(&doubling(5)).expect("it is small").compare(&json!(1)).is_ok());
    assert_eq!(refused(&doubling(40)), SchemaError::Cost);
    assert!(matches!(refused(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})), SchemaError::Recursive(_)));
    let tree = json!({"properties": {"child": {"$ref": "#"}}});
    assert!(matches!(refused(&tree), SchemaError::Recursive(_)));
    let chain = |n: usize| {
        let links = (0..n).map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)})));
        let mut definitions: Map<_, _> = links.collect();
        definitions.insert(format!("d{n}"), json!(true));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    };
    assert_eq!(refused(&chain(5_000)), SchemaError::Depth);
    let deep = (0..200).fold(json!({}), |inner, _| json!({"not": inner}));
    assert_eq!(refused(&deep), SchemaError::Depth);
    let nested =
        (0..30).fold(json!({}), |inner, _| json!({"properties": {"a": inner}, "unevaluatedProperties": false}));
    assert_eq!(refused(&nested), SchemaError::Cost);
    let patterns: Map<_, _> = (0..1_700).map(|i| (format!("a{i}"), json!({}))).collect();
    assert_eq!(refused(&json!({"patternProperties": patterns})), SchemaError::Cost);
}

#[test]
fn patterns_are_matched_in_linear_time_and_bounded_space() {
    let check = Check::new(&json!({"pattern": "^(a+)+$"})).expect("it is good");
    assert!(check.compare(&json!(format!("{}b", "a".repeat(100_000)))).is_err());
    for pattern in ["(?=a)b", r"(a)\1", "(a{1000}){1000}"] {
        assert_eq!(refused(&json!({"pattern": pattern})), SchemaError::Pattern(Printable::new(pattern)));
    }
    assert!(matches!(refused(&json!({"pattern": "("})), SchemaError::Invalid(_)));
    assert!(matches!(refused(&json!({"patternProperties": {"(": true}})), SchemaError::Invalid(_)));
    assert!(refused(&json!({"pattern": "(a{1000}){1000}"})).to_string().contains("too large"));
}

#[test]
fn patterns_of_other_alphabets_are_good() {
    for pattern in [r"^[\p{L}\p{N} _-]{1,64}$", r"^\p{L}+$", r"^\w{1,64}$"] {
        let check = Check::new(&json!({"properties": {"name": {"pattern": pattern}}})).expect(pattern);
        assert_eq!(check.compare(&json!({"name": "Žižek"})).is_ok(), pattern != r"^\w{1,64}$");
        // A text that is not matched with it may be as long as it likes.
        assert_eq!(check.compare(&json!({"name": "a", "text": "x".repeat(1 << 20)})), Ok(()));
        assert!(check.compare(&json!({"name": "?"})).is_err_and(|said| said.to_string().starts_with("/name: \"?\"")));
    }
}

#[test]
fn patterns_have_a_size_together_and_each_counts_once() {
    let large = |n: usize| json!({"pattern": format!(r"^[\p{{L}} _-]{{1,20}}{n}$")});
    assert!(Check::new(&json!({"allOf": vec![large(0); 100]})).is_ok());
    let many: Vec<_> = (0..100).map(large).collect();
    assert_eq!(refused(&json!({"allOf": many})), SchemaError::Patterns);
}

#[test]
fn a_pattern_and_a_text_that_take_long_together_are_refused() {
    let text = |n: usize| json!({"a": "ab".repeat(n)});
    let slow = json!({"pattern": "[ab]*a[ab]{1,2000}c"});
    let too_large = |said: Printable| said.to_string() == TOO_LARGE;
    let check = Check::new(&json!({"properties": {"a": slow}})).expect("it is good");
    assert!(check.compare(&text(5_000)).is_err_and(|said| said.to_string().contains("does not match")));
    assert!(check.compare(&text(50_000)).is_err_and(too_large));
    // Nor can it be had in a way that makes it look like a match.
    let not = Check::new(&json!({"properties": {"a": {"not": slow}}})).expect("it is good");
    assert_eq!(not.compare(&text(100)), Ok(()));
    assert!(not.compare(&text(50_000)).is_err_and(too_large));
    let many =
        Check::new(&json!({"properties": {"a": {"allOf": vec![json!({"not": slow}); 20]}}})).expect("it is good");
    assert!(many.compare(&text(5_000)).is_err_and(too_large));
    let names = Check::new(&json!({"patternProperties": {"[ab]*a[ab]{1,2000}c": false}})).expect("it is good");
    assert_eq!(names.compare(&json!({"abab": 1})), Ok(()));
    assert!(names.compare(&json!({"ab".repeat(50_000): 1})).is_err_and(too_large));
    let divides = Check::new(&json!({"items": {"multipleOf": 0.1}})).expect("it is good");
    assert_eq!(divides.compare(&json!([0.3, 1e300, "x"])), Ok(()));
    assert!(divides.compare(&json!([0.25])).is_err_and(|said| said.to_string().contains("/0: 0.25 is not a multiple")));
    assert!(divides.compare(&json!(vec![1e300; 100_000])).is_err_and(too_large));
}

#[test]
fn values_in_a_schema_are_not_taken_for_schemas() {
    let data = json!({"$ref": "x", "$id": "http://a/b", "$schema": "y", "pattern": "("});
    for keyword in ["default", "const"] {
        let check = Check::new(&json!({"properties": {"a": {keyword: data}}})).expect(keyword);
        assert_eq!(check.compare(&json!({"a": data})), Ok(()), "{keyword}");
        assert_eq!(check.compare(&json!({"a": 1})).is_ok(), keyword == "default");
        // As the name of a property it is none of these.
        let named = json!({"properties": {keyword: {"$ref": "http://a/b"}}});
        assert!(matches!(refused(&named), SchemaError::Reference { .. }), "{keyword}");
        let bomb = doubling(40);
        let named = json!({"properties": {keyword: bomb["$ref"].as_str().map(|to| json!({"$ref": to}))}, "$defs": bomb["$defs"]});
        assert_eq!(refused(&named), SchemaError::Cost, "{keyword}");
    }
    assert!(Check::new(&json!({"enum": [data], "examples": [data]})).is_ok());
    // Unless it is referred to.
    let referred =
        json!({"properties": {"a": {"default": {"$ref": "http://a/b"}}, "b": {"$ref": "#/properties/a/default"}}});
    assert!(matches!(refused(&referred), SchemaError::Reference { .. }));
    let long = "x".repeat(1 << 20);
    assert_eq!(refused(&json!({"allOf": vec![json!({"const": long}); 2]})), SchemaError::Cost);
}

#[test]
fn what_a_string_holds_is_not_decoded() {
    for draft in ["draft-06", "draft-07"] {
        let uri = format!("http://json-schema.org/{draft}/schema#");
        for keyword in [json!({"contentMediaType": "application/json"}), json!({"contentEncoding": "base64"})] {
            let mut schema = keyword.clone();
            schema["$schema"] = json!(uri);
            assert_eq!(Check::new(&schema).expect("it is good").compare(&json!("{?")), Ok(()), "{schema}");
        }
    }
}

#[test]
fn a_large_value_needs_a_small_schema() {
    let names: Vec<_> = (0..20_000).map(|i| json!(format!("n{i}"))).collect();
    let check = Check::new(&json!({"items": {"enum": names}})).expect("it is good");
    assert_eq!(check.compare(&json!(["n1"])), Ok(()));
    let large = json!(vec!["x"; 20_000]);
    assert!(check.compare(&large).is_err_and(|said| said.to_string().contains("too large")));
    assert_eq!(Check::new(&json!({"items": {"type": "string"}})).expect("it is good").compare(&large), Ok(()));
}

#[test]
fn reasons_are_given_as_far_as_they_are_few() {
    let branches = json!({"anyOf": [{"type": "string"}, {"items": {"type": "string"}}]});
    let check = Check::new(&json!({"properties": {"a": branches, "b": {"type": "string"}}})).expect("it is good");
    let said = |value: Value| check.compare(&value).expect_err("it differs").to_string();
    assert!(said(json!({"a": vec![0; 100]})).starts_with("/a: "));
    let many = json!({"a": vec![0; 100_000]});
    assert_eq!(said(many), "it is not what the schema says; it is too large to say where");
    // Without branches there is one reason, however large the value is.
    let plain = Check::new(&json!({"items": {"type": "string"}})).expect("it is good");
    assert!(plain.compare(&json!(vec![0; 100_000])).is_err_and(|said| said.to_string().starts_with("/0: ")));
    let names = json!({"anyOf": [{"propertyNames": {"type": "integer"}}]});
    let object: Map<_, _> = (0..2_000).map(|i| (i.to_string(), json!(0))).collect();
    let said = Check::new(&names).expect("it is good").compare(&Value::Object(object)).expect_err("it differs");
    assert!(said.to_string().contains("too large to say"));
}

#[test]
fn the_price_of_a_text_is_that_of_its_value_at_least() {
    let check = Check::new(&json!({"items": {"type": "integer"}})).expect("it is good");
    let list = |n: usize| json!(vec![1; n]).to_string().into_bytes();
    assert!(check.price(&list(1)) > 0);
    assert!(check.price(&list(10_000)) > 100 * check.price(&list(10)));
    assert_eq!(check.price(&list(20_000_000)), MAX_WORK * STEP_FUEL);
}
