//! What `put` takes and `get` returns.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use cacheness::prelude::*;
use cacheness::{ErrorKind, GetOptions};
use ndarray::{ArcArray2, Array1, Array2, ArrayD, array, s};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::python::python;

/// Puts a value, and gets it as what it is to be read as.
macro_rules! comes_back {
    ($cache:ident: $($put:expr => $get:ty = $value:expr;)*) => {$(
        $cache.put($put, params! { put: stringify!($put) }).unwrap();
        assert_eq!($cache.get::<$get>(params! { put: stringify!($put) }).unwrap(), Some($value), "{}", stringify!($put));
    )*};
}

#[test]
fn values_and_references_to_them_are_put() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let (text, words, numbers) = (String::from("text"), vec!["a".to_owned(), "b".to_owned()], vec![1.5, 2.5]);
    let (boxed, shared, mut changed) = (Box::new(7_u8), Arc::new(numbers.clone()), 5_i64);
    let (borrowed, owned): (Cow<'_, str>, Cow<'_, [f64]>) = (Cow::Borrowed("text"), Cow::Owned(numbers.clone()));
    comes_back! { cache:
        "text" => String = text.clone();
        &"text" => String = text.clone();
        &&"text" => String = text.clone();
        &text => String = text.clone();
        text.clone() => String = text.clone();
        &text[1..] => String = "ext".to_owned();
        &*text.clone().into_boxed_str() => String = text.clone();
        text.clone().into_boxed_str() => Box<str> = text.clone().into();
        &words => Vec<String> = words.clone();
        &words[..1] => Vec<String> = vec!["a".to_owned()];
        words.as_slice() => VecDeque<String> = words.clone().into();
        &numbers => Vec<f64> = numbers.clone();
        numbers.clone() => Box<[f64]> = numbers.clone().into();
        [1, 2, 3] => [i32; 3] = [1, 2, 3];
        &[1, 2, 3] => Vec<i32> = vec![1, 2, 3];
        vec![[1.0, 2.0]; 2] => Vec<[f64; 2]> = vec![[1.0, 2.0]; 2];
        42 => i32 = 42;
        &42 => u8 = 42;
        &mut changed => i64 = 5;
        'x' => char = 'x';
        () => () = ();
        Some(1.5) => Option<f64> = Some(1.5);
        (1, "a".to_owned()) => (u32, String) = (1, "a".to_owned());
        boxed.clone() => Box<u8> = Box::new(7);
        &*boxed => u8 = 7;
        &borrowed => String = text.clone();
        borrowed.clone() => Cow<'static, str> = Cow::Borrowed("text");
        owned.clone() => Vec<f64> = numbers.clone();
        &shared => Arc<Vec<f64>> = shared.clone();
        shared => Rc<[f64]> = numbers.clone().into();
        Arc::<str>::from("text") => Arc<str> = Arc::from("text");
        Rc::new(1_u64) => u64 = 1;
        Serde(["a", "b"]) => Vec<String> = words;
        &Serde(BTreeMap::from([("a", &numbers)])) => BTreeMap<String, Vec<f64>> = BTreeMap::from([("a".to_owned(), numbers.clone())]);
        json!({ "a": [1, 2.5, null] }) => serde_json::Value = json!({ "a": [1, 2.5, null] });
    }
    let store = BlobStore::open(dir.path().join("artifacts")).unwrap();
    store.put("text", "text").unwrap();
    store.put_with("slice", &numbers[..], json!({ "part": 1 })).unwrap();
    assert_eq!(store.get::<String>("text").unwrap(), Some(text));
    assert_eq!(store.get::<Vec<f64>>("slice").unwrap(), Some(numbers));
}

#[test]
fn sequences_of_bytes_are_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let bytes = vec![0_u8, 255, 7];
    comes_back! { cache:
        &bytes => Vec<u8> = bytes.clone();
        &bytes[..] => Vec<u8> = bytes.clone();
        b"\x00\xff\x07" => [u8; 3] = [0, 255, 7];
        bytes.clone().into_boxed_slice() => Box<[u8]> = bytes.clone().into();
        Cow::Borrowed(&bytes[..]) => Cow<'static, [u8]> = Cow::Owned(bytes.clone());
        Arc::<[u8]>::from(&bytes[..]) => Arc<[u8]> = Arc::from(&bytes[..]);
    }
    for entry in cache.list_entries().unwrap() {
        assert_eq!(entry.object_type(), "builtins.bytes");
    }
    python(
        dir.path(),
        "for e in cache.list_entries(): assert cache.get(cache_key=e['cache_key']) == b'\\x00\\xff\\x07', e\n",
    );
    cache.put(&bytes, Named("three")).unwrap();
    let error = cache.get::<[u8; 4]>(Named("three")).unwrap_err();
    assert_eq!(
        (error.kind(), &*error.to_string()),
        (ErrorKind::Serialization, "entry three: 3 bytes cannot be read as [u8; 4]")
    );
    cache.put("text", Named("three")).unwrap();
    assert_eq!(cache.get::<Vec<u8>>(Named("three")).unwrap_err().kind(), ErrorKind::Serialization);
}

#[test]
fn views_of_arrays_are_arrays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let table: Array2<f64> = Array2::from_shape_fn((40, 30), |(row, column)| (row * 30 + column) as f64);
    comes_back! { cache:
        table.view() => Array2<f64> = table.clone();
        table.slice(s![3..9, ..;2]) => Array2<f64> = table.slice(s![3..9, ..;2]).to_owned();
        &table.column(3) => Array1<f64> = table.column(3).to_owned();
        table.t() => ArrayD<f64> = table.t().to_owned().into_dyn();
        table.clone().into_shared() => ArcArray2<f64> = table.to_shared();
        Arc::new(table.clone()) => Arc<Array2<f64>> = Arc::new(table.clone());
        Cow::Borrowed(&table) => Array2<f64> = table;
        array![1, 2] => Array1<i32> = array![1, 2];
    }
    let types: Vec<_> = cache.list_entries().unwrap().iter().map(|entry| entry.object_type().to_owned()).collect();
    assert!(types.iter().all(|name| name.contains("OwnedRepr")), "{types:?}");
}

/// Functions that are generic over what they store.
#[test]
fn generic_functions_put_and_get() {
    fn through<T: Storable + Loadable>(cache: &Cache, value: T) -> T {
        cache.put(&value, params! { generic: 1 }).unwrap();
        cache.get_with(params! { generic: 1 }, GetOptions::new()).unwrap().unwrap()
    }
    fn plain<T: Plain>(cache: &Cache, values: &[T]) -> Vec<T> {
        cache.put(values, params! { generic: 2 }).unwrap();
        cache.get(params! { generic: 2 }).unwrap().unwrap()
    }
    fn serde<T: Serialize + DeserializeOwned>(cache: &Cache, value: &T) -> T {
        cache.put(Serde(value), params! { generic: 3 }).unwrap();
        cache.get::<Serde<T>>(params! { generic: 3 }).unwrap().unwrap().0
    }
    let cache = Cache::builder().in_memory().open().unwrap();
    assert_eq!(through(&cache, array![1, 2]), array![1, 2]);
    assert_eq!(through(&cache, "text".to_owned()), "text");
    assert_eq!(plain(&cache, &[1, 2]), [1, 2]);
    assert_eq!(serde(&cache, &"text".to_owned()), "text");
}

/// A value in a format of this test's own: the digits of numbers, with a line for each.
#[derive(Debug, PartialEq)]
struct Lines(Vec<u32>);

impl Storable for Lines {
    fn encode(&self, _: &cacheness::CompressionConfig) -> cacheness::Result<cacheness::Encoded<'_>> {
        let text: String = self.0.iter().map(|number| format!("{number}\n")).collect();
        Ok(cacheness::Encoded {
            format: cacheness::Format::new("number_lines", "numbers", "lines", cacheness::rust_type::<Self>()),
            extension: "txt".into(),
            payload: cacheness::Payload::Bytes(text.into_bytes().into()),
        })
    }
}

impl Loadable for Lines {
    fn decode(stored: cacheness::Stored) -> cacheness::Result<Self> {
        cacheness::expect_format(&stored, &["lines"])?;
        let undecodable = stored.undecodable("a line is no number");
        let bytes = stored.into_bytes()?;
        let numbers = std::str::from_utf8(&bytes).ok().map(|text| text.lines().map(str::parse).collect());
        numbers.and_then(Result::ok).map(Self).ok_or(undecodable)
    }
}

#[test]
fn a_format_of_ones_own_is_stored_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let (few, many) = (Lines(vec![1, 2]), Lines((0..100_000).collect()));
    let cache = Cache::open(dir.path()).unwrap();
    cache.put(&few, params! { x: 1 }).unwrap();
    cache.put(&many, params! { x: 2 }).unwrap();
    cache.close().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert_eq!(cache.get::<Lines>(params! { x: 1 }).unwrap(), Some(few));
    assert_eq!(cache.get::<Lines>(params! { x: 2 }).unwrap(), Some(many));
    assert_eq!(cache.get_or_insert_with(params! { x: 3 }, || Lines(vec![3])).unwrap(), Lines(vec![3]));
    let listed = cache.get_metadata(params! { x: 2 }).unwrap().unwrap();
    assert_eq!((listed.handler(), listed.data_type()), ("number_lines", "numbers"));
    // Neither is read as the other.
    let error = cache.get::<Vec<u32>>(params! { x: 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Lines stored as lines, not as msgpack"), "{error}");
    assert_eq!(error.hint(), Some("read it as the type that wrote it"));
    cache.put(&vec![1_u32], params! { x: 4 }).unwrap();
    assert_eq!(cache.get::<Lines>(params! { x: 4 }).unwrap_err().kind(), ErrorKind::Unsupported);
}
