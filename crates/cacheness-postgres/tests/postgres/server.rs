//! Stores on the PostgreSQL server whose address is in `CACHENESS_TEST_POSTGRES_URL`. `make test` starts one if there is none.

use std::sync::atomic::{AtomicU32, Ordering};

use cacheness_postgres::{PostgresMetadata, PostgresOptions};

/// The address of the server.
pub(crate) fn url() -> String {
    std::env::var("CACHENESS_TEST_POSTGRES_URL").expect(
        "CACHENESS_TEST_POSTGRES_URL is the address of a PostgreSQL server for tests, such as postgresql://postgres@localhost/postgres; \
         `make test` starts one",
    )
}

/// A schema of its own, dropped with all that is in it.
pub(crate) struct Schema {
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
        Self { name: format!("test_{}_{number}_{time}", std::process::id()) }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        // What is tested here is not the server's disk.
        let url = url();
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options=-c%20synchronous_commit%3Doff");
        PostgresOptions::from_url(&url).expect("a URL").schema(&self.name).expect("a name").pool(4, 20)
    }

    pub(crate) fn open(&self) -> PostgresMetadata {
        PostgresMetadata::open(self.options())
            .unwrap_or_else(|error| panic!("{}: {:?}", error.with_causes(), error.hint()))
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        execute(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name));
    }
}

/// Runs statements as the user of the tests, beside every store.
pub(crate) fn execute(sql: &str) {
    with_client(async |client| client.batch_execute(sql).await.expect("executed"));
}

/// Calls `work` with a connection that no store has.
pub(crate) fn with_client<T>(work: impl AsyncFnOnce(&tokio_postgres::Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url(), tokio_postgres::NoTls).await.expect("connected");
        let driver = tokio::spawn(connection);
        let result = work(&client).await;
        drop(client);
        driver.await.expect("no panic").expect("no error");
        result
    })
}
