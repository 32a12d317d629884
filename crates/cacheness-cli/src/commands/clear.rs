//! `cacheness clear [DIR]`

use crate::args::Clear;
use crate::failure::Failure;
use crate::output::{printable, say};
use crate::place::Directory;
use crate::progress;
use crate::show::{self, entries};
use crate::terminal;

pub(crate) fn run(args: &Clear, directory: &Directory) -> Result<(), Failure> {
    let store = directory.write()?;
    if !args.removing.yes {
        if !terminal::may_ask() {
            let what = "clear asks before it removes, and there is no terminal to ask on";
            return Err(Failure::Usage(what.into(), "--yes removes all entries without asking".into()));
        }
        let totals = store.totals()?;
        let (count, bytes) = (entries(totals.entries), show::bytes(totals.bytes));
        let path = printable(&directory.path.display().to_string());
        if !terminal::ask(&format!("Remove all {count} ({bytes}) of {path}?")) {
            return Err(Failure::Declined("nothing has been removed"));
        }
    }
    let removed = progress::during(args.removing.progress.progress, "removing all entries", || store.clear())?;
    store.close()?;
    say(format_args!("removed {}", entries(removed)));
    Ok(())
}
