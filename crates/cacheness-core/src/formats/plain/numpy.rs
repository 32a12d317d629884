//! Items of NumPy scalars and arrays as Rust numbers.

use serde_json::Value as Json;

use super::dtype::{self, Dtype};

/// One item of a simple dtype.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Complex(f64, f64),
    Bytes(&'a [u8]),
    Str(String),
}

/// The item at the start of `data`; `None` if Rust has no such type (times, records) or the bytes are not such an item.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn item<'a>(dtype: &str, data: &'a [u8]) -> Option<Item<'a>> {
    let Dtype::Simple { order, kind, item_size } = dtype::parse(dtype)? else { return None };
    let data = data.get(..item_size)?;
    let number = || {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..item_size)?;
        bytes.copy_from_slice(data);
        if order == b'>' {
            bytes.reverse();
        }
        let mut all = [0; 8];
        all[..item_size].copy_from_slice(bytes);
        Some(u64::from_le_bytes(all))
    };
    Some(match (kind, item_size) {
        (b'b', _) => Item::Bool(data != [0]),
        (b'u', _) => Item::UInt(number()?),
        (b'i', _) => {
            let unused = 64 - 8 * u32::try_from(item_size).ok()?;
            Item::Int(number()?.cast_signed() << unused >> unused)
        }
        (b'f', 2) => Item::Float(half::f16::from_bits(number()? as u16).to_f64()),
        (b'f', 4) => Item::Float(f32::from_bits(number()? as u32).into()),
        (b'f', _) => Item::Float(f64::from_bits(number()?)),
        (b'c', _) => {
            let part = format!("{}f{}", char::from(order), item_size / 2);
            match (item(&part, &data[..item_size / 2])?, item(&part, &data[item_size / 2..])?) {
                (Item::Float(real), Item::Float(imaginary)) => Item::Complex(real, imaginary),
                _ => return None,
            }
        }
        (b'S' | b'V', _) => {
            let used = data.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            Item::Bytes(if kind == b'S' { &data[..used] } else { data })
        }
        (b'U', _) => {
            let units = data.chunks_exact(4).map(|unit| {
                let unit = [unit[0], unit[1], unit[2], unit[3]];
                if order == b'>' { u32::from_be_bytes(unit) } else { u32::from_le_bytes(unit) }
            });
            let text: String = units.map(char::from_u32).collect::<Option<_>>()?;
            Item::Str(text.trim_end_matches('\0').to_owned())
        }
        _ => return None,
    })
}

/// The offset in `data`, counted in items, of the item at a C-order position of a Fortran-order array.
pub(super) fn strides(shape: &[u64], fortran: bool) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1_usize;
    let mut fill = |axis: usize| {
        strides[axis] = step;
        step = step.saturating_mul(usize::try_from(shape[axis]).unwrap_or(usize::MAX));
    };
    if fortran {
        (0..shape.len()).for_each(&mut fill);
    } else {
        (0..shape.len()).rev().for_each(&mut fill);
    }
    strides
}

/// The JSON number of a scalar that is a bool, an integer or a finite float; [`from_number`] gives the same bytes back.
pub(in crate::formats) fn to_number(dtype: &str, data: &[u8]) -> Option<Json> {
    let number = match item(dtype, data)? {
        Item::Bool(value) => Json::from(value),
        Item::Int(value) => Json::from(value),
        Item::UInt(value) => Json::from(i64::try_from(value).ok()?),
        Item::Float(value) if value.is_finite() => Json::from(value),
        _ => return None,
    };
    (from_number(dtype, &number)? == data).then_some(number)
}

/// The bytes of a scalar that [`to_number`] turned into a JSON number.
#[allow(clippy::cast_possible_truncation)]
pub(in crate::formats) fn from_number(dtype: &str, number: &Json) -> Option<Vec<u8>> {
    let Dtype::Simple { order, kind, item_size } = dtype::parse(dtype)? else { return None };
    let bits = match (kind, item_size) {
        (b'b', _) => u64::from(number.as_bool()?),
        (b'u', _) => number.as_u64()?,
        (b'i', _) => number.as_i64()?.cast_unsigned(),
        (b'f', 2) => u64::from(half::f16::from_f64(number.as_f64()?).to_bits()),
        (b'f', 4) => u64::from((number.as_f64()? as f32).to_bits()),
        (b'f', _) => number.as_f64()?.to_bits(),
        _ => return None,
    };
    let mut bytes = bits.to_le_bytes().get(..item_size)?.to_vec();
    if order == b'>' {
        bytes.reverse();
    }
    // An integer that is too large for its item would lose its upper bytes.
    let fits = match item(dtype, &bytes)? {
        Item::Int(value) => number.as_i64() == Some(value),
        Item::UInt(value) => number.as_u64() == Some(value),
        _ => true,
    };
    fits.then_some(bytes)
}

/// A scalar in readable form; `None` if [`item`] has none.
pub(in crate::formats) fn to_display(dtype: &str, data: &[u8]) -> Option<Json> {
    Some(match item(dtype, data)? {
        Item::Bool(value) => Json::from(value),
        Item::Int(value) => Json::from(value),
        Item::UInt(value) => Json::from(value),
        Item::Float(value) if value.is_finite() => Json::from(value),
        Item::Float(value) => Json::from(value.to_string()),
        Item::Complex(real, imaginary) => Json::from(format!("({real}, {imaginary})")),
        Item::Bytes(bytes) => Json::from(bytes.escape_ascii().to_string()),
        Item::Str(text) => Json::from(text),
    })
}
