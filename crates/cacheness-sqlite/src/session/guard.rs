//! What SQL of the user may not do: change the engine's tables, and how the database is kept.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ffi};

use super::SqlError;

/// Pragmas that may be called with a value: those that only read, and those of the connection that concern no one else.
const PRAGMAS: [&str; 22] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "foreign_keys",
    "defer_foreign_keys",
    "ignore_check_constraints",
    "read_uncommitted",
    "reverse_unordered_selects",
    "case_sensitive_like",
    "cache_size",
    "temp_store",
    "query_only",
    "analysis_limit",
    "optimize",
    "threads",
];

/// Pragmas without a value that change something.
const COMMANDS: [&str; 4] = ["wal_checkpoint", "incremental_vacuum", "shrink_memory", "journal_mode"];

/// Whether it is a table of the engine.
fn is_ours(table: &str) -> bool {
    let starts_with = |prefix: &str| table.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    starts_with("cache_") || starts_with("refinery_")
}

pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(|context: AuthContext<'_>| judge(&context)))
}

fn judge(context: &AuthContext<'_>) -> Authorization {
    let refused = match context.action {
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::CreateTable { table_name }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::DropTrigger { table_name, .. }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::DropVtable { table_name, .. } => context.database_name != Some("temp") && is_ours(table_name),
        AuthAction::CreateView { view_name } => is_ours(view_name),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let is = |name: &&str| pragma_name.eq_ignore_ascii_case(name);
            match pragma_value {
                Some(_) => !PRAGMAS.iter().any(&is),
                None => COMMANDS[..3].iter().any(is),
            }
        }
        AuthAction::Attach { filename } => !filename.is_empty() && filename != ":memory:",
        _ => false,
    };
    if refused { Authorization::Deny } else { Authorization::Allow }
}

/// Adds to an error of SQLite about a missing right why it is missing.
pub(super) fn explain(error: SqlError) -> SqlError {
    match error {
        SqlError::Sqlite { code, message } if code & 0xff == ffi::SQLITE_AUTH => SqlError::Sqlite {
            code,
            message: format!(
                "{message}: the tables whose names begin with cache_ are the engine's; change entries through the cache, \
                 and leave the settings of the database to it"
            ),
        },
        other => other,
    }
}
