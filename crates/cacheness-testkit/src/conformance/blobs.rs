//! The behaviour of every blob backend.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{BlobBackend, BlobHint, BlobInfo, BlobReader, BlobRef, Range};

use super::{BlobFixture, Check};

/// The checks of a blob backend.
pub const CHECKS: &[Check<BlobFixture>] = &[
    ("an empty backend lists nothing", empty),
    ("a blob is read back", round_trip),
    ("a blob of no bytes", no_bytes),
    ("a large blob, written in pieces and read from the middle", large),
    ("ranges are read in any order", ranges),
    ("two blobs with one stem do not collide", same_stem),
    ("an aborted writer leaves no data", aborted),
    ("a sweep finds what a dropped writer leaves", dropped),
    ("a sweep spares an active writer", sweep_beside_a_writer),
    ("an uncommitted blob is not listed", uncommitted),
    ("a missing blob is not found, by open or by the first read", missing),
    ("a deleted blob is gone, but stays readable while open if there is no grace", deleted),
    ("many blobs are deleted despite missing and invalid locators", delete_many),
    ("a listing has pages in byte order", pages),
    ("a listing reports the size and age of blobs", listed),
    ("a hostile locator is refused", hostile_locators),
    ("a hostile hint is refused", hostile_hints),
    ("many blobs from many threads", many),
    ("the capability does not change", capability),
    ("a closed backend keeps open blobs readable and cleans up running puts", closed),
];

const HINT: BlobHint<'static> = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };

fn put_as(backend: &dyn BlobBackend, hint: BlobHint<'_>, bytes: &[u8]) -> BlobRef {
    let mut writer = backend.create(hint).expect("a writer");
    writer.write_all(bytes).expect("written");
    let blob = writer.commit().expect("committed");
    assert_eq!(blob.size, bytes.len() as u64);
    blob
}

fn put(backend: &dyn BlobBackend, bytes: &[u8]) -> BlobRef {
    put_as(backend, HINT, bytes)
}

fn open(backend: &dyn BlobBackend, blob: &BlobRef) -> Box<dyn BlobReader> {
    backend.open(blob).expect("opened")
}

fn read(reader: &dyn BlobReader) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(reader.size()).expect("small")];
    reader.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

/// The bytes of a blob; `None` if it is not found, by `open` or by the first read.
fn get(backend: &dyn BlobBackend, blob: &BlobRef) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(blob.size).expect("small")];
    match backend.open(blob).and_then(|reader| reader.read_exact_at(&mut bytes, 0)) {
        Ok(()) => Some(bytes),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            None
        }
    }
}

/// All blobs, in pages of `limit`.
fn list_pages(fixture: &BlobFixture, limit: usize) -> Vec<BlobInfo> {
    (fixture.settle)();
    let mut found: Vec<BlobInfo> = Vec::new();
    loop {
        let after = found.last().map(|last| last.locator.clone());
        let page = fixture.backend.list(after.as_deref(), limit).expect("listed");
        assert!(page.len() <= limit);
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

fn list(fixture: &BlobFixture) -> BTreeMap<String, u64> {
    let found = list_pages(fixture, usize::MAX);
    let count = found.len();
    let found: BTreeMap<_, _> = found.into_iter().map(|info| (info.locator, info.size)).collect();
    assert_eq!(found.len(), count, "no blob is listed twice");
    found
}

fn delete(backend: &dyn BlobBackend, blob: &BlobRef) {
    backend.delete(&[&blob.locator]).expect("deleted");
}

fn empty(fixture: &BlobFixture) {
    assert!(list(fixture).is_empty());
    assert!(!fixture.backend.name().is_empty());
    fixture.backend.delete(&[]).expect("nothing to do");
    assert_eq!(fixture.backend.sweep(Duration::ZERO).expect("swept"), 0);
}

fn round_trip(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let blob = put(backend, b"some bytes");
    assert_eq!(get(backend, &blob).as_deref(), Some(&b"some bytes"[..]));
    assert_eq!(list(fixture), BTreeMap::from([(blob.locator.clone(), 10)]));
    let reader = open(backend, &blob);
    assert_eq!(reader.size(), 10);
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
    backend.sync(&blob.locator).expect("durable");
    (fixture.assert_no_leftovers)();
}

fn no_bytes(fixture: &BlobFixture) {
    let blob = put(&*fixture.backend, b"");
    let reader = open(&*fixture.backend, &blob);
    assert_eq!(reader.size(), 0);
    reader.read_exact_at(&mut [], 0).expect("nothing to read");
    reader.read_ranges(&mut []).expect("nothing to read");
    assert!(reader.read_exact_at(&mut [0], 0).is_err());
    assert_eq!(list(fixture), BTreeMap::from([(blob.locator, 0)]));
}

/// 3 MB without repetition.
fn many_bytes() -> Vec<u8> {
    (0..3_000_017_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect()
}

fn large(fixture: &BlobFixture) {
    let bytes = many_bytes();
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
    let blob = writer.commit().expect("committed");
    assert_eq!(blob.size, bytes.len() as u64);
    let reader = open(&*fixture.backend, &blob);
    assert!(read(&*reader) == bytes, "the bytes differ");
    let mut part = vec![0; 70_000];
    reader.read_exact_at(&mut part, 1_234_567).expect("read");
    assert!(part == bytes[1_234_567..][..70_000], "the part differs");
    (fixture.assert_no_leftovers)();
}

fn ranges(fixture: &BlobFixture) {
    let bytes = many_bytes();
    let reader = open(&*fixture.backend, &put(&*fixture.backend, &bytes));
    // The last bytes first, some twice, some never, and an empty range.
    let places = [(3_000_000, 17), (0, 1), (1_000_000, 500_000), (1_400_000, 200_000), (7, 0), (3_000_017, 0)];
    let mut buffers: Vec<Vec<u8>> = places.iter().map(|(_, length)| vec![0; *length]).collect();
    let ranges = buffers.iter_mut().zip(places);
    let mut ranges: Vec<_> =
        ranges.map(|(buffer, (offset, _))| Range { offset: offset as u64, buffer: &mut buffer[..] }).collect();
    reader.read_ranges(&mut ranges).expect("read");
    for (buffer, (offset, length)) in buffers.iter().zip(places) {
        assert!(*buffer == bytes[offset..][..length], "{length} bytes at {offset} differ");
    }
    let (mut good, mut beyond) = ([0; 3], [0; 3]);
    let mut ranges = [Range { offset: 0, buffer: &mut good[..] }, Range { offset: 3_000_015, buffer: &mut beyond[..] }];
    let error = reader.read_ranges(&mut ranges).expect_err("the blob ends");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    if let Some(parts) = reader.parts() {
        assert!(parts.size > 0 && parts.concurrency > 0, "{parts:?}");
    }
}

fn same_stem(fixture: &BlobFixture) {
    let (first, second) = (put(&*fixture.backend, b"first"), put(&*fixture.backend, b"second"));
    assert_ne!(first.locator, second.locator);
    assert_eq!(get(&*fixture.backend, &first).as_deref(), Some(&b"first"[..]));
    assert_eq!(get(&*fixture.backend, &second).as_deref(), Some(&b"second"[..]));
}

fn aborted(fixture: &BlobFixture) {
    for size in [0, 10, 300_000, 20_000_000] {
        let mut writer = fixture.backend.create(HINT).expect("a writer");
        writer.write_all(&vec![1; size]).expect("written");
        let path = writer.local_path().map(std::path::Path::to_path_buf);
        writer.abort().expect("aborted");
        assert!(path.is_none_or(|path| !path.exists()));
        (fixture.assert_no_leftovers)();
    }
    assert!(list(fixture).is_empty());
    assert_eq!(fixture.backend.sweep(Duration::ZERO).expect("swept"), 0);
}

fn dropped(fixture: &BlobFixture) {
    for size in [300_000, 20_000_000] {
        let mut writer = fixture.backend.create(HINT).expect("a writer");
        writer.write_all(&vec![1; size]).expect("written");
        let path = writer.local_path().map(std::path::Path::to_path_buf);
        drop(writer);
        assert!(list(fixture).is_empty());
        assert!(path.is_none_or(|path| !path.exists()));
    }
    fixture.backend.sweep(Duration::ZERO).expect("swept");
    (fixture.assert_no_leftovers)();
    assert_eq!(fixture.backend.sweep(Duration::ZERO).expect("swept"), 0, "nothing is left for another sweep");
}

fn sweep_beside_a_writer(fixture: &BlobFixture) {
    let mut writer = fixture.backend.create(HINT).expect("a writer");
    writer.write_all(&vec![5; 20_000_000]).expect("written");
    (fixture.settle)();
    assert_eq!(fixture.backend.sweep(Duration::from_secs(24 * 3600)).expect("swept"), 0);
    writer.write_all(b"end").expect("written");
    let blob = writer.commit().expect("committed");
    assert_eq!(blob.size, 20_000_003);
    assert!(get(&*fixture.backend, &blob).expect("there").ends_with(&[5, b'e', b'n', b'd']));
    (fixture.assert_no_leftovers)();
}

fn uncommitted(fixture: &BlobFixture) {
    let mut writer = fixture.backend.create(HINT).expect("a writer");
    writer.write_all(b"half").expect("written");
    writer.flush().expect("flushed");
    assert!(list(fixture).is_empty());
    let blob = writer.commit().expect("committed");
    assert_eq!(list(fixture), BTreeMap::from([(blob.locator, 4)]));
}

fn deleted(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let blob = put(backend, b"still here");
    let reader = open(backend, &blob);
    delete(backend, &blob);
    assert_eq!(get(backend, &blob), None);
    assert!(list(fixture).is_empty());
    if backend.capability().grace.is_zero() {
        assert_eq!(read(&*reader), b"still here");
    }
    delete(backend, &blob);
}

/// A valid locator of this backend for a blob that does not exist.
fn never_made(blob: &BlobRef) -> BlobRef {
    let locator = blob.locator.replace("0123456789abcdef-", "0123456789abcdee-");
    assert_ne!(locator, blob.locator);
    BlobRef::new(locator, blob.size)
}

fn missing(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let blob = put(backend, b"some bytes");
    let other = never_made(&blob);
    assert_eq!(get(backend, &other), None);
    if let Ok(reader) = backend.open(&other) {
        let (mut one, mut two) = ([0; 2], [0; 2]);
        let mut ranges = [Range { offset: 0, buffer: &mut one[..] }, Range { offset: 6, buffer: &mut two[..] }];
        assert_eq!(reader.read_ranges(&mut ranges).expect_err("missing").kind(), ErrorKind::NotFound);
    }
    delete(backend, &other);
    assert!(get(backend, &blob).is_some());
}

fn delete_many(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let blobs: Vec<_> = (0..20_u8).map(|i| put(backend, &[i])).collect();
    let missing = never_made(&blobs[0]);
    let mut locators: Vec<&str> = blobs[..10].iter().map(|blob| blob.locator.as_str()).collect();
    locators.insert(3, &missing.locator);
    locators.push(&blobs[0].locator);
    backend.delete(&locators).expect("neither a missing blob nor a duplicate locator is an error");
    backend.delete(&locators).expect("nor is a repeated deletion");
    let is_there = |blob: &BlobRef| get(backend, blob).is_some();
    assert!(!blobs[..10].iter().any(is_there) && blobs[10..].iter().all(is_there));
    // An invalid locator is an error, but the other blobs are deleted.
    let mut locators: Vec<&str> = blobs[10..15].iter().map(|blob| blob.locator.as_str()).collect();
    locators.insert(0, "../../etc/passwd");
    locators.insert(3, "");
    locators.insert(4, &missing.locator);
    let error = backend.delete(&locators).expect_err("a hostile locator");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    assert!(!blobs[..15].iter().any(is_there) && blobs[15..].iter().all(is_there));
    assert_eq!(list(fixture).len(), 5);
}

fn pages(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    // Names around a directory's: one with it as a prefix, one that ends earlier, characters around the slash.
    let stems = ["a", "aa", "ab", "a-b", "a_b", "abcd", "abcde", "abc-d", "b", "0", "00", "zz", "z", "ab-", "ab_", "-"];
    let mut expected = Vec::new();
    for (i, stem) in stems.iter().cycle().take(40).enumerate() {
        let extension = ["bin", "", "pkl.zst"][i % 3];
        expected.push(put_as(backend, BlobHint { stem, extension, size: None }, &vec![0; i]).locator);
    }
    expected.sort_unstable();
    let locators = |found: Vec<BlobInfo>| found.into_iter().map(|info| info.locator).collect::<Vec<_>>();
    for limit in [1, 7, 39, 40, 41, usize::MAX] {
        assert_eq!(locators(list_pages(fixture, limit)), expected, "limit {limit}");
    }
    // From every blob on, and from names that are not blobs.
    for (i, locator) in expected.iter().enumerate() {
        assert_eq!(locators(backend.list(Some(locator), 100).expect("listed")), expected[i + 1..], "after {locator}");
        let directory = &locator[..=locator.rfind('/').expect("a locator has a directory")];
        for after in [directory, &format!("{locator}\0"), &locator[..locator.len() - 1]] {
            let rest: Vec<_> = expected.iter().filter(|locator| locator.as_str() > after).take(3).cloned().collect();
            assert_eq!(locators(backend.list(Some(after), 3).expect("listed")), rest, "after {after:?}");
        }
    }
    // Blobs deleted between two pages are left out; all others are listed.
    let page = locators(backend.list(None, 10).expect("listed"));
    backend.delete(&[&page[9], &expected[10], &expected[12]]).expect("deleted");
    (fixture.settle)();
    assert_eq!(
        locators(backend.list(Some(&page[9]), 2).expect("listed")),
        [expected[11].clone(), expected[13].clone()]
    );
}

fn listed(fixture: &BlobFixture) {
    let before = fixture.clock.now();
    let blob = put(&*fixture.backend, &[1; 1234]);
    let after = fixture.clock.now();
    let found = list_pages(fixture, 10);
    let [info] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&info.locator, info.size), (&blob.locator, 1234));
    // A file system dates files by its own clock, which lags by some milliseconds.
    let slack = 2_000_000;
    assert!((before.0 - slack..=after.0 + slack).contains(&info.modified.0), "{info:?}, written at {before}");
}

fn hostile_locators(fixture: &BlobFixture) {
    let blob = put(&*fixture.backend, b"x");
    let locator = blob.locator.as_str();
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
        let opened = fixture.backend.open(&BlobRef { locator: bad.to_owned(), ..blob.clone() });
        let error = opened.err().unwrap_or_else(|| panic!("{bad:?} was opened"));
        assert_eq!(error.kind(), ErrorKind::Integrity, "{bad:?}: {error}");
        assert!(fixture.backend.delete(&[bad]).is_err(), "{bad:?} was deleted");
    }
    assert!(get(&*fixture.backend, &blob).is_some());
}

fn hostile_hints(fixture: &BlobFixture) {
    for (stem, extension) in
        [("", "bin"), ("..", "bin"), ("a/b", "bin"), ("a", "../x"), ("a", "/x"), ("a", "x\0"), ("a", ".")]
    {
        let refused = fixture.backend.create(BlobHint { stem, extension, size: None });
        let error = refused.err().unwrap_or_else(|| panic!("{stem:?}.{extension:?} was accepted"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{stem:?}.{extension:?}: {error}");
    }
    assert!(list(fixture).is_empty());
    (fixture.assert_no_leftovers)();
}

fn many(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let locators: Vec<_> = std::thread::scope(|scope| {
        let work = |thread: usize| {
            move || {
                let put_one = |i: usize| {
                    let bytes = format!("{thread}/{i}").into_bytes();
                    let blob = put(backend, &bytes);
                    assert_eq!(get(backend, &blob), Some(bytes));
                    if i.is_multiple_of(2) {
                        delete(backend, &blob);
                        return None;
                    }
                    Some(blob.locator)
                };
                (0..60).filter_map(put_one).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(locators.len(), 8 * 30);
    let listed = list(fixture);
    assert_eq!(listed.len(), locators.len());
    assert!(locators.iter().all(|locator| listed.contains_key(locator)));
    (fixture.assert_no_leftovers)();
}

fn capability(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let first = backend.capability();
    assert!(!first.longest_put.is_zero(), "a put takes time");
    let blob = put(backend, b"x");
    assert_eq!(open(backend, &blob).parts(), first.parts, "a reader reports the parts of its backend");
    delete(backend, &blob);
    assert_eq!(backend.capability(), first);
    backend.close().expect("closed");
    assert_eq!(backend.capability(), first);
}

fn closed(fixture: &BlobFixture) {
    let backend = &*fixture.backend;
    let blob = put(backend, b"abc");
    let reader = open(backend, &blob);
    let (mut written, given_up) = (backend.create(HINT).expect("a writer"), backend.create(HINT).expect("a writer"));
    written.write_all(b"xyz").expect("written");
    backend.close().expect("closed");
    backend.close().expect("closing twice is no error");
    assert_eq!(read(&*reader), b"abc");
    match written.commit() {
        Ok(late) => delete(backend, &late),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
    match given_up.abort() {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
    match backend.open(&blob) {
        Ok(found) => assert_eq!(read(&*found), b"abc"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
    backend.delete(&[&blob.locator]).expect("deleted, or already gone");
    (fixture.assert_no_leftovers)();
}
