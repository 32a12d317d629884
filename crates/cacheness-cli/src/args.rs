//! The command line.

mod examples;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::commands::Argument;
use crate::progress::When;
use crate::typed::{Condition, Field, Lifetime, Order};

/// List, read, store and remove the cached results and artifacts of Python and Rust programs in a cacheness store.
#[derive(Debug, Parser)]
#[command(name = "cacheness", version, max_term_width = 100, after_help = examples::ALL)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which store, before or after the verb.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StoreOptions {
    /// The store's directory [default: CACHENESS_DIR, or else ./cache].
    #[arg(short = 'd', long = "dir", global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// The store's URL: postgresql://user@host/database, file:///dir, … [default: CACHENESS_STORE].
    #[arg(long = "store", global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The URL of large payloads: s3://bucket/prefix, a path, … [default: CACHENESS_BLOBS].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) blobs: Option<String>,
}

impl StoreOptions {
    /// Whether they name the store, so that no word does.
    pub(crate) fn is_given(&self) -> bool {
        self.dir.is_some() || self.url.is_some()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the entries of a store.
    ///
    /// On a terminal the table fits the window: long cells are shortened and marked with …, and columns that do not fit
    /// are omitted. In a file or a pipe the output is complete.
    #[command(after_long_help = examples::LS)]
    Ls(Ls),
    /// Show an entry: parameters, metadata, format, size, times, and a preview of the value.
    ///
    /// The preview shows the shape and dtype of an array, the rows and columns of a table, or the number of items of plain
    /// data, and the beginning of the value. A pickle is never decoded.
    #[command(after_long_help = examples::INFO)]
    Info(Info),
    /// Count entries and bytes, by type.
    #[command(after_long_help = examples::STATS)]
    Stats(Stats),
    /// Sum up entries by their type and by any field: bytes, ages, reads, and the computation that reads saved.
    ///
    /// A FIELD is the name of a metadata field, a path such as config.depth, params.NAME, or entry.NAME for a field of
    /// the entry itself. An entry whose value is a list counts once for each element.
    #[command(after_long_help = examples::REPORT)]
    Report(Report),
    /// Print plain data as JSON, or write any value to a file.
    ///
    /// Without -o, print plain data (numbers, strings, lists, maps, …) as JSON. With -o, write bytes and strings unchanged,
    /// other plain data as JSON, and arrays, tables and pickles as the stored file: .npy, .b2nd, .parquet, .arrow, .pkl.
    /// A pickle is never decoded.
    ///
    /// An existing file is overwritten only after confirmation on the terminal, or with --force.
    #[command(after_long_help = examples::GET)]
    Get(Get),
    /// Store a file under parameters, or under a name, and print the key.
    ///
    /// The value is the file's bytes, with --text a string, with --json the parsed JSON value. The key is the same as that
    /// of cache.put(value, k=v, …) in Python and cache.put(&value, params! { k: v }) in Rust. An entry with the same key is
    /// replaced. No other entry is removed: the limits of a cache do not apply here.
    ///
    /// Parameters have types: fold=3 is an integer, rate=0.1 a float, shuffle=true a boolean, best=null the null value,
    /// layers=[64,32] a list. Anything else is a string, and so is anything in quotes: version='"3"'.
    #[command(after_long_help = examples::PUT)]
    Put(Put),
    /// Query the metadata of all entries in SQL.
    ///
    /// The views entries and cache_entries have a row for every entry: its fields, metadata and params as JSON, pinned;
    /// cache_entries also full_metadata, both of them together. One SELECT in the dialect of SQLite runs, and nothing is
    /// written. - reads it from standard input.
    ///
    /// Parameters have types: 3 is an integer, 0.1 a float, true a boolean, null the null value. Anything else is a string,
    /// and so is anything in double quotes.
    #[command(after_long_help = examples::QUERY)]
    Query(Query),
    /// Remove entries by their keys, or all entries that filters select.
    ///
    /// With filters, show the number of selected entries and the first of them, and ask for confirmation. Without a
    /// terminal, --yes is required. An entry that is replaced before it is removed stays.
    #[command(after_long_help = examples::RM)]
    Rm(Rm),
    /// Read every payload and compare it with its hash and signature; exit code 1 if one is damaged.
    #[command(after_long_help = examples::VERIFY)]
    Verify(Verify),
    /// Find entries by words in their descriptions and metadata, the most relevant first.
    ///
    /// All words must occur; "a phrase" in quotes, detect* for a beginning, OR and NOT between words. Needs the full-text
    /// index of cacheness index add --text.
    #[command(after_long_help = examples::SEARCH)]
    Search(Search),
    /// List, add or remove indexes, which make filters and search fast.
    #[command(subcommand, after_long_help = examples::INDEX)]
    Index(Index),
    /// List the tags of a store, or add them to an entry or remove them.
    #[command(subcommand, after_long_help = examples::TAG)]
    Tag(Tag),
    /// Remove expired entries.
    #[command(after_long_help = examples::CLEANUP)]
    Cleanup(Cleanup),
    /// Remove all entries, after confirmation.
    #[command(after_long_help = examples::CLEAR)]
    Clear(Clear),
    /// Show the settings of a store, and the source of each.
    ///
    /// The source is the directory itself (cacheness.toml), an environment variable, a line of the file that CACHENESS_CONFIG
    /// names, or the default. A program that opens the store may use other settings. Secrets are hidden.
    #[command(after_long_help = examples::CONFIG)]
    Config(Config),
    /// Print a completion script for a shell: for verbs and options, and in bash, zsh and fish also for keys.
    #[command(after_long_help = examples::COMPLETIONS)]
    Completions(Completions),
}

/// The store, for verbs without other positional arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Where {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

/// An entry, and optionally its store.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The entry's key as shown by ls, or a unique prefix of it; optionally preceded by the store's directory, as with
    /// --dir.
    #[arg(value_name = "[DIR] KEY", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<OsString>,
}

/// Selects entries. An entry must match all given filters.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct Filters {
    /// Only keys that start with this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Only values of this type: plain, array, dataframe, table, object (a pickle), …; stats lists the types.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// Only results of this function: module.function, or the end of that name.
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// Only entries with this tag. If given several times, an entry must have all.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Only entries that match this filter, as 'accuracy >= 0.9 and params.model = ridge': a name alone is a field of the
    /// metadata, params.NAME a parameter, entry.NAME a field of the entry. If given several times, all must match.
    #[arg(long = "where", value_name = "FILTER", allow_hyphen_values = true)]
    pub(crate) conditions: Vec<Condition>,
    /// Only values older than this: 90s, 15m, 6h, 7d, 2w.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) older_than: Option<Lifetime>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub(crate) place: Where,
    /// The order: key, created (newest first), accessed, expires (soonest first), size (largest first), or a field as in
    /// --where: accuracy, or -accuracy for the largest first. If given several times, the first counts first.
    #[arg(long, value_name = "FIELD", default_value = "created", allow_hyphen_values = true)]
    pub(crate) sort: Vec<Order>,
    /// Reverse the order.
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Show at most this many entries.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Leave out this many entries first.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(crate) offset: usize,
    /// Print only keys, one per line.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// With -q, end each key with a NUL character instead of a line break, for xargs -0.
    #[arg(short = '0', long, requires = "quiet")]
    pub(crate) null: bool,
    /// Print a JSON object for each entry, one per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// Only expired entries.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness info [OPTIONS] [DIR] KEY")]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show this many rows, items or lines of the value, for an array in each dimension. Plain data and tables above 64 MB
    /// are read only if this is given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) head: Option<usize>,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also read the payload and compare it with its hash and signature; exit code 1 if it is damaged.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Also sum up by this field; may be given several times.
    #[arg(long, value_name = "FIELD")]
    pub(crate) by: Vec<String>,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness get [OPTIONS] [DIR] KEY")]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Write the value to this file; - is standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite the file without asking.
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,
    /// Also read an expired entry.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "cacheness put [OPTIONS] [DIR] FILE NAME=VALUE…\n       cacheness put [OPTIONS] [DIR] FILE --key NAME"
)]
pub(crate) struct Put {
    /// The file to store (- is standard input), followed by the parameters that identify the value, as model=ridge fold=3;
    /// optionally preceded by the store's directory, as with --dir.
    #[arg(value_name = "[DIR] FILE NAME=VALUE", required = true, num_args = 1.., value_hint = ValueHint::AnyPath)]
    pub(crate) words: Vec<OsString>,
    /// A name for the value, in place of parameters.
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// Parse the file as JSON and store the value.
    #[arg(long, conflicts_with = "text")]
    pub(crate) json: bool,
    /// Store the file as a string; it must be UTF-8.
    #[arg(long)]
    pub(crate) text: bool,
    /// A metadata field, as stage=prod; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<Field>,
    /// A tag; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// A sentence about the value.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Time to live of the entry: 90 or 90s, 15m, 6h, 7d, 2w [default: CACHENESS_DEFAULT_TTL_SECONDS, or else no limit].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) ttl: Option<Lifetime>,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness query [OPTIONS] [DIR] SQL")]
pub(crate) struct Query {
    /// The query, or - for standard input; optionally preceded by the store's directory, as with --dir.
    #[arg(value_name = "[DIR] SQL", required = true, num_args = 1..=2, value_hint = ValueHint::DirPath)]
    pub(crate) words: Vec<OsString>,
    /// A value for the next ? of the query, or :NAME=VALUE for :NAME; may be given several times.
    #[arg(short, long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) params: Vec<Argument>,
    /// Stop after this many rows.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// Stop with an error after this time: 90 or 90s, 15m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) timeout: Option<Lifetime>,
    /// Print a JSON object for each row, one per line; a blob is a string of hexadecimal digits.
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print comma-separated values under a line with the names.
    #[arg(long)]
    pub(crate) csv: bool,
}

/// Options of removals.
#[derive(Debug, clap::Args)]
pub(crate) struct Removing {
    /// Remove without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) progress: ShowProgress,
}

/// Whether long operations show progress.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowProgress {
    /// When to show progress on a terminal; auto: after half a second.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub(crate) progress: When,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness rm [OPTIONS] [DIR] KEY…\n       cacheness rm [OPTIONS] [DIR] FILTER…")]
pub(crate) struct Rm {
    /// Keys as shown by ls, or unique prefixes; if one of them does not exist, nothing is removed. Optionally preceded by
    /// the store's directory, as with --dir: the first argument is the directory if keys follow and it contains a store.
    #[arg(value_name = "[DIR] KEY", num_args = 0..)]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    pub(crate) removing: Removing,
    /// Show what would be removed, without removing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print a JSON object with the number of entries and bytes, and the keys.
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
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness search [OPTIONS] [DIR] TEXT")]
pub(crate) struct Search {
    /// The words to find, as one argument; optionally preceded by the store's directory, as with --dir.
    #[arg(value_name = "[DIR] TEXT", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<OsString>,
    /// Show at most this many entries; 0 shows all.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print only keys, one per line.
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// With -q, end each key with a NUL character instead of a line break, for xargs -0.
    #[arg(short = '0', long, requires = "quiet")]
    pub(crate) null: bool,
    /// Print a JSON object for each entry, one per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Index {
    /// List the fields that have an index.
    Ls(IndexLs),
    /// Create the index of a field of the metadata, or with --text the full-text index.
    Add(IndexChange),
    /// Remove the index of a field of the metadata, or with --text the full-text index.
    Remove(IndexChange),
}

#[derive(Debug, clap::Args)]
pub(crate) struct IndexLs {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IndexChange {
    /// The field, as in --where; optionally preceded by the store's directory, as with --dir. With --text, only the
    /// directory.
    #[arg(value_name = "[DIR] FIELD", num_args = 0..=2)]
    pub(crate) words: Vec<OsString>,
    /// The full-text index, for search.
    #[arg(long)]
    pub(crate) text: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tag {
    /// List all tags, and the number of entries with each.
    Ls(TagLs),
    /// Add tags to an entry.
    Add(TagChange),
    /// Remove tags from an entry.
    Remove(TagChange),
}

#[derive(Debug, clap::Args)]
pub(crate) struct TagLs {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TagChange {
    /// The entry's key as shown by ls, or a unique prefix of it, and tags. Optionally preceded by the store's directory, as
    /// with --dir: the first argument is the directory if it contains a store.
    #[arg(value_name = "[DIR] KEY TAG", required = true, num_args = 2..)]
    pub(crate) words: Vec<OsString>,
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
    /// Show all options and the source of each without opening a store, which need not exist.
    #[arg(long)]
    pub(crate) show_origin: bool,
    /// Print the JSON Schema of configuration files.
    #[arg(long, conflicts_with_all = ["show_origin", "json"])]
    pub(crate) schema: bool,
    /// Print a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
