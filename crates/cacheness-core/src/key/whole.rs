//! Whole collections in one call, for implementations of [`ToKey`].

use crate::error::Result;
use crate::key::{Collection, KeyEncoder, Segment, ToKey};

impl KeyEncoder {
    /// A list of values that can be encoded.
    pub fn list<T: ToKey>(&mut self, items: impl ExactSizeIterator<Item = T>) -> Result<()> {
        let frame = self.begin(Collection::List, items.len())?;
        for (i, item) in items.enumerate() {
            item.encode(self).inspect_err(|_| self.locate(Segment::Index(i)))?;
        }
        self.end(frame)
    }

    /// A tuple of values that can be encoded.
    pub fn tuple(&mut self, items: &[&dyn ToKey]) -> Result<()> {
        let frame = self.begin(Collection::Tuple, items.len())?;
        for (i, item) in items.iter().enumerate() {
            item.encode(self).inspect_err(|_| self.locate(Segment::Index(i)))?;
        }
        self.end(frame)
    }

    /// A set of values that can be encoded.
    pub fn set<T: ToKey>(&mut self, items: impl ExactSizeIterator<Item = T>) -> Result<()> {
        let frame = self.begin(Collection::Set, items.len())?;
        for item in items {
            self.member();
            item.encode(self).inspect_err(|_| self.locate(Segment::InKey))?;
        }
        self.end(frame)
    }

    /// A mapping of values that can be encoded.
    pub fn mapping<K: ToKey, V: ToKey>(&mut self, pairs: impl ExactSizeIterator<Item = (K, V)>) -> Result<()> {
        let frame = self.begin(Collection::Mapping, pairs.len())?;
        for (key, value) in pairs {
            self.pair(&key, &value)?;
        }
        self.end(frame)
    }

    /// One pair of an open mapping.
    pub(crate) fn pair(&mut self, key: &dyn ToKey, value: &dyn ToKey) -> Result<()> {
        self.member();
        let start = self.position();
        key.encode(self).inspect_err(|_| self.locate(Segment::InKey))?;
        let end = self.position();
        self.mapped();
        value.encode(self).inspect_err(|_| self.locate_key(start..end))
    }

    /// A value of a user-defined type, such as `my_crate::Model`, around the value that identifies it.
    pub fn named(&mut self, type_name: &str, value: &dyn ToKey) -> Result<()> {
        self.begin_named(type_name)?;
        value.encode(self)?;
        self.end_named();
        Ok(())
    }

    /// A value of a user-defined type with named parts: encoded like a Python dataclass with this qualified name
    /// (`my_package.models.Ridge`) and these fields. Their order does not matter.
    pub fn fields(&mut self, type_name: &str, fields: &[(&str, &dyn ToKey)]) -> Result<()> {
        self.begin_named(type_name)?;
        let frame = self.begin_parts(Collection::Mapping, fields.len())?;
        for (name, value) in fields {
            self.pair(name, value)?;
        }
        self.end(frame)?;
        self.end_named();
        Ok(())
    }

    /// A value of a user-defined type with parts in order.
    pub fn parts(&mut self, type_name: &str, parts: &[&dyn ToKey]) -> Result<()> {
        self.begin_named(type_name)?;
        let frame = self.begin_parts(Collection::Tuple, parts.len())?;
        for (i, part) in parts.iter().enumerate() {
            part.encode(self).inspect_err(|_| self.locate(Segment::Index(i)))?;
        }
        self.end(frame)?;
        self.end_named();
        Ok(())
    }
}
