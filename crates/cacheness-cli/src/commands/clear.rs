//! `cacheness clear`

use std::io::{self, BufRead, IsTerminal, Write};

use super::entries;
use crate::args::Clear;
use crate::failure::Failure;
use crate::output::{printable, say};
use crate::place::Directory;
use crate::show;

pub(crate) fn run(args: &Clear, directory: &Directory) -> Result<(), Failure> {
    let store = directory.write()?;
    if !args.yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::Usage("nobody is there to be asked", "--yes removes all entries without asking"));
        }
        let totals = store.totals()?;
        let (count, bytes) = (entries(totals.entries), show::bytes(totals.bytes));
        let path = printable(&directory.path.display().to_string());
        let question = format!("Remove all {count} ({bytes}) of {path}? [y/N] ");
        let mut err = io::stderr().lock();
        // A question that cannot be shown is not answered with yes.
        err.write_all(question.as_bytes()).and_then(|()| err.flush()).map_err(|_| Failure::Declined)?;
        drop(err);
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(|_| Failure::Declined)?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Err(Failure::Declined);
        }
    }
    let removed = store.clear()?;
    store.close()?;
    say(format_args!("removed {}", entries(removed)));
    Ok(())
}
