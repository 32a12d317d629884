//! The backend against moto, a server by other people: what the other one lacks, and the same contract.
//!
//! `CACHENESS_PYTHON` is an interpreter that has moto; `make test` sets it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cacheness_core::backend::BlobBackend;
use cacheness_core::clock::Clock;
use cacheness_objects::S3Options;
use cacheness_testkit::conformance::{self, BlobFixture};

use crate::{HINT, get, open, put, sample};

/// Serves until its standard input ends, with this process at the latest. A line asks for objects: the bucket, their number.
const SERVER: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(port, flush=True)
for line in sys.stdin:
    from moto.s3.models import s3_backends
    bucket, count = line.split()
    backend = s3_backends['123456789012']['aws']
    for i in range(int(count)):
        backend.put_object(bucket, f'p/{i % 256:02x}/{i % 256:02x}{i:014x}-{i * 7919:012x}.bin', b'x')
    print('filled', flush=True)
server.stop()
";

struct Moto {
    server: Child,
    output: BufReader<std::process::ChildStdout>,
    endpoint: String,
    buckets: AtomicUsize,
}

impl Moto {
    fn start() -> Self {
        let python = std::env::var("CACHENESS_PYTHON").expect("CACHENESS_PYTHON names an interpreter");
        let mut server = Command::new(python)
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("an interpreter");
        let mut line = String::new();
        let mut output = BufReader::new(server.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("a line");
        let port: u16 = line.trim().parse().expect("moto prints its port");
        Self { server, output, endpoint: format!("http://127.0.0.1:{port}"), buckets: AtomicUsize::new(0) }
    }

    /// Options for a new bucket.
    fn bucket(&self) -> S3Options {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let host = self.endpoint.strip_prefix("http://").expect("a URL");
        let mut stream = std::net::TcpStream::connect(host).expect("connected");
        write!(
            stream,
            "PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("answered");
        assert!(answer.contains(" 200 "), "{answer}");
        S3Options {
            bucket,
            prefix: "p/".into(),
            endpoint_url: Some(self.endpoint.clone()),
            access_key: Some("a".into()),
            secret_key: Some("b".into()),
            part_size_mb: 5,
            // So that the first part has arrived when the third is sent: moto says that all uploads began in 2010.
            max_concurrency: 1,
            ..S3Options::default()
        }
    }

    /// Makes many objects.
    fn fill(&mut self, options: &S3Options, count: usize) {
        writeln!(self.server.stdin.as_ref().expect("piped"), "{} {count}", options.bucket).expect("asked");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "filled");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().expect("moto ends");
    }
}

#[test]
fn it_is_a_blob_backend_there_too() {
    let moto = Moto::start();
    conformance::blobs(|| BlobFixture {
        backend: Box::new(open(moto.bucket())),
        assert_no_leftovers: Box::new(|| {}),
        settle: Box::new(|| {}),
        clock: Clock::system(),
        keep: None,
    });
}

#[test]
fn unfinished_uploads_are_swept() {
    let moto = Moto::start();
    let options = moto.bucket();
    let blobs = open(options.clone());
    let begin = || {
        let mut writer = blobs.create(HINT).expect("a writer");
        writer.write_all(&sample(11_000_000)).expect("written");
        writer
    };
    // A process that was killed: nothing is aborted.
    for _ in 0..3 {
        std::mem::forget(begin());
    }
    let mut running = begin();
    assert_eq!(blobs.sweep(Duration::from_secs(3600)).expect("swept"), 0, "they are young");
    // Uploads below another prefix belong to others.
    let others = open(S3Options { prefix: "q/".into(), ..options });
    assert_eq!(others.sweep(Duration::ZERO).expect("swept"), 0);
    running.write_all(b"end").expect("written");
    let blob = running.commit().expect("committed");
    assert_eq!(blobs.sweep(Duration::ZERO).expect("swept"), 3);
    assert_eq!(blobs.sweep(Duration::ZERO).expect("swept"), 0);
    assert!(get(&blobs, &blob).expect("there").ends_with(b"end"));
}

#[test]
fn a_storage_class_and_encryption_are_asked_for() {
    let moto = Moto::start();
    for sse in ["AES256", "aws:kms"] {
        let options = S3Options {
            storage_class: Some("STANDARD_IA".into()),
            server_side_encryption: Some(sse.into()),
            ..moto.bucket()
        };
        let blobs = open(options);
        for count in [1000, 6_000_000] {
            let bytes = sample(count);
            let blob = put(&blobs, &bytes);
            assert!(get(&blobs, &blob).expect("read") == bytes);
            let url = blobs.presign(&blob, Duration::from_secs(60)).expect("signed");
            let head = head_of(&url).to_ascii_lowercase();
            assert!(head.contains("x-amz-storage-class: standard_ia"), "{head}");
            assert!(head.contains(&format!("x-amz-server-side-encryption: {}", sse.to_lowercase())), "{head}");
        }
    }
}

/// The headers of the answer to a GET.
fn head_of(url: &str) -> String {
    let rest = url.strip_prefix("http://").expect("a URL without TLS");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut stream = std::net::TcpStream::connect(host).expect("connected");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("text"));
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn more_objects_than_a_page_are_listed() {
    const COUNT: usize = 10_500;
    let mut moto = Moto::start();
    let options = moto.bucket();
    moto.fill(&options, COUNT);
    let blobs = open(options);
    let found = blobs.list(None, usize::MAX).expect("listed");
    assert_eq!(found.len(), COUNT);
    assert!(found.is_sorted_by(|a, b| a.locator < b.locator));
    let rest = blobs.list(Some(&found[4321].locator), 3000).expect("listed");
    assert_eq!(rest, found[4322..7322]);
    let locators: Vec<&str> = found.iter().map(|blob| blob.locator.as_str()).collect();
    blobs.delete(&locators).expect("deleted");
    assert!(blobs.list(None, 1).expect("listed").is_empty());
}
