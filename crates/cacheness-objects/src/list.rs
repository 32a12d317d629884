//! What is in the bucket: blobs, and uploads that nobody finishes.

use std::time::Duration;

use cacheness_core::backend::BlobInfo;
use cacheness_core::backends::locator::{BLOBS, Locator};
use cacheness_core::clock::{Clock, Timestamp};
use cacheness_core::{Error, ErrorKind, Result};
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Method;
use serde::Deserialize;

use crate::client::Client;
use crate::runtime::wait;
use crate::{Bucket, error, path_of};

/// The maximum number of objects that a request lists.
const PAGE: usize = 1000;

/// The locator of an object, if it is a blob of this store.
fn locator(prefix: &str, key: &str) -> Option<String> {
    let locator = format!("{BLOBS}/{}", key.strip_prefix(prefix)?);
    Locator::parse(&locator).is_ok().then_some(locator)
}

/// A page of blobs, in ascending byte order of their locators.
pub(crate) fn list(bucket: &Bucket, after: Option<&str>, limit: usize) -> Result<Vec<BlobInfo>> {
    let prefix = bucket.options.prefix.as_str();
    let client = bucket.client()?;
    let after = after.unwrap_or_default();
    let directory = format!("{BLOBS}/");
    // Up to the first character that an answer in XML cannot repeat; what comes before `after` then is left out below.
    let start = after.strip_prefix(&directory).map(|rest| {
        let printable = rest.find(|c: char| c.is_control()).unwrap_or(rest.len());
        format!("{prefix}{}", &rest[..printable])
    });
    if start.is_none() && after > directory.as_str() {
        return Ok(Vec::new());
    }
    let mut found: Vec<BlobInfo> = Vec::new();
    let mut token = None;
    wait(async {
        while found.len() < limit {
            let options = PaginatedListOptions {
                // A listing that goes on begins where its token says.
                offset: start.clone().filter(|start| token.is_none() && start.len() > prefix.len()),
                max_keys: Some((limit - found.len()).clamp(2, PAGE)),
                page_token: token.take(),
                ..PaginatedListOptions::default()
            };
            let wanted = Some(prefix).filter(|prefix| !prefix.is_empty());
            let page = client.s3.list_paginated(wanted, options).await;
            let page = page.map_err(|e| error::of_store("cannot list the bucket", &e))?;
            for object in page.result.objects {
                if let Some(locator) = locator(prefix, object.location.as_ref()).filter(|found| found.as_str() > after)
                {
                    let modified = Timestamp(object.last_modified.timestamp_micros());
                    found.push(BlobInfo { locator, size: object.size, modified });
                }
            }
            token = page.page_token;
            if token.is_none() {
                break;
            }
        }
        Ok(())
    })?;
    found.truncate(limit);
    Ok(found)
}

/// Deletes blobs, a thousand with a request.
pub(crate) fn delete(bucket: &Bucket, locators: &[&str]) -> Result<()> {
    let mut first = Ok(());
    let mut paths = Vec::with_capacity(locators.len());
    for locator in locators {
        match path_of(&bucket.options, locator) {
            Ok(path) => paths.push(path),
            Err(error) => first = first.and(Err(error)),
        }
    }
    if paths.is_empty() {
        return first;
    }
    let client = bucket.client()?;
    let action = "cannot delete blobs";
    let deleted = wait(async {
        let mut first = Ok(());
        if let [path] = &paths[..] {
            // Servers that know no deletion of many know this one.
            first = object_store::ObjectStoreExt::delete(&client.s3, path).await;
        } else {
            let mut results = client.s3.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
            while let Some(result) = results.next().await {
                first = first.and(result.map(drop));
            }
        }
        match first {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error::of_store(action, &error)),
        }
    });
    // A bucket that is gone has no blobs, but it may be back tomorrow.
    first.and(deleted)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
    #[serde(default)]
    upload: Vec<Unfinished>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unfinished {
    key: String,
    upload_id: String,
    initiated: DateTime<Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Arrived {
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_part_number_marker: Option<String>,
    #[serde(default)]
    part: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    last_modified: DateTime<Utc>,
}

/// Whether a part of the upload has arrived after `until`; also if that cannot be found out, because it has ended.
async fn is_active(client: &Client, found: &Unfinished, until: i64) -> Result<bool> {
    let action = "cannot list the parts of an unfinished upload";
    let path = Path::parse(&found.key).map_err(|e| Error::new(ErrorKind::Integrity, action).with_source(e))?;
    let mut marker = None;
    loop {
        let mut query = vec![("uploadId".to_owned(), found.upload_id.clone())];
        query.extend(marker.take().map(|marker| ("part-number-marker".to_owned(), marker)));
        let body = match client.request(action, Method::GET, &path, query).await {
            Ok(body) => body,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound | ErrorKind::Storage => Ok(true),
                    // The age of the upload has to do.
                    ErrorKind::Unsupported | ErrorKind::Denied => Ok(false),
                    _ => Err(error),
                };
            }
        };
        let page: Arrived = parsed(action, &body)?;
        if page.part.iter().any(|part| part.last_modified.timestamp_micros() > until) {
            return Ok(true);
        }
        match page.next_part_number_marker {
            Some(next) if page.is_truncated => marker = Some(next),
            _ => return Ok(false),
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(action: &str, body: &str) -> Result<T> {
    quick_xml::de::from_str(body).map_err(|error| {
        Error::new(ErrorKind::Storage, format!("{action}: the answer is not that of S3")).with_source(error)
    })
}

/// Aborts the uploads of blobs of which nothing has arrived since `age` ago; returns their number.
pub(crate) fn sweep(bucket: &Bucket, age: Duration) -> Result<u64> {
    let client = bucket.client()?;
    let prefix = &bucket.options.prefix;
    let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let until = Clock::system().now().0.saturating_sub(micros);
    let action = "cannot list the unfinished uploads of the bucket";
    let (mut old, mut marker) = (Vec::new(), None);
    let listed = wait(async {
        loop {
            let mut query = vec![("uploads".into(), String::new()), ("max-uploads".into(), PAGE.to_string())];
            if !prefix.is_empty() {
                query.push(("prefix".into(), prefix.clone()));
            }
            if let Some((key, upload)) = marker.take() {
                query.extend([("key-marker".into(), key), ("upload-id-marker".into(), upload)]);
            }
            let body = client.request(action, Method::GET, &Path::ROOT, query).await?;
            let page: Uploads = parsed(action, &body)?;
            let is_ours = |found: &Unfinished| locator(prefix, &found.key).is_some();
            let is_old = |found: &Unfinished| found.initiated.timestamp_micros() <= until;
            old.extend(page.upload.into_iter().filter(|found| is_ours(found) && is_old(found)));
            match (page.is_truncated, page.next_key_marker, page.next_upload_id_marker) {
                (true, Some(key), Some(upload)) => marker = Some((key, upload)),
                _ => return Ok(()),
            }
        }
    });
    match listed {
        Ok(()) => {}
        // A lifecycle rule of the bucket does it, see docs/s3.md.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied) => {
            log::info!("unfinished uploads are left to a lifecycle rule of the bucket: {}", error.with_causes());
            return Ok(0);
        }
        Err(error) => return Err(error),
    }
    let abort = |found: Unfinished| {
        let client = &client;
        async move {
            if is_active(client, &found, until).await? {
                return Ok(0);
            }
            let action = "cannot abort an unfinished upload";
            let path = Path::parse(&found.key).map_err(|e| Error::new(ErrorKind::Integrity, action).with_source(e))?;
            match client.s3.abort_multipart(&path, &found.upload_id).await {
                Ok(()) => Ok(1),
                Err(object_store::Error::NotFound { .. }) => Ok(0),
                Err(error) => Err(error::of_store(action, &error)),
            }
        }
    };
    let aborted = stream::iter(old).map(abort).buffer_unordered(bucket.options.max_concurrency);
    wait(aborted.try_fold(0, |sum, count| async move { Ok(sum + count) }))
}
