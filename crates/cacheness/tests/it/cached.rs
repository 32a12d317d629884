//! Functions with `#[cached]`.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cacheness::prelude::*;
use cacheness::{Clock, KeyEncoder, Timestamp, ToKey};

/// The cache of these tests, and the clock that it goes by.
fn shared() -> &'static (Cache, Clock) {
    static SHARED: OnceLock<(Cache, Clock)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        (Cache::builder().in_memory().clock(clock.clone()).open().unwrap(), clock)
    })
}

fn cache() -> &'static Cache {
    &shared().0
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_result_is_computed_once_per_arguments() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    /// Adds.
    #[cached(cache = cache())]
    fn add(left: i64, right: i64, names: &[&str]) -> Vec<i64> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if names.is_empty() {
            return vec![];
        }
        vec![left + right; names.len()]
    }

    assert_eq!(add(1, 2, &["a"]), [3]);
    assert_eq!(add(1, 2, &["a"]), [3]);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(add(2, 1, &["a"]), [3]);
    assert_eq!(add(1, 2, &["b"]), [3]);
    assert_eq!(add(1, 2, &[]), [0; 0]);
    assert_eq!(CALLS.load(Ordering::Relaxed), 4);
}

#[test]
fn of_a_result_only_ok_is_kept() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached(cache = cache(), key_prefix = "halves")]
    fn half(number: u32) -> Result<u32, String> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if number % 2 == 1 {
            Err(format!("{number} is odd"))?;
        }
        Ok(number / 2)
    }

    assert_eq!(half(4), Ok(2));
    assert_eq!(half(4), Ok(2));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert_eq!(half(3), Err("3 is odd".into()));
    assert_eq!(half(3), Err("3 is odd".into()));
    assert_eq!(CALLS.load(Ordering::Relaxed), 3);
    let key = params! { "__function__": "halves", "arguments": params! { number: 4_u32 } };
    assert_eq!(cache().get::<u32>(key).unwrap(), Some(2));
}

#[test]
fn a_time_to_live_ends() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached(cache = &shared().0, ttl = "6h", version = "2")]
    fn answer() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        42
    }

    assert_eq!((answer(), answer()), (42, 42));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    shared().1.advance(6 * 3_600_000_000);
    assert_eq!(answer(), 42);
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}

/// A model whose state is part of the key.
struct Model {
    rate: f64,
    calls: AtomicU32,
}

impl ToKey for Model {
    fn encode(&self, encoder: &mut KeyEncoder) -> cacheness::Result<()> {
        encoder.named("Model", &self.rate)
    }
}

impl Model {
    fn new(rate: f64) -> Self {
        Self { rate, calls: AtomicU32::new(0) }
    }

    #[cached(cache = cache(), ignore(verbose))]
    fn predict(&self, input: f64, verbose: bool) -> f64 {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(!verbose || self.rate > 0.0);
        self.rate * input
    }

    #[cached(cache = cache())]
    async fn predict_later(&self, input: f64) -> Result<f64, String> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(()).await;
        if input < 0.0 {
            return Err("negative".into());
        }
        let doubled: f64 = "2".parse().map_err(|_| String::new())?;
        Ok(self.rate * input * doubled)
    }
}

#[test]
fn a_method_is_kept_by_the_state_of_its_object() {
    let (one, same, other) = (Model::new(0.5), Model::new(0.5), Model::new(2.0));
    assert_eq!(one.predict(3.0, false), 1.5);
    assert_eq!(same.predict(3.0, true), 1.5);
    assert_eq!(other.predict(3.0, false), 6.0);
    let calls = |model: &Model| model.calls.load(Ordering::Relaxed);
    assert_eq!((calls(&one), calls(&same), calls(&other)), (1, 0, 1));
}

#[test]
fn a_function_may_be_async() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached(cache = cache())]
    async fn greet(name: String) -> String {
        CALLS.fetch_add(1, Ordering::Relaxed);
        std::future::ready(()).await;
        format!("hello {name}")
    }

    assert_eq!(block_on(greet("Ada".into())), "hello Ada");
    assert_eq!(block_on(greet("Ada".into())), "hello Ada");
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    let model = Model::new(0.5);
    assert_eq!(block_on(model.predict_later(3.0)), Ok(3.0));
    assert_eq!(block_on(model.predict_later(3.0)), Ok(3.0));
    assert_eq!(block_on(model.predict_later(-3.0)), Err("negative".into()));
    assert_eq!(model.calls.load(Ordering::Relaxed), 2);
}

#[test]
fn threads_compute_once() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached(cache = cache())]
    fn slow(number: u64) -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
        number * 2
    }

    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(slow(21), 42));
        }
    });
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

#[test]
fn recursion_keeps_every_step() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached(cache = cache())]
    fn fibonacci(n: u64) -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
    }

    assert_eq!(fibonacci(40), 102_334_155);
    assert_eq!(CALLS.load(Ordering::Relaxed), 41);
}

#[test]
fn a_cache_that_fails_is_gone_round() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    fn broken() -> Cache {
        let cache = Cache::builder().in_memory().open().unwrap();
        cache.close().unwrap();
        cache
    }

    #[cached(cache = broken())]
    fn seven() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        7
    }

    #[cached(dir = "/dev/null/no/such/place")]
    fn eight() -> u32 {
        8
    }

    assert_eq!((seven(), seven(), eight()), (7, 7, 8));
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}

#[test]
fn functions_share_the_cache_of_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let one = cacheness::cached::shared(&path).unwrap();
    let two = cacheness::cached::shared(&path).unwrap();
    one.put(&1_u32, params! { x: 1 }).unwrap();
    assert_eq!(two.stats().unwrap().counts.puts, 1);
    one.close().unwrap();
    let three = cacheness::cached::shared(&path).unwrap();
    assert_eq!(three.get::<u32>(params! { x: 1 }).unwrap(), Some(1));
}

#[test]
fn the_default_cache_is_set_and_reset() {
    static CALLS: AtomicU32 = AtomicU32::new(0);

    #[cached]
    fn nine() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        9
    }

    let cache = Cache::builder().in_memory().open().unwrap();
    cacheness::set_default_cache(cache.clone());
    assert_eq!((nine(), nine(), CALLS.load(Ordering::Relaxed)), (9, 9, 1));
    assert_eq!(cacheness::default_cache().unwrap().stats().unwrap().counts.hits, 1);
    cacheness::reset_default_cache().unwrap();
    assert!(cache.engine().is_closed());
    cacheness::reset_default_cache().unwrap();
    cacheness::set_default_cache(Cache::builder().in_memory().open().unwrap());
    assert_eq!((nine(), CALLS.load(Ordering::Relaxed)), (9, 2), "another cache");
}

/// Types whose methods have the same names, and whose objects have the same keys.
struct Circle<T>(T);
struct Square<T>(T);

impl<T: ToKey> ToKey for Circle<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> cacheness::Result<()> {
        self.0.encode(encoder)
    }
}

impl<T: ToKey> ToKey for Square<T> {
    fn encode(&self, encoder: &mut KeyEncoder) -> cacheness::Result<()> {
        self.0.encode(encoder)
    }
}

trait Shape {
    fn corners(&self) -> u32;
}

impl<T: ToKey> Circle<T> {
    #[cached(cache = cache())]
    fn name() -> String {
        "circle".into()
    }

    #[cached(cache = cache())]
    fn area(&self) -> f64 {
        3.5
    }
}

impl<T: ToKey> Square<T> {
    #[cached(cache = cache())]
    fn name() -> String {
        "square".into()
    }

    #[cached(cache = cache())]
    fn area(&self) -> f64 {
        1.0
    }
}

impl Shape for Circle<u8> {
    #[cached(cache = cache())]
    fn corners(&self) -> u32 {
        0
    }
}

impl Shape for Square<u8> {
    #[cached(cache = cache())]
    fn corners(&self) -> u32 {
        4
    }
}

impl<T: Plain + Default> Square<T> {
    #[cached(cache = cache())]
    fn smallest() -> T {
        T::default()
    }
}

#[cached(cache = cache())]
fn size_of<T, const TIMES: usize>() -> usize {
    std::mem::size_of::<T>() * TIMES
}

#[cached(cache = cache())]
fn parsed<T: Plain + std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[test]
fn functions_of_one_name_are_told_apart() {
    fn one() -> u32 {
        #[cached(cache = cache())]
        fn inner() -> u32 {
            1
        }
        inner()
    }
    fn two() -> u32 {
        #[cached(cache = cache())]
        fn inner() -> u32 {
            2
        }
        inner()
    }
    for _ in 0..2 {
        assert_eq!((one(), two()), (1, 2));
        assert_eq!((Circle::<u8>::name(), Square::<u8>::name()), ("circle".to_owned(), "square".to_owned()));
        assert_eq!((Circle(1_u8).area(), Square(1_u8).area()), (3.5, 1.0));
        assert_eq!((Circle(1_u8).corners(), Square(1_u8).corners()), (0, 4));
        assert_eq!((size_of::<u8, 1>(), size_of::<u8, 2>(), size_of::<u64, 1>()), (1, 2, 8));
        assert_eq!((Square::<u8>::smallest(), Square::<String>::smallest()), (0, String::new()));
        assert_eq!((parsed::<u8>("300"), parsed::<u16>("300"), parsed::<f64>("3")), (None, Some(300), Some(3.0)));
    }
}

#[test]
fn a_function_is_named_by_its_path() {
    #[cached(cache = cache())]
    fn plain(x: u32) -> u32 {
        x
    }

    #[cached(cache = cache())]
    async fn later(x: u32) -> u32 {
        x
    }

    let path = concat!(module_path!(), "::a_function_is_named_by_its_path::");
    assert_eq!((plain(1), block_on(later(1)), Model::new(9.0).predict(1.0, false)), (1, 1, 9.0));
    for (name, there) in [(format!("{path}plain"), true), (format!("{path}later"), true), (path.to_owned(), false)] {
        let key = params! { "__function__": &name[..], "arguments": params! { x: 1_u32 } };
        assert_eq!(cache().exists(key).unwrap(), there, "{name}");
    }
    let arguments = params! { "self": &Model::new(9.0), input: 1.0 };
    let name = concat!(module_path!(), "::Model::predict");
    assert!(cache().exists(params! { "__function__": name, "arguments": arguments }).unwrap());
}
