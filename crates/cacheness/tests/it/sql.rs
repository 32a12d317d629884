//! Queries in SQL through the typed API.

use std::time::Duration;

use arrow::array::{AsArray, RecordBatchReader};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use cacheness::prelude::*;
use cacheness::{Cancel, Clock, ErrorKind, OpenMode, Place, QueryOptions, SqlValue, StoreConfig, Timestamp};
use serde_json::json;

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

fn filled(path: &std::path::Path) -> Cache {
    let cache = Cache::open(path).unwrap();
    for fold in 0..3 {
        let options = PutOptions::new().metadata(json!({ "accuracy": 0.9 + f64::from(fold) / 100.0 }));
        cache.put_with(fold, params! { model: "ridge", fold: fold }, options).unwrap();
    }
    cache
}

#[test]
fn rows_have_typed_values() {
    let dir = tempfile::tempdir().unwrap();
    let cache = filled(dir.path());
    let sql = "SELECT params ->> '$.fold' AS fold, metadata ->> '$.accuracy' AS accuracy, data_type, NULL AS none, \
               x'00ff' AS bytes, pinned FROM entries WHERE accuracy > ?1 ORDER BY fold";
    let rows = cache.query_meta(sql, [0.905]).unwrap();
    assert_eq!((rows.left(), rows.columns().len()), (2, 6));
    let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
    let row = &rows[0];
    assert_eq!(row.get::<u8>("fold").unwrap(), 1);
    assert_eq!(row.get::<f64>("fold").unwrap(), 1.0);
    assert_eq!(row.get::<f64>(1).unwrap(), 0.91);
    assert_eq!(row.get::<String>("data_type").unwrap(), "plain");
    assert_eq!(row.get::<Option<i64>>("none").unwrap(), None);
    assert_eq!(row.get::<Option<Vec<u8>>>("bytes").unwrap(), Some(vec![0, 255]));
    assert!(!row.get::<bool>("pinned").unwrap());
    assert_eq!(row.get::<SqlValue>(3).unwrap(), SqlValue::Null);
    assert_eq!(row.values().len(), 6);
    for error in [
        row.get::<String>("fold").unwrap_err(),
        row.get::<i64>("none").unwrap_err(),
        row.get::<i64>("absent").unwrap_err(),
        row.get::<i64>(6).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let mixed = cache.query_meta("SELECT ?, ?, ?", ("a", None::<i64>, true)).unwrap().next().unwrap().unwrap();
    assert_eq!(format!("{mixed:?}"), r#"{"?": Text("a"), "?": Null, "?": Int(1)}"#);
    let named = cache.query_meta("SELECT :a || :b AS both", [("a", "x"), ("b", "y")]).unwrap().next().unwrap().unwrap();
    assert_eq!(named.get::<String>("both").unwrap(), "xy");
    let since = "SELECT count(*) FROM entries WHERE created >= ?";
    let count =
        |time: Timestamp| cache.query_meta(since, [time]).unwrap().next().unwrap().unwrap().get::<u64>(0).unwrap();
    assert_eq!((count(Timestamp(0)), count(Clock::system().now())), (3, 0));
}

#[test]
fn rows_are_record_batches() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) \
               SELECT i, iif(i = 7, 0.5, i) AS f, iif(i % 2, NULL, 'even') AS t, NULL AS n FROM n";
    let batches = cache.query_meta(sql, ()).unwrap().into_batches(1000).unwrap();
    let schema = batches.schema();
    let kinds: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(kinds, [DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Null]);
    let batches: Vec<_> = batches.collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(batches[2].column(0).as_primitive::<Int64Type>().value(499), 2500);
    assert_eq!(batches[0].column(1).as_primitive::<Float64Type>().value(6), 0.5);
    assert_eq!(batches[0].column(2).as_string::<i32>().value(1), "even");
    assert_eq!(batches[0].column(2).null_count(), 500);
    let empty = cache.query_meta("SELECT cache_key FROM entries", ()).unwrap().into_batches(10).unwrap();
    assert_eq!((empty.schema().fields().len(), empty.count()), (1, 0));
    let mixed = cache.query_meta("SELECT 1 AS a UNION ALL SELECT 'x'", ()).unwrap().into_batches(10);
    assert!(mixed.unwrap_err().to_string().contains("the column a"));
}

#[test]
fn a_query_has_limits() {
    let dir = tempfile::tempdir().unwrap();
    let cache = filled(dir.path());
    let few = cache.query_meta_with(ENDLESS, (), QueryOptions::new().limit(10)).unwrap();
    assert_eq!(few.count(), 10);
    let timeout = QueryOptions::new().timeout(Duration::from_millis(20));
    assert_eq!(cache.query_meta_with(ENDLESS, (), timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    let cancel = Cancel::default();
    let options = QueryOptions::new().cancel(&cancel);
    let error = std::thread::scope(|scope| {
        let asked = scope.spawn(|| cache.query_meta_with(ENDLESS, (), options).unwrap_err());
        cancel.cancel();
        asked.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(cache.query_meta("DROP TABLE entries", ()).unwrap_err().kind(), ErrorKind::InvalidInput);
    cache.close().unwrap();
    assert_eq!(cache.query_meta("SELECT 1", ()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn stores_answer_if_their_backend_has_sql() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).close().unwrap();
    let config = StoreConfig { store_full_metadata: true, ..StoreConfig::default() };
    let store = BlobStore::open_with(&Place::Directory(dir.path().into()), config, OpenMode::ReadOnly).unwrap();
    let sql =
        "SELECT full_metadata ->> '$.model' AS model, full_metadata ->> '$.accuracy' AS accuracy FROM cache_entries";
    for row in store.query_meta(sql, ()).unwrap() {
        let row = row.unwrap();
        assert_eq!(row.get::<String>("model").unwrap(), "ridge");
        assert!(row.get::<f64>("accuracy").unwrap() >= 0.9);
    }
    let json = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(json.path()).metadata_backend("json").open().unwrap();
    let error = cache.query_meta("SELECT 1", ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Capability::sql"), "{error}");
}

#[test]
fn reads_are_recorded_before_a_query() {
    let dir = tempfile::tempdir().unwrap();
    let cache = filled(dir.path());
    for _ in 0..2 {
        cache.get::<i32>(params! { model: "ridge", fold: 1 }).unwrap();
    }
    let counts = cache.query_meta("SELECT sum(access_count) FROM entries", ()).unwrap().next().unwrap().unwrap();
    assert_eq!(counts.get::<i64>(0).unwrap(), 2);
}
