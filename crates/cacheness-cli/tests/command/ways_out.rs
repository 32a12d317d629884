//! What is wrong with a store, said with the way out: what is lost, what to put back or to remove.

use cacheness::prelude::*;

use crate::Place;

/// The words of an error, of its hint too.
#[track_caller]
fn check(place: &Place, args: &[&str], words: &[&str]) {
    let ran = place.run(args).failed(1, words[0]);
    assert!(ran.err.contains("\nhint: "), "{args:?}: {}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{args:?}: {word:?} is not in {}", ran.err);
    }
}

const VERBS: [&[&str]; 5] = [&["ls"], &["stats"], &["get", "a"], &["rm", "a"], &["clear", "-y"]];

fn filled(place: &Place, backend: &str) {
    let cache = Cache::builder().directory(place.path("cache")).metadata_backend(backend).open().expect("opened");
    cache.put(&"text".to_owned(), Named("a")).expect("put");
    cache.put(&(0..90_000).collect::<Vec<u32>>(), Named("b")).expect("put");
    cache.close().expect("closed");
}

#[test]
fn of_a_database_that_is_damaged_or_gone() {
    for (backend, file) in [("sqlite", "cache_metadata.db"), ("json", "cache_metadata.json")] {
        let place = Place::new();
        filled(&place, backend);
        let path = place.path("cache").join(file);
        std::fs::write(&path, [b'x'; 8192]).expect("written");
        for verb in VERBS {
            check(&place, verb, &[file, "copy", "blobs", "all entries are lost"]);
        }
    }
}

#[test]
fn of_a_manifest_that_is_damaged() {
    let place = Place::new();
    filled(&place, "sqlite");
    std::fs::write(place.path("cache").join("cacheness.toml"), "format = [").expect("written");
    for verb in VERBS {
        check(&place, verb, &["cacheness.toml is damaged", "remove it", "nothing is lost"]);
    }
}

#[test]
fn of_a_key_that_is_lost() {
    let place = Place::new();
    filled(&place, "sqlite");
    let key = place.path("cache").join("cache_signing_key.bin");
    std::fs::write(&key, "short").expect("written");
    check(&place, &["rm", "a"], &["cache_signing_key.bin", "copy", "lost", "remove"]);
    std::fs::remove_file(&key).expect("removed");
    // Another one is made by whoever writes.
    Cache::open(place.path("cache")).expect("opened").close().expect("closed");
    check(
        &place,
        &["get", "a"],
        &["signature is wrong", "cache_signing_key.bin", "lost", "copy", "put the value again"],
    );
    place.run(&["clear", "-y"]).done();
}

#[test]
fn of_a_directory_of_somebody_else() {
    let place = Place::new();
    std::fs::create_dir(place.path("cache")).expect("made");
    std::fs::write(place.path("cache").join("letter.txt"), "x").expect("written");
    for verb in VERBS {
        check(&place, &[verb, &["--dir", "cache"]].concat(), &["no cacheness store", "letter.txt", "cacheness.toml"]);
    }
}
