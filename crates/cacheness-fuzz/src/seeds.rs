//! Seeds: real encodings that this release writes.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Float64Array, ListArray, NullArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use cacheness::{BlobStore, CacheConfig, OpenMode, Place, Storable, StoreConfig};
use cacheness_core::config::{ArrayCodec, ArrayFormat, Codec, CompressionConfig, TableCodec, TableFormat};
use cacheness_core::formats::compress;
use cacheness_core::formats::plain::Value;
use cacheness_core::payload::Payload;
use ndarray::{Array, Array2, ArrayD, ShapeBuilder};

/// Documents with golden vectors, which are seeds.
const KEY_VECTORS: &str = include_str!("../../../docs/formats/keys.vectors.json");
const PLAIN_VECTORS: &str = include_str!("../../../docs/formats/plain.vectors.json");

/// The seeds of the target of that name; each is accepted by it.
///
/// # Panics
/// If there is no such target.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "keys" => vectors(KEY_VECTORS, "vectors", "encoding"),
        "plain" => vectors(PLAIN_VECTORS, "values", "hex"),
        "frames" => frames(),
        "arrays" => arrays(),
        "tables" => tables(),
        "rows" => rows(),
        "config" => configs(),
        "filters" => filters(),
        other => panic!("no target {other}"),
    }
}

fn vectors(document: &str, list: &str, member: &str) -> Vec<Vec<u8>> {
    let document: serde_json::Value = serde_json::from_str(document).expect("a document of vectors");
    let vectors = document[list].as_array().expect("a list of vectors");
    let encodings = vectors.iter().filter_map(|vector| vector[member].as_str());
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("two hexadecimal digits")
    };
    encodings.filter(|text| text.len() < 2000).map(|text| text.as_bytes().chunks(2).map(byte).collect()).collect()
}

fn bytes(payload: Payload<'_>) -> Vec<u8> {
    payload.into_bytes().expect("what is in memory")
}

fn frames() -> Vec<Vec<u8>> {
    let content: Vec<u8> = (0..3000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    let mut seeds = Vec::new();
    for (number, codec) in [(0, Codec::Zstd), (1, Codec::Lz4), (2, Codec::Gzip)] {
        for content in [&content[..], b"short and short and short and short and short"] {
            let config = CompressionConfig {
                pickle_compression_codec: codec,
                compression_threshold_bytes: 0,
                ..CompressionConfig::default()
            };
            let (_, payload) = compress::compress(content.into(), &config).expect("compressed");
            let frame = bytes(payload);
            seeds.push([&[number], frame.as_slice()].concat());
            // Two consecutive frames are one payload.
            seeds.push([&[number], frame.as_slice(), frame.as_slice()].concat());
        }
    }
    seeds
}

#[allow(clippy::cast_precision_loss)]
fn arrays() -> Vec<Vec<u8>> {
    let codecs =
        [ArrayCodec::Lz4, ArrayCodec::Lz4hc, ArrayCodec::Blosclz, ArrayCodec::Zstd, ArrayCodec::Zlib].map(Some);
    let mut seeds = Vec::new();
    for codec in codecs.into_iter().chain([None]) {
        let config = CompressionConfig {
            array_format: if codec.is_some() { ArrayFormat::Blosc2 } else { ArrayFormat::Npy },
            blosc2_array_codec: codec.unwrap_or(ArrayCodec::Lz4),
            ..CompressionConfig::default()
        };
        let mut add = |encoded: cacheness::Result<cacheness_core::payload::Encoded<'_>>| {
            seeds.push(bytes(encoded.expect("an array").payload));
        };
        add(Array::from_shape_fn((7, 5), |(i, j)| (i * j) as f64).encode(&config));
        add(Array::from_shape_fn((40, 3, 2).f(), |(i, j, k)| (i + 2 * j + k) as f64).encode(&config));
        add(Array2::<u8>::from_elem((9, 11), 7).encode(&config));
        add(ArrayD::<f64>::zeros(vec![64, 4]).encode(&config));
        add(ArrayD::<bool>::from_elem(vec![1; 4], true).encode(&config));
        add(ArrayD::<i16>::zeros(vec![0, 3]).encode(&config));
    }
    seeds
}

fn batches() -> Vec<RecordBatch> {
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter((0..50).map(|i| (i % 7 != 0).then_some(f64::from(i)))));
    let text: ArrayRef = Arc::new(StringArray::from_iter((0..50).map(|i| (i % 5 != 0).then(|| format!("text {i}")))));
    let dictionary: ArrayRef =
        Arc::new((0..50).map(|i| Some(["a", "bb", "ccc"][i % 3])).collect::<DictionaryArray<Int32Type>>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..50).map(|i| (i % 4 != 0).then(|| vec![Some(i), None])),
    ));
    let nulls: ArrayRef = Arc::new(NullArray::new(50));
    let batch = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).expect("a batch");
    vec![
        batch(vec![("numbers", numbers.clone()), ("text", text.clone())]),
        batch(vec![("dictionary", dictionary), ("lists", lists)]),
        batch(vec![("nulls", nulls), ("numbers", numbers)]),
        batch(vec![("text", text.slice(0, 0))]),
    ]
}

fn tables() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (dataframe_format, parquet_compression) in [
        (TableFormat::Parquet, TableCodec::Zstd),
        (TableFormat::Parquet, TableCodec::Lz4),
        (TableFormat::Parquet, TableCodec::Snappy),
        (TableFormat::Parquet, TableCodec::None),
        (TableFormat::Arrow, TableCodec::Zstd),
        (TableFormat::Arrow, TableCodec::Lz4),
        (TableFormat::Arrow, TableCodec::None),
    ] {
        let config = CompressionConfig { dataframe_format, parquet_compression, ..CompressionConfig::default() };
        for batch in batches() {
            seeds.push(bytes(batch.encode(&config).expect("a table").payload));
        }
    }
    seeds
}

fn rows() -> Vec<Vec<u8>> {
    let put: [fn(&BlobStore); 5] = [
        |store| store.put_with("k", &vec![1_u8, 2, 3], serde_json::json!({"a": 1, "b": [true, "x"]})).expect("bytes"),
        |store| store.put("k", &"x".repeat(5000)).expect("text"),
        |store| store.put("k", &Array2::<f64>::zeros((30, 30))).expect("an array"),
        |store| store.put("k", &batches().remove(0)).expect("a table"),
        |store| store.put("k", &Value::List(vec![Value::None; 9])).expect("a list"),
    ];
    let mut seeds = Vec::new();
    for backend in ["sqlite", "json"] {
        for put in put {
            let dir = tempfile::tempdir().expect("a directory");
            let config = StoreConfig { metadata_backend: Some(backend.into()), ..StoreConfig::default() };
            let place = Place::Directory(dir.path().into());
            let store = BlobStore::open_with(&place, config, OpenMode::CreateOrOpen).expect("a store");
            put(&store);
            store.close().expect("closed");
            seeds.push(match backend {
                "json" => read(&dir.path().join("cache_metadata.json")),
                _ => crate::rows::only_row(dir.path()),
            });
        }
    }
    seeds
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file of the store")
}

fn filters() -> Vec<Vec<u8>> {
    [
        "accuracy >= 0.9 and project in [fraud, \"risk 2\"]",
        "not (stage = dev or a.b.0 missing) and entry.created_at > 2026-11-01",
        "a ~ '^x+$' or b !~ y and c contains z or d startswith w",
        "a = date(2026-11-20) and b < datetime(2026-11-20T12:00:00.5+01:00)",
        "a = {\"b\": [1, {\"$tuple\": []}]}",
        r#"{"$or": [{"a": {"$gte": 1, "$lt": 2.5}}, {"$not": {"params.b": {"$in": [null, true, "x"]}}}]}"#,
        r#"{"a": {"$regex": "x", "$options": "i"}, "b": {"$not": {"$exists": true}}}"#,
        "{\"a\":{\"$numpy\":\"<f8\",\"value\":0.5},\"b\":{\"$datetime\":\"2026-11-20T12:00:00\",\"zone\":\"Europe/Berlin\"}}\na > 0.1 and b != 3",
        "{\"a\":[{\"b\":{\"$int\":\"0x010000000000000000\"}},{\"$decimal\":\"1E+9\"}]}\na.b >= 1 or a.1 = 1000000000",
        "-entry.file_size",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn configs() -> Vec<Vec<u8>> {
    let default = CacheConfig::default();
    vec![
        serde_json::to_vec(&default).expect("JSON"),
        serde_json::to_vec(&default.store).expect("JSON"),
        toml::to_string(&default).expect("TOML").into_bytes(),
        toml::to_string(&default.store).expect("TOML").into_bytes(),
        b"default_ttl_seconds = 60.0\n[limits]\nmax_entries = 1000\n[store.security]\nallow_pickle = false\n".to_vec(),
        b"format = 1\nwritten_by = \"0.1.0\"\n[metadata]\nbackend = \"sqlite\"\n[blobs]\nbackend = \"filesystem\"\n"
            .to_vec(),
    ]
}
