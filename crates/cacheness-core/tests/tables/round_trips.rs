//! Every type and shape, in both formats.

use std::slice::from_ref;

use cacheness_core::formats::table::parquet_keeps;
use proptest::prelude::*;

use super::*;

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
