//! Stored arrays: `.npy` files and Blosc2 frames.

use std::ops::Range;

use cacheness_core::ErrorKind;
use cacheness_core::formats::array::{ArraySlicer, decode_ndarray, header_of_part, open, read_part, slice};
use cacheness_core::payload::Stored;
use ndarray::{ArrayD, Ix2};

const KINDS: &[ErrorKind] = &[ErrorKind::Serialization, ErrorKind::Unsupported];

pub(crate) fn run(bytes: &[u8]) {
    let format = if bytes.starts_with(b"\x93NUMPY") { "npy" } else { "b2nd" };
    let stored = || -> Stored { super::stored(format, "numpy_arrays", "none", bytes) };
    let part = header_of_part(bytes);
    let reader = match open(stored()) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(part.is_err(), "an array is the same alone and as a part");
            return super::refused(&error, KINDS);
        }
    };
    let header = reader.header().clone();
    assert_eq!(part.ok().as_ref(), Some(&header));
    // A frame of repeated values may be this much smaller than its array, and no more.
    assert!(header.nbytes() >> 18 <= bytes.len(), "{} bytes from {}", header.nbytes(), bytes.len());
    if header.nbytes() > super::MUCH {
        return;
    }
    let mut whole = vec![0x55; header.nbytes()];
    let outcome = reader.read_into(&mut whole);
    let mut as_part = vec![0xaa; header.nbytes()];
    assert_eq!(outcome.is_ok(), read_part(bytes, &mut as_part).is_ok());
    match outcome {
        Ok(()) => assert!(whole == as_part, "every byte is written"),
        Err(error) => return super::refused(&error, KINDS),
    }

    let all: Vec<Range<u64>> = header.shape.iter().map(|&extent| 0..extent as u64).collect();
    if let Ok((found, items)) = slice(stored(), &all, true) {
        assert_eq!(found, header);
        assert!(items == whole, "a slice of everything is everything");
    }
    if let Ok(slicer) = ArraySlicer::open(stored(), false) {
        let half: Vec<Range<u64>> = all.iter().map(|range| range.end / 3..range.end - range.end / 4).collect();
        let wanted = slicer.part(&half).expect("ranges inside the array");
        let _ = slicer.read_into(&half, &mut vec![0; wanted.nbytes()]);
    }
    for error in [
        decode_ndarray::<f64, ndarray::IxDyn>(open(stored()).expect("opened before"))
            .map(drop as fn(ArrayD<f64>))
            .err(),
        decode_ndarray::<u8, Ix2>(open(stored()).expect("opened before")).map(drop).err(),
        decode_ndarray::<bool, ndarray::IxDyn>(open(stored()).expect("opened before")).map(drop).err(),
    ]
    .into_iter()
    .flatten()
    {
        super::refused(&error, KINDS);
    }
}
