//! Values that are computed when they are missing: once, and without blocking each other.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use cacheness::prelude::*;
use cacheness::{CacheConfig, ComputeOptions, Error, ErrorKind};

use crate::cache_at;

const WHILE: Duration = Duration::from_millis(100);

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Awaits all futures at once.
async fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *result = Some(output);
            }
        }
        if results.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[test]
fn one_of_many_threads_computes() {
    let dir = tempfile::tempdir().unwrap();
    // Two handles of one directory, and one in memory.
    let handles = [Cache::open(dir.path()).unwrap(), Cache::open(dir.path()).unwrap()];
    let memory = Cache::builder().in_memory().open().unwrap();
    for caches in [&handles[..], &[memory]] {
        let (calls, barrier) = (AtomicUsize::new(0), Barrier::new(16));
        thread::scope(|scope| {
            for i in 0..16 {
                let (cache, calls, barrier) = (&caches[i % caches.len()], &calls, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let value = cache.get_or_insert_with(params! { step: 1 }, || {
                        thread::sleep(WHILE);
                        calls.fetch_add(1, Ordering::SeqCst)
                    });
                    assert_eq!(value.unwrap(), 0);
                });
            }
        });
        assert_eq!(calls.into_inner(), 1);
    }
}

fn fibonacci(cache: &Cache, n: u64) -> cacheness::Result<u64> {
    cache.get_or_try_insert_with(params! { fibonacci: n }, || {
        if n < 2 { Ok(n) } else { Ok(fibonacci(cache, n - 1)? + fibonacci(cache, n - 2)?) }
    })
}

fn endless(cache: &Cache, depth: u32) -> cacheness::Result<u32> {
    cache.get_or_try_insert_with(
        params! { endless: true },
        || if depth == 3 { Ok(3) } else { endless(cache, depth + 1) },
    )
}

#[test]
fn computations_may_be_nested() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(fibonacci(&cache, 30).unwrap(), 832_040));
        }
    });
    assert_eq!(endless(&cache, 0).unwrap(), 3, "a value that needs itself");
}

#[test]
fn a_failure_is_passed_on_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let (calls, barrier) = (AtomicUsize::new(0), Barrier::new(4));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                let failed = cache.get_or_try_insert_with::<u32, Error>(params! { x: 1 }, || {
                    calls.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(WHILE);
                    Err(Error::new(ErrorKind::InvalidInput, "on purpose"))
                });
                assert_eq!(failed.unwrap_err().to_string(), "on purpose");
            });
        }
    });
    assert_eq!(calls.into_inner(), 4, "those who waited compute for themselves");
    assert!(!cache.exists(params! { x: 1 }).unwrap());
}

#[test]
fn stale_values_are_served_while_one_caller_computes() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, clock) = cache_at(dir.path(), CacheConfig::default());
    let options =
        || ComputeOptions::new().put(PutOptions::new().ttl(Duration::from_secs(10))).stale(Duration::from_secs(60));
    let get = |value: u32| cache.get_or_try_compute::<u32, Error>(params! { x: 1 }, options(), || Ok(value)).unwrap();
    assert_eq!(get(1), 1);
    clock.advance(11_000_000);
    let computing = Barrier::new(2);
    thread::scope(|scope| {
        let recomputed = scope.spawn(|| {
            cache.get_or_try_compute::<u32, Error>(params! { x: 1 }, options(), || {
                computing.wait();
                computing.wait();
                Ok(2)
            })
        });
        computing.wait();
        assert_eq!(get(3), 1, "stale");
        computing.wait();
        assert_eq!(recomputed.join().unwrap().unwrap(), 2);
    });
    assert_eq!(get(4), 2);
    clock.advance(71_000_000);
    assert_eq!(get(5), 5, "too stale");
}

#[test]
fn what_took_long_is_computed_anew_early() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, _clock) = cache_at(dir.path(), CacheConfig::default());
    let get = |beta: f64, value: u32| {
        let put = PutOptions::new().ttl(Duration::from_secs(1000)).metadata(serde_json::json!({ "source": "api" }));
        let options = ComputeOptions::new().put(put).early_recompute(beta);
        cache.get_or_try_compute::<u32, Error>(params! { x: 1 }, options, || {
            thread::sleep(Duration::from_millis(2));
            Ok(value)
        })
    };
    assert_eq!(get(0.0, 1).unwrap(), 1);
    assert_eq!(get(0.0, 2).unwrap(), 1, "zero is never");
    assert_eq!(get(1e12, 3).unwrap(), 3);
    let entry = cache.get_metadata(params! { x: 1 }).unwrap().unwrap();
    assert_eq!(serde_json::Value::from(entry.metadata()), serde_json::json!({ "source": "api" }));
    assert!(entry.compute_seconds().unwrap() >= 0.002);
    cache.put(1, params! { x: 2 }).unwrap();
    assert_eq!(cache.get_metadata(params! { x: 2 }).unwrap().unwrap().compute_seconds(), None);
    assert_eq!(get(-1.0, 4).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn futures_share_a_computation() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let calls = AtomicUsize::new(0);
    let key = cache.entry_key(params! { x: 1 }).unwrap();
    let get = || {
        cache.get_or_try_compute_async::<usize, Error, _>(key.clone(), ComputeOptions::new(), || async {
            // A computation inside of it, which would wait for itself.
            let inner = cache
                .get_or_try_compute_async::<usize, Error, _>(params! { x: 1 }, ComputeOptions::new(), || async {
                    Ok(7)
                })
                .await?;
            thread::sleep(WHILE);
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(inner)
        })
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let values = block_on(join((0..25).map(|_| get())));
                assert!(values.into_iter().all(|value| value.unwrap() == 7));
            });
        }
    });
    assert!(calls.into_inner() <= 1);
}

#[test]
fn a_dropped_future_lets_another_take_over() {
    let cache = Cache::builder().in_memory().open().unwrap();
    let key = cache.entry_key(params! { x: 1 }).unwrap();
    let mut first = Box::pin(cache.get_or_try_compute_async::<u32, Error, _>(
        key.clone(),
        ComputeOptions::new(),
        std::future::pending,
    ));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    let second = || cache.get_or_try_compute_async(key.clone(), ComputeOptions::new(), || async { Ok::<_, Error>(2) });
    assert!(Box::pin(second()).as_mut().poll(&mut context).is_pending(), "it waits");
    drop(first);
    assert_eq!(block_on(second()).unwrap(), 2);
}

/// An error of a program's own.
#[derive(Debug)]
enum Mine {
    Cache(Error),
    Wrong(u32),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

#[test]
fn computations_fail_with_errors_of_any_type() {
    let cache = Cache::builder().in_memory().open().unwrap();

    // As it is, where it can hold an error of the cache.
    fn read(cache: &Cache, path: &str) -> std::io::Result<String> {
        cache.get_or_try_insert_with(params! { path: path }, || std::fs::read_to_string(path))
    }
    assert_eq!(read(&cache, "/no/such/file").unwrap_err().kind(), std::io::ErrorKind::NotFound);
    let mine = cache.get_or_try_insert_with(params! { x: 1 }, || Err::<u32, _>(Mine::Wrong(7)));
    assert!(matches!(mine, Err(Mine::Wrong(7))));
    let text = cache.get_or_try_insert_with(params! { x: 1 }, || Err::<u32, _>("no".to_owned()));
    assert_eq!(text.unwrap_err(), "no");
    // Inferred from the function's result, with `?` inside.
    fn parsed(cache: &Cache, text: &str) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
        cache.get_or_try_insert_with(params! { text: text }, || {
            let number: f64 = text.parse()?;
            Ok(number / f64::from(std::fs::read_to_string("/no/such/file").map(|_| 2)?))
        })
    }
    assert!(parsed(&cache, "one").unwrap_err().is::<std::num::ParseFloatError>());
    assert!(parsed(&cache, "1").unwrap_err().is::<std::io::Error>());
    fn with_context(cache: &Cache, path: &str) -> anyhow::Result<u32> {
        let read = || std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let text = cache.get_or_try_insert_with(params! { path: path }, read)?;
        cache.get_or_try_insert_with(params! { text: &text }, || Ok(text.trim().parse()?))
    }
    let error = with_context(&cache, "/no/such/file").unwrap_err();
    assert!(format!("{error:?}").starts_with("reading /no/such/file\n\nCaused by:"), "{error:?}");
    assert!(with_context(&cache, "/dev/null").unwrap_err().is::<std::num::ParseIntError>());
    // Any other becomes the source of an error of the cache.
    let other = cache.get_or_try_insert_with(params! { x: 1 }, || "one".parse::<f64>().map_err(Error::computation));
    let other = other.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Computation);
    assert!(std::error::Error::source(&other).unwrap().is::<std::num::ParseFloatError>());
    assert!(!cache.exists(params! { x: 1 }).unwrap());

    // What the cache itself fails with.
    cache.close().unwrap();
    let closed = read(&cache, "/dev/null").unwrap_err();
    assert_eq!(closed.kind(), std::io::ErrorKind::Other);
    let source = closed.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::Closed);
    let mine: Result<u32, Mine> = cache.get_or_try_insert_with(params! { x: 1 }, || Ok(1));
    assert!(matches!(mine, Err(Mine::Cache(error)) if error.kind() == ErrorKind::Closed));
    let text = cache.get_or_try_insert_with(params! { x: 1 }, || Ok::<u32, String>(1)).unwrap_err();
    assert!(text.contains("closed"), "{text}");
}

#[test]
fn errors_of_the_system_keep_their_kind() {
    let denied = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    assert_eq!(std::io::Error::from(Error::io("cannot listen", denied)).kind(), std::io::ErrorKind::AddrInUse);
    for kind in [ErrorKind::Full, ErrorKind::Integrity, ErrorKind::Computation, ErrorKind::ReadOnly] {
        let error = std::io::Error::from(Error::new(kind, "why"));
        assert_eq!(error.to_string(), "why");
    }
    let chained = Error::computation("one".parse::<f64>().unwrap_err());
    assert_eq!(String::from(chained), "the computation of a value failed: invalid float literal");
}

#[test]
fn a_payload_that_is_decoded_later_may_have_been_replaced() {
    use cacheness::core::cache::{Freshness, InPlace, Served, Wanted};
    use cacheness::core::payload::Stored;

    let cache = Cache::builder().in_memory().open().unwrap();
    let (engine, key) = (cache.engine(), cache.entry_key(params! { x: 1 }).unwrap());
    let options = engine.store().read_options();
    let wanted = Wanted { max_age: None, freshness: Freshness::default(), options };
    let find = || -> Served<Box<Stored>> {
        engine.look(&key, &wanted, &InPlace, |stored| Ok::<_, Error>(Box::new(stored))).unwrap().unwrap()
    };
    // The blob of the first one is gone when it is read.
    let read = |found| {
        let mut first = true;
        let decode = |stored| match std::mem::take(&mut first) {
            true => Err(Error::new(ErrorKind::Storage, "gone")),
            false => <u32 as cacheness::Loadable>::decode(stored),
        };
        engine.decode_later(&key, &wanted, found, &InPlace, decode).map(|served| served.map(|served| served.value))
    };
    let counts = || (engine.counts().hits, engine.counts().misses);
    cache.put(1, key.clone()).unwrap();
    let found = find();
    thread::sleep(Duration::from_millis(1));
    cache.put(2, key.clone()).unwrap();
    assert_eq!(read(found).unwrap(), Some(2));
    assert_eq!(counts(), (1, 0));
    let found = find();
    cache.invalidate(key.clone()).unwrap();
    assert_eq!(read(found).unwrap(), None);
    assert_eq!(counts(), (1, 1));
    cache.put(3, key.clone()).unwrap();
    assert_eq!(read(find()).unwrap_err().to_string(), "gone", "nobody has replaced it");
    assert_eq!(counts(), (1, 2));
}
