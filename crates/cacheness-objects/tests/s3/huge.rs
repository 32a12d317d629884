//! The memory that a large blob takes, whatever its size.

use std::fs;
use std::io::Write;

use cacheness_core::backend::BlobBackend;
use cacheness_testkit::child::Child;
use cacheness_testkit::s3::S3Server;

use crate::{HINT, open, options, sample};

/// The most that a put and a get may add to the memory of a process, in bytes.
const MOST: u64 = 200_000_000;

/// A number of kB in `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}

/// One gigabyte; 5 in `scripts/soak.sh`.
#[test]
fn a_large_blob_takes_little_memory() {
    let gigabytes = if std::env::var_os("CACHENESS_SOAK").is_some() { 5 } else { 1 };
    let server = S3Server::start();
    let piece = sample(1 << 20);
    // The server is in this process; the client is not.
    let child = Child::start(|| {
        let blobs = open(cacheness_objects::S3Options { part_size_mb: 8, ..options(&server) });
        let count = gigabytes * 1000_u64.pow(3) / piece.len() as u64;
        // Forgets the peak so far.
        fs::write("/proc/self/clear_refs", "5").expect("Linux");
        let before = memory("VmRSS:");
        let mut writer = blobs.create(HINT).expect("a writer");
        for _ in 0..count {
            writer.write_all(&piece).expect("written");
        }
        let blob = writer.commit().expect("committed");
        assert_eq!(blob.size, count * piece.len() as u64);
        let written = memory("VmHWM:").saturating_sub(before);
        let reader = blobs.open(&blob).expect("opened");
        let mut buffer = vec![0; 64 << 20];
        for (number, offset) in (0..blob.size).step_by(buffer.len()).enumerate() {
            let length = usize::try_from((blob.size - offset).min(buffer.len() as u64)).expect("small");
            reader.read_exact_at(&mut buffer[..length], offset).expect("read");
            assert!(buffer[..piece.len()] == piece[..], "part {number} differs");
        }
        let all = memory("VmHWM:").saturating_sub(before);
        println!("{gigabytes} GB: {} MB to write, {} MB in all", written / 1_000_000, all / 1_000_000);
        assert!(written < MOST, "writing took {written} bytes");
        assert!(all < MOST, "reading took {all} bytes, with a buffer of {}", buffer.len());
    });
    child.join();
}
