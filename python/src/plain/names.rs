//! Recurring keys of dicts: an existing string is found by its bytes instead of created again.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Strings up to this many bytes are kept.
const LONGEST: usize = 64;

/// How many are kept, each in the slot of its hash; a power of two.
const PLACES: usize = 1024;

static NAMES: Mutex<[Option<Py<PyString>>; PLACES]> = Mutex::new([const { None }; PLACES]);

/// The interned string of a short key, or a new string.
pub(crate) fn name<'py>(py: Python<'py>, text: &str) -> Bound<'py, PyString> {
    if text.len() > LONGEST {
        return PyString::new(py, text);
    }
    // No thread waits for this lock, so that it cannot be part of a deadlock with the GIL.
    let Some(mut names) = NAMES.try_lock() else { return PyString::intern(py, text) };
    let place = &mut names[place(text.as_bytes())];
    if let Some(known) = place
        && known.bind(py).to_str().is_ok_and(|known| known == text)
    {
        return known.bind(py).clone();
    }
    let name = PyString::intern(py, text);
    let former = place.replace(name.clone().unbind());
    drop(names);
    drop(former);
    name
}

/// The multiplicative hash of Firefox (FxHash); collisions only cost the time that a hit would have saved.
fn place(bytes: &[u8]) -> usize {
    const SEED: u64 = 0x517c_c1b7_2722_0a95;
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(SEED);
    }
    usize::try_from(hash >> 54).unwrap_or(0) % PLACES
}
