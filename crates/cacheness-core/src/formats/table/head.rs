//! The beginning of a stored table, for previews.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::{Owned, ipc, is_parquet, parquet_read};
use super::{catch, finish};
use crate::error::Result;
use crate::payload::Stored;

/// The description of a table, and its first rows.
#[derive(Clone, Debug)]
pub struct TableHead {
    /// The schema that was stored.
    pub schema: SchemaRef,
    /// [`TableOptions::description`](super::TableOptions::description) of the table when it was stored.
    pub description: Option<String>,
    /// The number of rows of the whole table.
    pub num_rows: u64,
    /// The first rows, in one batch or several.
    pub batches: Vec<RecordBatch>,
}

/// Verifies a table and decodes its first `rows` rows. Decodes nothing else of a Parquet file.
pub fn head(stored: Stored, rows: usize) -> Result<TableHead> {
    let parquet = is_parquet(&stored)?;
    let key = stored.key().to_owned();
    let bytes = Bytes::from_owner(Owned(stored.into_bytes()?));
    let mut num_rows = 0;
    let read = catch(|| {
        if parquet {
            let (schema, batches, all) = parquet_read::head(bytes, rows)?;
            num_rows = all;
            return Ok((schema, batches));
        }
        let (schema, batches) = ipc::read(bytes)?;
        num_rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut left = rows;
        let first = batches.into_iter().map_while(|batch| {
            let count = batch.num_rows().min(left);
            left -= count;
            (count > 0).then(|| batch.slice(0, count))
        });
        Ok((Arc::clone(&schema), first.collect()))
    });
    let table = finish(read, &key)?;
    Ok(TableHead { schema: table.schema, description: table.description, num_rows, batches: table.batches })
}
