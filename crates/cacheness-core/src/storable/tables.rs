//! Storing Arrow record batches.

use arrow::array::RecordBatch;

use crate::config::CompressionConfig;
use crate::error::Result;
use crate::formats::table::{self, TableOptions};
use crate::payload::{Encoded, Stored};
use crate::storable::{Loadable, Storable, expect_format};

/// Stored as Parquet or an Arrow IPC file; read back as one batch, even if the table was written in several.
impl Storable for RecordBatch {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        table::encode(&self.schema(), vec![self.clone()], config, &TableOptions::default())
    }
}

impl Loadable for RecordBatch {
    fn decode(stored: Stored) -> Result<Self> {
        expect_format(&stored, &["parquet", "arrow"])?;
        table::decode(stored)?.into_batch()
    }
}
