//! Metadata that is JSON through and through, read straight into Python objects.
//!
//! Most metadata has no tags. If there is one, this reader gives up, and the reader that knows the tags starts again.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::names::name;

/// The object of a JSON text without tags; `None` if it has one, or is not valid metadata.
pub(crate) fn untagged<'py>(py: Python<'py>, json: &str) -> Option<Bound<'py, PyAny>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = Object { py }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    value.is_instance_of::<PyDict>().then_some(value)
}

#[derive(Clone, Copy)]
struct Object<'py> {
    py: Python<'py>,
}

impl<'de, 'py> DeserializeSeed<'de> for Object<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Object<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        value.into_pyobject(self.py).map(|value| value.to_owned().into_any()).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        value.into_pyobject(self.py).map(Bound::into_any).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        // A writer of metadata tags a greater one; the other reader decides what else it may be.
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        value.into_pyobject(self.py).map(Bound::into_any).map_err(E::custom)
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(self)? {
            list.append(item).map_err(A::Error::custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some(key) = pairs.next_key::<std::borrow::Cow<'_, str>>()? {
            if key.starts_with('$') {
                return Err(A::Error::custom("a tag"));
            }
            let value = pairs.next_value_seed(self)?;
            // Names recur in every entry, so they are looked up instead of created.
            dict.set_item(name(self.py, &key), value).map_err(A::Error::custom)?;
        }
        Ok(dict.into_any())
    }
}
