//! The registered description of a backend: its names, where it may be used, and how to open it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use cacheness_core::backend::{BlobBackend, Locks, MetadataBackend};
use cacheness_core::clock::Clock;
use cacheness_core::config::{BackendOptions, BackendUrl, Durability, nearest};
use cacheness_core::{Error, ErrorKind, Result};

/// The parameters for opening a backend.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendContext<'a> {
    /// The directory of the store, which exists; `None` for a store without one.
    pub directory: Option<&'a Path>,
    /// The location of the backend's data, if the configuration or the directory gives one. `Debug` and `Display` hide
    /// its password.
    pub url: Option<&'a BackendUrl>,
    /// The backend's own options.
    pub options: &'a BackendOptions,
    /// The durability of a write when it returns.
    pub durability: Durability,
    /// The number of hexadecimal digits, 0 to 4, that spread blobs over directories or prefixes.
    pub shard_chars: u8,
    /// The store is read-only.
    pub read_only: bool,
    /// The store's clock.
    pub clock: &'a Clock,
    /// The id of the store, if some of its data lies outside the directory. The backend records the id with such data,
    /// and fails with `NotAStore` if it finds another id there: data belongs to one store.
    pub store_id: Option<&'a str>,
    /// The store is being created: fail with `NotAStore` if there already is data at [`url`](Self::url).
    pub creating: bool,
}

type Open<B> = dyn Fn(&BackendContext<'_>) -> Result<B> + Send + Sync;
type OpenLocks = dyn Fn(&BackendContext<'_>) -> Result<Arc<dyn Locks>> + Send + Sync;
type Locate = dyn Fn(&BackendUrl) -> Result<String> + Send + Sync;
type ByOptions = dyn Fn(&BackendOptions) -> Result<Option<BackendUrl>> + Send + Sync;

/// Where a backend may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In stores with and without a directory.
    Anywhere,
    /// Only in a directory.
    Directory,
    /// In memory: its data ends with the process, and nothing is written into a directory.
    Process,
}

/// Opens backends of one kind.
pub struct Factory<B> {
    name: String,
    schemes: Vec<String>,
    options: Option<Vec<String>>,
    file: Option<String>,
    home: Home,
    remote: bool,
    outlives: bool,
    locate: Option<Box<Locate>>,
    by_options: Option<Box<ByOptions>>,
    locks: Option<Box<OpenLocks>>,
    open: Box<Open<B>>,
}

/// Opens metadata backends.
pub type MetadataFactory = Factory<Box<dyn MetadataBackend>>;

/// Opens blob backends.
pub type BlobFactory = Factory<Arc<dyn BlobBackend>>;

impl<B> fmt::Debug for Factory<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory").field("name", &self.name).field("schemes", &self.schemes).finish_non_exhaustive()
    }
}

impl<B> Factory<B> {
    /// A backend named `name` in configurations and directories, usable with and without a directory.
    pub fn new(
        name: impl Into<String>,
        open: impl Fn(&BackendContext<'_>) -> Result<B> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            schemes: Vec::new(),
            options: None,
            file: None,
            home: Home::Anywhere,
            remote: false,
            outlives: false,
            locate: None,
            by_options: None,
            locks: None,
            open: Box::new(open),
        }
    }

    /// Makes URLs with this scheme choose the backend; may be called several times.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.schemes.push(scheme.into());
        self
    }

    /// Accepts only options with these names: others are refused before the backend is opened.
    #[must_use]
    pub fn options(mut self, names: &[&str]) -> Self {
        self.options = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Declares that the backend needs a directory.
    #[must_use]
    pub fn needs_directory(mut self) -> Self {
        self.home = Home::Directory;
        self
    }

    /// Declares that the backend keeps its data in memory: the data ends with the process, and nothing is written into
    /// a directory.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.home = Home::Process;
        self
    }

    /// Declares that the backend keeps its data in this file of the directory unless there is a URL: a directory with
    /// the file and no manifest is a store of this backend.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>) -> Self {
        self.file = Some(name.into());
        self
    }

    /// Sets the function that checks a URL and returns its recorded form. By default that is the URL without its
    /// secrets.
    #[must_use]
    pub fn locate(mut self, locate: impl Fn(&BackendUrl) -> Result<String> + Send + Sync + 'static) -> Self {
        self.locate = Some(Box::new(locate));
        self
    }

    /// Declares that several machines can use the data: a server's. The blobs of such a backend want a metadata backend
    /// that is remote too, see [`StoreConfig::allow_local_index`](cacheness_core::config::StoreConfig).
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Declares that entries of a [`remote`](Self::remote) backend outlive the process also in a store without a directory:
    /// payloads and a signing key that end with the process are refused beside them.
    #[must_use]
    pub fn outlives_the_process(mut self) -> Self {
        self.outlives = true;
        self
    }

    /// Sets the function that makes a URL of the options, for configurations that give the backend's name and its options
    /// in place of a URL; `None` if the options do not say where the data is, but perhaps the directory does. A directory records that URL without its secrets.
    #[must_use]
    pub fn url_of_options(
        mut self,
        url: impl Fn(&BackendOptions) -> Result<Option<BackendUrl>> + Send + Sync + 'static,
    ) -> Self {
        self.by_options = Some(Box::new(url));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn schemes(&self) -> &[String] {
        &self.schemes
    }

    pub(crate) fn home(&self) -> Home {
        self.home
    }

    /// The backend's file in `root`.
    pub(crate) fn file_in(&self, root: &Path) -> Option<std::path::PathBuf> {
        self.file.as_ref().map(|name| root.join(name))
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.remote
    }

    pub(crate) fn outlives(&self) -> bool {
        self.outlives
    }

    /// The URL of the options, if they say where the data is.
    pub(crate) fn by_options(&self, options: &BackendOptions) -> Result<Option<BackendUrl>> {
        self.by_options.as_ref().map_or(Ok(None), |url| url(options))
    }

    pub(crate) fn location(&self, url: &BackendUrl) -> Result<String> {
        self.locate.as_ref().map_or_else(|| Ok(url.without_secrets()), |locate| locate(url))
    }

    /// Refuses options that the backend does not take; `kind` is `metadata` or `blob`.
    pub(crate) fn check_options(&self, kind: &str, given: &BackendOptions) -> Result<()> {
        let Some(known) = &self.options else { return Ok(()) };
        let Some(name) = given.keys().find(|name| !known.contains(name)) else { return Ok(()) };
        let what = format!("{kind}_backend_options: {name} is no option of the {kind} backend {:?}", self.name);
        let hint = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near:?}?"),
            None if known.is_empty() => "leave it out: this backend takes none".to_owned(),
            None => format!("its options are {}", known.join(", ")),
        };
        Err(Error::new(ErrorKind::InvalidInput, what).with_hint(hint))
    }

    pub(crate) fn open(&self, context: &BackendContext<'_>) -> Result<B> {
        (self.open)(context)
    }
}

impl MetadataFactory {
    /// Declares that the backend has its own locks between processes, for example in the database. Otherwise a store
    /// with a directory locks a file there, and a store without one has no locks between processes.
    #[must_use]
    pub fn locks(
        mut self,
        open: impl Fn(&BackendContext<'_>) -> Result<Arc<dyn Locks>> + Send + Sync + 'static,
    ) -> Self {
        self.locks = Some(Box::new(open));
        self
    }

    pub(crate) fn open_locks(&self, context: &BackendContext<'_>) -> Option<Result<Arc<dyn Locks>>> {
        self.locks.as_ref().map(|open| open(context))
    }
}
