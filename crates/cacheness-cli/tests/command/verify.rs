//! `verify`: the whole store.

use cacheness::prelude::*;
use serde_json::json;

use crate::Place;
use crate::terminal::{Terminal, on_terminal};

fn noise(seed: u64) -> Vec<u8> {
    let mut x = seed;
    let next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(100_000).collect()
}

fn blob(place: &Place, key: &str) -> std::path::PathBuf {
    let info = place.run(&["info", key, "--json"]).done().json();
    place.path("cache").join(info["actual_path"].as_str().expect("a file"))
}

#[test]
fn damage_is_found_wherever_it_is() {
    let place = Place::new();
    let cache = place.cache();
    for i in 0..6 {
        cache.put(&noise(i), Named(&format!("file_{i}"))).expect("put");
        cache.put(&i, Named(&format!("small_{i}"))).expect("put");
    }
    cache.close().expect("closed");
    let report = place.run(&["verify", "--json"]).done().json();
    assert_eq!((&report["entries"], &report["valid"], &report["damaged"]), (&json!(12), &json!(12), &json!([])));
    assert_eq!(report["signatures"], json!({ "valid": 12, "wrong": 0, "missing": 0, "unchecked": 0 }));
    assert_eq!(report["bytes"], place.run(&["stats", "--json"]).done().json()["total_size_bytes"]);
    let ran = place.run(&["verify"]).done();
    assert!(ran.out.is_empty() && ran.err.contains("12 entries, 600"), "{ran:?}");
    assert!(ran.err.contains("all payloads match their hashes\nsignatures: 12 valid\n"), "{ran:?}");

    let path = blob(&place, "file_1");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[50_000] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    std::fs::remove_file(blob(&place, "file_4")).expect("removed");
    let ran = place.run(&["verify", "--json"]);
    let report = ran.json();
    assert_eq!((ran.code, &report["entries"], &report["valid"]), (1, &json!(12), &json!(10)));
    let damaged = report["damaged"].as_array().expect("a list");
    assert_eq!([&damaged[0]["cache_key"], &damaged[1]["cache_key"]], ["file_1", "file_4"]);
    assert!(damaged[0]["problem"].as_str().is_some_and(|why| why.contains("hash")), "{report}");
    let ran = place.run(&["verify"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("KEY ") && ran.out.contains("\nfile_1  ") && ran.out.contains("\nfile_4  "), "{ran:?}");
    assert!(ran.err.starts_with("error: 2 of 12 entries are damaged\nhint: "), "{ran:?}");
    assert_eq!(place.run(&["verify", "--prefix", "small_"]).done().err.lines().count(), 2);
    let ran = place.run(&["verify", "cache", "--prefix", "file_1"]);
    assert!(ran.code == 1 && ran.err.contains("1 of 1 entry is damaged"), "{ran:?}");
    let ran = on_terminal(&mut place.command(&["verify"]), &Terminal::new(60));
    let lines = ran.out.lines().filter(|line| line.starts_with("file_"));
    assert_eq!(lines.filter(|line| line.chars().count() <= 60).count(), 2, "{ran:?}");
}

#[test]
fn signatures_are_counted() {
    let place = Place::new();
    place.cache().put(&1, Named("signed")).expect("put");
    std::fs::remove_file(place.path("cache/cache_signing_key.bin")).expect("removed");
    let report = place.run(&["verify", "--json"]).done().json();
    assert_eq!(report["signatures"], json!({ "valid": 0, "wrong": 0, "missing": 0, "unchecked": 1 }));
    assert!(place.run(&["verify"]).done().err.contains("1 not checked for lack of a key"));
    // Another key: what was signed with the former one is wrong.
    place.cache().put(&2, Named("new")).expect("put");
    let ran = place.run(&["verify", "--json"]);
    assert_eq!((ran.code, &ran.json()["signatures"]["wrong"]), (1, &json!(1)), "{ran:?}");
    assert_eq!(ran.json()["damaged"][0]["cache_key"], "signed");
}

#[test]
fn an_empty_store_is_intact() {
    let place = Place::new();
    place.cache().close().expect("closed");
    assert_eq!(place.run(&["verify"]).done().err, "0 entries, 0 B: all payloads match their hashes\n");
}
