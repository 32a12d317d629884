//! Standard output and standard error.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// What headings look like.
const HEADING: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Standard output: data, byte by byte as it is given.
pub(crate) struct Output {
    writer: io::BufWriter<io::StdoutLock<'static>>,
    colour: bool,
}

impl Output {
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        let colour = AutoStream::choice(&stdout) != ColorChoice::Never;
        Self { writer: io::BufWriter::new(stdout.lock()), colour }
    }

    /// A line that stands out where colour is shown.
    pub(crate) fn heading(&mut self, line: &str) -> io::Result<()> {
        if self.colour { writeln!(self, "{HEADING}{line}{HEADING:#}") } else { writeln!(self, "{line}") }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Says something beside the data, on standard error.
pub(crate) fn say(words: impl std::fmt::Display) {
    // Where standard error is closed nobody listens.
    let _ = writeln!(anstream::stderr(), "{words}");
}

/// Says what went wrong, and what can be done. Neither plays tricks with a terminal, whatever names and files say.
pub(crate) fn complain(message: &str, hint: Option<&str>) {
    let message = printable(message);
    say(format_args!("{ERROR}error:{ERROR:#} {message}"));
    if let Some(hint) = hint.map(printable) {
        say(format_args!("{HINT}hint:{HINT:#} {hint}"));
    }
}

/// Text that cannot play tricks with a terminal: control characters, those that change the direction of writing, and
/// those that nobody sees are escaped.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(is_tricky) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if is_tricky(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Joiners are no tricks: scripts and emoji need them.
pub(crate) fn is_tricky(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
