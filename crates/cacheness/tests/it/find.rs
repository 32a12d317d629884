//! Entries found by filters and words: what the builder does, on every metadata backend, and what a mistake does.

use std::collections::BTreeMap;

use cacheness::prelude::*;
use cacheness::{Clock, EntryInfo, ErrorKind, OpenMode, Params, Place, StoreConfig, Timestamp};
use serde_json::json;

fn filled(cache: &Cache) {
    for i in 0..20_u32 {
        let metadata = json!({ "accuracy": f64::from(i % 5) / 10.0, "group": { "n": i % 3 }, "i": i });
        let mut options = PutOptions::new().metadata(metadata).description(format!("number {i}"));
        if i % 2 == 0 {
            options = options.tags(["even", "all"]);
        }
        cache.put_with(&i, params! { i: i, model: "ridge" }, options).expect("put");
    }
}

fn numbers(entries: &[EntryInfo]) -> Vec<u64> {
    entries.iter().map(|entry| entry.metadata()["i"].as_u64().expect("a number")).collect()
}

/// A cache on each metadata backend.
fn caches() -> Vec<(tempfile::TempDir, Cache)> {
    let open = |backend: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cache");
        let cache = Cache::builder().directory(path).metadata_backend(backend).open().expect("opened");
        (directory, cache)
    };
    let caches: Vec<_> = ["sqlite", "json"].into_iter().map(open).collect();
    caches.iter().for_each(|(_, cache)| filled(cache));
    caches
}

#[test]
fn entries_are_found_sorted_and_paged() -> cacheness::Result<()> {
    for (_directory, cache) in caches() {
        let good = field("accuracy").ge(0.3) & param("model").eq("ridge");
        assert_eq!(cache.find(good.clone()).count()?, 8);
        let sorted = cache.find(good.clone()).sort("-accuracy").sort("-i");
        assert_eq!(numbers(&sorted.entries()?), [19, 14, 9, 4, 18, 13, 8, 3]);
        assert_eq!(numbers(&sorted.clone().offset(1).limit(3).entries()?), [14, 9, 4]);
        assert_eq!(sorted.clone().limit(0).keys()?, [""; 0]);
        assert_eq!(sorted.limit(2).count()?, 8, "the limit does not apply");
        let all = cache.find(good.clone()).keys()?;
        let mut paged: Vec<String> = Vec::new();
        loop {
            let mut page = cache.find(good.clone()).limit(3);
            if let Some(last) = paged.last() {
                page = page.after(last);
            }
            let page = page.keys()?;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, all);
        assert!(all.is_sorted());
        assert_eq!(cache.find(Filter::all()).count()?, 20);
        assert_eq!(cache.find(field("group.n").is_in([1, 2]) & !field("i").lt(10)).count()?, 7);
        assert_eq!(cache.find(Filter::parse("tags = even and accuracy in [0.1, 0.2]")?).count()?, 4);
        assert_eq!(cache.find(Filter::from_json(r#"{"tags": "even", "i": {"$gt": 10}}"#)?).count()?, 4);
    }
    Ok(())
}

#[test]
fn a_filter_removes_and_touches_what_it_finds() -> cacheness::Result<()> {
    for (_directory, cache) in caches() {
        assert_eq!(cache.touch_filtered(&field("i").lt(5), None)?, 5);
        assert_eq!(cache.delete_filtered(&(field("i").lt(5) | field("tags").eq("even")))?, 12);
        assert_eq!(cache.find(Filter::all()).count()?, 8);
        for mistake in [field("entry.filesize").eq(1), field("a..b").exists(), field("x").matches("("), Filter::all()] {
            let kinds = [
                cache.delete_filtered(&mistake).expect_err("a mistake").kind(),
                cache.touch_filtered(&mistake, None).expect_err("a mistake").kind(),
            ];
            assert_eq!(kinds, [ErrorKind::InvalidInput; 2]);
            if !mistake.is_empty() {
                assert!(cache.find(mistake.clone()).limit(0).entries().is_err());
                assert!(cache.find(mistake).count().is_err());
            }
        }
        assert_eq!(
            cache.find(Filter::all()).sort("a..b").keys().expect_err("an order").kind(),
            ErrorKind::InvalidInput
        );
        let unordered = cache.find(Filter::all()).sort("i").after("key").keys();
        assert_eq!(unordered.expect_err("no place").kind(), ErrorKind::InvalidInput);
        assert_eq!(cache.stats()?.totals.entries, 8);
    }
    Ok(())
}

#[test]
fn tags_are_put_added_and_removed() -> cacheness::Result<()> {
    for (_directory, cache) in caches() {
        assert_eq!(cache.tags()?, BTreeMap::from([("all".into(), 10), ("even".into(), 10)]));
        let third = || Params::new().with("i", 3).with("model", "ridge");
        assert!(cache.add_tags(third(), ["odd", "all", "odd"])?);
        assert!(cache.remove_tags(third(), ["all", "none"])?);
        let entry = cache.get_entry(third())?.expect("there");
        assert_eq!((entry.tags(), entry.description()), (vec!["odd".to_owned()], Some("number 3")));
        assert!(!cache.add_tags(Named("nothing"), ["x"])?);
        let kind = |options: PutOptions| cache.put_with(&1, Named("x"), options).expect_err("refused").kind();
        assert_eq!(kind(PutOptions::new().tags([""])), ErrorKind::InvalidInput);
        assert_eq!(kind(PutOptions::new().metadata(json!({ "tags": 5 })).tags(["a"])), ErrorKind::InvalidInput);
        cache.put_with(&1, Named("x"), PutOptions::new().metadata(json!({ "tags": ["a"] })).tags(["b"]))?;
        assert_eq!(cache.get_entry(Named("x"))?.expect("there").tags(), ["a", "b"]);
        assert_eq!(cache.get::<u32>(third())?, Some(3));
    }
    Ok(())
}

#[test]
fn indexes_and_words() -> cacheness::Result<()> {
    let [(_sqlite, sqlite), (_json, json)] = caches().try_into().expect("two");
    assert_eq!(json.create_index("i").expect_err("none").kind(), ErrorKind::Unsupported);
    assert_eq!(json.create_text_index().expect_err("none").kind(), ErrorKind::Unsupported);
    assert_eq!(json.find(Filter::all()).search("number").expect_err("none").kind(), ErrorKind::Unsupported);

    assert!(sqlite.create_index("i")? && sqlite.create_index("group.n")? && !sqlite.create_index("i")?);
    assert_eq!(sqlite.indexes()?, ["group.n", "i"]);
    assert_eq!(sqlite.find(field("i").gt(17)).count()?, 2);
    assert!(sqlite.drop_index("i")? && !sqlite.drop_index("i")?);
    assert_eq!(sqlite.create_index("params.i").expect_err("no metadata").kind(), ErrorKind::InvalidInput);

    let missing = sqlite.find(Filter::all()).search("number").expect_err("no index");
    assert_eq!(missing.kind(), ErrorKind::InvalidInput);
    assert!(missing.hint().is_some_and(|hint| hint.contains("create_text_index")));
    assert!(sqlite.create_text_index()? && !sqlite.create_text_index()?);
    assert_eq!(sqlite.find(Filter::all()).search("numb*")?.len(), 20);
    assert_eq!(sqlite.find(field("i").gt(15)).limit(3).search("number even")?.len(), 2);
    assert_eq!(numbers(&sqlite.find(Filter::all()).search("\"number 7\"")?), [7]);
    assert_eq!(sqlite.find(Filter::all()).search("\"").expect_err("no query").kind(), ErrorKind::InvalidInput);
    assert!(sqlite.drop_text_index()?);
    Ok(())
}

#[test]
fn artifacts_are_found_too() -> cacheness::Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let store = BlobStore::open(directory.path().join("models"))?;
    for (key, accuracy) in [("a", 0.5), ("b", 0.9), ("c", 0.7)] {
        store.put_with(key, &accuracy, json!({ "accuracy": accuracy, "note": "ridge" }))?;
    }
    assert_eq!(store.find(field("accuracy").gt(0.6)).sort("-accuracy").keys()?, ["b", "c"]);
    assert_eq!((store.find(Filter::all()).count()?, store.find(field("accuracy").lt(0.6)).count()?), (3, 1));
    assert!(store.add_tags("a", ["eu"])? && store.remove_tags("a", ["us"])? && !store.add_tags("z", ["eu"])?);
    assert_eq!(store.tags()?, BTreeMap::from([("eu".into(), 1)]));
    assert!(store.create_text_index()? && store.create_index("accuracy")?);
    assert_eq!(store.find(field("tags").eq("eu")).search("ridge")?[0].key(), "a");
    store.close()?;
    let place = Place::Directory(directory.path().join("models"));
    let store = BlobStore::open_with(&place, StoreConfig::default(), OpenMode::ReadOnly)?;
    assert_eq!(store.find(field("accuracy").gt(0.6)).count()?, 2);
    assert_eq!(store.create_index("note").expect_err("read-only").kind(), ErrorKind::ReadOnly);
    assert_eq!(store.add_tags("a", ["x"]).expect_err("read-only").kind(), ErrorKind::ReadOnly);
    Ok(())
}

#[test]
fn expired_entries_and_accesses_are_found() -> cacheness::Result<()> {
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let cache = Cache::builder().in_memory().clock(clock.clone()).open()?;
    cache.put_with(&1, Named("soon"), PutOptions::new().ttl(std::time::Duration::from_secs(5)))?;
    cache.put(&2, Named("later"))?;
    assert_eq!(cache.get::<i32>(Named("later"))?, Some(2));
    assert_eq!(cache.find(field("entry.access_count").ge(1)).keys()?, ["later"]);
    clock.advance(6_000_000);
    assert_eq!(cache.find(field("entry.expires_at").lt("2023-11-14T22:14:00Z")).keys()?, ["soon"]);
    Ok(())
}
