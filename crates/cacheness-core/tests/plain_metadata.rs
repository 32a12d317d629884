//! Metadata as JSON.
#![allow(clippy::unwrap_used)]

use cacheness_core::ErrorKind;
use cacheness_core::formats::plain::Value;
use cacheness_core::formats::plain::tagged_json::{from_json, to_json};
use serde_json::json;

#[test]
fn json_is_itself() {
    let json = r#"{"name":"cart","size":3,"ratio":0.5,"one":1.0,"tags":["a",null,true],"more":{"x":-0.0}}"#;
    let value = from_json(json).unwrap();
    assert_eq!(value.get("one"), Some(&Value::Float(1.0)));
    assert_eq!(to_json(&value).unwrap(), json);
}

#[test]
fn a_builder_is_at_hand() {
    let metadata = Value::from(json!({"experiment": "baseline", "fold": 3, "scores": [0.5, 0.25]}));
    assert_eq!(to_json(&metadata).unwrap(), r#"{"experiment":"baseline","fold":3,"scores":[0.5,0.25]}"#);
    let metadata: Value = [("a", 1), ("b", 2)].into_iter().collect();
    assert_eq!(to_json(&metadata).unwrap(), r#"{"a":1,"b":2}"#);
}

#[test]
fn floats_come_back_to_the_bit() {
    for bits in [0x3fb9_9999_9999_999a_u64, 1, 0x7fef_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0x0010_0000_0000_0000] {
        let value: Value = [("f", f64::from_bits(bits))].into_iter().collect();
        match from_json(&to_json(&value).unwrap()).unwrap().get("f") {
            Some(Value::Float(back)) => assert_eq!(back.to_bits(), bits),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn keys_that_look_like_tags_stay_keys() {
    let value = from_json(r#"{"$$tuple":[1],"$$$":2}"#).unwrap();
    assert_eq!(value.get("$tuple"), Some(&Value::List(vec![1.into()])));
    assert_eq!(value.get("$$"), Some(&Value::Int(2)));
    assert_eq!(to_json(&value).unwrap(), r#"{"$$tuple":[1],"$$$":2}"#);
}

#[test]
fn tags_are_found_in_any_order_of_fields() {
    let expected = from_json(r#"{"t":{"$datetime":"2026-10-25T02:30:00","fold":1,"zone":"Europe/Berlin"}}"#).unwrap();
    let other = from_json(r#"{"t":{"fold":1,"zone":"Europe/Berlin","$datetime":"2026-10-25T02:30:00"}}"#).unwrap();
    assert_eq!(other, expected);
}

#[test]
fn what_is_no_metadata_is_refused_by_name() {
    let errors = [
        ("", "not valid JSON"),
        ("[1]", "not a JSON object"),
        (r#"{"$tuple":[1]}"#, "not a map"),
        (r#"{"a":{"$nonsense":1}}"#, r#"metadata["a"] has the unknown tag "$nonsense""#),
        (r#"{"a":[{"$bytes":"?"}]}"#, r#"metadata["a"][0]"#),
        (r#"{"a":{"$bytes":"","more":1}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$int":"5"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$int":"0x05"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$float":"1.0"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$decimal":"x"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$date":"2026-02-30"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$datetime":"2026-02-03"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$datetime":"2026-02-03T25:00:00"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$datetime":"2026-02-03T23:59:60"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$time":"12:00:00","zone":"Europe/Berlin"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$timedelta":[0,-1,0]}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$uuid":"12345678"}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$set":[1,1]}}"#, ""),
        (r#"{"a":{"$set":[[]]}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$map":[[[],1]]}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$map":[[1]]}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$range":[0,1,0]}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$numpy":"|O8","data":""}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$numpy":"|u1","value":300}}"#, r#"metadata["a"]"#),
        (r#"{"a":{"$ndarray":"<f8","shape":[2],"order":"C","data":""}}"#, r#"metadata["a"]"#),
    ];
    for (json, expected) in errors {
        let error = from_json(json).expect_err(json);
        assert_eq!(error.kind(), ErrorKind::Serialization, "{json}");
        assert!(error.to_string().contains(expected), "{json}: {error}");
    }
    assert_eq!(to_json(&Value::Int(1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(to_json(&Value::Map(vec![(1.into(), 2.into())])).unwrap_err().kind(), ErrorKind::InvalidInput);
    let invalid = Value::Map(vec![("a".into(), Value::List(vec![Value::Date(i32::MAX)]))]);
    assert!(to_json(&invalid).unwrap_err().to_string().starts_with(r#"metadata["a"][0]"#));
}

#[test]
fn nesting_ends_at_32_levels_and_is_read_back() {
    let nested = |levels: usize| {
        let inner = (0..levels).fold(Value::None, |inner, _| Value::Map(vec![(1.into(), inner)]));
        Value::Map(vec![("v".into(), inner)])
    };
    let json = to_json(&nested(31)).unwrap();
    assert_eq!(from_json(&json).unwrap(), nested(31));
    assert!(to_json(&nested(33)).unwrap_err().to_string().contains("32 levels"));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(&deep).is_err());
}

#[test]
fn people_see_plain_json() {
    let metadata = from_json(
        r#"{"a":{"$tuple":[1,{"$decimal":"1.0"}]},"b":{"$float":"nan"},"c":{"$map":[[1,2]]},
            "d":{"$datetime":"2026-10-25T02:30:00+00:00"},"e":{"$numpy":"<f8","value":0.5},"f":{"$bytes":"AQ=="}}"#,
    );
    let expected =
        json!({"a": [1, "1.0"], "b": "NaN", "c": {"1": 2}, "d": "2026-10-25T02:30:00+00:00", "e": 0.5, "f": "AQ=="});
    assert_eq!(metadata.unwrap().to_display_json(), expected);
}
