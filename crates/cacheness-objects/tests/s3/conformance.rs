//! The contract of blob backends.

use std::time::{Duration, Instant};

use cacheness_core::clock::Clock;
use cacheness_testkit::conformance::{self, BlobFixture};
use cacheness_testkit::s3::S3Server;

use crate::{open, options};

#[test]
fn it_is_a_blob_backend() {
    conformance::blobs(|| {
        let server = std::sync::Arc::new(S3Server::start());
        let seen = std::sync::Arc::clone(&server);
        BlobFixture {
            backend: Box::new(open(options(&server))),
            // A dropped writer is aborted in the background.
            assert_no_leftovers: Box::new(move || {
                let started = Instant::now();
                while seen.uploads() > 0 {
                    assert!(started.elapsed() < Duration::from_secs(20), "an upload is left");
                    std::thread::sleep(Duration::from_millis(10));
                }
            }),
            settle: Box::new(|| {}),
            clock: Clock::system(),
            keep: Some(Box::new(server)),
        }
    });
}
