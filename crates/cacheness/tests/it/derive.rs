//! `#[derive(Plain, ToKey)]`, in both languages.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use cacheness::config::SerializationConfig;
use cacheness::prelude::*;
use cacheness::{CacheKey, ErrorKind, Params, ToKey};
use serde::{Deserialize, Serialize};

use crate::python::python;

#[derive(Debug, PartialEq, Serialize, Deserialize, Plain)]
struct Report<T> {
    accuracy: f64,
    parts: BTreeMap<String, T>,
    kind: Kind,
    #[serde(rename = "lambda", default)]
    penalty: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Plain, ToKey)]
#[key(rename = "models.Kind")]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[key(rename = "ELASTIC")]
    Elastic,
    #[key(rename = "RIDGE")]
    Ridge,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, Plain)]
struct Pair(u32, String);

#[derive(Debug, PartialEq, Serialize, Deserialize, Plain)]
#[serde(tag = "shape")]
enum Shape {
    Circle { radius: f64 },
    Nothing,
}

/// A crate that has no serde among its dependencies.
#[derive(Debug, PartialEq, cacheness::serde::Serialize, cacheness::serde::Deserialize, Plain)]
#[serde(crate = "cacheness::serde")]
struct Without {
    serde: bool,
}

#[test]
fn plain_types_are_dictionaries_in_python() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let report = Report {
        accuracy: 0.5,
        parts: BTreeMap::from([("a".to_owned(), 1_u8)]),
        kind: Kind::Ridge,
        penalty: Some(2.5),
    };
    let shapes = vec![Shape::Circle { radius: 1.5 }, Shape::Nothing];
    cache.put(&report, params! { what: "report" }).unwrap();
    cache.put(Pair(7, "b".to_owned()), params! { what: "pair" }).unwrap();
    cache.put(&shapes, params! { what: "shapes" }).unwrap();
    cache.put(Without { serde: false }, params! { what: "without" }).unwrap();
    let script = "assert cache.get(what='report') == {'accuracy': 0.5, 'parts': {'a': 1}, 'kind': 'ridge', 'lambda': 2.5}\n\
                  assert cache.get(what='pair') == [7, 'b']\n\
                  assert cache.get(what='shapes') == [{'shape': 'Circle', 'radius': 1.5}, {'shape': 'Nothing'}]\n\
                  assert cache.get(what='without') == {'serde': False}\n\
                  cache.put({'kind': 'elastic', 'accuracy': 1, 'parts': {}}, what='back')\n";
    python(dir.path(), script);
    assert_eq!(cache.get(params! { what: "report" }).unwrap(), Some(report));
    assert_eq!(cache.get(params! { what: "pair" }).unwrap(), Some(Pair(7, "b".to_owned())));
    assert_eq!(cache.get(params! { what: "shapes" }).unwrap(), Some(shapes));
    assert_eq!(cache.get(params! { what: "without" }).unwrap(), Some(Without { serde: false }));
    let back: Report<String> = cache.get(params! { what: "back" }).unwrap().unwrap();
    assert_eq!(back, Report { accuracy: 1.0, parts: BTreeMap::new(), kind: Kind::Elastic, penalty: None });
}

#[derive(ToKey)]
#[key(rename = "models.Ridge")]
struct Ridge<'a, T> {
    alpha: T,
    #[key(rename = "max_iter")]
    steps: u32,
    r#type: &'a str,
    #[key(skip)]
    #[allow(dead_code)]
    progress: fn(u32),
}

#[derive(ToKey)]
#[key(rename = "models.Metres")]
struct Metres(f64);

#[derive(ToKey)]
#[key(rename = "models.Nothing")]
struct Nothing;

#[derive(ToKey)]
#[key(rename = "models.Loss")]
enum Loss {
    Huber {
        delta: f64,
    },
    Power(i32),
    #[allow(dead_code)]
    Quantile(f64, f64),
}

#[derive(ToKey)]
#[key(transparent)]
struct Id<T> {
    number: u64,
    #[key(skip)]
    _of: PhantomData<T>,
}

const MODELS: &str = r#"
import enum
from dataclasses import dataclass

@dataclass
class Ridge:
    alpha: object
    max_iter: int
    type: str

class Kind(enum.Enum):
    ELASTIC = 1
    RIDGE = 2

class Metres(float):
    pass

@dataclass
class Nothing:
    pass

class Loss:
    @dataclass
    class Huber:
        delta: float

    class Power(int):
        pass
"#;

#[test]
fn both_languages_derive_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path().join("store")).unwrap();
    std::fs::write(dir.path().join("models.py"), MODELS).unwrap();
    let ridge = |alpha: f64| Ridge { alpha: vec![alpha], steps: 3, r#type: "a", progress: |_| () };
    let id = Id { number: 7, _of: PhantomData::<String> };
    cache.put(1, params! { model: ridge(0.5) }).unwrap();
    cache.put(2, params! { kind: Kind::Ridge }).unwrap();
    cache.put(3, params! { far: Metres(2.5) }).unwrap();
    cache.put(4, params! { nothing: Nothing }).unwrap();
    cache.put(5, params! { loss: Loss::Huber { delta: 1.0 } }).unwrap();
    cache.put(6, params! { loss: Loss::Power(2) }).unwrap();
    cache.put(7, params! { id: id }).unwrap();
    cache.put(8, params! { all: (&ridge(1.5), [Kind::Elastic, Kind::Ridge]) }).unwrap();
    let script = format!(
        "sys.path.insert(0, {:?})\nfrom models import *\n\
         expected = [dict(model=Ridge([0.5], 3, 'a')), dict(kind=Kind.RIDGE), dict(far=Metres(2.5)), dict(nothing=Nothing()),\n\
         \x20   dict(loss=Loss.Huber(1.0)), dict(loss=Loss.Power(2)), dict(id=7),\n\
         \x20   dict(all=(Ridge([1.5], 3, 'a'), [Kind.ELASTIC, Kind.RIDGE]))]\n\
         for number, params in enumerate(expected, 1): assert cache.get(**params) == number, params\n",
        dir.path().to_str().unwrap()
    );
    python(&dir.path().join("store"), &script);
}

fn key(value: impl ToKey) -> CacheKey {
    Params::new().with("value", value).key(&SerializationConfig::default()).unwrap().key
}

mod elsewhere {
    #[derive(cacheness::ToKey)]
    pub(super) struct Ridge {
        pub(super) alpha: f64,
    }
}

#[test]
fn types_and_parts_are_told_apart() {
    #[derive(ToKey)]
    struct Ridge {
        alpha: f64,
    }
    #[derive(ToKey)]
    struct Two(f64, f64);
    #[derive(ToKey)]
    struct Pair(f64, f64);
    let all = [
        key(Ridge { alpha: 0.5 }),
        key(Ridge { alpha: 1.5 }),
        key(elsewhere::Ridge { alpha: 0.5 }),
        key(Two(0.5, 0.5)),
        key(Two(0.5, 1.5)),
        key(Pair(0.5, 0.5)),
        key((0.5, 0.5)),
        key(Metres(0.5)),
        key(0.5),
        key(Loss::Power(1)),
        key(Loss::Quantile(0.5, 0.5)),
        key(Loss::Huber { delta: 0.5 }),
        key(Kind::Ridge),
        key(Kind::Elastic),
        key("ELASTIC"),
        key(Nothing),
        key(()),
    ];
    let mut distinct = all.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(key(Id { number: 7, _of: PhantomData::<u8> }), key(7));
    // The name of a type is its path.
    let mut encoder = cacheness::KeyEncoder::new(&SerializationConfig::default());
    cacheness::ToKey::encode(&elsewhere::Ridge { alpha: 0.5 }, &mut encoder).unwrap();
    let encoding = encoder.finish();
    let name = concat!(module_path!(), "::elsewhere::Ridge").as_bytes();
    assert!(encoding.windows(name.len()).any(|part| part == name));
}

#[test]
fn a_part_that_has_no_key_is_named() {
    #[derive(ToKey)]
    struct Model {
        layers: Vec<Layer>,
    }
    #[derive(ToKey)]
    struct Layer {
        weights: std::path::PathBuf,
    }
    let cache = Cache::builder().in_memory().open().unwrap();
    let model = Model { layers: vec![Layer { weights: "/dev/null".into() }] };
    let error = cache.put(1, params! { model: model }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyEncoding);
    assert!(error.to_string().starts_with("params.model.layers[0].weights: "), "{error}");
}
