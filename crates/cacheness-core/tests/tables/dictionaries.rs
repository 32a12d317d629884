//! Dictionaries that stand for their values, and those that the reader is asked for.

use cacheness_core::ErrorKind;
use cacheness_core::formats::table::decode_with_dictionaries;

use super::*;

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

/// Encodes `batch` with a description and reads it asking for dictionaries of the columns `wanted`.
fn with_dictionaries(batch: &RecordBatch, wanted: &[usize], format: TableFormat) -> Table {
    let options = TableOptions { description: Some("about it".into()), ..TableOptions::default() };
    let config = config(format, TableCodec::Lz4);
    let (format, bytes) = bytes(encode(&batch.schema(), vec![batch.clone()], &config, &options).unwrap());
    let wanted = |description: &str| {
        assert_eq!(description, "about it");
        wanted.to_vec()
    };
    decode_with_dictionaries(Stored::from_bytes(format, bytes), wanted).unwrap()
}

fn is_dictionary(table: &Table, column: usize) -> bool {
    matches!(table.schema.field(column).data_type(), DataType::Dictionary(key, _) if **key == DataType::Int32)
}

/// The column as it would have come without asking.
fn spelt_out(table: Table, column: usize, data_type: &DataType) -> ArrayRef {
    let batch = table.into_batch().unwrap();
    cast(batch.column(column), data_type).unwrap()
}

#[test]
fn repeated_texts_come_as_dictionaries_where_they_are_wanted() {
    let few = |i: i32| (i % 7 != 0).then(|| format!("Ω {}", i % 11));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("large", array(LargeStringArray::from_iter((0..30_000).map(few))), true),
        ("text", array(StringArray::from_iter((0..30_000).map(few))), true),
        ("bytes", array(LargeBinaryArray::from_iter((0..30_000).map(few))), true),
        ("nothing", array(LargeStringArray::from_iter((0..30_000).map(|_| None::<&str>))), true),
        ("full", array(LargeStringArray::from_iter_values((0..30_000).map(|i| format!("{}", i % 3)))), false),
        ("number", array(Int32Array::from_iter_values((0..30_000).map(|i| i % 3))), false),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    // What does not exist or is no text is passed over.
    let table = with_dictionaries(&batch, &[0, 2, 3, 4, 5, 99, usize::MAX], TableFormat::Parquet);
    let dictionaries: Vec<bool> = (0..6).map(|column| is_dictionary(&table, column)).collect();
    assert_eq!((dictionaries[0], dictionaries[1], dictionaries[2]), (true, false, true));
    assert_eq!((dictionaries[4], dictionaries[5]), (true, false));
    for (column, expected) in batch.columns().iter().enumerate() {
        assert_eq!(&spelt_out(table.clone(), column, expected.data_type()), expected, "column {column}");
    }
    let distinct = table.batches[0].column(0).as_any_dictionary().values().len();
    assert_eq!(distinct, 11);
    // An Arrow file has none.
    let table = with_dictionaries(&batch, &[0], TableFormat::Arrow);
    assert!(!is_dictionary(&table, 0));
    assert_eq!(&spelt_out(table, 0, &DataType::LargeUtf8), batch.column(0));
}

#[test]
fn texts_that_outgrew_their_dictionary_are_spelt_out() {
    // A dictionary of Parquet ends at a megabyte; what comes later is written without.
    let texts = (0..100_000).map(|i| format!("a text of its own, number {i}"));
    let batch = RecordBatch::try_from_iter(vec![("s", array(LargeStringArray::from_iter_values(texts)))]).unwrap();
    let table = with_dictionaries(&batch, &[0], TableFormat::Parquet);
    assert!(!is_dictionary(&table, 0));
    assert_same(&batch.schema(), std::slice::from_ref(&batch), Table { schema: batch.schema(), ..table });
}

#[test]
fn row_groups_have_dictionaries_of_their_own() {
    let texts = (0..1_100_000).map(|i| format!("{}", if i < 1_050_000 { i % 3 } else { 5 + i % 2 }));
    let batch = RecordBatch::try_from_iter(vec![("s", array(LargeStringArray::from_iter_values(texts)))]).unwrap();
    let table = with_dictionaries(&batch, &[0], TableFormat::Parquet);
    assert!(is_dictionary(&table, 0));
    assert_eq!(table.batches.len(), 2);
    let parts: Vec<ArrayRef> =
        table.batches.iter().map(|batch| cast(batch.column(0), &DataType::LargeUtf8).unwrap()).collect();
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    assert_eq!(&arrow::compute::concat(&parts).unwrap(), batch.column(0));
}

#[test]
fn a_table_without_a_description_is_read_as_it_is() {
    let texts = LargeStringArray::from_iter_values((0..100).map(|i| format!("{}", i % 3)));
    let batch = table(&array(texts), false);
    let config = CompressionConfig::default();
    let encoded = encode(&batch.schema(), vec![batch.clone()], &config, &TableOptions::default()).unwrap();
    let (format, bytes) = bytes(encoded);
    let asked = |_: &str| panic!("there is no description");
    let back = decode_with_dictionaries(Stored::from_bytes(format, bytes), asked).unwrap();
    assert_same(&batch.schema(), &[batch], back);
}

#[test]
fn malformed_files_with_dictionaries_are_errors() {
    let texts = LargeStringArray::from_iter((0..60).map(|i| (i % 9 != 0).then(|| format!("{}", i % 5))));
    let batch = RecordBatch::try_from_iter(vec![("s", array(texts))]).unwrap();
    let options = TableOptions { description: Some("about it".into()), ..TableOptions::default() };
    let config = config(TableFormat::Parquet, TableCodec::None);
    let (format, bytes) = bytes(encode(&batch.schema(), vec![batch], &config, &options).unwrap());
    for at in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            // Not every flip can be noticed without a hash; none may do more than fail.
            if let Err(error) = decode_with_dictionaries(Stored::from_bytes(format.clone(), changed), |_| vec![0]) {
                assert_eq!(error.kind(), ErrorKind::Serialization, "{error}");
            }
        }
    }
}
