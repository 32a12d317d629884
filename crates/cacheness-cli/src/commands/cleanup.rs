//! `cacheness cleanup [DIR]`

use cacheness::CacheBuilder;
use cacheness::core::cache::CacheEngine;

use crate::args::Cleanup;
use crate::failure::Failure;
use crate::output::say;
use crate::place::Directory;
use crate::progress;

pub(crate) fn run(args: &Cleanup, directory: &Directory) -> Result<(), Failure> {
    let engine = CacheEngine::new(directory.write()?, CacheBuilder::default().unlimited().options())?;
    let work = || engine.cleanup_expired();
    let removed = progress::during(args.progress.progress, "removing expired entries", work)?;
    engine.close()?;
    say(format_args!("removed {removed} expired {}", if removed == 1 { "entry" } else { "entries" }));
    Ok(())
}
