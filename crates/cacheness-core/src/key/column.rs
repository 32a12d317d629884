//! Digests of Arrow columns by their logical content: chunks, offsets, values under nulls, dictionary order and padding
//! do not matter. The canonical column is described in `docs/formats/keys.md`.

use std::sync::Arc;

use arrow::array::types::{
    ArrowDictionaryKeyType, BinaryType, BinaryViewType, ByteArrayType, ByteViewType, Int16Type, Int32Type, Int64Type,
    LargeBinaryType, LargeUtf8Type, RunEndIndexType, StringViewType, Utf8Type,
};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, GenericListArray, GenericListViewArray, OffsetSizeTrait,
    UInt64Array, downcast_integer,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{ArrowNativeType, DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};

use crate::error::{Error, ErrorKind, Result};
use crate::key::digest::Hasher;
use crate::key::varint::push_varint;

#[cfg(target_endian = "big")]
compile_error!("column digests are defined over little-endian values, and arrow keeps them in native order");

/// The digest of a column of `data_type` that is cut into `chunks`.
///
/// # Errors
/// The type is a union, which has no canonical form, or a chunk has another type.
pub fn column_digest(chunks: &[ArrayRef], data_type: &DataType) -> Result<[u8; 32]> {
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if chunk.data_type() != data_type {
            let sentence = format!("a chunk of type {} is not part of a {data_type} column", chunk.data_type());
            return Err(Error::new(ErrorKind::InvalidInput, sentence));
        }
        parts.push(Chunk::new(Arc::clone(chunk), None));
    }
    let mut sink = Sink::default();
    column(&mut sink, &parts, data_type)?;
    Ok(sink.finish())
}

/// The notation of `data_type` in canonical columns: `timestamp[us, UTC]`, `list<item: utf8>`, ….
///
/// # Errors
/// The type is a union.
pub fn type_notation(data_type: &DataType) -> Result<String> {
    use DataType as T;
    Ok(match data_type {
        T::Null => "null".into(),
        T::Boolean => "bool".into(),
        T::Int8 => "int8".into(),
        T::Int16 => "int16".into(),
        T::Int32 => "int32".into(),
        T::Int64 => "int64".into(),
        T::UInt8 => "uint8".into(),
        T::UInt16 => "uint16".into(),
        T::UInt32 => "uint32".into(),
        T::UInt64 => "uint64".into(),
        T::Float16 => "float16".into(),
        T::Float32 => "float32".into(),
        T::Float64 => "float64".into(),
        T::Timestamp(unit, None) => format!("timestamp[{}]", unit_name(*unit)),
        T::Timestamp(unit, Some(zone)) => {
            format!("timestamp[{}, {}]", unit_name(*unit), quoted(zone, "+-/:"))
        }
        T::Date32 => "date32".into(),
        T::Date64 => "date64".into(),
        T::Time32(unit) => format!("time32[{}]", unit_name(*unit)),
        T::Time64(unit) => format!("time64[{}]", unit_name(*unit)),
        T::Duration(unit) => format!("duration[{}]", unit_name(*unit)),
        T::Interval(IntervalUnit::YearMonth) => "interval[year_month]".into(),
        T::Interval(IntervalUnit::DayTime) => "interval[day_time]".into(),
        T::Interval(IntervalUnit::MonthDayNano) => "interval[month_day_nano]".into(),
        T::Binary | T::LargeBinary | T::BinaryView => "binary".into(),
        T::FixedSizeBinary(width) => format!("fixed_size_binary[{width}]"),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "utf8".into(),
        T::List(item) | T::LargeList(item) | T::ListView(item) | T::LargeListView(item) => {
            format!("list<item: {}>", type_notation(item.data_type())?)
        }
        T::FixedSizeList(item, len) => format!("fixed_size_list<item: {}>[{len}]", type_notation(item.data_type())?),
        T::Struct(fields) => {
            let mut notation = Vec::with_capacity(fields.len());
            for field in fields {
                notation.push(format!("{}: {}", quoted(field.name(), ""), type_notation(field.data_type())?));
            }
            format!("struct<{}>", notation.join(", "))
        }
        T::Map(entries, _) => {
            let (key, value) = entry_fields(entries)?;
            format!("map<key: {}, value: {}>", type_notation(key.data_type())?, type_notation(value.data_type())?)
        }
        T::Dictionary(_, values) => format!("dictionary<{}>", type_notation(values)?),
        T::RunEndEncoded(_, values) => {
            format!("run_end_encoded<{}>", type_notation(values.data_type())?)
        }
        T::Decimal32(precision, scale) => format!("decimal32[{precision}, {scale}]"),
        T::Decimal64(precision, scale) => format!("decimal64[{precision}, {scale}]"),
        T::Decimal128(precision, scale) => format!("decimal128[{precision}, {scale}]"),
        T::Decimal256(precision, scale) => format!("decimal256[{precision}, {scale}]"),
        T::Union(..) => return Err(unsupported(data_type)),
    })
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// A name unchanged if it cannot be mistaken for notation, else as a JSON string.
fn quoted(name: &str, also: &str) -> String {
    if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || also.contains(c)) {
        name.to_owned()
    } else {
        serde_json::Value::from(name).to_string()
    }
}

fn unsupported(data_type: &DataType) -> Error {
    Error::new(ErrorKind::KeyEncoding, format!("an Arrow column of type {data_type} has no stable encoding"))
        .with_hint("cast the column to a type without unions, or pass cache_key=")
}

fn entry_fields(entries: &Field) -> Result<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => Ok((&fields[0], &fields[1])),
        other => Err(unsupported(other)),
    }
}

/// Collects small writes into large ones for the hasher.
#[derive(Default)]
struct Sink {
    hasher: Hasher,
    pending: Vec<u8>,
}

const PENDING: usize = 256 * 1024;

impl Sink {
    fn bytes(&mut self, bytes: &[u8]) {
        if self.pending.len() + bytes.len() <= PENDING {
            self.pending.extend_from_slice(bytes);
            return;
        }
        self.flush();
        if bytes.len() >= PENDING {
            self.hasher.update(bytes);
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }

    fn zeros(&mut self, mut count: usize) {
        const ZEROS: [u8; 1024] = [0; 1024];
        while count > 0 {
            let some = count.min(ZEROS.len());
            self.bytes(&ZEROS[..some]);
            count -= some;
        }
    }

    fn varint(&mut self, value: usize) {
        let mut bytes = Vec::with_capacity(10);
        push_varint(&mut bytes, value as u64);
        self.bytes(&bytes);
    }

    fn len(&mut self, len: usize) {
        self.bytes(&(len as u64).to_le_bytes());
    }

    fn flush(&mut self) {
        self.hasher.update(&self.pending);
        self.pending.clear();
    }

    fn finish(mut self) -> [u8; 32] {
        self.flush();
        self.hasher.finalize()
    }
}

/// An array and its valid rows, by its own nulls and those of the structs around it. `None`: all rows.
struct Chunk {
    array: ArrayRef,
    valid: Option<NullBuffer>,
}

impl Chunk {
    fn new(array: ArrayRef, around: Option<&NullBuffer>) -> Self {
        let own = array.logical_nulls();
        let valid = NullBuffer::union(own.as_ref(), around).filter(|nulls| nulls.null_count() > 0);
        Self { array, valid }
    }

    fn len(&self) -> usize {
        self.array.len()
    }

    fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.is_valid(row))
    }

    /// Ranges of rows that are valid, in order.
    fn valid_runs(&self) -> Vec<(usize, usize)> {
        match &self.valid {
            None if self.len() == 0 => Vec::new(),
            None => vec![(0, self.len())],
            Some(valid) => valid.valid_slices().collect(),
        }
    }
}

fn column(sink: &mut Sink, chunks: &[Chunk], data_type: &DataType) -> Result<()> {
    use DataType as T;
    let notation = type_notation(data_type)?;
    sink.varint(notation.len());
    sink.bytes(notation.as_bytes());
    sink.varint(chunks.iter().map(Chunk::len).sum());
    validity(sink, chunks);
    match data_type {
        T::Null => {}
        T::Boolean => booleans(sink, chunks),
        T::Utf8 => strings::<Utf8Type>(sink, chunks),
        T::LargeUtf8 => strings::<LargeUtf8Type>(sink, chunks),
        T::Binary => strings::<BinaryType>(sink, chunks),
        T::LargeBinary => strings::<LargeBinaryType>(sink, chunks),
        T::Utf8View => string_views::<StringViewType>(sink, chunks),
        T::BinaryView => string_views::<BinaryViewType>(sink, chunks),
        T::FixedSizeBinary(width) => fixed_width(sink, chunks, usize::try_from(*width).unwrap_or(0)),
        T::List(item) => lists(sink, chunks, item.data_type(), |array| list_items::<i32>(array.as_list()))?,
        T::LargeList(item) => lists(sink, chunks, item.data_type(), |array| list_items::<i64>(array.as_list()))?,
        T::ListView(item) => lists(sink, chunks, item.data_type(), |array| view_items::<i32>(array.as_list_view()))?,
        T::LargeListView(item) => {
            lists(sink, chunks, item.data_type(), |array| view_items::<i64>(array.as_list_view()))?;
        }
        T::FixedSizeList(item, len) => fixed_lists(sink, chunks, item.data_type(), usize::try_from(*len).unwrap_or(0))?,
        T::Map(entries, _) => {
            let (key, value) = entry_fields(entries)?;
            let named = |name: &str, field: &FieldRef| Field::new(name, field.data_type().clone(), true);
            let entry = T::Struct(Fields::from(vec![named("key", key), named("value", value)]));
            lists(sink, chunks, &entry, |array| {
                let map = array.as_map();
                let offsets = map.value_offsets().iter().map(|offset| row(*offset)).collect();
                Items { values: Arc::new(map.entries().clone()), rows: Rows::Offsets(offsets) }
            })?;
        }
        T::Struct(fields) => {
            for (i, field) in fields.iter().enumerate() {
                let children: Vec<Chunk> = chunks
                    .iter()
                    .map(|chunk| Chunk::new(Arc::clone(chunk.array.as_struct().column(i)), chunk.valid.as_ref()))
                    .collect();
                column(sink, &children, field.data_type())?;
            }
        }
        T::Dictionary(_, values) => {
            let decoded = decoded(chunks, decode_dictionary)?;
            column(sink, &decoded, values)?;
        }
        T::RunEndEncoded(ends, values) => {
            let decode = match ends.data_type() {
                T::Int16 => decode_runs::<Int16Type>,
                T::Int32 => decode_runs::<Int32Type>,
                _ => decode_runs::<Int64Type>,
            };
            let decoded = decoded(chunks, decode)?;
            column(sink, &decoded, values.data_type())?;
        }
        other => match other.primitive_width() {
            Some(width) => fixed_width(sink, chunks, width),
            None => return Err(unsupported(other)),
        },
    }
    Ok(())
}

fn validity(sink: &mut Sink, chunks: &[Chunk]) {
    if chunks.iter().all(|chunk| chunk.valid.is_none()) {
        return sink.bytes(&[0]);
    }
    sink.bytes(&[1]);
    let mut bitmap = BooleanBufferBuilder::new(chunks.iter().map(Chunk::len).sum());
    for chunk in chunks {
        match &chunk.valid {
            Some(valid) => bitmap.append_buffer(valid.inner()),
            None => bitmap.append_n(chunk.len(), true),
        }
    }
    sink.bytes(bitmap.as_slice());
}

fn booleans(sink: &mut Sink, chunks: &[Chunk]) {
    let mut bitmap = BooleanBufferBuilder::new(chunks.iter().map(Chunk::len).sum());
    for chunk in chunks {
        let values = chunk.array.as_boolean().values();
        match &chunk.valid {
            Some(valid) => bitmap.append_buffer(&(values & valid.inner())),
            None => bitmap.append_buffer(values),
        }
    }
    sink.bytes(bitmap.as_slice());
}

fn fixed_width(sink: &mut Sink, chunks: &[Chunk], width: usize) {
    for chunk in chunks.iter().filter(|chunk| chunk.len() > 0 && width > 0) {
        let data = chunk.array.to_data();
        let from = data.offset() * width;
        let values = &data.buffers()[0].as_slice()[from..from + chunk.len() * width];
        let mut written = 0;
        for (start, end) in chunk.valid_runs() {
            sink.zeros((start - written) * width);
            sink.bytes(&values[start * width..end * width]);
            written = end;
        }
        sink.zeros((chunk.len() - written) * width);
    }
}

fn strings<T: ByteArrayType>(sink: &mut Sink, chunks: &[Chunk]) {
    for chunk in chunks {
        let array = chunk.array.as_bytes::<T>();
        for row in 0..chunk.len() {
            let len = if chunk.is_valid(row) { array.value_length(row).as_usize() } else { 0 };
            sink.len(len);
        }
    }
    for chunk in chunks {
        let array = chunk.array.as_bytes::<T>();
        let offsets = array.value_offsets();
        for (start, end) in chunk.valid_runs() {
            sink.bytes(&array.value_data()[offsets[start].as_usize()..offsets[end].as_usize()]);
        }
    }
}

fn string_views<T: ByteViewType>(sink: &mut Sink, chunks: &[Chunk]) {
    for chunk in chunks {
        for (row, view) in chunk.array.as_byte_view::<T>().views().iter().enumerate() {
            // The low 32 bits of a view are the length.
            sink.len(if chunk.is_valid(row) { (*view & 0xffff_ffff) as usize } else { 0 });
        }
    }
    for chunk in chunks {
        let array = chunk.array.as_byte_view::<T>();
        for row in (0..chunk.len()).filter(|row| chunk.is_valid(*row)) {
            let value: &T::Native = array.value(row);
            sink.bytes(value.as_ref());
        }
    }
}

/// The positions of each row's items among the items of a list array.
enum Rows {
    /// Row `i` has the items from offset `i` to offset `i + 1`.
    Offsets(Vec<usize>),
    /// Row `i` has the items from start to end.
    Ranges(Vec<(usize, usize)>),
}

struct Items {
    values: ArrayRef,
    rows: Rows,
}

fn row<O: OffsetSizeTrait>(offset: O) -> usize {
    offset.as_usize()
}

fn list_items<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Items {
    let offsets = array.value_offsets().iter().map(|offset| row(*offset)).collect();
    Items { values: Arc::clone(array.values()), rows: Rows::Offsets(offsets) }
}

fn view_items<O: OffsetSizeTrait>(array: &GenericListViewArray<O>) -> Items {
    let ranges = array.value_offsets().iter().zip(array.value_sizes());
    let ranges = ranges.map(|(start, size)| (row(*start), row(*start) + row(*size))).collect();
    Items { values: Arc::clone(array.values()), rows: Rows::Ranges(ranges) }
}

fn lists(sink: &mut Sink, chunks: &[Chunk], item: &DataType, items: impl Fn(&ArrayRef) -> Items) -> Result<()> {
    let mut children = Vec::new();
    for chunk in chunks {
        let Items { values, rows } = items(&chunk.array);
        let mut add = |start: usize, end: usize| {
            if end > start {
                children.push(Chunk::new(values.slice(start, end - start), None));
            }
        };
        match rows {
            Rows::Offsets(offsets) => {
                for row in 0..chunk.len() {
                    sink.len(if chunk.is_valid(row) { offsets[row + 1] - offsets[row] } else { 0 });
                }
                for (start, end) in chunk.valid_runs() {
                    add(offsets[start], offsets[end]);
                }
            }
            Rows::Ranges(ranges) => {
                for (row, (start, end)) in ranges.iter().enumerate() {
                    let (start, end) = if chunk.is_valid(row) { (*start, *end) } else { (0, 0) };
                    sink.len(end - start);
                    add(start, end);
                }
            }
        }
    }
    column(sink, &children, item)
}

fn fixed_lists(sink: &mut Sink, chunks: &[Chunk], item: &DataType, len: usize) -> Result<()> {
    let mut children = Vec::new();
    for chunk in chunks {
        let values = chunk.array.as_fixed_size_list().values();
        for (start, end) in chunk.valid_runs() {
            children.push(Chunk::new(values.slice(start * len, (end - start) * len), None));
        }
    }
    column(sink, &children, item)
}

/// The chunks with their arrays decoded; the valid rows stay the same.
fn decoded(chunks: &[Chunk], decode: impl Fn(&ArrayRef) -> Result<ArrayRef>) -> Result<Vec<Chunk>> {
    chunks.iter().map(|chunk| Ok(Chunk { array: decode(&chunk.array)?, valid: chunk.valid.clone() })).collect()
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::new(ErrorKind::KeyEncoding, "an Arrow column cannot be decoded").with_source(error)
}

fn decode_dictionary(array: &ArrayRef) -> Result<ArrayRef> {
    fn decode<K: ArrowDictionaryKeyType>(array: &ArrayRef) -> Result<ArrayRef> {
        let dictionary = array.as_dictionary::<K>();
        take(dictionary.values(), dictionary.keys(), None).map_err(failed)
    }
    let DataType::Dictionary(keys, _) = array.data_type() else {
        return Err(unsupported(array.data_type()));
    };
    macro_rules! by_key {
        ($key:ty) => {
            decode::<$key>(array)
        };
    }
    downcast_integer! {
        keys.as_ref() => (by_key),
        _ => Err(unsupported(array.data_type())),
    }
}

fn decode_runs<R: RunEndIndexType>(array: &ArrayRef) -> Result<ArrayRef> {
    let runs = array.as_run::<R>();
    let ends = runs.run_ends();
    let rows = (0..runs.len()).map(|row| ends.get_physical_index(row) as u64);
    take(runs.values(), &UInt64Array::from_iter_values(rows), None).map_err(failed)
}
