//! Strings collected during a transaction, to be returned after it: in memory while they are few.

use std::io::{BufReader, Read, Seek, Write};

use cacheness_core::{Error, Result};
use tempfile::SpooledTempFile;

/// The maximum bytes of strings in memory; more go to an unnamed temporary file.
const SPOOL: usize = 1 << 20;

/// Strings in the order in which they were added.
pub(crate) struct Spool {
    file: SpooledTempFile,
}

impl Spool {
    pub(crate) fn new() -> Self {
        Self { file: SpooledTempFile::new(SPOOL) }
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<()> {
        let length = text.len() as u64;
        let written = self.file.write_all(&length.to_le_bytes()).and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|e| Error::io("cannot write a temporary file", e))
    }

    /// The strings, in the order in which they were added.
    pub(crate) fn strings(mut self) -> Result<Strings> {
        self.file.rewind().map_err(failed)?;
        Ok(Strings(BufReader::with_capacity(64 << 10, self.file)))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("cannot read a temporary file", error)
}

/// The strings of a [`Spool`].
pub(crate) struct Strings(BufReader<SpooledTempFile>);

impl Strings {
    fn read(&mut self) -> std::io::Result<Option<String>> {
        let mut length = [0; 8];
        // The end of the file is the end of the strings.
        if self.0.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut length[1..])?;
        let mut text = String::new();
        self.0.by_ref().take(u64::from_le_bytes(length)).read_to_string(&mut text)?;
        Ok(Some(text))
    }
}

impl Iterator for Strings {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(failed).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order_from_memory_and_from_a_file() {
        for count in [0, 3, 100_000] {
            let mut spool = Spool::new();
            (0..count).for_each(|i| spool.push(&format!("ключ-{i}-\0")).expect("written"));
            let strings: Vec<String> = spool.strings().expect("rewound").map(|text| text.expect("read")).collect();
            assert!(strings.into_iter().eq((0..count).map(|i| format!("ключ-{i}-\0"))));
        }
    }
}
