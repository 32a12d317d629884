//! A server that fails: every call succeeds after all, or fails with its kind and in bounded time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cacheness_core::backend::BlobBackend;
use cacheness_core::{Error, ErrorKind};
use cacheness_objects::{S3Blobs, S3Options};
use cacheness_testkit::s3::{BUCKET, Fault, S3Server, Seen};

use crate::{get, open, options, put, sample};

/// A request that fails is not sent again for more than a few seconds.
fn hasty(server: &S3Server) -> S3Blobs {
    open(S3Options {
        max_retries: 2,
        retry_timeout_seconds: 4.0,
        request_timeout_seconds: 1.0,
        connect_timeout_seconds: 1.0,
        ..options(server)
    })
}

/// Fails the first `count` requests that `which` chooses.
fn first(count: usize, fault: Fault, which: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> impl Fn(&Seen) -> Fault {
    let left = AtomicUsize::new(count);
    move |seen| {
        let chosen =
            which(seen) && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if chosen { fault } else { Fault::None }
    }
}

#[test]
fn what_passes_is_tried_again() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let bytes = sample(11_000_000);
    let faults = [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(503, "ServiceUnavailable"),
        Fault::Status(429, "TooManyRequests"),
        Fault::Refused,
        Fault::Lost,
    ];
    for fault in faults {
        for method in ["PUT", "POST", "GET"] {
            server.fail(first(2, fault, move |seen| seen.method == method));
            let (small, large) = (put(&blobs, b"small"), put(&blobs, &bytes));
            assert_eq!(get(&blobs, &small).expect("read"), b"small", "{fault:?} {method}");
            assert!(get(&blobs, &large).expect("read") == bytes, "{fault:?} {method}");
            server.heal();
            // An upload whose beginning was served, and its answer lost, is left to a sweep.
            assert!(fault == Fault::Lost || server.uploads() == 0, "{fault:?} {method}");
            blobs.delete(&[&small.locator, &large.locator]).expect("deleted");
        }
    }
    // The answer to a completion may be an error although its status is 200.
    server.fail(first(1, Fault::ErrorInside("InternalError"), |seen| {
        seen.method == "POST" && seen.query.contains("uploadId")
    }));
    let large = put(&blobs, &bytes);
    server.heal();
    assert!(get(&blobs, &large).expect("read") == bytes);
}

#[test]
fn a_body_that_is_cut_is_read_on() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let bytes = sample(11_000_000);
    let blob = put(&blobs, &bytes);
    for at in [0, 1, 4_000_000] {
        server.fail(first(3, Fault::Cut(at), |seen| seen.method == "GET"));
        assert!(get(&blobs, &blob).expect("read") == bytes, "cut at {at}");
    }
}

#[test]
fn what_stays_fails_with_its_kind() {
    let server = S3Server::start();
    let blobs = hasty(&server);
    let blob = put(&blobs, b"abc");
    let call = |name: &str| -> Error {
        let started = Instant::now();
        let error = match name {
            "get" => get(&blobs, &blob).map(drop),
            "put" => {
                let mut writer = blobs.create(crate::HINT).expect("a writer");
                std::io::Write::write_all(&mut writer, b"abc").expect("in memory");
                writer.commit().map(drop)
            }
            "parts" => {
                let mut writer = blobs.create(crate::HINT).expect("a writer");
                let written = std::io::Write::write_all(&mut writer, &sample(11_000_000));
                match written {
                    Ok(()) => writer.commit().map(drop),
                    Err(error) => Err(Error::io("cannot write", error)),
                }
            }
            "list" => blobs.list(None, 10).map(drop),
            "delete" => blobs.delete(&[&blob.locator, &blob.locator]),
            "properties" => blobs.properties(&blob).map(drop),
            other => panic!("{other}"),
        };
        assert!(started.elapsed() < Duration::from_secs(30), "{name} took {:?}", started.elapsed());
        error.expect_err("the server fails")
    };
    for (fault, kind) in [
        (Fault::Status(500, "InternalError"), ErrorKind::Unavailable),
        (Fault::Status(503, "SlowDown"), ErrorKind::Unavailable),
        (Fault::Status(403, "AccessDenied"), ErrorKind::Denied),
        (Fault::Status(403, "SignatureDoesNotMatch"), ErrorKind::Denied),
        (Fault::Status(301, "PermanentRedirect"), ErrorKind::InvalidInput),
        (Fault::Refused, ErrorKind::Unavailable),
        (Fault::Silent, ErrorKind::TimedOut),
    ] {
        server.fail(move |_| fault);
        for name in ["get", "put", "parts", "list", "delete", "properties"] {
            let error = call(name);
            assert_eq!(error.kind(), kind, "{name}, {fault:?}: {}", error.with_causes());
            let retryable = matches!(kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
            assert_eq!(error.is_retryable(), retryable);
            let text = error.with_causes().to_string();
            assert!(!text.contains("not-a-secret") && !text.contains("Signature="), "{text}");
        }
    }
    server.heal();
    assert_eq!(get(&blobs, &blob).expect("read"), b"abc");
}

#[test]
fn nothing_listens() {
    let server = S3Server::start();
    let options = S3Options { endpoint_url: Some("http://127.0.0.1:9".into()), ..options(&server) };
    let blobs = open(S3Options { max_retries: 1, ..options });
    let error = blobs.list(None, 1).expect_err("nothing listens");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.with_causes());
    assert!(error.is_retryable());
}

#[test]
fn wrong_credentials_and_a_missing_bucket_are_named() {
    let server = S3Server::start();
    let wrong = open(S3Options { secret_key: Some("wrong".into()), ..options(&server) });
    let error = wrong.list(None, 1).expect_err("a wrong secret");
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.with_causes());
    let lost = open(S3Options { bucket: "no-such-bucket".into(), ..options(&server) });
    let error = lost.list(None, 1).expect_err("no bucket");
    assert_eq!(error.kind(), ErrorKind::Storage, "{}", error.with_causes());
    assert!(error.hint().is_some_and(|hint| hint.contains("bucket")));
}

#[test]
fn an_upload_that_fails_leaves_nothing() {
    let server = S3Server::start();
    let blobs = hasty(&server);
    server.fail(
        |seen| if seen.query.contains("partNumber=2") { Fault::Status(403, "AccessDenied") } else { Fault::None },
    );
    let mut writer = blobs.create(crate::HINT).expect("a writer");
    let written = std::io::Write::write_all(&mut writer, &sample(30_000_000));
    let error = match written {
        Ok(()) => writer.commit().map(drop).expect_err("a part is refused"),
        Err(error) => {
            writer.abort().expect("aborted");
            Error::io("cannot write", error)
        }
    };
    assert_eq!(error.kind(), ErrorKind::Denied);
    let started = Instant::now();
    while server.uploads() > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "the upload is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(server.keys().is_empty());
}

#[test]
fn a_completion_whose_answer_is_lost_is_found() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    // The second attempt finds no upload any more.
    server.fail(first(1, Fault::Lost, |seen| seen.method == "POST" && seen.query.contains("uploadId")));
    let blob = put(&blobs, &sample(11_000_000));
    assert!(get(&blobs, &blob).expect("read") == sample(11_000_000));
    assert_eq!(server.keys().len(), 1, "in {BUCKET}");
}
