//! Files that are damaged, mapped or streamed, and tables that no file can hold.

use std::slice::from_ref;

use cacheness_core::ErrorKind;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Entry, Location};
use cacheness_core::formats::table::decode_mmap;
use cacheness_core::payload::{Check, Payload, PayloadHasher};

use super::*;

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

impl cacheness_core::backend::BlobReader for Local {
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
        computed: None,
        location: Location::Blob(BlobRef::new("blob", bytes.len() as u64)),
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

impl cacheness_core::backend::BlobWriter for Full {
    fn commit(self: Box<Self>) -> cacheness_core::Result<BlobRef> {
        panic!("nothing to commit")
    }

    fn abort(self: Box<Self>) -> cacheness_core::Result<()> {
        Ok(())
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
