//! Filters as text and as JSON, and entries with any metadata.

use cacheness_core::ErrorKind;
use cacheness_core::clock::Timestamp;
use cacheness_core::entry::Glimpse;
use cacheness_core::query::{Evaluator, Filter, Sort, Subject};

/// A line of metadata, then the filter.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (metadata, text) = text.split_once('\n').unwrap_or(("{\"a\":[1,{\"b\":\"x\"}]}", text));
    if let Err(error) = Sort::parse(text) {
        super::refused(&error, &[ErrorKind::InvalidInput]);
    }
    for parsed in [Filter::parse(text), Filter::from_json(text), Filter::named_json(text)] {
        match parsed {
            Ok(filter) => {
                filter.check().expect("what was read has no mistake");
                decide(&filter, metadata);
                // What the short form cannot say is shown in other words.
                if let Ok(again) = Filter::parse(&filter.to_string()) {
                    assert_eq!(again.to_string(), filter.to_string(), "{text}");
                }
            }
            Err(error) => super::refused(&error, &[ErrorKind::InvalidInput]),
        }
    }
}

fn decide(filter: &Filter, metadata: &str) {
    let glimpse =
        Glimpse { key: "k", created_at: Timestamp(0), file_hash: 0, metadata: Some(metadata), params: Some(b"\x01") };
    let evaluator = Evaluator::new(filter, &[]).expect("no mistake");
    let subject = Subject { glimpse, entry: None, pinned: false };
    match evaluator.matches(&subject) {
        Ok(matches) => {
            let other = !filter.clone();
            let evaluator = Evaluator::new(&other, &[]).expect("no mistake");
            assert_eq!(evaluator.matches(&subject).expect("as before"), !matches, "{filter}");
        }
        Err(error) => super::refused(&error, &[ErrorKind::Serialization]),
    }
}
