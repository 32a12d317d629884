//! One module per verb.

mod cleanup;
mod clear;
mod completions;
mod config;
mod get;
mod info;
mod ls;
mod put;
mod rm;
mod stats;

use std::path::Path;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Directory;

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let directory = |argument: Option<&Path>| Directory::choose(args.dir.as_deref(), argument);
    match &args.command {
        Command::Ls(ls) => ls::run(ls, &directory(ls.directory.as_deref())?, out),
        Command::Info(info) => info::run(info, &directory(info.which.directory())?, out),
        Command::Stats(stats) => stats::run(stats, &directory(stats.directory.as_deref())?, out),
        Command::Get(get) => get::run(get, &directory(get.which.directory())?, out),
        Command::Put(put) => put::run(put, &directory(None)?, out),
        Command::Rm(rm) => rm::run(rm, &directory(None)?),
        Command::Cleanup(cleanup) => cleanup::run(&directory(cleanup.directory.as_deref())?),
        Command::Clear(clear) => clear::run(clear, &directory(clear.directory.as_deref())?),
        Command::Config(config) => config::run(config, &directory(config.directory.as_deref())?, out),
        Command::Completions(completions) => completions::run(completions, out),
    }
}

/// `1 entry`, `2 entries`.
fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}
