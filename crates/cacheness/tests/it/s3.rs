//! Stores whose payloads are in a bucket.

use std::path::Path;
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{CacheConfig, ErrorKind, StoreConfig, describe};
use cacheness_core::config::BackendOptions;
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use serde_json::{Value, json};

fn options(value: Value) -> BackendOptions {
    match value {
        Value::Object(options) => options.into(),
        other => panic!("{other} is no map"),
    }
}

fn credentials() -> Value {
    json!({"access_key": ACCESS_KEY, "secret_key": SECRET_KEY})
}

/// By name and options.
fn config(server: &S3Server, prefix: &str) -> StoreConfig {
    let mut all = credentials();
    all["bucket"] = BUCKET.into();
    all["prefix"] = prefix.into();
    all["endpoint_url"] = server.endpoint().into();
    StoreConfig {
        blob_backend: Some("s3".into()),
        blob_backend_options: options(all),
        allow_local_index: true,
        ..StoreConfig::default()
    }
}

fn open(dir: &Path, store: StoreConfig) -> cacheness::Result<Cache> {
    Cache::builder().directory(dir).config(CacheConfig { store, ..CacheConfig::default() }).open()
}

fn large() -> Vec<f64> {
    (0..200_000).map(|i| f64::from(i).sin()).collect()
}

/// Another one, which does not compress to a few bytes either.
fn other() -> Vec<f64> {
    (0..200_000).map(|i| f64::from(i).cos()).collect()
}

#[test]
fn payloads_are_in_the_bucket_and_the_directory_remembers_it() {
    let server = S3Server::start();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), config(&server, "team")).unwrap();
    cache.put(large(), params! { run: 1 }).unwrap();
    cache.put(1, params! { run: 2 }).unwrap();
    assert_eq!(
        server.keys().iter().filter(|key| key.starts_with("team/") && !key.ends_with("cacheness-store")).count(),
        1
    );
    assert!(!dir.path().join("blobs").exists());
    drop(cache);
    assert_eq!(describe(dir.path()).unwrap().blob_backend, "s3");
    let text = std::fs::read_to_string(dir.path().join("cacheness.toml")).unwrap();
    assert!(text.contains("s3://") && !text.contains(SECRET_KEY) && !text.contains(ACCESS_KEY), "{text}");
    // The directory knows the place; the credentials are given again.
    let again = StoreConfig {
        blob_backend: Some("s3".into()),
        blob_backend_options: options(credentials()),
        allow_local_index: true,
        ..StoreConfig::default()
    };
    let cache = open(dir.path(), again).unwrap();
    assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
    assert_eq!(cache.get::<i64>(params! { run: 2 }).unwrap(), Some(1));
    let elsewhere = config(&server, "other");
    assert_eq!(open(dir.path(), elsewhere).unwrap_err().kind(), ErrorKind::InvalidInput);
    cache.put(other(), params! { run: 1 }).unwrap();
    assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(other()));
}

#[test]
fn a_url_chooses_it_too() {
    let server = S3Server::start();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("s3://{BUCKET}/by/url?endpoint_url={}", server.endpoint());
    let store = StoreConfig {
        blob_backend: Some(url.as_str().into()),
        blob_backend_options: options(credentials()),
        allow_local_index: true,
        ..StoreConfig::default()
    };
    let cache = open(dir.path(), store).unwrap();
    cache.put(large(), params! { run: 1 }).unwrap();
    assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
    assert!(server.keys().iter().all(|key| key.starts_with("by/url/")), "{:?}", server.keys());
}

#[test]
fn entries_on_one_machine_beside_payloads_on_a_server_are_refused() {
    let server = S3Server::start();
    for metadata in [None, Some("sqlite"), Some("json"), Some("memory")] {
        let dir = tempfile::tempdir().unwrap();
        let refused = StoreConfig {
            allow_local_index: false,
            metadata_backend: metadata.map(str::to_owned),
            ..config(&server, "refused")
        };
        let error = open(&dir.path().join("x"), refused.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{metadata:?}: {error}");
        assert!(error.to_string().contains("on this machine alone"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("allow_local_index")));
        assert!(!dir.path().join("x/cacheness.toml").exists());
        let prefix = metadata.unwrap_or("default");
        let allowed = StoreConfig { allow_local_index: true, ..refused };
        let allowed = StoreConfig { blob_backend_options: config(&server, prefix).blob_backend_options, ..allowed };
        let cache = open(&dir.path().join("x"), allowed).unwrap();
        cache.put(large(), params! { run: 1 }).unwrap();
        assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
    }
    assert!(!server.keys().iter().any(|key| key.starts_with("refused")));
}

#[test]
fn two_stores_do_not_share_a_prefix() {
    let server = S3Server::start();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = open(one.path(), config(&server, "shared")).unwrap();
    first.put(large(), params! { run: 1 }).unwrap();
    let error = open(two.path(), config(&server, "shared")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
    assert!(!two.path().join("cacheness.toml").exists());
    assert_eq!(first.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
}

#[test]
fn a_put_that_fails_leaves_the_former_value() {
    let server = S3Server::start();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&server, "faults");
    let mut hasty: serde_json::Map<String, Value> = (*config.blob_backend_options).clone();
    hasty.insert("max_retries".into(), 1.into());
    hasty.insert("retry_timeout_seconds".into(), 1.into());
    config.blob_backend_options = hasty.into();
    let cache = open(dir.path(), config).unwrap();
    cache.put(large(), params! { run: 1 }).unwrap();
    server.fail(|seen| if seen.method == "PUT" { Fault::Status(503, "SlowDown") } else { Fault::None });
    let error = cache.put(other(), params! { run: 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable());
    server.heal();
    assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
    // A wrong byte is noticed, like on a disk.
    server.fail(|seen| if seen.method == "GET" { Fault::Wrong } else { Fault::None });
    assert!(
        cache
            .get::<Vec<f64>>(params! { run: 1 })
            .map_or_else(|e| e.kind() == ErrorKind::Integrity, |found| found.is_none())
    );
}

#[test]
fn what_a_crash_leaves_is_collected() {
    let server = S3Server::start();
    let dir = tempfile::tempdir().unwrap();
    let cache = open(dir.path(), config(&server, "crash")).unwrap();
    cache.put(large(), params! { run: 1 }).unwrap();
    // A blob whose entry was never committed.
    let store = cache.engine().store();
    let hint = cacheness_core::backend::BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };
    store.blobs().create(hint).unwrap().commit().unwrap();
    assert_eq!(server.keys().len(), 3);
    store.gc(Some(Duration::ZERO)).unwrap();
    assert_eq!(server.keys().len(), 2, "the mark of the store, and the blob of the entry");
    assert_eq!(cache.get::<Vec<f64>>(params! { run: 1 }).unwrap(), Some(large()));
}
