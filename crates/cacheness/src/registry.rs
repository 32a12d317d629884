//! Backends by name and by URL: those of this release, and those that a program registers.
//!
//! A configuration chooses a backend by its name (`metadata_backend`, `blob_backend`) or by the scheme of a URL
//! (`database_url`, `blob_backend`). A directory records the name, and the URL without its secrets.
//!
//! ```
//! use cacheness::core::backends::MemoryBlobs;
//! use cacheness::prelude::*;
//! use cacheness::registry::{self, BlobFactory};
//! use std::sync::Arc;
//!
//! # fn main() -> cacheness::Result<()> {
//! let factory = BlobFactory::new("shelf", |_context| Ok(Arc::new(MemoryBlobs::new()))).scheme("shelf");
//! registry::register_blobs(factory)?;
//!
//! let mut config = cacheness::StoreConfig::default();
//! config.blob_backend = Some("shelf://second/from-the-top".into());
//! let cache = Cache::builder().in_memory().store_config(config).open()?;
//! cache.put(42, params! { answer: "all" })?;
//! # Ok(()) }
//! ```
//!
//! To assemble a store by hand, without a registry: [`Cache::from_store`](crate::Cache::from_store).

mod builtin;
mod factory;
mod files;
mod list;
#[cfg(feature = "postgres")]
mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cacheness_core::backend::{BlobBackend, MetadataBackend};
use cacheness_core::clock::Clock;
use cacheness_core::config::{BackendUrl, StoreConfig, nearest};
use cacheness_core::{Error, ErrorKind, Result};

pub(crate) use factory::Home;
pub use factory::{BackendContext, BlobFactory, Factory, MetadataFactory};
use list::List;

static METADATA: List<MetadataFactory> = List::new();
static BLOBS: List<BlobFactory> = List::new();
static BUILT_IN: AtomicBool = AtomicBool::new(false);

/// Adds a metadata backend. It stays registered for the lifetime of the process and of children forked later.
///
/// # Errors
/// `InvalidInput`: its name or one of its schemes is taken, or is not made of letters, digits, `_`, `+`, `-`, `:` and `.`.
pub fn register_metadata(factory: MetadataFactory) -> Result<()> {
    add_built_in();
    add(&METADATA, "metadata", factory)
}

/// Adds a blob backend. It stays registered for the lifetime of the process and of children forked later.
///
/// # Errors
/// Those of [`register_metadata`].
pub fn register_blobs(factory: BlobFactory) -> Result<()> {
    add_built_in();
    add(&BLOBS, "blob", factory)
}

/// The names of all metadata backends, in the order in which they were registered.
#[must_use]
pub fn metadata_backends() -> Vec<&'static str> {
    all_metadata().map(Factory::name).collect()
}

/// The names of all blob backends, in the order in which they were registered.
#[must_use]
pub fn blob_backends() -> Vec<&'static str> {
    all_blobs().map(Factory::name).collect()
}

/// Refuses a `database_url` that no registered backend accepts; creates and opens nothing.
///
/// # Errors
/// - `InvalidInput`: it is malformed, or belongs to another backend than `metadata_backend`.
/// - `Unsupported`: no backend is registered for its scheme.
pub fn check_url(config: &StoreConfig) -> Result<()> {
    url_of_metadata(config).map(drop)
}

/// Refuses blobs that several machines can use beside entries that only one can: another machine would find none of them,
/// and a cleanup there would delete them all.
///
/// # Errors
/// `InvalidInput`: the two backends are such a pair, and `allow_local_index` is not set.
pub(crate) fn check_pair(metadata: &MetadataFactory, blobs: &BlobFactory, config: &StoreConfig) -> Result<()> {
    if !blobs.is_remote() || metadata.is_remote() || config.allow_local_index {
        return Ok(());
    }
    let (blobs, metadata) = (blobs.name(), metadata.name());
    let what = format!(
        "blob_backend {blobs:?} keeps payloads on a server, and metadata_backend {metadata:?} keeps the entries that name \
         them on this machine alone: no other machine can find the payloads, and they are lost with this one"
    );
    Err(Error::new(ErrorKind::InvalidInput, what).with_hint(
        "use a metadata backend on a server, such as \"postgresql\", or blobs in the file system; allow_local_index = true if \
         one machine alone uses the store",
    ))
}

/// Refuses options that the chosen blob backend does not take, or whose values are invalid; creates and opens nothing. A
/// backend that is not registered is refused when the store is opened.
///
/// # Errors
/// `InvalidInput`: it names the option.
pub fn check_blob_options(config: &StoreConfig) -> Result<()> {
    match config
        .blob_backend
        .as_ref()
        .map(|given| given.scheme().map_or_else(|| blobs(given.as_str()), |scheme| by_scheme(all_blobs(), scheme)))
    {
        Some(Some(_)) => chosen_blobs(config).map(drop),
        _ => Ok(()),
    }
}

/// The metadata backend with this scheme.
pub(crate) fn metadata_of_scheme(scheme: &str) -> Option<&'static str> {
    by_scheme(all_metadata(), scheme).map(Factory::name)
}

/// The schemes of metadata backends, in the order in which they were registered.
pub(crate) fn metadata_schemes() -> Vec<&'static str> {
    all_metadata().flat_map(Factory::schemes).map(String::as_str).collect()
}

/// Whether a blob backend has this scheme.
pub(crate) fn has_blobs_of_scheme(scheme: &str) -> bool {
    by_scheme(all_blobs(), scheme).is_some()
}

/// The schemes of blob backends, in the order in which they were registered.
pub(crate) fn blob_schemes() -> Vec<&'static str> {
    all_blobs().flat_map(Factory::schemes).map(String::as_str).collect()
}

/// Whether both entries and payloads are outside of the store's directory, and other machines can read the entries.
pub(crate) fn is_elsewhere(config: &StoreConfig) -> Result<bool> {
    let metadata = chosen_metadata(config)?.is_some_and(|choice| choice.factory.is_remote());
    Ok(metadata && chosen_blobs(config)?.is_some_and(|choice| choice.factory.is_remote() || choice.place.is_some()))
}

/// Refuses entries on a server whose payloads would end with this process.
pub(crate) fn check_lifetimes(metadata: &MetadataFactory, blobs: &BlobFactory) -> Result<()> {
    if !metadata.outlives() || blobs.home() != Home::Process {
        return Ok(());
    }
    let (metadata, blobs) = (metadata.name(), blobs.name());
    let what = format!("the entries are in {metadata:?}, and the blob backend {blobs:?} ends with this process");
    Err(Error::new(ErrorKind::InvalidInput, what)
        .with_hint("give blobs that other machines see, such as s3://bucket/prefix or a path; or give a directory"))
}

/// Opens the blob backend that a configuration chooses, without a store: for programs that use one by itself.
///
/// # Errors
/// `InvalidInput`: none is chosen, it does not take its options, or it needs a directory.
pub fn open_blobs(config: &StoreConfig) -> Result<Arc<dyn BlobBackend>> {
    let choice = chosen_blobs(config)?.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "no blob backend is chosen").with_hint("give blob_backend")
    })?;
    choice.factory.open(&BackendContext {
        directory: None,
        url: choice.url(),
        options: &config.blob_backend_options,
        durability: config.durability,
        shard_chars: config.shard_chars,
        read_only: false,
        clock: &Clock::system(),
        store_id: None,
        creating: false,
    })
}

/// The backend that a configuration chooses.
#[derive(Debug)]
pub(crate) struct Choice<B: 'static> {
    pub(crate) factory: &'static Factory<B>,
    /// The location, if not in the directory: the URL, and the form in which a directory records it.
    pub(crate) place: Option<(BackendUrl, String)>,
}

impl<B> Choice<B> {
    /// The URL.
    pub(crate) fn url(&self) -> Option<&BackendUrl> {
        self.place.as_ref().map(|(url, _)| url)
    }

    /// The recorded form of the URL; `None` if it is the backend's file in the directory itself.
    pub(crate) fn elsewhere(&self, root: &Path) -> Option<&str> {
        let (_, location) = self.place.as_ref()?;
        let own = self.factory.file_in(root);
        (own.as_deref() != Some(Path::new(location))).then_some(location)
    }
}

pub(crate) type MetadataChoice = Choice<Box<dyn MetadataBackend>>;
pub(crate) type BlobChoice = Choice<Arc<dyn BlobBackend>>;

/// The metadata backend that a configuration chooses, by name or URL.
pub(crate) fn chosen_metadata(config: &StoreConfig) -> Result<Option<MetadataChoice>> {
    let in_directory = || all_metadata().filter(|factory| factory.home() != Home::Process);
    let default = config.default_metadata_backend.as_str();
    if !in_directory().any(|factory| factory.name() == default) {
        let known: Vec<_> = in_directory().map(Factory::name).collect();
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("unknown metadata backend {default:?} as the default"),
        )
        .with_hint(format!("a directory can have {}", known.join(" or "))));
    }
    let by_name = config.metadata_backend.as_deref().map(|name| named(all_metadata(), "metadata", name)).transpose()?;
    let choice = match (url_of_metadata(config)?, by_name) {
        (Some(choice), _) => choice,
        (None, Some(factory)) => Choice { factory, place: None },
        (None, None) => return Ok(None),
    };
    choice.factory.check_options("metadata", &config.metadata_backend_options)?;
    Ok(Some(choice))
}

/// The blob backend that a configuration chooses, by name or URL.
pub(crate) fn chosen_blobs(config: &StoreConfig) -> Result<Option<BlobChoice>> {
    let Some(given) = &config.blob_backend else { return Ok(None) };
    let options = &config.blob_backend_options;
    let choice = match given.scheme() {
        None => {
            let factory = named(all_blobs(), "blob", given.as_str())?;
            factory.check_options("blob", options)?;
            let place = |url: BackendUrl| factory.location(&url).map(|location| (url, location));
            Choice { factory, place: factory.by_options(options)?.map(place).transpose()? }
        }
        Some(scheme) => {
            let factory = by_scheme(all_blobs(), scheme).ok_or_else(|| {
                let hint = format!("the blob backends are {}", blob_backends().join(", "));
                unknown_scheme("blob_backend", scheme).with_hint(hint)
            })?;
            Choice { factory, place: Some((given.clone(), factory.location(given)?)) }
        }
    };
    choice.factory.check_options("blob", options)?;
    Ok(Some(choice))
}

/// The metadata backend of that name.
pub(crate) fn metadata(name: &str) -> Option<&'static MetadataFactory> {
    all_metadata().find(|factory| factory.name() == name)
}

/// The blob backend of that name.
pub(crate) fn blobs(name: &str) -> Option<&'static BlobFactory> {
    all_blobs().find(|factory| factory.name() == name)
}

/// The metadata backend whose file is in the directory, if one is.
pub(crate) fn metadata_by_file(root: &Path) -> Option<&'static MetadataFactory> {
    all_metadata().find(|factory| factory.file_in(root).is_some_and(|file| file.is_file()))
}

fn all_metadata() -> impl Iterator<Item = &'static MetadataFactory> {
    add_built_in();
    METADATA.iter()
}

fn all_blobs() -> impl Iterator<Item = &'static BlobFactory> {
    add_built_in();
    BLOBS.iter()
}

/// Several threads may run this at the same time; each backend is added once.
fn add_built_in() {
    if BUILT_IN.load(Ordering::Acquire) {
        return;
    }
    for factory in builtin::metadata() {
        let _ = add(&METADATA, "metadata", factory);
    }
    #[cfg(feature = "postgres")]
    let _ = add(&METADATA, "metadata", postgres::factory());
    for factory in builtin::blobs() {
        let _ = add(&BLOBS, "blob", factory);
    }
    BUILT_IN.store(true, Ordering::Release);
}

fn add<B>(list: &List<Factory<B>>, kind: &str, factory: Factory<B>) -> Result<()> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.' | ':');
    let names = std::iter::once(factory.name()).chain(factory.schemes().iter().map(String::as_str));
    if let Some(name) = names.into_iter().find(|name| name.is_empty() || !name.chars().all(is_part)) {
        let what = format!("a {kind} backend cannot be called {name:?}");
        return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("use letters, digits, _, +, -, : and ."));
    }
    list.push(factory, |new, old| {
        if new.name() == old.name() {
            let what = format!("there is already a {kind} backend {:?}", new.name());
            return Err(Error::new(ErrorKind::InvalidInput, what).with_hint("register it once, or under another name"));
        }
        match new.schemes().iter().find(|scheme| old.schemes().contains(scheme)) {
            None => Ok(()),
            Some(scheme) => {
                let what = format!("{scheme}:// is already a scheme of the {kind} backend {:?}", old.name());
                Err(Error::new(ErrorKind::InvalidInput, what).with_hint("register another scheme"))
            }
        }
    })
}

/// The metadata backend that `database_url` chooses: a path is one of SQLite.
fn url_of_metadata(config: &StoreConfig) -> Result<Option<MetadataChoice>> {
    let Some(url) = &config.database_url else { return Ok(None) };
    let scheme = url.scheme().unwrap_or("sqlite");
    let factory = by_scheme(all_metadata(), scheme)
        .ok_or_else(|| unknown_scheme("database_url", scheme).with_hint("give the path of a SQLite database"))?;
    let location = factory.location(url)?;
    match config.metadata_backend.as_deref() {
        Some(other) if other != factory.name() => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("database_url is given, and the metadata backend is {:?}", BackendUrl::from(other)),
        )
        .with_hint(format!("remove one of the two: the URL is one of {:?}", factory.name()))),
        _ => Ok(Some(Choice { factory, place: Some((url.clone(), location)) })),
    }
}

fn by_scheme<B>(mut known: impl Iterator<Item = &'static Factory<B>>, scheme: &str) -> Option<&'static Factory<B>> {
    known.find(|factory| factory.schemes().iter().any(|known| known == scheme))
}

/// Names only the scheme: the URL may contain a password.
fn unknown_scheme(option: &str, scheme: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{option} is a URL of {scheme}, which is not available yet"))
}

fn named<B>(known: impl Iterator<Item = &'static Factory<B>>, kind: &str, name: &str) -> Result<&'static Factory<B>> {
    let known: Vec<_> = known.collect();
    if let Some(found) = known.iter().find(|factory| factory.name() == name) {
        return Ok(found);
    }
    let names: Vec<_> = known.iter().map(|factory| factory.name()).collect();
    // A name may mistakenly be a URL and contain a password.
    let shown = BackendUrl::from(name);
    let meant = match nearest(name, names.iter().copied()) {
        _ if shown.scheme().is_some() => "give a URL as database_url; ".to_owned(),
        Some(near) => format!("did you mean {near:?}? "),
        None => String::new(),
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("unknown {kind} backend {shown:?}"))
        .with_hint(format!("{meant}the {kind} backends are {}", names.join(", "))))
}
