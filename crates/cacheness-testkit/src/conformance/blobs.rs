//! What every blob backend does.

use std::collections::BTreeMap;
use std::io::Write;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{BlobBackend, BlobHint, BlobReader};

use super::{BlobFixture, Check};

/// The checks of a blob backend.
pub const CHECKS: &[Check<BlobFixture>] = &[
    ("an empty backend lists nothing", empty),
    ("a blob is read back", round_trip),
    ("a blob of no bytes", no_bytes),
    ("a large blob, written in pieces and read from the middle", large),
    ("two blobs of one stem do not meet", same_stem),
    ("a writer that is dropped leaves nothing", dropped),
    ("an uncommitted blob is not listed", uncommitted),
    ("a deleted blob is gone, and stays readable where it is open", deleted),
    ("deleting a missing blob is no error", delete_missing),
    ("a hostile locator is refused", hostile_locators),
    ("a hostile hint is refused", hostile_hints),
    ("many blobs from many threads", many),
    ("a closed backend leaves what is open, and nothing of a put under way", closed),
];

const HINT: BlobHint<'static> = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };

fn put(backend: &dyn BlobBackend, bytes: &[u8]) -> String {
    let mut writer = backend.create(HINT).expect("a writer");
    writer.write_all(bytes).expect("written");
    writer.commit().expect("committed")
}

fn read(reader: &dyn BlobReader) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(reader.size()).expect("small")];
    reader.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

fn get(backend: &dyn BlobBackend, locator: &str) -> Option<Vec<u8>> {
    backend.open(locator).expect("a valid locator").map(|reader| read(&*reader))
}

fn list(backend: &dyn BlobBackend) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let visit = &mut |locator: &str, size: u64| {
        assert_eq!(found.insert(locator.to_owned(), size), None, "{locator} is listed twice");
        Ok(())
    };
    backend.list(visit).expect("listed");
    found
}

fn empty(fixture: &BlobFixture) {
    assert!(list(&*fixture.backend).is_empty());
    assert!(!fixture.backend.name().is_empty());
}

fn round_trip(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let locator = put(backend, b"some bytes");
    assert_eq!(get(backend, &locator).as_deref(), Some(&b"some bytes"[..]));
    assert_eq!(list(backend), BTreeMap::from([(locator.clone(), 10)]));
    let reader = backend.open(&locator).expect("opened").expect("there");
    let mut part = [0; 4];
    reader.read_exact_at(&mut part, 5).expect("read");
    assert_eq!(&part, b"byte");
    let mut beyond = [0; 8];
    let error = reader.read_exact_at(&mut beyond, 5).expect_err("the blob ends");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(reader.read_exact_at(&mut beyond, u64::MAX).is_err());
    if let Some(path) = reader.local_path() {
        assert_eq!(std::fs::read(path).expect("a local file"), b"some bytes");
    }
    (fixture.assert_no_leftovers)();
}

fn no_bytes(fixture: &BlobFixture) {
    let locator = put(&*fixture.backend, b"");
    let reader = fixture.backend.open(&locator).expect("opened").expect("there");
    assert_eq!(reader.size(), 0);
    reader.read_exact_at(&mut [], 0).expect("nothing to read");
    assert!(reader.read_exact_at(&mut [0], 0).is_err());
    assert_eq!(list(&*fixture.backend), BTreeMap::from([(locator, 0)]));
}

fn large(fixture: &BlobFixture) {
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let mut writer = fixture.backend.create(BlobHint { size: Some(bytes.len() as u64), ..HINT }).expect("a writer");
    let mut rest = &bytes[..];
    let mut step = 1;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(step.min(rest.len()));
        writer.write_all(piece).expect("written");
        rest = after;
        step = step * 3 + 1;
    }
    writer.flush().expect("flushed");
    let locator = writer.commit().expect("committed");
    let reader = fixture.backend.open(&locator).expect("opened").expect("there");
    assert!(read(&*reader) == bytes, "the bytes differ");
    let mut part = vec![0; 70_000];
    reader.read_exact_at(&mut part, 1_234_567).expect("read");
    assert!(part == bytes[1_234_567..][..70_000], "the part differs");
}

fn same_stem(fixture: &BlobFixture) {
    let (first, second) = (put(&*fixture.backend, b"first"), put(&*fixture.backend, b"second"));
    assert_ne!(first, second);
    assert_eq!(get(&*fixture.backend, &first).as_deref(), Some(&b"first"[..]));
    assert_eq!(get(&*fixture.backend, &second).as_deref(), Some(&b"second"[..]));
}

fn dropped(fixture: &BlobFixture) {
    let mut writer = fixture.backend.create(HINT).expect("a writer");
    writer.write_all(&[1; 300_000]).expect("written");
    let path = writer.local_path().map(std::path::Path::to_path_buf);
    drop(writer);
    assert!(list(&*fixture.backend).is_empty());
    assert!(path.is_none_or(|path| !path.exists()));
    (fixture.assert_no_leftovers)();
}

fn uncommitted(fixture: &BlobFixture) {
    let mut writer = fixture.backend.create(HINT).expect("a writer");
    writer.write_all(b"half").expect("written");
    writer.flush().expect("flushed");
    assert!(list(&*fixture.backend).is_empty());
    let locator = writer.commit().expect("committed");
    assert_eq!(list(&*fixture.backend), BTreeMap::from([(locator, 4)]));
}

fn deleted(fixture: &BlobFixture) {
    let locator = put(&*fixture.backend, b"still here");
    let reader = fixture.backend.open(&locator).expect("opened").expect("there");
    assert!(fixture.backend.delete(&locator).expect("deleted"));
    assert!(fixture.backend.open(&locator).expect("a valid locator").is_none());
    assert!(list(&*fixture.backend).is_empty());
    assert_eq!(read(&*reader), b"still here");
    assert!(!fixture.backend.delete(&locator).expect("no error"));
}

fn delete_missing(fixture: &BlobFixture) {
    let locator = put(&*fixture.backend, b"x");
    let other = locator.replace("0123456789abcdef-", "0123456789abcdee-");
    assert_ne!(locator, other);
    assert!(!fixture.backend.delete(&other).expect("no error"));
    assert!(fixture.backend.open(&other).expect("no error").is_none());
}

fn hostile_locators(fixture: &BlobFixture) {
    let locator = put(&*fixture.backend, b"x");
    let long = format!("blobs/{}", "a".repeat(10_000));
    for bad in [
        "",
        "..",
        "/etc/passwd",
        "../../etc/passwd",
        "blobs/../../../etc/passwd",
        "blobs",
        "blobs/",
        "tmp/x",
        "cache_metadata.db",
        "blobs/ab/abcd-0123456789ab.npy\0.txt",
        long.as_str(),
        &format!("/{locator}"),
        &format!("{locator}/"),
        &format!("./{locator}"),
        &locator.replace('/', "//"),
        &locator.replace('/', "/./"),
        &locator.to_uppercase(),
        &format!("{locator}\n"),
    ] {
        let error = fixture.backend.open(bad).err().unwrap_or_else(|| panic!("{bad:?} was opened"));
        assert_eq!(error.kind(), ErrorKind::Integrity, "{bad:?}: {error}");
        assert!(fixture.backend.delete(bad).is_err(), "{bad:?} was deleted");
    }
    assert!(get(&*fixture.backend, &locator).is_some());
}

fn hostile_hints(fixture: &BlobFixture) {
    for (stem, extension) in
        [("", "bin"), ("..", "bin"), ("a/b", "bin"), ("a", "../x"), ("a", "/x"), ("a", "x\0"), ("a", ".")]
    {
        let refused = fixture.backend.create(BlobHint { stem, extension, size: None });
        let error = refused.err().unwrap_or_else(|| panic!("{stem:?}.{extension:?} was accepted"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{stem:?}.{extension:?}: {error}");
    }
    assert!(list(&*fixture.backend).is_empty());
    (fixture.assert_no_leftovers)();
}

fn many(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let locators: Vec<_> = std::thread::scope(|scope| {
        let work = |thread: usize| {
            move || {
                let put_one = |i: usize| {
                    let bytes = format!("{thread}/{i}").into_bytes();
                    let locator = put(backend, &bytes);
                    assert_eq!(get(backend, &locator), Some(bytes));
                    if i.is_multiple_of(2) {
                        assert!(backend.delete(&locator).expect("deleted"));
                        return None;
                    }
                    Some(locator)
                };
                (0..60).filter_map(put_one).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(locators.len(), 8 * 30);
    let listed = list(backend);
    assert_eq!(listed.len(), locators.len());
    assert!(locators.iter().all(|locator| listed.contains_key(locator)));
    (fixture.assert_no_leftovers)();
}

fn closed(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let locator = put(backend, b"abc");
    let reader = backend.open(&locator).expect("opened").expect("there");
    let (mut written, given_up) = (backend.create(HINT).expect("a writer"), backend.create(HINT).expect("a writer"));
    written.write_all(b"xyz").expect("written");
    backend.close().expect("closed");
    backend.close().expect("closing twice is no error");
    assert_eq!(read(&*reader), b"abc");
    match written.commit() {
        Ok(late) => assert!(backend.delete(&late).expect("deleted"), "its own blob is found"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
    drop(given_up);
    match backend.open(&locator) {
        Ok(found) => assert_eq!(found.map(|reader| read(&*reader)).as_deref(), Some(&b"abc"[..])),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
    backend.delete(&locator).expect("deleted, or there is nothing");
    (fixture.assert_no_leftovers)();
}
