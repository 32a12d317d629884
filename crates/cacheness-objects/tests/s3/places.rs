//! A prefix belongs to one store.

use cacheness_core::ErrorKind;
use cacheness_core::backend::BlobBackend;
use cacheness_objects::S3Options;
use cacheness_testkit::s3::S3Server;
use std::time::Duration;

use crate::{get, open, options, put};

#[test]
fn another_store_is_refused() {
    let server = S3Server::start();
    let first = open(options(&server)).of_store("0123");
    first.claim().expect("an empty prefix");
    first.claim().expect("its own prefix");
    let blob = put(&first, b"abc");
    let second = open(options(&server)).of_store("4567");
    assert_eq!(second.claim().expect_err("taken").kind(), ErrorKind::NotAStore);
    // Nor does it list the other's blobs, to delete those that it does not know.
    assert_eq!(second.list(None, 10).expect_err("taken").kind(), ErrorKind::NotAStore);
    assert_eq!(second.sweep(Duration::ZERO).expect_err("taken").kind(), ErrorKind::NotAStore);
    let beside = open(S3Options { prefix: "other/".into(), ..options(&server) }).of_store("4567");
    beside.claim().expect("a prefix of its own");
    assert!(beside.list(None, 10).expect("listed").is_empty());
    // Opened again, as its directory records it.
    let again = open(options(&server)).of_store("0123");
    assert_eq!(again.list(None, 10).expect("listed").len(), 1);
    assert_eq!(get(&again, &blob).expect("read"), b"abc");
}

#[test]
fn a_store_inside_of_the_prefix_of_another_keeps_its_blobs() {
    let server = S3Server::start();
    let outer = open(S3Options { prefix: String::new(), ..options(&server) });
    let inner = open(S3Options { prefix: "inner/".into(), ..options(&server) });
    let blob = put(&inner, b"abc");
    assert!(outer.list(None, 10).expect("listed").is_empty());
    assert_eq!(outer.sweep(Duration::ZERO).expect("swept"), 0);
    assert_eq!(get(&inner, &blob).expect("read"), b"abc");
}
