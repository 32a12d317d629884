//! Interning of names that nearly every entry has, so that reading them allocates nothing.

use cacheness_core::entry::Name;

/// Makes a [`Name`] of `text`, borrowed if this package itself writes the text.
pub(crate) fn intern(text: &str) -> Name {
    macro_rules! known {
        ($($name:literal)*) => {
            match text {
                $($name => Name::Borrowed($name),)*
                other => Name::Owned(other.to_owned()),
            }
        };
    }
    known!(
        // Handlers.
        "arrow_tables" "bytes" "ndarray" "numpy_arrays" "object_pickle" "pandas_dataframes" "pandas_series"
        "plain_objects" "polars_dataframes" "polars_series" "serde"
        // Kinds of values.
        "array" "dataframe" "index" "object" "plain" "record_batch" "series" "table" "text"
        // Storage formats.
        "arrow" "b2nd" "dill" "json" "msgpack" "npy" "npz" "parquet" "pickle"
        // Codecs.
        "blosclz" "gzip" "lz4" "lz4hc" "none" "snappy" "zlib" "zstd" "blosc2"
        // Types.
        "" "builtins.NoneType" "builtins.bool" "builtins.bytearray" "builtins.bytes" "builtins.dict" "builtins.float"
        "builtins.frozenset" "builtins.int" "builtins.list" "builtins.set" "builtins.str" "builtins.tuple"
        "datetime.date" "datetime.datetime" "datetime.timedelta" "decimal.Decimal" "numpy.ndarray"
        "pandas.core.frame.DataFrame" "pandas.core.series.Series" "pandas.DataFrame" "pandas.Series"
        "polars.dataframe.frame.DataFrame" "polars.series.series.Series" "polars.DataFrame" "polars.Series"
        "pyarrow.lib.RecordBatch" "pyarrow.lib.Table" "uuid.UUID"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_known_ones_borrowed() {
        assert!(matches!(intern("numpy_arrays"), Name::Borrowed("numpy_arrays")));
        assert!(matches!(intern(""), Name::Borrowed("")));
        assert_eq!(intern("my.Type"), "my.Type");
    }
}
