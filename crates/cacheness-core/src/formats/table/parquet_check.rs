//! What a Parquet file claims, compared with its bytes before it is decoded: the decoder asks for as much memory as a page
//! or a schema says that it needs, and a program that cannot have it ends.
//!
//! Page headers are Thrift in its compact protocol
//! (github.com/apache/thrift, `doc/specs/thrift-compact-protocol.md`; github.com/apache/parquet-format, `parquet.thrift`).

use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Bytes of one value for each byte of the file at most: what Zstandard reaches, twice.
const VALUE_PER_BYTE: usize = 1 << 16;

/// What a batch of values of a fixed length may take.
const BATCH_BYTES: usize = 256 << 20;

/// Structures inside each other; a page header has three levels, a footer some ten.
const DEPTH: usize = 24;

/// The footer's length and the magic number at the end of a file.
const TRAILER: usize = 8;

fn absurd(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} claims more than the file can hold"))
}

/// Refuses a footer with more in it than it has bytes, before anybody reads it. The decoder skips what it does not know, and
/// takes nothing for a truth in a list: two thousand million of them are seconds of work for six bytes.
pub(super) fn check_footer(file: &[u8]) -> Result<(), ParquetError> {
    let Some((rest, trailer)) = file.split_last_chunk::<TRAILER>() else { return Ok(()) };
    let [a, b, c, d, ..] = *trailer;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    // What is no Parquet file at all, the decoder says better.
    let Some(start) = rest.len().checked_sub(length) else { return Ok(()) };
    Thrift { rest: &rest[start..] }.skip(12, DEPTH).ok_or_else(|| absurd("the footer"))
}

/// Refuses what cannot be; of what can, returns how many rows of `most` are to be read at a time.
pub(super) fn check(file: &[u8], metadata: &ParquetMetaData, most: usize) -> Result<usize, ParquetError> {
    let mut rows = most;
    for column in metadata.file_metadata().schema_descr().columns() {
        if column.physical_type() == Type::FIXED_LEN_BYTE_ARRAY {
            let length = usize::try_from(column.type_length()).unwrap_or(usize::MAX);
            if length / VALUE_PER_BYTE > file.len() {
                return Err(absurd("a type"));
            }
            rows = rows.min(BATCH_BYTES / length.max(1)).max(1);
        }
    }
    for group in metadata.row_groups() {
        for column in group.columns() {
            let chunk = chunk(file, column).ok_or_else(|| absurd("a column chunk"))?;
            pages(chunk, column.compression())?;
        }
    }
    Ok(rows)
}

/// The bytes of a column chunk.
fn chunk<'a>(file: &'a [u8], column: &ColumnChunkMetaData) -> Option<&'a [u8]> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let start = usize::try_from(start).ok()?;
    let length = usize::try_from(column.compressed_size()).ok()?;
    file.get(start..start.checked_add(length)?)
}

/// Bytes that a page of `compressed` bytes holds at most.
fn holds(codec: Compression, compressed: usize) -> usize {
    match codec {
        // Taken as it is.
        Compression::UNCOMPRESSED => usize::MAX,
        // A block of at most 128 KiB takes four bytes at least.
        Compression::ZSTD(_) => (compressed / 4 + 1).saturating_mul(128 << 10),
        Compression::GZIP(_) => compressed.saturating_mul(1040),
        // A copy of at most 64 bytes takes two at least.
        Compression::SNAPPY => compressed.saturating_mul(32),
        _ => compressed.saturating_mul(256),
    }
}

/// Looks at the headers of all pages of a column chunk.
fn pages(chunk: &[u8], codec: Compression) -> Result<(), ParquetError> {
    let mut rest = chunk;
    while !rest.is_empty() {
        let (header, body) = PageHeader::read(rest).ok_or_else(|| absurd("a page"))?;
        let page = body.get(..header.compressed).ok_or_else(|| absurd("a page"))?;
        if header.uncompressed > holds(codec, page.len()) {
            return Err(absurd("a page"));
        }
        rest = &body[page.len()..];
    }
    Ok(())
}

struct PageHeader {
    uncompressed: usize,
    compressed: usize,
}

impl PageHeader {
    /// The header that `bytes` begin with, and what follows it.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut thrift = Thrift { rest: bytes };
        let (mut uncompressed, mut compressed) = (None, None);
        let mut field = 0;
        while let Some((id, kind)) = thrift.field(field)? {
            field = id;
            match (id, kind) {
                (2, 5) => uncompressed = Some(usize::try_from(thrift.signed()?).ok()?),
                (3, 5) => compressed = Some(usize::try_from(thrift.signed()?).ok()?),
                _ => thrift.skip(kind, DEPTH)?,
            }
        }
        Some((Self { uncompressed: uncompressed?, compressed: compressed? }, thrift.rest))
    }
}

/// Reads the compact protocol; `None` where it is none.
struct Thrift<'a> {
    rest: &'a [u8],
}

impl<'a> Thrift<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number whose sign is its lowest bit.
    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// The number and type of the field that follows the field `before`; `Some(None)` at the end of the structure.
    fn field(&mut self, before: i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let id = match head >> 4 {
            0 => self.signed()?,
            more => before.checked_add(i64::from(more))?,
        };
        Some(Some((id, head & 0x0f)))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        match kind {
            // The value of a truth is its type.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.unsigned()?),
            7 => drop(self.take(8)?),
            8 => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                self.take(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    self.element(head & 0x0f, deeper)?;
                }
            }
            11 => {
                let count = self.unsigned()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.element(kinds >> 4, deeper)?;
                    self.element(kinds & 0x0f, deeper)?;
                }
            }
            12 => {
                let mut field = 0;
                while let Some((id, kind)) = self.field(field)? {
                    field = id;
                    self.skip(kind, deeper)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// An element of a list or a map. Each takes a byte at least, so that no count is believed; but for a truth, of which
    /// some say that it does and some that it does not: neither a footer nor a page header has lists of them.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) { None } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_are_compared_with_their_bytes() {
        let file = |footer: &[u8]| {
            let length = u32::try_from(footer.len()).unwrap().to_le_bytes();
            [b"PAR1", footer, &length, b"PAR1"].concat()
        };
        let check = |footer: &[u8]| check_footer(&file(footer));
        // Field 1: a number. Field 2: a list of two structures, the first with a text. Field 3: an empty list.
        check(&[0x15, 0x02, 0x19, 0x2c, 0x18, 0x01, b'a', 0x00, 0x00, 0x19, 0x00, 0x00]).unwrap();
        let absurd: [&[u8]; 5] = [
            // Two thousand million truths, of which none takes a byte; the same in a map; and in a list of lists.
            &[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00],
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11, 0x00],
            &[0x19, 0x19, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00],
            // So many numbers, and a structure without an end.
            &[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 0x02, 0x00],
            &[0x15, 0x02],
        ];
        for footer in absurd {
            assert!(check(footer).unwrap_err().to_string().contains("the footer claims more"), "{footer:x?}");
        }
        check(&[0x1c; 1000]).unwrap_err();
        // No footer at all is the decoder's business.
        check_footer(b"PAR1").unwrap();
        check_footer(&[0xff; 16]).unwrap();
    }

    /// A page header of version 1, and its body.
    fn page(uncompressed: u64, compressed: u64, body: &[u8]) -> Vec<u8> {
        let varint = |mut value: u64| {
            let mut out = Vec::new();
            while value >= 0x80 {
                out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
                value >>= 7;
            }
            out.push(u8::try_from(value).unwrap());
            out
        };
        let zigzag = |value: u64| varint(value << 1);
        // type = 0; the sizes; a structure with a number, a truth, a list of two strings and a map.
        let nested = [
            &[0x5c, 0x15, 0x08, 0x11, 0x19, 0x28, 0x01, b'a', 0x00, 0x1b, 0x01, 0x58, 0x02, 0x01, b'x', 0x00][..],
            &[0x00],
        ];
        let head = [&[0x15, 0x00, 0x15][..], &zigzag(uncompressed), &[0x15], &zigzag(compressed)].concat();
        [&head[..], nested[0], nested[1], body].concat()
    }

    #[test]
    fn pages_are_compared_with_their_bytes() {
        let zstd = Compression::ZSTD(Default::default());
        let two = [page(100, 4, &[0; 4]), page(1 << 17, 3, &[0; 3])].concat();
        pages(&two, zstd).unwrap();
        pages(&page(96, 3, &[0; 3]), Compression::SNAPPY).unwrap();
        pages(&page(1 << 31, 3, &[0; 3]), Compression::UNCOMPRESSED).unwrap();
        for (absurd, codec) in [
            (page(1 << 30, 4, &[0; 4]), zstd),
            (page(97, 3, &[0; 3]), Compression::SNAPPY),
            (page(1 << 20, 100, &[0; 100]), Compression::LZ4_RAW),
            (page(10, 5, &[0; 4]), zstd),
            (two[..two.len() - 1].to_vec(), zstd),
            (vec![0x00], zstd),
            (vec![0x15; 400], zstd),
            (vec![0x1c; 400], zstd),
            (vec![0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x0f], zstd),
        ] {
            assert!(pages(&absurd, codec).is_err(), "{absurd:?}");
        }
    }

    #[test]
    fn numbers_have_a_sign() {
        for (bytes, value) in [(&[0x00][..], 0), (&[0x01], -1), (&[0x02], 1), (&[0xff, 0x01], -128)] {
            assert_eq!(Thrift { rest: bytes }.signed(), Some(value));
        }
        assert_eq!(Thrift { rest: &[0xff; 11] }.unsigned(), None);
    }
}
