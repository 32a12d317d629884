//! Filters: which entries `ls`, `rm` and `verify` take, and how `rm` removes many.

use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{Clock, Timestamp};
use serde_json::json;

use crate::terminal::{Terminal, on_terminal};
use crate::{Place, Ran};

/// A store of named values, of a function's results, of an array; some of them old.
fn filled() -> Place {
    let place = Place::new();
    let clock = Clock::manual(Timestamp(1_600_000_000_000_000));
    let cache = Cache::builder().directory(place.path("cache")).clock(clock).open().expect("opened");
    let options = |stage: &str| PutOptions::new().metadata(json!({ "stage": stage }));
    cache.put_with(&1, Named("old_1"), options("prod")).expect("put");
    cache.put_with(&2, Named("old_2"), options("test")).expect("put");
    cache.put_with(&ndarray::arr1(&[1.5, 2.5]), Named("old_array"), options("prod")).expect("put");
    cache.close().expect("closed");
    let cache = place.cache();
    cache.put_with(&3, Named("new_1"), options("prod")).expect("put");
    for (origin, window) in [("EWR", 3), ("JFK", 3), ("JFK", 4)] {
        let arguments = params! { origin: origin, window: window };
        cache.put(&window, params! { "__function__": "taxi.data.trips", "arguments": arguments }).expect("put");
    }
    cache.put(&4, params! { "__function__": "taxi.rides", "arguments": params! { origin: "JFK" } }).expect("put");
    place
}

fn keys(place: &Place, args: &[&str]) -> Vec<String> {
    let out = place.run(&[&["ls", "-q", "--sort", "key"], args].concat()).done().out;
    out.lines().map(str::to_owned).collect()
}

#[test]
fn filters_are_joined_by_and() {
    let place = filled();
    assert_eq!(keys(&place, &[]).len(), 8);
    assert_eq!(keys(&place, &["--prefix", "old_"]), ["old_1", "old_2", "old_array"]);
    assert_eq!(keys(&place, &["--older-than", "7d"]), ["old_1", "old_2", "old_array"]);
    assert_eq!(keys(&place, &["--older-than", "7d", "--type", "array"]), ["old_array"]);
    assert_eq!(keys(&place, &["--where", "stage=prod"]), ["new_1", "old_1", "old_array"]);
    assert_eq!(keys(&place, &["--where", "stage=prod", "--older-than", "7d", "--type", "plain"]), ["old_1"]);
    assert_eq!(keys(&place, &["--function", "trips"]).len(), 3);
    assert_eq!(keys(&place, &["--function", "taxi.data.trips"]).len(), 3);
    assert_eq!(keys(&place, &["--function", "rips"]).len(), 0);
    let origin = "params.arguments.origin = JFK";
    assert_eq!(keys(&place, &["--where", origin]).len(), 3);
    assert_eq!(keys(&place, &["--where", origin, "--where", "params.arguments.window<=3"]).len(), 1);
    assert_eq!(keys(&place, &["--where", origin, "--function", "rides"]).len(), 1);
    assert_eq!(keys(&place, &["--where", "entry.data_type=array"]), ["old_array"]);
    assert_eq!(keys(&place, &["--where", "params.arguments.window = \"3\""]).len(), 0);
    assert_eq!(keys(&place, &["--where", "params.arguments.window=3.0"]).len(), 2, "a whole number equals the float");
    assert_eq!(keys(&place, &["--where", "stage in [test, dev] or entry.data_type = array"]), ["old_2", "old_array"]);
    assert_eq!(keys(&place, &["--where", "stage missing and not params exists"]).len(), 4);
    assert_eq!(keys(&place, &["--where", r#"{"stage": {"$regex": "^t"}}"#]), ["old_2"]);
    assert_eq!(keys(&place, &["--where", "entry.created_at < 2021-01-01"]).len(), 3);
    let nothing = place.run(&["ls", "--where", "origin=JFK"]).done();
    assert!(nothing.err.starts_with("no entries\norigin is a field of the metadata; params.origin "), "{nothing:?}");
}

#[test]
fn entries_are_found_by_tags_and_words() {
    let place = filled();
    let run = |args: &[&str]| place.run(args);
    assert_eq!(run(&["tag", "ls"]).done().err, "no tags\n");
    assert_eq!(run(&["tag", "add", "old_1", "eu", "big deal"]).done().err, "added eu, big deal to old_1\n");
    run(&["tag", "add", "cache", "new_1", "eu"]).done();
    run(&["tag", "remove", "-d", "cache", "old_1", "big deal", "none"]).done();
    place.write("note.txt", b"note");
    run(&["put", "note.txt", "--key", "note", "--tag", "eu", "--tag", "x", "--description", "Frauds detected"]).done();
    assert_eq!(keys(&place, &["--tag", "eu"]), ["new_1", "note", "old_1"]);
    assert_eq!(keys(&place, &["--tag", "eu", "--tag", "x"]), ["note"]);
    assert_eq!(keys(&place, &["--tag", "eu", "--where", "stage = prod", "--older-than", "1d"]), ["old_1"]);
    let tags = run(&["tag", "ls"]).done().out;
    assert_eq!(tags.split_whitespace().collect::<Vec<_>>(), ["TAG", "ENTRIES", "eu", "3", "x", "1"]);
    assert_eq!(run(&["tag", "ls", "--json"]).done().json(), json!({ "eu": 3, "x": 1 }));
    run(&["tag", "add", "nothing", "eu"]).failed(3, "does not exist");
    run(&["tag", "add", "old_1", ""]).failed(1, "a tag is an empty string");
    run(&["tag", "add", "old_1"]).failed(2, "");

    let missing = run(&["search", "fraud*"]).failed(1, "no full-text index");
    assert!(missing.err.contains("cacheness index add --text"), "{missing:?}");
    assert_eq!(run(&["index", "add", "--text"]).done().err, "added the full-text index\n");
    assert_eq!(run(&["index", "add", "cache", "--text"]).done().err, "the full-text index exists already\n");
    assert_eq!(run(&["search", "fraud*", "-q"]).done().out, "note\n");
    assert_eq!(run(&["search", "cache", "prod", "-q", "--older-than", "1d"]).done().out.lines().count(), 2);
    assert_eq!(run(&["search", "prod", "-n", "1", "--json"]).done().keys().len(), 1);
    assert!(run(&["search", "eu"]).done().out.contains("stage=prod"));
    assert_eq!(run(&["search", "elephant"]).done().err, "no entries\n");
    run(&["search", "\"half"]).failed(1, "no full-text query");

    assert_eq!(run(&["index", "add", "stage"]).done().err, "added the index of stage\n");
    assert_eq!(run(&["index", "add", "cache", "config.depth"]).done().err, "added the index of config.depth\n");
    assert_eq!(run(&["index", "ls"]).done().out, "config.depth\nstage\n");
    assert_eq!(
        run(&["index", "ls", "--json"]).done().json(),
        json!({ "fields": ["config.depth", "stage"], "text": true })
    );
    assert_eq!(keys(&place, &["--where", "stage = test"]), ["old_2"]);
    assert_eq!(run(&["index", "remove", "stage"]).done().err, "removed the index of stage\n");
    assert_eq!(run(&["index", "remove", "stage"]).done().err, "the index of stage does not exist\n");
    assert_eq!(run(&["index", "remove", "--text"]).done().err, "removed the full-text index\n");
    run(&["index", "add", "params.x"]).failed(1, "not a field of the metadata");
    run(&["index", "add"]).failed(2, "no field is given");
    run(&["index", "add", "a..b"]).failed(2, "is no field");
}

#[test]
fn listings_are_sorted_by_any_field_and_cut() {
    let place = Place::new();
    let cache = place.cache();
    for (i, accuracy) in [0.5, 0.9, 0.7, 0.9].into_iter().enumerate() {
        let metadata = json!({ "accuracy": accuracy, "group": i % 2 });
        let mut options = PutOptions::new().metadata(metadata);
        if i > 0 {
            options = options.ttl(Duration::from_secs(1000 * (4 - i as u64)));
        }
        cache.put_with(&i, Named(&format!("k{i}")), options).expect("put");
    }
    let keys = |args: &[&str]| place.run(&[&["ls", "-q"], args].concat()).done().out.replace('\n', " ");
    assert_eq!(keys(&["--sort", "-accuracy"]), "k1 k3 k2 k0 ");
    assert_eq!(keys(&["--sort", "-accuracy", "-r"]), "k0 k2 k1 k3 ");
    assert_eq!(keys(&["--sort", "group", "--sort=-accuracy"]), "k2 k0 k1 k3 ");
    assert_eq!(keys(&["--sort", "-accuracy", "-n", "2", "--offset", "1"]), "k3 k2 ");
    assert_eq!(keys(&["--sort", "key", "-r"]), "k3 k2 k1 k0 ");
    // Soonest first, and those that never expire last, in all parts of the listing.
    assert_eq!(keys(&["--sort", "expires"]), "k3 k2 k1 k0 ");
    assert_eq!(keys(&["--sort", "expires", "-r"]), "k0 k1 k2 k3 ");
    for (offset, found) in ["k3 k2 ", "k2 k1 ", "k1 k0 ", "k0 ", ""].iter().enumerate() {
        assert_eq!(keys(&["--sort", "expires", "-n", "2", "--offset", &offset.to_string()]), *found);
    }
    assert_eq!(keys(&["--sort", "expires", "-n", "0"]), "");
    let shown = place.run(&["ls", "--where", "accuracy > 0.6", "-n", "1", "--offset", "1"]).done();
    assert!(shown.err.starts_with("1 of 3 entries, "), "{shown:?}");
    assert_eq!(place.run(&["ls", "--offset", "9"]).done().err, "no entries shown\n");
    place.run(&["ls", "--sort", "entry.filesize"]).failed(2, "did you mean entry.file_size");
}

#[test]
fn a_filter_that_cannot_be_met_is_an_error() {
    let place = filled();
    for verb in [&["ls"][..], &["rm", "--yes"], &["verify"]] {
        let run = |args: &[&str]| place.run(&[verb, args].concat());
        let ran = run(&["--where", "window >> 3"]).failed(2, "--where <FILTER>");
        let lines: Vec<_> = ran.err.lines().collect();
        let caret = lines.iter().position(|line| line.trim() == "^").expect("a caret");
        assert!(lines[caret - 1].ends_with("window >> 3"), "{ran:?}");
        assert_eq!(lines[caret].len(), lines[caret - 1].find('3').expect("the place") + 1, "{ran:?}");
        run(&["--where", "window"]).failed(2, "an operator is expected");
        run(&["--where", ""]).failed(2, "--where <FILTER>");
        run(&["--where", "entry.filesize > 3"]).failed(2, "did you mean entry.file_size");
        run(&["--where", r#"{"window": {"$gtee": 3}}"#]).failed(2, "did you mean $gte");
        run(&["--where", "window ~ \"(\""]).failed(2, "no regular expression");
        run(&["--older-than", "soon"]).failed(2, "give a number of seconds");
    }
    assert_eq!(keys(&place, &[]).len(), 8);
}

#[test]
fn keys_alone_are_for_pipes() {
    let place = filled();
    let name = "a key\nof two lines";
    place.cache().put(&1, Named(name)).expect("put");
    let ran = place.run(&["ls", "-q", "-0", "--prefix", "a key"]).done();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("a key\nof two lines\0", ""));
    let mut command = std::process::Command::new("bash");
    let script = "$0 ls -q --function trips | xargs $0 rm && $0 ls -q0 --prefix 'a key' | xargs -0 $0 rm";
    let ran = command.args(["-o", "pipefail", "-c", script, env!("CARGO_BIN_EXE_cacheness")]);
    let ran = Ran::of(ran.current_dir(place.0.path()).env_remove("CACHENESS_DIR").output().expect("run")).done();
    assert_eq!(ran.err, "removed 3 entries\nremoved 1 entry\n");
    assert_eq!(keys(&place, &[]).len(), 5);
    let ran = on_terminal(&mut place.command(&["ls", "-q"]), &Terminal::new(80));
    assert!(ran.out.lines().all(|line| !line.contains(' ')), "{ran:?}");
    place.run(&["ls", "-0"]).failed(2, "--quiet");
    place.run(&["ls", "-q", "--json"]).failed(2, "cannot be used with");
}

#[test]
fn removing_many_is_tried_first_and_confirmed() {
    let place = filled();
    let selected = ["rm", "--older-than", "7d"];
    let run = |more: &[&str]| place.run(&[&selected, more].concat());
    let dry = run(&["--dry-run"]).done();
    assert!(dry.out.starts_with("KEY ") && dry.out.contains("\nold_array  array"), "{dry:?}");
    assert!(dry.err.starts_with("3 entries (") && dry.err.ends_with(") would be removed\n"), "{dry:?}");
    let report = run(&["--dry-run", "--json"]).done().json();
    assert_eq!(report["keys"], json!(["old_1", "old_2", "old_array"]));
    assert_eq!((&report["entries"], &report["dry_run"]), (&json!(3), &json!(true)));
    assert!(report["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{report}");
    let ran = run(&[]).failed(2, "3 entries (");
    assert!(ran.err.contains("there is no terminal") && ran.err.contains("--yes"), "{ran:?}");
    for answer in ["n\n", "\n", "\u{4}"] {
        let ran = on_terminal(&mut place.command(&selected), &Terminal::new(100).answer(answer));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.out.contains("old_array  array") && ran.out.contains("Remove 3 entries ("), "{ran:?}");
        assert!(ran.out.contains("nothing was removed"), "{ran:?}");
    }
    assert_eq!(keys(&place, &[]).len(), 8, "nothing was removed so far");
    let ran = on_terminal(&mut place.command(&selected), &Terminal::new(100).answer("y\n"));
    assert!(ran.code == 0 && ran.out.ends_with("removed 3 entries\n"), "{ran:?}");
    assert_eq!(keys(&place, &["--prefix", "old"]), [""; 0]);
    let report = place.run(&["rm", "--function", "trips", "-y", "--json"]).done().json();
    assert_eq!((&report["entries"], &report["dry_run"]), (&json!(3), &json!(false)));
    assert_eq!(report["keys"].as_array().map(Vec::len), Some(3));
    assert_eq!(keys(&place, &[]).len(), 2);
    assert_eq!(place.run(&["rm", "--prefix", "zz"]).done().err, "removed 0 entries\n", "nothing to ask about");
    assert_eq!(place.run(&["rm", "--dry-run", "new_1"]).done().err, "1 entry (1 B) would be removed\n");
    assert_eq!(keys(&place, &[]).len(), 2);
}

#[test]
fn a_preview_is_short() {
    let place = Place::new();
    let cache = place.cache();
    for i in 0..1_500 {
        cache.put(&i, Named(&format!("k{i:04}"))).expect("put");
    }
    let dry = place.run(&["rm", "--prefix", "k", "--dry-run"]).done();
    assert_eq!(dry.out.lines().count(), 12, "a heading, ten rows, and how many more: {dry:?}");
    assert!(dry.out.ends_with("… and 1490 more\n"), "{dry:?}");
    // More than one batch.
    assert_eq!(place.run(&["rm", "--prefix", "k", "-y"]).done().err, "removed 1500 entries\n");
    assert_eq!(place.run(&["ls", "-q"]).done().out, "");
}

#[test]
fn what_is_replaced_before_the_answer_stays() {
    let place = filled();
    let selected = ["rm", "--prefix", "old_", "--json"];
    let ran = on_terminal(
        &mut place.command(&selected),
        &Terminal::new(100).answer("y\n").meanwhile("Remove 3 entries", || {
            place.cache().put(&5, Named("old_2")).expect("put");
            place.cache().invalidate(Named("old_1")).expect("removed");
        }),
    );
    assert!(ran.code == 0 && ran.out.contains("kept 1 entry that changed meanwhile"), "{ran:?}");
    assert_eq!(keys(&place, &["--prefix", "old_"]), ["old_2"]);
    assert_eq!(place.run(&["get", "old_2"]).done().out, "5\n");
}

#[test]
fn expired_entries_are_listed_with_the_other_filters() {
    let place = filled();
    let clock = Clock::manual(Timestamp(1_600_000_000_000_000));
    let cache = Cache::builder().directory(place.path("cache")).clock(clock).open().expect("opened");
    cache.put_with(&9, Named("old_9"), PutOptions::new().ttl(Duration::from_secs(5))).expect("put");
    assert_eq!(keys(&place, &["--expired"]), ["old_9"]);
    assert_eq!(keys(&place, &["--expired", "--prefix", "new"]), [""; 0]);
}
