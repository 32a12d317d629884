//! The path of a database outside its store's directory.

use std::path::PathBuf;

use super::StoreConfig;
use crate::error::{Error, ErrorKind, Result};

impl StoreConfig {
    /// The path in [`database_url`](Self::database_url), which is a path or a URL of SQLite.
    ///
    /// # Errors
    /// - `InvalidInput`: it is empty, a database in memory, or the metadata backend is not SQLite.
    /// - `Unsupported`: it is a URL of another database.
    pub fn database_path(&self) -> Result<Option<PathBuf>> {
        let Some(url) = &self.database_url else { return Ok(None) };
        let wrong = |what: String, hint: &'static str| Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint));
        let path = match url.split_once("://") {
            Some(("sqlite", path)) => path.strip_prefix('/').unwrap_or(path),
            // Not the whole URL: it may contain a password.
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-') => {
                let what = format!("database_url is a URL of {scheme}, which is not available yet");
                return Err(Error::new(ErrorKind::Unsupported, what).with_hint("give the path of a SQLite database"));
            }
            _ => url,
        };
        if path.is_empty() || path.contains('\0') {
            return wrong(format!("database_url is {url:?}"), "give the path of a file, or sqlite:///path");
        }
        if path == ":memory:" {
            return wrong(
                format!("database_url is {url:?}"),
                "use metadata_backend = \"sqlite_memory\" for one in memory",
            );
        }
        match self.metadata_backend.as_deref() {
            None | Some("sqlite") => Ok(Some(path.into())),
            Some(other) => wrong(
                format!("database_url is given, and the metadata backend is {other:?}"),
                "remove one of the two: only \"sqlite\" has a database",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(url: &str, backend: Option<&str>) -> Result<Option<PathBuf>> {
        let metadata_backend = backend.map(str::to_owned);
        StoreConfig { database_url: Some(url.into()), metadata_backend, ..StoreConfig::default() }.database_path()
    }

    #[test]
    fn a_path_is_a_url_too() {
        assert_eq!(StoreConfig::default().database_path().unwrap(), None);
        for (url, path) in [
            ("./x.db", "./x.db"),
            ("sqlite:///x.db", "x.db"),
            ("sqlite:////var/x.db", "/var/x.db"),
            ("/odd/a:b.db", "/odd/a:b.db"),
        ] {
            assert_eq!(path_of(url, Some("sqlite")).unwrap(), Some(path.into()), "{url}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_without_its_password() {
        for (url, backend, kind) in [
            ("", None, ErrorKind::InvalidInput),
            ("sqlite:///", None, ErrorKind::InvalidInput),
            (":memory:", None, ErrorKind::InvalidInput),
            ("sqlite:///:memory:", None, ErrorKind::InvalidInput),
            ("x.db", Some("json"), ErrorKind::InvalidInput),
            ("postgresql://ada:pass@db/cache", None, ErrorKind::Unsupported),
        ] {
            let error = path_of(url, backend).unwrap_err();
            assert_eq!(error.kind(), kind, "{url}");
            assert!(error.to_string().contains("database_url") && !error.to_string().contains("pass"), "{error}");
        }
    }
}
