//! Compression of payloads: what comes back, what is not worth it, what is refused, and the tools that open it.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use cacheness_core::ErrorKind;
use cacheness_core::config::{Codec, CompressionConfig};
use cacheness_core::formats::compress::{compress, compress_segments, decompress};
use cacheness_core::payload::Payload;
use proptest::prelude::*;

const CODECS: [Codec; 3] = [Codec::Zstd, Codec::Lz4, Codec::Gzip];

fn config(codec: Codec) -> CompressionConfig {
    CompressionConfig {
        pickle_compression_codec: codec,
        pickle_compression_level: 1,
        compression_threshold_bytes: 0,
        ..Default::default()
    }
}

fn bytes_of(payload: &Payload<'_>) -> Vec<u8> {
    match payload {
        Payload::Bytes(bytes) => bytes.to_vec(),
        Payload::Segments(segments) => segments.concat(),
        Payload::Stream(_) | Payload::File(_) => panic!("compression works in memory"),
    }
}

/// Text that compresses, of any length.
fn text(len: usize) -> Vec<u8> {
    let page: String = (0..5000).map(|i| format!("line {i} of {}\n", i % 97)).collect();
    page.as_bytes().iter().copied().cycle().take(len).collect()
}

/// Bytes that do not.
fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

#[test]
fn every_size_comes_back() {
    for codec in CODECS {
        for len in [1000, 70_000, 4 << 20, (4 << 20) + 1] {
            let content = text(len);
            for parallel in [false, true] {
                let config = CompressionConfig { parallel, ..config(codec) };
                let (used, payload) = compress(Cow::Borrowed(&content), &config).unwrap();
                assert_eq!(used, codec);
                let stored = bytes_of(&payload);
                assert!(stored.len() < len, "{codec:?} {len}: {}", stored.len());
                assert!(&*decompress(codec, &stored, len as u64).unwrap() == content.as_slice());
                let error = decompress(codec, &stored, len as u64 - 1).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Compression);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn segments_are_one_payload(lengths in prop::collection::vec(0_usize..1_500_000, 0..6), which in 0_usize..3) {
        let content = text(lengths.iter().sum());
        let mut rest = content.as_slice();
        let segments: Vec<Cow<'_, [u8]>> = lengths.iter().map(|&len| {
            let (segment, others) = rest.split_at(len);
            rest = others;
            Cow::Borrowed(segment)
        }).collect();
        let config = config(CODECS[which]);
        let (codec, payload) = compress_segments(segments, &config).unwrap();
        let (whole_codec, whole) = compress(Cow::Borrowed(&content), &config).unwrap();
        prop_assert_eq!(codec, whole_codec);
        let stored = bytes_of(&payload);
        prop_assert!(stored == bytes_of(&whole));
        prop_assert!(&*decompress(codec, &stored, u64::MAX).unwrap() == content.as_slice());
    }

    #[test]
    fn damaged_payloads_never_panic(at: prop::sample::Index, byte: u8, which in 0_usize..3, cut: prop::sample::Index) {
        let codec = CODECS[which];
        let content = text(100_000);
        let (_, payload) = compress(Cow::Borrowed(&content), &config(codec)).unwrap();
        let mut stored = bytes_of(&payload);
        let cut = cut.index(stored.len());
        prop_assert!(decompress(codec, &stored[..cut], 1 << 20).is_err(), "truncated");
        let at = at.index(stored.len());
        stored[at] = byte;
        if let Ok(content) = decompress(codec, &stored, 1 << 20) {
            prop_assert!(content.len() <= 1 << 20);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), which in 0_usize..3) {
        let magic: &[u8] = [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0x04, 0x22, 0x4d, 0x18], &[0x1f, 0x8b, 8]][which];
        let _ = decompress(CODECS[which], &bytes, 1 << 20);
        let _ = decompress(CODECS[which], &[magic, &bytes].concat(), 1 << 20);
    }
}

#[test]
fn what_does_not_pay_is_stored_as_it_is() {
    for codec in CODECS {
        for len in [0, 1, 100, 5000, 3 << 20] {
            let content = noise(len);
            let (used, payload) = compress(Cow::Borrowed(&content), &config(codec)).unwrap();
            assert_eq!(used, Codec::None, "{codec:?} {len}");
            assert!(matches!(payload, Payload::Bytes(Cow::Borrowed(same)) if same.as_ptr() == content.as_ptr()));
        }
        let small = text(4095);
        let config = CompressionConfig { pickle_compression_codec: codec, ..Default::default() };
        assert_eq!(compress(Cow::Borrowed(&small), &config).unwrap().0, Codec::None, "below the threshold");
        assert_eq!(compress(Cow::Owned(text(4096)), &config).unwrap().0, codec);
    }
    assert_eq!(compress(Cow::Owned(text(1 << 20)), &config(Codec::None)).unwrap().0, Codec::None);
}

#[test]
fn the_sample_sees_the_whole_payload() {
    // One half is noise: compression pays, wherever the noise is.
    for content in [[noise(2 << 20), text(2 << 20)].concat(), [text(2 << 20), noise(2 << 20)].concat()] {
        assert_eq!(compress(Cow::Borrowed(&content), &config(Codec::Zstd)).unwrap().0, Codec::Zstd);
        let halves = content.chunks(100_000).map(Cow::Borrowed).collect();
        assert_eq!(compress_segments(halves, &config(Codec::Zstd)).unwrap().0, Codec::Zstd);
    }
    // Hexadecimal digits have no repetitions, and half the entropy of bytes.
    let digits: Vec<u8> = noise(2 << 20).iter().map(|byte| b"0123456789abcdef"[usize::from(byte & 15)]).collect();
    assert_eq!(compress(Cow::Borrowed(&digits), &config(Codec::Zstd)).unwrap().0, Codec::Zstd);
}

#[test]
fn levels_that_do_not_exist_are_refused() {
    for (codec, level) in [(Codec::Zstd, 0), (Codec::Zstd, 23), (Codec::Gzip, 10), (Codec::Gzip, -1), (Codec::Lz4, 100)]
    {
        let config = CompressionConfig { pickle_compression_level: level, ..config(codec) };
        let error = compress(Cow::Owned(text(5000)), &config).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{codec:?} {level}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn bombs_are_refused() {
    // A frame of zeros that claims, and holds, a thousand times its size.
    let zeros = vec![0; 16 << 20];
    for codec in CODECS {
        let (used, payload) = compress(Cow::Borrowed(&zeros), &config(codec)).unwrap();
        assert_eq!(used, codec);
        let error = decompress(codec, &bytes_of(&payload), 1 << 20).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Compression, "{codec:?}");
    }
    // Headers that claim what no frame of this length can hold, whatever the limit allows.
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1_u64 << 50).to_le_bytes(), &[1, 0, 0]].concat();
    assert!(decompress(Codec::Zstd, &zstd, u64::MAX).is_err());
    let mut lz4 = Vec::new();
    let info = lz4_flex::frame::FrameInfo::new().content_size(Some(1 << 50));
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, &mut lz4);
    encoder.write_all(b"short").unwrap();
    let _ = encoder.finish();
    assert!(decompress(Codec::Lz4, &lz4, u64::MAX).is_err());
}

#[test]
fn frames_must_hold_what_they_claim() {
    for claimed in [99_999_u64, 100_001] {
        let mut stored = Vec::new();
        let info = lz4_flex::frame::FrameInfo::new().content_size(Some(claimed));
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, &mut stored);
        encoder.write_all(&text(100_000)).unwrap();
        // The encoder notices as well, after it has written everything but the end.
        if encoder.try_finish().is_err() {
            drop(encoder);
            stored.extend_from_slice(&[0; 4]);
        } else {
            drop(encoder);
        }
        assert!(decompress(Codec::Lz4, &stored, 1 << 20).is_err(), "{claimed}");
    }
}

/// Runs a command line tool, which has to be installed where the tests run.
fn tool(name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{name} has to be installed for this test: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{name} failed");
    output
}

#[test]
fn command_line_tools_open_the_files() {
    let content = text(5 << 20);
    for (codec, name) in [(Codec::Zstd, "zstd"), (Codec::Lz4, "lz4"), (Codec::Gzip, "gzip")] {
        let (used, payload) = compress(Cow::Borrowed(&content), &config(codec)).unwrap();
        assert_eq!(used, codec);
        assert!(tool(name, &["-dc"], &bytes_of(&payload)) == content, "{name}");
    }
}
