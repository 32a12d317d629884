//! The rows of a query: in memory while they are few, else in an unnamed temporary file.
//!
//! A backend writes all rows before a caller sees the first one. The database is therefore free while a caller takes its
//! time, a query can be repeated if it had to be stopped, the types of all values of a column are known from the start,
//! and the memory of a large result stays flat.

use std::fmt;
use std::io::{BufReader, BufWriter, Read, Seek, Write};

use tempfile::SpooledTempFile;

use super::{SqlRef, SqlValue};
use crate::error::{Error, ErrorKind, Result};

/// The maximum bytes of rows in memory.
const IN_MEMORY: usize = 4 << 20;

/// Bytes that are written to, or read from, the file at a time.
const BUFFER: usize = 64 << 10;

/// The type of a [`SqlValue`] that is not `NULL`. Its number is the tag of such a value in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SqlType {
    /// [`SqlValue::Bool`].
    Bool = 1,
    /// [`SqlValue::Int`].
    Int = 2,
    /// [`SqlValue::Float`].
    Float = 3,
    /// [`SqlValue::Text`].
    Text = 4,
    /// [`SqlValue::Bytes`].
    Bytes = 5,
}

const TYPES: [SqlType; 5] = [SqlType::Bool, SqlType::Int, SqlType::Float, SqlType::Text, SqlType::Bytes];

/// A column of a result, and the types of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlColumn {
    /// The name, which another column may have too.
    pub name: String,
    /// One bit for each tag.
    seen: u8,
}

impl SqlColumn {
    /// The types of the values; several if the statement mixes them, none if all values are `NULL`.
    pub fn types(&self) -> impl Iterator<Item = SqlType> + '_ {
        TYPES.into_iter().filter(|kind| self.seen & (1 << *kind as u8) != 0)
    }

    /// Whether a value is `NULL`.
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        self.seen & 1 != 0
    }
}

/// Collects the rows of a query. For backends.
pub struct SqlRowsWriter {
    columns: Vec<SqlColumn>,
    /// The column of the next value.
    next: usize,
    rows: u64,
    file: BufWriter<SpooledTempFile>,
}

impl SqlRowsWriter {
    /// No rows yet, of these columns.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let columns = names.into_iter().map(|name| SqlColumn { name, seen: 0 }).collect();
        let file = BufWriter::with_capacity(BUFFER, SpooledTempFile::new(IN_MEMORY));
        Self { columns, next: 0, rows: 0, file }
    }

    /// Adds the value of the next column: of the same row, or of the next row after its last column.
    ///
    /// # Errors
    /// `InvalidInput` if there are no columns; `Storage` if the temporary file cannot be written.
    pub fn push(&mut self, value: SqlRef<'_>) -> Result<()> {
        let Some(column) = self.columns.get_mut(self.next) else {
            return Err(Error::new(ErrorKind::InvalidInput, "the statement has no result"));
        };
        let tag = match value {
            SqlRef::Null => 0,
            SqlRef::Bool(_) => SqlType::Bool as u8,
            SqlRef::Int(_) => SqlType::Int as u8,
            SqlRef::Float(_) => SqlType::Float as u8,
            SqlRef::Text(_) => SqlType::Text as u8,
            SqlRef::Bytes(_) => SqlType::Bytes as u8,
        };
        column.seen |= 1 << tag;
        self.next += 1;
        if self.next == self.columns.len() {
            self.next = 0;
            self.rows += 1;
        }
        self.write(tag, value).map_err(|e| Error::io("cannot write the rows of a query to a temporary file", e))
    }

    fn write(&mut self, tag: u8, value: SqlRef<'_>) -> std::io::Result<()> {
        let file = &mut self.file;
        file.write_all(&[tag])?;
        let mut sized = |bytes: &[u8]| {
            file.write_all(&(bytes.len() as u64).to_le_bytes())?;
            file.write_all(bytes)
        };
        match value {
            SqlRef::Null => Ok(()),
            SqlRef::Bool(value) => file.write_all(&[u8::from(value)]),
            SqlRef::Int(value) => file.write_all(&value.to_le_bytes()),
            SqlRef::Float(value) => file.write_all(&value.to_bits().to_le_bytes()),
            SqlRef::Text(text) => sized(text.as_bytes()),
            SqlRef::Bytes(bytes) => sized(bytes),
        }
    }

    /// The number of complete rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows, to be read from the first one.
    ///
    /// # Errors
    /// `Storage` if the temporary file cannot be written.
    pub fn finish(self) -> Result<SqlRows> {
        let written = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|mut file| {
            file.rewind()?;
            Ok(file)
        });
        let file = written.map_err(|e| Error::io("cannot write the rows of a query to a temporary file", e))?;
        Ok(SqlRows { columns: self.columns, left: self.rows, file: BufReader::with_capacity(BUFFER, file) })
    }
}

/// The rows of a query, in their order. They stay readable when the store has been closed.
pub struct SqlRows {
    columns: Vec<SqlColumn>,
    left: u64,
    file: BufReader<SpooledTempFile>,
}

impl fmt::Debug for SqlRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlRows").field("columns", &self.columns).field("left", &self.left).finish_non_exhaustive()
    }
}

impl SqlRows {
    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[SqlColumn] {
        &self.columns
    }

    /// The number of rows that have not been read yet.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    fn read(&mut self) -> std::io::Result<Vec<SqlValue>> {
        (0..self.columns.len()).map(|_| self.read_value()).collect()
    }

    fn read_value(&mut self) -> std::io::Result<SqlValue> {
        let tag = self.bytes::<1>()?[0];
        if tag == 0 {
            return Ok(SqlValue::Null);
        }
        let kind = TYPES.into_iter().find(|kind| *kind as u8 == tag).ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(match kind {
            SqlType::Bool => SqlValue::Bool(self.bytes::<1>()?[0] != 0),
            SqlType::Int => SqlValue::Int(i64::from_le_bytes(self.bytes()?)),
            SqlType::Float => SqlValue::Float(f64::from_bits(u64::from_le_bytes(self.bytes()?))),
            SqlType::Text => {
                let text = String::from_utf8(self.sized()?);
                SqlValue::Text(text.map_err(|_| std::io::ErrorKind::InvalidData)?)
            }
            SqlType::Bytes => SqlValue::Bytes(self.sized()?),
        })
    }

    fn bytes<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn sized(&mut self) -> std::io::Result<Vec<u8>> {
        let length = u64::from_le_bytes(self.bytes()?);
        let mut bytes = Vec::new();
        if self.file.by_ref().take(length).read_to_end(&mut bytes)? as u64 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}

impl Iterator for SqlRows {
    type Item = Result<Vec<SqlValue>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let row = self.read().map_err(|e| Error::io("cannot read the rows of a query from a temporary file", e));
        if row.is_err() {
            self.left = 0;
        }
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).ok();
        (0, left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(number: usize) -> SqlValue {
        match number % 6 {
            0 => SqlValue::Null,
            1 => SqlValue::Bool(number % 4 == 1),
            2 => SqlValue::Int(i64::MIN + i64::try_from(number).expect("small")),
            3 => SqlValue::Float(-0.0),
            4 => SqlValue::Text("ключ\0".repeat(number % 50)),
            _ => SqlValue::Bytes(vec![255; number % 300]),
        }
    }

    #[test]
    fn rows_come_back_from_memory_and_from_a_file() {
        for count in [0, 1, 60_000] {
            let mut writer = SqlRowsWriter::new(["a", "b", "a"].map(str::to_owned));
            (0..3 * count).for_each(|i| writer.push(value(i).as_ref()).expect("written"));
            assert_eq!(writer.rows(), count as u64);
            let rows = writer.finish().expect("finished");
            assert_eq!(rows.left(), count as u64);
            let names: Vec<&str> = rows.columns().iter().map(|column| column.name.as_str()).collect();
            assert_eq!(names, ["a", "b", "a"]);
            let mut seen = 0;
            for row in rows {
                assert_eq!(row.expect("read"), (seen..seen + 3).map(value).collect::<Vec<_>>());
                seen += 3;
            }
            assert_eq!(seen, 3 * count);
        }
    }

    #[test]
    fn a_column_knows_its_types() {
        let mut writer = SqlRowsWriter::new(["mixed", "null", "text"].map(str::to_owned));
        let row = |first| [first, SqlRef::Null, SqlRef::Text("")];
        [row(SqlRef::Int(1)), row(SqlRef::Float(1.0))]
            .iter()
            .flatten()
            .for_each(|value| writer.push(*value).expect("written"));
        let rows = writer.finish().expect("finished");
        let types: Vec<Vec<SqlType>> = rows.columns().iter().map(|column| column.types().collect()).collect();
        assert_eq!(types, [vec![SqlType::Int, SqlType::Float], vec![], vec![SqlType::Text]]);
        let nulls: Vec<bool> = rows.columns().iter().map(SqlColumn::has_nulls).collect();
        assert_eq!(nulls, [false, true, false]);
    }

    #[test]
    fn a_result_without_columns_is_refused() {
        let mut writer = SqlRowsWriter::new([]);
        assert_eq!(writer.push(SqlRef::Null).expect_err("no column").kind(), ErrorKind::InvalidInput);
        assert_eq!(writer.finish().expect("finished").count(), 0);
    }
}
