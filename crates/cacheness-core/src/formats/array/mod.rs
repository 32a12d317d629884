//! Arrays: Blosc2 frames (`.b2nd`) if they compress well, plain `.npy` files if not.
//!
//! Other tools open both. `docs/formats/arrays.md` specifies the formats and the choice between them. This module does not
//! know where a payload is stored; [`Stored`] verifies it before it is decoded.

mod dtype;
mod map;
mod npy;
mod part;
mod slice;
mod source;

#[cfg(feature = "blosc2")]
mod blosc;
#[cfg(feature = "blosc2")]
mod boxes;
#[cfg(any(feature = "blosc2", feature = "ndarray"))]
mod cast;
#[cfg(feature = "blosc2")]
mod frame;
#[cfg(feature = "blosc2")]
mod grid;
#[cfg(feature = "blosc2")]
mod kept;
#[cfg(feature = "ndarray")]
mod native;
#[cfg(feature = "blosc2")]
mod parallel;

use std::borrow::Cow;

use crate::config::{ArrayCodec, ArrayFormat, CompressionConfig};
use crate::entry::Format;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Encoded, Payload, Stored};

pub use dtype::itemsize_of;
pub use map::{MapMode, MappedArray, map_npy};
#[cfg(feature = "ndarray")]
pub use native::{Element, decode_ndarray, encode_ndarray, slice_ndarray};
pub use part::{header_of_part, read_part};
pub use slice::{ArraySlicer, slice};

/// The handler's name in entries.
pub const HANDLER: &str = "numpy_arrays";

/// Arrays of fewer bytes are stored as `.npy`: compressing them takes longer than writing them, and they are stored inside
/// the entry anyway.
const SMALL: usize = 16 << 10;

/// If samples compress to more than this part of their size, the array is not compressed. Random floating point numbers
/// compress to 0.87, as their exponents are alike.
#[cfg(feature = "blosc2")]
const WORTHWHILE: f64 = 0.8;

/// A whole array that compresses to more than this is stored uncompressed: reading it compressed would take longer.
#[cfg(feature = "blosc2")]
const USELESS: f64 = 0.85;

/// The order of an array's items in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last index varies fastest.
    C,
    /// The first index varies fastest.
    F,
}

/// The description of an array, without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayHeader {
    /// NumPy's array-protocol string (`<f8`), or the `repr` of the `descr` of a structured dtype.
    pub dtype: String,
    /// Bytes of one item.
    pub itemsize: usize,
    /// Items along each dimension; empty for an array of no dimensions, which has one item.
    pub shape: Vec<usize>,
    /// The order of the items.
    pub order: Order,
}

impl ArrayHeader {
    /// Bytes of all items.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        // `checked` has made sure that this does not overflow.
        self.shape.iter().product::<usize>() * self.itemsize
    }

    /// The header, if no product of its extents overflows, also without zero extents, as NumPy requires.
    pub(crate) fn checked(self) -> Result<Self> {
        match extent_bytes(&self.shape, self.itemsize) {
            Some(_) => Ok(self),
            None => Err(bad(format_args!("an array of shape {:?} does not fit into memory", self.shape))),
        }
    }
}

/// Bytes of an array; `None` if they, or the product of its nonzero dimensions, overflow.
fn extent_bytes(shape: &[usize], itemsize: usize) -> Option<usize> {
    let mut extents = shape.iter().copied().chain([itemsize]);
    let product = extents.clone().try_fold(1usize, |product, extent| product.checked_mul(extent.max(1)))?;
    let product = if extents.any(|extent| extent == 0) { 0 } else { product };
    isize::try_from(product).ok()?;
    Some(product)
}

/// An array in memory, without gaps between its items.
#[derive(Clone, Copy, Debug)]
pub struct ArrayView<'a> {
    /// NumPy's array-protocol string (`<f8`), or the `repr` of the `descr` of a structured dtype.
    pub dtype: &'a str,
    /// Bytes of one item.
    pub itemsize: usize,
    /// Items along each dimension.
    pub shape: &'a [usize],
    /// The order of the items.
    pub order: Order,
    /// The items.
    pub data: &'a [u8],
}

fn bad(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Serialization, why.to_string())
}

impl ArrayView<'_> {
    fn check(&self) -> Result<()> {
        let why = if itemsize_of(self.dtype)? != self.itemsize {
            format!("an item of {} does not have {} bytes", self.dtype, self.itemsize)
        } else if extent_bytes(self.shape, self.itemsize) != Some(self.data.len()) {
            format!(
                "an array of shape {:?} and dtype {} does not have {} bytes",
                self.shape,
                self.dtype,
                self.data.len()
            )
        } else if self.dtype.starts_with('[') || self.dtype.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(());
        } else {
            format!("its dtype {:?} is not in NumPy's notation", self.dtype)
        };
        Err(Error::new(ErrorKind::InvalidInput, format!("cannot store an array: {why}")))
    }
}

/// The name of a codec in entries.
fn codec_name(codec: ArrayCodec) -> &'static str {
    match codec {
        ArrayCodec::Lz4 => "lz4",
        ArrayCodec::Lz4hc => "lz4hc",
        ArrayCodec::Blosclz => "blosclz",
        ArrayCodec::Zstd => "zstd",
        ArrayCodec::Zlib => "zlib",
    }
}

/// Encodes an array. A `.npy` payload borrows the items without copying.
///
/// The caller fills in [`Format::object_type`]. Fails with `InvalidInput` if the view contradicts itself.
pub fn encode<'a>(view: ArrayView<'a>, config: &CompressionConfig) -> Result<Encoded<'a>> {
    encode_data(view, Cow::Borrowed(view.data), config)
}

/// Encodes `data`, which `view` describes without holding it; owned data is moved into the payload.
fn encode_data<'a>(view: ArrayView<'_>, data: Cow<'a, [u8]>, config: &CompressionConfig) -> Result<Encoded<'a>> {
    let full = ArrayView { data: &data, ..view };
    full.check()?;
    let size = data.len() as u64;
    let (storage_format, compression, payload) = match compressed(&full, config)? {
        Some(segments) => ("b2nd", codec_name(config.blosc2_array_codec), segments),
        None => ("npy", "none", vec![Cow::Owned(npy::write_header(&full)), data]),
    };
    Ok(Encoded {
        format: Format {
            handler: HANDLER.into(),
            data_type: "array".into(),
            storage_format: storage_format.into(),
            compression: compression.into(),
            object_type: "".into(),
            handler_meta: Vec::new(),
            raw_size: (compression != "none").then_some(size),
        },
        extension: storage_format.into(),
        payload: Payload::Segments(payload),
    })
}

/// The pieces of a Blosc2 frame, or `None` if the array is stored uncompressed.
fn compressed<'a>(view: &ArrayView<'_>, config: &CompressionConfig) -> Result<Option<Vec<Cow<'a, [u8]>>>> {
    let auto = config.array_format == ArrayFormat::Auto;
    if config.array_format == ArrayFormat::Npy || !config.use_blosc2_arrays || view.data.is_empty() {
        return Ok(None);
    }
    let threshold = usize::try_from(config.compression_threshold_bytes).unwrap_or(usize::MAX).max(SMALL);
    if auto && (view.data.len() < threshold || config.blosc2_array_compression_level == 0) {
        return Ok(None);
    }
    #[cfg(feature = "blosc2")]
    {
        let Some(grid) = grid::Grid::of_view(view) else {
            return Ok(None);
        };
        if auto && config.sample && blosc::sample_ratio(view, config)?.is_some_and(|ratio| ratio > WORTHWHILE) {
            return Ok(None);
        }
        let frame = frame::write(view, &grid, config)?;
        let size: usize = frame.iter().map(|segment| segment.len()).sum();
        let useless = auto && config.sample && size as f64 > view.data.len() as f64 * USELESS;
        Ok((!useless).then_some(frame))
    }
    #[cfg(not(feature = "blosc2"))]
    Ok(None)
}

enum Kind {
    /// The bytes of the header.
    Npy(Vec<u8>),
    #[cfg(feature = "blosc2")]
    Blosc,
}

impl Kind {
    /// The bytes before the items of an uncompressed array.
    fn prefix(self) -> Option<Vec<u8>> {
        match self {
            Self::Npy(start) => Some(start),
            #[cfg(feature = "blosc2")]
            Self::Blosc => None,
        }
    }
}

/// A stored array whose header has been read.
pub struct ArrayReader {
    stored: Stored,
    header: ArrayHeader,
    kind: Kind,
}

/// Puts the entry before the message of `error`.
fn within(stored: &Stored, error: Error) -> Error {
    let format = &stored.format().storage_format;
    error.within(format_args!("entry {}: cannot decode its {format} payload", stored.key()))
}

/// Opens a stored array and reads its header, which says how much memory [`ArrayReader::read_into`] needs.
///
/// The header is checked against the size of the payload. It is verified with the rest when the items are read, or now if
/// it cannot be decoded.
pub fn open(stored: Stored) -> Result<ArrayReader> {
    let (header, kind) = open_header(&stored)?;
    Ok(ArrayReader { stored, header, kind })
}

/// The header of an unverified payload. If it cannot be decoded, the payload is damaged, unless its hash matches.
fn open_header(stored: &Stored) -> Result<(ArrayHeader, Kind)> {
    let read = read_header(&stored.format().storage_format, stored.size(), |count| stored.peek(count));
    read.map_err(|error| stored.damage_or(within(stored, error)))
}

/// The header of a payload of `size` bytes, whose first bytes `peek` reads.
fn read_header(
    storage_format: &str,
    size: u64,
    peek: impl Fn(usize) -> Result<Vec<u8>>,
) -> Result<(ArrayHeader, Kind)> {
    match storage_format {
        "npy" => {
            let mut start = peek(npy::PEEK)?;
            let length = npy::header_length(&start)?;
            if length > start.len() {
                start = peek(length)?;
            }
            let header = npy_header(&start, length, size)?;
            start.truncate(length);
            Ok((header, Kind::Npy(start)))
        }
        #[cfg(feature = "blosc2")]
        "b2nd" => {
            let mut start = peek(frame::PEEK)?;
            let length = frame::header_length(&start, size)?;
            if length > start.len() {
                start = peek(length)?;
            }
            Ok((frame::FrameHeader::parse(&start, size)?.array_header(), Kind::Blosc))
        }
        #[cfg(not(feature = "blosc2"))]
        "b2nd" => Err(Error::new(ErrorKind::Unsupported, "this build cannot read Blosc2 frames")
            .with_hint("build it with the feature blosc2, or store arrays with array_format = \"npy\"")),
        other => Err(Error::new(ErrorKind::Unsupported, format!("unknown array format {other:?}"))),
    }
}

/// The header of a `.npy` file of `size` bytes, whose first `length` bytes are in `start`.
fn npy_header(start: &[u8], length: usize, size: u64) -> Result<ArrayHeader> {
    let text = start.get(..length).ok_or_else(|| bad("its header ends too early"))?;
    let header = npy::parse_header(text)?;
    let promised = (length as u64).checked_add(header.nbytes() as u64);
    if promised == Some(size) {
        return Ok(header);
    }
    Err(bad(format_args!("its header claims {} bytes of items, but there are only {size} bytes", header.nbytes())))
}

impl ArrayReader {
    /// What the array is.
    #[must_use]
    pub fn header(&self) -> &ArrayHeader {
        &self.header
    }

    /// Bytes that [`ArrayReader::read_into`] fills.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.header.nbytes()
    }

    /// Verifies the payload now: for a header that claims something impossible.
    pub fn verify(&self) -> Result<()> {
        self.stored.verify()
    }

    /// Verifies the payload and decodes it straight into `destination`, which must have [`ArrayReader::nbytes`] bytes.
    ///
    /// After an error, do not use the content of `destination`.
    pub fn read_into(self, destination: &mut [u8]) -> Result<()> {
        let Self { stored, header, kind } = self;
        if destination.len() != header.nbytes() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("an array of {} bytes does not fit into {}", header.nbytes(), destination.len()),
            ));
        }
        match kind {
            Kind::Npy(prefix) => stored.read_into(&prefix, destination),
            #[cfg(feature = "blosc2")]
            Kind::Blosc => {
                let place = format!("entry {}: cannot decode its b2nd payload", stored.key());
                let bytes = stored.into_bytes()?;
                let mut read = || {
                    let frame = frame::Frame::open(&*bytes)?;
                    if frame.header.array_header() != header {
                        return Err(bad("its header changed while it was read"));
                    }
                    frame.read_all(destination)
                };
                read().map_err(|error| error.within(place))
            }
        }
    }
}
