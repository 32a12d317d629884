//! Values and stores of a size at which numbers of 32 bits do not do: in long runs. In short ones they are smaller.

use cacheness::CacheConfig;
use cacheness::prelude::*;
use ndarray::Array1;

use super::is_soak;

#[test]
fn an_array_of_more_than_4_gib() {
    let items = if is_soak() { (1 << 29) + 1 } else { (1 << 23) + 1 };
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::builder().directory(dir.path()).max_size_mb(20_000.0).open().unwrap();
    // Its bits have no pattern that a codec could use.
    let item = |i: usize| {
        let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let array = Array1::from_shape_fn(items, item);
    cache.put(&array, params! { big: 1 }).unwrap();
    drop(array);
    let size = cache.stats().unwrap().totals.bytes;
    assert!(size > items as u64 * 8, "{size}");
    cache.close().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let array: Array1<u64> = cache.get(params! { big: 1 }).unwrap().unwrap();
    assert_eq!(array.len(), items);
    assert!(array.iter().enumerate().all(|(i, value)| *value == item(i)));
    drop(array);
    let last = items as u64 - 1..items as u64;
    let part: Array1<u64> = cache.get_slice(params! { big: 1 }, &[last]).unwrap().unwrap();
    assert_eq!(part[0], item(items - 1));
    cache.put(&1_u8, params! { big: 1 }).unwrap();
    assert!(cache.stats().unwrap().totals.bytes < 100, "the former size is gone from the totals");
}

#[test]
fn a_million_entries() {
    let entries: u64 = if is_soak() { 1_000_000 } else { 10_000 };
    let dir = tempfile::tempdir().unwrap();
    let config = CacheConfig { default_ttl_seconds: None, ..CacheConfig::default() };
    let open = |max_entries: Option<u64>| {
        let mut config = config.clone();
        config.limits.max_entries = max_entries;
        Cache::builder().directory(dir.path()).config(config).open().unwrap()
    };
    let cache = open(None);
    let name = |i: u64| format!("entry {i}");
    for i in 0..entries {
        cache.put(&i, Named(&name(i))).unwrap();
    }
    let totals = |cache: &Cache| cache.stats().unwrap().totals;
    assert_eq!(totals(&cache).entries, entries);
    cache.close().unwrap();
    let cache = open(None);
    for i in (0..entries).step_by(997) {
        assert_eq!(cache.get::<u64>(Named(&name(i))).unwrap(), Some(i));
    }
    let mut removed = 0;
    for i in (0..entries).step_by(10) {
        removed += u64::from(cache.invalidate(Named(&name(i))).unwrap());
    }
    assert_eq!(totals(&cache).entries, entries - removed);
    cache.close().unwrap();
    // A limit below what is there: each put removes a bounded number, until it is kept.
    let cache = open(Some(entries / 2));
    for i in 0..entries / 100 {
        cache.put(&i, Named(&format!("new {i}"))).unwrap();
        assert_eq!(cache.get::<u64>(Named(&format!("new {i}"))).unwrap(), Some(i));
    }
    assert!(totals(&cache).entries <= entries / 2);
    let listed = cache.list_entries().unwrap();
    let bytes: u64 = listed.iter().map(cacheness::EntryInfo::size).sum();
    assert_eq!((totals(&cache).entries, totals(&cache).bytes), (listed.len() as u64, bytes));
    let cleared = cache.clear().unwrap();
    assert_eq!(cleared, listed.len() as u64);
    assert_eq!(totals(&cache).entries, 0);
}
