//! The tags and limits of `docs/formats/keys.md`.

pub(crate) const VERSION: u8 = 1;

pub(crate) const NONE: u8 = 0x00;
pub(crate) const FALSE: u8 = 0x01;
pub(crate) const TRUE: u8 = 0x02;
pub(crate) const INT: u8 = 0x03;
pub(crate) const FLOAT: u8 = 0x04;
pub(crate) const COMPLEX: u8 = 0x05;
pub(crate) const STR: u8 = 0x06;
pub(crate) const LONG_STR: u8 = 0x07;
pub(crate) const BYTES: u8 = 0x08;
pub(crate) const LONG_BYTES: u8 = 0x09;
pub(crate) const DECIMAL: u8 = 0x0a;
pub(crate) const UUID: u8 = 0x0b;
pub(crate) const ELLIPSIS: u8 = 0x0c;
pub(crate) const DATETIME: u8 = 0x10;
pub(crate) const DATETIME_ZONED: u8 = 0x11;
pub(crate) const DATE: u8 = 0x12;
pub(crate) const TIME: u8 = 0x13;
pub(crate) const DURATION: u8 = 0x14;
pub(crate) const PATH: u8 = 0x20;
pub(crate) const FILE: u8 = 0x21;
pub(crate) const DIRECTORY: u8 = 0x22;
pub(crate) const LIST: u8 = 0x40;
pub(crate) const TUPLE: u8 = 0x41;
pub(crate) const MAPPING: u8 = 0x42;
pub(crate) const SET: u8 = 0x43;
pub(crate) const FROZENSET: u8 = 0x44;
pub(crate) const ARRAY: u8 = 0x50;
pub(crate) const SCALAR: u8 = 0x51;
pub(crate) const COLUMN: u8 = 0x52;
pub(crate) const REFERENCE: u8 = 0x60;
pub(crate) const ENUM: u8 = 0x61;
pub(crate) const NAMED: u8 = 0x62;
pub(crate) const DIGEST: u8 = 0x63;

/// Strings and bytes of more bytes than this are replaced by their BLAKE3.
pub(crate) const LONG: usize = 4096;
/// Collections whose encodings have more bytes than this are replaced by their BLAKE3, the outermost value apart.
pub(crate) const LONG_COLLECTION: usize = 16 * 1024;
/// The maximum nesting of values in an encoding, for any configuration: bounds the stack of every reader.
pub(crate) const MAX_LEVELS: usize = 256;
/// Dimensions of an array.
pub(crate) const MAX_DIMENSIONS: usize = 64;

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;
