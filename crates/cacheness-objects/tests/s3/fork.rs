//! A forked child connects anew, whatever its parent is doing.

use std::sync::atomic::{AtomicBool, Ordering};

use cacheness_core::backend::BlobBackend;
use cacheness_testkit::child::Child;
use cacheness_testkit::s3::S3Server;

use crate::{get, open, options, put, sample};

#[test]
fn a_child_uses_the_backend_of_its_parent() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let bytes = sample(11_000_000);
    let blob = put(&blobs, &bytes);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let own = put(&blobs, &bytes[..100_000]);
                    assert!(get(&blobs, &own).expect("read") == bytes[..100_000]);
                }
            });
        }
        for _ in 0..8 {
            let child = Child::start(|| {
                assert!(get(&blobs, &blob).expect("read") == bytes);
                let own = put(&blobs, &bytes);
                assert!(get(&blobs, &own).expect("read") == bytes);
            });
            child.join();
            assert!(get(&blobs, &blob).expect("read") == bytes);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_child_leaves_the_upload_of_its_parent_alone() {
    let server = S3Server::start();
    let blobs = open(options(&server));
    let bytes = sample(11_000_000);
    let mut writer = blobs.create(crate::HINT).expect("a writer");
    std::io::Write::write_all(&mut writer, &bytes[..6_000_000]).expect("written");
    let mut slot = Some(writer);
    let child = Child::start(|| drop(slot.take()));
    child.join();
    let mut writer = slot.take().expect("the parent has its own");
    std::io::Write::write_all(&mut writer, &bytes[6_000_000..]).expect("written");
    let blob = writer.commit().expect("committed");
    assert!(get(&blobs, &blob).expect("read") == bytes);
}
