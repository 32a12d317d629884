//! The file of the JSON backend: what is in it, who may write it, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{AccessRecord, EntryUpdate, MetadataBackend};
use cacheness_core::backends::{JsonMetadata, JsonOptions};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, Location};
use cacheness_testkit::ext::{MetadataExt as _, Scan};
use cacheness_testkit::sample::{blob, full, inline};

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cache_metadata.json");
    (dir, path)
}

fn open(path: &Path) -> JsonMetadata {
    JsonMetadata::open(path, JsonOptions::default()).expect("opened")
}

fn put(backend: &JsonMetadata, entry: &Entry) {
    backend.put(entry).expect("put");
}

fn get(backend: &JsonMetadata, key: &str) -> Option<Entry> {
    backend.whole(key).expect("got")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("listed")
        .map(|e| e.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_file_is_private_and_can_be_read() {
    let (dir, path) = place();
    let backend = open(&path);
    put(&backend, &full("0123456789abcdef", b"payload"));
    put(&backend, &blob("b", "blobs/ab/ab-0123456789ab.npy", None, 7));
    assert_eq!(names(dir.path()), ["cache_metadata.json", "cache_metadata.lock"]);
    for name in names(dir.path()) {
        let mode = fs::metadata(dir.path().join(&name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.ends_with("}\n") && text.lines().count() > 30, "one field per line: {text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["format"], 1);
    assert_eq!(json["application"], "cacheness");
    assert_eq!(json["entries"].as_array().expect("a list").len(), 2);
    let entry = &json["entries"][0];
    assert_eq!(entry["cache_key"], "0123456789abcdef");
    assert_eq!(entry["metadata"], serde_json::json!({ "a": [1, 2, { "b": null }] }));
    assert_eq!(entry["created_at"], "2026-11-20T12:00:00.000001+00:00");
    assert_eq!(entry["payload"], "cGF5bG9hZA==");
    assert_eq!(entry["handler_meta"], "AAH/");
    assert_eq!(entry["file_hash"], "fffffffffffffffa");
    assert_eq!(json["entries"][1]["locator"], "blobs/ab/ab-0123456789ab.npy");
    assert!(json["entries"][1].get("payload").is_none());
}

#[test]
fn metadata_comes_back_character_by_character() {
    let (_dir, path) = place();
    let backend = open(&path);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let texts = [
        "{ \"b\" : 1.0,\n \"a\": 1e400, \"a\":-0 }",
        "{\"x\":\"\\u00e9é\"}",
        " {}",
        "{} ",
        "{}",
        "[1]",
        "null",
        "\"quoted\"",
        "not JSON: {",
        "{\"a\":}",
        "",
        &deep,
    ];
    for (i, text) in texts.iter().enumerate() {
        put(&backend, &Entry { metadata: Some((*text).to_owned()), ..inline(&format!("{i:02}"), b"") });
    }
    let again = open(&path);
    for (i, text) in texts.iter().enumerate() {
        assert_eq!(get(&again, &format!("{i:02}")).expect("there").metadata.as_deref(), Some(*text));
    }
}

#[test]
fn what_is_damaged_foreign_or_newer_is_refused_and_left_alone() {
    let (dir, path) = place();
    put(&open(&path), &full("k", b"payload"));
    let good = fs::read_to_string(&path).expect("text");
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let row = good[good.find('[').expect("a list") + 1..good.rfind(']').expect("a list")].trim().to_owned();
    let cases = [
        (String::new(), ErrorKind::Metadata),
        ("\0".repeat(300), ErrorKind::Metadata),
        ("hello".into(), ErrorKind::Metadata),
        (good[..good.find("file_size").expect("a row")].to_owned(), ErrorKind::Metadata),
        (format!("{good}x"), ErrorKind::Metadata),
        (change("\"cGF5bG9hZA==\"", "\"cGF5bG9hZA=\""), ErrorKind::Metadata),
        (change("fffffffffffffffa", "fffffffffffffff"), ErrorKind::Metadata),
        (change("2026-11-20T", "2026-13-20T"), ErrorKind::Metadata),
        (change("\"payload\"", "\"locator\": \"blobs/x-000000000000\", \"payload\""), ErrorKind::Metadata),
        (change("\"payload\": \"cGF5bG9hZA==\"", "\"expires_at\": 3"), ErrorKind::Metadata),
        (change("\"access_count\": 4", "\"access_count\": -4"), ErrorKind::Metadata),
        (change("\"access_count\": 4", "\"access_count\": 4, \"surprise\": 1"), ErrorKind::Metadata),
        (change(&row, &format!("{row}, {row}")), ErrorKind::Metadata),
        (
            change(
                &row,
                &format!(
                    "{row}, {}",
                    row.replace("\"k\"", "\"j\"").replace("\"file_size\": 7", "\"file_size\": 18446744073709551615")
                ),
            ),
            ErrorKind::Metadata,
        ),
        (change("\"format\": 1", "\"format\": 0"), ErrorKind::Metadata),
        (change("\"application\": \"cacheness\"", "\"application\": \"other\""), ErrorKind::NotAStore),
        ("{\"name\": \"package\", \"version\": \"1.0.0\"}".into(), ErrorKind::NotAStore),
        ("[1, 2]".into(), ErrorKind::NotAStore),
        ("null".into(), ErrorKind::NotAStore),
        (
            "{\"format\": 2, \"application\": \"cacheness\", \"written_by\": \"3.1.4\", \"rows\": {}}".into(),
            ErrorKind::NewerFormat,
        ),
        (change("\"format\": 1", "\"format\": 7"), ErrorKind::NewerFormat),
    ];
    for (content, kind) in &cases {
        fs::write(&path, &good).expect("written");
        let backend = open(&path);
        fs::write(&path, content).expect("written");
        let opening = JsonMetadata::open(&path, JsonOptions::default()).expect_err(content);
        let reading = backend.whole("k").expect_err(content);
        let writing = backend.put(&inline("new", b"")).expect_err(content);
        for error in [opening, reading, writing] {
            assert_eq!(error.kind(), *kind, "{content}: {error}");
            assert!(error.hint().is_some(), "{error}");
        }
        assert_eq!(fs::read(&path).expect("read"), content.as_bytes());
    }
    let error = open_error(&path);
    assert!(error.to_string().contains("in format 7; this release"), "{error}");
    fs::write(&path, &cases[cases.len() - 2].0).expect("written");
    assert!(open_error(&path).to_string().contains("written by cacheness 3.1.4 in format 2"));
    assert_eq!(names(dir.path()), ["cache_metadata.json", "cache_metadata.lock"]);
    fs::write(&path, &good).expect("written");
    assert_eq!(get(&open(&path), "k"), Some(full("k", b"payload")), "it has been repaired");
}

fn open_error(path: &Path) -> cacheness_core::Error {
    JsonMetadata::open(path, JsonOptions::default()).expect_err("refused")
}

#[test]
fn what_is_no_file_is_refused() {
    let (dir, path) = place();
    fs::create_dir(&path).expect("made");
    assert_eq!(open_error(&path).kind(), ErrorKind::NotAStore);
    fs::remove_dir(&path).expect("removed");
    let elsewhere = dir.path().join("elsewhere.json");
    open(&elsewhere);
    std::os::unix::fs::symlink(&elsewhere, &path).expect("linked");
    assert_eq!(open_error(&path).kind(), ErrorKind::NotAStore);
    assert_eq!(open_error(&elsewhere.join("below/cache_metadata.json")).kind(), ErrorKind::NotAStore);
}

#[test]
fn a_file_that_is_removed_is_not_made_again() {
    let (dir, path) = place();
    let backend = open(&path);
    put(&backend, &inline("k", b"x"));
    fs::remove_file(&path).expect("removed");
    assert_eq!(backend.whole("k").expect_err("gone").kind(), ErrorKind::Metadata);
    let error = backend.put(&inline("l", b"")).expect_err("gone");
    assert_eq!(error.kind(), ErrorKind::Metadata);
    assert_eq!(names(dir.path()), ["cache_metadata.lock"]);
    assert_eq!(open(&path).totals().expect("totals").entries, 0);
    assert_eq!(get(&backend, "k"), None);
    put(&backend, &inline("l", b""));
}

#[test]
fn every_version_is_seen_however_fast_they_follow() {
    let (_dir, path) = place();
    let (writer, reader) = (open(&path), open(&path));
    for i in 0..1_000_u32 {
        // All versions have the same size, and a removed file's inode is free for the next but one.
        put(&writer, &inline("k", format!("{i:08}").as_bytes()));
        let Location::Inline(seen) = get(&reader, "k").expect("there").location else { panic!("it is inline") };
        assert_eq!(seen, format!("{i:08}").as_bytes());
    }
    let text = fs::read_to_string(&path).expect("text");
    let edited = text.replace("builtins.dict", "builtins.list");
    fs::write(&path, edited).expect("edited in place");
    assert_eq!(get(&reader, "k").expect("there").format.object_type, "builtins.list");
}

#[test]
fn a_writer_waits_for_the_lock_and_a_reader_does_not() {
    let (_dir, path) = place();
    put(&open(&path), &inline("k", b"x"));
    let options = JsonOptions { busy_timeout: Duration::from_millis(30), ..JsonOptions::default() };
    let backend = JsonMetadata::open(&path, options).expect("opening needs no lock");
    let lock = fs::File::open(path.with_extension("lock")).expect("opened");
    lock.lock().expect("locked");
    assert!(get(&backend, "k").is_some());
    let error = backend.put(&inline("l", b"")).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.is_retryable() && error.hint().is_some());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&open(&path), &inline("l", b"")));
        lock.unlock().expect("unlocked");
        waiting.join().expect("put");
    });
    // Whoever deletes the file takes nobody's lock away for long: the next writer makes a new one.
    fs::remove_file(path.with_extension("lock")).expect("removed");
    put(&backend, &inline("m", b""));
    assert_eq!(backend.totals().expect("totals").entries, 3);
}

#[test]
fn a_failed_write_changes_nothing() {
    let (dir, path) = place();
    let backend = open(&path);
    put(&backend, &inline("k", b"old"));
    let before = fs::read(&path).expect("read");
    // A directory that is not empty cannot be removed or overwritten.
    let obstacle = dir.path().join("cache_metadata.json.tmp/x");
    fs::create_dir_all(&obstacle).expect("made");
    for error in [
        backend.put(&inline("k", b"new")).expect_err("obstructed"),
        backend.delete("k").expect_err("obstructed"),
        backend.clear().expect_err("obstructed"),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::ReadOnly), "{error:?}");
    }
    assert_eq!(get(&backend, "k"), Some(inline("k", b"old")));
    assert_eq!(fs::read(&path).expect("read"), before);
    fs::remove_dir_all(dir.path().join("cache_metadata.json.tmp")).expect("removed");
    // What a killed writer has left is written over.
    fs::write(dir.path().join("cache_metadata.json.tmp"), "{\"half").expect("written");
    put(&backend, &inline("k", b"new"));
    assert_eq!(names(dir.path()), ["cache_metadata.json", "cache_metadata.lock"]);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let (_dir, path) = place();
    let backend = open(&path);
    backend.clear().expect("cleared");
    put(&backend, &inline("k", b"x"));
    let before = fs::metadata(&path).expect("there");
    let keep = fs::File::open(&path).expect("so that its inode is not used again");
    backend.delete("other").expect("deleted");
    backend.delete_version(&Entry { created_at: Timestamp(1), ..inline("k", b"x") }.version()).expect("deleted");
    backend.update(&full("k", b"x"), &EntryUpdate::default()).expect("not the entry expected");
    backend.record_accesses(&[AccessRecord { key: "other".into(), at: Timestamp(1), count: 1 }]).expect("passed over");
    let after = fs::metadata(&path).expect("there");
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&after), std::os::unix::fs::MetadataExt::ino(&before));
    drop(keep);
}

#[test]
fn a_store_opened_for_reading_writes_nothing() {
    let (dir, path) = place();
    let options = JsonOptions { read_only: true, ..JsonOptions::default() };
    assert_eq!(JsonMetadata::open(&path, options).expect_err("missing").kind(), ErrorKind::ReadOnly);
    put(&open(&path), &inline("k", b"x"));
    fs::remove_file(path.with_extension("lock")).expect("removed");
    let backend = JsonMetadata::open(&path, options).expect("opened");
    assert!(backend.is_read_only());
    assert!(get(&backend, "k").is_some());
    assert_eq!(backend.scan(&Scan::default()).expect("scanned").len(), 1);
    for error in [
        backend.put(&inline("l", b"")).expect_err("read-only"),
        backend.delete("k").expect_err("read-only"),
        backend.clear().expect_err("read-only"),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly);
    }
    assert_eq!(names(dir.path()), ["cache_metadata.json"]);
}
