//! Opening a store: assembling its parts according to the directory and the configuration.
//!
//! ```text
//! <dir>/                    0700
//!   cacheness.toml          format version, backends in use
//!   cache_metadata.db       SQLite, or
//!   cache_metadata.json     one JSON file
//!   blobs/                  payloads that are too large for an entry
//!   tmp/                    blobs being written
//!   flights.lock            empty; its bytes are locked while values are computed
//!   reserve                 space that is released to remove entries when the disk is full
//!   cache_signing_key.bin   0600
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cacheness_core::backend::{BlobBackend, MetadataBackend, Page, Query};
use cacheness_core::backends::{LockFile, Reserve};
use cacheness_core::clock::Clock;
use cacheness_core::config::{BackendOptions, BackendUrl, Durability, StoreConfig};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::Store;
use cacheness_core::{Error, ErrorKind, Result};

use crate::manifest::{self, Manifest, Recorded};
use crate::place::{OpenMode, Place, prepare_directory, refuse_other_places, sync_upwards};
use crate::registry::{self, BackendContext, BlobChoice, Choice, Factory, Home, MetadataChoice, MetadataFactory};

/// How long to wait for another process that is creating the same store and has already created its database.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the store at `place`.
///
/// # Errors
/// - `NotAStore`: the path is not a directory, or it must be a store and is not.
/// - `NewerFormat`: a newer release wrote it.
/// - `ReadOnly`: it does not exist and cannot be created.
/// - `InvalidInput`: the configuration names a backend that does not exist or differs from the directory's; the path is
///   a URL, or begins with `~`.
/// - `Unsupported`: no backend is registered for the scheme of a URL, or under the name that the directory records.
pub fn open_store(place: &Place, config: StoreConfig, access: OpenMode, clock: Clock) -> Result<Store> {
    config.check()?;
    let (metadata, blobs) = (registry::chosen_metadata(&config)?, registry::chosen_blobs(&config)?);
    if let (Some(metadata), Some(blobs)) = (&metadata, &blobs) {
        registry::check_pair(metadata.factory, blobs.factory, &config)?;
    }
    let in_memory = metadata.as_ref().is_some_and(|choice| choice.factory.home() == Home::Process);
    match place {
        Place::Directory(path) if !in_memory => open_directory(path, (metadata, blobs), config, access, clock),
        _ => open_without_directory((metadata, blobs), config, access, clock),
    }
}

type Choices = (Option<MetadataChoice>, Option<BlobChoice>);

/// Opens a store whose backends keep their data in memory or outside any directory. Its signing key ends with the
/// process.
fn open_without_directory(
    (metadata, blobs): Choices,
    config: StoreConfig,
    access: OpenMode,
    clock: Clock,
) -> Result<Store> {
    let metadata = or_memory("metadata", metadata, registry::metadata)?;
    metadata.factory.check_options("metadata", &config.metadata_backend_options)?;
    let blobs = or_memory("blob", blobs, registry::blobs)?;
    blobs.factory.check_options("blob", &config.blob_backend_options)?;
    registry::check_pair(metadata.factory, blobs.factory, &config)?;
    registry::check_lifetimes(metadata.factory, blobs.factory)?;
    let read_only = access == OpenMode::ReadOnly;
    let key = outer_key(metadata.factory, &config, read_only)?;
    let context = |options, url| BackendContext {
        directory: None,
        url,
        options,
        durability: config.durability,
        shard_chars: config.shard_chars,
        read_only,
        clock: &clock,
        store_id: None,
        creating: false,
    };
    let of_metadata = context(&config.metadata_backend_options, metadata.url());
    let opened = metadata.factory.open(&of_metadata)?;
    let locks = metadata.factory.open_locks(&of_metadata).transpose()?;
    let blobs = blobs.factory.open(&context(&config.blob_backend_options, blobs.url()))?;
    let signer = match key {
        OuterKey::None => None,
        OuterKey::InMemory => Some(Signer::in_memory(signed_fields(&config)?)?),
        // The path is absolute.
        OuterKey::File => open_signer(Path::new("/"), &config, &*opened)?,
    };
    let store = Store::new(opened, blobs, signer, config.clone(), clock.clone());
    Ok(match locks {
        Some(locks) => store.with_locks(locks),
        None => store,
    })
}

/// The signing key of a store without a directory.
enum OuterKey {
    None,
    InMemory,
    /// In a file with an absolute path.
    File,
}

/// Chooses the key of a store without a directory. Entries on a server outlive a key in memory, so it is not chosen
/// for them by default: no other process could check their signatures.
fn outer_key(metadata: &MetadataFactory, config: &StoreConfig, read_only: bool) -> Result<OuterKey> {
    let security = &config.security;
    signed_fields(config)?;
    if !security.enable_entry_signing {
        return Ok(OuterKey::None);
    }
    if security.use_in_memory_key || !metadata.outlives() {
        return Ok(OuterKey::InMemory);
    }
    if Path::new(&security.signing_key_file).is_absolute() {
        return Ok(OuterKey::File);
    }
    if read_only {
        // As with a key file that is missing: signatures are not checked, and pickles not read.
        return Ok(OuterKey::None);
    }
    let what = format!("the entries in {:?} are signed, and there is no directory with a key", metadata.name());
    Err(Error::new(ErrorKind::InvalidInput, what).with_hint(
        "give signing_key_file = an absolute path, with the same key on every machine; or a directory; or \
         enable_entry_signing = false",
    ))
}

/// The choice of a store without a directory; `kind` is `metadata` or `blob`.
fn or_memory<B>(
    kind: &str,
    choice: Option<Choice<B>>,
    find: impl Fn(&str) -> Option<&'static Factory<B>>,
) -> Result<Choice<B>> {
    let choice = match choice {
        Some(choice) => choice,
        None => Choice { factory: find("memory").expect("it is built in"), place: None },
    };
    if choice.factory.home() == Home::Directory && choice.place.is_none() {
        let what = format!("the {kind} backend {:?} needs a directory", choice.factory.name());
        return Err(Error::new(ErrorKind::InvalidInput, what).with_hint(format!(
            "give a directory, and no other backend that is in memory; or leave {kind}_backend out"
        )));
    }
    Ok(choice)
}

fn open_directory(path: &Path, chosen: Choices, config: StoreConfig, access: OpenMode, clock: Clock) -> Result<Store> {
    signed_fields(&config)?;
    refuse_other_places(path)?;
    if let (metadata, Some(blobs)) = &chosen
        && blobs.factory.home() == Home::Process
    {
        let (name, outlives) =
            (blobs.factory.name(), metadata.as_ref().map_or("sqlite", |choice| choice.factory.name()));
        let what = format!("blob_backend is {name:?}, and the metadata backend {outlives:?} outlives the process");
        return Err(Error::new(ErrorKind::Unsupported, what)
            .with_hint("give metadata_backend = \"memory\" as well, or leave blob_backend out"));
    }
    // A relative path would name another place after a chdir.
    let root = std::path::absolute(path).map_err(|e| Error::io(format_args!("cannot use {}", path.display()), e))?;
    prepare_directory(&root, access)?;
    let manifest = match manifest::read(&root)? {
        Some(manifest) => manifest,
        None if access == OpenMode::CreateOrOpen => create(&root, &chosen, &config, &clock)?,
        None => return Err(manifest::no_store(&root)),
    };
    let opening = Opening::new(&root, &manifest, &chosen, &config, &clock)?;
    let read_only = access == OpenMode::ReadOnly;
    let reserve = Reserve::new(&root);
    match opening.open(read_only) {
        // On a full disk the store is opened nevertheless, to remove entries.
        Err(error) if error.is_no_space() && !read_only => {
            let opened = if reserve.give_up() { opening.open(false) } else { Err(error) };
            Ok(opened.map_err(want_of_space)?.with_reserve(reserve))
        }
        Ok(store) if store.is_read_only() => Ok(store),
        opened => {
            let store = opened?;
            reserve.fill();
            Ok(store.with_reserve(reserve))
        }
    }
}

/// The error for a store that cannot be opened for writing because the disk is full and no space was reserved.
fn want_of_space(error: Error) -> Error {
    if !error.is_no_space() {
        return error;
    }
    error.with_hint(
        "free some space elsewhere on this file system, a megabyte is enough to open the store and to clear it; or delete \
         files below tmp in the store's directory, or below blobs, each of them the payload of one entry, which is lost",
    )
}

/// Makes the directory a store. If another process does so first, its store is used.
fn create(root: &Path, (metadata, blobs): &Choices, config: &StoreConfig, clock: &Clock) -> Result<Manifest> {
    manifest::warn_of_strangers(root);
    let factory = match metadata {
        Some(choice) => choice.factory,
        None => registry::metadata_by_file(root)
            .or_else(|| registry::metadata(&config.default_metadata_backend))
            .expect("the default has been checked"),
    };
    factory.check_options("metadata", &config.metadata_backend_options)?;
    let metadata = Recorded {
        backend: factory.name().to_owned(),
        location: metadata.as_ref().and_then(|choice| choice.elsewhere(root)).map(str::to_owned),
    };
    let default_blobs = || registry::blobs("filesystem").expect("it is built in");
    let blob_factory = blobs.as_ref().map_or_else(default_blobs, |choice| choice.factory);
    blob_factory.check_options("blob", &config.blob_backend_options)?;
    registry::check_pair(factory, blob_factory, config)?;
    let blob_url = blobs.as_ref().and_then(Choice::url);
    let blobs = Recorded {
        backend: blob_factory.name().to_owned(),
        location: blobs.as_ref().and_then(|choice| choice.elsewhere(root)).map(str::to_owned),
    };
    let manifest = Manifest::new(metadata, blobs)?;
    // Data outside the directory is claimed before the manifest names it.
    let claim = || {
        let context = |url, options| BackendContext {
            directory: Some(root),
            url,
            options,
            durability: config.durability,
            shard_chars: config.shard_chars,
            read_only: false,
            clock,
            // The entries of several machines name the objects: no directory owns them.
            store_id: manifest.id.as_deref().filter(|_| !factory.is_remote()),
            creating: true,
        };
        if manifest.blobs.location.is_some() {
            blob_factory.open(&context(blob_url, &config.blob_backend_options))?.close()?;
        }
        if manifest.metadata.location.is_some() {
            factory.open(&context(config.database_url.as_ref(), &config.metadata_backend_options))?.close()?;
        }
        Ok::<_, Error>(())
    };
    let started = Instant::now();
    loop {
        match claim() {
            Ok(()) => return manifest::write(root, manifest),
            // Another process may be making the same store.
            Err(error) if error.kind() == ErrorKind::NotAStore => match manifest::read(root)? {
                Some(manifest) => return Ok(manifest),
                None if started.elapsed() >= PATIENCE => return Err(error),
                None => std::thread::sleep(Duration::from_millis(20)),
            },
            Err(error) => return Err(error),
        }
    }
}

/// A backend and its location, if not in the directory.
type Part<B> = (&'static Factory<B>, Option<BackendUrl>);

/// A directory being opened.
struct Opening<'a> {
    root: &'a Path,
    config: &'a StoreConfig,
    clock: &'a Clock,
    store_id: Option<&'a str>,
    metadata: Part<Box<dyn MetadataBackend>>,
    blobs: Part<Arc<dyn BlobBackend>>,
}

impl<'a> Opening<'a> {
    /// Finds the backends that the manifest records; refuses a configuration that asks for others.
    fn new(
        root: &'a Path,
        manifest: &'a Manifest,
        (metadata, blobs): &Choices,
        config: &'a StoreConfig,
        clock: &'a Clock,
    ) -> Result<Self> {
        let metadata = part(root, "metadata", &manifest.metadata, metadata.as_ref(), registry::metadata)?;
        let blobs = part(root, "blob", &manifest.blobs, blobs.as_ref(), registry::blobs)?;
        metadata.0.check_options("metadata", &config.metadata_backend_options)?;
        blobs.0.check_options("blob", &config.blob_backend_options)?;
        let store_id = manifest.id.as_deref().filter(|_| !metadata.0.is_remote());
        Ok(Self { root, config, clock, store_id, metadata, blobs })
    }

    fn context(
        &'a self,
        url: Option<&'a BackendUrl>,
        options: &'a BackendOptions,
        read_only: bool,
    ) -> BackendContext<'a> {
        BackendContext {
            directory: Some(self.root),
            url,
            options,
            durability: self.config.durability,
            shard_chars: self.config.shard_chars,
            read_only,
            clock: self.clock,
            store_id: self.store_id,
            creating: false,
        }
    }

    fn open(&self, read_only: bool) -> Result<Store> {
        let Self { root, config, .. } = *self;
        let (factory, url) = &self.metadata;
        let context = self.context(url.as_ref(), &config.metadata_backend_options, read_only);
        let metadata = factory.open(&context)?;
        let read_only = metadata.is_read_only();
        let (blobs, url) = &self.blobs;
        let blobs = blobs.open(&self.context(url.as_ref(), &config.blob_backend_options, read_only))?;
        let signer = open_signer(root, config, &*metadata)?;
        if config.durability == Durability::Full && !read_only {
            sync_upwards(root)?;
        }
        let store = Store::new(metadata, blobs, signer, config.clone(), self.clock.clone());
        if read_only {
            // No other process can store a value that a caller would wait for.
            return Ok(store);
        }
        let locks = factory.open_locks(&context).unwrap_or_else(|| Ok(Arc::new(LockFile::new(root))))?;
        Ok(store.with_locks(locks))
    }
}

/// The recorded backend; an error if the configuration asks for another one or another place.
fn part<B>(
    root: &Path,
    kind: &str,
    recorded: &Recorded,
    chosen: Option<&Choice<B>>,
    find: impl Fn(&str) -> Option<&'static Factory<B>>,
) -> Result<Part<B>> {
    let Recorded { backend, location } = recorded;
    if let Some(Choice { factory, .. }) = chosen.filter(|choice| choice.factory.name() != backend) {
        let what = format!("{} has the {kind} backend {backend:?}, not {:?}", root.display(), factory.name());
        return Err(Error::new(ErrorKind::InvalidInput, what)
            .with_hint("leave the backend out, since the directory records it; or give another directory"));
    }
    let factory = find(backend).ok_or_else(|| {
        let what = format!("{} uses the {kind} backend {backend:?}, unknown here", root.display());
        Error::new(ErrorKind::Unsupported, what).with_hint(
            "open it with the release, and the features, that wrote it; register the backend first if it is a custom one, in a program: the command has none",
        )
    })?;
    let Some(choice) = chosen.filter(|choice| choice.place.is_some()) else {
        return Ok((factory, location.as_deref().map(BackendUrl::from)));
    };
    let wanted = choice.elsewhere(root);
    if wanted == location.as_deref() {
        return Ok((factory, wanted.and(choice.url()).cloned()));
    }
    let file = || factory.file_in(root).unwrap_or_else(|| root.to_owned()).display().to_string();
    let (known, wanted) = (location.clone().unwrap_or_else(file), wanted.map_or_else(file, str::to_owned));
    let (data, option) = if kind == "metadata" { ("database", "database_url") } else { ("blobs", "blob_backend") };
    let what = format!("the store has its {data} at {known}, and {option} is {wanted}");
    Err(Error::new(ErrorKind::InvalidInput, what)
        .with_hint(format!("leave {option} out, since the directory records it; or give another directory")))
}

fn signed_fields(config: &StoreConfig) -> Result<SignedFields> {
    config.security.custom_signed_fields.as_deref().map_or(Ok(SignedFields::ALL), SignedFields::from_names)
}

fn open_signer(root: &Path, config: &StoreConfig, metadata: &dyn MetadataBackend) -> Result<Option<Signer>> {
    let security = &config.security;
    if !security.enable_entry_signing {
        return Ok(None);
    }
    let fields = signed_fields(config)?;
    if security.use_in_memory_key {
        return Signer::in_memory(fields).map(Some);
    }
    let path = root.join(&security.signing_key_file);
    let found = Signer::from_existing_file(&path, fields)?;
    if found.is_none() {
        warn_of_lost_key(&path, metadata)?;
    }
    if found.is_some() || metadata.is_read_only() { Ok(found) } else { Signer::from_file(&path, fields).map(Some) }
}

/// Warns if the store has signed entries but the key is missing.
fn warn_of_lost_key(path: &Path, metadata: &dyn MetadataBackend) -> Result<()> {
    let first = metadata.select(&Query::default(), &Page { limit: 1, ..Page::default() })?;
    if first.first().is_none_or(|found| found.entry.signature.is_none()) {
        return Ok(());
    }
    let (entries, path) = (metadata.totals()?.entries, path.display());
    let then = if metadata.is_read_only() {
        "no entry counts as signed, and pickles are not read"
    } else {
        "a new one is created, which invalidates all their signatures: a cache misses them, a store refuses them"
    };
    log::warn!(
        "the signing key {path} is gone, and the store has {entries} entries that were signed with it: {then}. Put the file \
         back from a copy and open the store again; if it is lost, put the values again, or clear the store"
    );
    Ok(())
}
