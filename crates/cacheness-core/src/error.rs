//! The engine's only error type: a kind to act on, a message to read, a hint to show once.

use std::borrow::Cow;
use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an [`Error`].
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The kind of an [`Error`]; callers act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or option is invalid.
    InvalidInput,
    /// A parameter has no stable encoding, so no key can be derived from it.
    KeyEncoding,
    /// A value cannot be encoded in, or decoded from, its storage format.
    Serialization,
    /// A codec failed to compress or decompress.
    Compression,
    /// The metadata backend failed.
    Metadata,
    /// Reading or writing a blob or a file of the store failed.
    Storage,
    /// A payload does not have the hash or the length that its entry records.
    Integrity,
    /// An entry's signature is missing or invalid.
    Signature,
    /// A pickle was refused by the security configuration.
    PickleRefused,
    /// The value's format or type cannot be read here (a pickle in Rust, a missing package, a disabled feature).
    Unsupported,
    /// The directory is not a store, or not a directory.
    NotAStore,
    /// The store was written by a newer release.
    NewerFormat,
    /// The store, its directory or its file system is read-only.
    ReadOnly,
    /// The cache or store has been closed.
    Closed,
    /// Another process or thread held a lock for too long.
    Busy,
    /// The value exceeds the limits of the cache.
    Full,
    /// The caller's computation of a value failed.
    Computation,
    /// A blob does not exist, or not any more.
    NotFound,
    /// A server cannot be reached, or refuses requests for now.
    Unavailable,
    /// An operation took longer than it may.
    TimedOut,
    /// The caller has stopped the operation.
    Cancelled,
    /// A server denies access: wrong credentials, or missing privileges.
    Denied,
    /// Another writer changed the same data at the same time.
    Conflict,
    /// A constraint of a user-defined table refuses a row: a value that is missing, not unique, or refers to nothing.
    Constraint,
}

impl ErrorKind {
    /// Whether errors of this kind are retryable unless [`Error::retryable`] says otherwise.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::TimedOut | Self::Conflict)
    }
}

/// An error of the engine.
///
/// `Display` says what was wrong and where; it never repeats [`source`](std::error::Error::source). [`Error::hint`] says
/// what to do about it.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Source>,
    /// `None`: as the kind says.
    retryable: Option<bool>,
    uncertain: bool,
    no_space: bool,
}

impl Error {
    /// An error of `kind` with this message.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                hint: None,
                source: None,
                retryable: None,
                uncertain: false,
                no_space: false,
            }),
        }
    }

    /// Adds a hint on what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Adds the cause of this error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Marks the error of a change whose outcome is unknown: see [`Error::is_uncertain`].
    #[must_use]
    pub fn uncertain(mut self) -> Self {
        self.inner.uncertain = true;
        self
    }

    /// Marks the error of a change for which there was no space: see [`Error::is_no_space`].
    #[must_use]
    pub fn for_want_of_space(mut self) -> Self {
        self.inner.no_space = true;
        self.with_kind(ErrorKind::Storage)
            .with_hint("free some space on this file system, or move the store to another one")
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.inner.kind = kind;
        self
    }

    /// Puts `context` and a colon before the message.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.inner.message = format!("{context}: {}", self.inner.message).into();
        self
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// What to do about it, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// Displays the message and those of its causes, separated by colons: for a line of a log, or of a terminal.
    #[must_use]
    pub fn with_causes(&self) -> WithCauses<'_> {
        WithCauses(self)
    }

    /// Sets whether the same call may succeed when it is repeated: a backend knows more than the kind tells.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.inner.retryable = Some(retryable);
        self
    }

    /// Whether the same call may succeed when it is repeated.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.inner.retryable.unwrap_or_else(|| self.inner.kind.is_retryable())
    }

    /// Whether the outcome of the commit is unknown: the disk or the connection failed while the change was made durable.
    /// Callers must not delete the blobs that the change names.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.inner.uncertain
    }

    /// Whether the file system, or the user's quota, is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        self.inner.no_space
    }

    /// An I/O failure while doing `action` (a phrase such as `"cannot write blobs/ab/…"`). An [`Error`] inside `source`, such
    /// as that of a backend's writer, keeps its kind, its hint and whether it is retryable.
    pub fn io(action: impl fmt::Display, source: std::io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error.within(action),
            Err(source) => {
                Self::new(ErrorKind::Storage, format!("{action}")).named_by_system(&source).with_source(source)
            }
        }
    }

    /// The failure of a computation whose value was to be stored; `source` is its error.
    ///
    /// ```
    /// use cacheness_core::{Error, ErrorKind};
    ///
    /// let error = "no number".parse::<f64>().map_err(Error::computation).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Computation);
    /// assert!(std::error::Error::source(&error).unwrap().is::<std::num::ParseFloatError>());
    /// ```
    pub fn computation(source: impl Into<Source>) -> Self {
        Self::new(ErrorKind::Computation, "the computation of a value failed").with_source(source)
    }

    /// Sets the kind and the hint that belong to the operating system's error, if it has specific ones.
    #[must_use]
    pub fn named_by_system(self, cause: &std::io::Error) -> Self {
        use rustix::io::Errno;
        let (kind, hint) = match Errno::from_io_error(cause) {
            Some(Errno::NOSPC | Errno::DQUOT) => return self.for_want_of_space(),
            Some(Errno::ACCESS | Errno::PERM) => {
                (ErrorKind::ReadOnly, "check the owner and the permissions of the directory")
            }
            Some(Errno::ROFS) => (
                ErrorKind::ReadOnly,
                "the file system is read-only: mounted so, or made so by the kernel because its disk fails, which the \
                 system's log would say",
            ),
            Some(Errno::MFILE | Errno::NFILE) => {
                (ErrorKind::Storage, "too many files are open: close some, or raise the limit (ulimit -n)")
            }
            _ => return self,
        };
        self.with_kind(kind).with_hint(hint)
    }
}

/// See [`Error::with_causes`].
#[derive(Clone, Copy, Debug)]
pub struct WithCauses<'a>(&'a Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(source) = cause {
            write!(f, ": {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.inner.kind).field("message", &self.inner.message);
        if let Some(hint) = &self.inner.hint {
            out.field("hint", hint);
        }
        if let Some(source) = &self.inner.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

/// An error type that can hold an error of the cache: every type that implements `From<cacheness::Error>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold an error of the cache",
    note = "an error type of your own: implement `From<cacheness::Error>` for it",
    note = "any other: `.map_err(cacheness::Error::computation)` on what the computation returns",
    note = "`std::io::Error`, `anyhow::Error`, `Box<dyn std::error::Error>` and `String` can"
)]
pub trait HoldsError: From<Error> {}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> HoldsError for E {}

/// For functions that return `std::io::Result`. The kind is that of the system's error, if one is the cause.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let cause = error.inner.source.as_ref().and_then(|source| source.downcast_ref::<Self>()).map(Self::kind);
        let kind = cause.unwrap_or(match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::KeyEncoding => Io::InvalidInput,
            ErrorKind::Serialization | ErrorKind::Compression | ErrorKind::Integrity | ErrorKind::Signature => {
                Io::InvalidData
            }
            ErrorKind::Unsupported | ErrorKind::NewerFormat => Io::Unsupported,
            ErrorKind::ReadOnly | ErrorKind::Denied => Io::PermissionDenied,
            ErrorKind::Busy => Io::WouldBlock,
            ErrorKind::NotFound => Io::NotFound,
            ErrorKind::TimedOut => Io::TimedOut,
            ErrorKind::Full => Io::StorageFull,
            _ => Io::Other,
        });
        Self::new(kind, error)
    }
}

/// For functions whose errors are strings: the message of the error, then those of its causes.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        let mut sentences = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            sentences.push_str(": ");
            sentences.push_str(&source.to_string());
            cause = source.source();
        }
        sentences
    }
}
