//! Standard output and standard error.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// The style of headings.
const HEADING: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Standard output, for data: bytes are written unchanged.
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

    /// A line that is highlighted if colour is on.
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

/// Prints a message on standard error.
pub(crate) fn say(words: impl std::fmt::Display) {
    // Ignored: standard error may be closed.
    let _ = writeln!(anstream::stderr(), "{words}");
}

/// Prints an error and its hint, escaped: names and content of files may contain control characters.
pub(crate) fn complain(message: &str, hint: Option<&str>) {
    let message = printable(message);
    say(format_args!("{ERROR}error:{ERROR:#} {message}"));
    if let Some(hint) = hint.map(printable) {
        say(format_args!("{HINT}hint:{HINT:#} {hint}"));
    }
}

/// Text that is safe to print on a terminal: control characters, characters that change the writing direction, and
/// invisible characters are escaped.
pub(crate) fn printable(text: &str) -> String {
    if !text.chars().any(is_tricky) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if is_tricky(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Whether a character must be escaped. Joiners need not be: scripts and emoji use them.
pub(crate) fn is_tricky(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
