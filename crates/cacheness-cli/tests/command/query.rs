//! `cacheness query`: forms of output, parameters, errors.

use cacheness::prelude::*;
use serde_json::{Value, json};

use crate::{Place, Ran};

fn filled() -> Place {
    let place = Place::new();
    let cache = place.cache();
    for fold in 0..3 {
        let options = PutOptions::new().metadata(json!({ "note": format!("fold {fold}, \"quoted\"\n") }));
        cache.put_with(fold, params! { model: "ridge", fold: fold }, options).expect("put");
    }
    cache.close().expect("closed");
    place
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const FOLDS: &str =
    "SELECT params ->> 'fold' AS fold, 0.5 AS half, NULL AS none, x'0aff' AS bytes FROM entries ORDER BY 1";

#[test]
fn a_table_objects_and_comma_separated_values() {
    let place = filled();
    let table = place.run(&["query", FOLDS]).done();
    assert_eq!(
        table.out,
        "fold  half  none  bytes\n   0   0.5        0aff\n   1   0.5        0aff\n   2   0.5        0aff\n"
    );
    assert_eq!(table.err, "3 rows\n");
    let objects = place.run(&["query", FOLDS, "--json", "-n", "1"]).done();
    assert_eq!(objects.out, "{\"fold\":0,\"half\":0.5,\"none\":null,\"bytes\":\"0aff\"}\n");
    let csv = place
        .run(&["query", "SELECT metadata ->> 'note' AS \"a, b\", 1 AS one FROM entries ORDER BY 1", "--csv"])
        .done();
    assert_eq!(csv.out.lines().next(), Some("\"a, b\",one"));
    assert!(csv.out.contains("\"fold 0, \"\"quoted\"\"\n\",1\n"), "{csv:?}");
    let none = place.run(&["query", "SELECT cache_key FROM entries WHERE 0"]).done();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "no rows\n"));
    assert_eq!(place.run(&["query", "SELECT cache_key FROM entries WHERE 0", "--csv"]).done().out, "cache_key\n");
    let control = place.run(&["query", "SELECT 'a' || char(27) || '[31m' AS x"]).done();
    assert!(!control.out.contains('\u{1b}'), "{control:?}");
}

#[test]
fn parameters_standard_input_and_the_directory() {
    let place = filled();
    let sql = "SELECT params ->> 'fold' AS fold FROM entries WHERE params ->> 'model' = ? AND fold > ?";
    let found = place.run(&["query", sql, "--param", "ridge", "-p", "0", "--json"]).done();
    assert_eq!(lines(&found).len(), 2);
    let named = "SELECT :a AS a, typeof(:b) AS b, typeof(:c) AS c, typeof(:d) AS d, typeof(:e) AS e";
    let given = [":a=x=y", ":b=3", ":c=-0.5", ":d=null", ":e=\"3\""].map(|given| ["-p", given]).concat();
    let found = place.run(&[&["query", named, "--json"][..], &given].concat()).done();
    assert_eq!(lines(&found), [json!({ "a": "x=y", "b": "integer", "c": "real", "d": "null", "e": "text" })]);
    let count = b"SELECT count(*) AS n\nFROM entries -- all of them\n";
    assert_eq!(lines(&place.run_with_input(&["query", "-", "--json"], count).done()), [json!({ "n": 3 })]);
    assert_eq!(lines(&place.run_with_input(&["query", "cache", "-", "--json"], count).done()), [json!({ "n": 3 })]);
    let full = "SELECT full_metadata ->> 'model' AS model FROM cache_entries LIMIT 1";
    assert_eq!(lines(&place.run(&["query", full, "--json"]).done()), [json!({ "model": "ridge" })]);
}

#[test]
fn what_is_wrong_is_said() {
    let place = filled();
    place.run(&["query", "SELECT cache_key FORM entries"]).failed(2, "line 1, column 23");
    place.run(&["query", "DELETE FROM entries"]).failed(2, "queries only read");
    place.run(&["query", "SELECT 1; SELECT 2"]).failed(2, "a second statement is refused");
    place.run(&["query", "SELECT ?"]).failed(2, "1 parameter, and no values given");
    place.run(&["query", "SELECT ?, :a", "-p", "1", "-p", ":a=1"]).failed(2, "some parameters have names");
    place.run(&["query", "SELECT ?", "-p", ":a"]).failed(2, "expected VALUE or :NAME=VALUE");
    place.run(&["query", "SELECT 1 AS a, 2 AS a", "--json"]).failed(2, "named \"a\"");
    place.run(&["query", "SELECT 1", "--json", "--csv"]).failed(2, "cannot be used with");
    place.run(&["query"]).failed(2, "SQL");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    place.run(&["query", endless, "--timeout", "0.1s"]).failed(1, "stopped after 0.1 seconds");
    let json = Cache::builder().directory(place.path("json")).metadata_backend("json").open().expect("opened");
    json.close().expect("closed");
    place.run(&["query", "json", "SELECT 1"]).failed(1, "does not answer queries in SQL");
    assert_eq!(place.run(&["ls", "-q"]).done().out.lines().count(), 3, "nothing has changed");
}
