//! A column of strings that grows.
#![allow(unsafe_code)]

use arrow::array::LargeStringArray;
use arrow::array::builder::NullBufferBuilder;
use arrow::buffer::{Buffer, OffsetBuffer};

/// Bytes per string to reserve in advance.
const USUAL: usize = 8;

/// Concatenated strings and nulls.
pub(super) struct Strings {
    /// The offset of each string, and the end of the last one.
    offsets: Vec<i64>,
    /// Whole strings.
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
    some: bool,
}

impl Strings {
    /// A column with capacity for this many rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(rows * USUAL), nulls: NullBufferBuilder::new(rows), some: false }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.nulls.append_non_null();
        self.some = true;
        self.end();
    }

    pub(super) fn push_null(&mut self) {
        self.nulls.append_null();
        self.end();
    }

    fn end(&mut self) {
        self.offsets.push(i64::try_from(self.bytes.len()).expect("no memory is longer"));
    }

    /// Whether there is no string.
    pub(super) fn are_all_null(&self) -> bool {
        !self.some
    }

    pub(super) fn finish(mut self) -> LargeStringArray {
        let (offsets, bytes) = (OffsetBuffer::new(self.offsets.into()), Buffer::from_vec(self.bytes));
        // SAFETY: the bytes are whole strings, the offsets ascend from one to the next and end with the last of them.
        unsafe { LargeStringArray::new_unchecked(offsets, bytes, self.nulls.finish()) }
    }
}

/// Miri runs them: what is built for an interpreter cannot be linked without one (`scripts/miri.sh`).
#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    #[test]
    fn strings_come_back() {
        let rows = [Some("a"), None, Some(""), Some("Grüße, 世界"), None, Some("a much longer one than is usual")];
        let mut strings = Strings::with_capacity(rows.len());
        for row in rows {
            match row {
                Some(text) => strings.push(text),
                None => strings.push_null(),
            }
        }
        assert!(!strings.are_all_null());
        let array = strings.finish();
        array.to_data().validate_full().expect("a valid array");
        assert!(array.iter().eq(rows));
        assert_eq!(array, LargeStringArray::from(rows.to_vec()));
    }

    #[test]
    fn nothing_and_nulls_alone() {
        for rows in [0, 3] {
            let mut strings = Strings::with_capacity(0);
            (0..rows).for_each(|_| strings.push_null());
            assert!(strings.are_all_null());
            let array = strings.finish();
            array.to_data().validate_full().expect("a valid array");
            assert_eq!((array.len(), array.null_count()), (rows, rows));
        }
    }
}
