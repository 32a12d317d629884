//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::typed::{Field, Lifetime, Parameter};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 there is no such entry.
Data goes to standard output, words go to standard error. NO_COLOR turns colour off.";

/// Looks into cacheness stores, and changes them.
#[derive(Debug, Parser)]
#[command(name = "cacheness", version, about, max_term_width = 100, after_help = EXIT_CODES)]
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
    /// Shows everything that is known of an entry, without reading its value.
    Info(Info),
    /// Shows how many entries there are, of which types, and how large they are.
    Stats(Stats),
    /// Prints a value that is plain data as JSON, or writes any value into a file.
    ///
    /// Without -o plain data is printed as JSON. With -o bytes and texts are written as they are, other plain data as
    /// JSON, and arrays, tables and pickles as the file that the store keeps. A pickle is never decoded.
    Get(Get),
    /// Stores a file under parameters, or under a name.
    ///
    /// The value is the file's bytes, or with --json and --text plain data, which both languages read. The key, which is
    /// printed, is the one that Cache.put(value, k=v, …) makes.
    ///
    /// Parameters have types: fold=3 is an integer, rate=0.1 a float, shuffle=true a boolean, best=null nothing,
    /// layers=[64,32] a list. What is none of these is a text, and so is everything in quotes: version='"3"'.
    Put(Put),
    /// Removes entries.
    Rm(Rm),
    /// Removes the entries that have expired.
    Cleanup(Cleanup),
    /// Removes all entries; asks first.
    Clear(Clear),
    /// Shows the settings of a store, and where each comes from.
    Config(Config),
    /// Prints the completions of a shell.
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
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Only values of this type (array, dataframe, plain, object, …).
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// Only entries with this parameter or this field of the metadata; may be given several times.
    #[arg(long = "where", value_name = "K=V")]
    pub(crate) fields: Vec<Field>,
    /// Only entries that have expired.
    #[arg(long)]
    pub(crate) expired: bool,
    /// The order.
    #[arg(long, value_enum, default_value = "created")]
    pub(crate) sort: Sort,
    /// The other way round.
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// At most this many.
    #[arg(short = 'n', long)]
    pub(crate) limit: Option<usize>,
    /// One JSON object per entry and line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// The entry's key, or the beginning of it.
    pub(crate) key: String,
    /// As a JSON object.
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
    /// As a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The entry's key, or the beginning of it.
    pub(crate) key: String,
    /// Where to write the value; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Also an entry that has expired.
    #[arg(long)]
    pub(crate) expired: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The file to store; - is standard input.
    pub(crate) file: PathBuf,
    /// The parameters that identify the value.
    #[arg(value_name = "K=V")]
    pub(crate) params: Vec<Parameter>,
    /// A name in place of parameters.
    #[arg(long, value_name = "NAME", conflicts_with = "params")]
    pub(crate) key: Option<String>,
    /// The file is JSON: store the value that it holds.
    #[arg(long, conflicts_with = "text")]
    pub(crate) json: bool,
    /// The file is a text in UTF-8: store it as one.
    #[arg(long)]
    pub(crate) text: bool,
    /// A field of the metadata; may be given several times.
    #[arg(long, value_name = "K=V")]
    pub(crate) metadata: Vec<Field>,
    /// A sentence about the value.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// How long the entry is served: 90 or 90s, 15m, 6h, 7d, 2w. If it is not given,
    /// CACHENESS_DEFAULT_TTL_SECONDS, else for ever.
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<Lifetime>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Keys, or their beginnings. If one of them is not there, nothing is removed.
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
    /// Does not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// The store's directory, as with --dir.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// As a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
