//! The command line.

mod examples;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::progress::When;
use crate::typed::{Condition, Field, Lifetime};

/// Lists, reads, stores and removes what cacheness keeps in a directory: cached results and artifacts, of Python and Rust
/// programs.
#[derive(Debug, Parser)]
#[command(name = "cacheness", version, max_term_width = 100, after_help = examples::ALL)]
pub(crate) struct Args {
    /// The store's directory; else CACHENESS_DIR, else ./cache.
    #[arg(short = 'd', long = "dir", global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the entries of a store.
    ///
    /// On a terminal the table fits the window: long cells are shortened and marked with …, columns that do not fit are
    /// left out. Written to a file or a pipe, everything is complete.
    #[command(after_long_help = examples::LS)]
    Ls(Ls),
    /// Shows everything that is known of an entry: parameters, metadata, format, size, times, and a preview of the value.
    ///
    /// The preview shows the shape and dtype of an array, the rows and columns of a table, the items of plain data, and
    /// the beginning of each. A pickle is never decoded.
    #[command(after_long_help = examples::INFO)]
    Info(Info),
    /// Counts entries and bytes, by type.
    #[command(after_long_help = examples::STATS)]
    Stats(Stats),
    /// Prints plain data as JSON, or writes any value into a file.
    ///
    /// Without -o plain data (numbers, texts, lists, maps, …) is printed as JSON. With -o bytes and texts are written as
    /// they are, other plain data as JSON, and arrays, tables and pickles as the file that the store keeps: .npy, .b2nd,
    /// .parquet, .arrow, .pkl. A pickle is never decoded.
    ///
    /// A file that exists is overwritten only after a question on the terminal, or with --force.
    #[command(after_long_help = examples::GET)]
    Get(Get),
    /// Stores a file under parameters, or under a name, and prints the key.
    ///
    /// The value is the file's bytes, with --text a text, with --json the value that the JSON holds. The key is the one
    /// that cache.put(value, k=v, …) has in Python and cache.put(&value, params! { k: v }) in Rust. What is there under
    /// the same key is replaced; nothing else is removed: no limit of a cache counts here.
    ///
    /// Parameters have types: fold=3 is an integer, rate=0.1 a float, shuffle=true a boolean, best=null nothing,
    /// layers=[64,32] a list. What is none of these is a text, and so is everything in quotes: version='"3"'.
    #[command(after_long_help = examples::PUT)]
    Put(Put),
    /// Removes entries by their keys, or all that filters select.
    ///
    /// With filters the command shows how many entries it would remove, and the first of them, and asks. Without a
    /// terminal it wants --yes. An entry that is replaced between the question and the removal stays.
    #[command(after_long_help = examples::RM)]
    Rm(Rm),
    /// Reads every payload and compares it with its hash and signature; exit code 1 if one is damaged.
    #[command(after_long_help = examples::VERIFY)]
    Verify(Verify),
    /// Removes the entries that have expired.
    #[command(after_long_help = examples::CLEANUP)]
    Cleanup(Cleanup),
    /// Removes all entries, after asking.
    #[command(after_long_help = examples::CLEAR)]
    Clear(Clear),
    /// Shows the settings of a store, and where each comes from.
    ///
    /// That is the directory itself (cacheness.toml), an environment variable, or the default. A program that opens the
    /// store may set others.
    #[command(after_long_help = examples::CONFIG)]
    Config(Config),
    /// Prints a script with which a shell completes verbs, options, and in bash, zsh and fish keys.
    #[command(after_long_help = examples::COMPLETIONS)]
    Completions(Completions),
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
    /// When it expires, soonest first.
    Expires,
    /// Bytes, largest first.
    Size,
}

/// The store, for verbs that take nothing else.
#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

/// An entry, and perhaps the store it is in.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The entry's key as ls shows it, or the beginning of it; before it the store's directory, as with --dir.
    #[arg(value_name = "[DIR] KEY", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<OsString>,
}

/// Which entries are meant. Several filters are joined by and.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Only keys that start with this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Only values of this type: plain, array, dataframe, table, object (a pickle), …; stats shows which there are.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// Only results of this function: module.function, or the end of it.
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Only entries that have this value, as model=ridge: in their metadata, their parameters, the arguments of their
    /// function, or else a field such as storage_format. May be given several times, all must hold.
    #[arg(long = "where", value_name = "NAME=VALUE")]
    pub(crate) conditions: Vec<Condition>,
    /// Only values that were put longer ago than this: 90s, 15m, 6h, 7d, 2w.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) older_than: Option<Lifetime>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) place: Where,
    /// What to sort by.
    #[arg(long, value_enum, default_value = "created")]
    pub(crate) sort: Sort,
    /// Reverses the order.
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Shows at most this many.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Prints keys only, one per line.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// With -q, ends each key with a NUL character instead of a line break, for xargs -0.
    #[arg(short = '0', long, requires = "quiet")]
    pub(crate) null: bool,
    /// Prints a JSON object for each entry, one per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only entries that have expired.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness info [OPTIONS] [DIR] KEY")]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) which: Which,
    /// How much of the value to show: that many rows, items or lines, of an array in each dimension. Of more than 64 MB
    /// of plain data or of a table nothing is read unless this is given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) head: Option<usize>,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also reads the payload and compares it with its hash and signature; exit code 1 if it is damaged.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness get [OPTIONS] [DIR] KEY")]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where to write the value; - is standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Overwrites the file without asking.
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,
    /// Reads an entry that has expired, too.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "cacheness put [OPTIONS] [DIR] FILE NAME=VALUE…\n       cacheness put [OPTIONS] [DIR] FILE --key NAME"
)]
pub(crate) struct Put {
    /// The file to store, - is standard input; after it the parameters that identify the value, as model=ridge fold=3;
    /// before it the store's directory, as with --dir.
    #[arg(value_name = "[DIR] FILE NAME=VALUE", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub(crate) words: Vec<OsString>,
    /// A name for the value, in place of parameters.
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// The file is JSON: store the value that it holds.
    #[arg(long, conflicts_with = "text")]
    pub(crate) json: bool,
    /// The file is a text in UTF-8: store it as one.
    #[arg(long)]
    pub(crate) text: bool,
    /// A field of the metadata, as stage=prod; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<Field>,
    /// A sentence about the value.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// How long the entry is served: 90 or 90s, 15m, 6h, 7d, 2w. If it is not given,
    /// CACHENESS_DEFAULT_TTL_SECONDS, else for ever.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) ttl: Option<Lifetime>,
}

/// How removing goes about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Removing {
    /// Removes without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) progress: ShowProgress,
}

/// Whether long work shows how far it is.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowProgress {
    /// When to show progress, on a terminal: auto is after half a second.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub(crate) progress: When,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness rm [OPTIONS] [DIR] KEY…\n       cacheness rm [OPTIONS] [DIR] FILTER…")]
pub(crate) struct Rm {
    /// Keys as ls shows them, or their beginnings; if one of them is not there, nothing is removed. Before them the
    /// store's directory, as with --dir: the first word is one if other keys follow and a store is in it.
    #[arg(value_name = "[DIR] KEY", num_args = 0..)]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    pub(crate) removing: Removing,
    /// Shows what would be removed, and removes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints a JSON object: how many entries and bytes, and their keys.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) progress: ShowProgress,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) progress: ShowProgress,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) removing: Removing,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell that it is for.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
