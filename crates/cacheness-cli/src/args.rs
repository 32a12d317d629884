//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Looks into cacheness stores.
#[derive(Debug, Parser)]
#[command(name = "cacheness", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the entries of a store.
    Ls(Ls),
    /// Shows everything that is known of an entry, without reading its value.
    Info(Info),
}

/// What entries are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// The key.
    Key,
    /// When it was put, newest first.
    Created,
    /// When it was last read, latest first.
    Accessed,
    /// Bytes, largest first.
    Size,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The store's directory.
    pub(crate) dir: PathBuf,
    /// Only keys that start with this.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
    /// Only values of this type (array, dataframe, plain, object, …).
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// The order.
    #[arg(long, value_enum, default_value = "created")]
    pub(crate) sort: Sort,
    /// At most this many.
    #[arg(short = 'n', long)]
    pub(crate) limit: Option<usize>,
    /// One JSON object per entry and line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// The store's directory.
    pub(crate) dir: PathBuf,
    /// The entry's key, or the beginning of it.
    pub(crate) key: String,
    /// As a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also reads the payload and compares it with its hash and signature.
    #[arg(long)]
    pub(crate) verify: bool,
}
