//! `cacheness query [DIR] SQL`

use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use cacheness::core::backend::{Sql, SqlColumn, SqlParams, SqlRows, SqlType, SqlValue};
use cacheness::core::formats::plain::Value;
use cacheness::{Error, ErrorKind};

use crate::args::{Query, StoreOptions};
use crate::failure::Failure;
use crate::json;
use crate::output::{Output, printable, say};
use crate::place::directory_and_key;
use crate::table::{Column, Table};
use crate::terminal;
use crate::typed::typed;

pub(crate) fn run(args: &Query, option: &StoreOptions, out: &mut Output) -> Result<(), Failure> {
    let (directory, sql) = directory_and_key(option, &args.words)?;
    let sql = match sql.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).map_err(|e| {
            Error::new(ErrorKind::InvalidInput, "the query cannot be read from standard input").with_source(e)
        })?,
        Some(sql) => sql.to_owned(),
        None => return Err(Failure::Usage("the query is not UTF-8".into(), "write SELECT … FROM entries".into())),
    };
    let params = params(&args.params)?;
    // It costs nothing, and no other option could turn it on here.
    let store = directory.read_with(|config| config.store_full_metadata = true)?;
    let timeout = args.timeout.map(|timeout| Duration::from_secs_f64(timeout.0));
    let rows = store.sql(&Sql { limit: args.limit, timeout, ..Sql::new(&sql, &params) }).map_err(|error| {
        if error.kind() == ErrorKind::InvalidInput { Failure::CommandLine(error) } else { Failure::Engine(error) }
    })?;
    store.close()?;
    if args.json {
        objects(rows, out)
    } else if args.csv {
        comma_separated(rows, out)
    } else {
        table(rows, out)
    }
}

/// A value for a parameter: `VALUE`, or `:NAME=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    name: Option<String>,
    value: SqlValue,
}

impl FromStr for Argument {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        let (name, text) = match argument.strip_prefix(':').map(|named| named.split_once('=')) {
            Some(Some((name, text))) if !name.is_empty() => (Some(name.to_owned()), text),
            Some(_) => {
                return Err("expected VALUE or :NAME=VALUE; put a string that begins with : in double quotes".into());
            }
            None => (None, argument),
        };
        let value = match typed(text)? {
            Value::None => SqlValue::Null,
            Value::Bool(value) => SqlValue::Bool(value),
            Value::Int(value) => SqlValue::Int(value),
            Value::Float(value) => SqlValue::Float(value),
            Value::Str(value) => SqlValue::Text(value),
            Value::UInt(_) | Value::BigInt(_) => {
                return Err("the integer does not fit 64 bits; put it in double quotes to make it a string".into());
            }
            // A list for `json_each`.
            _ => SqlValue::Text(text.to_owned()),
        };
        Ok(Self { name, value })
    }
}

fn params(arguments: &[Argument]) -> Result<SqlParams, Failure> {
    let named = arguments.iter().filter(|argument| argument.name.is_some()).count();
    if named > 0 && named < arguments.len() {
        let hint = "name all of them, as in --param :model=ridge, or none";
        return Err(Failure::Usage("some parameters have names and others have none".into(), hint.into()));
    }
    Ok(if named > 0 {
        let pair = |argument: &Argument| (argument.name.clone().unwrap_or_default(), argument.value.clone());
        SqlParams::Named(arguments.iter().map(pair).collect())
    } else {
        SqlParams::Positional(arguments.iter().map(|argument| argument.value.clone()).collect())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON object for each row, one per line. A blob is a string of hexadecimal digits.
fn objects(rows: SqlRows, out: &mut Output) -> Result<(), Failure> {
    let names: Vec<String> = rows.columns().iter().map(|column| column.name.clone()).collect();
    if let Some(name) = names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name)) {
        let what = format!("several columns of the result are named {name:?}");
        return Err(Failure::Usage(what, "give each a name of its own with AS".into()));
    }
    for row in rows {
        let pairs = names.iter().zip(row?).map(|(name, value)| (Value::Str(name.clone()), plain(value)));
        let line = json::compact(&Value::Map(pairs.collect()))
            .map_err(|e| Error::new(ErrorKind::Serialization, e.to_string()))?;
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn plain(value: SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::None,
        SqlValue::Bool(value) => Value::Bool(value),
        SqlValue::Int(value) => Value::Int(value),
        SqlValue::Float(value) => Value::Float(value),
        SqlValue::Text(value) => Value::Str(value),
        SqlValue::Bytes(bytes) => Value::Str(hex(&bytes)),
    }
}

/// A value as text; `NULL` is empty.
fn text(value: SqlValue) -> String {
    match value {
        SqlValue::Null => String::new(),
        SqlValue::Bool(value) => value.to_string(),
        SqlValue::Int(value) => value.to_string(),
        // With a fraction, as in JSON.
        SqlValue::Float(value) => format!("{value:?}"),
        SqlValue::Text(value) => value,
        SqlValue::Bytes(bytes) => hex(&bytes),
    }
}

fn comma_separated(rows: SqlRows, out: &mut Output) -> Result<(), Failure> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Failure::Output(error),
        other => Failure::Output(std::io::Error::other(format!("{other:?}"))),
    };
    // Another program gets texts unchanged.
    let shown = |text: String| if terminal::width().is_some() { printable(&text) } else { text };
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(rows.columns().iter().map(|column| shown(column.name.clone()))).map_err(failed)?;
    for row in rows {
        writer.write_record(row?.into_iter().map(|value| shown(text(value)))).map_err(failed)?;
    }
    Ok(writer.flush()?)
}

fn table(rows: SqlRows, out: &mut Output) -> Result<(), Failure> {
    let count = rows.left();
    let is_number = |column: &SqlColumn| column.types().all(|kind| matches!(kind, SqlType::Int | SqlType::Float));
    let last = rows.columns().len();
    let columns = rows.columns().iter().enumerate().map(|(i, column)| {
        // The first column stays, and the last ones are omitted first.
        let shown = Column::new(printable(&column.name));
        let shown = if is_number(column) { shown.right() } else { shown.shortened_to(16) };
        if i == 0 { shown } else { shown.left_out(last - i) }
    });
    let mut table = Table::new(columns.collect());
    for row in rows {
        table.push(row?.into_iter().map(|value| printable(&text(value))).collect());
    }
    let missing = if count > 0 { table.print(terminal::width(), out)? } else { Vec::new() };
    let missing = if missing.is_empty() { String::new() } else { format!(" (too narrow for {})", missing.join(", ")) };
    out.flush()?;
    let rows = match count {
        0 => "no rows".to_owned(),
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    };
    say(format_args!("{rows}{missing}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_typed_and_may_have_a_name() {
        let text = |text: &str| SqlValue::Text(text.into());
        for (given, name, value) in [
            ("3", None, SqlValue::Int(3)),
            ("-0.5", None, SqlValue::Float(-0.5)),
            ("true", None, SqlValue::Bool(true)),
            ("null", None, SqlValue::Null),
            ("a=b", None, text("a=b")),
            ("\":a=b\"", None, text(":a=b")),
            ("[1, 2]", None, text("[1, 2]")),
            (":n=3", Some("n"), SqlValue::Int(3)),
            (":n=", Some("n"), text("")),
        ] {
            let expected = Argument { name: name.map(str::to_owned), value };
            assert_eq!(Argument::from_str(given), Ok(expected), "{given}");
        }
        for wrong in [":n", ":=3", ":", "18446744073709551615", "\"half"] {
            assert!(Argument::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
