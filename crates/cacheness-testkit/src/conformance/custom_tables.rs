//! User-defined tables: their types, their keys, and how they are extended.

use std::cmp::Ordering;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{
    Aggregate, ColumnType, CustomRow, MetadataBackend, RowColumn, RowFilter, RowQuery, RowSelect, RowSource, RowTable,
    RowTest, Schema, SchemaColumn, SqlValue, time_value,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::formats::plain::Value;

use super::MetadataFixture;
use super::custom::{
    ONE_TABLE, RUNS, all_numbers, ascending, ask, backend, column, number, put, run, runs, select, with_sample,
};
use crate::sample::{NOW, inline};

pub(super) fn every_type(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    // Names are quoted.
    const TABLE: &str = "custom \"types\" of ключ";
    const KINDS: [(&str, ColumnType); 8] = [
        ("select", ColumnType::Integer),
        ("a \"float\"", ColumnType::Float),
        ("flag; --", ColumnType::Boolean),
        ("текст", ColumnType::Text),
        ("bytes", ColumnType::Bytes),
        ("Time", ColumnType::Time),
        ("date", ColumnType::Date),
        ("json", ColumnType::Json),
    ];
    let schema = KINDS
        .iter()
        .fold(Schema::new(TABLE), |schema, (name, kind)| schema.column(SchemaColumn::new(*name, *kind).nullable(true)));
    backend.register_schema(&schema).expect("created");
    let time = |micros| time_value(Timestamp(micros)).expect("in the calendar");
    // 0001-01-01 and 9999-12-31.
    let (first, last) = (-62_135_596_800_000_000, Timestamp::LAST_DATE.0);
    let long = "ä😀".repeat(5000);
    let rows: Vec<[(Value, SqlValue); 8]> = vec![
        [
            (Value::Int(i64::MIN), SqlValue::Int(i64::MIN)),
            (Value::Float(f64::MIN_POSITIVE), SqlValue::Float(f64::MIN_POSITIVE)),
            (Value::Bool(true), SqlValue::Bool(true)),
            (Value::from("'; DROP TABLE x; --"), SqlValue::Text("'; DROP TABLE x; --".into())),
            (Value::Bytes(vec![0, 255]), SqlValue::Bytes(vec![0, 255])),
            (time(first), SqlValue::Int(first)),
            (Value::Date(-719_162), SqlValue::Int(-719_162)),
            (Value::from("{\"a\":[1,null,0.1]}"), SqlValue::Text("{\"a\":[1,null,0.1]}".into())),
        ],
        [
            (Value::Int(i64::MAX), SqlValue::Int(i64::MAX)),
            (Value::Float(f64::INFINITY), SqlValue::Float(f64::INFINITY)),
            (Value::Bool(false), SqlValue::Bool(false)),
            (Value::from(long.as_str()), SqlValue::Text(long)),
            (Value::Bytes(Vec::new()), SqlValue::Bytes(Vec::new())),
            (time(last), SqlValue::Int(last)),
            (Value::Date(2_932_896), SqlValue::Int(2_932_896)),
            (Value::from("null"), SqlValue::Text("null".into())),
        ],
        [
            (Value::Int(0), SqlValue::Int(0)),
            (Value::Float(0.1), SqlValue::Float(0.1)),
            (Value::Bool(false), SqlValue::Bool(false)),
            (Value::from(""), SqlValue::Text(String::new())),
            (Value::Bytes(vec![7; 100_000]), SqlValue::Bytes(vec![7; 100_000])),
            (time(NOW.0 + 1), SqlValue::Int(NOW.0 + 1)),
            (Value::Date(0), SqlValue::Int(0)),
            (Value::from("\"12\""), SqlValue::Text("\"12\"".into())),
        ],
        [
            (Value::Int(-1), SqlValue::Int(-1)),
            (Value::Float(3.0), SqlValue::Float(3.0)),
            (Value::Bool(true), SqlValue::Bool(true)),
            (Value::from("1"), SqlValue::Text("1".into())),
            (Value::Bytes(b"text".to_vec()), SqlValue::Bytes(b"text".to_vec())),
            (time(-1), SqlValue::Int(-1)),
            (Value::Date(-1), SqlValue::Int(-1)),
            (Value::from("12"), SqlValue::Text("12".into())),
        ],
        std::array::from_fn(|_| (Value::None, SqlValue::Null)),
    ];
    for (place, row) in rows.iter().enumerate() {
        let values = KINDS.iter().zip(row).map(|((name, _), (value, _))| ((*name).to_owned(), value.clone()));
        let row = CustomRow::new(TABLE, Some(Schema::OWNER), values.collect());
        put(backend, &inline(&format!("{place}"), b""), &[row]).expect("put");
    }
    let tables = [RowTable { name: TABLE, owner: Schema::OWNER }];
    let columns: Vec<RowColumn> = KINDS.iter().map(|(name, kind)| column(TABLE, name, *kind)).collect();
    let order = [ascending(column(TABLE, "id", ColumnType::Integer))];
    let found = select(backend, &tables, &columns, &RowFilter::all(), &order);
    let expected: Vec<Vec<SqlValue>> =
        rows.iter().map(|row| row.iter().map(|(_, value)| value.clone()).collect()).collect();
    assert_eq!(found, expected);
    // Each value is found by itself, and by nothing else.
    for (at, (_, kind)) in KINDS.iter().enumerate().filter(|(_, (_, kind))| *kind != ColumnType::Json) {
        for (place, row) in rows.iter().enumerate() {
            let test = if row[at].0 == Value::None { RowTest::IsNull } else { RowTest::Eq(row[at].0.clone()) };
            let filter = RowFilter::Test(columns[at].clone(), test);
            let count = rows.iter().filter(|other| other[at].1 == row[at].1).count() as i64;
            let found = value_of(backend, &tables, RowSelect::Count, &filter);
            assert_eq!(found, SqlValue::Int(count), "{kind:?} of row {place}");
        }
        let least = value_of(backend, &tables, RowSelect::Aggregate(Aggregate::Min, &columns[at]), &RowFilter::all());
        let greatest =
            value_of(backend, &tables, RowSelect::Aggregate(Aggregate::Max, &columns[at]), &RowFilter::all());
        let values = rows.iter().map(|row| &row[at].1).filter(|value| **value != SqlValue::Null);
        assert_eq!(Some(&least), values.clone().min_by(|a, b| order_of(a, b)), "{kind:?}");
        assert_eq!(Some(&greatest), values.max_by(|a, b| order_of(a, b)), "{kind:?}");
    }
}

fn value_of(
    backend: &dyn MetadataBackend,
    tables: &[RowTable<'_>],
    select: RowSelect<'_>,
    filter: &RowFilter,
) -> SqlValue {
    let rows = ask(backend, &RowQuery { tables, select, filter, order: &[], limit: None, offset: 0 }).expect("queried");
    rows[0][0].clone()
}

/// The order that the contract states, of values of one type; `NULL` is least.
fn order_of(one: &SqlValue, other: &SqlValue) -> Ordering {
    match (one, other) {
        (SqlValue::Null, SqlValue::Null) => Ordering::Equal,
        (SqlValue::Null, _) => Ordering::Less,
        (_, SqlValue::Null) => Ordering::Greater,
        (SqlValue::Int(a), SqlValue::Int(b)) => a.cmp(b),
        (SqlValue::Float(a), SqlValue::Float(b)) => a.partial_cmp(b).expect("no NaN"),
        (SqlValue::Bool(a), SqlValue::Bool(b)) => a.cmp(b),
        (SqlValue::Text(a), SqlValue::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (SqlValue::Bytes(a), SqlValue::Bytes(b)) => a.cmp(b),
        _ => panic!("{one:?} and {other:?}"),
    }
}

pub(super) fn extended(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    with_sample(backend);
    // As it is: nothing to do.
    backend.register_schema(&runs()).expect("there");
    let note = SchemaColumn::new("note", ColumnType::Text).nullable(true);
    let count = SchemaColumn::new("count", ColumnType::Integer).default_value(Value::Int(i64::MIN));
    let label = SchemaColumn::new("label", ColumnType::Text).default_value("it's".into());
    let flag = SchemaColumn::new("flag", ColumnType::Boolean).default_value(Value::Bool(true));
    let rate = SchemaColumn::new("rate", ColumnType::Float).nullable(true).default_value(Value::Float(-0.5));
    let since = SchemaColumn::new("since", ColumnType::Time).default_value(time_value(NOW).expect("a time"));
    let added = [note, count, label, flag, rate, since];
    let more = added.iter().cloned().fold(runs(), Schema::column).index(["note", "number"], false);
    backend.register_schema(&more).expect("extended");
    backend.register_schema(&more).expect("there");
    // The former model still works: it knows fewer columns.
    backend.register_schema(&runs()).expect("there");
    put(backend, &inline("new", b"x"), &[run(9, None, None)]).expect("put");
    let columns: Vec<RowColumn> = added
        .iter()
        .map(|added| RowColumn {
            source: RowSource::Table(RUNS.into()),
            name: added.name.clone().into(),
            kind: added.kind,
        })
        .collect();
    let expected = vec![
        SqlValue::Null,
        SqlValue::Int(i64::MIN),
        SqlValue::Text("it's".into()),
        SqlValue::Bool(true),
        SqlValue::Float(-0.5),
        SqlValue::Int(NOW.0),
    ];
    let rows = select(backend, ONE_TABLE, &columns, &RowFilter::all(), &[ascending(number())]);
    assert_eq!(rows, vec![expected; 9]);
    // Rows that exist do not fit.
    let unique = runs().index(["accuracy"], true);
    assert_eq!(backend.register_schema(&unique).expect_err("two are equal").kind(), ErrorKind::Constraint);
    let unique = runs().index(["name", "number"], true);
    backend.register_schema(&unique).expect("none are equal");
    // What cannot be changed.
    let column = |column: SchemaColumn| Schema::new(RUNS).column(column);
    let wrong = [
        (column(SchemaColumn::new("late", ColumnType::Integer)), "lacks the column late"),
        (column(SchemaColumn::new("name", ColumnType::Float).nullable(true)), "the column name"),
        (column(SchemaColumn::new("name", ColumnType::Text)), "the column name"),
        (column(SchemaColumn::new("number", ColumnType::Integer).nullable(true)), "the column number"),
        (column(SchemaColumn::new("number", ColumnType::Integer).primary_key()), "primary key"),
        (column(SchemaColumn::new("late", ColumnType::Text).primary_key()), "primary key"),
    ];
    for (schema, what) in wrong {
        let error = backend.register_schema(&schema).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(what) && error.to_string().contains(RUNS), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("drop")), "{error:?}");
    }
    let error = backend.register_schema(&Schema::new("cache_mine")).expect_err("a name of the store");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(all_numbers(backend), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// A primary key of its own, and one of several columns.
pub(super) fn primary_keys(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    const TABLE: &str = "custom_keys";
    let schema = Schema::new(TABLE)
        .column(SchemaColumn::new("run", ColumnType::Text).primary_key())
        .column(SchemaColumn::new("fold", ColumnType::Integer).primary_key());
    backend.register_schema(&schema).expect("created");
    backend.register_schema(&schema).expect("there");
    let row = |run: &str, fold| {
        CustomRow::new(TABLE, Some("cache_key"), vec![("run".into(), run.into()), ("fold".into(), Value::Int(fold))])
    };
    put(backend, &inline("a", b""), &[row("x", 1), row("x", 2), row("y", 1)]).expect("put");
    let error = put(backend, &inline("b", b""), &[row("x", 2)]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Constraint, "{error}");
    let tables = [RowTable { name: TABLE, owner: "cache_key" }];
    assert_eq!(value_of(backend, &tables, RowSelect::Count, &RowFilter::all()), SqlValue::Int(3));
}
