//! Rust values as parameters.

use cacheness_core::backend::{SqlParams, SqlValue};

/// The parameters of a query: `()`, a tuple of values, or an array or `Vec` of values or of pairs of names and values.
pub trait IntoSqlParams {
    /// The parameters.
    fn into_sql_params(self) -> SqlParams;
}

/// A value of a parameter, or its name and its value.
pub trait IntoParam {
    /// The name, if it has one, and the value.
    fn into_param(self) -> (Option<String>, SqlValue);
}

macro_rules! values {
    ($($class:ty, $value:ident => $sql:expr;)*) => {
        $(impl IntoParam for $class {
            fn into_param(self) -> (Option<String>, SqlValue) {
                let $value = self;
                (None, $sql)
            }
        })*
    };
}

values! {
    SqlValue, value => value;
    bool, value => SqlValue::Bool(value);
    i8, value => SqlValue::Int(value.into());
    i16, value => SqlValue::Int(value.into());
    i32, value => SqlValue::Int(value.into());
    i64, value => SqlValue::Int(value);
    u8, value => SqlValue::Int(value.into());
    u16, value => SqlValue::Int(value.into());
    u32, value => SqlValue::Int(value.into());
    f32, value => SqlValue::Float(value.into());
    f64, value => SqlValue::Float(value);
    &str, value => SqlValue::Text(value.to_owned());
    &String, value => SqlValue::Text(value.clone());
    String, value => SqlValue::Text(value);
    &[u8], value => SqlValue::Bytes(value.to_vec());
    Vec<u8>, value => SqlValue::Bytes(value);
    cacheness_core::clock::Timestamp, value => SqlValue::Text(value.to_iso());
}

impl<T: IntoParam> IntoParam for Option<T> {
    fn into_param(self) -> (Option<String>, SqlValue) {
        self.map_or((None, SqlValue::Null), T::into_param)
    }
}

impl<N: Into<String>, T: IntoParam> IntoParam for (N, T) {
    fn into_param(self) -> (Option<String>, SqlValue) {
        (Some(self.0.into()), self.1.into_param().1)
    }
}

impl IntoSqlParams for SqlParams {
    fn into_sql_params(self) -> SqlParams {
        self
    }
}

impl IntoSqlParams for () {
    fn into_sql_params(self) -> SqlParams {
        SqlParams::default()
    }
}

impl<T: IntoParam, const N: usize> IntoSqlParams for [T; N] {
    fn into_sql_params(self) -> SqlParams {
        collect(self)
    }
}

impl<T: IntoParam> IntoSqlParams for Vec<T> {
    fn into_sql_params(self) -> SqlParams {
        collect(self)
    }
}

fn collect<T: IntoParam>(values: impl IntoIterator<Item = T>) -> SqlParams {
    let mut named = Vec::new();
    let mut positional = Vec::new();
    for value in values {
        match value.into_param() {
            (Some(name), value) => named.push((name, value)),
            (None, value) => positional.push(value),
        }
    }
    if named.is_empty() { SqlParams::Positional(positional) } else { SqlParams::Named(named) }
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {
        $(impl<$($name: IntoParam),+> IntoSqlParams for ($($name,)+) {
            #[allow(non_snake_case)]
            fn into_sql_params(self) -> SqlParams {
                let ($($name,)+) = self;
                SqlParams::Positional(vec![$($name.into_param().1),+])
            }
        })*
    };
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_positional_and_pairs_are_named() {
        let text = |text: &str| SqlValue::Text(text.into());
        assert_eq!(().into_sql_params(), SqlParams::Positional(vec![]));
        assert_eq!([1, 2].into_sql_params(), SqlParams::Positional(vec![SqlValue::Int(1), SqlValue::Int(2)]));
        assert_eq!(
            ("a", None::<i64>, 0.5, true).into_sql_params(),
            SqlParams::Positional(vec![text("a"), SqlValue::Null, SqlValue::Float(0.5), SqlValue::Bool(true)])
        );
        assert_eq!([("a", "b")].into_sql_params(), SqlParams::Named(vec![("a".into(), text("b"))]));
        assert_eq!(("a", "b").into_sql_params(), SqlParams::Positional(vec![text("a"), text("b")]));
        let bytes = vec![(String::from("a"), Some(vec![1_u8]))];
        assert_eq!(bytes.into_sql_params(), SqlParams::Named(vec![("a".into(), SqlValue::Bytes(vec![1]))]));
    }
}
