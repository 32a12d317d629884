//! Arrays through the public API: what is written comes back, from memory and from files, whole and in parts; what has
//! been damaged is refused.
#![allow(clippy::unwrap_used)]
#![allow(clippy::cast_possible_truncation)] // small numbers into small types

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cacheness_core::backend::BlobReader;
use cacheness_core::clock::Timestamp;
use cacheness_core::config::{ArrayCodec, ArrayFormat, CompressionConfig};
use cacheness_core::entry::{BlobRef, Entry, Format, Location};
use cacheness_core::error::{Error, ErrorKind, Result};
use cacheness_core::formats::array::{
    ArraySlicer, ArrayView, MapMode, Order, encode, header_of_part, map_npy, open, read_part, slice,
};
use cacheness_core::payload::{Check, Encoded, Payload, PayloadHasher, Stored};
use proptest::prelude::*;

struct FileReader {
    file: File,
    path: PathBuf,
    size: u64,
}

impl BlobReader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|e| Error::io("cannot read", e).with_kind(ErrorKind::Integrity))
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn local_path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

fn bytes_of(encoded: Encoded<'_>) -> (Format, Vec<u8>) {
    (encoded.format, encoded.payload.into_bytes().unwrap())
}

fn entry(format: &Format, bytes: &[u8], location: Location) -> Entry {
    let now = Timestamp(0);
    Entry {
        key: "0123456789abcdef".into(),
        fingerprint: None,
        created_at: now,
        accessed_at: now,
        expires_at: None,
        access_count: 0,
        format: format.clone(),
        size: bytes.len() as u64,
        file_hash: PayloadHasher::of(bytes, true, false).file_hash.unwrap(),
        digest: None,
        signature: None,
        description: None,
        metadata: None,
        params: None,
        computed: None,
        location,
    }
}

/// The payload as a file, checked against the hash of `bytes`.
fn in_file(format: &Format, bytes: &[u8]) -> Stored {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_owned();
    // The file is deleted here and stays readable, as a blob that is replaced does.
    let reader = FileReader { file: file.reopen().unwrap(), path, size: bytes.len() as u64 };
    let entry = entry(format, bytes, Location::Blob(BlobRef::new("blobs/01/0123", bytes.len() as u64)));
    let check = Check::Xxh3(entry.file_hash);
    Stored::new(entry, Some(Box::new(reader)), check, false).unwrap()
}

fn in_entry(format: &Format, bytes: &[u8]) -> Stored {
    let entry = entry(format, bytes, Location::Inline(bytes.to_vec()));
    let check = Check::Xxh3(entry.file_hash);
    Stored::new(entry, None, check, false).unwrap()
}

fn config(array_format: ArrayFormat) -> CompressionConfig {
    CompressionConfig { array_format, ..CompressionConfig::default() }
}

fn smooth(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| (i as f64 * 0.001).to_le_bytes()).collect()
}

fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).flat_map(|_| next().to_le_bytes()).collect()
}

fn f8<'a>(shape: &'a [usize], order: Order, data: &'a [u8]) -> ArrayView<'a> {
    ArrayView { dtype: "<f8", itemsize: 8, shape, order, data }
}

fn check_round_trip(view: ArrayView<'_>, config: &CompressionConfig) -> String {
    let encoded = encode(view, config).unwrap();
    assert_eq!(&*encoded.extension, &*encoded.format.storage_format);
    let size = encoded.payload.size().unwrap();
    let (format, bytes) = bytes_of(encoded);
    assert_eq!(size, bytes.len() as u64);
    for stored in [in_file(&format, &bytes), in_entry(&format, &bytes)] {
        let reader = open(stored).unwrap();
        let header = reader.header().clone();
        assert_eq!((header.dtype.as_str(), header.itemsize), (view.dtype, view.itemsize));
        assert_eq!((header.shape.as_slice(), header.order), (view.shape, view.order));
        assert_eq!(reader.nbytes(), view.data.len());
        // What the destination held before must not shine through.
        let mut found = vec![0xa5; view.data.len()];
        reader.read_into(&mut found).unwrap();
        assert!(found == view.data, "{:?}", view.shape);
    }
    assert_eq!(header_of_part(&bytes).unwrap().shape, view.shape);
    let mut found = vec![0xa5; view.data.len()];
    read_part(&bytes, &mut found).unwrap();
    assert!(found == view.data);
    format.storage_format.into_owned()
}

#[test]
fn formats_are_chosen_by_what_pays() {
    let choose =
        |data: &[u8], config: &CompressionConfig| check_round_trip(f8(&[data.len() / 8], Order::C, data), config);
    let auto = config(ArrayFormat::Auto);
    assert_eq!(choose(&smooth(100), &auto), "npy");
    assert_eq!(choose(&smooth(100_000), &auto), if cfg!(feature = "blosc2") { "b2nd" } else { "npy" });
    assert_eq!(choose(&noise(100_000), &auto), "npy");
    assert_eq!(choose(&smooth(100_000), &config(ArrayFormat::Npy)), "npy");
    assert_eq!(choose(&smooth(100_000), &CompressionConfig { use_blosc2_arrays: false, ..auto }), "npy");
    assert_eq!(choose(&[], &config(ArrayFormat::Blosc2)), "npy");
    if cfg!(feature = "blosc2") {
        assert_eq!(choose(&noise(100_000), &CompressionConfig { sample: false, ..auto }), "b2nd");
        assert_eq!(choose(&noise(10), &config(ArrayFormat::Blosc2)), "b2nd");
        assert_eq!(choose(&noise(100_000), &config(ArrayFormat::Blosc2)), "b2nd");
        // The beginning compresses, the rest does not: the result is looked at, not only the sample.
        let mut mixed = smooth(20_000);
        mixed.extend(noise(600_000));
        assert_eq!(choose(&mixed, &auto), "npy");
    }
}

#[test]
#[cfg(feature = "blosc2")]
fn every_codec_and_level() {
    let data = smooth(20_000);
    for codec in [ArrayCodec::Lz4, ArrayCodec::Lz4hc, ArrayCodec::Blosclz, ArrayCodec::Zstd, ArrayCodec::Zlib] {
        for level in [0, 1, 9, 200] {
            let config = CompressionConfig {
                blosc2_array_codec: codec,
                blosc2_array_compression_level: level,
                ..config(ArrayFormat::Blosc2)
            };
            let view = f8(&[20, 1000], Order::C, &data);
            let encoded = encode(view, &config).unwrap();
            assert_eq!(encoded.format.compression, format!("{codec:?}").to_lowercase());
            if level > 0 {
                assert!(encoded.payload.size().unwrap() < data.len() as u64 / 2, "{codec:?} {level}");
            }
            check_round_trip(view, &config);
        }
    }
}

#[test]
fn shapes_and_orders() {
    let data = smooth(600_000);
    let shapes: [&[usize]; 14] = [
        &[],
        &[0],
        &[3, 0, 2],
        &[1],
        &[600_000],
        &[1, 600_000],
        &[600_000, 1],
        &[600, 1000],
        &[3, 200_000],
        &[7, 11, 13, 17],
        &[2, 3, 2, 5, 2, 1, 3, 7],
        &[2, 1, 2, 1, 2, 1, 2, 1, 2],
        &[1; 64],
        &[70_001, 8],
    ];
    for shape in shapes {
        let count: usize = shape.iter().product();
        for order in [Order::C, Order::F] {
            for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
                check_round_trip(f8(shape, order, &data[..count * 8]), &config(array_format));
            }
        }
    }
    let view = ArrayView {
        dtype: "[('a', '<i4'), ('b', '|V296')]",
        itemsize: 300,
        shape: &[16_000],
        order: Order::C,
        data: &data[..4_800_000],
    };
    check_round_trip(view, &config(ArrayFormat::Blosc2));
    let view =
        ArrayView { dtype: "<U500000", itemsize: 2_000_000, shape: &[2], order: Order::C, data: &data[..4_000_000] };
    assert_eq!(check_round_trip(view, &config(ArrayFormat::Blosc2)), "npy");
}

#[test]
fn uncompressed_arrays_are_borrowed() {
    let data = noise(10_000);
    let encoded = encode(f8(&[10_000], Order::C, &data), &config(ArrayFormat::Auto)).unwrap();
    let Payload::Segments(segments) = encoded.payload else { panic!("arrays are segments") };
    assert!(segments.iter().any(|segment| std::ptr::eq(segment.as_ptr(), data.as_ptr())));
}

#[test]
fn contradictory_views_are_refused() {
    let data = smooth(10);
    for (dtype, itemsize, shape) in
        [("<f8", 8, &[11][..]), ("<f8", 4, &[20]), ("<f4", 8, &[10]), ("|O8", 8, &[10]), ("<f8", 8, &[usize::MAX, 2])]
    {
        let view = ArrayView { dtype, itemsize, shape, order: Order::C, data: &data };
        assert!(encode(view, &config(ArrayFormat::Auto)).is_err(), "{dtype} {shape:?}");
    }
}

fn reference_slice(data: &[u8], shape: &[usize], order: Order, ranges: &[Range<u64>]) -> Vec<u8> {
    let mut out = Vec::new();
    // Walk the wanted indices in the order of the array, last axis fastest for C.
    let axes: Vec<usize> = match order {
        Order::C => (0..shape.len()).collect(),
        Order::F => (0..shape.len()).rev().collect(),
    };
    fn walk(axes: &[usize], at: usize, shape: &[usize], ranges: &[Range<u64>], data: &[u8], out: &mut Vec<u8>) {
        let Some((axis, rest)) = axes.split_first() else {
            out.extend_from_slice(&data[at * 8..at * 8 + 8]);
            return;
        };
        for i in ranges[*axis].clone() {
            walk(rest, at * shape[*axis] + usize::try_from(i).unwrap(), shape, ranges, data, out);
        }
    }
    walk(&axes, 0, shape, ranges, data, &mut out);
    out
}

#[test]
fn slices_of_both_formats() {
    let shape = [50, 60, 70];
    let data = smooth(shape.iter().product());
    for order in [Order::C, Order::F] {
        for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
            let (format, bytes) = bytes_of(encode(f8(&shape, order, &data), &config(array_format)).unwrap());
            let boxes: [[Range<u64>; 3]; 8] = [
                [0..50, 0..60, 0..70],
                [3..4, 5..6, 7..8],
                [10..40, 0..60, 0..70],
                [0..50, 10..11, 0..70],
                [0..50, 0..60, 69..70],
                [5..5, 0..60, 0..70],
                [49..50, 59..60, 0..70],
                [7..29, 3..58, 1..69],
            ];
            for ranges in boxes {
                for verify in [false, true] {
                    for stored in [in_file(&format, &bytes), in_entry(&format, &bytes)] {
                        let (header, found) = slice(stored, &ranges, verify).unwrap();
                        assert_eq!(header.order, order);
                        assert!(
                            header
                                .shape
                                .iter()
                                .zip(&ranges)
                                .all(|(extent, range)| *extent as u64 == range.end - range.start)
                        );
                        assert!(found == reference_slice(&data, &shape, order, &ranges), "{order:?} {ranges:?}");
                    }
                }
            }
            let slicer = ArraySlicer::open(in_file(&format, &bytes), false).unwrap();
            for ranges in [
                &[0..50, 0..60][..],
                &[0..51, 0..60, 0..70],
                &[0..u64::MAX, 0..1, 0..1],
                &[Range { start: 3, end: 2 }, 0..1, 0..1],
            ] {
                assert_eq!(slicer.part(ranges).unwrap_err().kind(), ErrorKind::InvalidInput);
            }
            assert_eq!(slicer.read_into(&[0..1, 0..1, 0..1], &mut [0; 7]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
    let (format, bytes) = bytes_of(encode(f8(&[], Order::C, &data[..8]), &config(ArrayFormat::Auto)).unwrap());
    assert_eq!(slice(in_file(&format, &bytes), &[], false).unwrap().1, data[..8]);
}

#[test]
fn a_slice_reads_little() {
    struct Counting(FileReader, std::sync::Arc<std::sync::atomic::AtomicU64>);
    impl BlobReader for Counting {
        fn size(&self) -> u64 {
            self.0.size
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
            self.1.fetch_add(buffer.len() as u64, std::sync::atomic::Ordering::Relaxed);
            self.0.read_exact_at(buffer, offset)
        }
    }
    let data = noise(1_000_000);
    for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
        let (format, bytes) = bytes_of(encode(f8(&[1000, 1000], Order::C, &data), &config(array_format)).unwrap());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let read = std::sync::Arc::default();
        let reader = FileReader { file, path: PathBuf::new(), size: bytes.len() as u64 };
        let entry = entry(&format, &bytes, Location::Blob(BlobRef::new("blob", bytes.len() as u64)));
        let check = Check::Xxh3(entry.file_hash);
        let reader = Counting(reader, std::sync::Arc::clone(&read));
        let stored = Stored::new(entry, Some(Box::new(reader)), check, false).unwrap();
        let (_, found) = slice(stored, &[500..501, 20..30], false).unwrap();
        assert!(found == data[(500_020 * 8)..(500_030 * 8)]);
        let read = read.load(std::sync::atomic::Ordering::Relaxed);
        assert!(read < 600_000, "{read} of {} bytes were read", bytes.len());
    }
}

#[test]
fn mapped_arrays() {
    let data = noise(10_000);
    for order in [Order::C, Order::F] {
        let (format, bytes) = bytes_of(encode(f8(&[100, 100], order, &data), &config(ArrayFormat::Npy)).unwrap());
        let stored = in_file(&format, &bytes);
        let mut map = map_npy(&stored, MapMode::Read).unwrap().unwrap();
        assert_eq!((map.header().shape.as_slice(), map.header().order), (&[100, 100][..], order));
        assert!(map.data() == data);
        assert_eq!(map.offset() % 64, 0);
        assert!(map.data_mut().is_none());
        let mut private = map_npy(&stored, MapMode::CopyOnWrite).unwrap().unwrap();
        private.data_mut().unwrap()[0] ^= 1;
        assert!(private.data()[0] != data[0]);
        assert!(map.data() == data);
        drop(stored);
        assert!(map.data() == data);
        assert!(map_npy(&in_entry(&format, &bytes), MapMode::Read).unwrap().is_none());
    }
    if cfg!(feature = "blosc2") {
        let (format, bytes) = bytes_of(encode(f8(&[10_000], Order::C, &data), &config(ArrayFormat::Blosc2)).unwrap());
        assert!(map_npy(&in_file(&format, &bytes), MapMode::Read).unwrap().is_none());
    }
    let (format, bytes) = bytes_of(encode(f8(&[0], Order::C, &[]), &config(ArrayFormat::Npy)).unwrap());
    assert!(map_npy(&in_file(&format, &bytes), MapMode::Read).unwrap().unwrap().data().is_empty());
}

/// Damages `bytes` behind the hash's back and reads them without verification: an error or some array, never a crash.
fn survives(format: &Format, bytes: &[u8]) -> bool {
    let stored = Stored::from_bytes(format.clone(), bytes.to_vec());
    match open(stored) {
        Ok(reader) if reader.nbytes() <= 64 << 20 => {
            let mut items = vec![0; reader.nbytes()];
            reader.read_into(&mut items).is_ok()
        }
        Ok(reader) => panic!("{} bytes claim to be {}", bytes.len(), reader.nbytes()),
        Err(_) => false,
    }
}

#[test]
fn truncated_payloads_are_refused() {
    let data = smooth(3000);
    for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
        let (format, bytes) = bytes_of(encode(f8(&[30, 100], Order::F, &data), &config(array_format)).unwrap());
        assert!(survives(&format, &bytes));
        for length in 0..bytes.len() {
            assert!(!survives(&format, &bytes[..length]), "{length} of {}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(!survives(&format, &longer));
    }
}

#[test]
fn flipped_bits_are_noticed_before_decoding_or_survived_without_verification() {
    let data = smooth(3000);
    for (array_format, codec) in [
        (ArrayFormat::Npy, ArrayCodec::Lz4),
        (ArrayFormat::Blosc2, ArrayCodec::Lz4),
        (ArrayFormat::Blosc2, ArrayCodec::Blosclz),
        (ArrayFormat::Blosc2, ArrayCodec::Zstd),
        (ArrayFormat::Blosc2, ArrayCodec::Zlib),
    ] {
        let config = CompressionConfig { blosc2_array_codec: codec, ..config(array_format) };
        let (format, bytes) = bytes_of(encode(f8(&[3000], Order::C, &data), &config).unwrap());
        for at in 0..bytes.len() {
            for bit in [1u8, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                survives(&format, &damaged);
                if at % 16 == 0 || at < 300 {
                    let mut entry = entry(&format, &damaged, Location::Inline(damaged.clone()));
                    entry.file_hash = PayloadHasher::of(&bytes, true, false).file_hash.unwrap();
                    let check = Check::Xxh3(entry.file_hash);
                    let stored = Stored::new(entry, None, check, false).unwrap();
                    let read = open(stored).and_then(|reader| {
                        let mut items = vec![0; reader.nbytes()];
                        reader.read_into(&mut items)
                    });
                    assert_eq!(read.unwrap_err().kind(), ErrorKind::Integrity, "byte {at} ^ {bit:#x}");
                }
            }
        }
    }
}

#[test]
#[cfg(feature = "blosc2")]
fn a_frame_that_claims_too_much_is_refused_before_memory_is_taken() {
    let data = vec![0; 1 << 20];
    let (format, bytes) = bytes_of(encode(f8(&[1 << 17], Order::C, &data), &config(ArrayFormat::Blosc2)).unwrap());
    let layer = bytes.windows(4).rposition(|window| window == b"<f8\x00" || window.starts_with(b"<f8")).unwrap();
    assert!(layer > 0);
    let shape = bytes.windows(9).position(|window| window == [0xd3, 0, 0, 0, 0, 0, 2, 0, 0]).unwrap();
    for extent in [1u64 << 60, u64::MAX, 1 << 40, (1 << 17) + 1, 0] {
        let mut lying = bytes.clone();
        lying[shape + 1..shape + 9].copy_from_slice(&extent.to_be_bytes());
        assert!(!survives(&format, &lying), "{extent}");
    }
}

#[test]
fn other_formats_are_named() {
    let (mut format, bytes) = bytes_of(encode(f8(&[1], Order::C, &[0; 8]), &config(ArrayFormat::Npy)).unwrap());
    format.storage_format = "parquet".into();
    let error = open(Stored::from_bytes(format, bytes)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("parquet"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_array_comes_back(
        shape in prop::collection::vec(0usize..7, 0..5),
        stretch in 1usize..4000,
        size in 0usize..40,
        seed in any::<u8>(),
        fortran in any::<bool>(),
        blosc in any::<bool>(),
    ) {
        let mut shape = shape;
        if let Some(last) = shape.last_mut() {
            *last *= stretch;
        }
        let dtype = format!("|V{size}");
        let count: usize = shape.iter().product();
        let data: Vec<u8> = (0..count * size).map(|i| (i / 13) as u8 ^ seed).collect();
        let order = if fortran { Order::F } else { Order::C };
        let view = ArrayView { dtype: &dtype, itemsize: size, shape: &shape, order, data: &data };
        check_round_trip(view, &config(if blosc { ArrayFormat::Blosc2 } else { ArrayFormat::Npy }));
    }

    #[test]
    fn hostile_headers_never_panic(start in prop::collection::vec(any::<u8>(), 0..300), npy in any::<bool>()) {
        let mut bytes = if npy { b"\x93NUMPY\x01\x00".to_vec() } else { b"\x9e\xa8b2frame\0".to_vec() };
        bytes.extend(start);
        prop_assert!(header_of_part(&bytes).is_err());
    }
}

#[cfg(feature = "ndarray")]
mod native {
    use cacheness_core::formats::array::{Element, decode_ndarray, encode_ndarray, slice_ndarray};
    use ndarray::{Array1, Array2, Array3, ArrayD, ArrayViewD, Axis, Ix1, Ix2, IxDyn, ShapeBuilder, s};

    use super::*;

    fn reader(format: &Format, bytes: &[u8]) -> cacheness_core::formats::array::ArrayReader {
        open(in_file(format, bytes)).unwrap()
    }

    #[test]
    fn arrays_of_every_element() {
        macro_rules! check {
            ($($element:ty)*) => {$(
                let array = Array2::<$element>::from_shape_fn((300, 200), |(i, j)| ((i * 7 + j) % 100) as $element);
                for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
                    let (format, bytes) = bytes_of(encode_ndarray(&array, &config(array_format)).unwrap());
                    let found = decode_ndarray::<$element, Ix2>(reader(&format, &bytes)).unwrap();
                    assert_eq!(found, array);
                    assert!(found.is_standard_layout());
                }
            )*};
        }
        check!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);
        let array = Array1::<bool>::from_shape_fn(100_000, |i| i % 3 == 0);
        let (format, bytes) = bytes_of(encode_ndarray(&array, &config(ArrayFormat::Auto)).unwrap());
        assert_eq!(decode_ndarray::<bool, Ix1>(reader(&format, &bytes)).unwrap(), array);
    }

    /// Small enough for Miri, which has neither the files nor the compression of the others.
    #[test]
    fn small_arrays_within_their_entry() {
        fn check<A: Element + PartialEq + std::fmt::Debug>(view: ArrayViewD<'_, A>) {
            let (format, bytes) = bytes_of(encode_ndarray(&view, &config(ArrayFormat::Npy)).unwrap());
            let reader = open(in_entry(&format, &bytes)).unwrap();
            assert_eq!(decode_ndarray::<A, IxDyn>(reader).unwrap(), view);
        }
        macro_rules! check {
            ($($element:ty)*) => {$(
                check::<$element>(ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| (at[0] * 3 + at[1]) as $element).view());
            )*};
        }
        check!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);
        check(ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| at[1] % 2 == 0).view());

        let array = ArrayD::from_shape_fn(IxDyn(&[2, 3, 4]), |at| (at[0] * 12 + at[1] * 4 + at[2]) as f64);
        let mut swapped = array.view();
        swapped.swap_axes(0, 1);
        let mut backwards = array.view();
        backwards.invert_axis(Axis(1));
        for view in [array.t(), swapped, backwards, array.slice_axis(Axis(0), (1..1).into())] {
            check(view);
        }
        let (format, bytes) = bytes_of(encode_ndarray(&array, &config(ArrayFormat::Npy)).unwrap());
        let part: ArrayD<f64> = slice_ndarray(in_entry(&format, &bytes), &[1..2, 0..2, 1..4], true).unwrap();
        assert_eq!(part, array.slice(s![1..2, 0..2, 1..4]).into_dyn());

        for dtype in ["<i4", ">i4"] {
            let data: Vec<u8> = [1i32, -2, 300]
                .iter()
                .flat_map(|i| if dtype == "<i4" { i.to_le_bytes() } else { i.to_be_bytes() })
                .collect();
            let view = ArrayView { dtype, itemsize: 4, shape: &[3], order: Order::C, data: &data };
            let (format, bytes) = bytes_of(encode(view, &config(ArrayFormat::Npy)).unwrap());
            let reader = open(in_entry(&format, &bytes)).unwrap();
            assert_eq!(decode_ndarray::<i32, Ix1>(reader).unwrap().to_vec(), [1, -2, 300]);
        }
    }

    #[test]
    fn layouts() {
        let array = Array3::<f64>::from_shape_fn((30, 40, 50), |(i, j, k)| (i * j + k) as f64);
        let fortran = {
            let mut fortran = Array3::zeros((30, 40, 50).f());
            fortran.assign(&array);
            fortran
        };
        for array_format in [ArrayFormat::Npy, ArrayFormat::Blosc2] {
            let config = config(array_format);
            let (format, bytes) = bytes_of(encode_ndarray(&fortran, &config).unwrap());
            let found: ArrayD<f64> = decode_ndarray(reader(&format, &bytes)).unwrap();
            assert_eq!(found, array.clone().into_dyn());
            assert!(found.t().is_standard_layout());
            for view in [array.slice(s![..;2, .., ..;-1]), array.slice(s![3.., 4..9, 7..7])] {
                let (format, bytes) = bytes_of(encode_ndarray(&view, &config).unwrap());
                let found: ArrayD<f64> = decode_ndarray(reader(&format, &bytes)).unwrap();
                assert_eq!(found, view.into_dyn());
            }
            let mut swapped = array.view();
            swapped.swap_axes(0, 1);
            let (format, bytes) = bytes_of(encode_ndarray(&swapped, &config).unwrap());
            assert_eq!(decode_ndarray::<f64, ndarray::Ix3>(reader(&format, &bytes)).unwrap(), swapped);
            let scalar =
                array.index_axis(Axis(0), 1).index_axis_move(Axis(0), 2).index_axis_move(Axis(0), 3).to_owned();
            let (format, bytes) = bytes_of(encode_ndarray(&scalar, &config).unwrap());
            assert_eq!(decode_ndarray::<f64, ndarray::Ix0>(reader(&format, &bytes)).unwrap(), scalar);
        }
    }

    #[test]
    fn foreign_byte_order_and_wrong_types() {
        let data: Vec<u8> = [1i32, -2, 300].iter().flat_map(|i| i.to_be_bytes()).collect();
        let view = ArrayView { dtype: ">i4", itemsize: 4, shape: &[3], order: Order::C, data: &data };
        let (format, bytes) = bytes_of(encode(view, &config(ArrayFormat::Auto)).unwrap());
        assert_eq!(decode_ndarray::<i32, Ix1>(reader(&format, &bytes)).unwrap().to_vec(), [1, -2, 300]);
        let error = decode_ndarray::<f32, Ix1>(reader(&format, &bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("0123456789abcdef") && error.to_string().contains("f32"), "{error}");
        let error = decode_ndarray::<i32, Ix2>(reader(&format, &bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
