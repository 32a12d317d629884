//! What an object is made of, and how many requests that takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{BlobBackend, BlobHint};
use cacheness_core::payload::PayloadHasher;
use cacheness_objects::S3Options;
use cacheness_testkit::s3::S3Server;

use crate::{HINT, get, open, options, put, sample};

/// GETs a URL without TLS and without credentials; the whole answer.
fn fetch(url: &str) -> Vec<u8> {
    let rest = url.strip_prefix("http://").expect("a URL without TLS");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("connected");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answered");
    answer
}

#[test]
fn a_key_is_the_prefix_and_the_name_of_the_blob() {
    let server = S3Server::start();
    for (shard_chars, prefix, expected) in [
        (2, "tests/", "tests/01/0123456789abcdef-"),
        (0, "tests/", "tests/0123456789abcdef-"),
        (3, "", "012/0123456789abcdef-"),
    ] {
        let options = S3Options { prefix: prefix.into(), ..options(&server) };
        let blobs = cacheness_objects::S3Blobs::new(options, shard_chars).expect("valid");
        let blob = put(&blobs, b"abc");
        let place = blobs.place(&blob);
        let key = &place.iter().find(|(name, _)| *name == "s3_key").expect("a key").1;
        assert!(key.starts_with(expected), "{key}");
        assert!(server.keys().contains(key), "{key} in {:?}", server.keys());
        assert_eq!(blobs.list(None, 10).expect("listed").len(), 1);
        blobs.delete(&[&blob.locator]).expect("deleted");
    }
    assert!(server.keys().is_empty());
}

#[test]
fn an_object_tells_its_hashes_and_headers() {
    let server = S3Server::start();
    let mut options = options(&server);
    options.cache_control = Some("max-age=60".into());
    options.object_metadata.insert("team".into(), "fraud".into());
    let blobs = open(options);
    let bytes = sample(12_000_000);
    // By one request, and by parts.
    for count in [1000, bytes.len()] {
        let hash = PayloadHasher::of(&bytes[..count], true, true);
        let mut writer =
            blobs.create(BlobHint { extension: "parquet", size: Some(count as u64), ..HINT }).expect("a writer");
        writer.note_hash(&hash);
        writer.write_all(&bytes[..count]).expect("written");
        let blob = writer.commit().expect("committed");
        let found = blobs.properties(&blob).expect("there");
        assert_eq!(found.size, count as u64);
        assert!(found.etag.is_some());
        assert_eq!(found.etag, blob.etag);
        assert_eq!(found.content_type.as_deref(), Some("application/vnd.apache.parquet"));
        assert_eq!(found.cache_control.as_deref(), Some("max-age=60"));
        assert_eq!(found.metadata.get("team").map(String::as_str), Some("fraud"));
        assert_eq!(found.hashes["xxh3"], format!("{:016x}", hash.file_hash.expect("a hash")));
        let blake3: String = hash.digest.expect("a hash").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found.hashes["blake3"], blake3);
    }
    // Of "abc": FIPS 180-2, appendix B.1.
    let found = blobs.properties(&put(&blobs, b"abc")).expect("there");
    assert_eq!(found.hashes["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn requests_are_counted() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let count = |work: &mut dyn FnMut()| {
        let before = server.requests();
        work();
        server.requests() - before
    };
    let bytes = sample(12 << 20);
    let mut blob = None;
    assert_eq!(count(&mut || blob = Some(put(&blobs, &bytes[..5 << 20]))), 1, "a blob of one part");
    assert_eq!(count(&mut || assert_eq!(get(&blobs, blob.as_ref().expect("put")).expect("read").len(), 5 << 20)), 1);
    assert_eq!(count(&mut || blob = Some(put(&blobs, &bytes))), 5, "begin, 3 parts, complete");
    let blob = blob.expect("put");
    assert_eq!(count(&mut || assert!(get(&blobs, &blob).expect("read") == bytes)), 3);
    let reader = blobs.open(&blob).expect("opened");
    assert_eq!(count(&mut || reader.read_exact_at(&mut [0; 100], 6_000_000).expect("read")), 1, "a slice");
    assert_eq!(count(&mut || drop(blobs.open(&blob).expect("opened"))), 0);
    let others: Vec<_> = (0..30).map(|_| put(&blobs, b"x").locator).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    assert_eq!(count(&mut || blobs.delete(&others).expect("deleted")), 1);
}

#[test]
fn a_url_is_read_without_credentials_until_it_expires() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let blob = put(&blobs, b"for everybody");
    let url = blobs.presign(&blob, Duration::from_secs(60)).expect("signed");
    let answer = fetch(&url);
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"for everybody"));
    let plain = url.split('?').next().expect("a path");
    assert!(!fetch(plain).starts_with(b"HTTP/1.1 200"), "without its signature");
    for expires in [Duration::ZERO, Duration::from_secs(8 * 24 * 3600)] {
        assert_eq!(blobs.presign(&blob, expires).expect_err("refused").kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_copy_is_made_by_the_server() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let blob = put(&blobs, &sample(100_000));
    let copy = blobs.copy(&blob, HINT).expect("copied");
    assert_ne!(copy.locator, blob.locator);
    blobs.delete(&[&blob.locator]).expect("deleted");
    assert!(get(&blobs, &copy).expect("there") == sample(100_000));
    assert_eq!(blobs.copy(&blob, HINT).expect_err("gone").kind(), ErrorKind::NotFound);
}

#[test]
fn an_object_that_was_overwritten_is_not_served() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let blob = put(&blobs, b"abc");
    let other = cacheness_core::backend::BlobRef { etag: Some("\"0123\"".into()), ..blob };
    assert_eq!(get(&blobs, &other).expect_err("another tag").kind(), ErrorKind::Integrity);
}

#[test]
fn a_call_in_an_asynchronous_program_works() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let blob = put(&blobs, &sample(12_000_000));
        assert!(get(&blobs, &blob).expect("read") == sample(12_000_000));
    });
}
