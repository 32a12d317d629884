//! The cache and a map do the same, whatever is done to them.

use std::collections::HashMap;
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{Clock, Timestamp};
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
