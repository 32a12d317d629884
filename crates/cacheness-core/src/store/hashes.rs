//! Hashes of a payload in memory. Other threads compute them while one thread writes the payload; that thread joins
//! them when it has finished writing.

use std::borrow::Cow;
use std::hash::Hasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use twox_hash::XxHash3_64;

use crate::payload::PayloadHash;
use crate::tree;

/// A payload being hashed.
pub(super) struct Hashes<'a> {
    segments: &'a [Cow<'a, [u8]>],
    /// The offset of each segment in the payload.
    starts: Vec<usize>,
    size: usize,
    file_hash: OnceLock<u64>,
    /// Whether a thread computes the file hash, which takes the bytes in order.
    file_hash_taken: AtomicBool,
    /// The pieces of the digest and whether a thread has claimed them; empty if no digest is wanted.
    pieces: Vec<(AtomicBool, OnceLock<tree::Piece>)>,
    stopped: AtomicBool,
}

impl<'a> Hashes<'a> {
    /// Hashes nothing yet. The payload must have more than one piece.
    pub(super) fn new(segments: &'a [Cow<'a, [u8]>], digest: bool) -> Self {
        let mut size = 0;
        let mut starts = Vec::with_capacity(segments.len());
        for segment in segments {
            starts.push(size);
            size += segment.len();
        }
        let count = if digest { tree::count(size) } else { 0 };
        Self {
            segments,
            starts,
            size,
            file_hash: OnceLock::new(),
            file_hash_taken: AtomicBool::new(false),
            pieces: (0..count).map(|_| Default::default()).collect(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Stops hashing: the hashes are no longer needed.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Hashes pieces that no other thread has claimed. One thread works from the front and computes both hashes of a
    /// piece while it is in its cache; the others work from the end.
    pub(super) fn help(&self) {
        if !self.file_hash_taken.swap(true, Ordering::Relaxed) {
            let mut hasher = XxHash3_64::new();
            for number in 0..tree::count(self.size) {
                if self.stopped.load(Ordering::Relaxed) {
                    return;
                }
                self.parts(number).for_each(|part| hasher.write(part));
                self.piece(number);
            }
            self.file_hash.get_or_init(|| hasher.finish());
        }
        for number in (0..self.pieces.len()).rev() {
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
            self.piece(number);
        }
    }

    fn piece(&self, number: usize) {
        if let Some((taken, hash)) = self.pieces.get(number)
            && !taken.swap(true, Ordering::Relaxed)
        {
            hash.get_or_init(|| tree::piece(number, self.parts(number)));
        }
    }

    /// The bytes of a piece, which may span segments.
    fn parts(&self, number: usize) -> impl Iterator<Item = &'a [u8]> {
        let (from, to) = (number * tree::PIECE, ((number + 1) * tree::PIECE).min(self.size));
        let first = self.starts.partition_point(|&start| start <= from) - 1;
        let segments = self.segments[first..].iter().zip(&self.starts[first..]);
        segments
            .take_while(move |(_, start)| **start < to)
            .map(move |(segment, &start)| &segment[from.saturating_sub(start)..segment.len().min(to - start)])
    }

    /// The hashes, after every thread has returned from [`Hashes::help`].
    pub(super) fn finish(self) -> PayloadHash {
        let pieces: Vec<tree::Piece> =
            self.pieces.into_iter().map(|(_, hash)| hash.into_inner().expect("every piece was taken by one")).collect();
        PayloadHash {
            size: self.size as u64,
            file_hash: self.file_hash.into_inner(),
            digest: (!pieces.is_empty()).then(|| tree::digest(&pieces)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;
    use crate::payload::PayloadHasher;

    #[test]
    fn both_hashes_are_those_of_the_whole() {
        let bytes: Vec<u8> = (0..3 * tree::PIECE + 77).map(|i| u8::try_from(i * 7 % 253).unwrap()).collect();
        for cut in [0, 1, 128, tree::PIECE - 1, tree::PIECE, 2 * tree::PIECE + 5, bytes.len()] {
            let segments: Vec<Cow<'_, [u8]>> =
                [&bytes[..cut], &[], &bytes[cut..]].into_iter().map(Cow::Borrowed).collect();
            for digest in [true, false] {
                let hashes = Hashes::new(&segments, digest);
                parallel::beside(2, || hashes.help(), || hashes.help());
                assert_eq!(hashes.finish(), PayloadHasher::of(&bytes, true, digest), "cut at {cut}");
            }
        }
    }

    #[test]
    fn many_small_segments() {
        let bytes: Vec<u8> = (0..2 * tree::PIECE + 3).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let segments: Vec<Cow<'_, [u8]>> = bytes.chunks(1000).map(Cow::Borrowed).collect();
        let hashes = Hashes::new(&segments, true);
        hashes.help();
        assert_eq!(hashes.finish(), PayloadHasher::of(&bytes, true, true));
    }
}
