//! Named parameters.

use std::borrow::Cow;
use std::fmt;

use crate::config::SerializationConfig;
use crate::error::Result;
use crate::key::{Collection, EncodedKey, KeyEncoder, ToKey};

/// The named values that identify an entry; made by [`params!`](crate::params) or by [`Params::with`].
///
/// The macro borrows its values, as `println!` does; parameters that outlive them are built with
/// [`with`](Params::with):
///
/// ```
/// use cacheness_core::key::Params;
///
/// fn fold(number: u32) -> Params<'static> {
///     Params::new().with("model", "xgboost").with("fold", number)
/// }
/// # use cacheness_core::{config::SerializationConfig, params};
/// # let config = SerializationConfig::default();
/// # assert_eq!(fold(3).key(&config).unwrap(), params! { fold: 3, model: "xgboost" }.key(&config).unwrap());
/// ```
#[derive(Default)]
pub struct Params<'a> {
    #[doc(hidden)]
    pub borrowed: &'a [(&'a str, &'a dyn ToKey)],
    #[doc(hidden)]
    pub owned: Vec<(Cow<'a, str>, Box<dyn ToKey + 'a>)>,
}

impl<'a> Params<'a> {
    /// No parameters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'a, str>>, value: impl ToKey + 'a) -> Self {
        self.owned.push((name.into(), Box::new(value)));
        self
    }

    /// The number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.borrowed.len() + self.owned.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &dyn ToKey)> {
        let owned = self.owned.iter().map(|(name, value)| (name.as_ref(), &**value as &dyn ToKey));
        self.borrowed.iter().map(|(name, value)| (*name, *value as &dyn ToKey)).chain(owned)
    }

    /// Encodes the parameters and derives key and fingerprint.
    ///
    /// # Errors
    /// Two parameters have the same name, or a value cannot be encoded; the message names the part
    /// (`params.paths[2]: …`).
    pub fn key(&self, config: &SerializationConfig) -> Result<EncodedKey> {
        let mut encoder = KeyEncoder::new(config);
        match self.write(&mut encoder) {
            Ok(()) => Ok(EncodedKey::from_encoding(encoder.finish())),
            Err(error) => Err(error.within(encoder.place("params"))),
        }
    }

    fn write(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let frame = encoder.begin_parts(Collection::Mapping, self.len())?;
        for (name, value) in self.iter() {
            encoder.pair(&name, &value)?;
        }
        encoder.end(frame)
    }
}

/// Parameters inside parameters are a mapping.
impl ToKey for Params<'_> {
    fn encode(&self, encoder: &mut KeyEncoder) -> Result<()> {
        let frame = encoder.begin(Collection::Mapping, self.len())?;
        for (name, value) in self.iter() {
            encoder.pair(&name, &value)?;
        }
        encoder.end(frame)
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Params")?;
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// The name of a raw identifier.
#[doc(hidden)]
#[must_use]
pub fn identifier(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Named parameters: `params! { model: "xgboost", fold: 3, "any name": x }`.
///
/// Names are identifiers or string literals; values are borrowed and implement [`ToKey`](crate::key::ToKey). Yields
/// [`Params`](crate::key::Params).
#[macro_export]
macro_rules! params {
    () => {
        $crate::key::Params::new()
    };
    ($($name:tt : $value:expr),+ $(,)?) => {
        $crate::key::Params {
            borrowed: &[$(($crate::__param_name!($name), &$value as &dyn $crate::key::ToKey)),+],
            owned: ::std::vec::Vec::new(),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __param_name {
    ($name:ident) => {
        $crate::key::__identifier(::std::stringify!($name))
    };
    ($name:literal) => {
        $name
    };
}
