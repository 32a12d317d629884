//! The types of Rust, order, limits, errors.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{Bytes, CacheKey, KeyEncoder, Params, ToKey, decode, render};
use cacheness_core::{Error, ErrorKind, Result, params};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::{config, encoding, key};

#[test]
fn equal_values_of_different_rust_types_encode_alike() {
    let three = encoding(&3_i64);
    for other in [
        encoding(&3_i8),
        encoding(&3_i16),
        encoding(&3_i32),
        encoding(&3_i128),
        encoding(&3_isize),
        encoding(&3_u8),
        encoding(&3_u16),
        encoding(&3_u32),
        encoding(&3_u64),
        encoding(&3_u128),
        encoding(&3_usize),
        encoding(&Some(3)),
        encoding(&Box::new(3)),
        encoding(&Rc::new(3)),
        encoding(&Arc::new(3)),
        encoding(&&mut 3),
    ] {
        assert_eq!(other, three);
    }
    assert_eq!(encoding(&1.5_f32), encoding(&1.5_f64));
    assert_eq!(encoding(&"a"), encoding(&'a'));
    assert_eq!(encoding(&"a"), encoding(&Cow::Borrowed("a")));
    assert_eq!(encoding(&"a"), encoding(&Arc::<str>::from("a")));
    assert_eq!(encoding(&None::<i32>), encoding(&()));
    let list = encoding(&vec![1, 2]);
    assert_eq!(encoding(&[1, 2]), list);
    assert_eq!(encoding(&[1, 2].as_slice()), list);
    assert_eq!(encoding(&VecDeque::from([1, 2])), list);
    assert_eq!(encoding(&HashMap::from([("b", 1), ("a", 2)])), encoding(&BTreeMap::from([("b", 1), ("a", 2)])));
    assert_eq!(encoding(&HashSet::from([300, 2, -5])), encoding(&BTreeSet::from([300, 2, -5])));
    assert_eq!(encoding(&HashMap::from([("a", 2)])), encoding(&params! { a: 2 }));
    assert_eq!(encoding(&f64::from_bits(0xfff8_0000_dead_beef)), encoding(&f64::NAN));
}

#[test]
fn unequal_values_encode_differently() {
    let all = [
        encoding(&1),
        encoding(&1.0),
        encoding(&true),
        encoding(&"1"),
        encoding(&Bytes(b"1")),
        encoding(&vec![1]),
        encoding(&(1,)),
        encoding(&BTreeSet::from([1])),
        encoding(&BTreeMap::from([(1, 1)])),
        encoding(&0.0),
        encoding(&-0.0),
        encoding(&vec![vec![1], vec![2]]),
        encoding(&vec![vec![1, 2]]),
        encoding(&vec![vec![1, 2], vec![]]),
        encoding(&("ab", "c")),
        encoding(&("a", "bc")),
        encoding(&Duration::from_secs(1)),
        encoding(&Duration::from_nanos(1_000_000_001)),
        encoding(&Duration::from_nanos(1_000_000_002)),
        encoding(&u128::MAX),
        encoding(&-1_i128),
        encoding(&()),
        encoding(&""),
        encoding(&Bytes(b"")),
        encoding(&Vec::<u8>::new()),
    ];
    for (i, one) in all.iter().enumerate() {
        assert!(!all[..i].contains(one), "value {i} encodes like another");
    }
}

#[test]
fn times_of_chrono() {
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let time = NaiveTime::from_hms_micro_opt(12, 34, 56, 789_012).unwrap();
    let zone = FixedOffset::east_opt(7200).unwrap();
    let zoned = date.and_time(time).and_local_timezone(zone).unwrap();
    let shown = |value: &dyn ToKey| render(&[&[1], encoding(value).as_slice()].concat()).unwrap().to_string();
    assert_eq!(shown(&date), "\"2024-02-29\"");
    assert_eq!(shown(&time), "\"12:34:56.789012\"");
    assert_eq!(shown(&date.and_time(time)), "\"2024-02-29T12:34:56.789012\"");
    assert_eq!(shown(&zoned), "\"2024-02-29T12:34:56.789012+02:00\"");
    assert_eq!(shown(&zoned.with_timezone(&Utc)), "\"2024-02-29T10:34:56.789012+00:00\"");
    assert_eq!(shown(&TimeDelta::microseconds(-1)), "\"-0.000001 s\"");
    assert_eq!(encoding(&TimeDelta::seconds(90)), encoding(&Duration::from_secs(90)));
    let nanos = DateTime::from_timestamp(0, 1).unwrap();
    assert_ne!(encoding(&nanos), encoding(&DateTime::<Utc>::UNIX_EPOCH));
    assert_eq!(shown(&nanos), r#"{"nanoseconds":["1970-01-01T00:00:00.000000+00:00",1]}"#);
    let negative = TimeDelta::nanoseconds(-1);
    assert_eq!(shown(&negative), r#"{"nanoseconds":["-0.000001 s",999]}"#);
    let leap = NaiveTime::from_hms_milli_opt(23, 59, 59, 1_500).unwrap();
    let error = params! { at: leap }.key(&config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyEncoding);
    assert!(error.to_string().starts_with("params.at: "), "{error}");
}

#[test]
fn parameters_are_named_and_unordered() {
    let r#type = 1;
    let borrowed = params! { r#type: r#type, "any name": vec!["x"], b: 2.5 };
    assert_eq!(borrowed.len(), 3);
    let owned = Params::new().with("b", 2.5).with(String::from("any name"), vec!["x"]).with("type", 1);
    assert_eq!(key(borrowed), key(owned));
    let names = ["z", "y", "x"];
    let mixed = key(params! { a: 1, }.with(names[0], 2));
    assert_eq!(render(&mixed.encoding).unwrap().to_string(), r#"{"a":1,"z":2}"#);
    let error = params! { a: 1 }.with("a", 2).key(&config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyEncoding);
}

struct Lock;

impl ToKey for Lock {
    fn encode(&self, _: &mut KeyEncoder) -> Result<()> {
        Err(Error::new(ErrorKind::KeyEncoding, "a lock has no stable encoding"))
    }
}

#[test]
fn errors_say_where() {
    let callbacks: Vec<Box<dyn ToKey>> = vec![Box::new(1), Box::new("a"), Box::new(Lock)];
    let config_of_model = BTreeMap::from([("callbacks", callbacks)]);
    let error = params! { model: "m", config: config_of_model }.key(&config()).unwrap_err();
    assert_eq!(error.to_string(), "params.config.callbacks[2]: a lock has no stable encoding");
    let by_number = BTreeMap::from([(7, BTreeMap::from([("a b", (1, Lock))]))]);
    let error = params! { "my model": by_number }.key(&config()).unwrap_err();
    assert_eq!(error.to_string(), r#"params["my model"][7]["a b"][1]: a lock has no stable encoding"#);
}

#[test]
fn limits_of_the_configuration() {
    let fails = |config: &SerializationConfig, value: &dyn ToKey| {
        let error = params! { x: value }.key(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyEncoding);
        assert!(error.hint().is_some());
        error.to_string()
    };
    let no_collections = SerializationConfig { enable_collections: false, ..config() };
    for value in [&vec![1] as &dyn ToKey, &(1,), &BTreeMap::from([(1, 1)]), &BTreeSet::from([1])] {
        // Switched off is only that objects in them are looked into, which Rust never does.
        assert_eq!(params! { x: value }.key(&no_collections).unwrap(), params! { x: value }.key(&config()).unwrap());
    }
    params! { x: 1, y: "a" }.key(&no_collections).unwrap();
    let shallow = SerializationConfig { max_collection_depth: 2, max_tuple_recursive_length: 1, ..config() };
    params! { x: vec![vec![1]] }.key(&shallow).unwrap();
    assert_eq!(fails(&shallow, &vec![vec![vec![1]]]), "params.x[0][0]: collections are nested more than 2 deep");
    params! { x: vec![(1,)] }.key(&shallow).unwrap();
    assert_eq!(fails(&shallow, &((1,),)), "params.x[0]: tuples are nested more than 1 deep");
    // The stack is bounded whatever the configuration says.
    struct Nested(usize);
    impl ToKey for Nested {
        fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
            match self.0 {
                0 => ().encode(encoder),
                depth => encoder.list([Nested(depth - 1)].iter()),
            }
        }
    }
    let endless = SerializationConfig { max_collection_depth: usize::MAX, ..config() };
    decode(&params! { x: Nested(255) }.key(&endless).unwrap().encoding).unwrap();
    assert!(fails(&endless, &Nested(256)).ends_with("nested more than 256 deep"));
}

#[test]
fn keys_are_written_and_read() {
    for key in [CacheKey(0), CacheKey(0x00ff_1234_5678_9abc), CacheKey(u64::MAX)] {
        assert_eq!(key.to_hex(), format!("{:016x}", key.0));
        assert_eq!(key.hex().as_str(), key.to_string());
        assert_eq!(key.to_hex().parse::<CacheKey>().unwrap(), key);
    }
    for text in ["", "0", "00ff123456789AB0", "+0ff123456789abc", "00ff123456789abcd", "00ff12345678 abc"] {
        assert_eq!(text.parse::<CacheKey>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
    }
}

#[test]
fn a_long_collection_is_replaced_by_its_digest() {
    let long: Vec<u32> = (0..100_000).collect();
    let encoded = key(params! { long: &long, short: 1 });
    assert!(encoded.encoding.len() < 100);
    let other: Vec<u32> = (0..100_000).map(|i| i + u32::from(i == 77_777)).collect();
    assert_ne!(key(params! { long: &other, short: 1 }).fingerprint, encoded.fingerprint);
    let shown = render(&encoded.encoding).unwrap();
    assert!(shown["long"].as_str().unwrap().starts_with("value of "), "{shown}");
    assert_eq!(shown["short"], 1);
}

/// Values that nest, for properties.
#[derive(Clone, Debug, PartialEq)]
enum Any {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Any>),
    Tuple(Vec<Any>),
    Map(Vec<(String, Any)>),
}

impl ToKey for Any {
    fn encode(&self, e: &mut KeyEncoder) -> Result<()> {
        match self {
            Self::None => e.none(),
            Self::Bool(value) => e.bool(*value),
            Self::Int(value) => e.int128(*value),
            Self::Float(value) => e.float(*value),
            Self::Str(value) => e.str(value),
            Self::Bytes(value) => e.bytes(value),
            Self::List(items) => return e.list(items.iter()),
            Self::Tuple(items) => {
                let items: Vec<&dyn ToKey> = items.iter().map(|item| item as &dyn ToKey).collect();
                return e.tuple(&items);
            }
            Self::Map(pairs) => return e.mapping(pairs.iter().map(|(key, value)| (key, value))),
        }
        Ok(())
    }
}

impl Any {
    fn reversed(&self) -> Self {
        match self {
            Self::List(items) => Self::List(items.iter().map(Self::reversed).collect()),
            Self::Tuple(items) => Self::Tuple(items.iter().map(Self::reversed).collect()),
            Self::Map(pairs) => {
                Self::Map(pairs.iter().rev().map(|(key, value)| (key.clone(), value.reversed())).collect())
            }
            other => other.clone(),
        }
    }

    /// A text that differs for values that differ, whatever the order of mappings.
    fn identity(&self) -> String {
        match self {
            Self::List(items) => format!("L{:?}", items.iter().map(Self::identity).collect::<Vec<_>>()),
            Self::Tuple(items) => format!("T{:?}", items.iter().map(Self::identity).collect::<Vec<_>>()),
            Self::Map(pairs) => {
                let pairs: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (key, value.identity())).collect();
                format!("M{pairs:?}")
            }
            Self::Float(value) if value.is_nan() => "NaN".into(),
            Self::Float(value) => format!("F{:x}", value.to_bits()),
            other => format!("{other:?}"),
        }
    }
}

fn anything() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::None),
        any::<bool>().prop_map(Any::Bool),
        prop_oneof![any::<i128>(), -300..300_i128].prop_map(Any::Int),
        prop_oneof![any::<f64>(), (-3..3).prop_map(f64::from)].prop_map(Any::Float),
        "[a-c1]{0,3}".prop_map(Any::Str),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(Any::Bytes),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let pairs = proptest::collection::btree_map("[a-d]{0,2}", inner.clone(), 0..5);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Any::List),
            proptest::collection::vec(inner, 0..5).prop_map(Any::Tuple),
            pairs.prop_map(|pairs| Any::Map(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn order_of_mappings_does_not_matter_and_encodings_are_canonical(value in anything()) {
        let one = encoding(&value);
        prop_assert_eq!(&one, &encoding(&value.reversed()));
        decode(&[&[1], one.as_slice()].concat()).unwrap();
    }

    #[test]
    fn values_encode_alike_only_if_they_are_alike(a in anything(), b in anything()) {
        prop_assert_eq!(encoding(&a) == encoding(&b), a.identity() == b.identity());
    }

    #[test]
    fn every_integer_is_shortest(value in any::<i128>(), shift in 0_u32..128) {
        let value = value >> shift;
        let encoded = encoding(&value);
        let least = (0..=16).find(|n| *n * 8 >= 129 - value.leading_zeros().max((!value).leading_zeros()) || (*n == 0 && value == 0)).unwrap();
        prop_assert_eq!(encoded.len(), 2 + least as usize);
        decode(&[&[1], encoded.as_slice()].concat()).unwrap();
    }
}
