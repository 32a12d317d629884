//! What one language writes, the other reads, under the same key.
//!
//! `CACHENESS_PYTHON` is an interpreter that has the package; `make test` sets it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use cacheness::prelude::*;
use ndarray::{Array1, Array2, ArrayD, Ix2, array};
use serde::{Deserialize, Serialize};

/// Runs `script` with `cache`, `np`, `pd`, `pl`, `pa` defined; a failed assertion fails the test with its traceback.
pub(crate) fn python(dir: &Path, script: &str) -> String {
    let interpreter = std::env::var("CACHENESS_PYTHON")
        .expect("CACHENESS_PYTHON must name a Python that has cacheness installed: run `make test`");
    let setup = "import sys\nimport numpy as np, pandas as pd, polars as pl, pyarrow as pa\n\
                 from cacheness import cacheness\nfrom cacheness.storage import BlobStore\n\
                 cache = cacheness(sys.argv[1])\n";
    let output = Command::new(interpreter).args(["-c", &format!("{setup}{script}")]).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    accuracy: f64,
    labels: Vec<String>,
    best: Option<u32>,
    scores: BTreeMap<String, (f64, i64)>,
}

impl Plain for Report {}

fn report() -> Report {
    Report {
        accuracy: 0.95,
        labels: vec!["ä".into(), "b".into()],
        best: None,
        scores: BTreeMap::from([("x".into(), (1.5, -3))]),
    }
}

fn batch() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("name", Arc::new(StringArray::from(vec![Some("a"), None, Some("ç")]))),
        ("score", Arc::new(Float64Array::from(vec![0.5, f64::NAN, -0.0]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn both_languages_make_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let keys = [
        cache.put(&1, params! { model: "xgboost", fold: 3 }).unwrap(),
        cache.put(&1, params! { x: 1.5, y: -1_i8, z: u64::MAX, flag: true, none: None::<i32>, name: "ü" }).unwrap(),
        cache.put(&1, params! { list: vec![1, 2], tuple: (1, "a"), map: BTreeMap::from([("k", 1.0)]) }).unwrap(),
        cache.put(&1, params! { array: array![[1.0, 2.0], [3.0, 4.0]] }).unwrap(),
        cache.put(&1, params! { "any name": "x".repeat(10_000) }).unwrap(),
    ];
    let script = "print(cache.cache_key(fold=3, model='xgboost'))\n\
        print(cache.cache_key(x=1.5, y=-1, z=2**64 - 1, flag=True, none=None, name='ü'))\n\
        print(cache.cache_key(list=[1, 2], tuple=(1, 'a'), map={'k': 1.0}))\n\
        print(cache.cache_key(array=np.array([[1.0, 2.0], [3.0, 4.0]])))\n\
        print(cache.cache_key(params={'any name': 'x' * 10_000}))\n";
    let found: Vec<String> = python(dir.path(), script).lines().map(str::to_owned).collect();
    assert_eq!(found, keys);
}

#[test]
fn python_reads_what_rust_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let options = PutOptions::new().metadata(serde_json::json!({ "stage": "prod" })).description("from Rust");
    cache.put_with(&report(), params! { kind: "struct" }, options).unwrap();
    cache.put(&"text".to_owned(), params! { kind: "str" }).unwrap();
    cache.put(&vec![0_u8, 255], params! { kind: "bytes" }).unwrap();
    cache.put(&u128::MAX, params! { kind: "int" }).unwrap();
    cache.put(&Array2::from_shape_fn((300, 200), |(i, j)| (i * 200 + j) as f64), params! { kind: "array" }).unwrap();
    cache.put(&array![1_u8, 2, 3], params! { kind: "small array" }).unwrap();
    cache.put(&batch(), params! { kind: "table" }).unwrap();
    drop(cache);
    python(
        dir.path(),
        "value, meta = cache.get_with_metadata(kind='struct')\n\
         assert value == {'accuracy': 0.95, 'labels': ['ä', 'b'], 'best': None, 'scores': {'x': [1.5, -3]}}, value\n\
         assert meta == {'stage': 'prod'}, meta\n\
         assert cache.get_metadata(kind='struct')['description'] == 'from Rust'\n\
         assert cache.get(kind='str') == 'text'\n\
         assert cache.get(kind='bytes') == b'\\x00\\xff'\n\
         assert cache.get(kind='int') == 2**128 - 1\n\
         a = cache.get(kind='array')\n\
         assert a.dtype == 'f8' and a.shape == (300, 200) and (a.ravel() == np.arange(60000)).all()\n\
         b = cache.get(kind='small array')\n\
         assert b.dtype == 'u1' and b.tolist() == [1, 2, 3]\n\
         t = cache.get(kind='table')\n\
         assert isinstance(t, (pa.Table, pa.RecordBatch)), type(t)\n\
         assert t.column('id').to_pylist() == [1, 2, 3] and t.column('name').to_pylist() == ['a', None, 'ç']\n",
    );
}

#[test]
fn rust_reads_what_python_wrote() {
    let dir = tempfile::tempdir().unwrap();
    python(
        dir.path(),
        "import decimal, datetime, uuid\n\
         cache.put({'accuracy': 0.95, 'labels': ('ä', 'b'), 'best': None, 'scores': {'x': (1.5, -3)}}, kind='dict',\n\
                   metadata={'stage': 'prod', 'n': 3}, description='from Python')\n\
         cache.put('text', kind='str')\n\
         cache.put(b'\\x00\\xff', kind='bytes')\n\
         cache.put(2**128 - 1, kind='int')\n\
         cache.put({1, 2, 3}, kind='set')\n\
         cache.put(np.arange(60000.0).reshape(300, 200), kind='array')\n\
         cache.put(np.asfortranarray(np.arange(6, dtype='>i4').reshape(2, 3)), kind='fortran')\n\
         cache.put(np.asfortranarray(np.arange(60000.0).reshape(300, 200)), kind='large fortran')\n\
         frame = pd.DataFrame({'id': [1, 2, 3], 'name': ['a', None, 'ç']})\n\
         cache.put(frame, kind='pandas')\n\
         cache.put(pl.DataFrame({'id': [1, 2, 3], 'x': [0.5, None, 2.0]}), kind='polars')\n\
         cache.put(pa.table({'id': pa.array([1, 2, 3])}), kind='arrow')\n\
         cache.put(ValueError('x'), kind='pickle')\n",
    );
    let cache = Cache::open(dir.path()).unwrap();
    let (value, info) = cache.get_with_metadata::<Report>(params! { kind: "dict" }).unwrap().unwrap();
    assert_eq!(value, report());
    assert_eq!(serde_json::Value::Object(info.metadata()), serde_json::json!({ "stage": "prod", "n": 3 }));
    assert_eq!(info.description(), Some("from Python"));
    assert_eq!(info.object_type(), "builtins.dict");
    assert_eq!(cache.get::<String>(params! { kind: "str" }).unwrap().unwrap(), "text");
    assert_eq!(cache.get::<Vec<u8>>(params! { kind: "bytes" }).unwrap().unwrap(), [0, 255]);
    assert_eq!(cache.get::<u128>(params! { kind: "int" }).unwrap().unwrap(), u128::MAX);
    let set: std::collections::BTreeSet<i32> = cache.get(params! { kind: "set" }).unwrap().unwrap();
    assert_eq!(set.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    let matrix: Array2<f64> = cache.get(params! { kind: "array" }).unwrap().unwrap();
    assert_eq!((matrix.dim(), matrix[[299, 199]]), ((300, 200), 59_999.0));
    let fortran: ArrayD<i32> = cache.get(params! { kind: "fortran" }).unwrap().unwrap();
    assert_eq!(fortran.into_dimensionality::<Ix2>().unwrap(), array![[0, 1, 2], [3, 4, 5]]);
    let fortran: Array2<f64> = cache.get(params! { kind: "large fortran" }).unwrap().unwrap();
    assert_eq!(fortran, matrix);
    for kind in ["pandas", "polars", "arrow"] {
        let table: RecordBatch = cache.get(params! { kind: kind }).unwrap().unwrap();
        let ids = table.column_by_name("id").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!(ids.values(), &[1, 2, 3], "{kind}");
    }
    let pickle = cache.get::<String>(params! { kind: "pickle" }).unwrap_err();
    assert_eq!(pickle.kind(), cacheness::ErrorKind::Unsupported);
    assert!(pickle.hint().unwrap().contains("Python"), "{pickle:?}");
    let wrong = cache.get::<Array1<f32>>(params! { kind: "array" }).unwrap_err();
    assert_eq!(wrong.kind(), cacheness::ErrorKind::Unsupported, "{wrong:?}");
}
