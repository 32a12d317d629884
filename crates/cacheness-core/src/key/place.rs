//! The part of a parameter that could not be encoded. Recorded only on failure.

use crate::key::KeyEncoder;
use crate::key::render::render_value;

/// One step of the path to the part of a parameter that could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A parameter, field or key with this name.
    Name(String),
    /// An element.
    Index(usize),
    /// A key that is not a string, in readable form.
    Key(String),
    /// The key itself could not be encoded.
    InKey,
}

impl KeyEncoder {
    /// Records one step of the path to the failed part; called from the inside out while an error propagates.
    pub fn locate(&mut self, segment: Segment) {
        self.path.push(segment);
    }

    /// Records that the value failed whose key is encoded at `key`, as [`position`](Self::position) counted before and
    /// after the key.
    pub fn locate_key(&mut self, key: std::ops::Range<usize>) {
        let segment = match render_value(&self.out[key]) {
            Ok(serde_json::Value::String(name)) => Segment::Name(name),
            Ok(other) => Segment::Key(other.to_string()),
            Err(_) => Segment::Key("…".into()),
        };
        self.path.push(segment);
    }

    /// The path to the failed part, from `root` on: `params.config.callbacks[2]`.
    #[must_use]
    pub fn place(&self, root: &str) -> String {
        let mut place = root.to_owned();
        for segment in self.path.iter().rev() {
            match segment {
                Segment::Name(name) if is_identifier(name) => {
                    place.push('.');
                    place.push_str(name);
                }
                Segment::Name(name) => place.push_str(&format!("[{:?}]", shorten(name))),
                Segment::Index(index) => place.push_str(&format!("[{index}]")),
                Segment::Key(key) => place.push_str(&format!("[{}]", shorten(key))),
                Segment::InKey => place.push_str(" (in a key)"),
            }
        }
        place
    }
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// Truncates long names in messages.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
