//! `info`: what a value is, and the beginning of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use cacheness::core::formats::plain::Value as Plain;
use cacheness::prelude::*;
use ndarray::{Array, Dimension, IxDyn, ShapeBuilder};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::Place;
use crate::terminal::{Terminal, on_terminal};

fn value(place: &Place, args: &[&str]) -> Value {
    place.run(&[&["info", "--json"], args].concat()).done().json()["value"].clone()
}

#[test]
fn arrays_show_shape_dtype_and_items() {
    let place = Place::new();
    let cache = place.cache();
    let item = |index: &IxDyn| index.slice().iter().fold(0_i64, |all, &i| all * 100 + i64::try_from(i).expect("small"));
    let c = Array::from_shape_fn(IxDyn(&[90, 80]), |index| item(&index));
    let f = Array::from_shape_fn(IxDyn(&[90, 80]).f(), |index| item(&index));
    for (name, array) in [("c", &c), ("f", &f)] {
        cache.put(array, Named(name)).expect("put");
        let first = json!([[0, 1, 2], [100, 101, 102], [200, 201, 202]]);
        let expected = json!({ "shape": [90, 80], "dtype": "<i8", "head": first });
        assert_eq!(value(&place, &[name, "--head", "3"]), expected, "{name}");
        assert_eq!(value(&place, &[name])["head"].as_array().map(Vec::len), Some(5));
        assert_eq!(value(&place, &[name, "--head", "90"])["head"][89][79], 8979);
        let text = place.run(&["info", name, "--head", "2"]).done().out;
        assert!(
            text.contains("    shape = [90,80]\n    dtype = <i8\nhead:\n    [0, 1, …]\n    [100, 101, …]\n    …\n"),
            "{text}"
        );
    }
    assert_eq!(value(&place, &["c", "--head", "0"]), Value::Null);
    cache.put(&Array::from_elem(IxDyn(&[]), 2.5), Named("one")).expect("put");
    assert_eq!(value(&place, &["one"]), json!({ "shape": [], "dtype": "<f8", "head": 2.5 }));
    cache.put(&Array::<f64, _>::zeros(IxDyn(&[3, 0])), Named("none")).expect("put");
    assert_eq!(value(&place, &["none"]), json!({ "shape": [3, 0], "dtype": "<f8" }));
    let deep = Array::from_shape_fn(IxDyn(&[20, 20, 20, 20, 20]), |_| 1_u8);
    cache.put(&deep, Named("deep")).expect("put");
    assert_eq!(value(&place, &["deep", "--head", "20"])["head"], Value::Null, "too many to look at");
    assert_eq!(value(&place, &["deep", "--head", "2"])["head"][1][1][1][1], json!([1, 1]));
}

fn table(rows: i64) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let floats: ArrayRef = Arc::new(Float64Array::from_iter((0..rows).map(|i| (i % 2 == 0).then_some(1.5))));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("row\n{i}"))));
    RecordBatch::try_from_iter([("id", numbers), ("rate", floats), ("name", texts)]).expect("a table")
}

#[test]
fn tables_show_rows_and_columns() {
    let place = Place::new();
    let cache = place.cache();
    cache.put(&table(50_000), Named("t")).expect("put");
    let shown = value(&place, &["t", "--head", "2"]);
    assert_eq!(shown["rows"], 50_000);
    let columns = json!([
        { "name": "id", "dtype": "Int64" }, { "name": "rate", "dtype": "Float64" }, { "name": "name", "dtype": "Utf8" },
    ]);
    assert_eq!(shown["columns"], columns);
    let rows = json!([{ "id": "0", "rate": "1.5", "name": "row\n0" }, { "id": "1", "rate": null, "name": "row\n1" }]);
    assert_eq!(shown["head"], rows);
    let text = place.run(&["info", "t", "--head", "2"]).done().out;
    let expected = "head:\n    id  rate  name\n    0   1.5   row\\n0\n    1   null  row\\n1\n    … 49998 more rows\n";
    assert!(
        text.ends_with(expected) && text.contains("    rows = 50000\n    columns = 3\n        id Int64\n"),
        "{text}"
    );

    let wide = (0..200).map(|i| (format!("column_{i:03}"), Arc::new(Int64Array::from(vec![i])) as ArrayRef));
    cache.put(&RecordBatch::try_from_iter(wide).expect("a table"), Named("wide")).expect("put");
    for (columns, fit) in [(60, 5), (220, 21)] {
        let mut command = place.command(&["info", "wide"]);
        let ran = on_terminal(command.env("NO_COLOR", "1"), &Terminal::new(columns));
        let head: Vec<&str> = ran.out.lines().skip_while(|line| *line != "head:").skip(1).collect();
        assert!(head.iter().all(|line| line.width() <= usize::from(columns)), "{ran:?}");
        assert_eq!(head[0].split_whitespace().count(), fit, "{head:?}");
        assert_eq!(head[2], format!("    … {} more columns", 200 - fit));
        assert!(ran.out.contains("        … 180 more, --json shows all"), "{ran:?}");
    }
    let empty = table(0);
    cache.put(&empty, Named("empty")).expect("put");
    assert_eq!(value(&place, &["empty"])["head"], json!([]));
    assert!(!place.run(&["info", "empty"]).done().out.contains("head:"));
}

#[test]
fn a_table_is_arrow_too() {
    let place = Place::new();
    let cache = place.cache();
    // Parquet does not keep dictionaries, so this is an Arrow file.
    let texts: arrow::array::DictionaryArray<arrow::datatypes::Int8Type> =
        (0..100).map(|i| Some(["a", "b"][i % 2])).collect();
    let batch = RecordBatch::try_from_iter([("d", Arc::new(texts) as ArrayRef)]).expect("a table");
    cache.put(&batch, Named("d")).expect("put");
    assert_eq!(cache.get_entry(Named("d")).expect("looked up").expect("there").storage_format(), "arrow");
    let shown = value(&place, &["d", "--head", "3"]);
    assert_eq!((&shown["rows"], &shown["head"]), (&json!(100), &json!([{ "d": "a" }, { "d": "b" }, { "d": "a" }])));
}

#[test]
fn plain_data_shows_its_first_items() {
    let place = Place::new();
    let cache = place.cache();
    let put = |name: &str, value: &Plain| cache.put(value, Named(name)).map(drop).expect("put");
    let mut power = vec![0_u8; 13];
    power[0] = 0x10;
    put("list", &Plain::List((0..9).map(Plain::Int).chain([Plain::BigInt(power.clone())]).collect()));
    put(
        "map",
        &Plain::Map(vec![
            ("a".into(), Plain::BigInt(power)),
            (Plain::Int(1), Plain::List(vec![])),
            ("c".into(), 3.into()),
        ]),
    );
    put("text", &Plain::Str("one\ntwo\u{1b}\nthree".into()));
    put("bytes", &Plain::Bytes((0..40).collect()));
    put("number", &Plain::Float(2.5));
    let twice = Plain::Map(vec![(Plain::Int(1), "a".into()), ("1".into(), "b".into())]);
    put("twice", &twice);
    let shown = value(&place, &["list", "--head", "2"]);
    assert_eq!(shown, json!({ "type": "list", "items": 10, "head": [0, 1] }));
    let json = place.run(&["info", "map", "--json", "--head", "2"]).done().out;
    assert!(json.contains("1267650600228229401496703205376"), "all digits: {json}");
    let text = place.run(&["info", "map", "--head", "2"]).done().out;
    assert!(text.ends_with("head:\n    \"a\": 1267650600228229401496703205376\n    1: []\n    …\n"), "{text}");
    assert_eq!(
        value(&place, &["text", "--head", "2"]),
        json!({ "type": "str", "characters": 14, "lines": 3, "head": "one\ntwo\u{1b}" })
    );
    let text = place.run(&["info", "text", "--head", "2"]).done().out;
    assert!(text.ends_with("head:\n    one\n    two\\u{1b}\n    …\n"), "{text}");
    assert_eq!(value(&place, &["bytes", "--head", "1"])["head"], "000102030405060708090a0b0c0d0e0f");
    let text = place.run(&["info", "bytes", "--head", "3"]).done().out;
    assert!(text.ends_with("    20 21 22 23 24 25 26 27                           !\"#$%&'\n"), "{text}");
    assert_eq!(value(&place, &["number"]), json!({ "type": "float", "head": 2.5 }));
    assert_eq!(value(&place, &["twice"])["items"], 2, "what JSON cannot hold is shown all the same");
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_shown() {
    let place = Place::new();
    let cache = place.cache();
    cache.put(&table(50_000), Named("t")).expect("put");
    cache.put(&Plain::Bytes(vec![1; 80_000_000]), Named("large")).expect("put");
    let info = place.run(&["info", "t", "--json"]).done().json();
    let blob = place.path("cache").join(info["actual_path"].as_str().expect("a file"));
    let mut bytes = std::fs::read(&blob).expect("read");
    bytes[5_000] ^= 1;
    std::fs::write(&blob, bytes).expect("written");
    let ran = place.run(&["info", "t"]).done();
    assert!(
        ran.out.contains("cache_key") && ran.err.contains("the value is not shown: ") && ran.err.contains("hash"),
        "{ran:?}"
    );
    assert_eq!(value(&place, &["large"]), Value::Null, "not read unless asked");
    assert_eq!(value(&place, &["large", "--head", "1"])["bytes"], 80_000_000);
}

#[test]
fn calls_read_as_calls() {
    let place = Place::new();
    let cache = place.cache();
    let arguments = params! { origin: "EWR", window: 3 };
    let key = cache.put(&1, params! { "__function__": "taxi.trips", "arguments": arguments }).expect("put");
    let info = place.run(&["info", key.as_str(), "--json"]).done().json();
    assert_eq!(info["function"], "taxi.trips");
    assert_eq!(info["call"], "taxi.trips(origin=\"EWR\", window=3)");
    assert!(place.run(&["info", key.as_str()]).done().out.contains("taxi.trips(origin=\"EWR\", window=3)\n"));
    assert!(place.run(&["ls"]).done().out.contains("  taxi.trips(origin=\"EWR\", window=3)\n"));
    let key = cache.put(&1, params! { model: "xgboost", fold: 3 }).expect("put");
    let info = place.run(&["info", key.as_str(), "--json"]).done().json();
    assert_eq!((&info["function"], &info["call"]), (&Value::Null, &json!("fold=3, model=\"xgboost\"")));
}
