//! The header of `.npy` files (versions 1.0, 2.0 and 3.0 of the format described in `numpy.lib.format`).

use super::dtype::{Literal, descr_size, itemsize_of, parse_literal};
use super::{ArrayHeader, ArrayView, Order, bad};
use crate::error::Result;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The data of a file begins at a multiple of this many bytes, so that it can be mapped.
const ALIGNMENT: usize = 64;

/// The longest accepted header. NumPy itself refuses more than 10,000 characters by default.
const MAX_HEADER: usize = 1 << 20;

/// How many bytes to read before the length of the header is known; nearly every header fits.
pub(super) const PEEK: usize = 256;

/// The header of the file for `view`, up to the beginning of its data.
pub(super) fn write_header(view: &ArrayView<'_>) -> Vec<u8> {
    let descr = if view.dtype.starts_with('[') { view.dtype.to_owned() } else { format!("'{}'", view.dtype) };
    let shape = match view.shape {
        [single] => format!("({single},)"),
        shape => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    };
    let order = if view.order == Order::F { "True" } else { "False" };
    let mut text = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}");
    // Version 3 is the one whose text is UTF-8; the lengths of version 1 have two bytes.
    let unicode = !text.is_ascii();
    let long = |text: &str| text.len() + ALIGNMENT + 10 > usize::from(u16::MAX);
    let version = if unicode { 3 } else { 1 + u8::from(long(&text)) };
    let fixed = MAGIC.len() + 2 + if version == 1 { 2 } else { 4 };
    let padding = (ALIGNMENT - (fixed + text.len() + 1) % ALIGNMENT) % ALIGNMENT;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut header = Vec::with_capacity(fixed + text.len());
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&[version, 0]);
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
    header.extend_from_slice(&length[..if version == 1 { 2 } else { 4 }]);
    header.extend_from_slice(text.as_bytes());
    header
}

/// How many bytes the header has, from the first [`PEEK`] bytes of a file.
pub(super) fn header_length(start: &[u8]) -> Result<usize> {
    let rest = start.strip_prefix(MAGIC).ok_or_else(|| bad("it does not begin with the magic bytes of .npy"))?;
    let (fixed, length) = match rest {
        [1, _, a, b, ..] => (10, u32::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([*a, *b, *c, *d])),
        [version, ..] => return Err(bad(format_args!("its .npy version is {version}, or it ends too early"))),
        [] => return Err(bad("its header ends too early")),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_HEADER {
        return Err(bad(format_args!("its header claims {length} bytes")));
    }
    Ok(fixed + length)
}

/// Parses a whole header of the length from [`header_length`].
pub(super) fn parse_header(header: &[u8]) -> Result<ArrayHeader> {
    let version = *header.get(MAGIC.len()).ok_or_else(|| bad("its header ends too early"))?;
    let text = header.get(if version == 1 { 10 } else { 12 }..).ok_or_else(|| bad("its header ends too early"))?;
    let text = if version == 3 {
        std::str::from_utf8(text).map_err(|_| bad("its header is not valid UTF-8"))?.to_owned()
    } else {
        text.iter().map(|&byte| char::from(byte)).collect()
    };
    let Literal::Dict(pairs) = parse_literal(text.trim_end_matches(['\0', ' ', '\n']))? else {
        return Err(bad("its header is not a dictionary"));
    };
    let find = |name: &str| {
        let mut found = pairs.iter().filter(|pair| matches!(&pair.key, Literal::Str(key) if key == name));
        match (found.next(), found.next()) {
            (Some(pair), None) => Ok(pair),
            _ => Err(bad(format_args!("its header must have {name} once"))),
        }
    };
    let descr = find("descr")?;
    let (dtype, itemsize) = match &descr.value {
        Literal::Str(simple) => (simple.clone(), itemsize_of(simple)?),
        structured => (descr.text.clone(), descr_size(structured, 0)?),
    };
    let Literal::Bool(fortran) = find("fortran_order")?.value else {
        return Err(bad("its fortran_order is neither True nor False"));
    };
    let Literal::Tuple(extents) = &find("shape")?.value else {
        return Err(bad("its shape is not a tuple"));
    };
    let mut shape = Vec::with_capacity(extents.len());
    for extent in extents {
        match extent {
            Literal::Int(extent) if *extent >= 0 => {
                shape.push(usize::try_from(*extent).map_err(|_| bad("its shape is too large for this machine"))?);
            }
            _ => return Err(bad("an extent of its shape is not a number of items")),
        }
    }
    ArrayHeader { dtype, itemsize, shape, order: if fortran { Order::F } else { Order::C } }.checked()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view<'a>(dtype: &'a str, shape: &'a [usize], order: Order) -> ArrayView<'a> {
        ArrayView { dtype, itemsize: itemsize_of(dtype).unwrap(), shape, order, data: &[] }
    }

    #[test]
    fn headers_come_back() {
        let long = format!("[{}]", (0..20_000).map(|i| format!("('f{i}', '<i4')")).collect::<Vec<_>>().join(", "));
        for (dtype, version) in [("<f8", 1), ("[('é', '<M8[us]')]", 3), ("[('a', '<i4', (2,))]", 1), (&long, 2)] {
            for shape in [&[][..], &[0], &[3], &[3, 0, 7], &[1; 64]] {
                for order in [Order::C, Order::F] {
                    let view = view(dtype, shape, order);
                    let header = write_header(&view);
                    assert_eq!(header.len() % ALIGNMENT, 0);
                    assert_eq!(header[6], version);
                    assert_eq!(header_length(&header[..PEEK.min(header.len())]).unwrap(), header.len());
                    let found = parse_header(&header).unwrap();
                    assert_eq!((found.dtype.as_str(), found.itemsize), (dtype, view.itemsize));
                    assert_eq!((found.shape.as_slice(), found.order), (shape, order));
                }
            }
        }
    }

    #[test]
    fn hostile_headers_are_refused() {
        let with = |text: &str| {
            let mut header = b"\x93NUMPY\x01\x00".to_vec();
            header.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
            header.extend_from_slice(text.as_bytes());
            header
        };
        for text in [
            "",
            "[]",
            "{'descr': '<f8', 'fortran_order': False}",
            "{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|O8', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f8', 'fortran_order': 1, 'shape': (1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '|S0', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
        ] {
            assert!(parse_header(&with(text)).is_err(), "{text}");
        }
        assert!(header_length(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
        assert!(header_length(b"\x93NUMPY\x09\x00\xff\xff\xff\xff").is_err());
        assert!(header_length(b"\x93NUM").is_err());
        assert!(header_length(b"PK\x03\x04aaaaaaaaaa").is_err());
    }
}
