//! Listings: in the order of keys, in pages, by prefix, of expired entries.

use cacheness_core::backend::MetadataBackend;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Entry;
use cacheness_core::store::MAX_NAME;

use super::MetadataFixture;
use super::metadata::{assert_summary, get, put, totals};
use crate::ext::{MetadataExt as _, Scan};
use crate::sample::{NOW, full, inline};

pub(super) fn keys(backend: &dyn MetadataBackend, scan: &Scan<'_>) -> Vec<String> {
    backend.scan(scan).expect("scanned").into_iter().map(|summary| summary.entry.key).collect()
}

/// Keys that reveal wrong quoting, truncation, comparison or counting; without those that a backend need not take.
fn strange_keys(fixture: &MetadataFixture) -> Vec<String> {
    let mut keys: Vec<String> = [
        "",
        " ",
        "\0",
        "a",
        "a\0",
        "a\0b",
        "a\0c",
        "'",
        "\"",
        "''; DROP TABLE cache_entries; --",
        "%",
        "_",
        "a%",
        "a_b",
        "*",
        "[a]",
        "?1",
        "\\",
        "\n",
        "A",
        "ä",
        "a\u{308}",
        "😀",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}x",
        "NULL",
        "0",
        "00",
        "1e3",
        "0x1",
        "../../etc/passwd",
    ]
    .map(str::to_owned)
    .into();
    keys.extend([MAX_NAME - 1, MAX_NAME].map(|length| "k".repeat(length)));
    if fixture.any_text {
        keys.extend([100_000, 100_001].map(|length| "k".repeat(length)));
    } else {
        keys.retain(|key| !key.contains('\0'));
    }
    keys
}

pub(super) fn hostile_keys(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let keys_in = strange_keys(fixture);
    for key in &keys_in {
        assert!(!put(backend, &inline(key, key.as_bytes())).replaced, "{key:?}");
    }
    let mut sorted = keys_in.clone();
    sorted.sort();
    assert_eq!(keys(backend, &Scan::default()), sorted);
    for key in &keys_in {
        assert_eq!(get(backend, key), Some(inline(key, key.as_bytes())), "{key:?}");
    }
    for key in &keys_in {
        assert!(backend.delete(key).expect("deleted").is_some(), "{key:?}");
        assert_eq!(get(backend, key), None);
    }
    assert_eq!(totals(backend), (0, 0));
}

pub(super) fn pages(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let expected: Vec<String> = (0..257).map(|i| format!("{i:04}")).collect();
    for key in expected.iter().rev() {
        put(backend, &full(key, b"payload"));
    }
    assert_eq!(keys(backend, &Scan::default()), expected);
    for limit in [1, 7, 256, 257, 258, usize::MAX] {
        let mut found = Vec::new();
        loop {
            let after = found.last().cloned();
            let page = keys(backend, &Scan { after: after.as_deref(), limit, ..Scan::default() });
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected, "limit {limit}");
    }
    let found = backend.scan(&Scan { limit: 1, ..Scan::default() }).expect("scanned");
    assert_summary(&full("0000", b"payload"), &found[0].entry, found[0].inline);
    // `after` need not be a key, and may lie before or after the prefix.
    assert_eq!(keys(backend, &Scan { after: Some("0003x"), limit: 1, ..Scan::default() }), ["0004"]);
    assert_eq!(keys(backend, &Scan { prefix: "002", after: Some("0001"), limit: 1, ..Scan::default() }), ["0020"]);
    assert_eq!(keys(backend, &Scan { prefix: "002", after: Some("0028"), ..Scan::default() }), ["0029"]);
    assert!(keys(backend, &Scan { prefix: "002", after: Some("0030"), ..Scan::default() }).is_empty());
}

pub(super) fn prefixes(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    let all = strange_keys(fixture);
    for key in &all {
        put(backend, &inline(key, b""));
    }
    let mut prefixes = all.clone();
    prefixes.extend(["ключ", "\u{10fffe}", "a\u{0}", "\u{d7fe}", "k", "kk"].map(str::to_owned));
    for prefix in &prefixes {
        let mut expected: Vec<_> = all.iter().filter(|key| key.starts_with(prefix.as_str())).cloned().collect();
        expected.sort();
        assert_eq!(keys(backend, &Scan { prefix, ..Scan::default() }), expected, "prefix {prefix:?}");
    }
}

pub(super) fn expired(fixture: &MetadataFixture) {
    let backend = &*fixture.backend;
    for i in 0..40_i64 {
        let expires_at = (i % 4 != 0).then_some(Timestamp(NOW.0 + i % 4));
        put(backend, &Entry { expires_at, ..inline(&format!("{}/{i:02}", i % 2), b"") });
    }
    let expired = |time: i64| {
        let mut keys: Vec<_> =
            (0..40).filter(|i| i % 4 != 0 && i % 4 <= time).map(|i| format!("{}/{i:02}", i % 2)).collect();
        keys.sort();
        keys
    };
    for time in 0..5 {
        let expired_at = Some(Timestamp(NOW.0 + time));
        assert_eq!(keys(backend, &Scan { expired_at, ..Scan::default() }), expired(time), "time {time}");
        let of_prefix: Vec<_> = expired(time).into_iter().filter(|key| key.starts_with("1/")).collect();
        assert_eq!(keys(backend, &Scan { expired_at, prefix: "1/", ..Scan::default() }), of_prefix);
        let page = Scan { expired_at, prefix: "1/", after: Some("1/05"), limit: 3, ..Scan::default() };
        let expected: Vec<_> = of_prefix.into_iter().filter(|key| key.as_str() > "1/05").take(3).collect();
        assert_eq!(keys(backend, &page), expected);
    }
}
