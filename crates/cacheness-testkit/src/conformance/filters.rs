//! Filters: random ones over random entries, compared with the evaluator; indexes; full-text search.

use std::collections::BTreeMap;

use cacheness_core::ErrorKind;
use cacheness_core::backend::{MetadataBackend, Operation, Page, Position, Query};
use cacheness_core::clock::Timestamp;
use cacheness_core::config::SerializationConfig;
use cacheness_core::entry::{Entry, EntrySummary};
use cacheness_core::formats::plain::{DateTime, NumpyScalar, Value, Zone, tagged_json};
use cacheness_core::key::Params;
use cacheness_core::query::{Evaluator, Field, Filter, Sort, Subject, field};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::MetadataFixture;
use crate::ext::MetadataExt as _;
use crate::sample::{NOW, blob, inline};

/// Filters per set of entries, and sets.
const FILTERS: usize = 24;
pub(super) const CASES: u32 = 160;

const HOUR: i64 = 3_600_000_000;

fn scalar() -> impl Strategy<Value = Value> {
    let integer = select(vec![0, 1, -1, 2, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN]);
    let float = prop_oneof![
        select(vec![
            0.0,
            -0.0,
            0.5,
            1.0,
            2.0,
            9_007_199_254_740_992.0,
            1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.1,
            0.3
        ]),
        any::<f64>(),
        // Many digits: both sides have to read the same number.
        (-1e3..1e3_f64),
    ];
    let text = prop_oneof![
        4 => select(vec!["", "a", "b", "ab", "A", "é", "e\u{301}", "😀", "[", "[1]", "{", "{}", "\"$", "$x", "a\0b", "a\\", "1", "true", "z"]),
        1 => select(vec!["\u{d7ff}", "\u{e000}", "a\"b", "a'b", "null", "~"]),
    ];
    let zone = select(vec![
        Zone::Naive,
        Zone::Fixed { offset: 0, name: None },
        Zone::Fixed { offset: HOUR, name: Some("X".into()) },
        Zone::Named("Europe/Berlin".into()),
    ]);
    let numpy = prop_oneof![
        select(vec![0.5_f64, 1.0, f64::NAN]).prop_map(|value| ("<f8", value.to_le_bytes().to_vec())),
        select(vec![0_i64, 1, 2]).prop_map(|value| ("<i8", value.to_le_bytes().to_vec())),
        any::<bool>().prop_map(|value| ("|b1", vec![u8::from(value)])),
        Just(("<M8[s]", 0_i64.to_le_bytes().to_vec())),
        Just(("<U1", vec![0x61, 0, 0, 0])),
    ];
    prop_oneof![
        2 => Just(Value::None),
        2 => any::<bool>().prop_map(Value::Bool),
        5 => integer.prop_map(Value::Int),
        5 => float.prop_map(Value::Float),
        6 => text.prop_map(|text| Value::Str(text.to_owned())),
        1 => Just(Value::UInt(u64::MAX)),
        1 => Just(Value::BigInt(vec![1, 0, 0, 0, 0, 0, 0, 0, 0])),
        1 => select(vec!["1.0", "0.5", "0.1", "NaN", "1E+400"]).prop_map(|text| Value::Decimal(text.to_owned())),
        2 => (select(vec![0, HOUR]), zone)
            .prop_map(|(micros, zone)| Value::DateTime(DateTime { micros, fold: false, zone })),
        1 => (0..2_i32).prop_map(Value::Date),
        1 => Just(Value::Bytes(b"a".to_vec())),
        2 => numpy.prop_map(|(dtype, data)| Value::NumpyScalar(NumpyScalar { dtype: dtype.into(), data })),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "$x", "é", "a b", "a.b", "q\"", "0", "value", "$numpy"])
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Tuple),
            3 => prop::collection::btree_map(name(), inner, 0..3)
                .prop_map(|map| Value::Map(map.into_iter().map(|(key, value)| (key.into(), value)).collect())),
        ]
    })
}

/// An entry; what it is called follows from its place.
#[derive(Clone, Debug)]
struct Sample {
    metadata: Option<Value>,
    params: Option<i64>,
    description: Option<&'static str>,
    expires: Option<i64>,
    size: u64,
    inline: bool,
    pinned: bool,
}

fn sample() -> impl Strategy<Value = Sample> {
    let metadata = prop::collection::btree_map(name(), value(), 0..5)
        .prop_map(|map| Value::Map(map.into_iter().map(|(key, value)| (key.into(), value)).collect()));
    (
        prop::option::weighted(0.9, metadata),
        prop::option::of(0..3_i64),
        prop::option::of(select(vec!["", "good", "bad one"])),
        prop::option::of(-1..2_i64),
        0..4_u64,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(metadata, params, description, expires, size, inline, pinned)| Sample {
            metadata,
            params,
            description,
            expires,
            size,
            inline,
            pinned,
        })
}

fn path() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => select(vec!["a", "b", "\\$x", "é", "a b", "a\\.b", "q\"", "0", "value"]),
        3 => select(vec!["a.a", "a.b", "b.a", "a.0", "b.1", "a.value", "a.\\$numpy", "b.a.b", "a.b.0", "a.0.a", "\\$x.a"]),
        2 => select(vec!["params.p", "params.q", "params.p.x"]),
        3 => select(vec![
            "entry.cache_key", "entry.file_size", "entry.size_mb", "entry.description", "entry.inline", "entry.pinned",
            "entry.expires_at", "entry.created_at", "entry.data_type", "entry.call", "entry.actual_path",
            "entry.compute_seconds", "entry.access_count", "entry.function",
        ]),
    ]
}

/// Operators with their operands, in the form of mappings.
fn condition() -> impl Strategy<Value = Value> {
    let pair = |name: &str, value: Value| Value::Map(vec![(name.into(), value)]);
    let text = || select(vec!["", "a", "é", "[", "{", "b", "\"$", "A", "oo", "a\0"]);
    let comparison = || select(vec!["$gt", "$gte", "$lt", "$lte"]);
    prop_oneof![
        3 => value().prop_map(move |value| pair("$eq", value)),
        3 => (select(vec!["$eq", "$ne"]), scalar()).prop_map(move |(name, value)| pair(name, value)),
        6 => (comparison(), scalar()).prop_map(move |(name, value)| pair(name, value)),
        2 => (select(vec!["$in", "$nin"]), prop::collection::vec(value(), 0..4))
            .prop_map(move |(name, values)| pair(name, Value::List(values))),
        2 => any::<bool>().prop_map(move |exists| pair("$exists", exists.into())),
        1 => select(vec!["a", "^.$", "(?i)A", "", "^\\[", "\\d"]).prop_map(move |text| pair("$regex", text.into())),
        2 => (select(vec!["$contains", "$startswith"]), text()).prop_map(move |(name, text)| pair(name, text.into())),
        1 => (comparison(), scalar()).prop_map(move |(name, value)| pair("$not", pair(name, value))),
    ]
}

fn filter() -> impl Strategy<Value = Value> {
    let test = (path(), condition()).prop_map(|(path, condition)| Value::Map(vec![(path.into(), condition)]));
    test.prop_recursive(3, 8, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            2 => (select(vec!["$and", "$or"]), several)
                .prop_map(|(name, filters)| Value::Map(vec![(name.into(), Value::List(filters))])),
            1 => inner.prop_map(|filter| Value::Map(vec![("$not".into(), filter)])),
        ]
    })
}

fn sort() -> impl Strategy<Value = Vec<Sort>> {
    let one = (path(), any::<bool>()).prop_map(|(path, descending)| {
        let field = Field::parse(path).expect("a field");
        Sort { field, descending }
    });
    prop::collection::vec(one, 0..3)
}

fn entry_of(number: usize, sample: &Sample) -> Entry {
    let key = format!("{:02}", number * 7 % 50);
    let mut entry = if sample.inline {
        inline(&key, &vec![b'x'; usize::try_from(sample.size).expect("small")])
    } else {
        blob(&key, &format!("blobs/{key}-0123456789ab"), None, sample.size)
    };
    entry.metadata = sample.metadata.as_ref().map(|metadata| tagged_json::to_json(metadata).expect("JSON"));
    entry.params = sample.params.map(|p| {
        Params::new().with("p", p).with("q", (p, "x")).key(&SerializationConfig::default()).expect("a key").encoding
    });
    entry.description = sample.description.map(str::to_owned);
    entry.expires_at = sample.expires.map(|expires| Timestamp(NOW.0 + expires * HOUR));
    entry.created_at = Timestamp(NOW.0 + i64::try_from(number).expect("few") * HOUR);
    entry
}

/// Whether the number is one whose comparison is allowed, as an operand.
fn parsed(filter: &Value) -> Option<Filter> {
    match Filter::from_value(filter) {
        Ok(filter) => Some(filter),
        // A random operand may not fit its field: a time that is none.
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            None
        }
    }
}

/// The keys of the entries that match, in the order, by the evaluator alone.
fn expected(entries: &[(EntrySummary, bool)], filter: &Filter, sort: &[Sort]) -> Vec<String> {
    let evaluator = Evaluator::new(filter, sort).expect("no mistake");
    let mut found: Vec<(Vec<Value>, String)> = Vec::new();
    for (entry, pinned) in entries {
        if let Some(values) = evaluator.ranked(&Subject::of(entry, *pinned), sort).expect("decided") {
            found.push((values, entry.entry.key.clone()));
        }
    }
    found.sort_by(|(a, key), (b, other)| {
        let orders = sort.iter().zip(a.iter().zip(b)).map(|(sort, (a, b))| sort.compare(a, b));
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| key.cmp(other))
    });
    found.into_iter().map(|(_, key)| key).collect()
}

fn keys(found: &[EntrySummary]) -> Vec<String> {
    found.iter().map(|found| found.entry.key.clone()).collect()
}

/// Searches to the end in steps of `limit`; the keys in order.
fn search(backend: &dyn MetadataBackend, query: &Query<'_>, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = Some(Position::Start);
    while let Some(from) = next {
        let step = backend.search(query, &from, limit).expect("searched");
        assert!(limit == 0 || step.versions.len() <= limit);
        found.extend(step.versions.into_iter().map(|version| version.key));
        next = step.next;
    }
    found.sort();
    found
}

fn put_all(backend: &dyn MetadataBackend, samples: &[Sample]) -> Vec<(EntrySummary, bool)> {
    backend.clear().expect("cleared");
    let mut entries = BTreeMap::new();
    for (number, sample) in samples.iter().enumerate() {
        let entry = entry_of(number, sample);
        backend.put(&entry).expect("put");
        backend.apply(&[Operation::Pin { key: &entry.key, pinned: sample.pinned }]).expect("pinned");
        entries.insert(entry.key.clone(), (EntrySummary::from(entry), sample.pinned));
    }
    entries.into_values().collect()
}

/// Random filters find what the evaluator finds, with indexes and without.
pub(super) fn random(factory: &impl Fn() -> MetadataFixture) {
    println!("metadata: random filters");
    let fixture = factory();
    let backend = &*fixture.backend;
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(fixture.searches);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let strategy = (
        prop::collection::vec(sample(), 0..8),
        prop::collection::vec((filter(), sort()), FILTERS),
        (0..3_usize, 0..4_usize, any::<bool>()),
    );
    let result = TestRunner::new(config).run(&strategy, |(samples, filters, (offset, limit, indexed))| {
        let entries = put_all(backend, &samples);
        for name in ["a", "é", "a.b"] {
            let field = Field::parse(name).expect("a field");
            if backend.capability().sql {
                if indexed { backend.create_index(&field) } else { backend.drop_index(&field) }.expect("changed");
            }
        }
        for (value, sort) in &filters {
            let Some(filter) = parsed(value) else { continue };
            let by_key = expected(&entries, &filter, &[]);
            let query = Query { filter: Some(&filter), ..Query::default() };
            prop_assert_eq!(
                keys(&backend.select(&query, &Page::default()).expect("selected")),
                &by_key[..],
                "{}",
                filter
            );
            prop_assert_eq!(&backend.keys(&query, &Page::default()).expect("listed"), &by_key, "{}", filter);
            prop_assert_eq!(backend.count(&query).expect("counted"), by_key.len() as u64, "{}", filter);
            prop_assert_eq!(&search(backend, &query, limit), &by_key, "{}", filter);
            let after = by_key.get(offset).map(String::as_str);
            let page = Page { after, limit, ..Page::default() };
            let most = if limit == 0 { usize::MAX } else { limit };
            let later: Vec<String> = by_key
                .iter()
                .filter(|key| after.is_none_or(|after| key.as_str() > after))
                .take(most)
                .cloned()
                .collect();
            prop_assert_eq!(backend.keys(&query, &page).expect("listed"), later, "{}", filter);
            let sorted = expected(&entries, &filter, sort);
            let sorted: Vec<String> = sorted.into_iter().skip(offset).take(most).collect();
            let query = Query { sort, ..query };
            let page = Page { offset, limit, ..Page::default() };
            prop_assert_eq!(backend.keys(&query, &page).expect("listed"), sorted, "{} by {:?}", filter, sort);
            let narrow = Query { prefix: "1", pinned: true, expired_at: Some(NOW), ..query };
            let narrow_keys = backend.keys(&narrow, &Page::default()).expect("listed");
            let meant = |key: &String| {
                entries.iter().any(|(found, pinned)| {
                    found.entry.key == *key && *pinned && found.entry.expires_at.is_some_and(|time| time <= NOW)
                })
            };
            let mut expected_keys: Vec<String> =
                by_key.iter().filter(|key| key.starts_with('1') && meant(key)).cloned().collect();
            let mut narrow_keys = narrow_keys;
            narrow_keys.sort();
            expected_keys.sort();
            prop_assert_eq!(narrow_keys, expected_keys, "{} within a query", filter);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

pub(super) fn mistakes(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    backend.put(&inline("k", b"x")).expect("put");
    let wrong = field("entry.nothing").eq(1);
    let query = Query { filter: Some(&wrong), ..Query::default() };
    let errors = [
        backend.select(&query, &Page::default()).err(),
        backend.keys(&query, &Page::default()).err(),
        backend.count(&query).err(),
        backend.search(&query, &Position::Start, 0).err(),
    ];
    for error in errors {
        assert_eq!(error.expect("a mistake").kind(), ErrorKind::InvalidInput);
    }
}

/// Damaged metadata is an error that names the entry, if it is asked for.
pub(super) fn damage(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    backend.put(&Entry { metadata: Some("{\"a\":1}".into()), ..inline("good", b"x") }).expect("put");
    backend.put(&Entry { metadata: Some("{\"a\":".into()), ..inline("torn", b"x") }).expect("put");
    let asks = field("a").eq(1);
    let query = Query { filter: Some(&asks), ..Query::default() };
    for error in [
        backend.select(&query, &Page::default()).err(),
        backend.count(&query).err(),
        backend.search(&query, &Position::Start, 0).err(),
    ] {
        let error = error.expect("damaged");
        assert_eq!(error.kind(), ErrorKind::Serialization, "{error}");
        assert!(error.to_string().contains("torn"), "{error}");
    }
    let other = field("entry.cache_key").starts_with("go");
    let query = Query { filter: Some(&other), ..Query::default() };
    assert_eq!(backend.keys(&query, &Page::default()).expect("not asked for"), ["good"]);
}

pub(super) fn indexes(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let field_of = |text: &str| Field::parse(text).expect("a field");
    if !backend.capability().sql {
        let error = backend.create_index(&field_of("a")).expect_err("unsupported");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!backend.drop_index(&field_of("a")).expect("there is none"));
        assert!(backend.indexes().expect("listed").is_empty());
        return;
    }
    let behind_a_list = r#"{"a b":[{"c":1},{"c":2}]}"#;
    for (name, value) in [("1", r#"{"a b":{"c":1}}"#), ("2", r#"{"a b":{"c":2}}"#), ("3", behind_a_list)] {
        backend.put(&Entry { metadata: Some(value.into()), ..inline(name, b"x") }).expect("put");
    }
    let odd = field_of("a b.c");
    assert!(backend.create_index(&odd).expect("made"));
    assert!(!backend.create_index(&odd).expect("there is one"));
    assert!(backend.create_index(&field_of("é\\.\\$'x")).expect("made"));
    assert_eq!(backend.indexes().expect("listed"), [odd.clone(), field_of("é\\.\\$'x")]);
    for (text, kind) in [("params.a", ErrorKind::InvalidInput), ("entry.file_size", ErrorKind::InvalidInput)] {
        assert_eq!(backend.create_index(&field_of(text)).expect_err("not of the metadata").kind(), kind);
    }
    let two = field("a b.c").gt(1);
    let query = Query { filter: Some(&two), ..Query::default() };
    assert_eq!(backend.keys(&query, &Page::default()).expect("listed"), ["2", "3"]);
    assert_eq!(backend.count(&query).expect("counted"), 2);
    assert!(backend.drop_index(&odd).expect("removed"));
    assert!(!backend.drop_index(&odd).expect("there is none"));
    assert_eq!(backend.keys(&query, &Page::default()).expect("listed"), ["2", "3"]);
}

pub(super) fn text_search(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let ranked = |text: &str| keys(&backend.text_search(text, &Query::default(), 10).expect("searched"));
    let found = |text: &str| {
        let mut found = ranked(text);
        found.sort();
        found
    };
    if !backend.capability().full_text {
        for error in [backend.create_text_index().err(), backend.text_search("x", &Query::default(), 1).err()] {
            assert_eq!(error.expect("unsupported").kind(), ErrorKind::Unsupported);
        }
        assert!(!backend.drop_text_index().expect("there is none"));
        assert!(!backend.has_text_index().expect("known"));
        return;
    }
    let error = backend.text_search("x", &Query::default(), 1).expect_err("no index");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let described = |key: &str, description: &str, metadata: &str| Entry {
        description: Some(description.into()),
        metadata: Some(metadata.into()),
        ..inline(key, b"x")
    };
    backend
        .put(&described("1", "Fraud detection", r#"{"tags":["eu","Modèle"],"n":{"note":"second quarter"}}"#))
        .expect("put");
    assert!(!backend.has_text_index().expect("known"));
    assert!(backend.create_text_index().expect("made"));
    assert!(backend.has_text_index().expect("known"));
    assert!(!backend.create_text_index().expect("there is one"));
    backend.put(&described("2", "", r#"{"note":"detects fraud"}"#)).expect("put");
    backend.put(&Entry { metadata: Some("{".into()), ..inline("3", b"x") }).expect("put");
    assert_eq!(found("fraud"), ["1", "2"]);
    assert_eq!(found("modele"), ["1"]);
    assert_eq!(found("\"second quarter\""), ["1"]);
    assert_eq!(found("detect*"), ["1", "2"]);
    assert_eq!(found("fraud NOT eu"), ["2"]);
    let only = field("note").exists();
    let narrow = Query { filter: Some(&only), ..Query::default() };
    assert_eq!(keys(&backend.text_search("fraud", &narrow, 10).expect("searched")), ["2"]);
    assert_eq!(
        keys(&backend.text_search("fraud", &Query { prefix: "2", ..Query::default() }, 10).expect("searched")),
        ["2"]
    );
    assert_eq!(backend.text_search("fraud", &Query::default(), 1).expect("searched").len(), 1);
    for wrong in ["\"open", "AND", "fraud)", "nothing:fraud", ""] {
        let result = backend.text_search(wrong, &Query::default(), 10);
        if !wrong.is_empty() {
            assert_eq!(result.expect_err(wrong).kind(), ErrorKind::InvalidInput);
        }
    }
    for number in 10..30 {
        backend.put(&described(&number.to_string(), "something else", "{}")).expect("put");
    }
    backend.put(&described("a", "else", r#"{"note":"rare something"}"#)).expect("put");
    backend.put(&described("b", "rare else", r#"{"note":"rare something"}"#)).expect("put");
    assert_eq!(ranked("rare"), ["b", "a"]);
    // Whatever changes an entry changes the index.
    backend.put(&described("1", "other", "{}")).expect("put");
    assert_eq!(found("fraud"), ["2"]);
    assert_eq!(found("other"), ["1"]);
    backend.delete("2").expect("deleted");
    assert!(found("fraud").is_empty());
    backend.clear().expect("cleared");
    assert!(found("other").is_empty());
    backend.put(&described("4", "after all", "{}")).expect("put");
    assert_eq!(found("after"), ["4"]);
    assert!(backend.drop_text_index().expect("removed"));
    assert!(!backend.has_text_index().expect("known"));
    backend.put(&described("5", "without", "{}")).expect("put");
    assert!(backend.create_text_index().expect("made"));
    assert_eq!(found("without"), ["5"]);
}
