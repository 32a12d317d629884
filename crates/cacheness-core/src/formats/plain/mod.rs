//! Plain values: MessagePack with exact types, as `docs/formats/plain.md` specifies them.
//!
//! Programs that know their types use [`to_vec`] and [`from_slice`], which map serde's data model; others use the [`Value`]
//! tree. Both read values that Python wrote. Readers never trust the bytes: every count and length is checked before memory
//! is allocated, nesting is limited, and an error names the offset.
//!
//! ```
//! use cacheness_core::formats::plain::{self, Value};
//! # fn main() -> cacheness_core::Result<()> {
//! let bytes = plain::to_vec(&(1, "two"))?;
//! assert_eq!(Value::decode(&bytes)?, Value::List(vec![1.into(), "two".into()]));
//! let pair: (i32, String) = plain::from_slice(&bytes)?;
//! assert_eq!(pair, (1, "two".to_owned()));
//! # Ok(())
//! # }
//! ```

pub mod calendar;
mod de;
pub mod dtype;
pub mod ext;
pub(crate) mod numpy;
mod ser;
pub mod tagged_json;
pub mod uuid;
mod value;
mod value_serde;
pub mod wire;

pub use de::from_slice;
pub use ext::{DateTime, NumpyArray, NumpyScalar, Time, TimeDelta, Zone};
pub use ser::{to_vec, to_writer};
pub use value::Value;
