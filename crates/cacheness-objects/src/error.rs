//! Errors of the server and of the connection as errors of the engine.
//!
//! The client crate keeps the status of an answer only in the text of its errors, so it is read from there; tests against
//! real answers hold that together. The answer itself is not repeated: it may contain signatures.

use cacheness_core::{Error, ErrorKind};
use object_store::client::{HttpError, HttpErrorKind};

/// The error of the client crate, with what was being done (`cannot read the blob …`).
pub(crate) fn of_store(action: impl std::fmt::Display, error: &object_store::Error) -> Error {
    let text = error.to_string();
    let found = Found {
        status: status(&text),
        code: element(&text, "Code").or_else(|| code_in_words(&text)),
        message: element(&text, "Message"),
    };
    match (found.status, found.code, http_error(error)) {
        (None, None, Some(http)) => of_http(action, http),
        (None, None, None) => of_kind(action, error, &text),
        _ => found.error(action),
    }
}

/// An error of the connection.
pub(crate) fn of_http(action: impl std::fmt::Display, error: &HttpError) -> Error {
    let (kind, what) = match error.kind() {
        HttpErrorKind::Timeout => (ErrorKind::TimedOut, "the server did not answer in time"),
        HttpErrorKind::Connect => (ErrorKind::Unavailable, "cannot connect to the server"),
        _ => (ErrorKind::Unavailable, "the connection broke"),
    };
    Error::new(kind, format!("{action}: {what}")).with_source(causes(error)).with_hint(match kind {
        ErrorKind::TimedOut => {
            "see whether the server is overloaded; request_timeout_seconds is the limit of one request"
        }
        _ => "check endpoint_url, region and use_ssl, and whether the network reaches the server",
    })
}

/// An answer with an error.
pub(crate) fn of_answer(action: impl std::fmt::Display, status: u16, body: &str) -> Error {
    Found { status: Some(status), code: element(body, "Code"), message: element(body, "Message") }.error(action)
}

struct Found<'a> {
    status: Option<u16>,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

impl Found<'_> {
    fn error(&self, action: impl std::fmt::Display) -> Error {
        let (kind, hint) = self.kind();
        let words = match (self.code, self.message) {
            (Some(code), Some(message)) => format!("{code}: {}", shortened(message)),
            (Some(code), None) => code.to_owned(),
            (None, _) => format!("the server answers with status {}", self.status.unwrap_or_default()),
        };
        let error = Error::new(kind, format!("{action}: {words}"));
        if hint.is_empty() { error } else { error.with_hint(hint) }
    }

    fn kind(&self) -> (ErrorKind, &'static str) {
        use ErrorKind as Kind;
        let busy = "the server refuses requests for now: try again later, or send fewer at the same time";
        match (self.code.unwrap_or_default(), self.status.unwrap_or_default()) {
            ("NoSuchBucket", _) => (Kind::Storage, "create the bucket, or check bucket, region and endpoint_url"),
            ("InvalidAccessKeyId", _) => (Kind::Denied, "check access_key, or the credentials of the environment"),
            ("SignatureDoesNotMatch", _) => (Kind::Denied, "check secret_key, and that no proxy changes requests"),
            ("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired", _) => {
                (Kind::Denied, "the session has ended: get new temporary credentials")
            }
            ("RequestTimeTooSkewed", _) => (Kind::Denied, "set the clock of this machine"),
            ("InvalidObjectState", _) => {
                (Kind::Storage, "the object is archived: restore it, and choose a storage_class that is online")
            }
            (
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 300..=399) => (Kind::InvalidInput, "the bucket is in another region: give its region"),
            ("SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestLimitExceeded", _) => {
                (Kind::Unavailable, busy)
            }
            ("RequestTimeout", _) | (_, 408) => (Kind::TimedOut, "see whether the network or the server is overloaded"),
            ("NoSuchUpload", _) => {
                (Kind::Storage, "the upload was aborted meanwhile, perhaps by a lifecycle rule: put the value again")
            }
            ("NotImplemented", _) | (_, 501) => (Kind::Unsupported, "the server lacks this part of S3"),
            (_, 401 | 403) => (Kind::Denied, "see docs/s3.md for the rights that a store needs"),
            ("NoSuchKey" | "NoSuchVersion", _) | (_, 404) => (Kind::NotFound, ""),
            (_, 412) => (Kind::Integrity, "the object has been overwritten by something else than a store"),
            (_, 416) => (Kind::Integrity, ""),
            (_, 429 | 500 | 502..=504) => (Kind::Unavailable, busy),
            _ => (Kind::Storage, ""),
        }
    }
}

/// An error without an answer and without one of the connection.
fn of_kind(action: impl std::fmt::Display, error: &object_store::Error, text: &str) -> Error {
    let (kind, hint) = match error {
        object_store::Error::NotFound { .. } => (ErrorKind::NotFound, ""),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            (ErrorKind::Denied, "see docs/s3.md for the rights that a store needs")
        }
        object_store::Error::Precondition { .. } => {
            (ErrorKind::Integrity, "the object has been overwritten by something else than a store")
        }
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            (ErrorKind::Unsupported, "")
        }
        _ if text.contains("credential") || text.contains("AccessKey") => {
            (ErrorKind::Denied, "give access_key and secret_key, or credentials in the environment or in a profile")
        }
        _ => (ErrorKind::Storage, ""),
    };
    let error = Error::new(kind, format!("{action}")).with_source(shortened(text));
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

/// The error of the connection among the causes.
fn http_error(error: &object_store::Error) -> Option<&HttpError> {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if let Some(http) = found.downcast_ref::<HttpError>() {
            return Some(http);
        }
        cause = found.source();
    }
    None
}

/// The messages of the causes that say something new.
fn causes(error: &HttpError) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let text = found.to_string();
        if !words.iter().any(|known| known.contains(&text)) {
            words.push(text);
        }
        cause = found.source();
    }
    shortened(&words.join(": "))
}

/// The status in the text of an error.
fn status(text: &str) -> Option<u16> {
    if text.contains("redirect without LOCATION") {
        return Some(301);
    }
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The text of an XML element of an answer.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    (!inner.is_empty()).then_some(inner)
}

/// The code of one of the answers to a deletion of many.
fn code_in_words(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("(code: ")?;
    rest.split_once(')').map(|(code, _)| code)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
