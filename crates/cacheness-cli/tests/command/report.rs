//! `cacheness report`: totals by type and by fields.

use cacheness::prelude::*;
use serde_json::{Value, json};

use crate::Place;

fn filled() -> Place {
    let place = Place::new();
    let cache = place.cache();
    for fold in 0..6_i64 {
        let metadata = json!({
            "model": if fold % 3 == 1 { "lasso" } else { "ridge" },
            "tags": (0..fold % 3).collect::<Vec<_>>(),
            "config": { "depth": if fold % 2 == 0 { json!(1) } else { json!(1.0) } },
        });
        let options = PutOptions::new().metadata(metadata);
        cache.put_with(fold, params! { project: "fraud", fold: fold }, options).expect("put");
    }
    let zeros = ndarray::Array1::<f64>::zeros(10_000);
    cache.put(&zeros, Named("zeros")).expect("put");
    assert!(cache.pin(Named("zeros")).expect("pinned"));
    for _ in 0..2 {
        assert!(cache.get::<ndarray::Array1<f64>>(Named("zeros")).expect("read").is_some());
    }
    cache.close().expect("closed");
    place
}

/// The values of a field with the numbers of their entries.
fn counts(report: &Value, field: &str) -> Vec<(Value, u64)> {
    let groups = report["by"][field].as_array().expect("a list");
    groups.iter().map(|group| (group["value"].clone(), group["entries"].as_u64().expect("a number"))).collect()
}

#[test]
fn groups_add_up() {
    let place = filled();
    let by = ["model", "tags", "config.depth", "params.project", "entry.pinned"].map(|field| ["--by", field]).concat();
    let report = place.run(&[&["report", "--json"][..], &by].concat()).done().json();
    assert_eq!((&report["entries"], &report["pinned"], &report["reads"]), (&json!(7), &json!(1), &json!(2)));
    assert_eq!(report["expired"], 0);
    let stats = place.run(&["stats", "--json"]).done().json();
    for (ours, theirs) in [("bytes", "total_size_bytes"), ("oldest", "oldest"), ("newest", "newest")] {
        assert_eq!(report[ours], stats[theirs], "{ours}");
    }
    assert_eq!(counts(&report, "entry.data_type"), [(json!("array"), 1), (json!("plain"), 6)]);
    // The array is the largest, so those without the field come first.
    assert_eq!(counts(&report, "model"), [(json!(null), 1), (json!("ridge"), 4), (json!("lasso"), 2)]);
    // A list counts once for each element, an empty one as missing; an integer is equal to a float.
    assert_eq!(counts(&report, "tags"), [(json!(null), 3), (json!(0), 4), (json!(1), 2)]);
    assert_eq!(counts(&report, "config.depth"), [(json!(null), 1), (json!(1), 6)]);
    assert_eq!(counts(&report, "params.project"), [(json!(null), 1), (json!("fraud"), 6)]);
    assert_eq!(counts(&report, "entry.pinned"), [(json!(true), 1), (json!(false), 6)]);
    for (field, groups) in report["by"].as_object().expect("an object") {
        if field != "tags" {
            let bytes: u64 =
                groups.as_array().expect("a list").iter().filter_map(|group| group["bytes"].as_u64()).sum();
            assert_eq!(json!(bytes), report["bytes"], "{field}");
        }
    }
}

#[test]
fn a_table_for_each_field() {
    let place = filled();
    let text = place.run(&["report", "cache", "--by", "model"]).done().out;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("7 entries, ") && lines[0].ends_with("; 0 expired, 1 pinned"), "{text}");
    assert!(lines[1].starts_with("put from 20") && lines[2] == "2 reads saved 0.0 s of computation", "{text}");
    assert!(lines[4].starts_with("TYPE   ENTRIES  ") && lines[5].starts_with("array        1  "), "{text}");
    assert!(lines[8].starts_with("model  ENTRIES  ") && lines[10].starts_with("ridge        4  "), "{text}");
    assert_eq!(lines.len(), 12, "{text}");
}

#[test]
fn filters_and_mistakes() {
    let place = filled();
    let report = place.run(&["report", "--json", "--type", "plain", "--by", "params.fold"]).done().json();
    assert_eq!(report["entries"], 6);
    assert_eq!(counts(&report, "params.fold").len(), 6);
    let none = place.run(&["report", "--type", "series", "--by", "model"]).done().out;
    assert_eq!(none, "0 entries, 0 B; 0 expired, 0 pinned\n0 reads saved 0.0 s of computation\n");
    let wrong = place.run(&["report", "--by", "entry.file_sice"]).failed(2, "entries have no field entry.file_sice");
    assert!(wrong.err.contains("did you mean entry.file_size?"), "{wrong:?}");
    place.run(&["report", "--by", "a..b"]).failed(2, "is no field");
}
