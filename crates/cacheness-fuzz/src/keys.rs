//! Canonical encodings of parameters.

use cacheness_core::ErrorKind;
use cacheness_core::key::{EncodedKey, decode, render};

pub(crate) fn run(bytes: &[u8]) {
    let decoded = decode(bytes);
    let rendered = render(bytes);
    assert_eq!(decoded.is_ok(), rendered.is_ok(), "exactly the decodable encodings can be rendered");
    match decoded {
        Ok(()) => {
            let key = EncodedKey::from_encoding(bytes.to_vec());
            assert_eq!(key.key.to_hex().len(), 16);
            // A canonical encoding can be neither extended nor truncated.
            assert!(decode(&[bytes, &[0]].concat()).is_err());
            assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        }
        Err(error) => super::refused(&error, &[ErrorKind::Serialization]),
    }
}
