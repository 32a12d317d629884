//! Corrupt, truncated, missing: the cache counts them as misses, the store says what is wrong.

use std::fs;

use cacheness::ErrorKind;
use cacheness::prelude::*;

use crate::{blobs, noise};

/// Damages the one blob of a fresh store and says which errors that gives.
fn damaged(damage: impl Fn(&std::path::Path)) -> cacheness::Error {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = BlobStore::open(dir.path()).unwrap();
        store.put("x", &noise(1)).unwrap();
    }
    let blob = dir.path().join(&blobs(dir.path())[0]);
    damage(&blob);
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.get::<Vec<u8>>(Named("x")).unwrap(), None, "a cache can compute the value again");
    let counts = cache.stats().unwrap().counts;
    assert_eq!((counts.hits, counts.misses, counts.failures), (0, 1, 1));
    cache.put(&noise(2), Named("x")).unwrap();
    assert_eq!(cache.get::<Vec<u8>>(Named("x")).unwrap(), Some(noise(2)), "and put it back");
    cache.close().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    store.put("x", &noise(1)).unwrap();
    damage(&dir.path().join(&blobs(dir.path())[0]));
    let report = store.verify_integrity("x").unwrap().unwrap();
    assert!(!report.valid && report.problem.is_some());
    store.get::<Vec<u8>>("x").unwrap_err()
}

#[test]
fn a_flipped_bit_is_noticed() {
    let error = damaged(|blob| {
        let mut bytes = fs::read(blob).unwrap();
        bytes[50_000] ^= 1;
        fs::write(blob, bytes).unwrap();
    });
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("hash") && error.to_string().contains("blobs/"), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_truncated_blob_is_noticed() {
    let error = damaged(|blob| fs::File::options().write(true).open(blob).unwrap().set_len(1000).unwrap());
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("1000 bytes"), "{error}");
}

#[test]
fn a_missing_blob_is_noticed() {
    let error = damaged(|blob| fs::remove_file(blob).unwrap());
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_blob_that_became_a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, noise(1)).unwrap();
    let error = damaged(|blob| {
        fs::remove_file(blob).unwrap();
        std::os::unix::fs::symlink(&secret, blob).unwrap();
    });
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(fs::read(&secret).unwrap(), noise(1));
}

#[test]
fn swapped_blobs_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    store.put("x", &noise(1)).unwrap();
    store.put("y", &noise(2)).unwrap();
    let [a, b] = &blobs(dir.path())[..] else { panic!("two blobs") };
    let (a, b, c) = (dir.path().join(a), dir.path().join(b), dir.path().join("c"));
    fs::rename(&a, &c).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(&c, &b).unwrap();
    for key in ["x", "y"] {
        assert_eq!(store.get::<Vec<u8>>(key).unwrap_err().kind(), ErrorKind::Integrity);
    }
}
