//! Selecting entries: one filter language for all backends and languages.
//!
//! `docs/formats/filters.md` specifies it. A [`Filter`] is built ([`field`]), or read from a mapping, JSON or a short
//! text. A backend with SQL translates its tree of [`Node`]s; an [`Evaluator`] decides elsewhere, and where SQL cannot.
//!
//! | module | is for |
//! |---|---|
//! | `filter`, `field` | filters and the paths of fields, as values |
//! | `parse`, `text` | from mappings and JSON, from the short text form |
//! | `order`, `number` | equality and order of values |
//! | `evaluate`, `sort` | deciding about entries, sorted pages |

mod evaluate;
mod field;
mod filter;
mod number;
mod order;
mod parse;
mod sort;
mod text;

pub use evaluate::{Evaluator, Subject};
pub use field::{EntryType, Field, PINNED, Root};
pub use filter::{Comparison, FieldBuilder, Filter, MAX_DEPTH, Node, Operator, field, param};
pub use order::{Ordered, Scalar};
pub use sort::{Sort, Sorter};
