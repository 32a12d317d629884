//! Which of the words names the store.

use std::process::Command;

use cacheness::prelude::*;

use crate::{Place, Ran};

/// Stores in the directories `names`, each with one entry named like its directory.
fn stores(place: &Place, names: &[&str]) {
    for name in names {
        let cache = Cache::open(place.path(name)).expect("opened");
        cache.put(&(*name).to_owned(), Named(&format!("in_{name}"))).expect("put");
        cache.close().expect("closed");
    }
}

#[test]
fn the_directory_is_named_once_and_in_order() {
    let place = Place::new();
    for name in ["cache", "env", "flag"] {
        let backend = if name == "env" { "json" } else { "sqlite" };
        let cache = Cache::builder().directory(place.path(name)).metadata_backend(backend).open().expect("opened");
        cache.put(&1, Named(name)).expect("put");
    }
    let found = |command: &mut Command| Ran::of(command.output().expect("run")).done().keys();
    assert_eq!(found(&mut place.command(&["ls", "--json"])), ["cache"]);
    assert_eq!(found(place.command(&["ls", "--json"]).env("CACHENESS_DIR", "env")), ["env"]);
    assert_eq!(found(place.command(&["ls", "--json"]).env("CACHENESS_DIR", "")), ["cache"]);
    assert_eq!(found(place.command(&["ls", "--json", "flag"]).env("CACHENESS_DIR", "env")), ["flag"]);
    assert_eq!(found(place.command(&["-d", "flag", "ls", "--json"]).env("CACHENESS_DIR", "env")), ["flag"]);
    assert_eq!(found(place.command(&["ls", "--json", "--dir", "flag"]).env("CACHENESS_DIR", "env")), ["flag"]);
    place.run(&["ls", "flag", "-d", "env"]).failed(2, "given twice");
    let missing = place.run(&["ls", "missing"]).failed(1, "there is no directory");
    assert!(!place.path("missing").exists(), "{missing:?}");
    std::fs::remove_dir_all(place.path("cache")).expect("removed");
    assert!(
        place.run(&["ls"]).failed(1, "no directory").err.contains("hint: specify the store's directory with --dir")
    );
    std::fs::create_dir(place.path("cache")).expect("made");
    for verb in
        [&["ls"][..], &["stats"], &["config"], &["rm", "x"], &["verify"], &["cleanup"], &["clear", "-y"], &["get", "x"]]
    {
        place.run(verb).failed(1, "holds no cacheness store");
    }
    assert_eq!(std::fs::read_dir(place.path("cache")).expect("listed").count(), 0, "nothing was made");
}

/// Every verb, with the directory as the first word, with `--dir`, and from the environment.
#[test]
fn every_verb_takes_the_directory_in_the_same_way() {
    let place = Place::new();
    place.write("file", b"x");
    let verbs: [(&[&str], &[&str]); 11] = [
        (&["ls"], &["-q"]),
        (&["info"], &["in_there", "--json"]),
        (&["stats"], &["--json"]),
        (&["get"], &["in_there"]),
        (&["put"], &["file", "a=1"]),
        (&["rm"], &["in_there", "--dry-run", "--json"]),
        (&["rm"], &["--prefix", "in_", "--dry-run", "--json"]),
        (&["verify"], &["--json"]),
        (&["cleanup"], &[]),
        (&["config"], &[]),
        (&["query"], &["SELECT count(*) AS n FROM entries"]),
    ];
    stores(&place, &["there", "cache"]);
    for (verb, rest) in verbs {
        let word = place.run(&[verb, &["there"], rest].concat()).done();
        let option = place.run(&[&["-d", "there"], verb, rest].concat()).done();
        let behind = place.run(&[verb, rest, &["--dir", "there"]].concat()).done();
        let environment = place.command(&[verb, rest].concat()).env("CACHENESS_DIR", "there").output().expect("run");
        let without_source = |ran: &Ran| ran.out.replace("CACHENESS_DIR", "command line").replace(' ', "");
        let environment = Ran::of(environment).done();
        for ran in [&option, &behind, &environment] {
            assert_eq!((without_source(ran), &ran.err), (without_source(&word), &word.err), "{verb:?}");
        }
        place.run(&[verb, &["there"], rest, &["-d", "there"]].concat()).code.ne(&0).then_some(()).expect("given twice");
    }
    assert_eq!(place.run(&["clear", "there", "-y"]).done().err, "removed 2 entries\n");
    assert_eq!(place.run(&["ls", "-q"]).done().out, "in_cache\n", "no other store was touched");
}

#[test]
fn a_key_and_a_directory_are_told_apart() {
    let place = Place::new();
    stores(&place, &["cache", "there", "in_cac"]);
    // A directory where a key belongs.
    for verb in ["get", "info", "rm"] {
        let ran = place.run(&[verb, "there"]).failed(3, "entry \"there\" does not exist");
        assert!(ran.err.contains("hint: there is a store's directory; give the key after it"), "{ran:?}");
    }
    // A key where a directory belongs.
    for verb in ["ls", "stats", "report", "verify", "cleanup", "config"] {
        let ran = place.run(&[verb, "in_cache"]).failed(1, "there is no directory");
        assert!(
            ran.err.contains("hint: this is a key of ./cache; the first argument here is a store's directory"),
            "{ran:?}"
        );
    }
    let ran = place.run(&["ls", "nothing"]).failed(1, "there is no directory");
    assert!(!ran.err.contains("this is a key"), "{ran:?}");
    // A word that is both: nothing is removed.
    let ran = place
        .run(&["rm", "in_cac", "in_in_cac"])
        .failed(2, "\"in_cac\" is both a store's directory and a key of ./cache");
    assert!(ran.err.contains("hint: specify the directory with --dir"), "{ran:?}");
    assert_eq!(place.run(&["ls", "in_cac", "-q"]).done().out, "in_in_cac\n");
    assert_eq!(place.run(&["rm", "-d", "in_cac", "in_in_cac"]).done().err, "removed 1 entry\n");
    // Keys only: a directory without a store is none.
    std::fs::create_dir(place.path("in_")).expect("made");
    assert_eq!(place.run(&["rm", "in_", "in_cache"]).done().err, "removed 1 entry\n");
    // Filters and keys.
    place.run(&["rm", "there", "in_there", "--prefix", "in"]).failed(2, "rm takes keys or filters, not both");
    place.run(&["rm"]).failed(2, "no keys and no filters are given");
    place.run(&["rm", "there"]).failed(3, "does not exist");
    place.run(&["rm", "--prefix", "", "nowhere"]).failed(1, "there is no directory");
    assert_eq!(place.run(&["ls", "there", "-q"]).done().out, "in_there\n");
}

#[test]
fn put_tells_the_directory_from_the_file() {
    let place = Place::new();
    place.write("file", b"x");
    place.write("a=b", b"y");
    assert!(place.run(&["put", "new", "file", "model=x"]).done().err.contains("created a new store in new"));
    assert!(place.run(&["put", "a=b", "model=x"]).done().err.contains("created a new store in ./cache"));
    place.run(&["put", "new", "file", "--key", "named"]).done();
    assert_eq!(place.run(&["get", "new", "named", "-o", "-"]).done().out, "x");
    place.run(&["-d", "new", "put", "a=b", "model=y"]).done();
    place.run(&["put", "file", "typo"]).failed(2, "\"typo\" is not a parameter, and \"file\" is a file");
    place.run(&["put", "new", "file", "typo"]).failed(2, "\"typo\" is not a parameter");
    place.run(&["-d", "new", "put", "file", "typo"]).failed(2, "\"typo\" is not a parameter");
    place.run(&["put", "new", "file", "a=1", "--key", "b"]).failed(2, "parameters or --key, not both");
    assert_eq!(place.run(&["ls", "new", "-q"]).done().out.lines().count(), 3);
}

#[test]
fn directories_have_any_name() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let cache = Cache::open(place.0.path().join(name)).expect("opened");
    cache.put(&1, Named("k")).expect("put");
    for verb in [&["get"][..], &["info"], &["rm", "--dry-run"]] {
        Ran::of(place.command(verb).arg(name).arg("k").output().expect("run")).done();
    }
}
