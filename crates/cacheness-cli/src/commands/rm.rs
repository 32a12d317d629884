//! `cacheness rm KEY…`

use std::collections::BTreeSet;

use super::entries;
use crate::args::Rm;
use crate::failure::Failure;
use crate::output::say;
use crate::place::{Directory, resolve};

pub(crate) fn run(args: &Rm, directory: &Directory) -> Result<(), Failure> {
    let store = directory.write()?;
    // All keys first: a wrong one among them removes nothing.
    let keys = args.keys.iter().map(|key| resolve(&store, key)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut removed = 0;
    for key in &keys {
        removed += u64::from(store.delete(key)?);
    }
    store.close()?;
    say(format_args!("removed {}", entries(removed)));
    Ok(())
}
