//! The suite of metadata backends.

use cacheness_postgres::{PostgresLocks, PostgresMetadata};
use cacheness_testkit::conformance::{self, LocksFixture, MetadataFixture};

use super::server::Schema;

fn fixture() -> MetadataFixture {
    let schema = Schema::new();
    let options = schema.options();
    let open = move || PostgresMetadata::open(options.clone()).expect("opened");
    let mut fixture = MetadataFixture::persistent(open, schema);
    fixture.any_text = false;
    fixture.searches = 24;
    fixture
}

#[test]
fn metadata() {
    conformance::metadata(fixture);
}

#[test]
fn reading_only() {
    let schema = Schema::new();
    let writer = schema.open();
    let reader = PostgresMetadata::open(schema.options().read_only(true)).expect("opened");
    conformance::read_only(&writer, &reader);
}

#[test]
fn locks() {
    conformance::locks(|| {
        let schema = Schema::new();
        let options = schema.options();
        LocksFixture::new(move || PostgresLocks::open(&options).expect("connected"), schema)
    });
}
