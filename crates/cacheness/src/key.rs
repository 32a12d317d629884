//! Identifiers of entries in the typed API.

use cacheness_core::Result;
use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{EncodedKey, Params};
use cacheness_core::store::EntryKey;

/// An identifier of an entry: `params! { … }`, or a [`Named`] key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not identify an entry",
    note = "by parameters: `params! {{ model: \"ridge\", fold: 3 }}`",
    note = "by a name, or by a key that a listing shows: `cacheness::Named(name)`"
)]
pub trait IntoEntryKey {
    /// The key of the entry.
    ///
    /// # Errors
    /// `KeyEncoding` for a parameter without a stable encoding, `InvalidInput` for a name that cannot be a key.
    fn into_entry_key(self, config: &SerializationConfig) -> Result<EntryKey>;
}

impl IntoEntryKey for Params<'_> {
    fn into_entry_key(self, config: &SerializationConfig) -> Result<EntryKey> {
        (&self).into_entry_key(config)
    }
}

/// Parameters for repeated use.
impl IntoEntryKey for &Params<'_> {
    fn into_entry_key(self, config: &SerializationConfig) -> Result<EntryKey> {
        let EncodedKey { key, fingerprint, encoding } = self.key(config)?;
        Ok(EntryKey::from_params(key, fingerprint, encoding))
    }
}

impl IntoEntryKey for EntryKey {
    fn into_entry_key(self, _config: &SerializationConfig) -> Result<EntryKey> {
        Ok(self)
    }
}

impl IntoEntryKey for &EntryKey {
    fn into_entry_key(self, _config: &SerializationConfig) -> Result<EntryKey> {
        Ok(self.clone())
    }
}

/// An entry by its name, or by the 16 hexadecimal digits of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a>(pub &'a str);

impl IntoEntryKey for Named<'_> {
    fn into_entry_key(self, _config: &SerializationConfig) -> Result<EntryKey> {
        EntryKey::from_name(self.0)
    }
}
