//! serde's data model in plain values, against an independent MessagePack, and bytes from anywhere.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use cacheness_core::formats::plain::{self, DateTime, NumpyArray, NumpyScalar, Time, TimeDelta, Value, Zone};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i32),
    Box { width: u16, height: Option<u16> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    large: u64,
    text: String,
    letter: char,
    list: Vec<Shape>,
    map: BTreeMap<String, Option<i64>>,
    by_number: BTreeMap<i32, (u8, String)>,
    newtype: Newtype,
    nothing: (),
    array: [i16; 3],
}

prop_compose! {
    fn shape()(which in 0..4, a in any::<i32>(), b in any::<u16>(), c in any::<Option<u16>>()) -> Shape {
        match which {
            0 => Shape::Point,
            1 => Shape::Circle(f64::from(a) / 8.0),
            2 => Shape::Line(a, i32::from(b)),
            _ => Shape::Box { width: b, height: c },
        }
    }
}

prop_compose! {
    fn everything()(
        flag: bool, small: i8, large: u64, text: String, letter: char,
        list in prop::collection::vec(shape(), 0..20),
        map in prop::collection::btree_map(any::<String>(), any::<Option<i64>>(), 0..20),
        by_number in prop::collection::btree_map(any::<i32>(), any::<(u8, String)>(), 0..5),
        newtype: u8, array: [i16; 3],
    ) -> Everything {
        Everything {
            flag, small, large, text, letter, list, map, by_number, newtype: Newtype(newtype), nothing: (),
            array,
        }
    }
}

fn leaf() -> impl Strategy<Value = Value> {
    let zone = prop_oneof![
        Just(Zone::Naive),
        (-86_399_999_999_i64..86_400_000_000, any::<Option<String>>())
            .prop_map(|(offset, name)| Zone::Fixed { offset, name }),
        Just(Zone::Named("Europe/Berlin".to_owned())),
    ];
    let fixed = (-86_399_999_999_i64..86_400_000_000, any::<Option<String>>())
        .prop_map(|(offset, name)| Zone::Fixed { offset, name });
    prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-200_i64..200).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i128>().prop_map(|i| Value::decode(&plain::to_vec(&i).unwrap()).unwrap()),
        any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof![Just("$"), Just("$$x"), Just("$tuple"), Just("$float")].prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::ByteArray),
        any::<(f64, f64)>().prop_map(|(re, im)| Value::Complex(re, im)),
        (-62_135_596_800_000_000_i64..253_402_300_800_000_000, any::<bool>(), zone)
            .prop_map(|(micros, fold, zone)| Value::DateTime(DateTime { micros, fold, zone })),
        (-719_162..=2_932_896).prop_map(Value::Date),
        (0_i64..86_400_000_000, any::<bool>(), fixed).prop_map(|(micros, fold, zone)| Value::Time(Time {
            micros,
            fold,
            zone
        })),
        (-999_999_999..=999_999_999, 0..86_400, 0..1_000_000)
            .prop_map(|(days, seconds, micros)| Value::TimeDelta(TimeDelta { days, seconds, micros })),
        "-?[0-9]{1,20}(\\.[0-9]{1,5})?(E[+-][0-9]{1,3})?".prop_map(Value::Decimal),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        any::<String>().prop_map(Value::Path),
        any::<(i64, u64, i32)>()
            .prop_filter("a step", |(.., step)| *step != 0)
            .prop_map(|(start, stop, step)| { Value::Range(Box::new([start.into(), stop.into(), step.into()])) }),
        any::<u64>().prop_map(|bits| Value::NumpyScalar(NumpyScalar {
            dtype: "<f8".into(),
            data: bits.to_le_bytes().to_vec()
        })),
        any::<u32>().prop_map(|bits| Value::NumpyScalar(NumpyScalar {
            dtype: ">f4".into(),
            data: bits.to_be_bytes().to_vec()
        })),
        any::<u16>().prop_map(|bits| Value::NumpyScalar(NumpyScalar {
            dtype: "<f2".into(),
            data: bits.to_le_bytes().to_vec()
        })),
        (0_u64..5, 0_u64..5, any::<bool>()).prop_map(|(rows, columns, fortran)| {
            let items = u32::try_from(rows * columns).unwrap();
            let data = (0..items).flat_map(|i| i.to_le_bytes()).collect();
            Value::NumpyArray(NumpyArray { dtype: "<u4".into(), shape: vec![rows, columns], fortran, data })
        }),
    ]
}

/// Leaves one of a number of values with the same encoding.
fn distinct(values: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    values.into_iter().filter(|value| value.is_hashable() && seen.insert(encode(value))).collect()
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 60, 8, |inner| {
        let items = prop::collection::vec(inner, 0..8);
        let keys = prop_oneof![items.clone(), prop::collection::vec(any::<String>().prop_map(Value::from), 0..8)];
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.clone().prop_map(Value::Tuple),
            items.clone().prop_map(|items| Value::Set(distinct(items))),
            items.clone().prop_map(|items| Value::FrozenSet(distinct(items))),
            (keys, items).prop_map(|(keys, values)| Value::Map(distinct(keys).into_iter().zip(values).collect())),
        ]
    })
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out).expect("the value is valid");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn serde_values_come_back_and_are_the_messagepack_of_rmp(everything in everything()) {
        let bytes = plain::to_vec(&everything).unwrap();
        prop_assert_eq!(&plain::from_slice::<Everything>(&bytes).unwrap(), &everything);
        prop_assert_eq!(&bytes, &rmp_serde::to_vec_named(&everything).unwrap());
        prop_assert_eq!(encode(&Value::decode(&bytes).unwrap()), bytes);
    }

    #[test]
    fn wide_integers_come_back(signed: i128, unsigned: u128, narrow: i64) {
        for value in [signed, i128::from(narrow), signed >> 64] {
            prop_assert_eq!(plain::from_slice::<i128>(&plain::to_vec(&value).unwrap()).unwrap(), value);
        }
        for value in [unsigned, unsigned >> 64] {
            prop_assert_eq!(plain::from_slice::<u128>(&plain::to_vec(&value).unwrap()).unwrap(), value);
        }
    }

    #[test]
    fn trees_come_back(value in value()) {
        let bytes = encode(&value);
        prop_assert_eq!(encode(&Value::decode(&bytes).unwrap()), &bytes[..]);
        let through_serde: Value = plain::from_slice(&bytes).unwrap();
        prop_assert_eq!(plain::to_vec(&through_serde).unwrap(), bytes);
    }

    #[test]
    fn metadata_comes_back(value in value()) {
        let metadata = Value::Map(vec![("v".into(), value.clone()), ("$w".into(), value)]);
        let json = cacheness_core::formats::plain::tagged_json::to_json(&metadata).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).unwrap().is_object());
        let back = cacheness_core::formats::plain::tagged_json::from_json(&json).unwrap();
        prop_assert_eq!(encode(&back), encode(&metadata));
        // Rendering for people never fails.
        prop_assert!(metadata.to_display_json().is_object());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = Value::decode(&bytes) {
            // Whatever is accepted can be written.
            encode(&value);
        }
        let _ = plain::from_slice::<Everything>(&bytes);
        let _ = plain::from_slice::<HashMap<String, Vec<f64>>>(&bytes);
        let _ = plain::from_slice::<serde_json::Value>(&bytes);
        let _ = plain::from_slice::<serde::de::IgnoredAny>(&bytes);
    }

    #[test]
    fn damaged_payloads_never_panic(value in value(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encode(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = Value::decode(&bytes) {
            encode(&value);
        }
        let _ = plain::from_slice::<serde_json::Value>(&bytes);
    }
}

#[test]
fn a_value_inside_of_a_struct_keeps_its_types() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        id: u32,
        extra: Value,
    }
    let document = Document { id: 1, extra: Value::Tuple(vec![Value::Decimal("1.0".into()), Value::Bytes(vec![1])]) };
    let bytes = plain::to_vec(&document).unwrap();
    assert_eq!(plain::from_slice::<Document>(&bytes).unwrap(), document);
    // For people it is what is nearest.
    assert_eq!(serde_json::to_string(&document).unwrap(), r#"{"id":1,"extra":["1.0","AQ=="]}"#);
    let parsed: Document = serde_json::from_str(r#"{"id":1,"extra":{"a":[1,2.5,null]}}"#).unwrap();
    assert_eq!(parsed.extra.get("a"), Some(&Value::List(vec![1.into(), 2.5.into(), Value::None])));
}

fn nested(levels: usize, wrap: fn(Vec<Value>) -> Value) -> Value {
    (0..levels).fold(Value::None, |inner, _| wrap(vec![inner]))
}

#[test]
fn nesting_ends_at_128_levels() {
    for wrap in [Value::List as fn(Vec<Value>) -> Value, Value::Tuple, |items| {
        Value::Map(items.into_iter().map(|item| (1.into(), item)).collect())
    }] {
        let bytes = encode(&nested(128, wrap));
        assert_eq!(encode(&Value::decode(&bytes).unwrap()), bytes);
        assert_eq!(plain::to_vec(&plain::from_slice::<Value>(&bytes).unwrap()).unwrap(), bytes);
        let mut out = vec![1, 2];
        assert!(nested(129, wrap).encode(&mut out).is_err());
        assert_eq!(out, [1, 2], "a failed encoding leaves nothing behind");
        // 128 levels below another one are as much as 129.
        assert!(plain::to_vec(&[nested(128, wrap)]).is_err());
    }
    let deep: Vec<u8> = [0x91].repeat(100_000);
    assert!(Value::decode(&deep).is_err());
    assert!(plain::from_slice::<serde_json::Value>(&deep).is_err());
    assert!(plain::from_slice::<serde::de::IgnoredAny>(&deep).is_err());
}

#[test]
fn absurd_counts_allocate_nothing() {
    // Each array claims all bytes that are left; without a common account this would take gigabytes.
    let mut bytes = Vec::new();
    for _ in 0..127 {
        bytes.extend_from_slice(&[0xdd, 0, 0x0f, 0xff, 0xff]);
    }
    bytes.resize(1 << 20, 0xc0);
    assert!(Value::decode(&bytes).is_err());
    assert!(plain::from_slice::<serde_json::Value>(&bytes).is_err());
    // An array without items whose dimensions would be sequences for ever.
    let mut array = Vec::new();
    let shape = vec![1 << 40, 0];
    Value::NumpyArray(NumpyArray { dtype: "<f8".into(), shape, fortran: false, data: vec![] })
        .encode(&mut array)
        .unwrap();
    assert!(plain::from_slice::<Vec<Vec<f64>>>(&array).is_err());
}

#[test]
fn units_are_nil() {
    assert_eq!(plain::to_vec(&(Unit, (), None::<u8>)).unwrap(), [0x93, 0xc0, 0xc0, 0xc0]);
    assert_eq!(plain::from_slice::<Unit>(&[0xc0]).unwrap(), Unit);
}

#[test]
fn some_of_nothing_is_refused() {
    let nothing = plain::Value::None;
    for refused in [
        plain::to_vec(&Some(None::<u8>)),
        plain::to_vec(&Some(())),
        plain::to_vec(&vec![Some(1), None].into_iter().map(Some).collect::<Vec<_>>()),
        plain::to_vec(&Some(&nothing)),
        plain::to_vec(&Some(Unit)),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), cacheness_core::ErrorKind::Serialization);
        assert!(error.to_string().contains("would come back as None"), "{error}");
    }
    for kept in [None, Some(Some(1_u8))] {
        assert_eq!(plain::from_slice::<Option<Option<u8>>>(&plain::to_vec(&kept).unwrap()).unwrap(), kept);
    }
    let lists = Some(vec![None::<u8>]);
    assert_eq!(plain::from_slice::<Option<Vec<Option<u8>>>>(&plain::to_vec(&lists).unwrap()).unwrap(), lists);
}

#[test]
fn strings_and_bytes_are_borrowed() {
    let bytes = plain::to_vec(&("text", 1)).unwrap();
    let (text, _): (&str, u8) = plain::from_slice(&bytes).unwrap();
    assert!(bytes.as_ptr_range().contains(&text.as_ptr()));
}

#[test]
fn sequences_of_unknown_length_get_their_header() {
    struct Lazy(usize);
    impl Serialize for Lazy {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut sequence = serializer.serialize_seq(None)?;
            for i in 0..self.0 {
                sequence.serialize_element(&i)?;
            }
            sequence.end()
        }
    }
    for len in [0, 15, 16, 70_000] {
        let bytes = plain::to_vec(&Lazy(len)).unwrap();
        assert_eq!(bytes, plain::to_vec(&(0..len).collect::<Vec<_>>()).unwrap());
    }
}

#[test]
fn a_type_that_does_not_fit_is_an_error() {
    let bytes = plain::to_vec(&vec![1, 2, 3]).unwrap();
    assert!(plain::from_slice::<(i32, i32)>(&bytes).is_err(), "one item too many");
    assert!(plain::from_slice::<String>(&bytes).is_err());
    assert!(plain::from_slice::<u8>(&plain::to_vec(&256).unwrap()).is_err());
    assert!(plain::from_slice::<Shape>(&plain::to_vec("Square").unwrap()).is_err());
}

#[test]
fn integers_of_c_are_integers() {
    let scalar = |dtype: &str, data: [u8; 8]| {
        let value = Value::NumpyScalar(NumpyScalar { dtype: dtype.to_owned(), data: data.to_vec() });
        let encoding = encode(&value);
        assert_eq!(Value::decode(&encoding).expect("it is a value"), value);
        encoding
    };
    for (dtype, data) in [("<q", (-3_i64).to_le_bytes()), (">q", (-3_i64).to_be_bytes())] {
        assert_eq!(plain::from_slice::<i64>(&scalar(dtype, data)).expect("a number"), -3);
    }
    for (dtype, data) in [("<Q", u64::MAX.to_le_bytes()), (">Q", u64::MAX.to_be_bytes())] {
        assert_eq!(plain::from_slice::<u64>(&scalar(dtype, data)).expect("a number"), u64::MAX);
    }
    for dtype in ["q", "|q", "<q8", "<qq", "<l"] {
        let value = Value::NumpyScalar(NumpyScalar { dtype: dtype.to_owned(), data: vec![0; 8] });
        assert!(plain::to_vec(&value).is_err(), "{dtype}");
    }
}
