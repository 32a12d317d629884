//! What a configuration says about a bucket, and how it is said: options by their names, or a URL.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cacheness_core::config::{self, BackendOptions, BackendUrl, ConfigOption};
use cacheness_core::{Error, ErrorKind, Result};
use object_store::path::Path;
use object_store::signer::Url;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The scheme of URLs.
pub const SCHEME: &str = "s3";

/// The smallest part that S3 accepts, except for the last one of an object.
const MIN_PART_MB: u32 = 5;

/// How a request names the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressingStyle {
    /// In the path if there is an `endpoint_url` or the name has a dot, else in the host name.
    #[default]
    Auto,
    /// In the path: `https://host/bucket/key`. What MinIO and most others expect.
    Path,
    /// In the host name: `https://bucket.host/key`.
    Virtual,
}

/// The options of the backend, under the names that configurations use. `Debug` hides the secrets.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// The bucket. It must exist.
    pub bucket: String,
    /// What all keys begin with, up to a `/`, which [`S3Options::read`] adds. A store needs a prefix of its own.
    pub prefix: String,
    /// The region. `None`: that of the environment (`AWS_REGION`, `AWS_DEFAULT_REGION`), of the profile, or `us-east-1`.
    pub region: Option<String>,
    /// The server, if it is not that of AWS: `http://minio.local:9000`, or a host with a port.
    pub endpoint_url: Option<String>,
    /// Whether to use TLS. `None`: what `endpoint_url` says, else `true`.
    pub use_ssl: Option<bool>,
    /// The access key. `None`: the standard chain, see [`S3Blobs`](crate::S3Blobs).
    pub access_key: Option<String>,
    /// Its secret.
    pub secret_key: Option<String>,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    /// The profile of the shared credentials and configuration files. `None`: `AWS_PROFILE`, or `default`.
    pub profile: Option<String>,
    /// How a request names the bucket.
    pub addressing_style: AddressingStyle,
    /// The storage class of new objects; `None` for that of the bucket.
    pub storage_class: Option<String>,
    /// Whether the server encrypts objects with keys of its own: the same as `server_side_encryption = "AES256"`.
    pub encryption: bool,
    /// How the server encrypts new objects: `AES256`, `aws:kms` or `aws:kms:dsse`; `None` for the bucket's way.
    pub server_side_encryption: Option<String>,
    /// The key of `aws:kms`; `None` for the default one of the account.
    pub kms_key_id: Option<String>,
    /// The `Content-Type` of new objects; `None`: by the format of the payload.
    pub content_type: Option<String>,
    /// The `Cache-Control` of new objects.
    pub cache_control: Option<String>,
    /// User metadata of new objects: names and values in ASCII.
    pub object_metadata: BTreeMap<String, String>,
    /// Megabytes (2^20 bytes) per request: larger objects are written and read in parts.
    pub part_size_mb: u32,
    /// The number of parts of one object that are sent or received at the same time.
    pub max_concurrency: usize,
    /// The maximum time to connect, in seconds.
    pub connect_timeout_seconds: f64,
    /// The maximum time of one request with its body, in seconds. A request that failed is sent again.
    pub request_timeout_seconds: f64,
    /// How often a request is sent again after an error of the server or of the connection.
    pub max_retries: usize,
    /// No request is sent again later than this, in seconds.
    pub retry_timeout_seconds: f64,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            region: None,
            endpoint_url: None,
            use_ssl: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            profile: None,
            addressing_style: AddressingStyle::Auto,
            storage_class: None,
            encryption: false,
            server_side_encryption: None,
            kms_key_id: None,
            content_type: None,
            cache_control: None,
            object_metadata: BTreeMap::new(),
            part_size_mb: 8,
            max_concurrency: 8,
            connect_timeout_seconds: 5.0,
            request_timeout_seconds: 60.0,
            max_retries: 8,
            retry_timeout_seconds: 120.0,
        }
    }
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint_url", &self.endpoint_url)
            .field("has_access_key", &self.access_key.is_some())
            .finish_non_exhaustive()
    }
}

/// Options that a URL may hold and that are no text.
const TYPED: &[&str] = &[
    "use_ssl",
    "encryption",
    "part_size_mb",
    "max_concurrency",
    "connect_timeout_seconds",
    "request_timeout_seconds",
    "max_retries",
    "retry_timeout_seconds",
];

impl S3Options {
    /// The names of all options.
    pub const NAMES: &'static [&'static str] = &[
        "bucket",
        "prefix",
        "region",
        "endpoint_url",
        "use_ssl",
        "access_key",
        "secret_key",
        "session_token",
        "profile",
        "addressing_style",
        "storage_class",
        "encryption",
        "server_side_encryption",
        "kms_key_id",
        "content_type",
        "cache_control",
        "object_metadata",
        "part_size_mb",
        "max_concurrency",
        "connect_timeout_seconds",
        "request_timeout_seconds",
        "max_retries",
        "retry_timeout_seconds",
    ];

    /// The options of a URL (`s3://bucket/prefix?region=…`) and those beside it; neither contradicts the other.
    ///
    /// # Errors
    /// `InvalidInput`: an option does not exist, is invalid, or is given twice with different values.
    pub fn read(url: Option<&BackendUrl>, options: &BackendOptions) -> Result<Self> {
        let mut all = url.map(of_url).transpose()?.unwrap_or_default();
        for (name, value) in options.iter().filter(|(_, value)| !value.is_null()) {
            let value = normal(name, value);
            match all.insert(name.clone(), value.clone()) {
                Some(other) if other != value => {
                    let what = format!("{name} has one value in the URL of the blob backend, and another beside it");
                    return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("give it once"));
                }
                _ => {}
            }
        }
        let is_wrong = |option: &&ConfigOption| {
            option.section == "blob"
                && option.is_of_backend()
                && all.get(option.name).is_some_and(|value| !option.accepts(value))
        };
        if let Some(option) = config::options().iter().find(is_wrong) {
            return Err(option.refused(option.name, &all[option.name]).within("an option of S3"));
        }
        let read: Self = serde_json::from_value(Value::Object(all)).map_err(|error| {
            // The message of serde may repeat a value, which may be a secret.
            let text = error.to_string();
            let what = match text.split_once('`').and_then(|(_, rest)| rest.split_once('`')) {
                Some((name, _)) if text.starts_with("unknown field") => format!("{name} is no option of S3"),
                _ => "an option of S3 has a value of a wrong type".to_owned(),
            };
            Error::new(ErrorKind::InvalidInput, what).with_hint(format!("its options are {}", Self::NAMES.join(", ")))
        })?;
        read.check()?;
        Ok(read)
    }

    /// The place that options name, as a URL; `None` if they name no bucket.
    ///
    /// # Errors
    /// Those of [`S3Options::read`].
    pub fn url(options: &BackendOptions) -> Result<Option<BackendUrl>> {
        if options.get("bucket").is_none_or(Value::is_null) {
            return Ok(None);
        }
        Ok(Some(Self::read(None, options)?.location().into()))
    }

    /// Refuses invalid values.
    ///
    /// # Errors
    /// `InvalidInput`: it names the option, and says what to give.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String, hint: &'static str| Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint));
        let is_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(1..=255).contains(&self.bucket.len()) || !self.bucket.chars().all(is_bucket) {
            return wrong(format!("bucket is {:?}", self.bucket), "give the name of an existing bucket");
        }
        let is_plain = |c: char| !c.is_control();
        if self.prefix.starts_with('/')
            || !(self.prefix.is_empty() || self.prefix.ends_with('/'))
            || !self.prefix.chars().all(is_plain)
            || Path::parse(&self.prefix).is_err()
        {
            return wrong(
                format!("prefix is {:?}", self.prefix),
                "give what keys begin with, such as \"team/cache/\": no empty part, no . and no ..",
            );
        }
        if self.access_key.is_some() != self.secret_key.is_some() {
            let (given, other) =
                if self.access_key.is_some() { ("access_key", "secret_key") } else { ("secret_key", "access_key") };
            return wrong(
                format!("{given} is given without {other}"),
                "give both, or neither for the standard chain of credentials",
            );
        }
        match self.server_side_encryption.as_deref() {
            None | Some("AES256" | "aws:kms" | "aws:kms:dsse") => {}
            Some(other) => {
                return wrong(
                    format!("server_side_encryption is {other:?}"),
                    "give \"AES256\", \"aws:kms\" or \"aws:kms:dsse\", or leave it out",
                );
            }
        }
        if self.kms_key_id.is_some() && !self.sse().is_some_and(|sse| sse.starts_with("aws:kms")) {
            return wrong(
                "kms_key_id is given, and server_side_encryption is not \"aws:kms\"".into(),
                "give server_side_encryption=\"aws:kms\" as well",
            );
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        };
        let is_value = |value: &str| value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if let Some((name, _)) =
            self.object_metadata.iter().find(|(name, value)| !is_name(name) || !is_value(value.as_str()))
        {
            return wrong(
                format!("object_metadata has an invalid name or value: {name:?}"),
                "use lower-case letters, digits, -, _ and . in names, and printable ASCII in values",
            );
        }
        let headers = [&self.storage_class, &self.content_type, &self.cache_control, &self.kms_key_id, &self.region];
        if headers.into_iter().flatten().any(|value| value.is_empty() || !is_value(value)) {
            return wrong(
                "storage_class, content_type, cache_control, kms_key_id or region is empty, or not ASCII".into(),
                "give printable ASCII, or leave the option out",
            );
        }
        if !(MIN_PART_MB..=512).contains(&self.part_size_mb) {
            return wrong(format!("part_size_mb is {}", self.part_size_mb), "give 5 to 512");
        }
        if !(1..=64).contains(&self.max_concurrency) {
            return wrong(format!("max_concurrency is {}", self.max_concurrency), "give 1 to 64");
        }
        for (name, seconds) in [
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            ("request_timeout_seconds", self.request_timeout_seconds),
            ("retry_timeout_seconds", self.retry_timeout_seconds),
        ] {
            if !(seconds > 0.0 && seconds <= 3600.0) {
                return wrong(format!("{name} is {seconds}"), "give a number of seconds above 0, up to an hour");
            }
        }
        self.endpoint().map(drop)
    }

    /// The URL of the server; `None` for AWS's own.
    ///
    /// # Errors
    /// `InvalidInput`: it is no URL of a server, or contradicts `use_ssl`.
    pub fn endpoint(&self) -> Result<Option<String>> {
        let Some(given) = self.endpoint_url.as_deref().map(|given| given.trim_end_matches('/')) else {
            return Ok(None);
        };
        let wrong = |what: &str, hint: &'static str| {
            Err(Error::new(ErrorKind::InvalidInput, format!("endpoint_url {what}")).with_hint(hint))
        };
        let hint = "give the URL of a server, such as http://minio.local:9000";
        let text = match given.split_once("://") {
            Some(_) => given.to_owned(),
            None if self.use_ssl == Some(false) => format!("http://{given}"),
            None => format!("https://{given}"),
        };
        let Ok(url) = Url::parse(&text) else { return wrong("is no URL", hint) };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("has a user or a password", "give access_key and secret_key");
        }
        if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return wrong("is no URL of a server", hint);
        }
        match (url.scheme(), self.use_ssl) {
            ("http", Some(true)) => wrong("begins with http://, and use_ssl is true", "make them agree"),
            ("https", Some(false)) => wrong("begins with https://, and use_ssl is false", "make them agree"),
            ("http" | "https", _) => Ok(Some(text)),
            _ => wrong("is no URL of HTTP", hint),
        }
    }

    /// How the server encrypts new objects.
    #[must_use]
    pub fn sse(&self) -> Option<&str> {
        self.server_side_encryption.as_deref().or_else(|| self.encryption.then_some("AES256"))
    }

    /// The place as a URL: what a directory records. Two stores with the same place share their objects.
    #[must_use]
    pub fn location(&self) -> String {
        let mut url = format!("{SCHEME}://{}/{}", self.bucket, self.prefix);
        let mut mark = '?';
        for (name, value) in [("endpoint_url", &self.endpoint_url), ("region", &self.region)] {
            if let Some(value) = value {
                url.push(mark);
                url.push_str(name);
                url.push('=');
                url.push_str(value.trim_end_matches('/'));
                mark = '&';
            }
        }
        url
    }

    /// Bytes of a part.
    pub(crate) fn part_size(&self) -> usize {
        self.part_size_mb as usize * (1 << 20)
    }
}

/// Seconds that [`S3Options::check`] has accepted.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(60))
}

/// The form of a value that others are compared with.
fn normal(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("prefix", Value::String(prefix)) if prefix.is_empty() || prefix.ends_with('/') => value.clone(),
        ("prefix", Value::String(prefix)) => Value::String(format!("{prefix}/")),
        ("endpoint_url", Value::String(url)) => Value::String(url.trim_end_matches('/').to_owned()),
        // Some formats have one kind of number, and some programs write 8.0 for 8.
        (_, Value::Number(number)) => whole(number).map_or_else(|| value.clone(), Value::from),
        _ => value.clone(),
    }
}

/// The number without its fraction, if that is zero.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a fraction of zero, and in range
fn whole(number: &serde_json::Number) -> Option<u64> {
    number.as_f64().filter(|number| number.fract() == 0.0 && (0.0..1e15).contains(number)).map(|number| number as u64)
}

/// The options in a URL.
fn of_url(url: &BackendUrl) -> Result<Map<String, Value>> {
    let wrong = |what: &str| {
        Err(Error::new(ErrorKind::InvalidInput, format!("{url} {what}"))
            .with_hint("a URL of S3 is s3://bucket/prefix?region=…&endpoint_url=…"))
    };
    let Ok(parsed) = Url::parse(url.as_str()) else { return wrong("is no URL") };
    if parsed.scheme() != SCHEME || parsed.fragment().is_some() || parsed.port().is_some() {
        return wrong("is no URL of S3");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return wrong("has a user or a password: give access_key and secret_key as options");
    }
    let mut found = Map::new();
    found.insert("bucket".into(), parsed.host_str().unwrap_or_default().into());
    let mut insert = |name: String, value: Value| -> Result<()> {
        match found.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => wrong(&format!("gives {name} twice")).map(drop),
        }
    };
    // The prefix as it is written: a URL of S3 is not percent-encoded.
    let path = url.as_str().split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let prefix = path.split(['?', '#']).next().unwrap_or_default();
    if !prefix.is_empty() {
        insert("prefix".into(), normal("prefix", &prefix.into()))?;
    }
    for (name, value) in parsed.query_pairs() {
        let value = if TYPED.contains(&&*name) {
            serde_json::from_str(&value).unwrap_or_else(|_| Value::String(value.into_owned()))
        } else {
            Value::String(value.into_owned())
        };
        let value = normal(&name, &value);
        insert(name.into_owned(), value)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(url: Option<&str>, options: Value) -> Result<S3Options> {
        let Value::Object(options) = options else { panic!("options are a map") };
        S3Options::read(url.map(BackendUrl::from).as_ref(), &options.into())
    }

    #[test]
    fn a_url_and_options_say_the_same() {
        let by_options = read(
            None,
            json!({"bucket": "team-cache", "prefix": "a/b", "region": "eu-west-1", "use_ssl": false,
                   "endpoint_url": "http://minio.local:9000/", "part_size_mb": 16}),
        )
        .expect("valid");
        let url =
            "s3://team-cache/a/b?region=eu-west-1&use_ssl=false&endpoint_url=http://minio.local:9000/&part_size_mb=16";
        let by_url = read(Some(url), json!({})).expect("valid");
        assert_eq!(by_url, by_options);
        assert_eq!(by_url.prefix, "a/b/");
        let location = "s3://team-cache/a/b/?endpoint_url=http://minio.local:9000&region=eu-west-1";
        assert_eq!(by_url.location(), location);
        let again = read(Some(location), json!({"prefix": "a/b", "bucket": "team-cache"})).expect("no contradiction");
        assert_eq!(again.location(), location);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (url, options, named) in [
            (None, json!({}), "bucket"),
            (None, json!({"bucket": "a b"}), "bucket"),
            (None, json!({"bucket": "bbb", "prefix": "a//b"}), "prefix"),
            (None, json!({"bucket": "bbb", "prefix": "../b"}), "prefix"),
            (None, json!({"bucket": "bbb", "bukket": "x"}), "bukket"),
            (None, json!({"bucket": "bbb", "access_key": "x"}), "secret_key"),
            (None, json!({"bucket": "bbb", "server_side_encryption": "rot13"}), "server_side_encryption"),
            (None, json!({"bucket": "bbb", "endpoint_url": "http://h", "use_ssl": true}), "use_ssl"),
            (None, json!({"bucket": "bbb", "endpoint_url": "http://u:p@h"}), "endpoint_url"),
            (None, json!({"bucket": "bbb", "part_size_mb": 1}), "part_size_mb"),
            (None, json!({"bucket": "bbb", "max_retries": "many"}), "max_retries is \"many\""),
            (None, json!({"bucket": "bbb", "object_metadata": {"name": "Zürich"}}), "object_metadata"),
            (None, json!({"bucket": "bbb", "request_timeout_seconds": 0}), "request_timeout_seconds"),
            (Some("s3://bbb/p"), json!({"bucket": "ccc"}), "bucket"),
            (Some("s3://bbb/p?region=a&region=b"), json!({}), "region"),
            (Some("s3://ada:hush@bbb/p"), json!({}), "access_key"),
        ] {
            let error = read(url, options.clone()).expect_err(named);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(named), "{options}: {error}");
            assert!(!format!("{error:?}").contains("hush"));
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let options = read(None, json!({"bucket": "bbb", "access_key": "AKIAHUSH", "secret_key": "hush"}));
        let shown = format!("{:?}", options.expect("valid"));
        assert!(!shown.to_lowercase().contains("hush"), "{shown}");
    }

    #[test]
    fn every_option_has_a_name() {
        let Value::Object(all) = json!({"bucket": "bbb"}) else { unreachable!() };
        for name in S3Options::NAMES {
            let mut given = all.clone();
            given.entry(*name).or_insert(Value::Null);
            assert!(S3Options::read(None, &given.into()).is_ok(), "{name}");
        }
    }
}
