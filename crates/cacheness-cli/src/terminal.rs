//! The terminal: its width, and questions to the user.

use std::io::{self, BufRead, IsTerminal, Write};

/// The width of a terminal that does not report one.
const USUAL: usize = 80;

/// The width of standard output in columns; `None` if it is not a terminal, where nothing is shortened. `COLUMNS` applies
/// only to a terminal: output for programs is always complete.
pub(crate) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let wanted = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let actual = || terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    Some(wanted.filter(|&width| width > 0).or_else(actual).filter(|&width| width > 0).unwrap_or(USUAL))
}

/// Whether the user can be asked: standard input is a terminal.
pub(crate) fn may_ask() -> bool {
    io::stdin().is_terminal()
}

/// Whether the answer to a question is yes.
pub(crate) fn ask(question: &str) -> bool {
    let mut err = io::stderr().lock();
    // If the question cannot be shown, the answer is no.
    if write!(err, "{question} [y/N] ").and_then(|()| err.flush()).is_err() {
        return false;
    }
    drop(err);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
