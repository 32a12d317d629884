//! Where a backend keeps its data, and its options. Either may hold a password, which is never shown.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What stands where a secret was.
const STARS: &str = "***";

/// Parts of the names of options and parameters that hold secrets, in lower case, without `_` and `-`.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "accesskey",
    "accountkey",
    "apikey",
    "privatekey",
    "connectionstring",
    "signature",
];

/// A path, a URL, or the name of a backend. `Debug` and `Display` show stars in place of its secrets.
///
/// ```
/// use cacheness_core::config::BackendUrl;
///
/// let url = BackendUrl::from("postgresql://ada:hush@db/cache?sslmode=require");
/// assert_eq!(url.scheme(), Some("postgresql"));
/// assert_eq!(url.to_string(), "postgresql://ada:***@db/cache?sslmode=require");
/// assert_eq!(url.without_secrets(), "postgresql://ada@db/cache?sslmode=require");
/// assert_eq!(BackendUrl::from("/fast/entries.db").scheme(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackendUrl(String);

impl BackendUrl {
    /// The text, secrets included: for the backend only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before `://`, if that is a scheme.
    #[must_use]
    pub fn scheme(&self) -> Option<&str> {
        let (scheme, _) = self.0.split_once("://")?;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        (!scheme.is_empty() && scheme.bytes().all(is_part)).then_some(scheme)
    }

    /// The text without its secrets, for files that remember it.
    #[must_use]
    pub fn without_secrets(&self) -> String {
        masked_text(&self.0, "")
    }
}

impl<T: Into<String>> From<T> for BackendUrl {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked_text(&self.0, STARS))
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", masked_text(&self.0, STARS))
    }
}

/// Options of a backend, by their names. `Debug` shows stars in place of secrets.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackendOptions(Map<String, Value>);

impl From<Map<String, Value>> for BackendOptions {
    fn from(options: Map<String, Value>) -> Self {
        Self(options)
    }
}

impl Deref for BackendOptions {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl fmt::Debug for BackendOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, masked(name, value)))).finish()
    }
}

/// The value of an option as it may be shown.
pub(crate) fn masked(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect(),
        Value::Array(items) => items.iter().map(|item| masked(name, item)).collect(),
        Value::String(_) | Value::Number(_) if is_secret(name) => STARS.into(),
        Value::String(text) => masked_text(text, STARS).into(),
        other => other.clone(),
    }
}

/// The text with `stars` for the password of a URL, and for the secrets of a query or a connection string.
pub(crate) fn masked_text(text: &str, stars: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return masked_pairs(text, stars) };
    // Up to the last `@`: a password may hold any character that its owner forgot to escape.
    let text = match rest.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) if stars.is_empty() => format!("{scheme}://{user}@{host}"),
        Some((user, host)) => format!("{scheme}://{user}:{stars}@{host}"),
        None => text.to_owned(),
    };
    masked_pairs(&text, stars)
}

/// The text with `stars` for the value of each `name=value` whose name is that of a secret.
fn masked_pairs(text: &str, stars: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('=') {
        shown += before;
        shown.push('=');
        let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-');
        let name = &before[before.trim_end_matches(is_name).len()..];
        rest = after;
        if !name.is_empty() && is_secret(name) {
            shown += stars;
            rest = &after[value_len(after)..];
        }
    }
    shown + rest
}

/// How long a value in a query or a connection string is: up to `&`, `;` or white space, or in single quotes.
fn value_len(text: &str) -> usize {
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                '\'' if !escaped => return at + 2,
                _ => escaped = c == '\\' && !escaped,
            }
        }
    }
    text.find(|c: char| matches!(c, '&' | ';') || c.is_whitespace()).unwrap_or(text.len())
}

fn is_secret(name: &str) -> bool {
    let flat: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect::<String>().to_lowercase();
    flat == "sig" || SECRET.iter().any(|part| flat.contains(part))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_neither_shown_nor_kept() {
        for (url, shown, kept) in [
            ("/plain/path.db", "/plain/path.db", "/plain/path.db"),
            ("postgresql://ada:hush@h/db", "postgresql://ada:***@h/db", "postgresql://ada@h/db"),
            ("postgresql://ada:hush@pw/@h:5432/db", "postgresql://ada:***@h:5432/db", "postgresql://ada@h:5432/db"),
            (
                "s3://b/p?region=x&secret_key=hush&n=1",
                "s3://b/p?region=x&secret_key=***&n=1",
                "s3://b/p?region=x&secret_key=&n=1",
            ),
            ("host=h password='hu sh\\'' dbname=x", "host=h password=*** dbname=x", "host=h password= dbname=x"),
            ("host=h password=hush", "host=h password=***", "host=h password="),
            ("password='hush", "password=***", "password="),
            ("a=b@c", "a=b@c", "a=b@c"),
        ] {
            let url = BackendUrl::from(url);
            assert_eq!((url.to_string().as_str(), url.without_secrets().as_str()), (shown, kept));
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
        let options = json!({"region": "x", "secret_key": "hush", "pin": {"auth-token": 5}, "url": ["s://u:hush@h"]});
        let Value::Object(options) = options else { unreachable!() };
        let shown = format!("{:?}", BackendOptions::from(options));
        assert!(!shown.contains("hush") && !shown.contains('5') && shown.contains("region"), "{shown}");
    }

    #[test]
    fn a_scheme_is_what_a_url_begins_with() {
        for (text, scheme) in [
            ("sqlite:///x.db", Some("sqlite")),
            ("postgresql+psycopg://h/db", Some("postgresql+psycopg")),
            ("s3://bucket", Some("s3")),
            ("filesystem", None),
            ("/odd/a:b.db", None),
            ("/odd/a://b.db", None),
            ("://x", None),
        ] {
            assert_eq!(BackendUrl::from(text).scheme(), scheme, "{text}");
        }
    }
}
