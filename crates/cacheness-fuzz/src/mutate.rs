//! Mutations of inputs, the same for the same seed.

/// Numbers for wrong lengths and counts.
const INTERESTING: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// A source of mutated inputs.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The same mutations for the same `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1 }
    }

    /// A number below `end`, which is not zero.
    #[allow(clippy::cast_possible_truncation)]
    pub fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        ((u128::from(self.state) * end as u128) >> 64) as usize
    }

    /// Another input, from `input` and sometimes a piece of `other`.
    #[must_use]
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.below(4) {
            self.step(&mut out, other);
        }
        out
    }

    #[allow(clippy::cast_possible_truncation)]
    fn step(&mut self, out: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(out.len() + 1);
        match self.below(8) {
            0 | 1 if at < out.len() => out[at] ^= 1 << self.below(8),
            2 if at < out.len() => out[at] = self.below(256) as u8,
            3 => {
                let number = INTERESTING[self.below(INTERESTING.len())];
                let width = [1, 2, 4, 8][self.below(4)].min(out.len() - at);
                let bytes = if self.below(2) == 0 {
                    number.to_le_bytes()[..width].to_vec()
                } else {
                    number.to_be_bytes()[8 - width..].to_vec()
                };
                out[at..at + width].copy_from_slice(&bytes);
            }
            4 => {
                let count = self.below((out.len() - at).min(64) + 1);
                out.drain(at..at + count);
            }
            5 => {
                let count = self.below(32);
                let byte = self.below(256) as u8;
                out.splice(at..at, std::iter::repeat_n(byte, count));
            }
            6 if !other.is_empty() => {
                let from = self.below(other.len());
                let count = self.below((other.len() - from).min(128) + 1);
                let end = (at + count).min(out.len());
                out.splice(at..end, other[from..from + count].iter().copied());
            }
            7 => out.truncate(at),
            _ => out.push(self.below(256) as u8),
        }
    }
}
