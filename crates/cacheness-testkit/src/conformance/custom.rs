//! User-defined tables: registering, inserting, querying, and rows that go with their entry.

use cacheness_core::backend::{
    ColumnType, CustomRow, Eviction, EvictionOrder, MetadataBackend, Operation, Put, RowColumn, RowFilter, RowOrder,
    RowQuery, RowSelect, RowSource, RowTable, Schema, SchemaColumn, SqlValue,
};
use cacheness_core::entry::{Entry, Totals};
use cacheness_core::formats::plain::Value;
use cacheness_core::{ErrorKind, Result};

use super::MetadataFixture;
use super::metadata::get;
use crate::ext::MetadataExt as _;
use crate::sample::{NOW, blob, full, inline};

pub(super) const RUNS: &str = "custom_runs";
const STEPS: &str = "custom_steps";

/// The backend, if it keeps user-defined tables.
pub(super) fn backend(fixture: &MetadataFixture) -> Option<&dyn MetadataBackend> {
    Some(&*fixture.backend).filter(|backend| backend.capability().custom_rows)
}

pub(super) fn runs() -> Schema {
    Schema::new(RUNS)
        .column(SchemaColumn::new("number", ColumnType::Integer))
        .column(SchemaColumn::new("name", ColumnType::Text).nullable(true))
        .column(SchemaColumn::new("accuracy", ColumnType::Float).nullable(true))
        .index(["number"], true)
        .index(["accuracy"], false)
}

pub(super) fn steps() -> Schema {
    Schema::new(STEPS).column(SchemaColumn::new("seconds", ColumnType::Float))
}

pub(super) fn run(number: i64, name: Option<&str>, accuracy: Option<f64>) -> CustomRow {
    let values = vec![
        ("number".to_owned(), Value::Int(number)),
        ("name".to_owned(), name.map_or(Value::None, Value::from)),
        ("accuracy".to_owned(), accuracy.map_or(Value::None, Value::Float)),
    ];
    CustomRow::new(RUNS, Some(Schema::OWNER), values)
}

pub(super) fn step(seconds: f64) -> CustomRow {
    CustomRow::new(STEPS, Some(Schema::OWNER), vec![("seconds".to_owned(), Value::Float(seconds))])
}

pub(super) fn put(backend: &dyn MetadataBackend, entry: &Entry, rows: &[CustomRow]) -> Result<Vec<i64>> {
    backend.put_with(Put { rows, ..Put::of(entry) }).map(|outcome| outcome.row_ids)
}

pub(super) fn column(table: &'static str, name: &'static str, kind: ColumnType) -> RowColumn {
    RowColumn { source: RowSource::Table(table.into()), name: name.into(), kind }
}

pub(super) fn number() -> RowColumn {
    column(RUNS, "number", ColumnType::Integer)
}

pub(super) fn name() -> RowColumn {
    column(RUNS, "name", ColumnType::Text)
}

pub(super) fn accuracy() -> RowColumn {
    column(RUNS, "accuracy", ColumnType::Float)
}

pub(super) fn seconds() -> RowColumn {
    column(STEPS, "seconds", ColumnType::Float)
}

pub(super) fn of_entry(name: &'static str, kind: ColumnType) -> RowColumn {
    RowColumn { source: RowSource::Entry, name: name.into(), kind }
}

pub(super) fn ascending(column: RowColumn) -> RowOrder {
    RowOrder { column, descending: false }
}

pub(super) const ONE_TABLE: &[RowTable<'_>] = &[RowTable { name: RUNS, owner: Schema::OWNER }];
pub(super) const TWO_TABLES: &[RowTable<'_>] =
    &[RowTable { name: RUNS, owner: Schema::OWNER }, RowTable { name: STEPS, owner: Schema::OWNER }];

pub(super) fn ask(backend: &dyn MetadataBackend, query: &RowQuery<'_>) -> Result<Vec<Vec<SqlValue>>> {
    let rows = backend.select_rows(query)?;
    let left = rows.left();
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    assert_eq!(rows.len() as u64, left);
    Ok(rows)
}

pub(super) fn select(
    backend: &dyn MetadataBackend,
    tables: &[RowTable<'_>],
    columns: &[RowColumn],
    filter: &RowFilter,
    order: &[RowOrder],
) -> Vec<Vec<SqlValue>> {
    let select = RowSelect::Columns(columns);
    ask(backend, &RowQuery { tables, select, filter, order, limit: None, offset: 0 }).expect("queried")
}

/// The numbers of the runs that match, in their order.
pub(super) fn numbers(backend: &dyn MetadataBackend, filter: &RowFilter) -> Vec<i64> {
    let rows = select(backend, ONE_TABLE, &[number()], filter, &[ascending(number())]);
    let integer = |row: Vec<SqlValue>| match row[..] {
        [SqlValue::Int(value)] => value,
        _ => panic!("{row:?}"),
    };
    rows.into_iter().map(integer).collect()
}

pub(super) fn all_numbers(backend: &dyn MetadataBackend) -> Vec<i64> {
    numbers(backend, &RowFilter::all())
}

pub(super) fn value(
    backend: &dyn MetadataBackend,
    tables: &[RowTable<'_>],
    select: RowSelect<'_>,
    filter: &RowFilter,
) -> SqlValue {
    // The order and the limit do not apply.
    let order = [ascending(number())];
    let query = RowQuery { tables, select, filter, order: &order, limit: Some(0), offset: 7 };
    let rows = ask(backend, &query).expect("queried");
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let [value] = &row[..] else { panic!("{row:?}") };
    value.clone()
}

pub(super) fn steps_count(backend: &dyn MetadataBackend) -> SqlValue {
    value(backend, TWO_TABLES, RowSelect::Count, &RowFilter::all())
}

/// Rows to ask about: numbers, names and accuracies.
pub(super) const SAMPLE: [(i64, Option<&str>, Option<f64>); 8] = [
    (1, Some("ridge"), Some(0.95)),
    (2, Some("lasso"), Some(0.5)),
    (3, None, None),
    (4, Some("Ridge 100% _"), Some(-1.5)),
    (5, Some(""), Some(0.95)),
    (6, Some("äther"), Some(1e300)),
    (7, Some("zebra"), None),
    (8, None, Some(0.0)),
];

pub(super) fn with_sample(backend: &dyn MetadataBackend) {
    backend.register_schema(&runs()).expect("created");
    for (number, name, accuracy) in SAMPLE {
        put(backend, &inline(&format!("k{number}"), b"x"), &[run(number, name, accuracy)]).expect("put");
    }
}

/// A backend without user-defined tables refuses everything about them in the same words.
pub(super) fn unsupported(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    if backend.capability().custom_rows {
        return;
    }
    let filter = RowFilter::all();
    let query =
        RowQuery { tables: ONE_TABLE, select: RowSelect::Count, filter: &filter, order: &[], limit: None, offset: 0 };
    let errors = [
        backend.register_schema(&runs()).expect_err("refused"),
        backend.select_rows(&query).map(drop).expect_err("refused"),
    ];
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(RUNS) && error.to_string().contains(backend.name()), "{error}");
        assert_eq!(error.to_string(), errors[0].to_string());
        assert!(error.hint().is_some(), "{error:?}");
    }
    let error = put(backend, &inline("a", b"x"), &[run(1, None, None)]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(get(backend, "a"), None);
}

pub(super) fn constraints(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    backend.register_schema(&runs()).expect("created");
    let (one, two) = (full("one", b"payload"), full("two", b"other"));
    put(backend, &one, &[run(1, Some("first"), None)]).expect("put");
    put(backend, &two, &[run(2, None, None)]).expect("put");
    let without =
        CustomRow::new(RUNS, Some(Schema::OWNER), vec![("number".into(), Value::None), ("name".into(), "x".into())]);
    for rows in [vec![run(3, None, None), run(1, None, None)], vec![without]] {
        let error = put(backend, &inline("two", b"new"), &rows).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
        let text = error.with_causes().to_string();
        assert!(text.contains(RUNS) && text.contains("number"), "{text}");
        assert_eq!(all_numbers(backend), [1, 2]);
        assert_eq!(get(backend, "two"), Some(two.clone()));
    }
    // A put may take over the value of the row that it removes.
    put(backend, &two, &[run(2, Some("again"), None)]).expect("put");
    assert_eq!(all_numbers(backend), [1, 2]);
    let missing = CustomRow::new("custom_none", Some(Schema::OWNER), Vec::new());
    assert!(put(backend, &two, &[missing]).is_err());
    let list = CustomRow::new(RUNS, Some(Schema::OWNER), vec![("number".into(), Value::List(Vec::new()))]);
    assert_eq!(put(backend, &two, &[list]).expect_err("no value").kind(), ErrorKind::InvalidInput);
    assert_eq!(all_numbers(backend), [1, 2]);
}

pub(super) fn ways_out(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    backend.register_schema(&runs()).expect("created");
    backend.register_schema(&steps()).expect("created");
    let (entry, other) = (blob("k", "blobs/k-000000000001", None, 1 << 20), inline("other", b"x"));
    let ways: [(&str, &dyn Fn()); 8] = [
        ("delete", &|| drop(backend.delete("k").expect("deleted"))),
        ("delete a version", &|| drop(backend.delete_version(&entry.version()).expect("deleted"))),
        ("delete a batch", &|| drop(backend.delete_batch(&[entry.version()]).expect("deleted"))),
        ("replace without rows", &|| drop(put(backend, &entry, &[]).expect("put"))),
        ("replace with rows", &|| drop(put(backend, &entry, &[run(9, None, None)]).expect("put"))),
        ("clear", &|| {
            backend.clear().expect("cleared");
            put(backend, &other, &[run(0, None, None), step(0.5)]).expect("put");
        }),
        ("evict", &|| {
            let target = Totals { entries: 1, bytes: u64::MAX };
            let (order, garbage_due) = (EvictionOrder::FirstIn, None);
            let eviction = Eviction { order, expired_at: NOW, keep: "other", target, count: 10, garbage_due };
            assert_eq!(backend.evict(&eviction).expect("evicted").keys, ["k"]);
        }),
        ("delete and put in one commit", &|| {
            let again = Put { rows: &[], ..Put::of(&entry) };
            backend.apply(&[Operation::Delete("k"), Operation::Put(again)]).expect("committed");
        }),
    ];
    put(backend, &other, &[run(0, None, None), step(0.5)]).expect("put");
    for (way, leave) in ways {
        put(backend, &entry, &[run(1, None, None), step(1.5), run(2, None, None)]).expect("put");
        assert_eq!(all_numbers(backend), [0, 1, 2], "{way}");
        assert_eq!(steps_count(backend), SqlValue::Int(3), "{way}");
        leave();
        let left = if way == "replace with rows" { vec![0, 9] } else { vec![0] };
        assert_eq!(all_numbers(backend), left, "{way}");
        assert_eq!(steps_count(backend), SqlValue::Int(1), "{way}");
    }
    // What changes an entry leaves its rows.
    put(backend, &entry, &[run(1, None, None)]).expect("put");
    backend.set_pinned("k", true).expect("pinned");
    let update = cacheness_core::backend::EntryUpdate { created_at: Some(NOW), ..Default::default() };
    assert!(backend.update(&entry, &update).expect("updated"));
    assert_eq!(all_numbers(backend), [0, 1]);
    assert_eq!(backend.totals().expect("totals"), Totals { entries: 2, bytes: (1 << 20) + 1 });
}

/// Several handles register the same table at once, and see each other's rows.
pub(super) fn many_handles(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    let Some(reopen) = &fixture.reopen else { return };
    let others: Vec<Box<dyn MetadataBackend>> = (0..3).map(|_| reopen()).collect();
    std::thread::scope(|scope| {
        for (place, other) in (0_i64..).zip(&others) {
            scope.spawn(move || {
                other.register_schema(&runs()).expect("created");
                put(&**other, &inline(&format!("{place}"), b"x"), &[run(place, None, None)]).expect("put");
            });
        }
    });
    assert_eq!(all_numbers(backend), [0, 1, 2]);
    // A handle that has registered nothing removes rows with their entry.
    assert!(put(backend, &inline("0", b"y"), &[]).expect("put").is_empty());
    assert_eq!(all_numbers(&*others[0]), [1, 2]);
}

pub(super) fn closed(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    with_sample(backend);
    backend.close().expect("closed");
    assert_eq!(backend.register_schema(&steps()).expect_err("closed").kind(), ErrorKind::Closed);
    let filter = RowFilter::all();
    let query =
        RowQuery { tables: ONE_TABLE, select: RowSelect::Count, filter: &filter, order: &[], limit: None, offset: 0 };
    assert_eq!(backend.select_rows(&query).map(drop).expect_err("closed").kind(), ErrorKind::Closed);
}
