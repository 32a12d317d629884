//! What has to be known of a description before the columns are read. `cacheness._tables` makes sense of all of it.

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

/// The columns that become Python strings or bytes: each value of a dictionary is then made once.
pub(super) fn columns_of_objects(description: &str) -> Vec<usize> {
    let Ok(Description { package, columns, index }) = serde_json::from_str(description) else { return Vec::new() };
    if package != "pandas" {
        return Vec::new();
    }
    let texts = |values: &Values| matches!(values.of.as_deref(), Some("str" | "bytes"));
    columns.into_iter().chain(index.values).filter(texts).filter_map(|values| values.column).collect()
}

#[cfg(test)]
mod tests {
    use super::columns_of_objects;

    #[test]
    fn objects_of_columns_and_index() {
        let description = r#"{"version":1,"package":"pandas","kind":"DataFrame","rows":3,"columns":[
            {"type":"object","of":"str","missing":null,"column":0}, {"type":"string","column":1},
            {"type":"object","of":"Decimal","column":2}, {"type":"object","of":"bytes","column":3}],
            "index":{"index":"Index","values":{"type":"object","of":"str","column":4},"name":null}}"#;
        assert_eq!(columns_of_objects(description), [0, 3, 4]);
    }

    #[test]
    fn what_has_none() {
        assert!(columns_of_objects(r#"{"package":"polars","columns":[{"of":"str","column":0}]}"#).is_empty());
        let range = r#"{"package":"pandas","columns":[],"index":{"index":"range","range":[0,1,1],"name":null}}"#;
        assert!(columns_of_objects(range).is_empty());
        assert!(columns_of_objects("nonsense").is_empty());
    }
}
