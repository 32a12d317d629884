//! Values in and out: `put` and `get`.

use cacheness::prelude::*;
use serde_json::{Value, json};

use crate::{Place, Ran};

#[test]
fn what_is_put_is_found_by_the_library() {
    let place = Place::new();
    place.write("report.bin", b"\x00\xffbytes");
    let ran = place
        .run(&["put", "report.bin", "model=ridge", "fold=3", "rate=0.5", "flag=true", "none=null", "v=\"3\""])
        .done();
    assert!(ran.err.contains("created a new store in ./cache"), "{ran:?}");
    let cache = place.cache();
    let key = params! { model: "ridge", fold: 3, rate: 0.5, flag: true, none: None::<i32>, v: "3" };
    assert_eq!(cache.get::<Vec<u8>>(key).expect("got").as_deref(), Some(&b"\x00\xffbytes"[..]));
    assert_eq!(ran.out.trim_end(), cache.list_entries().expect("listed")[0].key());

    place.write("value.json", br#"{"b": [1, 2.5, null], "a": "x", "big": 18446744073709551615}"#);
    let put = ["put", "value.json", "--json", "layers=[64,32]", "opt={\"lr\":0.1}", "n=18446744073709551616"];
    assert_eq!(place.run(&put).done().err, "");
    let opt = std::collections::BTreeMap::from([("lr", 0.1)]);
    let (value, info) = cache
        .get_with_metadata::<Value2>(params! { layers: [64, 32], opt: opt, n: 1_i128 << 64 })
        .expect("got")
        .expect("there");
    assert_eq!(value, Value2 { b: (1, 2.5, None), a: "x".into(), big: u64::MAX });
    assert_eq!(info.object_type(), "builtins.dict");

    let put = ["put", "-", "--text", "--key", "grüße", "--metadata", "stage=prod", "--metadata", "n=1", "--ttl", "6h"];
    let ran = place.run_with_input(&[&put[..], &["--description", "a line"]].concat(), "hällo".as_bytes()).done();
    assert_eq!(ran.out, "grüße\n");
    let (text, info) = cache.get_with_metadata::<String>(Named("grüße")).expect("got").expect("there");
    assert_eq!(text, "hällo");
    assert_eq!(Value::Object(info.metadata()), json!({ "stage": "prod", "n": 1 }));
    assert_eq!(info.description(), Some("a line"));
    let lifetime = info.expires_at().expect("it expires").0 - info.created_at().0;
    assert!((21_599_000_000..=21_601_000_000).contains(&lifetime), "{lifetime}");
}

#[test]
fn metadata_is_as_the_filters_name_it() {
    let place = Place::new();
    place.write("x", b"x");
    let when = r#"when={"$datetime":"2026-11-20T12:00:00+00:00"}"#;
    place.run(&["put", "x", "--key", "odd", "--metadata", "$x=1", "--metadata", when]).done();
    let listed = |condition: &str| place.run(&["ls", "-q", "--where", condition]).done().out;
    assert_eq!(listed(r#"{"\\$x": 1}"#), "odd\n");
    assert_eq!(listed(r#"{"when": {"$gt": {"$datetime": "2026-11-20T11:00:00+00:00"}}}"#), "odd\n");
    place.run(&["put", "x", "--key", "other", "--metadata", r#"a={"$nothing":1}"#]).failed(2, "$nothing");
    assert_eq!(listed("entry.data_type exists"), "odd\n");
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Value2 {
    b: (i32, f64, Option<i32>),
    a: String,
    big: u64,
}

impl Plain for Value2 {}

#[test]
fn what_cannot_be_put_leaves_nothing() {
    let place = Place::new();
    place.write("x", b"\xff{");
    place.write("twice", br#"{"a": 1, "a": 2}"#);
    place.run(&["put", "missing", "a=1"]).failed(1, "cannot read missing");
    place.run(&["put", "x"]).failed(2, "no parameters");
    place.run(&["put", "x", "--json", "a=1"]).failed(1, "not valid JSON");
    place.run(&["put", "x", "--text", "a=1"]).failed(1, "not valid UTF-8");
    place.run(&["put", "twice", "--json", "a=1"]).failed(1, "has the name \"a\" twice");
    for args in [
        &["put", "x", "a"][..],
        &["put", "x", "=1"],
        &["put", "x", "a=1", "--key", "b"],
        &["put", "x", "a=1", "--ttl", "-1"],
        &["put", "x", "a=1", "--ttl", "soon"],
        &["put", "x", "a=1", "--json", "--text"],
        &["put", "x", "a=\"1"],
        &["put", "x", "a={\"b\": 1, \"b\": 2}"],
        &["put", "x", "a=1", "--metadata", "b=[99999999999999999999]"],
    ] {
        place.run(args).failed(2, "");
    }
    place.run(&["put", "x", "a=1", "a=2"]).failed(2, "the parameter \"a\" is given twice");
    place
        .run(&["put", "x", "a=1", "--metadata", "m=1", "--metadata", "m=2"])
        .failed(2, "the metadata field \"m\" is given twice");
    place.run(&["put", "x", "--key", ""]).failed(2, "is empty");
    place.run(&["put", "x", "--key", &"k".repeat(2_000)]).failed(2, "bytes");
    for ttl in ["-5", "-5m", "-"] {
        place.run(&["put", "x", "a=1", "--ttl", ttl]).failed(2, "give a number of seconds");
    }
    assert!(!place.path("cache").exists());
}

#[test]
fn integers_keep_all_their_digits() {
    let place = Place::new();
    let text = "{\n  \"a\": [\n    99999999999999999999,\n    -36893488147419103233\n  ]\n}\n";
    place.write("wide", text.as_bytes());
    let key = place.run(&["put", "wide", "--json", "n=[18446744073709551616]"]).done().out;
    assert_eq!(place.run(&["get", key.trim_end()]).done().out, text);
    assert!(place.cache().exists(params! { n: [1_i128 << 64] }).expect("looked up"));
}

#[test]
fn names_play_no_tricks_with_a_terminal() {
    let place = Place::new();
    let name = "a\u{1b}[31m\u{202e}b";
    place.write("x", b"1");
    place.write(name, b"1");
    let said = [
        place.run(&["-d", name, "put", "x", "a=1"]).err,
        place.run(&["-d", "cache\u{1b}[2J", "put", "x", "a=1"]).done().err,
        place.run(&["-d", "cache\u{1b}[2J", "put", "missing\u{1b}", "a=1"]).err,
        place.run(&["-d", "cache\u{1b}[2J", "get", "nothing\u{1b}"]).err,
        place.run(&["-d", "cache\u{1b}[2J", "put", name, "--json", "--key", "k\u{1b}"]).done().err,
        place.run(&["-d", "cache\u{1b}[2J", "get", "k\u{1b}", "-o", name, "-f"]).done().err,
        place.run(&["-d", "cache\u{1b}[2J", "ls"]).done().out,
        place.run(&["-d", "cache\u{1b}[2J", "stats"]).done().out,
        place.run(&["-d", "cache\u{1b}[2J", "config"]).done().out,
        place.run(&["-d", "cache\u{1b}[2J", "info", "k\u{1b}"]).done().out,
    ];
    for text in said {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    let manifest = "format = 9\nwritten_by = \"\\u001b[31m\"\n";
    std::fs::create_dir(place.path("later")).expect("made");
    std::fs::write(place.path("later/cacheness.toml"), manifest).expect("written");
    let error = place.run(&["ls", "later"]).failed(1, "format 9").err;
    assert!(error.contains("hint: upgrade") && !error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_value_is_printed_or_written() {
    let place = Place::new();
    let cache = place.cache();
    let put = |value: cacheness::core::formats::plain::Value, name: &str| cache.put(&value, Named(name)).expect("put");
    put([("a", 1.5), ("nan", f64::NAN)].into_iter().collect(), "map");
    put("a \"text\"".into(), "text");
    put(b"\x00\x01\n".to_vec().into(), "bytes");
    put(None::<i64>.into(), "none");
    assert_eq!(place.run(&["get", "map"]).done().json(), json!({ "a": 1.5, "nan": "NaN" }));
    assert_eq!(place.run(&["get", "text"]).done().out, "\"a \\\"text\\\"\"\n");
    assert_eq!(place.run(&["get", "none"]).done().out, "null\n");
    place.run(&["get", "bytes"]).failed(1, "is bytes").err.contains("hint: use -o FILE").then_some(()).expect("a hint");
    assert_eq!(place.run(&["get", "text", "-o", "-"]).done().out, "a \"text\"");
    assert_eq!(place.run(&["get", "bytes", "-o", "-"]).done().out, "\x00\x01\n");
    let ran = place.run(&["get", "bytes", "-o", "out.bin"]).done();
    assert!(ran.out.is_empty() && ran.err.contains("wrote 3 B to out.bin"), "{ran:?}");
    assert_eq!(std::fs::read(place.path("out.bin")).expect("read"), b"\x00\x01\n");
    place.run(&["get", "map", "-o", "out.bin", "--force"]).done();
    let written: Value = serde_json::from_slice(&std::fs::read(place.path("out.bin")).expect("read")).expect("JSON");
    assert_eq!(written["a"], 1.5);
    place.run(&["get", "map", "-o", "no/such/dir"]).failed(1, "cannot write no/such/dir");
    place.run(&["get", "map", "-o", "cache"]).failed(1, "cannot write cache");
    assert!(place.path("cache/cacheness.toml").exists());
}

#[test]
fn what_json_cannot_hold_is_not_written() {
    use cacheness::core::formats::plain::{NumpyArray, Value as Plain};

    let place = Place::new();
    let cache = place.cache();
    let weights = [0.5, 1.0, 1.5].iter().flat_map(|item: &f64| item.to_le_bytes()).collect();
    let weights = Plain::NumpyArray(NumpyArray { dtype: "<f8".into(), shape: vec![3], fortran: false, data: weights });
    let model = Plain::Map(vec![("weights".into(), weights), ("best".into(), Plain::Bool(true))]);
    cache.put(&model, Named("model")).expect("put");
    let expected = json!({ "weights": [0.5, 1.0, 1.5], "best": true });
    assert_eq!(place.run(&["get", "model"]).done().json(), expected);
    place.run(&["get", "model", "-o", "model.json"]).done();
    let written = std::fs::read(place.path("model.json")).expect("read");
    assert_eq!(serde_json::from_slice::<Value>(&written).expect("JSON"), expected);

    let twice = Plain::Map(vec![(Plain::Int(1), "a".into()), ("1".into(), "b".into())]);
    cache.put(&twice, Named("twice")).expect("put");
    for args in [&["get", "twice"][..], &["get", "twice", "-o", "-"], &["get", "twice", "-o", "twice.json"]] {
        let ran = place.run(args).failed(1, "two keys of a mapping would both have the name \"1\"");
        assert!(ran.out.is_empty() && ran.err.contains("hint: "), "{ran:?}");
    }
    assert!(!place.path("twice.json").exists());
}

#[test]
fn long_integers_are_printed_as_numbers() {
    use cacheness::core::formats::plain::Value;

    let place = Place::new();
    let mut power = vec![0_u8; 13];
    power[0] = 0x10;
    let list = Value::List(vec![Value::BigInt(power), Value::UInt(u64::MAX), Value::Int(-1)]);
    place.cache().put(&list, Named("long")).expect("put");
    let json = "[\n  1267650600228229401496703205376,\n  18446744073709551615,\n  -1\n]\n";
    assert_eq!(place.run(&["get", "long"]).done().out, json);
    place.run(&["get", "long", "-o", "out.json"]).done();
    assert_eq!(std::fs::read_to_string(place.path("out.json")).expect("read"), json);
}

/// The limits of whoever owns a store are not known to the command, and the environment's are not meant for it.
#[test]
fn nothing_is_evicted() {
    let place = Place::new();
    let store = BlobStore::open(place.path("cache")).expect("opened");
    let mut x = 1_u64;
    for i in 0..30 {
        let noise = std::iter::repeat_with(|| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x.to_be_bytes()[0]
        });
        store.put(&format!("artifact_{i:02}"), &noise.take(100_000).collect::<Vec<u8>>()).expect("put");
    }
    store.close().expect("closed");
    place.write("x", &[7; 2_000_000]);
    for args in [&["put", "x", "--key", "one"][..], &["put", "x", "part=2"], &["put", "x", "part=3"], &["cleanup"]] {
        let mut command = place.command(args);
        Ran::of(command.env("CACHENESS_MAX_SIZE_MB", "1").output().expect("run")).done();
    }
    let store = BlobStore::open(place.path("cache")).expect("opened");
    assert_eq!(store.list("artifact_", None).expect("listed").len(), 30);
    assert_eq!(store.list("", None).expect("listed").len(), 33);
}

#[test]
fn an_array_is_written_as_its_file_and_a_pickle_is_not_decoded() {
    let place = Place::new();
    let cache = place.cache();
    cache.put(&ndarray::Array1::from_iter((0..4).map(f64::from)), Named("array")).expect("put");
    let pickle = b"\x80\x05cos\nsystem\n(S'touch pwned'\ntR.";
    let format = cacheness::core::entry::Format {
        handler: "object_pickle".into(),
        data_type: "object".into(),
        storage_format: "pickle".into(),
        compression: "none".into(),
        object_type: "builtins.object".into(),
        handler_meta: Vec::new(),
        raw_size: None,
    };
    let stored = cacheness::core::payload::Encoded {
        format,
        extension: "pkl".into(),
        payload: cacheness::core::payload::Payload::Bytes(pickle.to_vec().into()),
    };
    let key = cacheness::core::store::EntryKey::from_name("pickle").expect("a name");
    cache.engine().put(&key, stored, cacheness::core::cache::CacheAttributes::default()).expect("put");
    place.run(&["get", "array"]).failed(1, "stored as npy");
    place.run(&["get", "pickle"]).failed(1, "stored as pickle");
    let ran = place.run(&["get", "array", "-o", "a.npy"]).done();
    assert!(ran.err.contains("of npy to a.npy"), "{ran:?}");
    assert!(std::fs::read(place.path("a.npy")).expect("read").starts_with(b"\x93NUMPY"));
    place.run(&["get", "pickle", "-o", "p.pkl"]).done();
    assert_eq!(std::fs::read(place.path("p.pkl")).expect("read"), pickle);
    assert!(!place.path("pwned").exists());
}
