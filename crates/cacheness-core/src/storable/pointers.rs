//! Values behind references and smart pointers.

use std::borrow::{Borrow, Cow};
use std::rc::Rc;
use std::sync::Arc;

use super::{Loadable, Plain, Storable};
use crate::config::CompressionConfig;
use crate::error::Result;
use crate::payload::{Encoded, Stored};

/// A [`Storable`] value or a reference to one, as `put` accepts it.
///
/// `How` tells the compiler which of the two a type is; it is inferred. All possible implementations exist.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in a cache",
    note = "a type of your own: `#[derive(cacheness::Plain)]` beside serde's `Serialize` and `Deserialize`",
    note = "a type of another crate that serde can write, or one with borrowed parts: wrap the value, `cacheness::Serde(value)`",
    note = "arrays are those of `cacheness::ndarray`, of numbers or `bool`, and tables those of `cacheness::arrow`; another version \
            of these crates has other types",
    note = "a format of your own: implement `cacheness::Storable`, and `cacheness::Loadable` to read it back"
)]
pub trait AsStorable<How> {
    /// The stored value.
    type Value: Storable + ?Sized;

    /// The value behind all references.
    fn as_storable(&self) -> &Self::Value;
}

/// Marks a type that is [`AsStorable`] because it is [`Storable`].
#[derive(Debug)]
pub struct Itself;

/// Marks a reference that is [`AsStorable`] because its target is, by `How`.
#[derive(Debug)]
pub struct Behind<How>(How);

impl<T: Storable + ?Sized> AsStorable<Itself> for T {
    type Value = T;

    fn as_storable(&self) -> &T {
        self
    }
}

impl<T: AsStorable<How> + ?Sized, How> AsStorable<Behind<How>> for &T {
    type Value = T::Value;

    fn as_storable(&self) -> &T::Value {
        (**self).as_storable()
    }
}

impl<T: AsStorable<How> + ?Sized, How> AsStorable<Behind<How>> for &mut T {
    type Value = T::Value;

    fn as_storable(&self) -> &T::Value {
        (**self).as_storable()
    }
}

macro_rules! shared {
    ($($pointer:ident),*) => {$(
        /// Stored like its target.
        impl<T: Storable + ?Sized> Storable for $pointer<T> {
            fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
                (**self).encode(config)
            }
        }

        impl<T: Loadable> Loadable for $pointer<T> {
            fn decode(stored: Stored) -> Result<Self> {
                T::decode(stored).map(Self::new)
            }
        }

        impl Loadable for $pointer<str> {
            fn decode(stored: Stored) -> Result<Self> {
                String::decode(stored).map(Self::from)
            }
        }

        impl<T: Plain> Loadable for $pointer<[T]> {
            fn decode(stored: Stored) -> Result<Self> {
                Vec::decode(stored).map(Self::from)
            }
        }
    )*};
}

shared!(Arc, Rc);

/// Stored like the borrowed or owned value.
impl<T: Storable + ToOwned + ?Sized> Storable for Cow<'_, T> {
    fn encode(&self, config: &CompressionConfig) -> Result<Encoded<'_>> {
        let value: &T = self.borrow();
        value.encode(config)
    }
}

/// Read back as an owned value.
impl<T: ToOwned<Owned: Loadable> + ?Sized> Loadable for Cow<'_, T> {
    fn decode(stored: Stored) -> Result<Self> {
        T::Owned::decode(stored).map(Cow::Owned)
    }
}
