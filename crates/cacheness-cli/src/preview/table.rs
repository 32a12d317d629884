//! Tables: columns, types and the first rows.

use std::collections::HashMap;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use cacheness::core::formats::table::{TableHead, head};
use cacheness::core::payload::Stored;
use cacheness::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::{Preview, Shown};
use crate::output::printable;
use crate::table::{Column, Table};

/// The minimum width of a column on a terminal, including the gap.
const NARROWEST: usize = 3;

pub(super) fn look(stored: Stored, rows: usize, limit: Option<usize>) -> cacheness::Result<Preview> {
    let table = head(stored, rows)?;
    let (types, index) = table.description.as_deref().map(described).unwrap_or_default();
    let columns: Vec<Value> = table
        .schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let dtype = types.get(&i).cloned().unwrap_or_else(|| field.data_type().to_string());
            json!({ "name": field.name(), "dtype": dtype })
        })
        .collect();
    let preview = Preview::default().with("rows", table.num_rows).with("columns", columns);
    let preview = match index {
        Some(index) => preview.with("index", index),
        None => preview,
    };
    let cells =
        cells(&table).map_err(|e| Error::new(ErrorKind::Serialization, "cannot show the table").with_source(e))?;
    let names: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let shown = limit.map_or(names.len(), |limit| names.len().min(limit.div_ceil(NARROWEST)));
    let column = |(i, name): (usize, &&str)| {
        let column = Column::new(printable(name)).shortened_to(8);
        if i == 0 { column } else { column.left_out(shown - i) }
    };
    let mut text = Table::new(names.iter().take(shown).enumerate().map(column).collect());
    for row in &cells {
        let cell = |cell: &Option<String>| cell.as_deref().map_or_else(|| "null".to_owned(), printable);
        text.push(row.iter().take(shown).map(cell).collect());
    }
    let fits = shown - text.lines(limit).1.len();
    let mut rest = Vec::new();
    let more = table.num_rows.saturating_sub(cells.len() as u64);
    if more > 0 {
        rest.push(format!("… {more} more rows"));
    }
    if fits < names.len() {
        rest.push(format!("… {} more columns", names.len() - fits));
    }
    let row = |row: &Vec<Option<String>>| {
        let pairs = names.iter().zip(row);
        Value::Object(pairs.map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect::<Map<_, _>>())
    };
    let json = Value::Array(cells.iter().map(row).collect());
    let shown = if names.is_empty() || cells.is_empty() { Shown::Nothing } else { Shown::Table(text, rest) };
    Ok(preview.head(json.to_string(), shown))
}

/// The rows as text; `None` is null.
fn cells(table: &TableHead) -> Result<Vec<Vec<Option<String>>>, arrow::error::ArrowError> {
    let options = FormatOptions::default().with_display_error(true);
    let mut rows = Vec::new();
    for batch in &table.batches {
        let formatters: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter().zip(&formatters);
            let cell = |(column, formatter): (&arrow::array::ArrayRef, &ArrayFormatter<'_>)| {
                (!column.is_null(row)).then(|| formatter.value(row).to_string())
            };
            rows.push(columns.map(cell).collect());
        }
    }
    Ok(rows)
}

/// The pandas types of columns, by their position in the file, and a description of the index.
fn described(description: &str) -> (HashMap<usize, String>, Option<Value>) {
    let Ok(all) = serde_json::from_str::<Value>(description) else { return Default::default() };
    let mut types = HashMap::new();
    for column in all["columns"].as_array().into_iter().flatten() {
        let position = column["column"].as_u64().and_then(|at| usize::try_from(at).ok());
        let dtype = match column["type"].as_str() {
            Some("datetimetz") => {
                let zone = column["zone"].as_array().and_then(|zone| zone.last());
                let unit = column["unit"].as_str().unwrap_or("ns");
                Some(format!("datetime64[{unit}, {}]", zone.map_or_else(String::new, crate::show::value)))
            }
            Some("arrow") | None => None,
            Some(other) => Some(other.to_owned()),
        };
        if let (Some(position), Some(dtype)) = (position, dtype) {
            types.insert(position, dtype);
        }
    }
    let index = match all["index"]["index"].as_str() {
        Some("range") => {
            let [start, stop, step] = [0, 1, 2].map(|i| all["index"]["range"][i].to_string());
            Some(json!(format!("range({start}, {stop}, {step})")))
        }
        Some(kind) => Some(json!(kind)),
        None => None,
    };
    (types, index)
}
