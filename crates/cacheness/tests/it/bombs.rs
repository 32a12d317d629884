//! Absurd lengths and bombs are refused before memory is taken: a process whose address space is limited decodes what
//! claims more, gets an error each time, and has hardly grown.
//!
//! The process is this test binary again, with one test and a limit. Memory that cannot be had would kill it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use cacheness::config::{ArrayFormat, Codec, CompressionConfig, TableCodec, TableFormat};
use cacheness::core::entry::Format;
use cacheness::core::formats::compress;
use cacheness::core::formats::plain::Value;
use cacheness::core::key;
use cacheness::core::payload::{Encoded, Stored};
use cacheness::prelude::*;
use cacheness::{Error, StoreConfig};
use ndarray::{Array2, ArrayD};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Says which of the lists of bombs a process decodes.
const WHICH: &str = "CACHENESS_TEST_BOMBS";

const MIB: u64 = 1 << 20;

/// What the process may have grown by in the end, decoders and allocator included.
const GROWTH: u64 = 192 * MIB;

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn stored(handler: &'static str, storage_format: &'static str, compression: &'static str, bytes: &[u8]) -> Stored {
    let format = Format {
        handler: handler.into(),
        data_type: "bomb".into(),
        storage_format: storage_format.into(),
        compression: compression.into(),
        object_type: "bomb".into(),
        handler_meta: Vec::new(),
        raw_size: None,
    };
    Stored::from_bytes(format, bytes.to_vec())
}

fn decode(storage_format: &'static str, compression: &'static str, bytes: &[u8]) -> Result<(), Error> {
    match storage_format {
        "msgpack" => <Value as Loadable>::decode(stored("plain_objects", "msgpack", compression, bytes)).map(drop),
        "npy" | "b2nd" => ArrayD::<f64>::decode(stored("numpy_arrays", storage_format, "none", bytes)).map(drop),
        _ => RecordBatch::decode(stored("arrow_tables", storage_format, "none", bytes)).map(drop),
    }
}

fn bytes(encoded: Encoded<'_>) -> Vec<u8> {
    encoded.payload.into_bytes().unwrap()
}

/// What is refused: storage format, compression, bytes.
type Bomb = (&'static str, &'static str, Vec<u8>);

/// Claims that nothing stands behind.
fn claims() -> Vec<Bomb> {
    let mut bombs: Vec<Bomb> = Vec::new();
    for head in [0xdd_u8, 0xdf, 0xc6, 0xdb, 0xc9] {
        for length in [0xffff_ffff_u32, 0x7fff_ffff, 0x1000_0000] {
            bombs.push(("msgpack", "none", [&[head][..], &length.to_be_bytes(), &[1; 20]].concat()));
        }
    }
    // A count inside a count inside a count: each could be believed alone.
    bombs.push(("msgpack", "none", [0xdd, 0, 0, 4, 0].repeat(200)));
    for opening in [&[0x91_u8][..], &[0x81, 0xc0], &[0xc7, 0xff, 2], &[0xd8, 2]] {
        bombs.push(("msgpack", "none", opening.repeat(1_000_000)));
    }
    for size in [1_u64 << 34, (1 << 40) - 1, 1 << 60, u64::MAX - 2] {
        // One segment, eight bytes of content size, an empty last block.
        let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &size.to_le_bytes(), &[1, 0, 0]].concat();
        let lz4 = [&[0x04, 0x22, 0x4d, 0x18, 0x68, 0x70][..], &size.to_le_bytes(), &[0; 5]].concat();
        bombs.extend([("msgpack", "zstd", zstd), ("msgpack", "lz4", lz4)]);
    }
    for shape in ["(1099511627776,)", "(4611686018427387904, 2)", "(65536, 65536, 65536)", "(9223372036854775807, 0)"] {
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        let length = u16::try_from(text.len()).unwrap().to_le_bytes();
        bombs.push(("npy", "none", [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), &[0; 64]].concat()));
    }
    let deep = format!("{{'descr': {}'<f8'{}, ", "[('a', ".repeat(100_000), ")]".repeat(100_000));
    let length = u32::try_from(deep.len()).unwrap().to_le_bytes();
    bombs.push(("npy", "none", [b"\x93NUMPY\x02\x00", &length[..], deep.as_bytes()].concat()));
    bombs.push(("npy", "none", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec()));
    // The first page of a Parquet file follows the magic number: a kind, then how long it is without compression.
    for (format, compression, mut file) in files() {
        if format == "parquet" && file[4..7] == [0x15, 0x04, 0x15] {
            // The size takes a byte or two there; two gigabytes take five, so that later bytes are overwritten as well.
            file[7..12].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
            bombs.push((format, compression, file));
        }
    }
    assert!(bombs.iter().any(|(format, ..)| *format == "parquet"), "pages begin as they are expected to");
    bombs
}

/// Payloads that really hold more than the process may have.
fn truths() -> Vec<Bomb> {
    let zeros = vec![0_u8; 8 << 20];
    let head = [&[0xc6_u8][..], &(1_u32 << 30).to_be_bytes()].concat();
    let mut zstd = Vec::new();
    let mut lz4 = Vec::new();
    let mut gzip = Vec::new();
    for codec in [Codec::Zstd, Codec::Lz4, Codec::Gzip] {
        let config = CompressionConfig { pickle_compression_codec: codec, ..CompressionConfig::default() };
        let frame = |content: &[u8]| compress::compress(content.into(), &config).unwrap().1.into_bytes().unwrap();
        let (first, frame) = (frame(&[&head[..], &zeros].concat()), frame(&zeros));
        let out = match codec {
            Codec::Zstd => &mut zstd,
            Codec::Lz4 => &mut lz4,
            _ => &mut gzip,
        };
        out.extend_from_slice(&first);
        (0..127).for_each(|_| out.extend_from_slice(&frame));
    }
    assert!(zstd.len() < 100_000, "{}", zstd.len());
    vec![("msgpack", "zstd", zstd), ("msgpack", "lz4", lz4), ("msgpack", "gzip", gzip)]
}

/// Real files, whose bytes are then overwritten with absurd numbers.
fn files() -> Vec<Bomb> {
    let numbers: ArrayRef = std::sync::Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    let names: ArrayRef =
        std::sync::Arc::new(StringArray::from_iter_values((0..40).map(|i| format!("name {}", i % 3))));
    let batch = RecordBatch::try_from_iter([("numbers", numbers), ("names", names)]).unwrap();
    let mut files: Vec<Bomb> = Vec::new();
    for (dataframe_format, parquet_compression) in [
        (TableFormat::Parquet, TableCodec::Zstd),
        (TableFormat::Parquet, TableCodec::Snappy),
        (TableFormat::Parquet, TableCodec::None),
        (TableFormat::Arrow, TableCodec::Zstd),
        (TableFormat::Arrow, TableCodec::Lz4),
        (TableFormat::Arrow, TableCodec::None),
    ] {
        let config = CompressionConfig { dataframe_format, parquet_compression, ..CompressionConfig::default() };
        let format = if dataframe_format == TableFormat::Parquet { "parquet" } else { "arrow" };
        files.push((format, "none", bytes(batch.encode(&config).unwrap())));
    }
    let array = Array2::from_shape_fn((20, 7), |(i, j)| f64::from(u8::try_from(i * j).unwrap()));
    for (array_format, format) in [(ArrayFormat::Npy, "npy"), (ArrayFormat::Blosc2, "b2nd")] {
        let config = CompressionConfig { array_format, ..CompressionConfig::default() };
        let encoded = array.encode(&config).unwrap();
        if encoded.format.storage_format == format {
            files.push((format, "none", bytes(encoded)));
        }
    }
    for codec in [Codec::Zstd, Codec::Lz4] {
        let config = CompressionConfig {
            pickle_compression_codec: codec,
            compression_threshold_bytes: 0,
            ..CompressionConfig::default()
        };
        files.push(("msgpack", codec.name(), bytes("plain ".repeat(50).encode(&config).unwrap())));
    }
    files
}

/// A blob of a terabyte that takes no room on the disk, in a store that does not sign.
fn a_file_of_nothing_but_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = StoreConfig::default();
    config.security.enable_entry_signing = false;
    let place = cacheness::Place::Directory(dir.path().into());
    let store = BlobStore::open_with(&place, config, cacheness::OpenMode::CreateOrOpen).unwrap();
    store.put("k", &crate::noise(1)).unwrap();
    let blob = dir.path().join(&crate::blobs(dir.path())[0]);
    let size = 1_u64 << 40;
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(size).unwrap();
    let database = rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
    database.execute("UPDATE cache_entries SET file_size = ?1", [i64::try_from(size).unwrap()]).unwrap();
    store.get::<Vec<u8>>("k").unwrap_err();
    store.verify_integrity("k").unwrap_err();
}

/// Decodes what stands at `which`; a bomb that is taken for a value fails the test, files may stay readable.
fn decode_all(which: &str) {
    // Threads, decoders and the allocator have what they need before anything is measured.
    for (format, compression, honest) in files() {
        decode(format, compression, &honest).unwrap();
    }
    let bombs = match which {
        "claims" => claims(),
        "truths" => truths(),
        _ => Vec::new(),
    };
    let (size, before) = (status("VmSize:"), status("VmPeak:"));
    let limit = Some(size + 512 * MIB);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
    for (number, (format, compression, bomb)) in bombs.iter().enumerate() {
        let outcome = decode(format, compression, bomb);
        assert!(outcome.is_err(), "{which} {number}, {format} {compression}, is taken for a value");
    }
    if which == "truths" {
        a_file_of_nothing_but_length();
    }
    if which == "keys" {
        for tag in [0x06_u8, 0x07, 0x08, 0x0a, 0x40, 0x41, 0x42, 0x43, 0x50, 0x51, 0x52, 0x60, 0x62] {
            for length in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
            {
                assert!(key::decode(&[&[1, tag], length, &[0; 9]].concat()).is_err());
            }
            assert!(key::render(&[&[1][..], &[tag, 1].repeat(500_000)].concat()).is_err());
        }
    }
    if which == "files" {
        for (format, compression, honest) in files() {
            let ends = 700.min(honest.len());
            for at in (0..ends).chain(honest.len() - ends..honest.len()) {
                for number in [0xff_u64, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX >> 1, u64::MAX] {
                    for width in [1, 4, 8] {
                        for order in [number.to_le_bytes(), number.to_be_bytes()] {
                            let part = if order[7] == 0 { &order[..width] } else { &order[8 - width..] };
                            let mut bytes = honest.clone();
                            let room = width.min(bytes.len() - at);
                            bytes[at..at + room].copy_from_slice(&part[..room]);
                            let _ = decode(format, compression, &bytes);
                        }
                    }
                }
            }
        }
    }
    let grown = status("VmPeak:") - before;
    if which != "truths" {
        assert!(grown < GROWTH, "{which}: the process has grown by {} MiB", grown / MIB);
    }
    println!("decoded");
}

#[test]
fn a_process_with_little_memory_decodes() {
    if let Ok(which) = std::env::var(WHICH) {
        return decode_all(&which);
    }
    for which in ["claims", "truths", "files", "keys"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "bombs::a_process_with_little_memory_decodes", "--nocapture"]);
        // One arena, so that threads do not reserve room for their own.
        let done = command.env(WHICH, which).env("MALLOC_ARENA_MAX", "1").output().unwrap();
        let mut said = String::new();
        for stream in [&done.stdout, &done.stderr] {
            let text = String::from_utf8_lossy(stream);
            let end = text.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
            writeln!(said, "{}", &text[end..]).unwrap();
        }
        assert!(done.status.success() && said.contains("decoded"), "{which}: {} {said}", done.status);
    }
}

#[test]
fn sizes_in_rows_are_compared_with_what_is_there() {
    for backend in ["sqlite", "json"] {
        let dir = tempfile::tempdir().unwrap();
        let open = || Cache::builder().directory(dir.path()).metadata_backend(backend).open();
        let cache = open().unwrap();
        cache.put(&vec![1_u8; 40], Named("small")).unwrap();
        cache.put(&crate::noise(1), Named("large")).unwrap();
        cache.close().unwrap();
        if backend == "sqlite" {
            let database = rusqlite::Connection::open(dir.path().join("cache_metadata.db")).unwrap();
            database.execute("UPDATE cache_entries SET file_size = 9000000000000000000, signature = NULL", ()).unwrap();
        } else {
            let path = dir.path().join("cache_metadata.json");
            let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            for (entry, size) in document["entries"].as_array_mut().unwrap().iter_mut().zip([1_u64 << 62, 1 << 61]) {
                let entry = entry.as_object_mut().unwrap();
                entry.insert("file_size".into(), size.into());
                entry.remove("signature");
            }
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(document.to_string().as_bytes()).unwrap();
        }
        let cache = open().unwrap();
        for key in ["small", "large"] {
            assert_eq!(cache.get::<Vec<u8>>(Named(key)).unwrap(), None, "{backend} {key}");
        }
        cache.put(&7_u8, Named("other")).unwrap();
        assert_eq!(cache.get::<u8>(Named("other")).unwrap(), Some(7));
        cache.clear().unwrap();
        cache.put(&7_u8, Named("other")).unwrap();
        assert_eq!(cache.get::<u8>(Named("other")).unwrap(), Some(7), "{backend} goes on");
    }
}
