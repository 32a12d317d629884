//! The golden vectors that the Python tests read too.

use cacheness_core::key::{CacheKey, Collection, EncodedKey, KeyEncoder, ToKey, decode, digest, render};
use cacheness_core::{Result, params};
use serde_json::Value;

use crate::{config, key};

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/keys.vectors.json");
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    let file: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    file["vectors"].as_array().expect("a list of vectors").clone()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal digits")).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn items(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn float(value: &Value) -> f64 {
    f64::from_be_bytes(unhex(text(value)).try_into().expect("eight bytes"))
}

/// A value as the vectors describe it.
struct Described<'a>(&'a Value);

impl Described<'_> {
    fn collection(kind: &str) -> Collection {
        match kind {
            "list" => Collection::List,
            "tuple" => Collection::Tuple,
            "set" => Collection::Set,
            _ => Collection::FrozenSet,
        }
    }

    fn members<'v>(kind: &str, members: impl ExactSizeIterator<Item = &'v Value>, e: &mut KeyEncoder) -> Result<()> {
        let kind = Self::collection(kind);
        let frame = e.begin(kind, members.len())?;
        for member in members {
            if matches!(kind, Collection::Set | Collection::FrozenSet) {
                e.member();
            }
            Described(member).encode(e)?;
        }
        e.end(frame)
    }
}

impl ToKey for Described<'_> {
    fn encode(&self, e: &mut KeyEncoder) -> Result<()> {
        let (kind, body) = self.0.as_object().and_then(|object| object.iter().next()).expect("one kind");
        match kind.as_str() {
            "none" => e.none(),
            "bool" => body.as_bool().expect("a bool").encode(e)?,
            "int" => match text(body).parse::<i128>() {
                Ok(value) => value.encode(e)?,
                Err(_) => match text(body).parse::<u128>() {
                    Ok(value) => value.encode(e)?,
                    Err(_) => e.int_bytes(&decimal_to_bytes(text(body))),
                },
            },
            "float" => float(body).encode(e)?,
            "complex" => e.complex(float(&body[0]), float(&body[1])),
            "str" => text(body).encode(e)?,
            "str_repeat" => {
                text(&body[0]).repeat(usize::try_from(body[1].as_u64().expect("a count")).unwrap()).encode(e)?;
            }
            "bytes" => e.bytes(&unhex(text(body))),
            "bytes_repeat" => {
                e.bytes(&unhex(text(&body[0])).repeat(usize::try_from(body[1].as_u64().expect("a count")).unwrap()));
            }
            "decimal" => e.decimal(text(body))?,
            "uuid" => uuid(text(body), e)?,
            "ellipsis" => e.ellipsis(),
            "datetime" => text(body).parse::<chrono::NaiveDateTime>().expect("a datetime").encode(e)?,
            "datetime_zoned" => {
                let wall = text(&body[0]).parse::<chrono::NaiveDateTime>().expect("a datetime");
                let offset = body[1].as_i64().expect("an offset");
                if text(&body[2]).is_empty() {
                    let seconds = i32::try_from(offset / 1_000_000).expect("less than a day");
                    let zone = chrono::FixedOffset::east_opt(seconds).expect("less than a day");
                    wall.and_local_timezone(zone).single().expect("a fixed offset is never ambiguous").encode(e)?;
                } else {
                    e.datetime_zoned(wall.and_utc().timestamp_micros(), offset, text(&body[2]));
                }
            }
            "date" => text(body).parse::<chrono::NaiveDate>().expect("a date").encode(e)?,
            "time" => e.time(body[0].as_i64().expect("microseconds"), body[1].as_i64()),
            "timedelta" => e.duration(text(body).parse().expect("microseconds")),
            "path_name" => e.path(std::path::Path::new(text(body)))?,
            "list" | "tuple" | "set" | "frozenset" => Self::members(kind, items(body).iter(), e)?,
            "repeat" => {
                let count = usize::try_from(body[2].as_u64().expect("a count")).unwrap();
                Self::members(text(&body[0]), vec![&body[1]; count].into_iter(), e)?;
            }
            "mapping" => {
                e.mapping(items(body).iter().map(|pair| (Described(&pair[0]), Described(&pair[1]))))?;
            }
            "array" => {
                let shape: Vec<usize> = items(&body[1]).iter().map(|n| n.as_u64().expect("a size") as usize).collect();
                e.array(text(&body[0]), &shape, &digest::blake3(&unhex(text(&body[2]))))?;
            }
            "scalar" => e.array_scalar(text(&body[0]), &unhex(text(&body[1]))),
            "reference" => e.reference(text(body)),
            "enum" => e.enum_member(text(&body[0]), text(&body[1])),
            "named" => {
                // The collection right inside is the structure of the value, which limits do not count.
                e.named(text(&body[0]), &Described(&body[1]))?;
            }
            other => panic!("no such kind of value: {other}"),
        }
        Ok(())
    }
}

#[cfg(feature = "uuid")]
fn uuid(text: &str, e: &mut KeyEncoder) -> Result<()> {
    text.parse::<uuid::Uuid>().expect("a UUID").encode(e)
}

#[cfg(not(feature = "uuid"))]
fn uuid(text: &str, e: &mut KeyEncoder) -> Result<()> {
    e.uuid(&unhex(&text.replace('-', "")).try_into().expect("sixteen bytes"));
    Ok(())
}

/// Two's complement, big-endian, of any decimal integer: schoolbook, for the vectors beyond 128 bits.
fn decimal_to_bytes(text: &str) -> Vec<u8> {
    let mut magnitude = vec![0_u8; 64];
    for digit in text.trim_start_matches('-').bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in magnitude.iter_mut().rev() {
            let value = u16::from(*byte) * 10 + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
    }
    if text.starts_with('-') {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (value, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (value, overflow);
        }
    }
    magnitude
}

#[test]
fn every_vector_has_its_encoding_key_and_fingerprint() {
    let vectors = vectors();
    assert!(vectors.len() >= 80, "{} vectors", vectors.len());
    let mut built = 0;
    for vector in &vectors {
        let name = text(&vector["name"]);
        let encoding = unhex(text(&vector["encoding"]));
        decode(&encoding).unwrap_or_else(|error| panic!("{name}: {error}"));
        render(&encoding).unwrap_or_else(|error| panic!("{name}: {error}"));
        let derived = EncodedKey::from_encoding(encoding);
        assert_eq!(derived.key.to_hex(), text(&vector["key"]), "{name}");
        assert_eq!(derived.fingerprint.to_vec(), unhex(text(&vector["fingerprint"])), "{name}");
        if let Some(described) = vector["params"].as_array() {
            let mut params = cacheness_core::key::Params::new();
            for pair in described {
                params = params.with(text(&pair[0]), Described(&pair[1]));
            }
            assert_eq!(params.key(&config()).unwrap_or_else(|error| panic!("{name}: {error}")), derived, "{name}");
            built += 1;
        }
    }
    assert!(built >= 80, "{built} vectors were built here");
}

#[test]
fn vectors_differ_from_each_other_unless_they_say_the_same() {
    let mut seen = std::collections::HashMap::new();
    for vector in vectors().iter().filter(|vector| vector["params"].is_array()) {
        let former = seen.insert(text(&vector["encoding"]).to_owned(), vector["params"].to_string());
        assert!(former.is_none(), "{former:?} and {}", vector["params"]);
    }
}

#[test]
fn the_macro_gives_the_key_of_the_vector() {
    let vectors = vectors();
    let find = |name: &str| -> CacheKey {
        let vector = vectors.iter().find(|vector| vector["name"] == name).expect("a vector of this name");
        text(&vector["key"]).parse().expect("a key")
    };
    assert_eq!(key(params! { model: "xgboost", fold: 3 }).key, find("model and fold"));
    assert_eq!(key(params! { fold: 3_u8, "model": String::from("xgboost") }).key, find("model and fold"));
    assert_eq!(key(params! {}).key, find("no parameters"));
    assert_eq!(key(params! { x: [1.0_f64, 2.5, -3.0].as_slice().len() as u8 - 3 }).key, find("int 0"));
}

#[cfg(feature = "ndarray")]
#[test]
fn ndarray_gives_the_key_of_the_vector() {
    let vectors = vectors();
    let find = |name: &str| vectors.iter().find(|vector| vector["name"] == name).expect("a vector")["key"].clone();
    let check = |params: cacheness_core::key::Params<'_>, name: &str| {
        assert_eq!(key(params).key.to_hex(), text(&find(name)), "{name}");
    };
    check(params! { x: ndarray::arr1(&[1.0_f64, 2.5, -3.0]) }, "array");
    let rows = ndarray::arr2(&[[1_i32, 2, 3], [4, 5, 6]]);
    check(params! { x: rows }, "array of two dimensions");
    let columns = ndarray::arr2(&[[1_i32, 4], [2, 5], [3, 6]]);
    check(params! { x: columns.t() }, "array of two dimensions");
    check(params! { x: ndarray::arr0(7_u8) }, "array without dimensions");
    check(params! { x: ndarray::Array2::<f32>::zeros((0, 5)) }, "array without items");
    check(params! { x: ndarray::arr1(&[true, false, false, true]) }, "array of bool");
}
