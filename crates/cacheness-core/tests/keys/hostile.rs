//! Encodings that come from anywhere: refused with an offset, never a panic, never much memory.

use cacheness_core::ErrorKind;
use cacheness_core::key::{decode, render};
use cacheness_core::params;
use proptest::prelude::*;

use crate::key;

fn refused(encoding: &[u8], why: &str) {
    let error = decode(encoding).expect_err(why);
    assert_eq!(error.kind(), ErrorKind::Serialization, "{why}");
    assert!(error.to_string().contains("at byte"), "{error}");
}

#[test]
fn what_is_not_canonical_is_refused() {
    decode(&[1, 0x00]).unwrap();
    refused(&[], "nothing");
    refused(&[1], "no value");
    refused(&[2, 0x00], "another version");
    refused(&[1, 0x00, 0x00], "trailing bytes");
    refused(&[1, 0xff], "an unknown tag");
    refused(&[1, 0x03, 0x01, 0x00], "a long zero");
    refused(&[1, 0x03, 0x02, 0x00, 0x7f], "a long integer");
    refused(&[1, 0x03, 0x02, 0xff, 0x80], "a long negative integer");
    decode(&[1, 0x03, 0x02, 0x00, 0x80]).unwrap();
    decode(&[1, 0x03, 0x02, 0xff, 0x7f]).unwrap();
    refused(&[1, 0x06, 0x81, 0x00, b'a'], "a long varint");
    refused(&[1, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "a varint of 65 bits");
    refused(&[1, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "an absurd length");
    refused(&[1, 0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "an absurd count");
    refused(&[1, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "an absurd count of pairs");
    refused(&[1, 0x50, 0x00, 0xff, 0xff, 0xff, 0xff, 0x0f], "absurd dimensions");
    refused(&[1, 0x06, 0x01, 0xff], "no UTF-8");
    refused(&[&[1, 0x04][..], &f64::from_bits(0x7ff8_0000_0000_0001).to_be_bytes()].concat(), "another NaN");
    refused(&[1, 0x0a, 0x02, b'1', b'.'], "no decimal");
    refused(&[1, 0x0a, 0x03, b'1', b'e', b'2'], "a decimal with a small e");
    refused(&[1, 0x43, 0x02, 0x02, 0x01], "a set out of order");
    refused(&[1, 0x43, 0x02, 0x01, 0x01], "a set with equal members");
    refused(&[1, 0x42, 0x02, 0x01, 0x00, 0x01, 0x02], "a mapping with equal keys");
    refused(&[1, 0x63, 0x80, 0x80, 0x02], "a digest of the outermost value");
    refused(&[&[1, 0x07, 0x01][..], &[0; 32]].concat(), "a digest of a short string");
    refused(&[&[1, 0x40, 0x01, 0x63, 0x01][..], &[0; 32]].concat(), "a digest of a short collection");
    refused(&[&[1, 0x06, 0x81, 0x20][..], &[b'a'; 4097]].concat(), "a long string in full");
    refused(&[&[1, 0x40, 0x01, 0x40, 0x80, 0x80, 0x01][..], &[0; 16384]].concat(), "a long collection in full");
    refused(&[&[1, 0x13][..], &86_400_000_000_i64.to_be_bytes(), &[0]].concat(), "a time beyond the day");
    refused(&[&[1, 0x13][..], &[0; 8], &[2]].concat(), "a time with half an offset");
    refused(&[&[1, 0x11][..], &[0; 16], &[3], b"UTC"].concat(), "UTC by name");
    refused(&[1, 0x14, 0x02], "a duration that is no integer");
}

#[test]
fn nesting_is_bounded() {
    for opening in [[0x40, 0x01].as_slice(), &[0x62, 0x00], &[0x41, 0x01], &[0x43, 0x01], &[0x42, 0x01, 0x00]] {
        let nested = |levels: usize| [&[1], opening.repeat(levels).as_slice(), &[0x00]].concat();
        decode(&nested(256)).unwrap();
        refused(&nested(257), "one level too many");
        refused(&nested(1_000_000), "a million levels");
    }
}

#[test]
fn every_cut_is_refused() {
    let encoding = key(params! { a: "text", b: vec![1.5, -2.0], c: (1, None::<u8>), d: i128::MIN }).encoding;
    for end in 0..encoding.len() {
        refused(&encoding[..end], "a cut encoding");
    }
}

fn start() -> impl Strategy<Value = Vec<u8>> {
    let tags = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x10, 0x11, 0x12, 0x13, 0x14,
        0x20, 0x21, 0x22, 0x40, 0x41, 0x42, 0x43, 0x44, 0x50, 0x51, 0x52, 0x60, 0x61, 0x62, 0x63,
    ];
    let byte = prop_oneof![proptest::sample::select(tags.to_vec()), 0..6_u8, any::<u8>()];
    proptest::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn random_bytes_never_panic(bytes in start()) {
        let encoding = [&[1], bytes.as_slice()].concat();
        prop_assert_eq!(decode(&encoding).is_ok(), render(&encoding).is_ok());
    }

    #[test]
    fn changed_bytes_never_panic(position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut encoding = key(params! { a: "text", b: vec![1.5], c: std::collections::BTreeMap::from([(1, "x"), (2, "y")]) }).encoding;
        let position = position.index(encoding.len());
        encoding[position] = byte;
        if let Err(error) = decode(&encoding) {
            prop_assert_eq!(error.kind(), ErrorKind::Serialization);
        }
    }
}
