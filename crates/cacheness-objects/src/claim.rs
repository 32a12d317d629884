//! Whose objects these are: a prefix belongs to one store, which records its id in the object `cacheness-store`.
//!
//! A store deletes the blobs that none of its entries names. Two stores with one prefix would delete each other's.

use bytes::Bytes;
use cacheness_core::{Error, ErrorKind, Result};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutOptions, PutPayload};

use crate::runtime::wait;
use crate::{Bucket, error};

/// The name of the object, after the prefix. It is no locator, so that no listing of blobs shows it.
const MARK: &str = "cacheness-store";

/// The longest id that is read.
const LONGEST: u64 = 256;

fn mark(bucket: &Bucket) -> Result<Path> {
    let key = format!("{}{MARK}", bucket.options.prefix);
    Path::parse(&key)
        .map_err(|e| Error::new(ErrorKind::InvalidInput, format!("prefix: {key:?} is no key")).with_source(e))
}

/// Records the store's id, unless another store's is there.
///
/// # Errors
/// `NotAStore`: the prefix belongs to another store.
pub(crate) fn claim(bucket: &Bucket, id: &str) -> Result<()> {
    let (client, path) = (bucket.client()?, mark(bucket)?);
    if let Some(other) = owner(bucket)? {
        return if other == id { Ok(()) } else { Err(foreign(bucket)) };
    }
    let action = format!("cannot use the bucket {:?}", bucket.options.bucket);
    let payload = PutPayload::from(Bytes::from(id.to_owned()));
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    // Servers that ignore the condition let the last of two writers win, which both find out below.
    let put = wait(async { Ok(client.s3.put_opts(&path, payload.clone(), options).await) })?;
    match put {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(first) => {
            let error = error::of_store(&action, &first);
            if error.kind() != ErrorKind::Unsupported {
                return Err(error);
            }
            wait(async {
                let plain = client.s3.put_opts(&path, payload, PutOptions::default()).await;
                plain.map_err(|e| error::of_store(&action, &e))
            })?;
        }
    }
    match owner(bucket)? {
        Some(owner) if owner == id => Ok(()),
        _ => Err(foreign(bucket)),
    }
}

/// Checks that the prefix belongs to the store.
///
/// # Errors
/// `NotAStore`: it belongs to another one.
pub(crate) fn check(bucket: &Bucket, id: &str) -> Result<()> {
    match owner(bucket)? {
        Some(owner) if owner == id => Ok(()),
        Some(_) => Err(foreign(bucket)),
        None => {
            let place = bucket.options.location();
            Err(Error::new(ErrorKind::NotAStore, format!("{place} has lost the mark of its store")).with_hint(
                "nothing is deleted there; put the object cacheness-store back, with the id of cacheness.toml in it",
            ))
        }
    }
}

/// The id of the store that the prefix belongs to.
fn owner(bucket: &Bucket) -> Result<Option<String>> {
    let (client, path) = (bucket.client()?, mark(bucket)?);
    let action = format!("cannot use the bucket {:?}", bucket.options.bucket);
    wait(async {
        let found = match client.s3.get_opts(&path, GetOptions::default()).await {
            Ok(found) if found.meta.size <= LONGEST => found.bytes().await.map_err(|e| error::of_store(&action, &e))?,
            Ok(_) => return Ok(Some(String::new())),
            Err(error) => {
                let error = error::of_store(&action, &error);
                return if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        Ok(Some(String::from_utf8_lossy(&found).trim().to_owned()))
    })
}

fn foreign(bucket: &Bucket) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} belongs to another store", bucket.options.location()))
        .with_hint("give a store a prefix of its own; to take over one whose store is gone, delete all of its objects")
}
