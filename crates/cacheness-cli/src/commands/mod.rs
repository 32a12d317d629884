//! One module per verb.

mod cleanup;
mod clear;
mod completions;
mod config;
mod get;
mod index;
mod info;
mod ls;
mod put;
mod query;
mod report;
mod rm;
mod search;
mod stats;
mod tag;
mod verify;

pub(crate) use query::Argument;

use crate::args::{Args, Command, Where};
use crate::failure::Failure;
use crate::output::Output;
use crate::place::Directory;

/// Runs the verb.
pub(crate) fn run(args: &Args, out: &mut Output) -> Result<(), Failure> {
    let option = &args.store;
    let directory = |place: &Where| Directory::choose(option, place.directory.as_deref());
    match &args.command {
        Command::Ls(ls) => ls::run(ls, &directory(&ls.place)?, out),
        Command::Info(info) => info::run(info, option, out),
        Command::Stats(stats) => stats::run(stats, &directory(&stats.place)?, out),
        Command::Report(report) => report::run(report, &directory(&report.place)?, out),
        Command::Get(get) => get::run(get, option, out),
        Command::Put(put) => put::run(put, option, out),
        Command::Query(query) => query::run(query, option, out),
        Command::Rm(rm) => rm::run(rm, option, out),
        Command::Verify(verify) => verify::run(verify, &directory(&verify.place)?, out),
        Command::Search(search) => search::run(search, option, out),
        Command::Index(index) => index::run(index, option, out),
        Command::Tag(tag) => tag::run(tag, option, out),
        Command::Cleanup(cleanup) => cleanup::run(cleanup, &directory(&cleanup.place)?),
        Command::Clear(clear) => clear::run(clear, &directory(&clear.place)?),
        Command::Config(config) if config.schema => config::print_schema(out),
        Command::Config(config) => config::run(config, &directory(&config.place)?, out),
        Command::Completions(completions) => completions::run(completions, out),
    }
}
