//! Roles with exactly the privileges that `docs/postgresql.md` lists.

use cacheness_core::ErrorKind;
use cacheness_core::backend::{Eviction, EvictionOrder, MetadataBackend as _, Operation, Query};
use cacheness_core::entry::Totals;
use cacheness_core::query::Field;
use cacheness_postgres::PostgresMetadata;
use cacheness_testkit::ext::MetadataExt as _;
use cacheness_testkit::sample::{NOW, blob, full, inline};

use super::server::{Schema, execute};

/// A role that is dropped in the end.
struct Role(String);

impl Role {
    fn new(schema: &Schema, kind: &str) -> Self {
        let name = format!("{kind}_{}", schema.name);
        execute(&format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret'"));
        Self(name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        execute(&format!("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", self.0));
    }
}

#[test]
fn a_writer_and_a_reader() {
    let schema = Schema::new();
    let (writer, reader, stranger) =
        (Role::new(&schema, "writer"), Role::new(&schema, "reader"), Role::new(&schema, "stranger"));
    let owner = schema.open();
    owner.put(&full("first", b"payload")).expect("put");
    let name = &schema.name;
    let tables = ["entries", "totals", "info", "garbage"].map(|table| format!("\"{name}\".cache_{table}")).join(", ");
    execute(&format!(
        "GRANT USAGE ON SCHEMA \"{name}\" TO \"{0}\", \"{1}\"; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO \"{0}\"; \
         GRANT SELECT ON \"{name}\".cache_migrations TO \"{0}\"; \
         GRANT SELECT ON {tables}, \"{name}\".cache_migrations TO \"{1}\"",
        writer.0, reader.0
    ));

    let open = |role: &Role, read_only: bool| {
        PostgresMetadata::open(schema.options().user(&role.0, Some("secret")).read_only(read_only))
    };
    let written = open(&writer, false).expect("opened");
    written.put(&inline("second", b"x")).expect("put");
    written.put(&blob("blob", "blobs/a-000000000001", Some([1; 32]), 5)).expect("put");
    assert_eq!(written.put(&inline("blob", b"y")).expect("put").orphaned, ["blobs/a-000000000001"]);
    written.apply(&[Operation::SignWith([7; 16])]).expect("recorded");
    written.set_pinned("second", true).expect("pinned");
    assert!(written.delete("first").expect("deleted").is_some());
    assert_eq!(written.count(&Query::default()).expect("counted"), 2);
    let eviction = Eviction {
        order: EvictionOrder::LeastRecentlyRead,
        expired_at: NOW,
        keep: "",
        target: Totals { entries: 1, bytes: u64::MAX },
        count: 10,
        garbage_due: None,
    };
    assert_eq!(written.evict(&eviction).expect("evicted").keys, ["blob"]);
    let error = written.create_index(&Field::parse("a").expect("a field")).expect_err("not the owner");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("docs/postgresql.md")));

    let read = open(&reader, true).expect("opened");
    assert!(read.whole("second").expect("got").is_some());
    assert_eq!(read.totals().expect("totals").entries, 1);
    assert_eq!(read.put(&inline("third", b"x")).expect_err("read-only").kind(), ErrorKind::ReadOnly);
    let read = open(&reader, false).expect("opened");
    assert_eq!(read.put(&inline("third", b"x")).expect_err("denied").kind(), ErrorKind::Denied);
    assert_eq!(open(&stranger, true).expect_err("denied").kind(), ErrorKind::Denied);
}

/// Who may not create the tables is told so, and that it is a matter of privileges.
#[test]
fn a_migrator_without_its_privilege() {
    let schema = Schema::new();
    let role = Role::new(&schema, "migrator");
    let open = || PostgresMetadata::open(schema.options().user(&role.0, Some("secret"))).expect_err("denied");
    let check = |error: &cacheness_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.with_causes());
        assert!(error.to_string().contains("permission denied"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("docs/postgresql.md")));
    };
    // Neither the schema …
    let name = &schema.name;
    check(&open());
    // … nor the tables in one that is there.
    execute(&format!("CREATE SCHEMA \"{name}\"; GRANT USAGE ON SCHEMA \"{name}\" TO \"{}\"", role.0));
    check(&open());
    execute(&format!("GRANT CREATE ON SCHEMA \"{name}\" TO \"{}\"", role.0));
    let store = PostgresMetadata::open(schema.options().user(&role.0, Some("secret"))).expect("opened");
    store.put(&inline("first", b"x")).expect("put");
}
