//! Tables come back as they were: every Arrow type, every shape, and errors for what is malformed.
#![cfg(feature = "arrow")]
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::slice::from_ref;
use std::sync::Arc;

use arrow::array::builder::{
    FixedSizeListBuilder, Int32Builder, LargeListBuilder, LargeStringBuilder, ListBuilder, ListViewBuilder, MapBuilder,
    StringBuilder, StringRunBuilder,
};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use cacheness_core::ErrorKind;
use cacheness_core::clock::Timestamp;
use cacheness_core::config::{CompressionConfig, TableCodec, TableFormat};
use cacheness_core::entry::{Entry, Format, Location};
use cacheness_core::formats::table::{Table, TableOptions, decode, decode_mmap, encode, parquet_keeps};
use cacheness_core::payload::{Check, Encoded, Payload, PayloadHasher, Stored};
use proptest::prelude::*;

fn config(format: TableFormat, codec: TableCodec) -> CompressionConfig {
    CompressionConfig { dataframe_format: format, parquet_compression: codec, ..CompressionConfig::default() }
}

/// A blob in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl cacheness_core::blob::BlobWriter for Memory {
    fn commit(self: Box<Self>) -> cacheness_core::Result<String> {
        Ok(String::new())
    }
}

fn bytes(encoded: Encoded<'_>) -> (Format, Vec<u8>) {
    let bytes = match encoded.payload {
        Payload::Bytes(bytes) => bytes.into_owned(),
        Payload::Stream(stream) => {
            let mut memory = Memory::default();
            stream(&mut memory).unwrap();
            memory.0
        }
        Payload::Segments(_) | Payload::File(_) => panic!("tables are written in one piece"),
    };
    (encoded.format, bytes)
}

fn through(schema: &SchemaRef, batches: &[RecordBatch], config: &CompressionConfig) -> (String, Table) {
    let encoded = encode(schema, batches.to_vec(), config, &TableOptions::default()).unwrap();
    let (format, bytes) = bytes(encoded);
    let storage = format.storage_format.to_string();
    (storage, decode(Stored::from_bytes(format, bytes)).unwrap())
}

fn assert_same(schema: &SchemaRef, batches: &[RecordBatch], back: Table) {
    assert_eq!(&back.schema, schema);
    let expected = match batches.len() {
        1 => batches[0].clone(),
        _ => concat_batches(schema, batches).unwrap(),
    };
    assert_eq!(back.into_batch().unwrap(), expected);
}

fn array<T: Array + 'static>(array: T) -> ArrayRef {
    Arc::new(array)
}

/// A column of every type, with nulls.
fn columns() -> Vec<ArrayRef> {
    let mut all: Vec<ArrayRef> = vec![
        array(NullArray::new(4)),
        array(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
        array(Int8Array::from(vec![Some(i8::MIN), None, Some(0), Some(i8::MAX)])),
        array(Int16Array::from(vec![Some(i16::MIN), None, Some(0), Some(i16::MAX)])),
        array(Int32Array::from(vec![Some(i32::MIN), None, Some(0), Some(i32::MAX)])),
        array(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(i64::MAX)])),
        array(UInt8Array::from(vec![Some(0), None, Some(1), Some(u8::MAX)])),
        array(UInt16Array::from(vec![Some(0), None, Some(1), Some(u16::MAX)])),
        array(UInt32Array::from(vec![Some(0), None, Some(1), Some(u32::MAX)])),
        array(UInt64Array::from(vec![Some(0), None, Some(1), Some(u64::MAX)])),
        array(Float16Array::from(
            [Some(-0.0f32), None, Some(65504.0), Some(1.5)].map(|v| v.map(half::f16::from_f32)).to_vec(),
        )),
        array(Float32Array::from(vec![Some(-0.0), None, Some(f32::INFINITY), Some(f32::MIN_POSITIVE)])),
        array(Float64Array::from(vec![Some(-0.0), None, Some(f64::NEG_INFINITY), Some(5e-324)])),
        array(Date32Array::from(vec![Some(i32::MIN), None, Some(0), Some(i32::MAX)])),
        array(Date64Array::from(vec![Some(-86_400_000), None, Some(1), Some(86_400_000)])),
        array(Time32SecondArray::from(vec![Some(0), None, Some(1), Some(86_399)])),
        array(Time32MillisecondArray::from(vec![Some(0), None, Some(1), Some(86_399_999)])),
        array(Time64MicrosecondArray::from(vec![Some(0), None, Some(1), Some(86_399_999_999)])),
        array(Time64NanosecondArray::from(vec![Some(0), None, Some(1), Some(86_399_999_999_999)])),
        array(DurationSecondArray::from(vec![Some(i64::MIN), None, Some(0), Some(1)])),
        array(DurationMillisecondArray::from(vec![Some(i64::MIN), None, Some(0), Some(1)])),
        array(DurationMicrosecondArray::from(vec![Some(i64::MIN), None, Some(0), Some(1)])),
        array(DurationNanosecondArray::from(vec![Some(i64::MIN), None, Some(0), Some(1)])),
        array(IntervalYearMonthArray::from(vec![Some(-1), None, Some(0), Some(14)])),
        array(IntervalDayTimeArray::from(vec![Some(IntervalDayTime::new(-1, 5)), None, None, None])),
        array(IntervalMonthDayNanoArray::from(vec![Some(IntervalMonthDayNano::new(1, -2, 3)), None, None, None])),
        array(StringArray::from(vec![Some(""), None, Some("Ω≈ç√\0"), Some("a")])),
        array(LargeStringArray::from(vec![Some(""), None, Some("Ω≈ç√"), Some("a")])),
        array(StringViewArray::from(vec![Some(""), None, Some("longer than twelve bytes"), Some("a")])),
        array(BinaryArray::from(vec![Some(&b""[..]), None, Some(b"\xff\0"), Some(b"a")])),
        array(LargeBinaryArray::from(vec![Some(&b""[..]), None, Some(b"\xff\0"), Some(b"a")])),
        array(BinaryViewArray::from(vec![Some(&b""[..]), None, Some(b"\xff longer than twelve"), Some(b"a")])),
        array(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                [Some(b"abc"), None, Some(b"\0\0\0"), Some(b"xyz")].into_iter(),
                3,
            )
            .unwrap(),
        ),
        array(dictionary::<Int8Type>(&["x", "unused", "y"], &[Some(2), None, Some(0), Some(0)])),
        array(dictionary::<UInt64Type>(&["x", "unused", "y"], &[Some(2), None, Some(0), Some(0)])),
        array(DictionaryArray::new(Int32Array::from(vec![1, 0, 0, 1]), Arc::new(Int64Array::from(vec![7, -7])))),
    ];
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        for zone in [None, Some("UTC"), Some("Europe/Berlin"), Some("+02:30")] {
            let values = Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(i64::MAX)]);
            let data = values.to_data().into_builder();
            all.push(make_array(data.data_type(DataType::Timestamp(unit, zone.map(Into::into))).build().unwrap()));
        }
    }
    let small = |v: i64| vec![Some(-v), None, Some(0), Some(v)];
    for (precision, scale) in [(1, 0), (5, 2), (9, 9), (3, -2)] {
        let data: Decimal32Array = small(1).into_iter().map(|v| v.map(|v| i32::try_from(v).unwrap())).collect();
        all.push(array(data.with_precision_and_scale(precision, scale).unwrap()));
    }
    for (precision, scale) in [(1, 0), (18, 2), (9, 3), (3, -2)] {
        let data: Decimal64Array = small(1).into_iter().collect();
        all.push(array(data.with_precision_and_scale(precision, scale).unwrap()));
    }
    for (precision, scale) in [(1, 1), (9, 2), (18, 2), (38, 10), (3, -2)] {
        let data: Decimal128Array = small(1).into_iter().map(|v| v.map(i128::from)).collect();
        all.push(array(data.with_precision_and_scale(precision, scale).unwrap()));
    }
    for (precision, scale) in [(5, 2), (18, 2), (38, 10), (76, 10), (3, -2)] {
        let data: Decimal256Array = small(1).into_iter().map(|v| v.map(|v| i256::from_i128(i128::from(v)))).collect();
        all.push(array(data.with_precision_and_scale(precision, scale).unwrap()));
    }
    all.extend(nested());
    all
}

fn dictionary<K: ArrowDictionaryKeyType>(values: &[&str], keys: &[Option<i64>]) -> DictionaryArray<K> {
    let keys = cast(&Int64Array::from(keys.to_vec()), &K::DATA_TYPE).unwrap();
    DictionaryArray::new(keys.as_primitive::<K>().clone(), Arc::new(StringArray::from(values.to_vec())))
}

fn nested() -> Vec<ArrayRef> {
    let mut lists = ListBuilder::new(Int32Builder::new());
    let mut large = LargeListBuilder::new(LargeStringBuilder::new());
    let mut views = ListViewBuilder::new(Int32Builder::new());
    let mut fixed = FixedSizeListBuilder::new(Int32Builder::new(), 2);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for row in [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(3), Some(4)])] {
        lists.append_option(row.clone());
        let valid = row.is_some();
        let row = row.unwrap_or_default();
        for value in &row {
            large.values().append_option(value.map(|v| v.to_string()));
            views.values().append_option(*value);
        }
        large.append(valid);
        views.append(valid);
        for at in 0..2 {
            fixed.values().append_option(row.get(at).copied().flatten());
        }
        fixed.append(valid);
        for (at, value) in row.into_iter().enumerate() {
            map.keys().append_value(format!("k{at}"));
            map.values().append_option(value);
        }
        map.append(valid).unwrap();
    }
    let nulls = NullBuffer::from(vec![true, false, true, true]);
    let inner = array(lists.finish());
    let unit = HashMap::from([("unit".to_owned(), "m".to_owned())]);
    let structs = StructArray::new(
        Fields::from(vec![
            Field::new("numbers", inner.data_type().clone(), true).with_metadata(unit),
            Field::new("flag", DataType::Boolean, false),
        ]),
        vec![Arc::clone(&inner), array(BooleanArray::from(vec![true, false, false, true]))],
        Some(nulls.clone()),
    );
    let mut runs = StringRunBuilder::<Int32Type>::new();
    runs.extend([Some("a"), Some("a"), None, Some("b")]);
    let members =
        [(0, Arc::new(Field::new("i", DataType::Int32, true))), (5, Arc::new(Field::new("s", DataType::Utf8, true)))];
    let union = UnionArray::try_new(
        members.into_iter().collect(),
        vec![0i8, 5, 0, 5].into(),
        Some(vec![0i32, 0, 1, 1].into()),
        vec![array(Int32Array::from(vec![Some(1), None])), array(StringArray::from(vec!["x", "y"]))],
    )
    .unwrap();
    let words = dictionary::<Int8Type>(&["x", "unused", "y"], &[Some(2), None, Some(0), Some(0)]);
    let of_dictionary = ListArray::new(
        Arc::new(Field::new("item", words.data_type().clone(), true)),
        OffsetBuffer::from_lengths([1, 0, 2, 1]),
        array(words),
        Some(nulls.clone()),
    );
    vec![
        inner,
        array(large.finish()),
        array(views.finish()),
        array(fixed.finish()),
        array(map.finish()),
        array(structs),
        array(StructArray::new_empty_fields(4, Some(nulls))),
        array(runs.finish()),
        array(union),
        array(of_dictionary),
    ]
}

fn table(column: &ArrayRef, nullable: bool) -> RecordBatch {
    let field = Field::new("column", column.data_type().clone(), nullable)
        .with_metadata(HashMap::from([("unit".into(), "kg".into())]));
    let metadata = HashMap::from([("made by".into(), "me".into()), ("cacheness:table".into(), "mine".into())]);
    let schema = Arc::new(Schema::new_with_metadata(vec![field], metadata));
    RecordBatch::try_new(schema, vec![Arc::clone(column)]).unwrap()
}

#[test]
fn every_type_comes_back_in_either_format() {
    let codecs = [TableCodec::None, TableCodec::Lz4, TableCodec::Zstd, TableCodec::Snappy, TableCodec::Gzip];
    for column in columns() {
        let batch = table(&column, true);
        let kept = parquet_keeps(column.data_type(), false);
        for codec in codecs {
            let (storage, back) = through(&batch.schema(), from_ref(&batch), &config(TableFormat::Parquet, codec));
            assert_eq!(storage, if kept { "parquet" } else { "arrow" }, "{}", column.data_type());
            assert_same(&batch.schema(), from_ref(&batch), back);
            let (storage, back) = through(&batch.schema(), from_ref(&batch), &config(TableFormat::Arrow, codec));
            assert_eq!(storage, "arrow");
            assert_same(&batch.schema(), from_ref(&batch), back);
        }
    }
}

#[test]
fn few_types_are_not_kept_by_parquet() {
    let refused: Vec<String> = columns()
        .iter()
        .filter(|column| !parquet_keeps(column.data_type(), false))
        .map(|column| column.data_type().to_string())
        .collect();
    assert!(refused.len() <= 16, "{refused:?}");
}

#[test]
fn slices_of_every_type_come_back() {
    for column in columns() {
        let whole = table(&column, true);
        let batches = [whole.slice(1, 2), whole.slice(3, 1), whole.slice(0, 0), whole.slice(0, 3)];
        for format in [TableFormat::Parquet, TableFormat::Arrow] {
            let (_, back) = through(&whole.schema(), &batches, &config(format, TableCodec::Lz4));
            assert_same(&whole.schema(), &batches, back);
        }
    }
}

#[test]
fn required_columns_come_back() {
    for column in columns() {
        let valid = column.slice(0, 1);
        if valid.logical_null_count() > 0 {
            continue;
        }
        let batch = table(&valid, false);
        for format in [TableFormat::Parquet, TableFormat::Arrow] {
            let (_, back) = through(&batch.schema(), from_ref(&batch), &config(format, TableCodec::Lz4));
            assert_same(&batch.schema(), from_ref(&batch), back);
        }
    }
}

#[test]
fn empty_tables_come_back() {
    let config = CompressionConfig::default();
    let nothing = Arc::new(Schema::empty());
    let (_, back) = through(&nothing, &[], &config);
    assert_eq!((back.num_rows(), back.schema.fields().len()), (0, 0));
    let options = RecordBatchOptions::new().with_row_count(Some(5));
    let rows = RecordBatch::try_new_with_options(Arc::clone(&nothing), vec![], &options).unwrap();
    let (_, back) = through(&nothing, &[rows.clone(), rows], &config);
    assert_eq!(back.num_rows(), 10);
    assert_eq!(back.into_batch().unwrap().num_rows(), 10);
    for column in columns() {
        let batch = table(&column, true);
        let schema = batch.schema();
        for batches in [vec![], vec![batch.slice(0, 0)]] {
            let (_, back) = through(&schema, &batches, &config);
            assert_eq!(back.schema, schema);
            assert_eq!(back.into_batch().unwrap().num_rows(), 0);
        }
    }
}

#[test]
fn nan_keeps_its_bits() {
    let bits = [0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0001, 0x7ff0_0000_0000_0001];
    let column = array(Float64Array::from(bits.map(f64::from_bits).to_vec()));
    let batch = table(&column, false);
    for format in [TableFormat::Parquet, TableFormat::Arrow] {
        let (_, back) = through(&batch.schema(), from_ref(&batch), &config(format, TableCodec::Lz4));
        let back = back.into_batch().unwrap();
        let values = back.column(0).as_primitive::<Float64Type>().values().clone();
        assert_eq!(values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }
}

#[test]
fn names_may_be_strange_and_equal() {
    let names = ["", "a", "a", "a.b", "Ω", "list", "\0"];
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Int32, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..7).map(|i| array(Int32Array::from(vec![i, -i]))).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    for format in [TableFormat::Parquet, TableFormat::Arrow] {
        let (_, back) = through(&schema, from_ref(&batch), &config(format, TableCodec::Lz4));
        assert_same(&schema, from_ref(&batch), back);
    }
}

#[test]
fn many_rows_come_back_in_order() {
    let rows = 1_200_000i64;
    let noise = |seed: i64| (0..rows).map(move |i| (i.wrapping_mul(6_364_136_223_846_793_005) ^ seed).rotate_left(17));
    let days = noise(4).map(|v| 1_700_000_000_000_000 + v.rem_euclid(1 << 20));
    let batch = RecordBatch::try_from_iter_with_nullable(vec![
        ("step", array(Int64Array::from_iter_values(0..rows)), false),
        ("random", array(Int64Array::from_iter_values(noise(1))), false),
        (
            "floats",
            array(Float64Array::from_iter_values(noise(2).map(|v| f64::from_bits(v.cast_unsigned() >> 2)))),
            true,
        ),
        ("few", array(StringArray::from_iter_values(noise(3).map(|v| format!("city {}", v.rem_euclid(50))))), false),
        ("holes", array(Int32Array::from_iter((0..1_200_000).map(|i| (i % 7 != 0).then_some(i)))), true),
        ("times", array(TimestampMicrosecondArray::from_iter_values(days)), false),
    ])
    .unwrap();
    let batches = [batch.slice(0, 10), batch.slice(10, 999_990), batch.slice(1_000_000, 200_000)];
    for (dataframe_format, parallel) in
        [(TableFormat::Parquet, true), (TableFormat::Parquet, false), (TableFormat::Arrow, true)]
    {
        let config = CompressionConfig { dataframe_format, parallel, ..CompressionConfig::default() };
        let (_, back) = through(&batch.schema(), &batches, &config);
        assert_same(&batch.schema(), from_ref(&batch), back);
    }
}

#[test]
fn long_columns_of_every_shape_come_back() {
    use DataType::*;
    let types = [
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        Boolean,
        Time32(TimeUnit::Millisecond),
        Time32(TimeUnit::Second),
        Time64(TimeUnit::Nanosecond),
        Duration(TimeUnit::Second),
        Timestamp(TimeUnit::Nanosecond, Some("+01:00".into())),
        Decimal128(20, 2),
        Decimal256(60, 0),
        Decimal32(9, 0),
        Decimal64(18, 3),
        Dictionary(Box::new(Int32), Box::new(Utf8)),
    ];
    let rows = 20_000_i64;
    type Shape = fn(i64) -> Option<i64>;
    let shapes: [(&str, Shape); 6] = [
        ("up", |i| Some(i)),
        ("down", |i| Some(100 - 3 * i)),
        ("still", |_| Some(7)),
        ("noise", |i| Some(i.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) >> 44)),
        ("holes", |i| (i % 5 != 0).then_some(2 * i)),
        ("nothing", |_| None),
    ];
    for (name, shape) in shapes {
        let base = array(Int64Array::from_iter((0..rows).map(shape)));
        for data_type in &types {
            // What does not fit becomes null.
            let via = match data_type {
                Binary | Dictionary(..) => cast(&base, &Utf8).unwrap(),
                Date32 | Time32(_) => cast(&base, &Int32).unwrap(),
                _ => Arc::clone(&base),
            };
            let column = cast(&via, data_type).unwrap_or_else(|e| panic!("{name} as {data_type}: {e}"));
            let batch = table(&column, true);
            for slices in [vec![batch.clone()], vec![batch.slice(0, 9_000), batch.slice(9_000, 11_000)]] {
                let config = config(TableFormat::Parquet, TableCodec::Lz4);
                let (_, back) = through(&batch.schema(), &slices, &config);
                assert_same(&batch.schema(), from_ref(&batch), back);
            }
        }
    }
}

#[test]
fn thousands_of_columns_come_back() {
    let fields: Vec<Field> = (0..3000).map(|i| Field::new(format!("c{i}"), DataType::Int32, i % 2 == 0)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..3000).map(|i| array(Int32Array::from_iter_values(i..i + 50))).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let (storage, back) = through(&schema, from_ref(&batch), &CompressionConfig::default());
    assert_eq!(storage, "parquet");
    assert_same(&schema, &[batch], back);
}

#[test]
fn batches_with_different_dictionaries_keep_their_values() {
    let of = |values: &[&str]| table(&array(dictionary::<Int8Type>(values, &[Some(0), Some(1)])), true);
    let batches = [of(&["a", "b"]), of(&["c", "d"])];
    let (_, back) = through(&batches[0].schema(), &batches, &CompressionConfig::default());
    let back = cast(back.into_batch().unwrap().column(0), &DataType::Utf8).unwrap();
    assert_eq!(back.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}

#[test]
fn dictionaries_by_value_are_kept_by_parquet() {
    let views = DictionaryArray::new(
        UInt32Array::from(vec![Some(1), None, Some(0), Some(1)]),
        array(StringViewArray::from(vec!["a", "longer than twelve bytes", "unused"])),
    );
    let batch = table(&array(views), true);
    let options = TableOptions {
        dictionaries_by_value: true,
        nullability_by_value: true,
        description: Some("about it".into()),
        ..TableOptions::default()
    };
    let encoded = encode(&batch.schema(), vec![batch.clone()], &CompressionConfig::default(), &options).unwrap();
    let (format, bytes) = bytes(encoded);
    assert_eq!(format.storage_format, "parquet");
    let back = decode(Stored::from_bytes(format, bytes)).unwrap();
    assert_eq!(back.description.as_deref(), Some("about it"));
    assert_eq!(back.schema.metadata(), batch.schema().metadata());
    let back = back.into_batch().unwrap();
    assert!(matches!(back.column(0).data_type(), DataType::Dictionary(..)));
    let text = |batch: &RecordBatch| cast(batch.column(0), &DataType::Utf8View).unwrap();
    assert_eq!(&text(&back), &text(&batch));
}

#[test]
fn long_strings_that_rows_share_come_back() {
    // A view of one long string in each row: little memory here, much in a file.
    let long = "x".repeat(1 << 20);
    let mut builder = StringViewBuilder::new().with_deduplicate_strings();
    (0..20).for_each(|_| builder.append_value(&long));
    let batch = table(&array(builder.finish()), true);
    let (storage, back) = through(&batch.schema(), from_ref(&batch), &CompressionConfig::default());
    assert_eq!(storage, "parquet");
    assert_same(&batch.schema(), &[batch], back);
}

#[test]
fn malformed_files_are_errors() {
    let batch = RecordBatch::try_from_iter(vec![
        ("i", array(Int64Array::from_iter_values(0..50))),
        ("s", array(StringArray::from_iter_values((0..50).map(|i| format!("row {i}"))))),
    ])
    .unwrap();
    for format in [TableFormat::Parquet, TableFormat::Arrow] {
        for codec in [TableCodec::None, TableCodec::Lz4, TableCodec::Zstd] {
            let config = config(format, codec);
            let encoded = encode(&batch.schema(), vec![batch.clone()], &config, &TableOptions::default()).unwrap();
            let (format, bytes) = bytes(encoded);
            for length in (0..bytes.len()).step_by(3) {
                let error = decode(Stored::from_bytes(format.clone(), bytes[..length].to_vec())).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Serialization, "{error}");
            }
            for at in 0..bytes.len() {
                for flip in [0x01, 0x80] {
                    let mut changed = bytes.clone();
                    changed[at] ^= flip;
                    // Not every flip can be noticed without a hash; none may do more than fail.
                    if let Err(error) = decode(Stored::from_bytes(format.clone(), changed)) {
                        assert_eq!(error.kind(), ErrorKind::Serialization, "{error}");
                    }
                }
            }
        }
    }
}

/// A blob that is a file without a name.
struct Local(std::fs::File, u64);

impl cacheness_core::blob::BlobReader for Local {
    fn size(&self) -> u64 {
        self.1
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> cacheness_core::Result<()> {
        use std::os::unix::fs::FileExt;
        self.0.read_exact_at(buffer, offset).map_err(|e| cacheness_core::Error::io("cannot read", e))
    }

    fn file(&self) -> Option<&std::fs::File> {
        Some(&self.0)
    }
}

fn stored_in_a_file(format: Format, bytes: &[u8], file_hash: u64) -> Stored {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let time = Timestamp(0);
    let entry = Entry {
        key: "key".into(),
        fingerprint: None,
        created_at: time,
        accessed_at: time,
        expires_at: None,
        access_count: 0,
        format,
        size: bytes.len() as u64,
        file_hash,
        digest: None,
        signature: None,
        description: None,
        metadata: None,
        params: None,
        location: Location::Blob("blob".into()),
    };
    let reader = Box::new(Local(file, bytes.len() as u64));
    Stored::new(entry, Some(reader), Check::Xxh3(file_hash), false).unwrap()
}

#[test]
fn arrow_files_can_be_mapped() {
    for column in columns() {
        let batch = table(&column, true);
        for codec in [TableCodec::None, TableCodec::Lz4] {
            let config = config(TableFormat::Arrow, codec);
            let encoded = encode(&batch.schema(), vec![batch.clone()], &config, &TableOptions::default()).unwrap();
            let (format, bytes) = bytes(encoded);
            let hash = PayloadHasher::of(&bytes, true, false).file_hash.unwrap();
            let back = decode_mmap(&stored_in_a_file(format.clone(), &bytes, hash)).unwrap().unwrap();
            assert_same(&batch.schema(), from_ref(&batch), back);
            let damaged = decode_mmap(&stored_in_a_file(format.clone(), &bytes, hash ^ 1)).unwrap_err();
            assert_eq!(damaged.kind(), ErrorKind::Integrity);
            assert!(decode_mmap(&Stored::from_bytes(format, bytes)).unwrap().is_none(), "it is not a file");
        }
    }
    let batch = table(&array(Int32Array::from(vec![1])), true);
    let (schema, config) = (batch.schema(), CompressionConfig::default());
    let (format, bytes) = bytes(encode(&schema, vec![batch], &config, &TableOptions::default()).unwrap());
    assert!(decode_mmap(&stored_in_a_file(format, &bytes, 0)).unwrap().is_none(), "Parquet cannot be mapped");
}

/// A blob on a full disk.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl cacheness_core::blob::BlobWriter for Full {
    fn commit(self: Box<Self>) -> cacheness_core::Result<String> {
        panic!("nothing to commit")
    }
}

#[test]
fn a_full_disk_is_an_error_of_storage() {
    let noise = (0..1_200_000i64).map(|i| i.wrapping_mul(6_364_136_223_846_793_005));
    let batch = table(&array(Int64Array::from_iter_values(noise)), false);
    for format in [TableFormat::Parquet, TableFormat::Arrow] {
        for room in [0, 1000, 4_000_000] {
            let config = config(format, TableCodec::Lz4);
            let encoded = encode(&batch.schema(), vec![batch.clone()], &config, &TableOptions::default()).unwrap();
            let Payload::Stream(stream) = encoded.payload else { panic!("large tables are streamed") };
            assert_eq!(stream(&mut Full(room)).unwrap_err().kind(), ErrorKind::Storage);
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let mut data_type = DataType::Int8;
    for _ in 0..200 {
        data_type = DataType::List(Arc::new(Field::new("item", data_type, true)));
    }
    let schema = Arc::new(Schema::new(vec![Field::new("column", data_type, true)]));
    let refused = encode(&schema, vec![], &CompressionConfig::default(), &TableOptions::default());
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), ErrorKind::Serialization);
}

#[test]
fn an_empty_time_zone_is_refused() {
    // The file formats cannot tell it from none.
    let data_type = DataType::Timestamp(TimeUnit::Second, Some("".into()));
    let schema = Arc::new(Schema::new(vec![Field::new_list("column", Field::new("item", data_type, true), true)]));
    let refused = encode(&schema, vec![], &CompressionConfig::default(), &TableOptions::default());
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), ErrorKind::Serialization);
}

#[test]
fn a_batch_that_does_not_fit_its_schema_is_refused() {
    let batch = table(&array(Int32Array::from(vec![1])), true);
    let other = Arc::new(Schema::new(vec![Field::new("column", DataType::Utf8, true)]));
    for schema in [other, Arc::new(Schema::empty())] {
        let refused = encode(&schema, vec![batch.clone()], &CompressionConfig::default(), &TableOptions::default());
        assert!(refused.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_tables_come_back(
        ints in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..300),
        cuts in proptest::collection::vec(0usize..300, 0..4),
        arrow in any::<bool>(),
    ) {
        let texts: StringArray = ints.iter().map(|v| v.map(|v| format!("{v:x}"))).collect();
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(
            ints.iter().map(|v| v.map(|v| (0..v.rem_euclid(4)).map(move |i| (i != 2).then_some(v)))),
        );
        let batch = RecordBatch::try_from_iter_with_nullable(vec![
            ("i", array(Int64Array::from(ints.clone())), true),
            ("s", array(texts), true),
            ("l", array(lists), true),
        ]).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(ints.len())).collect();
        cuts.extend([0, ints.len()]);
        cuts.sort_unstable();
        let batches: Vec<_> = cuts.windows(2).map(|w| batch.slice(w[0], w[1] - w[0])).collect();
        let format = if arrow { TableFormat::Arrow } else { TableFormat::Parquet };
        let (_, back) = through(&batch.schema(), &batches, &config(format, TableCodec::Lz4));
        assert_same(&batch.schema(), &batches, back);
    }
}
