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
            let what = "clear asks for confirmation, but there is no terminal";
            return Err(Failure::Usage(what.into(), "use --yes to remove all entries without asking".into()));
        }
        let totals = store.totals()?;
        let (count, bytes) = (entries(totals.entries), show::bytes(totals.bytes));
        let path = printable(&directory.shown());
        if !terminal::ask(&format!("Remove all {count} ({bytes}) of {path}?")) {
            return Err(Failure::Declined("nothing was removed"));
        }
    }
    let removed = progress::during(args.removing.progress.progress, "removing all entries", || store.clear())?;
    store.close()?;
    say(format_args!("removed {}", entries(removed)));
    Ok(())
}
