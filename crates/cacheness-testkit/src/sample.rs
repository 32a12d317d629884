//! Entries to test with.

use std::borrow::Cow;

use cacheness_core::clock::Timestamp;
use cacheness_core::entry::{BlobRef, Computed, Entry, Format, Location};

/// 2026-11-20T12:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_176_000_000_000);

/// An entry of `key` with an inline payload, without any optional field.
#[must_use]
pub fn inline(key: &str, payload: &[u8]) -> Entry {
    Entry {
        key: key.to_owned(),
        fingerprint: None,
        created_at: NOW,
        accessed_at: NOW,
        expires_at: None,
        access_count: 0,
        format: Format {
            handler: Cow::Borrowed("plain_objects"),
            data_type: Cow::Borrowed("plain"),
            storage_format: Cow::Borrowed("msgpack"),
            compression: Cow::Borrowed("none"),
            object_type: Cow::Borrowed("builtins.dict"),
            handler_meta: Vec::new(),
            raw_size: None,
        },
        size: payload.len() as u64,
        file_hash: hash(payload),
        digest: None,
        signature: None,
        description: None,
        metadata: None,
        params: None,
        computed: None,
        location: Location::Inline(payload.to_vec()),
    }
}

/// An entry of `key` whose payload is a blob of this digest.
#[must_use]
pub fn blob(key: &str, locator: &str, digest: Option<[u8; 32]>, size: u64) -> Entry {
    Entry { size, digest, location: Location::Blob(BlobRef::new(locator, size)), ..inline(key, b"") }
}

/// An entry with every field set.
#[must_use]
pub fn full(key: &str, payload: &[u8]) -> Entry {
    Entry {
        fingerprint: Some([7; 16]),
        created_at: Timestamp(NOW.0 + 1),
        accessed_at: Timestamp(NOW.0 + 2),
        expires_at: Some(Timestamp(NOW.0 + 3)),
        access_count: 4,
        format: Format {
            handler: Cow::Borrowed("my_handler"),
            data_type: Cow::Borrowed("thing \"quoted\" \0"),
            storage_format: Cow::Borrowed("😀"),
            compression: Cow::Borrowed(""),
            object_type: Cow::Borrowed("my_module.Ключ"),
            handler_meta: vec![0, 1, 255],
            raw_size: Some(123_456_789_012),
        },
        file_hash: u64::MAX - 5,
        digest: Some([8; 32]),
        signature: Some([9; 32]),
        description: Some("a sentence with \0 and 'quotes'".into()),
        metadata: Some("{\"a\":[1,2,{\"b\":null}]}".into()),
        params: Some(vec![0, 255, 1]),
        computed: Some(Computed { code: Some([10; 16]), micros: 1 << 40 }),
        ..inline(key, payload)
    }
}

/// FNV-1a: the suites need a number that depends on the payload, not a good hash.
#[must_use]
pub fn hash(payload: &[u8]) -> u64 {
    payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
