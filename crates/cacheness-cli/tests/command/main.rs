//! The command as people run it: the real binary on real directories.

mod bulk;
mod completion;
mod directory;
mod files;
mod preview;
mod query;
mod report;
mod terminal;
mod values;
mod verify;
mod ways_out;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cacheness::prelude::*;
use cacheness::{Clock, Timestamp};
use serde_json::{Value, json};

/// A directory for one test; the command runs in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The cache that the command finds without being told.
    fn cache(&self) -> Cache {
        Cache::open(self.path("cache")).expect("opened")
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), content).expect("written");
        self.path(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cacheness"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CACHENESS_") || text.starts_with("CLICOLOR") || text == "NO_COLOR" {
                command.env_remove(&name);
            }
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("run"))
    }

    fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        child.stdin.take().expect("piped").write_all(input).expect("written");
        Ran::of(child.wait_with_output().expect("run"))
    }
}

/// What a run said.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(!self.err.contains("error:"), "{self:?}");
        self
    }

    /// It failed with this code and these words, a hint and no output.
    #[track_caller]
    fn failed(self, code: i32, words: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("error: ") && self.err.contains(words), "{self:?}");
        assert_eq!(self.out, "");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn keys(&self) -> Vec<String> {
        let key = |line: &str| {
            let entry: Value = serde_json::from_str(line).expect("a JSON object per line");
            entry["cache_key"].as_str().expect("a key").to_owned()
        };
        self.out.lines().map(key).collect()
    }
}

#[test]
fn listings_are_filtered_sorted_and_cut() {
    let place = Place::new();
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let cache = Cache::builder().directory(place.path("cache")).clock(clock.clone()).open().expect("opened");
    let options = |stage: &str| PutOptions::new().metadata(json!({ "stage": stage, "n": 2 }));
    cache.put_with(&vec![1_u8; 10], Named("aa"), options("prod")).expect("put");
    clock.advance(1_000_000);
    cache.put_with(&(0..90_000).collect::<Vec<u32>>(), Named("ab"), options("test")).expect("put");
    clock.advance(1_000_000);
    cache
        .put_with(&"text".to_owned(), Named("b"), options("prod").ttl(std::time::Duration::from_secs(5)))
        .expect("put");
    let numbered = cache.put(&ndarray::arr1(&[1, 2]), params! { fold: 3, model: "x" }).expect("put");
    cache.close().expect("closed");
    let keys = |args: &[&str]| place.run(&[&["ls", "--json"], args].concat()).done().keys();
    assert_eq!(keys(&["--prefix", "a"]), ["ab", "aa"], "newest first");
    assert_eq!(keys(&["--prefix", "a", "-r"]), ["aa", "ab"]);
    assert_eq!(keys(&["--sort", "size", "-n", "1"]), ["ab"]);
    assert_eq!(keys(&["--sort", "key"]).last().map(String::as_str), Some("b"));
    assert_eq!(keys(&["--sort", "expires", "--limit", "1"]), ["b"]);
    assert_eq!(keys(&["--type", "array"]), [numbered.as_str()]);
    assert_eq!(keys(&["--where", "params.fold=3"]), [numbered.as_str()]);
    assert_eq!(keys(&["--where", "stage=prod", "--where", "n=2.0", "--sort", "key"]), ["aa", "b"]);
    assert_eq!(keys(&["--expired"]), ["b"]);
    assert!(keys(&["--where", "params.fold=\"3\""]).is_empty());
    let table = place.run(&["ls", "--sort", "key"]).done();
    let lines: Vec<_> = table.out.lines().collect();
    assert_eq!(lines.len(), 5, "{table:?}");
    assert!(lines[0].starts_with("KEY") && lines[0].contains("EXPIRES") && lines[0].contains("METADATA"), "{table:?}");
    assert!(table.out.contains("stage=prod") && table.out.contains("fold=3") && table.out.contains("expired"));
    assert!(table.err.contains("4 entries, "), "{table:?}");
    assert!(place.run(&["ls", "-n", "2"]).done().err.contains("2 of 4 entries"));
    assert!(place.run(&["ls", "--type", "array"]).done().err.starts_with("1 entry, "));
    assert_eq!(place.run(&["ls", "--prefix", "zz"]).done().err, "no entries\n");
}

#[test]
fn settings_say_where_they_come_from() {
    let place = Place::new();
    let cache = Cache::builder().directory(place.path("cache")).metadata_backend("json").open().expect("opened");
    cache.close().expect("closed");
    let config = place.run(&["config", "--json"]).done().json();
    assert_eq!(config["metadata_backend"], json!({ "value": "json", "source": "cacheness.toml" }));
    assert_eq!(config["cache_dir"]["source"], "default");
    assert_eq!(config["blob.shard_chars"], json!({ "value": 2, "source": "default" }));
    assert_eq!(config["security.allow_pickle"]["value"], true);
    assert_eq!(config.get("metadata.pool_size"), None, "an option of a backend that is not set");
    let mut command = place.command(&["config", "--json"]);
    let config = Ran::of(command.env("CACHENESS_DEFAULT_TTL_SECONDS", "60").output().expect("run")).done().json();
    let source = "CACHENESS_DEFAULT_TTL_SECONDS";
    assert_eq!(config["default_ttl_seconds"], json!({ "value": 60.0, "source": source }));
    let ran = Ran::of(place.command(&["config"]).env(source, "soon").output().expect("run"));
    ran.failed(1, source);
    let ran = Ran::of(place.command(&["config"]).env("CACHENESS_DIR", "cache").output().expect("run")).done();
    assert!(ran.out.lines().any(|line| line.starts_with("cache_dir") && line.ends_with("CACHENESS_DIR")), "{ran:?}");
}

#[test]
fn the_origin_of_every_option_is_shown_without_a_store() {
    let place = Place::new();
    place.write(
        "team.toml",
        b"# ours\nmax_entries = 5\n[blob]\nbackend = \"s3\"\nbucket = \"b\"\nsecret_key = \"hush\"\n",
    );
    let variables = [
        ("CACHENESS_CONFIG", "team.toml"),
        ("CACHENESS_MAX_SIZE_MB", "none"),
        ("CACHENESS_DATABASE_URL", "postgresql://ada:hush@h/db"),
        ("CACHENESS_MAX_ENTRYS", "7"),
    ];
    let show = |args: &[&str]| Ran::of(place.command(args).envs(variables).output().expect("run")).done();
    let ran = show(&["config", "--show-origin", "--json"]);
    let shown = ran.json();
    assert_eq!(shown["storage.max_entries"], json!({ "value": 5, "source": "team.toml:2" }));
    assert_eq!(shown["storage.max_cache_size_mb"], json!({ "value": null, "source": "CACHENESS_MAX_SIZE_MB" }));
    let database = json!({ "value": "postgresql://ada:***@h/db", "source": "CACHENESS_DATABASE_URL" });
    assert_eq!(shown["metadata.database_url"], database);
    assert_eq!(shown["blob.bucket"], json!({ "value": "b", "source": "team.toml:5" }));
    assert_eq!(shown["blob.secret_key"], json!({ "value": "***", "source": "team.toml:6" }));
    assert_eq!(shown["storage.durability"], json!({ "value": "normal", "source": "default" }));
    assert_eq!(ran.err, "CACHENESS_MAX_ENTRYS sets no option: did you mean CACHENESS_MAX_ENTRIES?\n");
    let table = show(&["config", "--show-origin"]).out;
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap_or_default();
    assert!(row("storage.max_entries").ends_with("team.toml:2"), "{table}");
    assert!(row("SETTING").contains("VALUE") && !table.contains("hush"), "{table}");
    assert!(!place.path("cache").exists());
    let schema = place.run(&["config", "--schema"]).done().json();
    assert_eq!(schema["properties"]["storage"]["properties"]["shard_chars"], Value::Null);
    assert_eq!(schema["properties"]["blob"]["properties"]["shard_chars"]["maximum"], 4);
}

#[test]
fn the_environment_gives_defaults() {
    let place = Place::new();
    place.write("x", b"x");
    let mut command = place.command(&["put", "x", "a=1"]);
    command.env("CACHENESS_BACKEND", "json").env("CACHENESS_DEFAULT_TTL_SECONDS", "3600");
    Ran::of(command.output().expect("run")).done();
    assert!(place.path("cache/cache_metadata.json").exists());
    assert!(place.cache().list_entries().expect("listed")[0].expires_at().is_some());
    // A directory that is there says itself which backend it has.
    Ran::of(place.command(&["put", "x", "a=2"]).env("CACHENESS_BACKEND", "sqlite").output().expect("run")).done();
    let ran = place.command(&["-d", "new", "put", "x", "a=2"]).env("CACHENESS_BACKEND", "oracle").output();
    Ran::of(ran.expect("run")).failed(1, "oracle");
    assert!(!place.path("new").exists());
}

#[test]
fn the_beginning_of_a_key_is_enough() {
    let place = Place::new();
    let cache = place.cache();
    for name in ["model", "model_2", "model_30", "other"] {
        cache.put(&name.to_owned(), Named(name)).expect("put");
    }
    assert_eq!(place.run(&["get", "oth"]).done().out, "\"other\"\n");
    assert_eq!(place.run(&["get", "model"]).done().out, "\"model\"\n", "a whole key is no prefix");
    assert_eq!(place.run(&["info", "model_3", "--json"]).done().json()["cache_key"], "model_30");
    assert_eq!(place.run(&["info", "cache", "model_3", "--json"]).done().json()["cache_key"], "model_30");
    assert_eq!(place.run(&["get", "cache", "model_3"]).done().out, place.run(&["get", "model_3"]).done().out);
    place.run(&["-d", "cache", "info", "cache", "model_3"]).failed(2, "the directory is given twice");
    let ran = place.run(&["get", "model_"]).failed(3, "several keys start with \"model_\"");
    assert!(ran.err.contains("model_2, model_30"), "{ran:?}");
    for verb in [&["get", "x"][..], &["info", "x"], &["rm", "x"], &["get", ""], &["rm", "other", "x"]] {
        place.run(verb).failed(3, "does not exist");
    }
    assert_eq!(place.run(&["rm", "oth", "model_2", "other"]).done().err, "removed 2 entries\n");
    assert_eq!(place.run(&["ls", "--json", "--sort", "key"]).done().keys(), ["model", "model_30"]);
    for i in 0..20 {
        cache.put(&i, Named(&format!("many{i:02}"))).expect("put");
    }
    let ran = place.run(&["get", "many"]).failed(3, "several");
    assert!(ran.err.contains("many04, …") && !ran.err.contains("many05"), "{ran:?}");
}

#[test]
fn what_has_expired_is_not_there() {
    let place = Place::new();
    let clock = Clock::manual(Timestamp(1_600_000_000_000_000));
    let cache = Cache::builder().directory(place.path("cache")).clock(clock).open().expect("opened");
    cache.put_with(&1, Named("old"), PutOptions::new().ttl(std::time::Duration::from_secs(1))).expect("put");
    cache.put(&2, Named("kept")).expect("put");
    cache.close().expect("closed");
    place.run(&["get", "old"]).failed(3, "has expired");
    assert_eq!(place.run(&["get", "old", "--expired"]).done().out, "1\n");
    assert_eq!(place.run(&["stats", "--json"]).done().json()["expired"]["entries"], 1);
    assert_eq!(place.run(&["cleanup"]).done().err, "removed 1 expired entry\n");
    assert_eq!(place.run(&["ls", "--json"]).done().keys(), ["kept"]);
    place.run(&["clear"]).failed(2, "there is no terminal");
    assert_eq!(place.run(&["ls", "--json"]).done().keys(), ["kept"]);
    assert_eq!(place.run(&["clear", "--yes"]).done().err, "removed 1 entry\n");
    assert_eq!(place.run(&["ls", "--json"]).done().out, "");
}

#[test]
fn statistics_add_up() {
    let place = Place::new();
    let cache = place.cache();
    cache.put(&ndarray::Array1::<f64>::zeros(10_000), Named("zeros")).expect("put");
    for i in 0..3 {
        cache.put(&i, params! { i: i }).expect("put");
    }
    let stats = place.run(&["stats", "--json"]).done().json();
    assert_eq!(stats["total_entries"], 4);
    assert_eq!((&stats["backend_type"], &stats["blob_backend_type"]), (&json!("sqlite"), &json!("filesystem")));
    assert_eq!(stats["types"]["plain"]["entries"], 3);
    assert_eq!(stats["types"]["array"]["entries"], 1);
    assert_eq!(stats["unsigned"]["entries"], 0);
    let bytes = |name: &str| stats[name]["bytes"].as_u64().expect("a number");
    assert_eq!(stats["total_size_bytes"], bytes("inline") + bytes("files"));
    let text = place.run(&["stats"]).done().out;
    assert!(text.contains("all        4 entries, ") && text.contains("\narray        1  "), "{text}");
    assert!(place.run(&["stats", "cache"]).done().out.contains("\nTYPE "));
}

#[test]
fn a_damaged_entry_is_told() {
    let place = Place::new();
    let cache = place.cache();
    let mut x = 7_u64;
    let noise = ndarray::Array1::from_shape_fn(200_000, |_| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x.to_be_bytes()[0]
    });
    cache.put(&noise, Named("k")).expect("put");
    let verified = place.run(&["info", "k", "--verify", "--json"]).done().json();
    assert_eq!(verified["verified"], json!({ "valid": true, "signature": "valid", "problem": null }));
    let blob = place.path("cache").join(verified["actual_path"].as_str().expect("a file"));
    let mut bytes = std::fs::read(&blob).expect("read");
    bytes[150_000] ^= 1;
    std::fs::write(&blob, bytes).expect("written");
    let ran = place.run(&["info", "k", "--verify", "--json"]);
    assert_eq!((ran.code, &ran.json()["verified"]["valid"]), (1, &json!(false)));
    assert!(ran.err.contains("error: ") && ran.err.contains("hash"), "{ran:?}");
    let ran = place.run(&["get", "k", "-o", "out"]).failed(1, "hash");
    assert!(!place.path("out").exists(), "{ran:?}");
}

#[test]
fn a_terminal_is_not_tricked_and_colour_is_asked_for() {
    let place = Place::new();
    let cache = place.cache();
    let name = "a\u{1b}]0;owned\u{7}\u{202e}b";
    cache.put_with(&1, Named(name), PutOptions::new().metadata(json!({ "note": "\u{1b}[2J" }))).expect("put");
    for args in [&["ls"][..], &["info", "a"], &["stats"], &["config"], &["get", "x"]] {
        let ran = place.run(args);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{args:?}: {ran:?}");
        assert!(!ran.out.contains('\u{202e}'));
    }
    let coloured = Ran::of(place.command(&["ls"]).env("CLICOLOR_FORCE", "1").output().expect("run")).done();
    assert!(coloured.out.starts_with("\u{1b}[1mKEY") && !coloured.out.contains("\u{1b}]0"), "{coloured:?}");
    let plain = Ran::of(place.command(&["ls"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().expect("run"));
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let cache = place.cache();
    for i in 0..300 {
        cache
            .put_with(&i, params! { i: i }, PutOptions::new().metadata(json!({ "text": "x".repeat(1_000) })))
            .expect("put");
    }
    cache.put(&"x".repeat(3_000_000), Named("large")).expect("put");
    for args in
        [&["ls", "--json"][..], &["ls"], &["get", "large"], &["get", "large", "-o", "-"], &["completions", "zsh"]]
    {
        let mut command = place.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("run");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
        assert!(!err.contains("error") && !err.contains("panic"), "{args:?}: {err}");
    }
}

#[test]
fn the_command_line_is_explained() {
    let place = Place::new();
    let help = place.run(&["--help"]).done().out;
    let verbs = ["ls", "info", "stats", "get", "put", "rm", "verify", "search", "index", "tag", "cleanup", "clear"];
    for word in [&verbs[..], &["config", "completions", "Exit codes"]].concat() {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(help.starts_with("List, read, store and remove the cached results"), "{help}");
    assert!(place.run(&["--version"]).done().out.starts_with("cacheness "));
    assert_eq!(place.run(&[]).code, 2);
    place.run(&["lss"]).failed(2, "'ls'");
    place.run(&["ls", "--sort", "entry.colour"]).failed(2, "the fields are cache_key");
}

#[test]
fn a_newer_store_is_refused_with_a_hint() {
    let place = Place::new();
    place.cache().close().expect("closed");
    place.write("cache/cacheness.toml", b"format = 9\nwritten_by = \"3.1.4\"\n");
    let ran = place.run(&["ls"]).failed(1, "3.1.4");
    assert!(ran.err.contains("\nhint: upgrade cacheness"), "{ran:?}");
    assert!(Path::new(&place.path("cache/cacheness.toml")).exists());
}
