//! Functions whose code changes: two of them have one key, as one has before and after an edit.

use std::sync::{Mutex, OnceLock};

use cacheness::prelude::*;

fn cache() -> &'static Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    CACHE.get_or_init(|| Cache::builder().in_memory().open().unwrap())
}

/// What was logged.
struct Logged(Mutex<Vec<String>>);

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

static LOGGED: Logged = Logged(Mutex::new(Vec::new()));

/// How often a sentence with these words was logged.
fn logged(words: &str) -> usize {
    LOGGED.0.lock().unwrap().iter().filter(|line| line.contains(words)).count()
}

/// The functions before and after the edit, in modules of these names.
macro_rules! edited {
    ($before:ident, $after:ident: [$($options:tt)*] |$x:ident| $first:block $second:block) => {
        mod $before {
            use cacheness::prelude::*;
            #[cached(cache = super::cache(), $($options)*)]
            pub(super) fn f($x: u32) -> u32 $first
        }
        mod $after {
            use cacheness::prelude::*;
            #[cached(cache = super::cache(), $($options)*)]
            pub(super) fn f($x: u32) -> u32 $second
        }
    };
}

edited!(plus_one, plus_two: [key_prefix = "recomputed"] |x| { x + 1 } { x + 2 });
edited!(remarked, documented: [key_prefix = "the same"] |x| { x + super::computed() } { /* a remark */ x + super::computed() });
edited!(warn_one, warn_two: [key_prefix = "warned", on_code_change = "warn"] |x| { x + 1 } { x + 2 });
edited!(ignore_one, ignore_two: [key_prefix = "ignored", on_code_change = "ignore"] |x| { x + 1 } { x + 2 });
edited!(said_one, said_two: [key_prefix = "by itself", on_code_change = "recompute"] |x| { x + 1 } { x + 2 });

fn computed() -> u32 {
    static CALLS: Mutex<u32> = Mutex::new(0);
    let mut calls = CALLS.lock().unwrap();
    *calls += 1;
    *calls
}

#[test]
fn a_result_of_other_code_is_computed_anew() {
    assert_eq!((plus_one::f(1), plus_one::f(2)), (2, 3));
    assert_eq!((plus_two::f(1), plus_two::f(1)), (3, 3));
    // Whoever asks has the code that counts; the entry of 2 is still of the first.
    assert_eq!(cache().stats().unwrap().totals.entries, 2);
    assert_eq!((plus_one::f(2), plus_two::f(2), plus_one::f(1)), (3, 4, 2));
    assert_eq!((said_one::f(1), said_two::f(1)), (2, 3));
}

#[test]
fn remarks_are_not_code() {
    assert_eq!((remarked::f(1), documented::f(1), remarked::f(1)), (2, 2, 2));
}

#[test]
fn a_result_of_other_code_is_served_where_that_is_asked_for() {
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    assert_eq!((warn_one::f(1), warn_one::f(2), warn_two::f(1), warn_two::f(2)), (2, 3, 2, 3));
    assert_eq!(logged("the function has changed"), 1);
    assert_eq!((ignore_one::f(1), ignore_two::f(1)), (2, 2));
    assert_eq!(logged("the function has changed"), 1);
    // A value that no function put says nothing of its code.
    assert_eq!(warn_two::f(3), 5);
    assert_eq!(warn_two::f(3), 5);
    assert_eq!(logged("the function has changed"), 1);
}

#[test]
fn codes_of_two_languages_are_not_compared() {
    #[cached(cache = cache, key_prefix = "both", ignore(cache))]
    fn doubled(cache: &Cache, x: u32) -> u32 {
        let _ = cache;
        2 * x
    }
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(doubled(&cache, 1), 2);
    let script = "from cacheness import cached\n\
                  f = cached(cache, key_prefix='both')(lambda x: -x)\n\
                  assert (f(x=1), f(x=2)) == (2, -2)\n";
    crate::python::python(dir.path(), script);
    assert_eq!((doubled(&cache, 1), doubled(&cache, 3)), (2, 6));
    assert_eq!(cache.list_entries().unwrap().len(), 3);
}

#[test]
fn the_code_stays_beside_the_entry() {
    let dir = tempfile::tempdir().unwrap();
    for backend in ["sqlite", "json"] {
        let path = dir.path().join(backend);
        let open = || Cache::builder().directory(&path).metadata_backend(backend).open().unwrap();
        fn before(cache: &Cache) -> u32 {
            #[cached(cache = cache, key_prefix = "kept", ignore(cache))]
            fn f(cache: &Cache) -> u32 {
                let _ = cache;
                1
            }
            f(cache)
        }
        fn after(cache: &Cache) -> u32 {
            #[cached(cache = cache, key_prefix = "kept", ignore(cache))]
            fn f(cache: &Cache) -> u32 {
                let _ = cache;
                2
            }
            f(cache)
        }
        let cache = open();
        assert_eq!((before(&cache), before(&cache)), (1, 1));
        cache.close().unwrap();
        let cache = open();
        assert_eq!((before(&cache), after(&cache), after(&cache)), (1, 2, 2));
        let [entry] = &cache.list_entries().unwrap()[..] else { panic!("one entry") };
        assert!(entry.entry().code().is_some());
    }
}
