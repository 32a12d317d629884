//! The cache and a map do the same, whatever is done to them.

use std::collections::HashMap;
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{Clock, ComputeOptions, ErrorKind, Timestamp};
use proptest::prelude::*;

use crate::{blobs, noise};

const START: i64 = 1_700_000_000_000_000;
const DEFAULT_TTL: u64 = 100;

#[derive(Clone, Debug)]
enum Ttl {
    Default,
    Forever,
    Seconds(u64),
}

#[derive(Clone, Debug)]
enum Operation {
    Put { key: u8, value: Vec<u8>, ttl: Ttl },
    Get { key: u8 },
    Invalidate { key: u8 },
    Touch { key: u8, ttl: Option<u64> },
    Wait { seconds: u64 },
    Cleanup,
    Clear,
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = 0..5_u8;
    let ttl = prop_oneof![Just(Ttl::Default), Just(Ttl::Forever), (0..250_u64).prop_map(Ttl::Seconds)];
    // Small values travel inside the entry, large ones are files.
    let value = prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..40), 1 => any::<u64>().prop_map(noise)];
    prop_oneof![
        4 => (key.clone(), value, ttl).prop_map(|(key, value, ttl)| Operation::Put { key, value, ttl }),
        4 => key.clone().prop_map(|key| Operation::Get { key }),
        1 => key.clone().prop_map(|key| Operation::Invalidate { key }),
        1 => (key, prop::option::of(0..250_u64)).prop_map(|(key, ttl)| Operation::Touch { key, ttl }),
        2 => (1..120_u64).prop_map(|seconds| Operation::Wait { seconds }),
        1 => Just(Operation::Cleanup),
        1 => Just(Operation::Clear),
        1 => Just(Operation::Reopen),
    ]
}

fn seconds_from(now: i64, seconds: u64) -> i64 {
    now + i64::try_from(seconds * 1_000_000).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn two_caches_and_a_map_agree(operations in prop::collection::vec((0..2_usize, operation()), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp(START));
        let open = || {
            let builder = Cache::builder().directory(dir.path()).default_ttl(Duration::from_secs(DEFAULT_TTL));
            builder.clock(clock.clone()).open().unwrap()
        };
        let mut caches = [open(), open()];
        let mut model: HashMap<u8, (Vec<u8>, Option<i64>)> = HashMap::new();
        for (which, operation) in operations {
            let now = clock.now().0;
            let alive = |entry: &(Vec<u8>, Option<i64>)| entry.1.is_none_or(|time| time > now);
            let cache = &caches[which];
            match operation {
                Operation::Put { key, value, ttl } => {
                    let (options, expiry) = match ttl {
                        Ttl::Default => (PutOptions::new(), Some(seconds_from(now, DEFAULT_TTL))),
                        Ttl::Forever => (PutOptions::new().forever(), None),
                        Ttl::Seconds(ttl) => {
                            (PutOptions::new().ttl(Duration::from_secs(ttl)), Some(seconds_from(now, ttl)))
                        }
                    };
                    cache.put_with(&value, params! { key: key }, options).unwrap();
                    model.insert(key, (value, expiry));
                }
                Operation::Get { key } => {
                    let found = cache.get::<Vec<u8>>(params! { key: key }).unwrap();
                    let expected = model.get(&key).filter(|entry| alive(entry)).map(|(value, _)| value.clone());
                    prop_assert_eq!(found, expected);
                }
                Operation::Invalidate { key } => {
                    prop_assert_eq!(cache.invalidate(params! { key: key }).unwrap(), model.remove(&key).is_some());
                }
                Operation::Touch { key, ttl } => {
                    let touched = cache.touch(params! { key: key }, ttl.map(Duration::from_secs)).unwrap();
                    let entry = model.get_mut(&key).filter(|entry| alive(entry));
                    prop_assert_eq!(touched, entry.is_some());
                    if let Some(entry) = entry {
                        entry.1 = Some(seconds_from(now, ttl.unwrap_or(DEFAULT_TTL)));
                    }
                }
                Operation::Wait { seconds } => clock.advance(i64::try_from(seconds * 1_000_000).unwrap()),
                Operation::Cleanup => {
                    let before = model.len();
                    model.retain(|_, entry| alive(entry));
                    prop_assert_eq!(cache.cleanup_expired().unwrap(), (before - model.len()) as u64);
                }
                Operation::Clear => {
                    prop_assert_eq!(cache.clear().unwrap(), model.len() as u64);
                    model.clear();
                }
                Operation::Reopen => {
                    cache.close().unwrap();
                    caches[which] = open();
                }
            }
            let now = clock.now().0;
            for cache in &caches {
                prop_assert_eq!(cache.stats().unwrap().totals.entries, model.len() as u64);
                for key in 0..5_u8 {
                    let alive = model.get(&key).is_some_and(|(_, expiry)| expiry.is_none_or(|time| time > now));
                    prop_assert_eq!(cache.exists(params! { key: key }).unwrap(), alive);
                }
            }
        }
        caches.iter().for_each(|cache| cache.close().unwrap());
        let files = model.values().filter(|(value, _)| value.len() > 32 << 10).count();
        prop_assert_eq!(blobs(dir.path()).len(), files);
    }
}

/// Operations on a cache with limits.
#[derive(Clone, Debug)]
enum Limited {
    Put { key: u8, large: Option<u64>, ttl: Option<u64> },
    PutTooMuch { key: u8 },
    Get { key: u8 },
    Compute { key: u8, large: Option<u64>, ttl: Option<u64>, fails: bool },
    Touch { key: u8, ttl: Option<u64> },
    Pin { key: u8 },
    Unpin { key: u8 },
    PinAll,
    UnpinAll,
    Invalidate { key: u8 },
    Wait { seconds: u64 },
    Cleanup,
    Reopen,
}

fn limited() -> impl Strategy<Value = Limited> {
    let key = || 0..16_u8;
    let ttl = || prop::option::of(0..250_u64);
    let large = || prop::option::weighted(0.3, any::<u64>());
    prop_oneof![
        8 => (key(), large(), ttl()).prop_map(|(key, large, ttl)| Limited::Put { key, large, ttl }),
        1 => key().prop_map(|key| Limited::PutTooMuch { key }),
        6 => key().prop_map(|key| Limited::Get { key }),
        4 => (key(), large(), ttl(), any::<bool>())
            .prop_map(|(key, large, ttl, fails)| Limited::Compute { key, large, ttl, fails }),
        2 => (key(), ttl()).prop_map(|(key, ttl)| Limited::Touch { key, ttl }),
        2 => key().prop_map(|key| Limited::Pin { key }),
        2 => key().prop_map(|key| Limited::Unpin { key }),
        1 => Just(Limited::PinAll),
        1 => Just(Limited::UnpinAll),
        1 => key().prop_map(|key| Limited::Invalidate { key }),
        3 => (0..120_u64).prop_map(|seconds| Limited::Wait { seconds }),
        1 => Just(Limited::Cleanup),
        1 => Just(Limited::Reopen),
    ]
}

const MAX_AGE: u64 = 150;
const MAX_ENTRIES: usize = 10;
const MAX_MB: f64 = 1.25;
const MAX_BYTES: usize = 1_310_720;

/// A value, which takes as many bytes as it has and a few: noise cannot be compressed.
fn value(key: u8, large: Option<u64>) -> Vec<u8> {
    large.map_or_else(|| vec![key; 3], noise)
}

/// Bytes of a stored value: MessagePack puts two bytes before a short one, three before one below 64 KiB, else five.
fn stored_size(value: &[u8]) -> usize {
    value.len() + [(1 << 8, 2), (1 << 16, 3)].iter().find(|(end, _)| value.len() < *end).map_or(5, |(_, more)| *more)
}

/// What must be known of an entry to say what becomes of it.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    place: u64,
    value: Vec<u8>,
    expires: i64,
    accessed: i64,
    count: u64,
    pinned: bool,
}

/// What must be in a cache with limits.
struct Model {
    policy: EvictionPolicy,
    entries: HashMap<u8, Known>,
    places: u64,
    /// The limit has been passed, and 90 % of it have not been reached again.
    shrinking: bool,
    evicted: u64,
}

impl Model {
    fn bytes(&self) -> usize {
        self.entries.values().map(|known| stored_size(&known.value)).sum()
    }

    fn is_within(&self, entries: usize, bytes: usize) -> bool {
        self.entries.len() <= entries && self.bytes() <= bytes
    }

    fn alive(&self, key: u8, now: i64) -> bool {
        self.entries.get(&key).is_some_and(|known| known.expires > now)
    }

    /// Whether a put fails because the cache is full and evicts nothing but what has expired.
    fn refuses(&mut self, key: u8, value: &[u8], now: i64) -> bool {
        if self.policy != EvictionPolicy::None || !self.is_full(key, value) {
            return false;
        }
        self.entries.retain(|_, known| known.expires > now);
        self.is_full(key, value)
    }

    fn is_full(&self, key: u8, value: &[u8]) -> bool {
        match self.entries.get(&key) {
            Some(former) => self.bytes() - stored_size(&former.value) + stored_size(value) > MAX_BYTES,
            None => self.entries.len() >= MAX_ENTRIES || self.bytes() + stored_size(value) > MAX_BYTES,
        }
    }

    fn rank(&self, key: u8) -> (i64, i64, u64) {
        let known = &self.entries[&key];
        match self.policy {
            EvictionPolicy::Lru => (known.accessed, 0, known.place),
            EvictionPolicy::Lfu => (i64::try_from(known.count).unwrap(), known.accessed, known.place),
            _ => (0, 0, known.place),
        }
    }

    /// An entry has been put; makes room as the cache does.
    fn put(&mut self, key: u8, value: Vec<u8>, expires: i64, now: i64, name: String) {
        self.places += 1;
        let (mut place, mut count, mut pinned) = (self.places, 0, false);
        if let Some(former) = self.entries.get(&key) {
            (place, count, pinned) = (former.place, former.count, former.pinned);
        }
        self.entries.insert(key, Known { name, place, value, expires, accessed: now, count, pinned });
        if self.policy == EvictionPolicy::None || !self.shrinking && self.is_within(MAX_ENTRIES, MAX_BYTES) {
            return;
        }
        let may_go = |one: &u8| *one != key && !self.entries[one].pinned;
        let (mut others, mut going): (Vec<u8>, Vec<u8>) =
            self.entries.keys().copied().filter(may_go).partition(|one| self.alive(*one, now));
        going.sort_by_key(|one| (self.entries[one].expires, self.entries[one].name.clone()));
        others.sort_by_key(|one| self.rank(*one));
        going.append(&mut others);
        let (entries, bytes) = (MAX_ENTRIES - MAX_ENTRIES / 10, MAX_BYTES - MAX_BYTES / 10);
        let mut gone = 0;
        for one in going {
            if self.is_within(entries, bytes) {
                break;
            }
            self.entries.remove(&one);
            gone += 1;
        }
        self.evicted += gone;
        // Where the rest is pinned it is tried again, unless there was nothing to be evicted at all.
        self.shrinking = !self.is_within(entries, bytes) && gone > 0 && self.is_within(MAX_ENTRIES, MAX_BYTES);
    }

    /// The value, which is read.
    fn read(&mut self, key: u8, now: i64) -> Vec<u8> {
        let known = self.entries.get_mut(&key).unwrap();
        known.accessed = now;
        known.count += 1;
        known.value.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_limited_cache_and_a_map_agree(
        policy in prop_oneof![
            Just(EvictionPolicy::Lru), Just(EvictionPolicy::Lfu), Just(EvictionPolicy::Fifo), Just(EvictionPolicy::None)
        ],
        operations in prop::collection::vec(limited(), 1..90),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp(START));
        let open = || {
            let builder = Cache::builder().directory(dir.path()).clock(clock.clone());
            let builder = builder.default_ttl(Duration::from_secs(DEFAULT_TTL)).max_age(Duration::from_secs(MAX_AGE));
            builder.max_entries(MAX_ENTRIES as u64).max_size_mb(MAX_MB).eviction_policy(policy).open().unwrap()
        };
        let mut cache = open();
        let mut model = Model { policy, entries: HashMap::new(), places: 0, shrinking: false, evicted: 0 };
        for operation in operations {
            let now = clock.now().0;
            let expiry = |ttl: Option<u64>| seconds_from(now, ttl.unwrap_or(DEFAULT_TTL).min(MAX_AGE));
            let options = |ttl: Option<u64>| {
                ttl.map_or_else(PutOptions::new, |ttl| PutOptions::new().ttl(Duration::from_secs(ttl)))
            };
            match operation {
                Limited::Put { key, large, ttl } => {
                    let value = value(key, large);
                    let put = cache.put_with(&value, params! { key: key }, options(ttl));
                    if model.refuses(key, &value, now) {
                        prop_assert_eq!(put.unwrap_err().kind(), ErrorKind::Full);
                    } else {
                        model.put(key, value, expiry(ttl), now, put.unwrap());
                    }
                }
                Limited::PutTooMuch { key } => {
                    let value: Vec<u8> = (0..8).flat_map(noise).collect();
                    prop_assert!(value.len() > MAX_BYTES);
                    prop_assert_eq!(cache.put(&value, params! { key: key }).unwrap_err().kind(), ErrorKind::Full);
                }
                Limited::Get { key } => {
                    let found = cache.get::<Vec<u8>>(params! { key: key }).unwrap();
                    prop_assert_eq!(found, model.alive(key, now).then(|| model.read(key, now)));
                }
                Limited::Compute { key, large, ttl, fails } => {
                    let value = value(key, large);
                    let mut called = false;
                    let compute = ComputeOptions::new().put(options(ttl));
                    let got: std::result::Result<Vec<u8>, cacheness::Error> =
                        cache.get_or_try_compute(params! { key: key }, compute, || {
                            called = true;
                            let error = || cacheness::Error::new(ErrorKind::Storage, "it fails");
                            if fails { Err(error()) } else { Ok(value.clone()) }
                        });
                    let alive = model.alive(key, now);
                    prop_assert_eq!(called, !alive);
                    if alive {
                        prop_assert_eq!(got.unwrap(), model.read(key, now));
                    } else if fails {
                        prop_assert_eq!(got.unwrap_err().to_string(), "it fails");
                    } else if model.refuses(key, &value, now) {
                        prop_assert_eq!(got.unwrap_err().kind(), ErrorKind::Full);
                    } else {
                        prop_assert_eq!(&got.unwrap(), &value);
                        let name = cache.get_entry(params! { key: key }).unwrap().unwrap().key().to_owned();
                        model.put(key, value, expiry(ttl), now, name);
                    }
                }
                Limited::Touch { key, ttl } => {
                    let touched = cache.touch(params! { key: key }, ttl.map(Duration::from_secs)).unwrap();
                    prop_assert_eq!(touched, model.alive(key, now));
                    if touched {
                        let known = model.entries.get_mut(&key).unwrap();
                        (known.expires, known.accessed) = (expiry(ttl), now);
                    }
                }
                Limited::Pin { key } | Limited::Unpin { key } => {
                    let pinned = matches!(operation, Limited::Pin { .. });
                    let done = if pinned { cache.pin(params! { key: key }) } else { cache.unpin(params! { key: key }) };
                    let known = model.entries.get_mut(&key);
                    prop_assert_eq!(done.unwrap(), known.is_some());
                    if let Some(known) = known {
                        known.pinned = pinned;
                    }
                }
                Limited::PinAll => {
                    for (key, known) in &mut model.entries {
                        prop_assert_eq!(cache.pin(params! { key: *key }).unwrap(), true);
                        known.pinned = true;
                    }
                }
                Limited::UnpinAll => {
                    for known in model.entries.values_mut() {
                        prop_assert_eq!(cache.unpin(Named(&known.name)).unwrap(), true);
                        known.pinned = false;
                    }
                }
                Limited::Invalidate { key } => {
                    let removed = cache.invalidate(params! { key: key }).unwrap();
                    prop_assert_eq!(removed, model.entries.remove(&key).is_some());
                }
                Limited::Wait { seconds } => clock.advance(i64::try_from(seconds * 1_000_000).unwrap()),
                Limited::Cleanup => {
                    let before = model.entries.len();
                    model.entries.retain(|_, known| known.expires > now);
                    prop_assert_eq!(cache.cleanup_expired().unwrap(), (before - model.entries.len()) as u64);
                }
                Limited::Reopen => {
                    cache.close().unwrap();
                    cache = open();
                    (model.shrinking, model.evicted) = (false, 0);
                }
            }
            let now = clock.now().0;
            let stats = cache.stats().unwrap();
            let totals = (stats.totals.entries, stats.totals.bytes, stats.counts.evictions);
            prop_assert_eq!(totals, (model.entries.len() as u64, model.bytes() as u64, model.evicted));
            let mut pinned: Vec<_> = model.entries.values().filter(|known| known.pinned).map(|known| &known.name).collect();
            pinned.sort();
            prop_assert!(cache.pinned().unwrap().iter().eq(pinned));
            for key in 0..16_u8 {
                let entry = cache.get_entry(params! { key: key }).unwrap();
                let known = model.entries.get(&key);
                prop_assert_eq!(entry.map(|entry| entry.access_count()), known.map(|known| known.count));
                prop_assert_eq!(cache.exists(params! { key: key }).unwrap(), model.alive(key, now));
            }
        }
        cache.close().unwrap();
        let files = model.entries.values().filter(|known| known.value.len() > 32 << 10).count();
        prop_assert_eq!(blobs(dir.path()).len(), files);
    }
}
