//! The parts of a description that are needed before the columns are read. `cacheness._tables` interprets all of it.

use serde::Deserialize;

#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    package: String,
    #[serde(default)]
    columns: Vec<Values>,
    #[serde(default)]
    index: Index,
}

#[derive(Default, Deserialize)]
struct Index {
    values: Option<Values>,
}

#[derive(Deserialize)]
struct Values {
    /// `str` and `bytes`, for objects.
    #[serde(default)]
    of: Option<String>,
    column: Option<usize>,
}

/// The columns that become Python strings or bytes: each value of a dictionary is then created once.
pub(super) fn columns_of_objects(description: &str) -> Vec<usize> {
    let Ok(Description { package, columns, index }) = serde_json::from_str(description) else { return Vec::new() };
    if package != "pandas" {
        return Vec::new();
    }
    let texts = |values: &Values| matches!(values.of.as_deref(), Some("str" | "bytes"));
    columns.into_iter().chain(index.values).filter(texts).filter_map(|values| values.column).collect()
}
