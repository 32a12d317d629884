//! What a user's statement may do: read the views. SQLite asks while it compiles a statement, before anything runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use cacheness_core::Result;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};
use rusqlite::limits::Limit;

use crate::error::translate;
use crate::views::{PRIVATE, VIEWS};

/// The maximum size of a text, a blob or a row in bytes.
pub(crate) const LONGEST: i32 = 64 << 20;

/// The maximum length of a statement in bytes.
pub(crate) const LONGEST_STATEMENT: i32 = 1 << 20;

/// Limits far above what queries of people need, and far below what would exhaust memory, the stack or patience.
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, LONGEST),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT),
    (Limit::SQLITE_LIMIT_COLUMN, 500),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 500),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 200),
    // Matching takes time in proportion to the product of the lengths of the pattern and the text.
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
];

/// Table-valued functions that read only their arguments.
const TABLE_FUNCTIONS: [&str; 4] = ["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// The first thing of a statement that was refused, in words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Arc<Mutex<Option<String>>>);

impl Refused {
    fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// What was refused, if anything.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Restricts a connection to reading the views; `base` is the view that reads tables. Nothing lifts the restriction.
pub(crate) fn install(connection: &mut Connection, base: String) -> Result<Refused> {
    let failed = |e| translate("cannot prepare a connection for a query", e);
    for (limit, most) in LIMITS {
        connection.set_limit(limit, most).map_err(failed)?;
    }
    connection.execute_batch("PRAGMA query_only = ON").map_err(failed)?;
    let rules = Rules { base, known: known(connection).map_err(failed)? };
    let refused = Refused::default();
    let notes = refused.clone();
    let judge = move |context: AuthContext<'_>| match rules.judge(&context) {
        None => Authorization::Allow,
        Some(what) => {
            notes.note(what);
            Authorization::Deny
        }
    };
    connection.authorizer(Some(judge)).map_err(failed)?;
    Ok(refused)
}

/// The names that a statement can use for a table without a common table expression, in lower case.
fn known(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let sql = "SELECT lower(name) FROM main.sqlite_schema UNION SELECT lower(name) FROM pragma_module_list";
    connection.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
}

/// Decides what a statement may do.
struct Rules {
    /// The view that reads tables.
    base: String,
    /// See [`known`].
    known: HashSet<String>,
}

impl Rules {
    /// What is refused, in words; `None` for what is allowed.
    fn judge(&self, context: &AuthContext<'_>) -> Option<String> {
        let (database, of_base) = (context.database_name, context.accessor == Some(&self.base));
        match &context.action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Read { table_name, column_name } => {
                let table = table_name.to_ascii_lowercase();
                let of_views = table == self.base || VIEWS.contains(&&*table);
                let allowed = match database {
                    _ if of_base => true,
                    Some("temp") => of_views,
                    Some(_) => TABLE_FUNCTIONS.contains(&&*table),
                    // No column of it is used. A common table expression, or a name that was written without that of a
                    // database: then temporary views come before tables.
                    None => column_name.is_empty() && (of_views || self.is_new(&table)),
                };
                let database = database.map_or_else(String::new, |database| format!("{database}."));
                (!allowed).then(|| format!("reading {database}{table_name}"))
            }
            AuthAction::Function { function_name } => {
                let allowed = of_base || is_harmless(function_name);
                (!allowed).then(|| format!("the function {function_name}"))
            }
            other => Some(words(other)),
        }
    }

    /// Whether only a common table expression can have this name, or a function that reads only its arguments.
    fn is_new(&self, table: &str) -> bool {
        let reserved = ["sqlite_", "pragma_"].iter().any(|prefix| table.starts_with(prefix));
        TABLE_FUNCTIONS.contains(&table) || !(reserved || self.known.contains(table))
    }
}

/// Whether a function only computes. The others load code, write to SQLite's log, read tables of full-text and spatial
/// indexes by name, or belong to the views.
fn is_harmless(function: &str) -> bool {
    const PREFIXES: [&str; 6] = ["load_extension", "fts", "rtree", "sqlite_", "geopoly_", PRIVATE];
    let lower = function.to_ascii_lowercase();
    lower == "sqlite_version" || !PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

fn words(action: &AuthAction<'_>) -> String {
    match action {
        AuthAction::Insert { table_name } => format!("INSERT INTO {table_name}"),
        AuthAction::Update { table_name, .. } => format!("UPDATE {table_name}"),
        AuthAction::Delete { table_name } => format!("DELETE FROM {table_name}"),
        AuthAction::Attach { .. } => "ATTACH".into(),
        AuthAction::Detach { .. } => "DETACH".into(),
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        AuthAction::Transaction { operation: TransactionOperation::Unknown } => "COMMIT".into(),
        AuthAction::Transaction { operation } => format!("{operation:?}").to_uppercase(),
        AuthAction::Savepoint { .. } => "SAVEPOINT".into(),
        AuthAction::Analyze { .. } => "ANALYZE".into(),
        AuthAction::Reindex { .. } => "REINDEX".into(),
        AuthAction::AlterTable { table_name, .. } => format!("ALTER TABLE {table_name}"),
        AuthAction::CreateTable { table_name } | AuthAction::CreateTempTable { table_name } => {
            format!("CREATE TABLE {table_name}")
        }
        AuthAction::CreateVtable { table_name, .. } => format!("CREATE VIRTUAL TABLE {table_name}"),
        AuthAction::CreateIndex { index_name, .. } | AuthAction::CreateTempIndex { index_name, .. } => {
            format!("CREATE INDEX {index_name}")
        }
        AuthAction::CreateTrigger { trigger_name, .. } | AuthAction::CreateTempTrigger { trigger_name, .. } => {
            format!("CREATE TRIGGER {trigger_name}")
        }
        AuthAction::CreateView { view_name } | AuthAction::CreateTempView { view_name } => {
            format!("CREATE VIEW {view_name}")
        }
        AuthAction::DropTable { table_name }
        | AuthAction::DropTempTable { table_name }
        | AuthAction::DropVtable { table_name, .. } => format!("DROP TABLE {table_name}"),
        AuthAction::DropIndex { index_name, .. } | AuthAction::DropTempIndex { index_name, .. } => {
            format!("DROP INDEX {index_name}")
        }
        AuthAction::DropTrigger { trigger_name, .. } | AuthAction::DropTempTrigger { trigger_name, .. } => {
            format!("DROP TRIGGER {trigger_name}")
        }
        AuthAction::DropView { view_name } | AuthAction::DropTempView { view_name } => {
            format!("DROP VIEW {view_name}")
        }
        other => format!("{other:?}"),
    }
}
