//! The names of a store's tables, and the statements that name them.

/// The tables and indexes of one store, quoted and with their schema.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    schema: String,
    prefix: String,
}

/// A name of PostgreSQL, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tables.
const TABLES: [&str; 4] = ["entries", "totals", "info", "garbage"];

/// Their indexes, whose names have no schema where they are created.
const INDEXES: [&str; 6] =
    ["entries_id", "entries_expiry", "entries_locator", "entries_digest", "entries_damaged", "garbage_due"];

impl Names {
    pub(crate) fn new(schema: &str, prefix: &str) -> Self {
        Self { schema: schema.to_owned(), prefix: prefix.to_owned() }
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The name of a table or index of this store without its schema.
    pub(crate) fn bare(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The same with its schema.
    pub(crate) fn of(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.bare(name)))
    }

    /// A statement in which `{entries}`, `{totals}`, … stand for the names.
    pub(crate) fn write(&self, template: &str) -> String {
        let mut sql = template.to_owned();
        for name in TABLES {
            sql = sql.replace(&format!("{{{name}}}"), &self.of(name));
        }
        for name in INDEXES {
            sql = sql.replace(&format!("{{{name}}}"), &quoted(&self.bare(name)));
        }
        sql
    }

    /// A number for locks of the whole store, the same in all processes.
    pub(crate) fn number(&self, what: &str) -> i64 {
        // FNV-1a: stable, and good enough to tell a few names apart.
        let bytes = [what, "\0", &self.schema, "\0", &self.prefix].concat();
        let hash = bytes
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hash.cast_signed()
    }
}
