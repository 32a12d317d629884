//! Strings put aside while a transaction runs, to be handed out after it: in memory as long as they are few.

use std::io::{BufReader, Read, Seek, Write};

use cacheness_core::{Error, Result};
use tempfile::SpooledTempFile;

use crate::database::SPOOL;

/// Strings in the order in which they came.
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

    pub(crate) fn for_each(mut self, visit: &mut dyn FnMut(&str)) -> Result<()> {
        let failed = |e| Error::io("cannot read a temporary file", e);
        self.file.rewind().map_err(failed)?;
        let mut reader = BufReader::with_capacity(64 << 10, self.file);
        let mut text = String::new();
        loop {
            let mut length = [0; 8];
            // The end of the file is the end of the strings.
            if reader.read(&mut length[..1]).map_err(failed)? == 0 {
                return Ok(());
            }
            reader.read_exact(&mut length[1..]).map_err(failed)?;
            text.clear();
            reader.by_ref().take(u64::from_le_bytes(length)).read_to_string(&mut text).map_err(failed)?;
            visit(&text);
        }
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
            let mut seen = 0;
            let mut visit = |text: &str| {
                assert_eq!(text, format!("ключ-{seen}-\0"));
                seen += 1;
            };
            spool.for_each(&mut visit).expect("read");
            assert_eq!(seen, count);
        }
    }
}
