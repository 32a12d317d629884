//! Caches and stores by URL.

use std::fs;
use std::path::Path;

use cacheness::prelude::*;
use cacheness::{CacheBuilder, ErrorKind, StoreConfig};
#[cfg(feature = "s3")]
use cacheness_testkit::s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

use crate::{blobs, noise};

fn url(scheme: &str, path: &Path) -> String {
    format!("{scheme}{}", path.display())
}

#[test]
fn a_url_of_a_directory_is_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for (i, (scheme, backend)) in
        [("", "sqlite"), ("file://", "sqlite"), ("sqlite:///", "sqlite"), ("json:///", "json")].into_iter().enumerate()
    {
        let path = dir.path().join(format!("store {i}"));
        let text = match scheme {
            "file://" => url(scheme, &path).replace(' ', "%20"),
            _ => url(scheme, &path),
        };
        let cache = Cache::open_url(&text).unwrap();
        cache.put(&1, params! { x: 1 }).unwrap();
        cache.put(&noise(1), params! { x: 2 }).unwrap();
        cache.close().unwrap();
        assert_eq!(cacheness::describe(&path).unwrap().metadata_backend, backend, "{text}");
        let cache = Cache::open(&path).unwrap();
        assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), Some(1));
        cache.close().unwrap();
        let store = BlobStore::open_url(&text, None).unwrap();
        assert_eq!(store.list("", None).unwrap().len(), 2);
    }
    let path = dir.path().join("store 0");
    let error = Cache::open_url(url("json:///", &path)).unwrap_err();
    assert!(error.to_string().contains("has the metadata backend \"sqlite\", not \"json\""), "{error}");
    let database = path.join("cache_metadata.db");
    let error = Cache::open_url(url("sqlite:///", &database)).unwrap_err();
    assert!(error.to_string().ends_with("names a file, and a store is a directory"), "{error}");
}

#[test]
fn a_store_in_memory_ends_with_its_handle() {
    for url in ["memory://", ":memory:", "sqlite:///:memory:"] {
        let cache = Cache::open_url(url).unwrap();
        cache.put(&noise(1), params! { x: 1 }).unwrap();
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap(), Some(noise(1)));
        drop(cache);
        assert_eq!(Cache::open_url(url).unwrap().get::<Vec<u8>>(params! { x: 1 }).unwrap(), None);
    }
    let cache = Cache::builder().url("memory://").blobs("memory://").open().unwrap();
    cache.put(&noise(1), params! { x: 1 }).unwrap();
}

#[test]
fn blobs_are_in_another_directory_that_belongs_to_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, far) = (dir.path().join("store"), dir.path().join("far off/blobs"));
    let open = || Cache::builder().directory(&store).blobs(far.display().to_string()).open();
    let cache = open().unwrap();
    cache.put(&noise(1), params! { x: 1 }).unwrap();
    cache.close().unwrap();
    assert!(!store.join("blobs").exists());
    assert_eq!(blobs(&far).len(), 1);
    // The directory remembers it; saying it again is no mistake, another place is one.
    let manifest = fs::read_to_string(store.join("cacheness.toml")).unwrap();
    assert!(manifest.contains("file:///") && manifest.contains("far%20off/blobs"), "{manifest}");
    for cache in [Cache::open(&store).unwrap(), open().unwrap()] {
        assert_eq!(cache.get::<Vec<u8>>(params! { x: 1 }).unwrap(), Some(noise(1)));
    }
    let error = Cache::builder().directory(&store).blobs(url("", &dir.path().join("other"))).open().unwrap_err();
    assert!(error.to_string().contains("the store has its blobs at file:///"), "{error}");
    // No other store deletes what is there.
    let error = Cache::builder().directory(dir.path().join("two")).blobs(url("", &far)).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    assert!(error.to_string().ends_with("belong to another store"), "{error}");
    let error = Cache::builder().directory(dir.path().join("two")).blobs(url("", &store)).open().unwrap_err();
    assert!(error.to_string().ends_with("is the directory of a store"), "{error}");
    fs::remove_file(far.join("cacheness-store")).unwrap();
    let error = Cache::open(&store).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore);
    assert!(error.to_string().contains("has lost the mark of its store"), "{error}");
}

#[test]
fn what_contradicts_a_url_is_refused_without_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let here = || Cache::builder().directory(dir.path().join("store"));
    let config = |change: fn(&mut StoreConfig)| {
        let mut config = StoreConfig::default();
        change(&mut config);
        Cache::builder().store_config(config)
    };
    for (builder, what) in [
        (here().url("mysql://ada:hush@h/db"), "mysql://ada:***@h/db is no URL of a store"),
        (here().url("./elsewhere"), "the URL names the place of the store, and so does the directory"),
        (here().in_memory().url("./elsewhere"), "the URL names the place of the store, and so does the directory"),
        (here().blobs("gcs://ada:hush@bucket"), "gcs://ada:***@bucket is no URL of blobs"),
        (
            config(|config| config.metadata_backend = Some("json".into())).url(url("sqlite:///", dir.path())),
            "the URL and metadata_backend name two backends",
        ),
        (
            config(|config| config.blob_backend = Some("memory".into())).blobs("./blobs"),
            "the URL and blob_backend name two backends",
        ),
    ] {
        let error = builder.open().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, what));
        assert!(error.hint().is_some() && !format!("{error:?}").contains("hush"));
    }
    let shown = format!("{:?}", here().url("postgresql://ada:hush@h/db").blobs("s3://b?secret_key=hush"));
    assert!(!shown.contains("hush"), "{shown}");
    let error = Cache::open("postgresql://ada:hush@h/db").unwrap_err();
    assert!(error.hint().unwrap().contains("open_url"), "{error:?}");
    assert!(!dir.path().join("store").exists());
}

/// A schema of the PostgreSQL server of the tests, and a URL that names it.
#[cfg(all(feature = "postgres", feature = "s3"))]
struct Schema(String);

#[cfg(all(feature = "postgres", feature = "s3"))]
impl Schema {
    fn new(name: &str) -> Self {
        Self(format!("urls_{name}_{}", std::process::id()))
    }

    fn address() -> String {
        std::env::var("CACHENESS_TEST_POSTGRES_URL").expect("the address of a PostgreSQL server: make test starts one")
    }

    fn url(&self) -> String {
        let address = Self::address();
        let separator = if address.contains('?') { '&' } else { '?' };
        format!("{address}{separator}schema={}", self.0)
    }
}

#[cfg(all(feature = "postgres", feature = "s3"))]
impl Drop for Schema {
    fn drop(&mut self) {
        let python = std::env::var("CACHENESS_PYTHON").expect("the interpreter of .venv: make test sets it");
        let script = format!(
            "import psycopg\nwith psycopg.connect({:?}, autocommit=True) as c: c.execute('DROP SCHEMA IF EXISTS {} CASCADE')",
            Self::address(),
            self.0
        );
        let done = std::process::Command::new(python).args(["-c", &script]).status().unwrap();
        assert!(done.success() || std::thread::panicking());
    }
}

/// Two machines: each has the URLs, the credentials and the key, and nothing else.
#[cfg(all(feature = "postgres", feature = "s3"))]
#[test]
fn a_fleet_shares_a_database_and_a_bucket_without_a_directory() {
    let (schema, server, dir) = (Schema::new("fleet"), S3Server::start(), tempfile::tempdir().unwrap());
    let key = dir.path().join("team.key");
    let bucket = format!(
        "s3://{BUCKET}/fleet?endpoint_url={}&access_key={ACCESS_KEY}&secret_key={SECRET_KEY}",
        server.endpoint()
    );
    let machine = |key: &Path| {
        let mut config = StoreConfig::default();
        config.security.signing_key_file = key.display().to_string();
        config.security.allow_unsigned_entries = false;
        Cache::builder().store_config(config).url(schema.url()).blobs(&bucket)
    };
    let (one, two) = (machine(&key).open().unwrap(), machine(&key).open().unwrap());
    one.put(&1, params! { x: 1 }).unwrap();
    one.put(&noise(1), params! { x: 2 }).unwrap();
    assert_eq!(two.get::<i32>(params! { x: 1 }).unwrap(), Some(1));
    assert_eq!(two.get::<Vec<u8>>(params! { x: 2 }).unwrap(), Some(noise(1)));
    assert!(server.keys().iter().any(|key| key.starts_with("fleet/")));
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["team.key"]);
    // With another key, entries are not served.
    let stranger = machine(&dir.path().join("other.key")).read_only().open().unwrap();
    assert_eq!(stranger.get::<i32>(params! { x: 1 }).unwrap(), None);

    let without_key = Cache::builder().in_memory().url(schema.url()).blobs(&bucket);
    let error = without_key.clone().open().unwrap_err();
    assert!(error.to_string().ends_with("are signed, and there is no directory with a key"), "{error}");
    // A reader without the key sees entries, and checks no signature.
    assert_eq!(without_key.read_only().open().unwrap().list_entries().unwrap().len(), 2);
    let error = machine(&key).in_memory().blobs("memory://").open().unwrap_err();
    assert!(error.to_string().contains("the blob backend \"memory\" ends with this process"), "{error}");

    // With a directory beside the database: the manifest and the key are in it.
    let place = dir.path().join("machine");
    let cache = Cache::builder().directory(&place).url(schema.url()).blobs(&bucket).open().unwrap();
    assert_eq!(cache.get::<i32>(params! { x: 1 }).unwrap(), None, "another key");
    let manifest = fs::read_to_string(place.join("cacheness.toml")).unwrap();
    assert!(manifest.contains("s3://") && !manifest.contains(SECRET_KEY), "{manifest}");
    assert!(place.join("cache_signing_key.bin").exists());
}

/// Each environment needs a process of its own.
#[test]
fn the_environment_names_the_store_of_a_program_that_names_none() {
    const ROLE: &str = "CACHENESS_TEST_PLACE";
    if std::env::var_os(ROLE).is_some() {
        let builder = match std::env::var("CACHENESS_TEST_CACHE").as_deref() {
            Ok("named") => CacheBuilder::from_env().map(|builder| builder.directory("named")),
            Ok("file") => CacheBuilder::from_file("own.toml"),
            _ => CacheBuilder::from_env(),
        };
        match builder.and_then(|builder| builder.resolve()) {
            Ok((place, config)) => {
                println!("{place:?} {:?} {:?}", config.store.metadata_backend, config.limits.max_entries);
            }
            Err(error) => println!("error: {error}"),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("team.toml"), "cache_dir = \"of_file\"\nmax_entries = 5\nmax_cache_size_mb = \"none\"\n")
        .unwrap();
    fs::write(dir.path().join("own.toml"), "[storage]\nmax_entries = 6\n").unwrap();
    fs::write(dir.path().join("bad.json"), "{\"max_entrys\": 5, \"read_only\": 1}").unwrap();
    let said = |variables: &[(&str, &str)]| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "urls::the_environment_names_the_store_of_a_program_that_names_none", "--nocapture"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CACHENESS_")) {
            child.env_remove(name);
        }
        let output = child.current_dir(dir.path()).env(ROLE, "1").envs(variables.iter().copied()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .find(|line| line.contains("Directory") || line.contains("Memory") || line.contains("error: "))
            .unwrap_or(&text)
            .trim_start_matches("test urls::the_environment_names_the_store_of_a_program_that_names_none ... ")
            .to_owned()
    };
    let file = ("CACHENESS_CONFIG", "team.toml");
    for (variables, expected) in [
        (&[][..], "Directory(\"./cache\") None None"),
        (&[("CACHENESS_DIR", "x")], "Directory(\"x\") None None"),
        (&[("CACHENESS_STORE", "json:///x")], "Directory(\"x\") Some(\"json\") None"),
        (&[("CACHENESS_STORE", "memory://")], "Memory None None"),
        (&[("CACHENESS_STORE", "json:///x"), ("CACHENESS_TEST_CACHE", "named")], "Directory(\"named\") None None"),
        (
            &[("CACHENESS_STORE", "json:///x"), ("CACHENESS_DIR", "y")],
            "error: the URL names the place of the store, and so does the directory",
        ),
        (&[file], "Directory(\"of_file\") None Some(5)"),
        (&[file, ("CACHENESS_MAX_ENTRIES", "7")], "Directory(\"of_file\") None Some(7)"),
        (&[file, ("CACHENESS_STORE", "json:///x")], "Directory(\"x\") Some(\"json\") Some(5)"),
        (&[file, ("CACHENESS_TEST_CACHE", "file")], "Directory(\"./cache\") None Some(6)"),
        (
            &[file, ("CACHENESS_TEST_CACHE", "file"), ("CACHENESS_MAX_ENTRIES", "7")],
            "Directory(\"./cache\") None Some(7)",
        ),
        (&[("CACHENESS_MAX_ENTRIES", "many")], "error: the environment variable CACHENESS_MAX_ENTRIES is \"many\""),
        (&[("CACHENESS_CONFIG", "bad.json")], "error: CACHENESS_CONFIG: bad.json: 2 options are wrong"),
        (&[("CACHENESS_CONFIG", "none.toml")], "error: CACHENESS_CONFIG: cannot read the configuration none.toml"),
        (&[("CACHENESS_CONFIG", "x.yaml")], "error: CACHENESS_CONFIG: cannot read the configuration x.yaml"),
    ] {
        assert_eq!(said(variables), expected, "{variables:?}");
    }
}
