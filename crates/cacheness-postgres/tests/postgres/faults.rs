//! Servers that are not there, connections that are cut, processes that start at once.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cacheness_core::ErrorKind;
use cacheness_core::backend::{Commit, MetadataBackend as _, Operation, Page, Put, Query};
use cacheness_postgres::{PostgresMetadata, PostgresOptions};
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample::{full, inline};

use super::server::{Schema, execute, with_client};

#[test]
fn a_server_that_is_not_there() {
    let options = PostgresOptions::from_url("postgresql://me:hush@127.0.0.1:1/none").expect("a URL");
    let error = PostgresMetadata::open(options).expect_err("nobody listens");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    let shown = format!("{error:?}{}{:?}", error.with_causes(), error.hint());
    assert!(shown.contains("127.0.0.1:1/none") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_server_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let options = PostgresOptions::from_url(&format!("postgresql://me@127.0.0.1:{port}/x")).expect("a URL");
    let begun = Instant::now();
    let error = PostgresMetadata::open(options.connect_timeout(Duration::from_millis(300))).expect_err("silent");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{}", error.with_causes());
    assert!(begun.elapsed() < Duration::from_secs(30), "bounded");
}

#[test]
fn a_database_that_does_not_exist() {
    let url = super::server::url();
    let options = PostgresOptions::from_url(&url).expect("a URL").database("no such database");
    let error = PostgresMetadata::open(options).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", error.with_causes());
    assert!(error.hint().is_some_and(|hint| hint.contains("createdb")));
}

/// Ends the sessions of one store, which are known by their application.
fn cut(name: &str) {
    execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND pid <> pg_backend_pid()"
    ));
}

#[test]
fn cut_connections_are_replaced() {
    let schema = Schema::new();
    let name = &schema.name[..schema.name.len().min(60)];
    let store = PostgresMetadata::open(schema.options().application_name(name)).expect("opened");
    for round in 0..5 {
        store.put(&inline("k", &[round])).expect("put");
        cut(name);
        // A read, a put, and a listing are repeated on a new connection.
        assert_eq!(store.whole("k").expect("got").map(|entry| entry.location), Some(inline("k", &[round]).location));
        cut(name);
        store.put(&full("other", &[round])).expect("put");
        cut(name);
        assert_eq!(store.select(&Query::default(), &Page::default()).expect("listed").len(), 2);
    }
    assert_eq!(store.totals().expect("totals").entries, 2);
    // What cannot be repeated says that its outcome is unknown.
    cut(name);
    match store.delete("k") {
        Ok(removed) => assert!(removed.is_some()),
        Err(error) => {
            assert!(error.kind() == ErrorKind::Unavailable && error.is_uncertain(), "{}", error.with_causes());
            assert!(store.whole("k").expect("got").is_some(), "the request never reached the server");
        }
    }
}

#[test]
fn many_open_an_empty_database_at_once() {
    let schema = Schema::new();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..20).map(|_| scope.spawn(|| schema.open())).collect();
        for (number, store) in opened.into_iter().enumerate() {
            let store = store.join().expect("no panic");
            store.put(&inline(&format!("{number}"), b"x")).expect("put");
        }
    });
    assert_eq!(schema.open().totals().expect("totals").entries, 20);
    let applied = with_client(async |client| {
        let sql = format!("SELECT count(*) FROM \"{}\".cache_migrations", schema.name);
        client.query_one(&sql, &[]).await.expect("counted").get::<_, i64>(0)
    });
    assert_eq!(applied, 1, "exactly one process applied it");
}

#[test]
fn several_stores_share_a_database() {
    let schema = Schema::new();
    let one = schema.open();
    let two = PostgresMetadata::open(schema.options().table_prefix("other_").expect("a prefix")).expect("opened");
    one.put(&inline("a", b"1")).expect("put");
    two.put(&inline("b", b"22")).expect("put");
    assert!(one.whole("b").expect("got").is_none() && two.whole("a").expect("got").is_none());
    assert_eq!((one.totals().expect("totals").bytes, two.totals().expect("totals").bytes), (1, 2));
}

/// Inside of a runtime of tokio nobody may block on another one.
#[test]
fn a_call_inside_a_runtime() {
    let schema = Schema::new();
    let store = schema.open();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        store.put(&inline("a", b"1")).expect("put");
        assert!(store.whole("a").expect("got").is_some());
    });
}

/// Commits that lock the same rows in opposite orders: PostgreSQL ends one of two, which is repeated.
#[test]
fn deadlocks_are_resolved() {
    let schema = Schema::new();
    let store = schema.open();
    let entries: Vec<_> = (0..40).map(|i| inline(&format!("{i:02}"), b"x")).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, entries) = (&store, &entries);
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut puts: Vec<_> = entries.iter().map(|entry| Operation::Put(Put::of(entry))).collect();
                    if thread % 2 == 1 {
                        puts.reverse();
                    }
                    store.commit(&Commit::of(&puts)).expect("committed");
                }
            });
        }
    });
    assert_eq!(store.totals().expect("totals").entries, 40);
}
