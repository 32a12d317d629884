//! Backends of a program's own, by name and by URL, and stores that it puts together itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cacheness::prelude::*;
use cacheness::registry::{self, BlobFactory, MetadataFactory};
use cacheness::{CacheConfig, Clock, ErrorKind, OpenMode, Place, StoreConfig, Timestamp};
use cacheness_core::backends::{
    FilesystemBlobs, FilesystemOptions, JsonMetadata, JsonOptions, LockFile, MemoryBlobs, MemoryMetadata,
};
use cacheness_core::config::{BackendOptions, BackendUrl};
use cacheness_core::sign::{SignedFields, Signer};
use cacheness_core::store::Store;
use cacheness_testkit::faulty::{FaultyBlobs, FaultyMetadata, Plan};
use parking_lot::Mutex;
use serde_json::json;

use crate::noise;

/// What a factory was told, as far as it can be compared.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    directory: Option<PathBuf>,
    url: Option<String>,
    options: BackendOptions,
    read_only: bool,
    has_id: bool,
    creating: bool,
}

impl Told {
    fn of(context: &registry::BackendContext<'_>) -> Self {
        Self {
            directory: context.directory.map(Path::to_owned),
            url: context.url.map(|url| url.as_str().to_owned()),
            options: context.options.clone(),
            read_only: context.read_only,
            has_id: context.store_id.is_some(),
            creating: context.creating,
        }
    }
}

/// Registers a pair of backends under one name; their calls are counted. Entries are in a JSON file and payloads in a
/// directory, both at the URL or in the store's directory; without either, in memory.
fn register(name: &str) -> (Plan, Plan, Arc<Mutex<Vec<Told>>>) {
    let (entries, payloads, told) = (Plan::new(), Plan::new(), Arc::new(Mutex::new(Vec::new())));
    let place = |context: &registry::BackendContext<'_>| {
        let at = context.url.and_then(|url| url.as_str().split_once("?at=")).map(|(_, path)| PathBuf::from(path));
        at.or_else(|| context.directory.map(|root| root.join("own")))
    };
    let (plan, heard) = (entries.clone(), told.clone());
    registry::register_metadata(
        MetadataFactory::new(name, move |context| {
            heard.lock().push(Told::of(context));
            let Some(place) = place(context) else {
                return Ok(Box::new(FaultyMetadata { inner: MemoryMetadata::new(), plan: plan.clone() }));
            };
            fs::create_dir_all(&place).unwrap();
            let options = JsonOptions { read_only: context.read_only, ..JsonOptions::default() };
            let inner = JsonMetadata::open(place.join("entries.json"), options)?;
            Ok(Box::new(FaultyMetadata { inner, plan: plan.clone() }))
        })
        .scheme(name)
        .options(&["colour"]),
    )
    .unwrap();
    let plan = payloads.clone();
    registry::register_blobs(
        BlobFactory::new(name, move |context| {
            let Some(place) = place(context) else {
                return Ok(Arc::new(FaultyBlobs { inner: MemoryBlobs::new(), plan: plan.clone() }));
            };
            fs::create_dir_all(&place).unwrap();
            let options = FilesystemOptions { shard_chars: context.shard_chars, durability: context.durability };
            let inner = FilesystemBlobs::new(&place, options)?;
            Ok(Arc::new(FaultyBlobs { inner, plan: plan.clone() }))
        })
        .scheme(name),
    )
    .unwrap();
    (entries, payloads, told)
}

fn put_and_get(cache: &Cache) {
    cache.put(&1_i32, params! { x: 1 }).unwrap();
    cache.put(&noise(1), params! { x: 2 }).unwrap();
    got(cache);
}

fn got(cache: &Cache) {
    assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), Some(1));
    assert_eq!(cache.get::<Vec<u8>>(params! { x: 2 }).unwrap().as_ref(), Some(&noise(1)));
}

fn with(change: impl FnOnce(&mut StoreConfig)) -> cacheness::CacheBuilder {
    let mut config = StoreConfig::default();
    change(&mut config);
    Cache::builder().store_config(config)
}

#[test]
fn a_backend_of_ones_own_is_chosen_by_name_in_a_directory() {
    let (entries, payloads, told) = register("own-by-name");
    let dir = tempfile::tempdir().unwrap();
    let colour = || BackendOptions::from(serde_json::Map::from_iter([("colour".to_owned(), json!("red"))]));
    let cache = with(|config| {
        config.metadata_backend = Some("own-by-name".into());
        config.metadata_backend_options = colour();
        config.blob_backend = Some("own-by-name".into());
    });
    let cache = cache.directory(dir.path()).open().unwrap();
    put_and_get(&cache);
    assert!(entries.calls() > 0 && payloads.calls() > 0);
    cache.close().unwrap();
    let expected = Told {
        directory: Some(dir.path().to_owned()),
        url: None,
        options: colour(),
        read_only: false,
        has_id: false,
        creating: false,
    };
    assert_eq!(told.lock().as_slice(), std::slice::from_ref(&expected));
    let recorded = cacheness::describe(dir.path()).unwrap();
    assert_eq!((&*recorded.metadata_backend, &*recorded.blob_backend), ("own-by-name", "own-by-name"));
    // The directory says which backends it has.
    let cache = Cache::builder().directory(dir.path()).read_only().open().unwrap();
    got(&cache);
    assert_eq!(cache.put(&2, params! { x: 1 }).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(told.lock()[1], Told { options: BackendOptions::default(), read_only: true, ..expected });
    for (metadata, blobs, named) in [
        (Some("sqlite"), None, "has the metadata backend \"own-by-name\", not \"sqlite\""),
        (None, Some("filesystem"), "has the blob backend \"own-by-name\", not \"filesystem\""),
    ] {
        let other = with(|config| {
            config.metadata_backend = metadata.map(str::to_owned);
            config.blob_backend = blobs.map(BackendUrl::from);
        });
        let error = other.directory(dir.path()).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn a_backend_of_ones_own_is_chosen_by_url() {
    let (_, _, told) = register("own-by-url");
    let dir = tempfile::tempdir().unwrap();
    let (store, far) = (dir.path().join("store"), dir.path().join("far"));
    let url = |password: &str| BackendUrl::from(format!("own-by-url://ada{password}@h?at={}", far.display()));
    let open = |password: &str| {
        with(|config| {
            config.database_url = Some(url(password));
            config.blob_backend = Some(url(password));
        })
        .directory(&store)
        .open()
    };
    put_and_get(&open(":hush").unwrap());
    assert!(far.join("entries.json").is_file() && far.join("blobs").is_dir() && !store.join("blobs").exists());
    // It is made before the manifest names it, and then opened.
    let heard = told.lock().clone();
    assert_eq!(
        heard.iter().map(|told| (told.has_id, told.creating)).collect::<Vec<_>>(),
        [(true, true), (true, false)]
    );
    assert!(heard.iter().all(|told| told.url.as_deref() == Some(url(":hush").as_str())));
    // The directory remembers the URL without its password.
    let manifest = fs::read_to_string(store.join("cacheness.toml")).unwrap();
    assert!(manifest.contains(url("").as_str()) && !manifest.contains("hush"), "{manifest}");
    got(&Cache::open(&store).unwrap());
    assert_eq!(told.lock().last().unwrap().url.as_deref(), Some(url("").as_str()));
    got(&open(":other").unwrap());
    let error = with(|config| config.database_url = Some("own-by-url://ada:hush@elsewhere".into()))
        .directory(&store)
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("own-by-url://ada@elsewhere"), "{error}");
}

#[test]
fn a_backend_of_ones_own_needs_no_directory() {
    let (entries, payloads, told) = register("own-in-memory");
    for builder in [
        with(|config| {
            config.metadata_backend = Some("own-in-memory".into());
            config.blob_backend = Some("own-in-memory".into());
        }),
        with(|config| {
            config.database_url = Some("own-in-memory://h".into());
            config.blob_backend = Some("own-in-memory://h".into());
        }),
    ] {
        entries.fail(0);
        payloads.fail(0);
        put_and_get(&builder.in_memory().open().unwrap());
        assert!(entries.calls() > 0 && payloads.calls() > 0);
        assert_eq!(told.lock().last().unwrap().directory, None);
    }
    let config = StoreConfig { metadata_backend: Some("own-in-memory".into()), ..StoreConfig::default() };
    let store = BlobStore::open_with(&Place::Memory, config, OpenMode::default()).unwrap();
    entries.fail(0);
    store.put("a", &1).unwrap();
    assert!(entries.calls() > 0);
}

#[test]
fn names_and_schemes_are_taken_once() {
    let blobs = |name: &str| BlobFactory::new(name, |_| Ok(Arc::new(MemoryBlobs::new())));
    let metadata = |name: &str| MetadataFactory::new(name, |_| Ok(Box::new(MemoryMetadata::new())));
    registry::register_blobs(blobs("taken-once").scheme("taken")).unwrap();
    registry::register_metadata(metadata("taken-once").scheme("taken")).unwrap();
    assert!(registry::blob_backends().contains(&"taken-once"));
    assert_eq!(registry::metadata_backends()[..4], ["sqlite", "json", "sqlite_memory", "memory"]);
    for (result, what) in [
        (registry::register_metadata(metadata("sqlite")), "there is already a metadata backend \"sqlite\""),
        (registry::register_blobs(blobs("filesystem")), "there is already a blob backend \"filesystem\""),
        (registry::register_blobs(blobs("taken-once")), "there is already a blob backend \"taken-once\""),
        (
            registry::register_metadata(metadata("other").scheme("sqlite")),
            "sqlite:// is already a scheme of the metadata backend \"sqlite\"",
        ),
        (registry::register_blobs(blobs("a b")), "a blob backend cannot be called \"a b\""),
        (registry::register_blobs(blobs("")), "a blob backend cannot be called \"\""),
    ] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, what));
    }
    // Of threads that register one name at the same time, one is successful.
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| registry::register_blobs(blobs("taken-by-one")).is_ok())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
}

#[test]
fn what_is_not_registered_is_named_without_its_password() {
    type Change = fn(&mut StoreConfig);
    let cases: [(Change, ErrorKind, &str, &str); 10] = [
        (
            |c| c.metadata_backend = Some("sqlit".into()),
            ErrorKind::InvalidInput,
            "unknown metadata backend \"sqlit\"",
            "did you mean \"sqlite\"? the metadata backends are sqlite, json, sqlite_memory, memory",
        ),
        (
            |c| c.blob_backend = Some("filesystm".into()),
            ErrorKind::InvalidInput,
            "unknown blob backend \"filesystm\"",
            "did you mean \"filesystem\"? the blob backends are filesystem, memory",
        ),
        (
            |c| c.database_url = Some("mysql://ada:hush@h/db".into()),
            ErrorKind::Unsupported,
            "database_url is a URL of mysql, which is not available yet",
            "give the path of a SQLite database",
        ),
        (
            |c| c.blob_backend = Some("gcs://key:hush@bucket/prefix".into()),
            ErrorKind::Unsupported,
            "blob_backend is a URL of gcs, which is not available yet",
            "the blob backends are filesystem, memory",
        ),
        (
            |c| c.metadata_backend = Some("postgresql://ada:hush@h/db".into()),
            ErrorKind::InvalidInput,
            "unknown metadata backend \"postgresql://ada:***@h/db\"",
            "give a URL as database_url",
        ),
        (
            |c| c.metadata_backend_options = json_options(json!({"password": "hush"})),
            ErrorKind::InvalidInput,
            "metadata_backend_options: password is no option of the metadata backend \"sqlite\"",
            "takes none",
        ),
        (
            |c| c.blob_backend_options = json_options(json!({"bucket": "hush"})),
            ErrorKind::InvalidInput,
            "blob_backend_options: bucket is no option of the blob backend \"filesystem\"",
            "takes none",
        ),
        (
            |c| c.blob_backend = Some("memory".into()),
            ErrorKind::Unsupported,
            "blob_backend is \"memory\", and the metadata backend \"sqlite\" outlives the process",
            "leave blob_backend out",
        ),
        (
            |c| {
                c.metadata_backend = Some("memory".into());
                c.blob_backend = Some("filesystem".into());
            },
            ErrorKind::InvalidInput,
            "the blob backend \"filesystem\" needs a directory",
            "leave blob_backend out",
        ),
        (
            |c| c.default_metadata_backend = "memory".into(),
            ErrorKind::InvalidInput,
            "unknown metadata backend \"memory\" as the default",
            "sqlite or json",
        ),
    ];
    for (change, kind, what, hint) in cases {
        let dir = tempfile::tempdir().unwrap();
        let error = with(change).directory(dir.path().join("store")).open().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, what));
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        assert!(!dir.path().join("store/cacheness.toml").exists(), "{what}: a store was made");
    }
    let error = Cache::open("gcs://key:hush@bucket/prefix").unwrap_err();
    assert_eq!(error.to_string(), "gcs://key:***@bucket/prefix is a URL");
    let error = with(|c| c.blob_backend_options = json_options(json!({"bucket": 1}))).in_memory().open().unwrap_err();
    assert_eq!(error.to_string(), "blob_backend_options: bucket is no option of the blob backend \"memory\"");
    let error = with(|c| c.database_url = Some("x.db".into())).in_memory().open().unwrap_err();
    assert_eq!(error.to_string(), "database_url is given, and the store has no directory");
}

#[test]
fn a_configuration_shows_no_secrets() {
    let builder = with(|config| {
        config.database_url = Some("postgresql://ada:hush@h/db".into());
        config.metadata_backend_options = json_options(json!({"password": "hush", "pool_size": 7}));
        config.blob_backend = Some("s3://bucket?secret_key=hush".into());
        config.blob_backend_options = json_options(json!({"access": {"token": "hush"}}));
    });
    let shown = format!("{builder:?}");
    assert!(!shown.contains("hush") && shown.contains("pool_size") && shown.contains("s3://bucket"), "{shown}");
}

fn json_options(options: serde_json::Value) -> BackendOptions {
    serde_json::from_value(options).unwrap()
}

#[test]
fn a_directory_whose_backend_is_not_registered_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = "format = 1\n[metadata]\nbackend = \"redis\"\n[blobs]\nbackend = \"filesystem\"\n";
    fs::write(dir.path().join("cacheness.toml"), manifest).unwrap();
    let error = Cache::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().ends_with("uses the metadata backend \"redis\", unknown here"), "{error}");
}

/// A store of this test's own making: signed, with locks, on a clock that stands.
fn own_store(dir: &Path, clock: &Clock) -> (Store, Plan) {
    let plan = Plan::new();
    let metadata = FaultyMetadata {
        inner: JsonMetadata::open(dir.join("e.json"), JsonOptions::default()).unwrap(),
        plan: plan.clone(),
    };
    let blobs = FilesystemBlobs::new(dir, FilesystemOptions::default()).unwrap();
    let signer = Signer::from_file(&dir.join("key"), SignedFields::ALL).unwrap();
    let store = Store::new(Box::new(metadata), Arc::new(blobs), Some(signer), StoreConfig::default(), clock.clone());
    (store.with_locks(Arc::new(LockFile::new(dir))), plan)
}

#[test]
fn a_cache_and_a_store_take_what_the_caller_has_put_together() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let config = CacheConfig { default_ttl_seconds: Some(60.0), ..CacheConfig::default() };
    let (store, plan) = own_store(dir.path(), &clock);
    let cache = Cache::from_store(store, &config).unwrap();
    put_and_get(&cache);
    assert!(plan.calls() > 0);
    assert_eq!(cache.get_or_insert_with(params! { x: 3 }, || 3).unwrap(), 3);
    assert!(format!("{cache:?}").contains("entries: 3"), "{cache:?}");
    clock.advance(61_000_000);
    assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), None, "the options of the cache count");
    cache.close().unwrap();
    let artifacts = BlobStore::from_store(own_store(dir.path(), &clock).0);
    artifacts.put("ridge", &noise(2)).unwrap();
    drop(artifacts);
    let again = BlobStore::from_store(own_store(dir.path(), &clock).0);
    assert_eq!(again.get::<Vec<u8>>("ridge").unwrap().as_ref(), Some(&noise(2)));
    assert_eq!(again.list("", None).unwrap().len(), 4, "what the cache put is there too");
    let wrong = CacheConfig { default_ttl_seconds: Some(-1.0), ..CacheConfig::default() };
    let error = Cache::from_store(own_store(dir.path(), &clock).0, &wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
