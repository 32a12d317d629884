//! Writes canonical encodings.

use crate::config::SerializationConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::key::varint::push_varint;
use crate::key::{Segment, digest, tag};

/// A kind of collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Values in order.
    List,
    /// Values in order, of a fixed number.
    Tuple,
    /// Pairs of key and value, without an order.
    Mapping,
    /// Values without an order.
    Set,
    /// Values without an order that cannot change.
    FrozenSet,
}

impl Collection {
    fn tag(self) -> u8 {
        match self {
            Self::List => tag::LIST,
            Self::Tuple => tag::TUPLE,
            Self::Mapping => tag::MAPPING,
            Self::Set => tag::SET,
            Self::FrozenSet => tag::FROZENSET,
        }
    }

    fn is_unordered(self) -> bool {
        matches!(self, Self::Mapping | Self::Set | Self::FrozenSet)
    }
}

/// An open collection: returned by [`KeyEncoder::begin`], passed to [`KeyEncoder::end`].
#[derive(Debug)]
#[must_use = "give it back to KeyEncoder::end"]
pub struct Frame {
    kind: Collection,
    start: usize,
    body: usize,
    first_span: usize,
    counted: bool,
}

/// The position of one member of an unordered collection in the output.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    key_end: usize,
    end: usize,
}

/// Writes the canonical encoding of values, one method per tag.
///
/// After an error the encoder holds an incomplete encoding and must be dropped; [`KeyEncoder::place`] then names the failed
/// part.
#[derive(Debug)]
pub struct KeyEncoder {
    pub(super) out: Vec<u8>,
    spans: Vec<Span>,
    pub(super) path: Vec<Segment>,
    levels: usize,
    depth: usize,
    tuple_depth: usize,
    max_depth: usize,
    max_tuple_depth: usize,
    collections: bool,
    introspection: bool,
    path_content: bool,
}

/// Enough for a few small parameters and their copy while they are sorted.
const CAPACITY: usize = 256;

impl KeyEncoder {
    /// An encoder that has written the version byte and expects one value.
    #[must_use]
    pub fn new(config: &SerializationConfig) -> Self {
        let mut out = Vec::with_capacity(CAPACITY);
        out.push(tag::VERSION);
        Self {
            out,
            spans: Vec::with_capacity(8),
            path: Vec::new(),
            levels: 0,
            depth: 0,
            tuple_depth: 0,
            max_depth: config.max_collection_depth,
            max_tuple_depth: config.max_tuple_recursive_length,
            collections: config.enable_collections,
            introspection: config.enable_object_introspection,
            path_content: config.hash_path_content,
        }
    }

    /// The finished encoding.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        debug_assert!(self.levels == 0, "a collection was left open");
        self.out
    }

    /// Whether paths are encoded by content.
    #[must_use]
    pub fn hashes_path_content(&self) -> bool {
        self.path_content
    }

    /// Whether an object that comes next, without an encoding of its own, is encoded by its parts: in collections only
    /// where these are encoded intelligently.
    #[must_use]
    pub fn introspects_objects(&self) -> bool {
        self.introspection && (self.collections || self.depth == 0)
    }

    // ----- scalars

    /// `None`, `()`.
    pub fn none(&mut self) {
        self.out.push(tag::NONE);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { tag::TRUE } else { tag::FALSE });
    }

    /// An integer of up to 64 bits.
    pub fn int(&mut self, value: i64) {
        self.int_bytes(&value.to_be_bytes());
    }

    /// An integer of up to 128 bits.
    pub fn int128(&mut self, value: i128) {
        self.int_bytes(&value.to_be_bytes());
    }

    /// An unsigned integer of up to 128 bits.
    pub fn uint128(&mut self, value: u128) {
        let mut bytes = [0; 17];
        bytes[1..].copy_from_slice(&value.to_be_bytes());
        self.int_bytes(&bytes);
    }

    /// An integer of any size in two's complement, big-endian; bytes that only repeat the sign are omitted.
    pub fn int_bytes(&mut self, mut bytes: &[u8]) {
        loop {
            match bytes {
                [0] => bytes = &[],
                [0, second, ..] if *second < 0x80 => bytes = &bytes[1..],
                [0xff, second, ..] if *second >= 0x80 => bytes = &bytes[1..],
                _ => break,
            }
        }
        self.out.push(tag::INT);
        self.raw(bytes);
    }

    /// A float; every NaN is the same one.
    pub fn float(&mut self, value: f64) {
        self.out.push(tag::FLOAT);
        self.f64(value);
    }

    /// A complex number.
    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.out.push(tag::COMPLEX);
        self.f64(real);
        self.f64(imaginary);
    }

    /// A string.
    pub fn str(&mut self, value: &str) {
        self.maybe_long(tag::STR, tag::LONG_STR, value.as_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.maybe_long(tag::BYTES, tag::LONG_BYTES, value);
    }

    /// A decimal number as its scientific string; an error if `text` is not one.
    pub fn decimal(&mut self, text: &str) -> Result<()> {
        if !super::decode::is_decimal(text.as_bytes()) {
            return Err(Error::new(ErrorKind::KeyEncoding, format!("{text:?} is not the string of a decimal number")));
        }
        self.out.push(tag::DECIMAL);
        self.text(text);
        Ok(())
    }

    /// A UUID in network order.
    pub fn uuid(&mut self, bytes: &[u8; 16]) {
        self.out.push(tag::UUID);
        self.out.extend_from_slice(bytes);
    }

    /// Python's `...`.
    pub fn ellipsis(&mut self) {
        self.out.push(tag::ELLIPSIS);
    }

    // ----- times

    /// A wall-clock time in microseconds since 1970-01-01T00:00:00, without a zone.
    pub fn datetime(&mut self, wall_micros: i64) {
        self.out.push(tag::DATETIME);
        self.i64(wall_micros);
    }

    /// A wall-clock time (as in [`datetime`](Self::datetime)) with its offset from UTC in microseconds, and the IANA
    /// name of the zone, empty for a fixed offset.
    pub fn datetime_zoned(&mut self, wall_micros: i64, offset_micros: i64, zone: &str) {
        self.out.push(tag::DATETIME_ZONED);
        self.i64(wall_micros);
        let utc = matches!(zone, "UTC" | "Etc/UTC" | "Z");
        self.i64(if utc { 0 } else { offset_micros });
        self.text(if utc { "" } else { zone });
    }

    /// A date in days since 1970-01-01.
    pub fn date(&mut self, days: i64) {
        self.out.push(tag::DATE);
        self.i64(days);
    }

    /// A time of day in microseconds since midnight, with its offset from UTC in microseconds.
    pub fn time(&mut self, micros: i64, offset_micros: Option<i64>) {
        self.out.push(tag::TIME);
        self.i64(micros);
        match offset_micros {
            None => self.out.push(0),
            Some(offset) => {
                self.out.push(1);
                self.i64(offset);
            }
        }
    }

    /// A duration in microseconds.
    pub fn duration(&mut self, micros: i128) {
        self.out.push(tag::DURATION);
        self.int128(micros);
    }

    /// A time whose resolution is finer than a microsecond: what `write` writes is the microsecond below, `nanos` (0 to
    /// 999) are what remains. Without a remainder it is what `write` writes.
    pub fn with_nanoseconds(&mut self, nanos: u32, write: impl FnOnce(&mut Self)) -> Result<()> {
        if nanos == 0 {
            write(self);
            return Ok(());
        }
        self.begin_named("nanoseconds")?;
        let frame = self.begin_parts(Collection::Tuple, 2)?;
        write(self);
        self.int(i64::from(nanos));
        self.end(frame)?;
        self.end_named();
        Ok(())
    }

    // ----- paths

    /// A path by its name, `/`-separated.
    pub fn path_name(&mut self, name: &str) {
        self.out.push(tag::PATH);
        self.text(name);
    }

    /// A path as configured: by its content, or by name if it does not exist.
    pub fn path(&mut self, path: &std::path::Path) -> Result<()> {
        let content = if self.path_content { super::path::hash_content(path)? } else { None };
        match content {
            Some(super::path::Content::File(digest)) => self.file_content(&digest),
            Some(super::path::Content::Directory(digest)) => self.directory_content(&digest),
            None => self.path_name(&super::path::portable_name(path)?),
        }
        Ok(())
    }

    /// The content of a file, by its BLAKE3.
    pub fn file_content(&mut self, digest: &[u8; 32]) {
        self.out.push(tag::FILE);
        self.out.extend_from_slice(digest);
    }

    /// The content of a directory, by the BLAKE3 of its listing.
    pub fn directory_content(&mut self, digest: &[u8; 32]) {
        self.out.push(tag::DIRECTORY);
        self.out.extend_from_slice(digest);
    }

    // ----- arrays, references

    /// An array: NumPy's dtype string, its shape, the BLAKE3 of its items in C order.
    pub fn array(&mut self, dtype: &str, shape: &[usize], digest: &[u8; 32]) -> Result<()> {
        if shape.len() > tag::MAX_DIMENSIONS {
            let sentence = format!("an array of {} dimensions has no encoding", shape.len());
            return Err(Error::new(ErrorKind::KeyEncoding, sentence));
        }
        self.out.push(tag::ARRAY);
        self.text(dtype);
        self.varint(shape.len() as u64);
        for &dimension in shape {
            self.varint(dimension as u64);
        }
        self.out.extend_from_slice(digest);
        Ok(())
    }

    /// One item of an array, by its dtype string and its bytes.
    pub fn array_scalar(&mut self, dtype: &str, item: &[u8]) {
        self.out.push(tag::SCALAR);
        self.text(dtype);
        self.raw(item);
    }

    /// An Arrow column, by the digest of its canonical form.
    pub fn column(&mut self, digest: &[u8; 32]) {
        self.out.push(tag::COLUMN);
        self.out.extend_from_slice(digest);
    }

    /// A class, function or module: `module:qualified.name`.
    pub fn reference(&mut self, name: &str) {
        self.out.push(tag::REFERENCE);
        self.text(name);
    }

    /// A member of an enumeration.
    pub fn enum_member(&mut self, class: &str, member: &str) {
        self.out.push(tag::ENUM);
        self.text(class);
        self.text(member);
    }

    // ----- collections

    /// Opens a collection of `count` elements (pairs, for a mapping) that the user nested here.
    ///
    /// An unordered collection wants [`member`](Self::member) before each element, and a mapping
    /// [`mapped`](Self::mapped) between key and value.
    pub fn begin(&mut self, kind: Collection, count: usize) -> Result<Frame> {
        if self.depth >= self.max_depth {
            return Err(refused(format!("collections are nested more than {} deep", self.max_depth))
                .with_hint("raise max_collection_depth, flatten the parameter, or pass cache_key= instead"));
        }
        if kind == Collection::Tuple && self.tuple_depth >= self.max_tuple_depth {
            return Err(refused(format!("tuples are nested more than {} deep", self.max_tuple_depth))
                .with_hint("raise max_tuple_recursive_length, flatten the parameter, or pass cache_key= instead"));
        }
        let frame = self.open(kind, count, true)?;
        self.depth += 1;
        self.tuple_depth += usize::from(kind == Collection::Tuple);
        Ok(frame)
    }

    /// Opens a collection that only groups the parts of a [`named`](Self::begin_named) value; the limits on the user's
    /// collections do not count it.
    pub fn begin_parts(&mut self, kind: Collection, count: usize) -> Result<Frame> {
        self.open(kind, count, false)
    }

    fn open(&mut self, kind: Collection, count: usize, counted: bool) -> Result<Frame> {
        self.descend()?;
        let start = self.out.len();
        self.out.push(kind.tag());
        self.varint(count as u64);
        Ok(Frame { kind, start, body: self.out.len(), first_span: self.spans.len(), counted })
    }

    /// Marks the start of a member of a set, or of a key of a mapping.
    pub fn member(&mut self) {
        let start = self.out.len();
        self.spans.push(Span { start, key_end: 0, end: 0 });
    }

    /// Marks the end of a key of a mapping; its value follows.
    pub fn mapped(&mut self) {
        let end = self.out.len();
        self.spans.last_mut().expect("member() comes before mapped()").key_end = end;
    }

    /// Closes a collection: sorts unordered members, and replaces a long encoding by its digest.
    pub fn end(&mut self, frame: Frame) -> Result<()> {
        if frame.kind.is_unordered() {
            self.sort(&frame)?;
        }
        if frame.counted {
            self.depth -= 1;
            self.tuple_depth -= usize::from(frame.kind == Collection::Tuple);
        }
        self.levels -= 1;
        let len = self.out.len() - frame.start;
        if len > tag::LONG_COLLECTION && self.levels > 0 {
            let digest = digest::blake3(&self.out[frame.start..]);
            self.out.truncate(frame.start);
            self.out.push(tag::DIGEST);
            self.varint(len as u64);
            self.out.extend_from_slice(&digest);
        }
        Ok(())
    }

    fn sort(&mut self, frame: &Frame) -> Result<()> {
        let Self { out, spans, .. } = self;
        let members = &mut spans[frame.first_span..];
        let mut next = out.len();
        for span in members.iter_mut().rev() {
            span.end = next;
            if frame.kind != Collection::Mapping {
                span.key_end = next;
            }
            next = span.start;
        }
        let key = |span: &Span| &out[span.start..span.key_end];
        if !members.is_sorted_by(|a, b| key(a) < key(b)) {
            members.sort_unstable_by(|a, b| key(a).cmp(key(b)));
            if members.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
                let what = if frame.kind == Collection::Mapping { "keys of a mapping" } else { "members of a set" };
                return Err(refused(format!("two {what} encode alike, so they cannot be told apart")));
            }
            // Appends the sorted members behind the unsorted ones, then moves them over these.
            let end = out.len();
            out.reserve(end - frame.body);
            for span in &*members {
                out.extend_from_within(span.start..span.end);
            }
            out.copy_within(end.., frame.body);
            out.truncate(end);
        }
        spans.truncate(frame.first_span);
        Ok(())
    }

    /// Starts a value of a user-defined type; exactly one value follows, then [`end_named`](Self::end_named).
    pub fn begin_named(&mut self, type_name: &str) -> Result<()> {
        self.descend()?;
        self.out.push(tag::NAMED);
        self.text(type_name);
        Ok(())
    }

    /// Ends a value that [`begin_named`](Self::begin_named) started.
    pub fn end_named(&mut self) {
        self.levels -= 1;
    }

    fn descend(&mut self) -> Result<()> {
        if self.levels >= tag::MAX_LEVELS {
            return Err(refused(format!("values are nested more than {} deep", tag::MAX_LEVELS))
                .with_hint("pass cache_key= or a flatter parameter"));
        }
        self.levels += 1;
        Ok(())
    }

    /// The number of bytes written, which is the offset of the next value.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    // ----- building blocks

    fn maybe_long(&mut self, short: u8, long: u8, bytes: &[u8]) {
        if bytes.len() <= tag::LONG {
            self.out.push(short);
            self.raw(bytes);
        } else {
            let digest = digest::blake3(bytes);
            self.out.push(long);
            self.varint(bytes.len() as u64);
            self.out.extend_from_slice(&digest);
        }
    }

    fn varint(&mut self, value: u64) {
        push_varint(&mut self.out, value);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(text.as_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn f64(&mut self, value: f64) {
        let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
        self.out.extend_from_slice(&bits.to_be_bytes());
    }
}

fn refused(sentence: String) -> Error {
    Error::new(ErrorKind::KeyEncoding, sentence)
}
