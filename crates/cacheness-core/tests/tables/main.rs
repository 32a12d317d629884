//! Tables come back as they were: every Arrow type, every shape, and errors for what is malformed.
#![cfg(feature = "arrow")]
#![allow(clippy::unwrap_used)]

mod dictionaries;
mod files;
mod round_trips;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::builder::{
    FixedSizeListBuilder, Int32Builder, LargeListBuilder, LargeStringBuilder, ListBuilder, ListViewBuilder, MapBuilder,
    StringBuilder, StringRunBuilder,
};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use cacheness_core::config::{CompressionConfig, TableCodec, TableFormat};
use cacheness_core::entry::Format;
use cacheness_core::formats::table::{Table, TableOptions, decode, encode};
use cacheness_core::payload::{Encoded, Stored};

fn config(format: TableFormat, codec: TableCodec) -> CompressionConfig {
    CompressionConfig { dataframe_format: format, parquet_compression: codec, ..CompressionConfig::default() }
}

fn bytes(encoded: Encoded<'_>) -> (Format, Vec<u8>) {
    (encoded.format, encoded.payload.into_bytes().unwrap())
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
