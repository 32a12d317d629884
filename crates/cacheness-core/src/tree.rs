//! BLAKE3 of a payload in pieces: in any order, on any core, each piece while it is in the cache of that core.
//!
//! BLAKE3 hashes a tree, and pieces of [`PIECE`] bytes are complete subtrees of it. The digest is the same as that of
//! hashing everything at once.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a piece: a power of two, large enough for all lanes of the processor, small enough for its L2 cache, and for two
/// cores to share the eight pieces of a megabyte evenly even if one wakes up late.
pub(crate) const PIECE: usize = 128 << 10;

/// The input of [`digest`] for a piece.
pub(crate) type Piece = ChainingValue;

/// The number of pieces of `size` bytes; [`digest`] needs at least two.
pub(crate) fn count(size: usize) -> usize {
    size.div_ceil(PIECE)
}

/// Hashes piece `number`, which consists of `parts`. All pieces have [`PIECE`] bytes, except that the last may be
/// shorter, but not empty.
pub(crate) fn piece<'a>(number: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Piece {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(number as u64 * PIECE as u64);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize_non_root()
}

/// The digest of the payload made of `pieces`.
///
/// # Panics
/// If there are fewer than two.
pub(crate) fn digest(pieces: &[Piece]) -> [u8; 32] {
    assert!(pieces.len() > 1, "a payload of one piece has no tree");
    let (left, right) = pieces.split_at(left(pieces.len()));
    *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
}

fn subtree(pieces: &[Piece]) -> Piece {
    match pieces {
        [single] => *single,
        _ => {
            let (left, right) = pieces.split_at(left(pieces.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// How many of `count` pieces are in the left subtree: the largest power of two below `count`.
fn left(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..9 * PIECE + 1).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
        for pieces in 2..=9 {
            for rest in [1, 1023, 1024, 1025, PIECE - 1, PIECE] {
                let payload = &bytes[..(pieces - 1) * PIECE + rest];
                assert_eq!(count(payload.len()), pieces);
                let hashed: Vec<Piece> =
                    payload.chunks(PIECE).enumerate().map(|(i, part)| piece(i, part.chunks(100_000))).collect();
                assert_eq!(digest(&hashed), *blake3::hash(payload).as_bytes(), "{pieces} pieces, the last of {rest}");
            }
        }
    }
}
