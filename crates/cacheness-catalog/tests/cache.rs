//! The cache of metadata: what it finds again, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use cacheness_catalog::{Details, MetadataCache};
use cacheness_core::ErrorKind;
use cacheness_core::clock::{Clock, Timestamp};
use serde_json::{Value, json};

fn key(database: &str) -> String {
    Details::of("postgres", &json!({ "host": "h", "database": database })).expect("valid").cache_key()
}

#[test]
fn metadata_comes_back_until_it_expires() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("a/b");
    let clock = Clock::manual(Timestamp(1_795_176_000_000_000));
    let cache = |ttl| MetadataCache::new(&place, ttl).with_clock(clock.clone());
    let hour = cache(Some(Duration::from_secs(3600)));
    assert_eq!(hour.get(&key("a")).expect("read"), None);
    assert!(!place.exists(), "nothing is created before it is needed");
    let metadata = json!({ "table_metadata": [{ "table_name": "Größe \u{0}", "n": 1.5 }], "null": null });
    hour.set(&key("a"), &metadata).expect("written");
    hour.set(&key("b"), &Value::Null).expect("written");
    assert_eq!(hour.get(&key("a")).expect("read"), Some(metadata.clone()));
    assert_eq!(hour.get(&key("b")).expect("read"), Some(Value::Null));
    assert_eq!(hour.stored_at(&key("a")).expect("read"), Some(clock.now()));
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join(format!("{}.json", key("a"))))), (0o700, 0o600));
    let valid = |cache: &MetadataCache| cache.is_valid(&key("a")).expect("read");
    assert!(valid(&cache(None)) && !valid(&cache(Some(Duration::ZERO))));
    clock.advance(3_600_000_000 - 1);
    assert!(valid(&hour));
    clock.advance(1);
    assert!(!valid(&hour) && valid(&cache(None)));
    hour.set(&key("a"), &metadata).expect("written");
    assert!(valid(&hour));
    // The clock was set back by an hour: the entry is from the future.
    clock.advance(-3_600_000_000);
    assert!(!valid(&hour) && !valid(&cache(None)));
    assert!(hour.invalidate(&key("a")).expect("removed") && !hour.invalidate(&key("a")).expect("removed"));
    assert_eq!(hour.clear_all().expect("cleared"), 1);
    assert_eq!(fs::read_dir(&place).expect("there").count(), 0);
}

#[test]
fn files_of_others_are_misses_and_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = MetadataCache::new(directory.path(), None);
    let path = directory.path().join(format!("{}.json", key("a")));
    cache.set(&key("a"), &json!({ "a": [1, 2] })).expect("written");
    let whole = fs::read_to_string(&path).expect("read");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let others = [
        String::new(),
        "null".into(),
        whole[..whole.len() - 1].into(),
        whole.replace("cacheness-catalog", "another"),
        whole.replace("\"format\":1", "\"format\":2"),
        whole.replace("[1,2]", &deep),
        format!("{{\"timestamp\": 5, \"metadata\": {deep}}}"),
    ];
    for (number, other) in others.iter().enumerate() {
        fs::write(&path, other).expect("written");
        assert_eq!(cache.get(&key("a")).expect("a miss"), None, "{number}");
        // One of another version, and one that nests too deeply, are ours nevertheless.
        let is_ours = number == 4 || number == 5;
        assert_eq!(cache.clear_all().expect("cleared"), u64::from(is_ours), "{number}");
        assert_eq!(path.exists(), !is_ours, "{number}");
    }
    fs::write(&path, [0xff, 0xfe]).expect("written");
    assert_eq!(cache.get(&key("a")).expect("a miss"), None);
    assert!(!cache.invalidate(&key("a")).expect("left"));
    fs::remove_file(&path).expect("removed");
    fs::write(directory.path().join("secret"), &whole).expect("written");
    symlink("secret", &path).expect("a link");
    assert_eq!(cache.get(&key("a")).expect("a miss"), None, "links are not followed");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory");
    assert_eq!(cache.get(&key("a")).expect("a miss"), None);
    for name in ["README.json", "notes.txt", "0123.json"] {
        fs::write(directory.path().join(name), &whole).expect("written");
    }
    assert_eq!(cache.clear_all().expect("cleared"), 0);
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 5);
}

#[test]
fn keys_are_hashes_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = MetadataCache::new(directory.path().join("cache"), None);
    for wrong in ["", "a", "../secret", &"A".repeat(64), &"g".repeat(64), &format!("../{}", "a".repeat(61))] {
        assert_eq!(cache.get(wrong).expect_err(wrong).kind(), ErrorKind::InvalidInput);
        assert_eq!(cache.set(wrong, &Value::Null).expect_err(wrong).kind(), ErrorKind::InvalidInput);
        assert_eq!(cache.invalidate(wrong).expect_err(wrong).kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(cache.set_text(&key("a"), "{").expect_err("no JSON").kind(), ErrorKind::InvalidInput);
    assert_eq!(cache.clear_all().expect("nothing"), 0);
}
