//! Digests of Arrow columns: the logical content and nothing else.

use std::sync::Arc;

use arrow::array::types::{Int8Type, Int16Type, Int32Type, UInt64Type};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit, UnionFields};
use cacheness_core::key::{column_digest, digest, render, type_notation};
use cacheness_core::{ErrorKind, params};
use proptest::prelude::*;

use crate::{config, key};

fn digest_of(chunks: &[ArrayRef]) -> [u8; 32] {
    column_digest(chunks, chunks[0].data_type()).unwrap()
}

/// Cuts an array into pieces, each of which lies at an offset in a larger array.
fn pieces(array: &ArrayRef, size: usize) -> Vec<ArrayRef> {
    let mut pieces = vec![array.slice(0, 0)];
    for start in (0..array.len()).step_by(size) {
        pieces.push(array.slice(start, size.min(array.len() - start)));
    }
    pieces
}

fn samples() -> Vec<(&'static str, ArrayRef)> {
    let ints =
        Int64Array::from(vec![Some(1), None, Some(3), Some(-4), None, Some(6), Some(7), Some(8), None, Some(10)]);
    let texts = StringArray::from(vec![Some("a"), None, Some(""), Some("a longer text than a view holds"), None]);
    let texts: ArrayRef = Arc::new(texts);
    let mut lists = ListBuilder::new(Int32Builder::new());
    for i in 0..9 {
        match i % 4 {
            0 => lists.append_null(),
            1 => lists.append(true),
            _ => {
                lists.values().append_value(i);
                lists.values().append_option((i % 3 == 0).then_some(i));
                lists.append(true);
            }
        }
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let mut fixed = FixedSizeListBuilder::new(Int16Builder::new(), 2);
    for i in 0..5 {
        fixed.values().append_value(i);
        fixed.values().append_value(-i);
        fixed.append(i != 2);
    }
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int8Builder::new());
    for i in 0..4 {
        maps.keys().append_value(format!("k{i}"));
        maps.values().append_option((i != 1).then_some(i));
        maps.append(i != 2).unwrap();
    }
    let fields = Fields::from(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(ints.slice(0, 5)), Arc::clone(&texts)];
    let nulls = NullBuffer::from(vec![true, true, false, true, true]);
    let structs = StructArray::new(fields, columns, Some(nulls));
    let dictionary: DictionaryArray<Int8Type> = vec![Some("x"), None, Some("y"), Some("x")].into_iter().collect();
    let runs: RunArray<Int16Type> =
        vec![Some("x"), Some("x"), None, Some("y"), Some("y"), Some("y")].into_iter().collect();
    vec![
        ("int64", Arc::new(ints) as ArrayRef),
        (
            "bool",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                None,
                Some(false),
                Some(true),
                Some(true),
                None,
                Some(true),
                Some(false),
                Some(true),
            ])),
        ),
        ("utf8", Arc::clone(&texts)),
        ("large_utf8", cast(&texts, &DataType::LargeUtf8).unwrap()),
        ("utf8_view", cast(&texts, &DataType::Utf8View).unwrap()),
        ("binary", cast(&texts, &DataType::Binary).unwrap()),
        ("binary_view", cast(&texts, &DataType::BinaryView).unwrap()),
        (
            "fixed binary",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some([1, 2]), None, Some([3, 4])].into_iter(), 2)
                    .unwrap(),
            ),
        ),
        ("float16", Arc::new(Float16Array::from(vec![Some(half(1.0)), None]))),
        (
            "decimal",
            Arc::new(Decimal128Array::from(vec![Some(150), None, Some(-1)]).with_precision_and_scale(10, 2).unwrap()),
        ),
        ("timestamp", Arc::new(TimestampNanosecondArray::from(vec![Some(1), None]).with_timezone("Europe/Berlin"))),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(arrow::datatypes::IntervalMonthDayNano::new(1, 2, 3)),
                None,
            ])),
        ),
        ("list", Arc::clone(&lists)),
        (
            "large_list",
            cast(&lists, &DataType::LargeList(Arc::new(Field::new_list_field(DataType::Int32, true)))).unwrap(),
        ),
        ("fixed list", Arc::new(fixed.finish())),
        ("map", Arc::new(maps.finish())),
        ("struct", Arc::new(structs)),
        ("dictionary", Arc::new(dictionary)),
        ("runs", Arc::new(runs)),
        ("null", Arc::new(NullArray::new(5))),
    ]
}

fn half(value: f32) -> <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native {
    <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native::from_f32(value)
}

#[test]
fn chunks_and_offsets_do_not_matter() {
    for (name, array) in samples() {
        let whole = digest_of(&[Arc::clone(&array)]);
        for size in 1..=array.len() {
            assert_eq!(digest_of(&pieces(&array, size)), whole, "{name} in pieces of {size}");
        }
        let twice = concat(&[&array, &array]).unwrap();
        assert_eq!(digest_of(&[twice.slice(array.len(), array.len())]), whole, "{name} at an offset");
        assert_ne!(digest_of(&[twice]), whole, "{name} twice");
        assert_ne!(digest_of(&[array.slice(0, array.len() - 1)]), whole, "{name} without its end");
        let empty = column_digest(&[], array.data_type()).unwrap();
        assert_eq!(digest_of(&[array.slice(0, 0)]), empty, "{name} without rows");
    }
}

#[test]
fn kinds_of_strings_and_lists_are_one_type() {
    let samples = samples();
    let of = |name: &str| digest_of(&[Arc::clone(&samples.iter().find(|(n, _)| *n == name).unwrap().1)]);
    assert_eq!(of("utf8"), of("large_utf8"));
    assert_eq!(of("utf8"), of("utf8_view"));
    assert_eq!(of("binary"), of("binary_view"));
    assert_eq!(of("list"), of("large_list"));
    assert_ne!(of("utf8"), of("binary"));
}

#[test]
fn list_views_may_overlap_and_skip() {
    let item = Arc::new(Field::new("element", DataType::Int32, true));
    let values = Arc::new(Int32Array::from(vec![9, 1, 2, 3, 9, 9]));
    let views = ListViewArray::new(
        Arc::clone(&item),
        ScalarBuffer::from(vec![2, 1, 5, 1]),
        ScalarBuffer::from(vec![2, 1, 1, 0]),
        values,
        Some(NullBuffer::from(vec![true, true, false, true])),
    );
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(2), Some(3)]),
        Some(vec![Some(1)]),
        None,
        Some(vec![]),
    ]);
    assert_eq!(digest_of(&[Arc::new(views)]), digest_of(&[Arc::new(lists)]));
}

#[test]
fn values_under_nulls_do_not_matter() {
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    let numbers = |hidden: i32| -> ArrayRef { Arc::new(Int32Array::new(vec![1, hidden, 3].into(), nulls.clone())) };
    assert_eq!(digest_of(&[numbers(2)]), digest_of(&[numbers(-7)]));
    let bits =
        |hidden: bool| -> ArrayRef { Arc::new(BooleanArray::new(vec![true, hidden, true].into(), nulls.clone())) };
    assert_eq!(digest_of(&[bits(true)]), digest_of(&[bits(false)]));
    let texts = |text: &'static str, lengths: [usize; 3]| -> ArrayRef {
        Arc::new(StringArray::new(OffsetBuffer::from_lengths(lengths), text.as_bytes().into(), nulls.clone()))
    };
    assert_eq!(digest_of(&[texts("ahiddenb", [1, 6, 1])]), digest_of(&[texts("ab", [1, 0, 1])]));
    assert_ne!(digest_of(&[texts("ab", [1, 0, 1])]), digest_of(&[texts("ab", [2, 0, 0])]));
    let structs = |hidden: i32| -> ArrayRef {
        let field = Arc::new(Field::new("a", DataType::Int32, true));
        let values: ArrayRef = Arc::new(Int32Array::from(vec![1, hidden, 3]));
        Arc::new(StructArray::new(vec![field].into(), vec![values], nulls.clone()))
    };
    assert_eq!(digest_of(&[structs(2)]), digest_of(&[structs(-7)]));
    let lists = |hidden: i32| -> ArrayRef {
        let item = Arc::new(Field::new_list_field(DataType::Int32, true));
        let values = Arc::new(Int32Array::from(vec![1, hidden, 3]));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1, 1, 1]), values, nulls.clone()))
    };
    assert_eq!(digest_of(&[lists(2)]), digest_of(&[lists(-7)]));
    // A null buffer without nulls is no null buffer.
    let all = Int32Array::new(vec![1, 2].into(), Some(NullBuffer::new_valid(2)));
    assert_eq!(digest_of(&[Arc::new(all)]), digest_of(&[Arc::new(Int32Array::from(vec![1, 2]))]));
}

#[test]
fn order_and_types_of_dictionaries_do_not_matter() {
    let values = ["x", "y", "unused"];
    let one: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(
        Int8Array::from(vec![Some(0), None, Some(1), Some(0)]),
        Arc::new(StringArray::from_iter_values(values)),
    ));
    let two: ArrayRef = Arc::new(DictionaryArray::<UInt64Type>::new(
        UInt64Array::from(vec![Some(1), Some(2), Some(0), Some(1)]),
        Arc::new(StringArray::from(vec![Some("y"), Some("x"), None])),
    ));
    assert_eq!(digest_of(&[Arc::clone(&one)]), digest_of(&[two]));
    assert_ne!(digest_of(&[Arc::clone(&one)]), digest_of(&[cast(&one, &DataType::Utf8).unwrap()]));
    let other: ArrayRef =
        Arc::new(vec![Some("x"), None, Some("y"), Some("y")].into_iter().collect::<DictionaryArray<Int8Type>>());
    assert_ne!(digest_of(&[one]), digest_of(&[other]));
}

#[test]
fn the_canonical_column_is_as_specified() {
    let array: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None, Some("c")]));
    let mut canonical = vec![4];
    canonical.extend_from_slice(b"utf8\x03\x01\x05");
    for length in [2_u64, 0, 1] {
        canonical.extend_from_slice(&length.to_le_bytes());
    }
    canonical.extend_from_slice(b"abc");
    assert_eq!(digest_of(&[array]), digest::blake3(&canonical));

    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int16Type, _, _>([Some(vec![Some(1), None]), None]));
    let mut canonical = vec![17];
    canonical.extend_from_slice(b"list<item: int16>\x02\x01\x01");
    for length in [2_u64, 0] {
        canonical.extend_from_slice(&length.to_le_bytes());
    }
    canonical.extend_from_slice(b"\x05int16\x02\x01\x01\x01\x00\x00\x00");
    assert_eq!(digest_of(&[lists]), digest::blake3(&canonical));
}

#[test]
fn types_are_written_down() {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let cases = [
        (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp[us, UTC]"),
        (DataType::Timestamp(TimeUnit::Second, Some("+01:00".into())), "timestamp[s, +01:00]"),
        (DataType::Decimal128(10, -2), "decimal128[10, -2]"),
        (DataType::List(Arc::new(field("element", DataType::LargeUtf8))), "list<item: utf8>"),
        (DataType::FixedSizeList(Arc::new(field("x", DataType::Float16)), 3), "fixed_size_list<item: float16>[3]"),
        (
            DataType::Struct(vec![field("a", DataType::Int64), field("b: c", DataType::Date32)].into()),
            r#"struct<a: int64, "b: c": date32>"#,
        ),
        (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8)), "dictionary<utf8>"),
    ];
    for (data_type, notation) in cases {
        assert_eq!(type_notation(&data_type).unwrap(), notation);
    }
    let union = DataType::Union(UnionFields::empty(), arrow::datatypes::UnionMode::Sparse);
    assert_eq!(type_notation(&union).unwrap_err().kind(), ErrorKind::KeyEncoding);
    let error = column_digest(&[Arc::new(NullArray::new(1)) as ArrayRef], &DataType::Int8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn record_batches_are_parameters() {
    let batch = |names: [&str; 2], rows: usize| {
        let schema = Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        let columns = [0, 5].map(|from| Arc::new(Int64Array::from_iter_values(from..from + rows as i64)) as ArrayRef);
        RecordBatch::try_new(Arc::new(schema), columns.to_vec()).unwrap()
    };
    let small = key(params! { t: batch(["a", "b"], 3) });
    assert_ne!(small, key(params! { t: batch(["a", "c"], 3) }));
    assert_ne!(small, key(params! { t: batch(["a", "b"], 4) }));
    assert_eq!(small, key(params! { t: batch(["a", "b"], 9).slice(0, 3) }));
    assert_eq!(render(&small.encoding).unwrap()["t"]["arrow.Table"][1], 3);
    key(params! { t: batch(["a", "a"], 100_000) });
    let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    assert_eq!(key(params! { a: &array }), key(params! { a: Int64Array::from(vec![1, 2]) }));
    let fields = UnionFields::try_new([0], [Field::new("a", DataType::Int32, true)]).unwrap();
    let union =
        UnionArray::try_new(fields, vec![0_i8].into(), None, vec![Arc::new(Int32Array::from(vec![1]))]).unwrap();
    let schema = Schema::new(vec![Field::new("bad", union.data_type().clone(), true)]);
    let unions = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(union)]).unwrap();
    let error = params! { t: unions }.key(&config()).unwrap_err();
    assert!(error.to_string().starts_with("params.t.bad: "), "{error}");
}

proptest! {
    #[test]
    fn any_cut_of_any_strings(rows in proptest::collection::vec(proptest::option::of("[a-c]{0,20}"), 0..60), size in 1_usize..20) {
        let array: ArrayRef = Arc::new(StringArray::from(rows.clone()));
        let view = cast(&array, &DataType::Utf8View).unwrap();
        prop_assert_eq!(digest_of(&pieces(&view, size)), digest_of(&[Arc::clone(&array)]));
        let other: ArrayRef = Arc::new(StringArray::from(rows.iter().rev().cloned().collect::<Vec<_>>()));
        let same = rows.iter().eq(rows.iter().rev());
        prop_assert_eq!(digest_of(&[array]) == digest_of(&[other]), same);
    }
}
