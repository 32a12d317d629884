//! The backend against real servers: one in this process, and moto, which is written by other people.

mod conformance;
mod faults;
mod fork;
mod huge;
mod moto;
mod objects;
mod places;

use std::io::Write;

use cacheness_core::backend::{BlobBackend, BlobHint, BlobRef};
use cacheness_objects::{S3Blobs, S3Options};
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

const HINT: BlobHint<'static> = BlobHint { stem: "0123456789abcdef", extension: "bin", size: None };

/// Options for the bucket of `server`.
fn options(server: &S3Server) -> S3Options {
    S3Options {
        bucket: BUCKET.into(),
        prefix: "tests/".into(),
        region: Some("us-east-1".into()),
        endpoint_url: Some(server.endpoint()),
        access_key: Some(ACCESS_KEY.into()),
        secret_key: Some(SECRET_KEY.into()),
        part_size_mb: 5,
        ..S3Options::default()
    }
}

fn open(options: S3Options) -> S3Blobs {
    S3Blobs::new(options, 2).expect("valid options")
}

fn put(blobs: &dyn BlobBackend, bytes: &[u8]) -> BlobRef {
    let mut writer = blobs.create(HINT).expect("a writer");
    writer.write_all(bytes).expect("written");
    writer.commit().expect("committed")
}

fn get(blobs: &dyn BlobBackend, blob: &BlobRef) -> cacheness_core::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(blob.size).expect("small")];
    blobs.open(blob)?.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Bytes without repetition.
fn sample(count: usize) -> Vec<u8> {
    (0..count as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]).collect()
}
