//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::typed::{Field, Lifetime, Parameter};

const EXIT_CODES: &str = "\
To begin with: cacheness ls DIR shows the keys, cacheness info DIR KEY all about one.

Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 there is no such entry.
Data goes to standard output, words go to standard error. NO_COLOR turns colour off.";

const GET_EXAMPLES: &str = "\
Examples:
  cacheness get 3f2a
  cacheness -d results get 3f2a -o table.parquet";

const PUT_EXAMPLES: &str = "\
Examples:
  cacheness put notes.txt --text model=ridge fold=3
  cacheness -d results put report.pdf --key report --metadata stage=prod --ttl 7d";

/// Lists, reads, stores and removes what cacheness keeps in a directory: cached results and artifacts, of Python and Rust
/// programs.
#[derive(Debug, Parser)]
#[command(name = "cacheness", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The store's directory; else CACHENESS_DIR, else ./cache.
    #[arg(short = 'd', long = "dir", global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the entries of a store.
    Ls(Ls),
    /// Shows everything that is known of an entry: parameters, metadata, format, size, times.
    Info(Info),
    /// Counts entries and bytes, by type.
    Stats(Stats),
    /// Prints plain data as JSON, or writes any value into a file.
    ///
    /// Without -o plain data (numbers, texts, lists, maps, …) is printed as JSON. With -o bytes and texts are written as
    /// they are, other plain data as JSON, and arrays, tables and pickles as the file that the store keeps: .npy, .b2nd,
    /// .parquet, .arrow, .pkl. A pickle is never decoded.
    #[command(after_long_help = GET_EXAMPLES)]
    Get(Get),
    /// Stores a file under parameters, or under a name, and prints the key.
    ///
    /// The value is the file's bytes, with --text a text, with --json the value that the JSON holds. The key is the one
    /// that cache.put(value, k=v, …) has in Python and cache.put(&value, params! { k: v }) in Rust. What is there under
    /// the same key is replaced; nothing else is removed: no limit of a cache counts here.
    ///
    /// Parameters have types: fold=3 is an integer, rate=0.1 a float, shuffle=true a boolean, best=null nothing,
    /// layers=[64,32] a list. What is none of these is a text, and so is everything in quotes: version='"3"'.
    #[command(after_long_help = PUT_EXAMPLES)]
    Put(Put),
    /// Removes entries by their keys.
    Rm(Rm),
    /// Removes the entries that have expired.
    Cleanup(Cleanup),
    /// Removes all entries, after asking.
    Clear(Clear),
    /// Shows the settings of a store, and where each comes from.
    ///
    /// That is the directory itself (cacheness.toml), an environment variable, or the default. A program that opens the
    /// store may set others.
    Config(Config),
    /// Prints a script that completes commands and options in a shell.
    ///
    /// For example: cacheness completions bash > ~/.local/share/bash-completion/completions/cacheness
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

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Only keys that start with this.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Only values of this type: plain, array, dataframe, table, object (a pickle), …; stats shows which there are.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// Only entries with this parameter or this field of the metadata, as model=ridge; may be given several times.
    #[arg(long = "where", value_name = "K=V")]
    pub(crate) fields: Vec<Field>,
    /// Only entries that have expired.
    #[arg(long)]
    pub(crate) expired: bool,
    /// What to sort by.
    #[arg(long, value_enum, default_value = "created")]
    pub(crate) sort: Sort,
    /// Reverses the order.
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Shows at most this many.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    /// Prints a JSON object for each entry, one per line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// An entry, and perhaps the store it is in.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The entry's key as ls shows it, or the beginning of it; before it the store's directory, as with --dir.
    #[arg(value_name = "[DIR] KEY", required = true, num_args = 1..=2)]
    words: Vec<String>,
}

impl Which {
    pub(crate) fn directory(&self) -> Option<&Path> {
        (self.words.len() > 1).then(|| Path::new(&self.words[0]))
    }

    pub(crate) fn key(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "cacheness info [OPTIONS] [DIR] KEY")]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Prints a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also reads the payload and compares it with its hash and signature; exit code 1 if it is damaged.
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
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
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Reads an entry that has expired, too.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The file to store; - is standard input.
    pub(crate) file: PathBuf,
    /// The parameters that identify the value, as model=ridge fold=3.
    #[arg(value_name = "K=V")]
    pub(crate) params: Vec<Parameter>,
    /// A name for the value, in place of parameters.
    #[arg(long, value_name = "NAME", conflicts_with = "params")]
    pub(crate) key: Option<String>,
    /// The file is JSON: store the value that it holds.
    #[arg(long, conflicts_with = "text")]
    pub(crate) json: bool,
    /// The file is a text in UTF-8: store it as one.
    #[arg(long)]
    pub(crate) text: bool,
    /// A field of the metadata, as stage=prod; may be given several times.
    #[arg(long, value_name = "K=V")]
    pub(crate) metadata: Vec<Field>,
    /// A sentence about the value.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// How long the entry is served: 90 or 90s, 15m, 6h, 7d, 2w. If it is not given,
    /// CACHENESS_DEFAULT_TTL_SECONDS, else for ever.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) ttl: Option<Lifetime>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Keys as ls shows them, or their beginnings. If one of them is not there, nothing is removed.
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Clear {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Removes without asking.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
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
