//! Indexes of fields of the metadata.
//!
//! Each is an index of PostgreSQL on an expression, whose comment contains the field: the catalogue is the record of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cacheness_core::backend::Query;
use cacheness_core::query::{Field, Root};
use cacheness_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use tokio_postgres::types::Type;

use crate::filter::{self, Sql};
use crate::link::Link;
use crate::names::{Names, quoted};

const PREFIX: &str = "cacheness metadata: ";

/// The expression of an index of the field.
pub(crate) fn expression(field: &Field) -> Result<String> {
    if field.root() != Root::Metadata {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{field} is not a field of the metadata"))
            .with_hint("an index is made of a field of the metadata; put a parameter there too to have it indexed"));
    }
    filter::extract(field).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, format!("no index can be made of {field}"))
            .with_hint("a name with a NUL character has no index")
    })
}

/// The name of the index of a field, which may be long.
fn name(names: &Names, field: &Field) -> String {
    let hash = names.number(&format!("index {field}")).cast_unsigned();
    names.bare(&format!("m_{hash:016x}"))
}

/// The fields that have an index, with the names of the indexes.
fn found(link: &mut Link, names: &Names) -> Result<Vec<(Field, String)>> {
    let sql = "SELECT obj_description(c.oid, 'pg_class'), c.relname::text FROM pg_index AS i \
               JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass($1) AND i.indisvalid";
    let entries = names.of("entries");
    let rows = link.query_once("cannot list the indexes", sql, &[(&entries, Type::TEXT)])?;
    let mut fields: Vec<(Field, String)> = rows
        .iter()
        .filter_map(|row| {
            let comment: Option<&str> = row.try_get(0).ok()?;
            // An index that this release would not make is none of its own.
            Some((Field::parse(comment?.strip_prefix(PREFIX)?).ok()?, row.try_get(1).ok()?))
        })
        .collect();
    fields.sort_by_cached_key(|(field, _)| field.to_string());
    Ok(fields)
}

pub(crate) fn all(link: &mut Link, names: &Names) -> Result<Vec<Field>> {
    Ok(found(link, names)?.into_iter().map(|(field, _)| field).collect())
}

/// Creates an index; `false` if there is one.
pub(crate) fn create(link: &mut Link, names: &Names, field: &Field, expression: &str) -> Result<bool> {
    if all(link, names)?.contains(field) {
        return Ok(false);
    }
    let (index, entries) = (quoted(&name(names, field)), names.of("entries"));
    let comment = format!("{PREFIX}{field}").replace('\'', "''").replace('\\', "\\\\");
    let sql = format!(
        "BEGIN; CREATE INDEX {index} ON {entries} ({expression}); COMMENT ON INDEX {}.{index} IS E'{comment}'; COMMIT",
        quoted(names.schema())
    );
    let created = link.batch("cannot create an index", &sql);
    if created.is_err() && !link.is_broken() {
        link.batch("cannot create an index", "ROLLBACK")?;
    }
    created.map(|()| true)
}

/// Removes an index; `false` if there is none.
pub(crate) fn remove(link: &mut Link, names: &Names, field: &Field) -> Result<bool> {
    let Some((_, index)) = found(link, names)?.into_iter().find(|(known, _)| known == field) else { return Ok(false) };
    let sql = format!("DROP INDEX IF EXISTS {}.{}", quoted(names.schema()), quoted(&index));
    link.batch("cannot remove an index", &sql).map(|()| true)
}

/// How long the list of indexes is believed: another process may create one.
const BELIEVED: Duration = Duration::from_secs(10);

/// The indexes that the process knows of.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(Instant, Arc<[Field]>)>>);

impl Known {
    /// The fields that have an index, as they were a few seconds ago.
    pub(crate) fn get(&self, link: &mut Link, names: &Names) -> Result<Arc<[Field]>> {
        let known = self.0.lock().clone();
        if let Some((_, fields)) = known.filter(|(at, _)| at.elapsed() < BELIEVED) {
            return Ok(fields);
        }
        let fields: Arc<[Field]> = all(link, names)?.into();
        *self.0.lock() = Some((Instant::now(), Arc::clone(&fields)));
        Ok(fields)
    }

    /// Forgets them.
    pub(crate) fn clear(&self) {
        *self.0.lock() = None;
    }
}

/// Adds the conditions that every match fulfils and that one of these indexes could answer; PostgreSQL decides whether it
/// uses one.
pub(crate) fn narrow(sql: &mut Sql, query: &Query<'_>, indexed: &[Field]) {
    let Some(filter) = query.filter else { return };
    for (field, operator) in filter::necessary(filter.node()) {
        if indexed.contains(field) {
            filter::by_index(sql, field, operator);
        }
    }
}
