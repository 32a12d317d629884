//! User-defined tables: registering, inserting, querying, and rows that go with their entry.

use std::cmp::Ordering;

use cacheness_core::backend::{
    Aggregate, ColumnType, CustomRow, Eviction, EvictionOrder, MetadataBackend, Operation, Put, RowColumn, RowFilter,
    RowOrder, RowQuery, RowSelect, RowSource, RowTable, RowTest, Schema, SchemaColumn, SqlValue, time_value,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{Entry, Totals};
use cacheness_core::formats::plain::Value;
use cacheness_core::query::Comparison;
use cacheness_core::{ErrorKind, Result};

use super::MetadataFixture;
use super::metadata::get;
use crate::ext::MetadataExt as _;
use crate::sample::{NOW, blob, full, inline};

const RUNS: &str = "custom_runs";
const STEPS: &str = "custom_steps";

/// The backend, if it keeps user-defined tables.
fn backend(fixture: &MetadataFixture) -> Option<&dyn MetadataBackend> {
    Some(&*fixture.backend).filter(|backend| backend.capability().custom_rows)
}

fn runs() -> Schema {
    Schema::new(RUNS)
        .column(SchemaColumn::new("number", ColumnType::Integer))
        .column(SchemaColumn::new("name", ColumnType::Text).nullable(true))
        .column(SchemaColumn::new("accuracy", ColumnType::Float).nullable(true))
        .index(["number"], true)
        .index(["accuracy"], false)
}

fn steps() -> Schema {
    Schema::new(STEPS).column(SchemaColumn::new("seconds", ColumnType::Float))
}

fn run(number: i64, name: Option<&str>, accuracy: Option<f64>) -> CustomRow {
    let values = vec![
        ("number".to_owned(), Value::Int(number)),
        ("name".to_owned(), name.map_or(Value::None, Value::from)),
        ("accuracy".to_owned(), accuracy.map_or(Value::None, Value::Float)),
    ];
    CustomRow::new(RUNS, Some(Schema::OWNER), values)
}

fn step(seconds: f64) -> CustomRow {
    CustomRow::new(STEPS, Some(Schema::OWNER), vec![("seconds".to_owned(), Value::Float(seconds))])
}

fn put(backend: &dyn MetadataBackend, entry: &Entry, rows: &[CustomRow]) -> Result<Vec<i64>> {
    backend.put_with(Put { rows, ..Put::of(entry) }).map(|outcome| outcome.row_ids)
}

fn column(table: &'static str, name: &'static str, kind: ColumnType) -> RowColumn {
    RowColumn { source: RowSource::Table(table.into()), name: name.into(), kind }
}

fn number() -> RowColumn {
    column(RUNS, "number", ColumnType::Integer)
}

fn name() -> RowColumn {
    column(RUNS, "name", ColumnType::Text)
}

fn accuracy() -> RowColumn {
    column(RUNS, "accuracy", ColumnType::Float)
}

fn seconds() -> RowColumn {
    column(STEPS, "seconds", ColumnType::Float)
}

fn of_entry(name: &'static str, kind: ColumnType) -> RowColumn {
    RowColumn { source: RowSource::Entry, name: name.into(), kind }
}

fn ascending(column: RowColumn) -> RowOrder {
    RowOrder { column, descending: false }
}

const ONE_TABLE: &[RowTable<'_>] = &[RowTable { name: RUNS, owner: Schema::OWNER }];
const TWO_TABLES: &[RowTable<'_>] =
    &[RowTable { name: RUNS, owner: Schema::OWNER }, RowTable { name: STEPS, owner: Schema::OWNER }];

fn ask(backend: &dyn MetadataBackend, query: &RowQuery<'_>) -> Result<Vec<Vec<SqlValue>>> {
    let rows = backend.select_rows(query)?;
    let left = rows.left();
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    assert_eq!(rows.len() as u64, left);
    Ok(rows)
}

fn select(
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
fn numbers(backend: &dyn MetadataBackend, filter: &RowFilter) -> Vec<i64> {
    let rows = select(backend, ONE_TABLE, &[number()], filter, &[ascending(number())]);
    let integer = |row: Vec<SqlValue>| match row[..] {
        [SqlValue::Int(value)] => value,
        _ => panic!("{row:?}"),
    };
    rows.into_iter().map(integer).collect()
}

fn all_numbers(backend: &dyn MetadataBackend) -> Vec<i64> {
    numbers(backend, &RowFilter::all())
}

fn value(
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

fn steps_count(backend: &dyn MetadataBackend) -> SqlValue {
    value(backend, TWO_TABLES, RowSelect::Count, &RowFilter::all())
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

/// Rows to ask about: numbers, names and accuracies.
const SAMPLE: [(i64, Option<&str>, Option<f64>); 8] = [
    (1, Some("ridge"), Some(0.95)),
    (2, Some("lasso"), Some(0.5)),
    (3, None, None),
    (4, Some("Ridge 100% _"), Some(-1.5)),
    (5, Some(""), Some(0.95)),
    (6, Some("äther"), Some(1e300)),
    (7, Some("zebra"), None),
    (8, None, Some(0.0)),
];

fn with_sample(backend: &dyn MetadataBackend) {
    backend.register_schema(&runs()).expect("created");
    for (number, name, accuracy) in SAMPLE {
        put(backend, &inline(&format!("k{number}"), b"x"), &[run(number, name, accuracy)]).expect("put");
    }
}

type Sampled = (i64, Option<&'static str>, Option<f64>);

/// A condition and what it means.
type Meant = (RowFilter, Box<dyn Fn(&Sampled) -> bool>);

fn meant(filter: RowFilter, holds: impl Fn(&Sampled) -> bool + 'static) -> Meant {
    (filter, Box::new(holds))
}

pub(super) fn conditions(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    with_sample(backend);
    let test = |column: RowColumn, test: RowTest| RowFilter::Test(column, test);
    let not = |filter: RowFilter| RowFilter::Not(Box::new(filter));
    let compare = |comparison, bound: f64| test(accuracy(), RowTest::Compare(comparison, Value::Float(bound)));
    let at_least = || compare(Comparison::GreaterOrEqual, 0.95);
    let named = |name: &str| test(self::name(), RowTest::Eq(Value::from(name)));
    let starts = |text: &str| test(self::name(), RowTest::StartsWith(text.to_owned()));
    let contains = |text: &str| test(self::name(), RowTest::Contains(text.to_owned()));
    let cases: Vec<Meant> = vec![
        meant(RowFilter::And(vec![]), |_| true),
        meant(RowFilter::Or(vec![]), |_| false),
        meant(not(RowFilter::Or(vec![])), |_| true),
        meant(at_least(), |row| row.2.is_some_and(|x| x >= 0.95)),
        meant(compare(Comparison::Greater, 0.95), |row| row.2.is_some_and(|x| x > 0.95)),
        meant(compare(Comparison::Less, 0.0), |row| row.2.is_some_and(|x| x < 0.0)),
        meant(compare(Comparison::LessOrEqual, 0.0), |row| row.2.is_some_and(|x| x <= 0.0)),
        meant(not(at_least()), |row| row.2.is_none_or(|x| x < 0.95)),
        meant(not(not(at_least())), |row| row.2.is_some_and(|x| x >= 0.95)),
        meant(named("ridge"), |row| row.1 == Some("ridge")),
        meant(named(""), |row| row.1 == Some("")),
        meant(not(named("ridge")), |row| row.1 != Some("ridge")),
        meant(test(name(), RowTest::In(vec!["lasso".into(), "zebra".into()])), |row| {
            row.1.is_some_and(|name| name == "lasso" || name == "zebra")
        }),
        meant(test(name(), RowTest::In(vec![])), |_| false),
        meant(not(test(name(), RowTest::In(vec!["lasso".into()]))), |row| row.1 != Some("lasso")),
        meant(test(number(), RowTest::In((3..6).map(Value::Int).collect())), |row| (3..6).contains(&row.0)),
        meant(test(name(), RowTest::IsNull), |row| row.1.is_none()),
        meant(not(test(name(), RowTest::IsNull)), |row| row.1.is_some()),
        meant(starts("ridge"), |row| row.1.is_some_and(|name| name.starts_with("ridge"))),
        meant(starts(""), |row| row.1.is_some()),
        meant(starts("Ridge 100%"), |row| row.1.is_some_and(|name| name.starts_with("Ridge 100%"))),
        meant(starts("%"), |_| false),
        meant(not(starts("r")), |row| row.1.is_none_or(|name| !name.starts_with('r'))),
        meant(contains("idge"), |row| row.1.is_some_and(|name| name.contains("idge"))),
        meant(contains("_"), |row| row.1.is_some_and(|name| name.contains('_'))),
        meant(contains("ä"), |row| row.1.is_some_and(|name| name.contains('ä'))),
        meant(contains(""), |row| row.1.is_some()),
        meant(test(name(), RowTest::Compare(Comparison::Greater, "lasso".into())), |row| {
            row.1.is_some_and(|name| name > "lasso")
        }),
        meant(RowFilter::And(vec![at_least(), not(named("ridge"))]), |row| {
            row.2.is_some_and(|x| x >= 0.95) && row.1 != Some("ridge")
        }),
        meant(RowFilter::Or(vec![at_least(), test(name(), RowTest::IsNull)]), |row| {
            row.2.is_some_and(|x| x >= 0.95) || row.1.is_none()
        }),
        meant(not(RowFilter::Or(vec![at_least(), named("lasso")])), |row| {
            !(row.2.is_some_and(|x| x >= 0.95) || row.1 == Some("lasso"))
        }),
        meant(not(RowFilter::And(vec![at_least(), named("ridge")])), |row| {
            !(row.2.is_some_and(|x| x >= 0.95) && row.1 == Some("ridge"))
        }),
    ];
    for (filter, holds) in cases {
        let expected: Vec<i64> = SAMPLE.iter().filter(|row| holds(row)).map(|row| row.0).collect();
        assert_eq!(numbers(backend, &filter), expected, "{filter:?}");
        let count = value(backend, ONE_TABLE, RowSelect::Count, &filter);
        assert_eq!(count, SqlValue::Int(expected.len() as i64), "{filter:?}");
    }
}

pub(super) fn orders_and_aggregates(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    with_sample(backend);
    let filter = RowFilter::all();
    let in_order = |order: &[RowOrder], limit, offset| -> Vec<i64> {
        let columns = [number()];
        let select = RowSelect::Columns(&columns);
        let query = RowQuery { tables: ONE_TABLE, select, filter: &filter, order, limit, offset };
        let rows = ask(backend, &query).expect("queried");
        rows.iter().map(|row| if let SqlValue::Int(number) = row[0] { number } else { panic!("{row:?}") }).collect()
    };
    let by = |column: RowColumn, descending| [RowOrder { column, descending }, ascending(number())];
    assert_eq!(in_order(&by(accuracy(), false), None, 0), [3, 7, 4, 8, 2, 1, 5, 6]);
    assert_eq!(in_order(&by(accuracy(), true), None, 0), [6, 1, 5, 2, 8, 4, 3, 7]);
    // Texts are in the order of their bytes.
    assert_eq!(in_order(&by(name(), false), None, 0), [3, 8, 5, 4, 2, 1, 7, 6]);
    assert_eq!(in_order(&by(name(), false), Some(3), 2), [5, 4, 2]);
    assert_eq!(in_order(&by(name(), false), None, 6), [7, 6]);
    assert_eq!(in_order(&by(name(), false), Some(0), 0), [0_i64; 0]);
    assert_eq!(in_order(&by(name(), false), Some(u64::MAX), u64::MAX), [0_i64; 0]);
    let aggregate = |function, column: RowColumn, filter: &RowFilter| {
        value(backend, ONE_TABLE, RowSelect::Aggregate(function, &column), filter)
    };
    assert_eq!(aggregate(Aggregate::Min, accuracy(), &filter), SqlValue::Float(-1.5));
    assert_eq!(aggregate(Aggregate::Max, accuracy(), &filter), SqlValue::Float(1e300));
    assert_eq!(aggregate(Aggregate::Min, name(), &filter), SqlValue::Text(String::new()));
    assert_eq!(aggregate(Aggregate::Max, name(), &filter), SqlValue::Text("äther".into()));
    assert_eq!(aggregate(Aggregate::Average, number(), &filter), SqlValue::Float(4.5));
    let few = RowFilter::Test(number(), RowTest::In(vec![Value::Int(2), Value::Int(3), Value::Int(8)]));
    assert_eq!(aggregate(Aggregate::Average, accuracy(), &few), SqlValue::Float(0.25), "NULL does not count");
    let none = RowFilter::Or(vec![]);
    for function in [Aggregate::Min, Aggregate::Max, Aggregate::Average] {
        assert_eq!(aggregate(function, accuracy(), &none), SqlValue::Null);
    }
    // Mistakes.
    let wrong = |tables: &[RowTable<'_>], select: RowSelect<'_>, filter: &RowFilter| {
        let query = RowQuery { tables, select, filter, order: &[], limit: None, offset: 0 };
        let error = backend.select_rows(&query).map(drop).expect_err("wrong");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    };
    let deep = (0..10_000).fold(RowFilter::all(), |filter, _| RowFilter::And(vec![filter]));
    let test = |column, value| RowFilter::Test(column, RowTest::Eq(value));
    wrong(&[], RowSelect::Count, &filter);
    wrong(&[ONE_TABLE[0], ONE_TABLE[0]], RowSelect::Count, &filter);
    wrong(ONE_TABLE, RowSelect::Columns(&[seconds()]), &filter);
    wrong(ONE_TABLE, RowSelect::Aggregate(Aggregate::Average, &name()), &filter);
    wrong(ONE_TABLE, RowSelect::Count, &test(number(), Value::from("1")));
    wrong(ONE_TABLE, RowSelect::Count, &test(accuracy(), Value::Float(f64::NAN)));
    wrong(ONE_TABLE, RowSelect::Count, &test(of_entry("locator", ColumnType::Text), Value::from("x")));
    wrong(ONE_TABLE, RowSelect::Count, &RowFilter::Test(number(), RowTest::Contains("1".into())));
    wrong(ONE_TABLE, RowSelect::Count, &deep);
    // Dropping it by itself would recurse.
    let mut rest = vec![deep];
    while let Some(RowFilter::And(parts)) = rest.pop() {
        rest.extend(parts);
    }
}

pub(super) fn joins(fixture: &MetadataFixture) {
    let Some(backend) = backend(fixture) else { return };
    backend.register_schema(&runs()).expect("created");
    backend.register_schema(&steps()).expect("created");
    let entry = |key: &str, at: i64| Entry {
        created_at: Timestamp(NOW.0 + at),
        expires_at: (at > 1).then_some(Timestamp(NOW.0 + 100)),
        ..inline(key, &vec![0; usize::try_from(at).expect("small")])
    };
    let ids = put(backend, &entry("a", 1), &[run(1, None, None), step(0.5), step(1.5)]).expect("put");
    assert_eq!(ids.len(), 3);
    put(backend, &entry("b", 2), &[run(2, None, None), run(3, None, None), step(2.5)]).expect("put");
    put(backend, &entry("c", 3), &[run(4, None, None)]).expect("put");
    put(backend, &entry("d", 4), &[step(4.5)]).expect("put");
    let pairs = select(
        backend,
        TWO_TABLES,
        &[number(), seconds()],
        &RowFilter::all(),
        &[ascending(number()), ascending(seconds())],
    );
    let pair = |number, seconds| vec![SqlValue::Int(number), SqlValue::Float(seconds)];
    assert_eq!(pairs, [pair(1, 0.5), pair(1, 1.5), pair(2, 2.5), pair(3, 2.5)]);
    assert_eq!(steps_count(backend), SqlValue::Int(4));
    let long = RowFilter::Test(seconds(), RowTest::Compare(Comparison::Greater, Value::Float(1.0)));
    let most = value(backend, TWO_TABLES, RowSelect::Aggregate(Aggregate::Max, &number()), &long);
    assert_eq!(most, SqlValue::Int(3));
    // The entries of the rows.
    let (key, created) = (of_entry("cache_key", ColumnType::Text), of_entry("created_at", ColumnType::Time));
    let (size, expires) = (of_entry("file_size", ColumnType::Integer), of_entry("expires_at", ColumnType::Time));
    let later = time_value(Timestamp(NOW.0 + 2)).expect("a time");
    let filter = RowFilter::Test(created.clone(), RowTest::Compare(Comparison::GreaterOrEqual, later));
    let order = [RowOrder { column: size.clone(), descending: true }, ascending(number())];
    let rows = select(backend, ONE_TABLE, &[number(), key, created, size], &filter, &order);
    let row = |number, key: &str, at: i64| {
        vec![SqlValue::Int(number), SqlValue::Text(key.into()), SqlValue::Int(NOW.0 + at), SqlValue::Int(at)]
    };
    assert_eq!(rows, [row(4, "c", 3), row(2, "b", 2), row(3, "b", 2)]);
    assert_eq!(numbers(backend, &RowFilter::Test(expires, RowTest::IsNull)), [1]);
    let texts = [("data_type", "plain"), ("storage_format", "msgpack"), ("object_type", "builtins.dict")];
    for (name, text) in texts {
        let filter = RowFilter::Test(of_entry(name, ColumnType::Text), RowTest::Eq(text.into()));
        assert_eq!(numbers(backend, &filter), [1, 2, 3, 4], "{name}");
    }
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
