//! Stores by URL: which place and which backends a URL names.
//!
//! | URL | the store |
//! |---|---|
//! | `path`, `file:///path` | in this directory |
//! | `sqlite:///path`, `json:///path` | in this directory, with this metadata backend; four slashes for an absolute path |
//! | `:memory:`, `memory://` | in memory |
//! | `postgresql://user:password@host/database` | its entries are in this database |
//! | that of a registered metadata backend | its entries are there |

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use cacheness_core::config::{BackendUrl, CacheConfig, StoreConfig};
use cacheness_core::{Error, ErrorKind, Result};

use crate::place::Place;
use crate::registry;

/// What a URL says of a store.
///
/// ```
/// use cacheness::StoreUrl;
///
/// let url = StoreUrl::parse("json:///data/runs")?;
/// assert_eq!(url.directory.as_deref(), Some("data/runs".as_ref()));
/// assert_eq!(url.metadata_backend.as_deref(), Some("json"));
/// let error = StoreUrl::parse("mysql://ada:hush@db/cache").unwrap_err();
/// assert_eq!(error.to_string(), "mysql://ada:***@db/cache is no URL of a store");
/// # Ok::<(), cacheness::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreUrl {
    /// The directory, if it names one.
    pub directory: Option<PathBuf>,
    /// Whether it names a store in memory.
    pub in_memory: bool,
    /// The metadata backend, if it names one.
    pub metadata_backend: Option<String>,
    /// The database, if its entries are elsewhere.
    pub database_url: Option<BackendUrl>,
}

impl StoreUrl {
    /// Reads the URL, or the path, of a store; opens nothing.
    ///
    /// # Errors
    /// `InvalidInput`: it is malformed, no metadata backend has its scheme, or it names a file. Passwords are hidden.
    pub fn parse(text: &str) -> Result<Self> {
        let url = BackendUrl::from(text);
        let wrong = |what: &str, hint: String| {
            Err(Error::new(ErrorKind::InvalidInput, format!("{url} {what}")).with_hint(hint))
        };
        if text == ":memory:" {
            return Ok(Self { in_memory: true, ..Self::default() });
        }
        let in_directory = |path: PathBuf, backend: Option<&str>| {
            if path.as_os_str().is_empty() {
                return wrong("names no directory", "give a path, or a URL with a path".into());
            }
            if path.is_file() {
                return wrong(
                    "names a file, and a store is a directory",
                    "give the directory; a database outside of it is database_url".into(),
                );
            }
            Ok(Self { directory: Some(path), metadata_backend: backend.map(str::to_owned), ..Self::default() })
        };
        if let Some(path) = file_path(text) {
            return in_directory(path?, None);
        }
        match url.scheme() {
            None => in_directory(text.into(), None),
            Some("memory") => match text {
                "memory://" | "memory:///" => Ok(Self { in_memory: true, ..Self::default() }),
                _ => wrong("names more than memory", "a store in memory is memory://".into()),
            },
            Some(scheme @ ("sqlite" | "json")) => {
                let path = text.split_once("://").map_or("", |(_, path)| path);
                let Some(path) = path.strip_prefix('/') else {
                    return wrong(
                        "names a host",
                        format!("write {scheme}:///directory, or {scheme}:////directory for an absolute path"),
                    );
                };
                if path == ":memory:" {
                    return Ok(Self {
                        in_memory: true,
                        metadata_backend: (scheme == "sqlite").then(|| "sqlite_memory".to_owned()),
                        ..Self::default()
                    });
                }
                in_directory(path.into(), Some(scheme))
            }
            Some(scheme) => match registry::metadata_of_scheme(scheme) {
                Some(name) => Ok(Self {
                    metadata_backend: Some(name.to_owned()),
                    database_url: Some(url.clone()),
                    ..Self::default()
                }),
                None => wrong(
                    "is no URL of a store",
                    format!("the schemes are file, json, memory, {}", registry::metadata_schemes().join(", ")),
                ),
            },
        }
    }

    /// Sets the options of a store that the URL says.
    ///
    /// # Errors
    /// `InvalidInput`: the configuration has another metadata backend or database.
    pub fn apply(&self, config: &mut StoreConfig) -> Result<()> {
        set("metadata_backend", &mut config.metadata_backend, self.metadata_backend.as_ref())?;
        set("database_url", &mut config.database_url, self.database_url.as_ref())
    }
}

/// The blob backend that the URL, or the path, of blobs names.
///
/// # Errors
/// `InvalidInput`: it is malformed, or no blob backend has its scheme. Passwords are hidden.
pub fn blobs_url(text: &str) -> Result<BackendUrl> {
    let url = BackendUrl::from(text);
    if matches!(text, ":memory:" | "memory://" | "memory:///") {
        return Ok("memory".into());
    }
    if let Some(path) = file_path(text) {
        return of_path(&path?);
    }
    match url.scheme() {
        None => of_path(text.as_ref()),
        Some(scheme) if registry::has_blobs_of_scheme(scheme) => Ok(url),
        Some(_) => Err(Error::new(ErrorKind::InvalidInput, format!("{url} is no URL of blobs"))
            .with_hint(format!("the schemes are memory, {}", registry::blob_schemes().join(", ")))),
    }
}

/// Where a store that is opened by URLs is, and its options.
pub(crate) fn resolve(
    url: Option<&str>,
    blobs: Option<&str>,
    directory: Option<&Place>,
    config: &mut CacheConfig,
) -> Result<Place> {
    let url = url.map(StoreUrl::parse).transpose()?.unwrap_or_default();
    let store = &mut config.store;
    url.apply(store)?;
    if let Some(blobs) = blobs {
        set("blob_backend", &mut store.blob_backend, Some(&blobs_url(blobs)?))?;
    }
    let named = match (url.in_memory, url.directory) {
        (true, _) => Some(Place::Memory),
        (false, path) => path.map(Place::Directory),
    };
    match (named, directory) {
        (Some(named), Some(other)) if named != *other => {
            let what = "the URL names the place of the store, and so does the directory";
            Err(Error::new(ErrorKind::InvalidInput, what).with_hint("give one of them"))
        }
        (Some(named), _) => Ok(named),
        (None, Some(directory)) => Ok(directory.clone()),
        (None, None) if needs_no_directory(store)? => Ok(Place::Memory),
        (None, None) => Ok(Place::Directory("./cache".into())),
    }
}

/// Whether nothing of the store would be in its directory: entries and payloads are elsewhere, and so is the signing key.
///
/// # Errors
/// Those of the backends' options.
pub fn needs_no_directory(store: &StoreConfig) -> Result<bool> {
    let security = &store.security;
    let has_key = !security.enable_entry_signing
        || security.use_in_memory_key
        || Path::new(&security.signing_key_file).is_absolute();
    Ok(has_key && registry::is_elsewhere(store)?)
}

fn set<T: Clone + PartialEq>(name: &str, option: &mut Option<T>, value: Option<&T>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    match option {
        Some(other) if other != value => {
            let what = format!("the URL and {name} name two backends");
            Err(Error::new(ErrorKind::InvalidInput, what).with_hint(format!("leave {name} out, or the URL")))
        }
        _ => {
            *option = Some(value.clone());
            Ok(())
        }
    }
}

/// The URL of a directory of blobs.
fn of_path(path: &Path) -> Result<BackendUrl> {
    let wrong = |what: &str| {
        let what = format!("blobs: {} {what}", path.display());
        Err(Error::new(ErrorKind::InvalidInput, what)
            .with_hint("give the path of a directory, or a URL such as s3://bucket/prefix"))
    };
    if path.as_os_str().is_empty() {
        return wrong("is empty");
    }
    if path.to_str().is_none_or(|path| path == "~" || path.starts_with("~/") || path.contains('\0')) {
        return wrong("is no path of a directory");
    }
    let absolute =
        std::path::absolute(path).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))?;
    Ok(url_of_path(&absolute.to_string_lossy()).into())
}

/// An absolute path as a URL.
pub(crate) fn url_of_path(path: &str) -> String {
    let mut url = String::from("file://");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~+=,@:!$&'()*;".contains(&byte) {
            url.push(byte.into());
        } else {
            url += &format!("%{byte:02X}");
        }
    }
    url
}

/// The path in a URL of files; `None` if it is no such URL.
pub(crate) fn file_path(text: &str) -> Option<Result<PathBuf>> {
    let rest = text.strip_prefix("file:")?;
    let wrong = |what: &str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("{} {what}", BackendUrl::from(text)))
            .with_hint("a URL of a directory is file:///path"))
    };
    let path = match rest.strip_prefix("//") {
        Some(rest) => match rest.split_once('/') {
            Some(("" | "localhost", path)) => format!("/{path}"),
            Some(_) => return Some(wrong("names a host")),
            None => return Some(wrong("has no path")),
        },
        None => rest.to_owned(),
    };
    if path.contains(['?', '#']) {
        return Some(wrong("has more than a path"));
    }
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(0) | None => return Some(wrong("has a % that is not followed by two digits of a byte")),
            Some(byte) => bytes.push(byte),
        }
        rest = &after[2..];
    }
    Some(Ok(OsString::from_vec(bytes).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place_or_a_database() {
        let directory = |path: &str, backend: Option<&str>| StoreUrl {
            directory: Some(path.into()),
            metadata_backend: backend.map(str::to_owned),
            ..StoreUrl::default()
        };
        let memory = |backend: Option<&str>| StoreUrl {
            in_memory: true,
            metadata_backend: backend.map(str::to_owned),
            ..StoreUrl::default()
        };
        for (text, expected) in [
            ("data/runs", directory("data/runs", None)),
            ("/data/a b%20", directory("/data/a b%20", None)),
            ("file:///data/a%20b", directory("/data/a b", None)),
            ("file://localhost/data", directory("/data", None)),
            ("file:data", directory("data", None)),
            ("sqlite:///data", directory("data", Some("sqlite"))),
            ("sqlite:////data", directory("/data", Some("sqlite"))),
            ("json:////data", directory("/data", Some("json"))),
            ("memory://", memory(None)),
            (":memory:", memory(None)),
            ("sqlite:///:memory:", memory(Some("sqlite_memory"))),
        ] {
            assert_eq!(StoreUrl::parse(text).unwrap(), expected, "{text}");
        }
        for (text, what) in [
            ("", " names no directory"),
            ("file://host/data", "file://host/data names a host"),
            ("file://", "file:// has no path"),
            ("file:///a%2", "file:///a%2 has a % that is not followed by two digits of a byte"),
            ("file:///a%é", "file:///a%é has a % that is not followed by two digits of a byte"),
            ("file:///a?b", "file:///a?b has more than a path"),
            ("sqlite://data", "sqlite://data names a host"),
            ("memory://x", "memory://x names more than memory"),
            ("redis://ada:hush@h", "redis://ada:***@h is no URL of a store"),
        ] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, what), "{text}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn blobs_are_memory_a_directory_or_a_registered_scheme() {
        for (text, url) in [
            ("memory://", "memory"),
            ("/mnt/a b", "file:///mnt/a%20b"),
            ("file:///mnt/a%20b", "file:///mnt/a%20b"),
            ("file://localhost/mnt", "file:///mnt"),
        ] {
            assert_eq!(blobs_url(text).unwrap().as_str(), url);
        }
        assert!(blobs_url("blobs").unwrap().as_str().starts_with("file:///"));
        for text in ["", "~/blobs", "gcs://key:hush@bucket", "file://host/x"] {
            let error = blobs_url(text).unwrap_err();
            assert!(!error.to_string().contains("hush") && error.hint().is_some(), "{error}");
        }
        let path = "/mnt/Größe %?#\u{7f}";
        assert_eq!(file_path(&url_of_path(path)).unwrap().unwrap(), PathBuf::from(path));
    }
}
