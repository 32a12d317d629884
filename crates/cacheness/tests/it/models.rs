//! Typed metadata: models, their rows and queries; see `model_tables` for their tables.

use std::path::Path;
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::serde_json::{Value, json};
use cacheness::{Clock, ColumnValue, Compared, Entries, ErrorKind, ModelQuery, ModelRow, Timestamp, core, sql};

#[derive(Clone, Debug, PartialEq, MetadataModel)]
#[metadata(table = "custom_experiments")]
pub(crate) struct Experiment {
    #[metadata(unique)]
    name: String,
    #[metadata(index)]
    accuracy: f64,
    epochs: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, MetadataModel)]
pub(crate) struct RunTiming {
    pub(crate) seconds: f32,
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

pub(crate) fn open(dir: &Path) -> Cache {
    Cache::open(dir).unwrap()
}

/// A cache in a directory of its own, and a clock that stands.
pub(crate) fn cache() -> (tempfile::TempDir, Cache, Clock) {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = crate::cache_at(dir.path(), cacheness::CacheConfig::default());
    (dir, cache, clock)
}

pub(crate) fn experiment(name: &str, accuracy: f64) -> Experiment {
    Experiment { name: name.into(), accuracy, epochs: None }
}

pub(crate) fn put(cache: &Cache, fold: i32, row: &Experiment) -> cacheness::Result<String> {
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
