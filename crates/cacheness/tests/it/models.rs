//! Typed metadata: models, their tables in both languages, and queries.

use std::path::Path;
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::serde_json::{Value, json};
use cacheness::{
    Clock, ColumnValue, Compared, Entries, ErrorKind, MetadataModel, ModelQuery, ModelRow, Timestamp, core, sql,
};

use crate::python::python;

#[derive(Clone, Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_experiments")]
struct Experiment {
    #[metadata(unique)]
    name: String,
    #[metadata(index)]
    accuracy: f64,
    epochs: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, MetadataModel)]
struct RunTiming {
    seconds: f32,
}

/// Without optional columns, in a table that the derive names.
#[derive(Clone, Debug, PartialEq, MetadataModel)]
struct Everything {
    small: i8,
    signed: i64,
    unsigned: u64,
    index: usize,
    double: f64,
    single: f32,
    flag: bool,
    text: String,
    data: Vec<u8>,
    at: Timestamp,
    config: Value,
    stage: Stage,
    #[metadata(rename = "where")]
    r#where: Option<String>,
    maybe: Option<f64>,
    when: Option<Timestamp>,
    notes: Option<Value>,
    #[metadata(skip)]
    scratch: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Test,
    Production,
}

impl ColumnValue for Stage {
    type Value = Self;
    const TYPE: core::backend::ColumnType = core::backend::ColumnType::Text;

    fn to_column(&self) -> cacheness::Result<core::formats::plain::Value> {
        Ok(if *self == Self::Test { "test" } else { "production" }.into())
    }

    fn from_column(value: cacheness::SqlValue) -> cacheness::Result<Self> {
        match String::from_column(value)?.as_str() {
            "test" => Ok(Self::Test),
            "production" => Ok(Self::Production),
            other => Err(cacheness::Error::new(ErrorKind::Serialization, format!("{other:?} is no stage"))),
        }
    }
}

impl Compared for Stage {}

fn everything() -> Everything {
    Everything {
        small: -128,
        signed: i64::MIN,
        unsigned: i64::MAX.cast_unsigned(),
        index: 0,
        double: -0.1,
        single: 0.1,
        flag: true,
        text: "it's \"ключ\" 😀".into(),
        data: vec![0, 255],
        at: Timestamp(1_795_176_000_000_001),
        config: json!({ "depth": 3, "rates": [0.1, null] }),
        stage: Stage::Production,
        r#where: Some(String::new()),
        maybe: Some(f64::NEG_INFINITY),
        when: Some(Timestamp(-1)),
        notes: Some(Value::Null),
        scratch: Vec::new(),
    }
}

fn open(dir: &Path) -> Cache {
    Cache::open(dir).unwrap()
}

/// A cache in a directory of its own, and a clock that stands.
fn cache() -> (tempfile::TempDir, Cache, Clock) {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = crate::cache_at(dir.path(), cacheness::CacheConfig::default());
    (dir, cache, clock)
}

fn experiment(name: &str, accuracy: f64) -> Experiment {
    Experiment { name: name.into(), accuracy, epochs: None }
}

fn put(cache: &Cache, fold: i32, row: &Experiment) -> cacheness::Result<String> {
    cache.put_with(&fold, params! { fold: fold }, &[row])
}

fn names(query: &ModelQuery<'_, Experiment>) -> Vec<String> {
    query.all().unwrap().into_iter().map(|row| row.name).collect()
}

#[test]
fn every_type_comes_back() {
    let (_dir, cache, _) = cache();
    let full = everything();
    let empty = Everything {
        small: 127,
        signed: i64::MAX,
        unsigned: 0,
        index: 1 << 40,
        double: f64::MAX,
        single: f32::MIN_POSITIVE,
        flag: false,
        text: String::new(),
        data: Vec::new(),
        at: Timestamp::LAST_DATE,
        config: json!("12"),
        stage: Stage::Test,
        r#where: None,
        maybe: None,
        when: None,
        notes: None,
        scratch: Vec::new(),
    };
    let scratched = Everything { scratch: vec![1], ..full.clone() };
    let key = cache.put_with(&1, params! { x: 1 }, &[&scratched, &empty]).unwrap();
    assert_eq!(key, cache.entry_key(params! { x: 1 }).unwrap().as_str(), "as a put returns it");
    let rows = cache.query::<Everything>().with_keys().unwrap();
    assert_eq!(rows, [(key.clone(), full.clone()), (key, empty.clone())]);
    assert_eq!(Everything::schema().unwrap().name, "custom_everything");
    let query = || cache.query::<Everything>();
    for (condition, expected) in [
        (Everything::stage().eq(Stage::Test), &empty),
        (Everything::config().is_not_null() & Everything::flag().eq(true), &full),
        (Everything::r#where().eq(""), &full),
        (Everything::r#where().is_null(), &empty),
        (!Everything::r#where().eq(""), &empty),
        (Everything::data().eq(&[0, 255][..]), &full),
        (Everything::at().lt(Timestamp::LAST_DATE), &full),
        (Everything::single().eq(0.1), &full),
        (Everything::text().contains("ключ"), &full),
        (Everything::signed().le(i64::MIN), &full),
        (Everything::small().is_in([127, 5]), &empty),
        (Everything::when().lt(Timestamp(0)), &full),
        (Everything::id().gt(1), &empty),
    ] {
        assert_eq!(query().filter(condition.clone()).all().unwrap(), std::slice::from_ref(expected), "{condition:?}");
    }
    assert_eq!(query().min(Everything::at()).unwrap(), Some(full.at));
    assert_eq!(query().max(Everything::stage()).unwrap(), Some(Stage::Test));
    assert_eq!(query().min(Everything::maybe()).unwrap(), Some(f64::NEG_INFINITY));
    assert_eq!(query().max(Everything::single()).unwrap(), Some(0.1));
    assert_eq!(query().avg(Everything::small()).unwrap(), Some(-0.5));
}

#[test]
fn a_value_that_a_column_cannot_keep_is_named() {
    let (_dir, cache, _) = cache();
    let base = everything();
    let wrong = [
        (Everything { double: f64::NAN, ..base.clone() }, "custom_everything.double"),
        (Everything { single: f32::NAN, ..base.clone() }, "custom_everything.single"),
        (Everything { maybe: Some(f64::NAN), ..base.clone() }, "custom_everything.maybe"),
        (Everything { unsigned: 1 << 63, ..base.clone() }, "custom_everything.unsigned"),
        (Everything { at: Timestamp(i64::MAX), ..base.clone() }, "custom_everything.at"),
        (Everything { when: Some(Timestamp(i64::MIN)), ..base.clone() }, "custom_everything.when"),
        (Everything { config: json!(0.5), ..base.clone() }, "custom_everything.config"),
        (Everything { notes: Some(json!(u64::MAX)), ..base.clone() }, "custom_everything.notes"),
    ];
    for (row, column) in wrong {
        let error = cache.put_with(&1, params! { x: 1 }, &[&base, &row]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().starts_with(&format!("{column}: ")), "{error}");
        assert!(!cache.exists(params! { x: 1 }).unwrap());
    }
    assert_eq!(cache.query::<Everything>().count().unwrap(), 0);
    let query = cache.query::<Everything>().filter(Everything::unsigned().ge(u64::MAX));
    let errors = [
        query.count().unwrap_err(),
        query.all().unwrap_err(),
        cache.query::<Everything>().filter(Everything::maybe().ne(f64::NAN)).first().unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::InvalidInput), "{errors:?}");
    assert!(errors[0].to_string().contains("unsigned"), "{}", errors[0]);
}

#[test]
fn queries() {
    let (_dir, cache, clock) = cache();
    for (fold, accuracy) in [(0, 0.9), (1, 0.5), (2, 0.95), (3, 0.5)] {
        let row =
            Experiment { epochs: (fold % 2 == 0).then_some(fold), ..experiment(&format!("fold {fold}"), accuracy) };
        let options = PutOptions::new().custom_metadata([&row]).tags(["ridge"]).description("a fold");
        cache.put_with(&fold, params! { fold: fold }, options).unwrap();
        clock.advance(1_000_000);
    }
    let all = || cache.query::<Experiment>();
    assert_eq!(names(&all()), ["fold 0", "fold 1", "fold 2", "fold 3"], "in the order of their puts");
    let good = all().filter(Experiment::accuracy().ge(0.9)).order_by(Experiment::accuracy().desc());
    assert_eq!(names(&good), ["fold 2", "fold 0"]);
    assert_eq!((good.count().unwrap(), good.clone().limit(1).count().unwrap()), (2, 2));
    assert_eq!(names(&good.clone().limit(1)), ["fold 2"]);
    assert_eq!(names(&good.clone().offset(1).limit(5)), ["fold 0"]);
    assert_eq!(good.first().unwrap().unwrap().name, "fold 2");
    assert_eq!(good.clone().limit(0).first().unwrap(), None);
    // Equal rows are in the order of their puts.
    assert_eq!(names(&all().order_by(Experiment::accuracy().asc())), ["fold 1", "fold 3", "fold 0", "fold 2"]);
    let by_epochs = all().order_by(Experiment::epochs().desc()).order_by(Experiment::name().desc());
    assert_eq!(names(&by_epochs), ["fold 2", "fold 0", "fold 3", "fold 1"], "NULL is last");
    assert_eq!(names(&all().filter(Experiment::epochs().ne(0))), ["fold 1", "fold 2", "fold 3"]);
    assert_eq!(names(&all().filter(Experiment::epochs().not_in([0, 2]))), ["fold 1", "fold 3"]);
    let either = Experiment::name().eq("fold 1") | Experiment::name().eq("fold 2".to_owned());
    assert_eq!(names(&all().filter(either.clone() | Experiment::accuracy().gt(0.94))), ["fold 1", "fold 2"]);
    assert_eq!(names(&all().filter(either).filter(Experiment::accuracy().lt(0.9))), ["fold 1"]);
    assert_eq!(all().min(Experiment::accuracy()).unwrap(), Some(0.5));
    assert_eq!(good.avg(Experiment::accuracy()).unwrap(), Some(0.925));
    assert_eq!(all().avg(Experiment::epochs()).unwrap(), Some(1.0));
    assert_eq!(all().filter(Experiment::name().eq("none")).max(Experiment::epochs()).unwrap(), None);
    // Entries.
    assert_eq!(names(&all().of_entry(params! { fold: 2 })), ["fold 2"]);
    assert!(names(&all().of_entry(params! { fold: 9 })).is_empty());
    let late = Entries::created_at().ge(Timestamp(1_700_000_002_000_000));
    assert_eq!(names(&all().filter(late)), ["fold 2", "fold 3"]);
    assert_eq!(names(&all().order_by(Entries::created_at().desc()).limit(1)), ["fold 3"]);
    assert_eq!(all().max(Entries::created_at()).unwrap(), Some(Timestamp(1_700_000_003_000_000)));
    assert_eq!(all().filter(Entries::description().starts_with("a fo")).count().unwrap(), 4);
    assert_eq!(all().filter(Entries::expires_at().is_null()).count().unwrap(), 4, "none expires");
    for (row, entry) in all().with_entries().unwrap() {
        assert_eq!((entry.metadata()["tags"].clone(), entry.is_inline()), (json!(["ridge"]), true));
        let fold: i32 = cache.get(Named(entry.key())).unwrap().unwrap();
        assert_eq!(row.name, format!("fold {fold}"));
        assert_eq!(names(&all().filter(Experiment::cache_key().eq(entry.key()))), [row.name]);
    }
}

#[test]
fn models_are_joined_by_their_entry() {
    let (_dir, cache, _) = cache();
    for (fold, seconds) in [(0, 1.5), (1, 2.5), (2, 3.5)] {
        let (row, timing) = (experiment(&format!("fold {fold}"), f64::from(fold)), RunTiming { seconds });
        cache.put_with(&fold, params! { fold: fold }, &[&row as &dyn ModelRow, &timing]).unwrap();
    }
    put(&cache, 3, &experiment("without a timing", 3.0)).unwrap();
    let joined = cache.query::<Experiment>().join::<RunTiming>();
    let slow = joined.filter(RunTiming::seconds().gt(2.0)).filter(Experiment::accuracy().lt(5.0));
    let rows = slow.clone().order_by(RunTiming::seconds().desc()).all().unwrap();
    let expected = [2, 1]
        .map(|fold| (experiment(&format!("fold {fold}"), f64::from(fold)), RunTiming { seconds: fold as f32 + 1.5 }));
    assert_eq!(rows, expected);
    assert_eq!(slow.count().unwrap(), 2);
    assert_eq!(slow.avg(Experiment::accuracy()).unwrap(), Some(1.5));
    assert_eq!(slow.max(RunTiming::seconds()).unwrap(), Some(3.5));
    let with_entries = slow.filter(Entries::data_type().eq("plain")).with_entries().unwrap();
    assert_eq!(with_entries.len(), 2);
    // Three of them: none has everything.
    let three = cache.query::<Experiment>().join::<RunTiming>().join::<Everything>();
    let three = three.filter(Experiment::accuracy().ge(0.0)).filter(RunTiming::seconds().ge(0.0));
    assert!(three.filter(Everything::flag().eq(true)).all().unwrap().is_empty());
}

#[test]
fn a_violated_constraint_changes_nothing() {
    let (_dir, cache, _) = cache();
    put(&cache, 0, &experiment("a", 0.5)).unwrap();
    put(&cache, 1, &experiment("b", 0.6)).unwrap();
    let error = cache.put_with(&9, params! { fold: 1 }, &[&experiment("c", 0.7), &experiment("a", 0.7)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(error.to_string().contains("custom_experiments.name"), "{error}");
    assert_eq!(cache.get::<i32>(params! { fold: 1 }).unwrap(), Some(1));
    assert_eq!(cache.query::<Experiment>().all().unwrap(), [experiment("a", 0.5), experiment("b", 0.6)]);
    // What an entry's former row has is free.
    put(&cache, 1, &experiment("b", 0.8)).unwrap();
    assert_eq!(cache.query::<Experiment>().max(Experiment::accuracy()).unwrap(), Some(0.8));
}

#[test]
fn rows_go_with_their_entry() {
    type Leave = fn(&Cache, &Clock);
    let ways: [(&str, Leave); 9] = [
        ("invalidate", |cache, _| assert!(cache.invalidate(params! { fold: 1 }).unwrap())),
        ("put without rows", |cache, _| drop(cache.put(&2, params! { fold: 1 }).unwrap())),
        ("put with a row", |cache, _| drop(put(cache, 1, &experiment("kept", 9.0)).unwrap())),
        ("update_data", |cache, _| assert!(cache.update_data(&2, params! { fold: 1 }, None).unwrap())),
        ("delete_batch", |cache, _| assert_eq!(cache.delete_batch([params! { fold: 1 }]).unwrap(), 1)),
        ("delete_filtered", |cache, _| assert_eq!(cache.delete_filtered(&param("fold").eq(1)).unwrap(), 1)),
        ("delete_where", |cache, _| {
            let key = cache.entry_key(params! { fold: 1 }).unwrap();
            assert_eq!(cache.delete_where(|entry| entry.key() == key.as_str()).unwrap(), 1);
        }),
        ("expire", |cache, clock| {
            assert!(cache.touch(params! { fold: 1 }, Some(Duration::from_secs(1))).unwrap());
            clock.advance(2_000_000);
            assert_eq!(cache.query::<Experiment>().count().unwrap(), 3, "rows of an expired entry are there");
            assert_eq!(cache.cleanup_expired().unwrap(), 1);
        }),
        ("clear", |cache, _| {
            assert_eq!(cache.clear().unwrap(), 2);
            put(cache, 0, &experiment("kept", 9.0)).unwrap();
        }),
    ];
    for (way, leave) in ways {
        let (_dir, cache, clock) = cache();
        if way != "put with a row" {
            put(&cache, 0, &experiment("kept", 9.0)).unwrap();
        } else {
            put(&cache, 0, &experiment("other", 9.0)).unwrap();
            cache.invalidate(params! { fold: 0 }).unwrap();
            put(&cache, 0, &experiment("first", 9.0)).unwrap();
            cache.put(&0, params! { fold: 0 }).unwrap();
        }
        cache.put_with(&1, params! { fold: 1 }, &[&experiment("a", 0.1), &experiment("b", 0.2)]).unwrap();
        leave(&cache, &clock);
        assert_eq!(names(&cache.query::<Experiment>()), ["kept"], "{way}");
    }
    // Eviction.
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).max_entries(2).open().unwrap();
    for fold in 0..6 {
        put(&cache, fold, &experiment(&format!("{fold}"), 0.5)).unwrap();
    }
    let left = cache.list_entries().unwrap().len();
    assert!(left <= 2);
    assert_eq!(cache.query::<Experiment>().with_entries().unwrap().len(), left);
    assert_eq!(cache.query::<Experiment>().count().unwrap(), left as u64);
}

#[test]
fn other_backends_say_that_they_keep_no_tables() {
    let dir = tempfile::tempdir().unwrap();
    let caches = [
        Cache::builder().in_memory().open().unwrap(),
        Cache::builder().in_memory().metadata_backend("sqlite_memory").open().unwrap(),
        Cache::builder().directory(dir.path()).metadata_backend("json").open().unwrap(),
    ];
    for cache in caches {
        let errors =
            [put(&cache, 0, &experiment("a", 0.5)).unwrap_err(), cache.query::<Experiment>().count().unwrap_err()];
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert_eq!(error.to_string(), errors[0].to_string());
            assert!(error.to_string().contains("custom_experiments") && error.hint().is_some(), "{error:?}");
        }
        assert!(!cache.exists(params! { fold: 0 }).unwrap());
    }
}

#[test]
fn a_read_only_cache_is_queried() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    put(&cache, 0, &experiment("a", 0.5)).unwrap();
    let reader = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    assert_eq!(reader.query::<Experiment>().all().unwrap(), [experiment("a", 0.5)]);
    assert_eq!(put(&reader, 1, &experiment("b", 0.5)).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(reader.query::<RunTiming>().all().unwrap_err().kind(), ErrorKind::ReadOnly);
    cache.close().unwrap();
    assert_eq!(cache.query::<Experiment>().all().unwrap_err().kind(), ErrorKind::Closed);
}

/// The same table as its model grows.
mod grown {
    use super::{MetadataModel, Timestamp};

    #[derive(Debug, PartialEq, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    #[metadata(index(accuracy, seed))]
    pub(super) struct Experiment {
        #[metadata(unique)]
        pub(super) name: String,
        #[metadata(index)]
        pub(super) accuracy: f64,
        pub(super) epochs: Option<u32>,
        pub(super) note: Option<String>,
        #[metadata(default = 42, index)]
        pub(super) seed: u64,
        #[metadata(default = "ридж")]
        pub(super) model: String,
        #[metadata(default)]
        pub(super) flag: bool,
        #[metadata(default = Timestamp(0))]
        pub(super) since: Timestamp,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct WithoutDefault {
        pub(super) name: String,
        pub(super) rate: f64,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct OfAnotherType {
        pub(super) name: Vec<u8>,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Optional {
        pub(super) accuracy: Option<f64>,
    }

    #[derive(Debug, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Keyed {
        #[metadata(primary_key)]
        pub(super) name: String,
    }

    /// Fewer columns.
    #[derive(Debug, PartialEq, MetadataModel)]
    #[metadata(table = "custom_experiments")]
    pub(super) struct Names {
        pub(super) name: String,
    }
}

#[test]
fn a_table_grows_with_its_model() {
    let (dir, cache, _) = cache();
    put(&cache, 0, &experiment("old", 0.5)).unwrap();
    let old = grown::Experiment {
        name: "old".into(),
        accuracy: 0.5,
        epochs: None,
        note: None,
        seed: 42,
        model: "ридж".into(),
        flag: false,
        since: Timestamp(0),
    };
    assert_eq!(cache.query::<grown::Experiment>().all().unwrap(), [old]);
    // The former model goes on, in this process and another.
    put(&cache, 1, &experiment("new", 0.6)).unwrap();
    put(&open(dir.path()), 2, &experiment("newer", 0.7)).unwrap();
    let flags = cache.query::<grown::Experiment>().filter(grown::Experiment::seed().eq(42_u64));
    assert_eq!(flags.count().unwrap(), 3);
    assert_eq!(cache.query::<grown::Names>().first().unwrap(), Some(grown::Names { name: "old".into() }));
    let error = cache.put_with(&1, params! { x: 1 }, &[&grown::Names { name: "y".into() }]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
    assert!(error.to_string().contains("custom_experiments.accuracy"), "{error}");
    fn impossible<M: MetadataModel>(cache: &Cache, what: &str, hint: &str) {
        let error = cache.query::<M>().count().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(what), "{error}");
        let found = error.hint().unwrap();
        assert!(found.contains(hint) && found.contains("DROP TABLE \"custom_experiments\""), "{found}");
    }
    impossible::<grown::WithoutDefault>(&cache, "lacks the column rate", "give it a default");
    impossible::<grown::OfAnotherType>(&cache, "the column name of type VARCHAR", "another name");
    impossible::<grown::Optional>(&cache, "the column accuracy, which must not be null", "no Option");
    impossible::<grown::Keyed>(&cache, "another primary key", "another table");
}

#[derive(Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_folds", unique(seed, cache_key))]
struct Fold {
    #[metadata(primary_key)]
    run: String,
    #[metadata(primary_key)]
    fold: u8,
    seed: i16,
}

#[test]
fn a_primary_key_of_its_own() {
    let (_dir, cache, _) = cache();
    let fold = |run: &str, fold, seed| Fold { run: run.into(), fold, seed };
    cache.put_with(&1, params! { x: 1 }, &[&fold("b", 2, 1), &fold("a", 9, 2), &fold("b", 1, 3)]).unwrap();
    let rows = cache.query::<Fold>().all().unwrap();
    assert_eq!(rows, [fold("a", 9, 2), fold("b", 1, 3), fold("b", 2, 1)], "in the order of the key");
    let twice = cache.put_with(&1, params! { x: 2 }, &[&fold("a", 9, 5)]).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Constraint);
    let twice = cache.put_with(&1, params! { x: 2 }, &[&fold("c", 1, 5), &fold("c", 2, 5)]).unwrap_err();
    assert!(twice.to_string().contains("custom_folds.seed"), "{twice}");
}

const PYTHON_MODELS: &str = r#"
import datetime
from typing import Any
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, LargeBinary, Numeric, String, inspect
from cacheness.custom_metadata import CustomMetadataBase, custom_metadata_model
from cacheness.metadata import Base

@custom_metadata_model("trials")
class Trial(Base, CustomMetadataBase):
    __tablename__ = "custom_trials"
    name = Column(String(100), nullable=False, unique=True)
    accuracy = Column(Float, index=True, nullable=False)
    epochs = Column(Integer)
    price = Column(Numeric(12, 3))
    flag = Column(Boolean, nullable=False)
    data = Column(LargeBinary)
    at = Column(DateTime, nullable=False)
    config = Column(JSON)

class Duration(Base, CustomMetadataBase):
    __tablename__ = "custom_run_timing"
    seconds = Column(Float, nullable=False)
"#;

/// The model of Python's `Trial`.
#[derive(Clone, Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_trials")]
struct Trial {
    #[metadata(unique)]
    name: String,
    #[metadata(index)]
    accuracy: f64,
    epochs: Option<i64>,
    price: Option<f64>,
    flag: bool,
    data: Option<Vec<u8>>,
    at: Timestamp,
    config: Option<Value>,
}

fn trial() -> Trial {
    Trial {
        name: "ключ 'x'".into(),
        accuracy: 0.1,
        epochs: Some(i64::MAX),
        price: Some(2.5),
        flag: true,
        data: Some(vec![0, 255]),
        at: Timestamp(1_709_209_801_999_999),
        config: Some(json!({ "a": [1, null, { "b": 0.5 }] })),
    }
}

fn bare() -> Trial {
    let (name, at) = ("bare".into(), Timestamp(0));
    Trial { name, accuracy: 1.0, epochs: None, price: None, flag: false, data: None, at, config: None }
}

#[test]
fn rust_reads_the_tables_of_python() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "{PYTHON_MODELS}\n\
         cache.put(1, x=1, custom_metadata=[\n\
         \x20   Trial(name=\"ключ 'x'\", accuracy=0.1, epochs=2**63 - 1, price=2.5, flag=True, data=b'\\0\\xff',\n\
         \x20         at=datetime.datetime(2024, 2, 29, 12, 30, 1, 999999), config={{'a': [1, None, {{'b': 0.5}}]}}),\n\
         \x20   Duration(seconds=1.5)])\n\
         cache.put(2, x=2, custom_metadata=[Trial(name='bare', accuracy=1, flag=False, at=datetime.datetime(1970, 1, 1))])\n\
         with cache.session() as session:\n\
         \x20   from sqlalchemy import text\n\
         \x20   session.execute(text(\"UPDATE custom_trials SET config = NULL WHERE name = 'bare'\"))\n\
         \x20   session.commit()\n"
    );
    python(dir.path(), &script);
    let cache = open(dir.path());
    assert_eq!(cache.query::<Trial>().all().unwrap(), [trial(), bare()]);
    let joined = cache.query::<Trial>().join::<RunTiming>().all().unwrap();
    assert_eq!(joined, [(trial(), RunTiming { seconds: 1.5 })]);
    let late = cache.query::<Trial>().filter(Trial::at().ge(Timestamp(1_709_209_801_999_999)));
    assert_eq!(late.max(Trial::price()).unwrap(), Some(2.5));
    // Rust writes into it, its constraints hold, and rows of Python go with their entry.
    let other = Trial { name: "of Rust".into(), ..trial() };
    cache.put_with(&3, params! { x: 3 }, &[&other]).unwrap();
    let error = cache.put_with(&4, params! { x: 4 }, &[&bare()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert!(cache.invalidate(params! { x: 1 }).unwrap());
    assert_eq!(cache.query::<Trial>().all().unwrap(), [bare(), other]);
    assert_eq!(cache.query::<RunTiming>().count().unwrap(), 0);
}

#[test]
fn python_reads_the_tables_of_rust() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path());
    cache.put_with(&1, params! { x: 1 }, &[&trial() as &dyn ModelRow, &RunTiming { seconds: 1.5 }]).unwrap();
    cache.put_with(&2, params! { x: 2 }, &[&bare()]).unwrap();
    let script = format!(
        "{PYTHON_MODELS}\n\
         one, two = cache.query_custom('trials')\n\
         assert (one.name, one.accuracy, one.epochs, float(one.price), one.flag) == (\"ключ 'x'\", 0.1, 2**63 - 1, 2.5, True)\n\
         assert (one.data, one.at) == (b'\\0\\xff', datetime.datetime(2024, 2, 29, 12, 30, 1, 999999)), one.at\n\
         assert one.config == {{'a': [1, None, {{'b': 0.5}}]}}, one.config\n\
         assert (two.epochs, two.price, two.data, two.config, two.flag) == (None, None, None, None, False)\n\
         assert one.cache_key == cache.cache_key(x=1) and (one.id, two.id) == (1, 2)\n\
         assert cache.get_custom_metadata_for_entry(x=1)['trials'].name == one.name\n\
         with cache.query_custom_session('trials') as query:\n\
         \x20   assert query.filter(Trial.at >= datetime.datetime(2024, 1, 1)).count() == 1\n\
         # The table has what Python would have made.\n\
         found = inspect(cache.metadata_backend.engine)\n\
         def shape(table):\n\
         \x20   columns = {{c['name']: (str(c['type']), c['nullable']) for c in found.get_columns(table)}}\n\
         \x20   keys = [(k['constrained_columns'], k['referred_table'], k['options']) for k in found.get_foreign_keys(table)]\n\
         \x20   indexes = sorted((i['name'].replace(table, ''), i['column_names'], i['unique']) for i in found.get_indexes(table))\n\
         \x20   unique = [u['column_names'] for u in found.get_unique_constraints(table)]\n\
         \x20   return columns, keys, indexes, unique, found.get_pk_constraint(table)['constrained_columns']\n\
         of_rust = shape('custom_trials')\n\
         class Again(Base, CustomMetadataBase):\n\
         \x20   __tablename__ = 'custom_again'\n\
         \x20   name = Column(String, nullable=False, unique=True)\n\
         \x20   accuracy = Column(Float, index=True, nullable=False)\n\
         \x20   epochs = Column(Integer)\n\
         \x20   price = Column(Float)\n\
         \x20   flag = Column(Boolean, nullable=False)\n\
         \x20   data = Column(LargeBinary)\n\
         \x20   at = Column(DateTime, nullable=False)\n\
         \x20   config = Column(JSON)\n\
         cache._make_ready({{Again}})\n\
         found = inspect(cache.metadata_backend.engine)\n\
         assert of_rust == shape('custom_again'), (of_rust, shape('custom_again'))\n\
         cache.put(3, x=3, custom_metadata=Trial(name='of Python', accuracy=0.5, flag=True, at=datetime.datetime(2000, 1, 1)))\n\
         from cacheness.errors import CacheConstraintError\n\
         try:\n\
         \x20   cache.put(4, x=4, custom_metadata=Trial(name='bare', accuracy=0.5, flag=True, at=datetime.datetime(2000, 1, 1)))\n\
         \x20   raise SystemExit('not refused')\n\
         except CacheConstraintError as error:\n\
         \x20   assert 'custom_trials.name' in str(error)\n\
         assert cache.invalidate(x=1)\n"
    );
    python(dir.path(), &script);
    let names: Vec<String> = cache.query::<Trial>().all().unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["bare", "of Python"]);
    assert_eq!(cache.query::<RunTiming>().count().unwrap(), 0);
}

#[test]
fn a_table_that_another_program_has_dropped_is_made_again() {
    let (_dir, cache, _) = cache();
    let session = sql::session(cache.engine().store()).unwrap();
    let drop_it = || {
        session.execute("DROP TABLE custom_experiments", &[], 0, &mut || true).unwrap();
        session.commit(&mut || true).unwrap();
    };
    put(&cache, 0, &experiment("a", 0.5)).unwrap();
    drop_it();
    assert_eq!(put(&cache, 0, &experiment("b", 0.5)).unwrap_err().kind(), ErrorKind::Metadata);
    put(&cache, 0, &experiment("b", 0.5)).unwrap();
    drop_it();
    assert_eq!(cache.query::<Experiment>().all().unwrap_err().kind(), ErrorKind::Metadata);
    assert_eq!(cache.query::<Experiment>().count().unwrap(), 0);
    assert_eq!(cache.get::<i32>(params! { fold: 0 }).unwrap(), Some(0));
}

#[test]
fn a_value_of_another_type_is_named() {
    let (_dir, cache, _) = cache();
    put(&cache, 0, &experiment("a", 0.5)).unwrap();
    let session = sql::session(cache.engine().store()).unwrap();
    let run = |statement: &str| {
        session.execute(statement, &[], 0, &mut || true).unwrap();
        session.commit(&mut || true).unwrap();
    };
    run("UPDATE custom_experiments SET epochs = -1");
    let error = cache.query::<Experiment>().all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert_eq!(error.to_string(), "custom_experiments.epochs: -1 is no u32");
    run("UPDATE custom_experiments SET epochs = NULL, accuracy = 'high'");
    let error = cache.query::<Experiment>().all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialization);
    assert_eq!(error.to_string(), "custom_experiments.accuracy: a text is no floating-point number");
    // A table of another program that belongs to no entries.
    run("CREATE TABLE custom_run_timing (id INTEGER PRIMARY KEY, cache_key TEXT NOT NULL, seconds FLOAT NOT NULL)");
    let error = cache.query::<RunTiming>().all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("no column cache_key that is a foreign key on cache_entries"), "{error}");
}
