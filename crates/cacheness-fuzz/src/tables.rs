//! Stored tables: Parquet and Arrow IPC files.

use arrow::array::Array;
use cacheness_core::ErrorKind;
use cacheness_core::config::{CompressionConfig, TableFormat};
use cacheness_core::formats::table::{self, TableOptions};
use cacheness_core::payload::Payload;

pub(crate) fn run(bytes: &[u8]) {
    let format = if bytes.starts_with(b"PAR1") { "parquet" } else { "arrow" };
    let decoded = table::decode(super::stored(format, "arrow_tables", "none", bytes));
    let table = match decoded {
        Ok(table) => table,
        Err(error) => return super::refused(&error, &[ErrorKind::Serialization, ErrorKind::Unsupported]),
    };
    for batch in &table.batches {
        assert_eq!(batch.schema(), table.schema);
        for column in batch.columns() {
            // Safe code relies on offsets inside their buffers, UTF-8 text, and keys inside dictionaries.
            column.to_data().validate_full().expect("what was decoded is valid");
        }
    }
    if table.num_rows() > 1 << 16 {
        return;
    }
    let (schema, batches) = (table.schema.clone(), table.batches.clone());
    let Ok(batch) = table.into_batch() else { return };
    for dataframe_format in [TableFormat::Parquet, TableFormat::Arrow] {
        let config = CompressionConfig { dataframe_format, ..CompressionConfig::default() };
        let Ok(encoded) = table::encode(&schema, batches.clone(), &config, &TableOptions::default()) else { continue };
        let Payload::Bytes(payload) = encoded.payload else { continue };
        let format = if encoded.format.storage_format == "parquet" { "parquet" } else { "arrow" };
        let back = table::decode(super::stored(format, "arrow_tables", "none", &payload)).expect("its own file");
        let back = back.into_batch().expect("one batch");
        assert_eq!(back.schema(), batch.schema());
        assert_eq!(back.num_rows(), batch.num_rows());
    }
}
