//! The golden vectors that both languages check.

use std::collections::BTreeMap;

use cacheness_core::ErrorKind;
use cacheness_core::formats::plain::tagged_json::{from_json, to_json};
use cacheness_core::formats::plain::{self, Value};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Vectors {
    values: Vec<Vector>,
    lenient: Vec<Lenient>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: String,
    metadata: String,
}

#[derive(Deserialize)]
struct Lenient {
    name: String,
    hex: String,
    python: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    hex: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../docs/formats/plain.vectors.json")).expect("the vectors are JSON")
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal")).collect()
}

fn vector(name: &str) -> Vec<u8> {
    let vectors = vectors();
    bytes(&vectors.values.iter().find(|v| v.name == name).expect(name).hex)
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out).expect("what was decoded can be encoded");
    out
}

#[test]
fn values_are_encoded_again_to_the_same_bytes() {
    let vectors = vectors();
    assert!(vectors.values.len() > 100);
    for vector in vectors.values {
        let encoding = bytes(&vector.hex);
        let value = Value::decode(&encoding).expect(&vector.name);
        assert_eq!(encode(&value), encoding, "{}", vector.name);
        // Through serde, too.
        let value: Value = plain::from_slice(&encoding).expect(&vector.name);
        assert_eq!(plain::to_vec(&value).expect(&vector.name), encoding, "{}", vector.name);
    }
}

#[test]
fn metadata_is_the_same_json() {
    for vector in vectors().values {
        let value = Value::decode(&bytes(&vector.hex)).expect(&vector.name);
        let metadata = Value::Map(vec![("v".into(), value)]);
        assert_eq!(to_json(&metadata).expect(&vector.name), vector.metadata, "{}", vector.name);
        let back = from_json(&vector.metadata).expect(&vector.name);
        assert_eq!(encode(&back), encode(&metadata), "{}", vector.name);
    }
}

#[test]
fn other_forms_are_read() {
    let expected = |python: &str| match python {
        "5" => Value::Int(5),
        "1.5" => Value::Float(1.5),
        "'a'" => "a".into(),
        "b'a'" => b"a".to_vec().into(),
        "[5]" => Value::List(vec![5.into()]),
        "{1: 2}" => Value::Map(vec![(1.into(), 2.into())]),
        "(5,)" => Value::Tuple(vec![5.into()]),
        other => panic!("{other} is not expected here"),
    };
    for vector in vectors().lenient {
        assert_eq!(Value::decode(&bytes(&vector.hex)).expect(&vector.name), expected(&vector.python));
    }
}

#[test]
fn hostile_payloads_are_refused_with_their_offset() {
    let vectors = vectors();
    assert!(vectors.refused.len() > 40);
    for vector in vectors.refused {
        let error = Value::decode(&bytes(&vector.hex)).expect_err(&vector.name);
        assert_eq!(error.kind(), ErrorKind::Serialization, "{}", vector.name);
        assert!(error.to_string().contains("at byte"), "{}: {error}", vector.name);
    }
}

#[test]
fn no_truncation_of_a_vector_is_a_value() {
    for vector in vectors().values {
        let encoding = bytes(&vector.hex);
        for len in 0..encoding.len() {
            assert!(Value::decode(&encoding[..len]).is_err(), "{} cut to {len} bytes", vector.name);
            assert!(plain::from_slice::<Value>(&encoding[..len]).is_err(), "{} cut to {len} bytes", vector.name);
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    size: u32,
    ratio: f32,
    tags: Vec<String>,
    shape: (usize, usize),
    when: String,
    price: String,
    note: Option<String>,
    #[serde(with = "byte_string")]
    data: Vec<u8>,
    scores: Vec<f64>,
}

mod byte_string {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Vec::deserialize(deserializer)
    }
}

#[test]
fn a_struct_reads_the_dict_of_python() {
    let record: Record = plain::from_slice(&vector("record")).expect("a record");
    let expected = Record {
        name: "cart".into(),
        size: 3,
        ratio: 0.5,
        tags: vec!["a".into(), "b".into()],
        shape: (2, 3),
        when: "2026-11-20T00:00:00+00:00".into(),
        price: "9.90".into(),
        note: None,
        data: b"xyz".to_vec(),
        scores: vec![0.5, 0.25],
    };
    assert_eq!(record, expected);
    let encoding = plain::to_vec(&record).expect("a record");
    assert_eq!(plain::from_slice::<Record>(&encoding).expect("a record"), record);
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    plain::from_slice(&vector(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn extensions_are_read_as_the_specification_says() {
    assert_eq!(read::<(i32, String, (i32,))>("tuple"), (1, "two".into(), (3,)));
    assert_eq!(read::<std::collections::HashSet<i32>>("set"), [7].into());
    assert_eq!(read::<Vec<char>>("frozenset"), ['a']);
    assert_eq!(read::<(f64, f64)>("complex"), (1.5, 0.0));
    assert_eq!(read::<String>("datetime"), "2026-11-20T12:34:56.000789");
    assert_eq!(read::<String>("datetime zone fold"), "2026-10-25T02:30:00[Europe/Berlin]");
    assert_eq!(read::<String>("datetime offset"), "1969-12-31T23:59:59.999999-05:30");
    // The text is what chrono's types read.
    let wall: chrono::NaiveDateTime = read::<String>("datetime").parse().expect("ISO 8601");
    assert_eq!(wall.and_utc().timestamp_micros(), 1_795_178_096_000_789);
    let utc: chrono::DateTime<chrono::Utc> = read::<String>("datetime utc").parse().expect("RFC 3339");
    assert_eq!(utc.timestamp(), 0);
    assert_eq!(read::<String>("date").parse(), Ok(chrono::NaiveDate::from_ymd_opt(2026, 11, 20).expect("a date")));
    assert_eq!(read::<String>("time"), "23:59:59.999999");
    assert!((read::<f64>("timedelta") - -86_394.999_994).abs() < 1e-9);
    assert_eq!(read::<String>("decimal"), "3.140");
    assert_eq!(read::<String>("uuid"), "12345678-9abc-def0-1234-56789abcdef0");
    assert_eq!(read::<std::path::PathBuf>("path"), std::path::Path::new("data/grün.csv"));
    assert_eq!(read::<(u8, u8, u8)>("range"), (0, 10, 1));
    assert_eq!(read::<(i8, i128, u8)>("big range"), (-1, 1 << 70, 3));
    assert_eq!(read::<Vec<u8>>("bytearray"), b"ab");
    assert_eq!(read::<i128>("i128 limit"), i128::MIN);
    assert_eq!(read::<u128>("u128 limit"), u128::MAX);
    let error = plain::from_slice::<i128>(&vector("beyond 128 bits")).expect_err("too large");
    assert!(error.to_string().contains("128 bits") && error.hint().is_some());
    assert_eq!(read::<f64>("numpy float64"), 0.93);
    assert_eq!(read::<f32>("numpy float32"), 0.1);
    assert_eq!(read::<f32>("numpy float16"), 1.5);
    assert_eq!(read::<i8>("numpy int8"), -3);
    assert_eq!(read::<u64>("numpy uint64"), u64::MAX);
    assert!(read::<bool>("numpy bool"));
    assert_eq!(read::<(f32, f32)>("numpy complex64"), (1.0, -2.0));
    assert_eq!(read::<String>("numpy str"), "grün");
    for name in ["numpy array", "numpy array fortran"] {
        assert_eq!(read::<Vec<[i32; 3]>>(name), [[1, 2, 3], [4, 5, 6]], "{name}");
    }
    let floats = read::<Vec<f64>>("numpy array big-endian");
    assert!(floats[0] == 1.5 && floats[1].is_nan());
    assert_eq!(read::<u8>("numpy array 0-d"), 7);
    assert_eq!(read::<Vec<Vec<f64>>>("numpy array empty"), Vec::<Vec<f64>>::new());
    assert_eq!(read::<Vec<String>>("numpy array str"), ["a", "bc"]);
    assert!(plain::from_slice::<Vec<i64>>(&vector("numpy array times")).is_err());
    let squares: BTreeMap<u64, u64> = read("map 16");
    assert!(squares.len() == 16 && squares[&15] == 225);
}
