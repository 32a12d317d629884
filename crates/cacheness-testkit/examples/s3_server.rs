//! Serves S3 until its standard input ends: for benchmarks, and to look at objects with other tools.
//!
//! Prints the URL, the bucket, the access key and the secret key, in one line.

use std::io::Read;

use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

fn main() -> std::io::Result<()> {
    let server = S3Server::start();
    println!("{} {BUCKET} {ACCESS_KEY} {SECRET_KEY}", server.endpoint());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
