//! Queries of rows of user-defined tables.

use cacheness_core::ErrorKind;
use cacheness_core::backend::{
    Aggregate, ColumnType, RowColumn, RowFilter, RowOrder, RowQuery, RowSelect, RowTable, RowTest, SqlValue, time_value,
};
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Entry;
use cacheness_core::formats::plain::Value;
use cacheness_core::query::Comparison;

use super::MetadataFixture;
use super::custom::{
    ONE_TABLE, SAMPLE, TWO_TABLES, accuracy, ascending, ask, backend, name, number, numbers, of_entry, put, run, runs,
    seconds, select, step, steps, steps_count, value, with_sample,
};
use crate::sample::{NOW, inline};

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
