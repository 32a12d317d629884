//! Checks the claims of a Parquet file against its bytes before it is decoded: the decoder allocates as much memory as a page
//! or a schema claims, and aborts the program if it cannot get it.
//!
//! Page headers are Thrift in its compact protocol
//! (github.com/apache/thrift, `doc/specs/thrift-compact-protocol.md`; github.com/apache/parquet-format, `parquet.thrift`).

use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// The maximum bytes of a value for each byte of the file: twice the ratio of Zstandard.
const VALUE_PER_BYTE: usize = 1 << 16;

/// The maximum bytes of a batch of fixed-length values.
const BATCH_BYTES: usize = 256 << 20;

/// The footer's length and the magic number at the end of a file.
const TRAILER: usize = 8;

fn absurd(what: &str) -> ParquetError {
    ParquetError::General(format!("{what} claims more than the file can hold"))
}

/// Refuses a footer that claims more than its bytes, before it is parsed.
pub(super) fn check_footer(file: &[u8]) -> Result<(), ParquetError> {
    let Some((rest, trailer)) = file.split_last_chunk::<TRAILER>() else { return Ok(()) };
    let [a, b, c, d, ..] = *trailer;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    // For a file that is not Parquet at all, the decoder has a better error.
    let Some(start) = rest.len().checked_sub(length) else { return Ok(()) };
    Thrift { rest: &rest[start..] }.walk(&FOOTER, STRUCTURE).ok_or_else(|| absurd("the footer"))
}

/// Refuses impossible claims; otherwise returns how many rows, at most `most`, to read at a time.
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

/// The maximum content of a page of `compressed` bytes.
fn holds(codec: Compression, compressed: usize) -> usize {
    match codec {
        // Uncompressed.
        Compression::UNCOMPRESSED => usize::MAX,
        // A block of at most 128 KiB takes at least four bytes.
        Compression::ZSTD(_) => (compressed / 4 + 1).saturating_mul(128 << 10),
        Compression::GZIP(_) => compressed.saturating_mul(1040),
        // A copy of at most 64 bytes takes at least two.
        Compression::SNAPPY => compressed.saturating_mul(32),
        _ => compressed.saturating_mul(256),
    }
}

/// Checks the headers of all pages of a column chunk.
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
    /// The header at the start of `bytes`, and the rest.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut thrift = Thrift { rest: bytes };
        let (mut uncompressed, mut compressed) = (None, None);
        let mut field = 0;
        while let Some((id, kind)) = thrift.field(field)? {
            field = id;
            match (id, kind) {
                (2, 5) => uncompressed = Some(usize::try_from(thrift.signed()?).ok()?),
                (3, 5) => compressed = Some(usize::try_from(thrift.signed()?).ok()?),
                _ => thrift.walk_field(PAGE_HEADER, id, kind)?,
            }
        }
        Some((Self { uncompressed: uncompressed?, compressed: compressed? }, thrift.rest))
    }
}

/// Reads the compact protocol; `None` if it is malformed.
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

    /// A zigzag-encoded number: its lowest bit is the sign.
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

    /// Skips a value of this kind, which must have this shape.
    fn walk(&mut self, shape: &Shape, kind: u8) -> Option<()> {
        match shape {
            // The kind of a boolean is its value.
            Truth if matches!(kind, 1 | 2) => {}
            Byte if kind == 3 => drop(self.byte()?),
            Number(own) if kind == *own => drop(self.unsigned()?),
            Text if kind == 8 => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                self.take(length)?;
            }
            List(items) if kind == 9 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.unsigned()? } else { u64::from(head >> 4) };
                // Items are never booleans: each takes at least a byte, which bounds the count.
                for _ in 0..count {
                    self.walk(items, head & 0x0f)?;
                }
            }
            Structure(fields) if kind == STRUCTURE => {
                let mut field = 0;
                while let Some((id, kind)) = self.field(field)? {
                    field = id;
                    self.walk_field(fields, id, kind)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn walk_field(&mut self, fields: &[(i64, Shape)], id: i64, kind: u8) -> Option<()> {
        let (_, shape) = fields.iter().find(|(known, _)| *known == id)?;
        self.walk(shape, kind)
    }
}

/// The structure of a value of `parquet.thrift`. The decoder skips unknown fields, and reads no bytes for the items of some
/// lists: two thousand million items take seconds of work for six bytes. It also reads a known field of any kind. A file may
/// therefore have only known fields of the specified kinds.
enum Shape {
    Truth,
    Byte,
    Number(u8),
    Text,
    List(&'static Shape),
    Structure(&'static [(i64, Shape)]),
}
use Shape::{Byte, List, Number, Structure, Text, Truth};

/// The kind of a structure on the wire.
const STRUCTURE: u8 = 12;
const I16: Shape = Number(4);
const I32: Shape = Number(5);
const I64: Shape = Number(6);
const NOTHING: Shape = Structure(&[]);

const KEY_VALUE: Shape = Structure(&[(1, Text), (2, Text)]);
const TIME_UNIT: Shape = Structure(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]);
const TIME: Shape = Structure(&[(1, Truth), (2, TIME_UNIT)]);
const LOGICAL_TYPE: Shape = Structure(&[
    (1, NOTHING),
    (2, NOTHING),
    (3, NOTHING),
    (4, NOTHING),
    (5, Structure(&[(1, I32), (2, I32)])),
    (6, NOTHING),
    (7, TIME),
    (8, TIME),
    (10, Structure(&[(1, Byte), (2, Truth)])),
    (11, NOTHING),
    (12, NOTHING),
    (13, NOTHING),
    (14, NOTHING),
    (15, NOTHING),
]);
const SCHEMA_ELEMENT: Shape = Structure(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Text),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);
const STATISTICS: Shape =
    Structure(&[(1, Text), (2, Text), (3, I64), (4, I64), (5, Text), (6, Text), (7, Truth), (8, Truth)]);
const COLUMN_METADATA: Shape = Structure(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Text)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&Structure(&[(1, I32), (2, I32), (3, I32)]))),
    (14, I64),
    (15, I32),
    (16, Structure(&[(1, I64), (2, List(&I64)), (3, List(&I64))])),
]);
const COLUMN_CHUNK: Shape =
    Structure(&[(1, Text), (2, I64), (3, COLUMN_METADATA), (4, I64), (5, I32), (6, I64), (7, I32)]);
const ROW_GROUP: Shape = Structure(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&Structure(&[(1, I32), (2, Truth), (3, Truth)]))),
    (5, I64),
    (6, I64),
    (7, I16),
]);
/// Encrypted files are refused.
const FOOTER: Shape = Structure(&[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Text),
    (7, List(&Structure(&[(1, NOTHING)]))),
]);
const PAGE_HEADER: &[(i64, Shape)] = &[
    (1, I32),
    (4, I32),
    (5, Structure(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (6, NOTHING),
    (7, Structure(&[(1, I32), (2, I32), (3, Truth)])),
    (8, Structure(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, I32), (6, I32), (7, Truth), (8, STATISTICS)])),
];

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
        // A version, a schema of two elements, the first with a name, no rows, no groups.
        check(&[0x15, 0x02, 0x19, 0x2c, 0x48, 0x01, b'a', 0x00, 0x00, 0x16, 0x00, 0x19, 0x0c, 0x00]).unwrap();
        let absurd: [&[u8]; 7] = [
            // Two thousand million truths, of which none takes a byte: in a list, in a map, in a field that nobody knows.
            &[0x29, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00],
            &[0x2b, 0xff, 0xff, 0xff, 0xff, 0x07, 0x11, 0x00],
            &[0xe9, 0xf2, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00],
            // So many elements; a structure without an end; a name that is a number; one that is longer than the footer.
            &[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00],
            &[0x15, 0x02],
            &[0x29, 0x1c, 0x45, 0x02, 0x00, 0x00],
            &[0x29, 0x1c, 0x48, 0x7f, b'a', 0x00, 0x00],
        ];
        for footer in absurd {
            assert!(check(footer).unwrap_err().to_string().contains("the footer claims more"), "{footer:x?}");
        }
        // No footer at all is the decoder's business.
        check_footer(b"PAR1").unwrap();
        check_footer(&[0xff; 16]).unwrap();
    }

    /// A page header and its body.
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
        // type = 0; the sizes; a header of version 2: six numbers, a truth, statistics.
        let nested = [
            &[0x5c, 0x15, 2, 0x15, 0, 0x15, 2, 0x15, 0, 0x15, 0, 0x15, 0, 0x11, 0x1c, 0x36, 0, 0x00, 0x00][..],
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
