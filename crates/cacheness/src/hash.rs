//! Hashes of contents, sizes of files.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{self, EncodedKey, KeyEncoder, ToKey};
use cacheness_core::{Error, Result};

/// A hash of any value that can be a parameter: the same in every process, on every machine, and in Python's
/// `hash_content`. 32 hexadecimal digits: BLAKE3 of the canonical encoding, truncated to 128 bits.
///
/// ```
/// use cacheness::hash::hash_content;
///
/// # fn main() -> cacheness::Result<()> {
/// assert_eq!(hash_content(&[1, 2, 3])?, hash_content(&vec![1, 2, 3])?);
/// assert_ne!(hash_content(&1)?, hash_content(&1.0)?);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `KeyEncoding` if a part has no stable encoding; the message names it.
pub fn hash_content<T: ToKey + ?Sized>(content: &T) -> Result<String> {
    let mut encoder = KeyEncoder::new(&SerializationConfig::default());
    match content.encode(&mut encoder) {
        Ok(()) => Ok(hex(&EncodedKey::from_encoding(encoder.finish()).fingerprint)),
        Err(error) => Err(error.within(encoder.place("value"))),
    }
}

/// A hash of the content of a file, or of all names and contents below a directory: 64 hexadecimal digits. For a file, the
/// same as `b3sum` prints; the name of the file does not count.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (one, two) = (dir.path().join("one"), dir.path().join("two"));
/// std::fs::write(&one, "the same")?;
/// std::fs::write(&two, "the same")?;
/// assert_eq!(cacheness::hash::hash_path(&one)?, cacheness::hash::hash_path(&two)?);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `Storage` or `ReadOnly` if the path does not exist or cannot be read, `KeyEncoding` for a special file.
pub fn hash_path(path: impl AsRef<Path>) -> Result<String> {
    key::hash_path(path.as_ref()).map(|digest| hex(&digest))
}

/// The size of a file, or of all files below a directory, in megabytes (2^20 bytes). Symbolic links in a directory are
/// not followed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// std::fs::write(dir.path().join("file"), vec![0; 1 << 19])?;
/// assert_eq!(cacheness::hash::size_mb(dir.path())?, 0.5);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `Storage` or `ReadOnly` if the path does not exist or cannot be read.
#[allow(clippy::cast_precision_loss)]
pub fn size_mb(path: impl AsRef<Path>) -> Result<f64> {
    let failed = |path: &Path, error| Error::io(format_args!("cannot read {}", path.display()), error);
    let root = path.as_ref();
    let mut bytes = 0;
    let mut found = vec![(root.to_owned(), fs::metadata(root).map_err(|e| failed(root, e))?)];
    while let Some((path, metadata)) = found.pop() {
        if !metadata.is_dir() {
            bytes += metadata.len();
            continue;
        }
        for entry in fs::read_dir(&path).map_err(|e| failed(&path, e))? {
            let entry = entry.map_err(|e| failed(&path, e))?;
            // The size of a link itself.
            let metadata = entry.metadata().map_err(|e| failed(&entry.path(), e))?;
            found.push((entry.path(), metadata));
        }
    }
    Ok(bytes as f64 / 1_048_576.0)
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("a string takes everything");
    }
    digits
}
