//! Entries in a PostgreSQL database.
//!
//! A metadata backend keeps entries and never opens a blob. The tables are specified in `docs/formats/postgresql.md`.
//!
//! | module | is for |
//! |---|---|
//! | `options`, `tls` | where the database is, how the connection is protected |
//! | `link`, `pool`, `descriptors` | one connection, all of them, what a forked child does with them |
//! | `database`, `backend` | the store, its contract; repeating what failed |
//! | `migrate`, `names`, `statements` | the tables, their names, the statements that name them |
//! | `commit`, `custom`, `evict` | changes |
//! | `lookup` | whether a commit was made whose answer was lost |
//! | `locks` | locks between processes and machines |
//! | `rows`, `text`, `document` | entries as rows, texts, metadata as filters need it |
//! | `filter`, `find` | filters as SQL, pages and searches |
//! | `index`, `text_index` | indexes of metadata, full-text search |
//! | `sql`, `scan_sql`, `numeric` | queries of users: running them, their parameters, numbers in their rows |
//! | `error` | PostgreSQL's errors as the engine's |

mod backend;
mod commit;
mod custom;
mod database;
mod descriptors;
mod document;
mod error;
mod evict;
mod filter;
mod find;
mod index;
mod link;
mod locks;
mod lookup;
mod migrate;
mod names;
mod numeric;
mod options;
mod pool;
mod rows;
mod scan_sql;
mod sql;
mod statements;
mod text;
mod text_index;
mod tls;

pub use database::PostgresMetadata;
pub use locks::PostgresLocks;
pub use options::{PostgresOptions, SslMode};
