//! `cacheness cleanup`

use cacheness::CacheBuilder;
use cacheness::core::cache::CacheEngine;

use super::entries;
use crate::failure::Failure;
use crate::output::say;
use crate::place::Directory;

pub(crate) fn run(directory: &Directory) -> Result<(), Failure> {
    let engine = CacheEngine::new(directory.write()?, CacheBuilder::default().unlimited().options())?;
    let removed = engine.cleanup_expired()?;
    engine.close()?;
    say(format_args!("removed {} that had expired", entries(removed)));
    Ok(())
}
