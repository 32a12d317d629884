//! Tables of text: aligned columns that fit a terminal.
//!
//! On a terminal a table is never wider than the terminal: cells of shortenable columns are shortened first, then columns
//! are omitted in their order. Elsewhere nothing is shortened; a cell that is much longer than the others of its column
//! then overflows its column, and does not widen the other rows.

use std::borrow::Cow;
use std::io;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::Output;

/// Between two columns.
const GAP: usize = 2;
/// Cells are aligned up to this width if nothing is shortened.
const ALIGNED: usize = 40;
const ELLIPSIS: char = '…';

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    title: Cow<'static, str>,
    right: bool,
    /// The minimum width to which its cells may be shortened.
    least: Option<usize>,
    /// Columns with the smallest number are omitted first; a column without a number stays.
    goes: Option<usize>,
}

impl Column {
    pub(crate) fn new(title: impl Into<Cow<'static, str>>) -> Self {
        Self { title: title.into(), right: false, least: None, goes: None }
    }

    /// Aligns cells to the right.
    pub(crate) fn right(self) -> Self {
        Self { right: true, ..self }
    }

    /// Cells may be shortened to this width.
    pub(crate) fn shortened_to(self, width: usize) -> Self {
        Self { least: Some(width), ..self }
    }

    /// The column may be omitted; smaller numbers are omitted first.
    pub(crate) fn left_out(self, order: usize) -> Self {
        Self { goes: Some(order), ..self }
    }
}

/// Rows of cells.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Prints the table, and returns the titles of the columns that did not fit.
    pub(crate) fn print(&self, limit: Option<usize>, out: &mut Output) -> io::Result<Vec<&str>> {
        let (lines, missing) = self.lines(limit);
        for (i, line) in lines.iter().enumerate() {
            if i == 0 { out.heading(line)? } else { io::Write::write_fmt(out, format_args!("{line}\n"))? }
        }
        Ok(missing)
    }

    /// The lines, starting with the titles, and the titles of the columns that did not fit.
    pub(crate) fn lines(&self, limit: Option<usize>) -> (Vec<String>, Vec<&str>) {
        let natural: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let cells = self.rows.iter().map(|row| row[i].width());
                cells.chain([self.columns[i].title.width()]).max().unwrap_or(0)
            })
            .collect();
        let widths: Vec<Option<usize>> = match limit {
            Some(limit) => fit(&self.columns, &natural, limit),
            None => natural.iter().map(|&width| Some(width.min(ALIGNED))).collect(),
        };
        let titles: Vec<String> = self.columns.iter().map(|column| column.title.clone().into_owned()).collect();
        let line = |cells: &Vec<String>| {
            let mut line = String::new();
            let mut behind = 0;
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let Some(width) = *width else { continue };
                let shortened = if limit.is_some() { shorten(cell, width) } else { cell.clone() };
                let space = width.saturating_sub(shortened.width());
                let (before, after) = if column.right { (space, 0) } else { (0, space) };
                line.extend(std::iter::repeat_n(' ', behind + before));
                line.push_str(&shortened);
                behind = after + GAP;
            }
            line.truncate(line.trim_end_matches(' ').len());
            line
        };
        let lines = std::iter::once(&titles).chain(&self.rows).map(line).collect();
        let missing = self.columns.iter().zip(&widths).filter(|(_, width)| width.is_none());
        (lines, missing.map(|(column, _)| column.title.as_ref()).collect())
    }
}

/// The width of each column within `limit`; `None` for an omitted column.
fn fit(columns: &[Column], natural: &[usize], limit: usize) -> Vec<Option<usize>> {
    let least = |i: usize| columns[i].least.map_or(natural[i], |least| least.min(natural[i]));
    let mut widths: Vec<Option<usize>> = (0..columns.len()).map(|i| Some(least(i))).collect();
    let taken = |widths: &[Option<usize>]| {
        let shown = widths.iter().flatten();
        shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
    };
    while taken(&widths) > limit {
        let shown = (0..columns.len()).filter(|&i| widths[i].is_some());
        match shown.filter_map(|i| Some((columns[i].goes?, i))).min() {
            Some((_, i)) => widths[i] = None,
            None => break,
        }
    }
    // The remaining width: a fair part to each column, then as much as it can use to each, to the first column last.
    let order = (0..columns.len()).map(|i| (i, limit / 4));
    let order = order.chain((1..columns.len()).chain([0]).map(|i| (i, usize::MAX)));
    for (i, most) in order {
        let spare = limit.saturating_sub(taken(&widths));
        if let Some(Some(width)) = widths.get_mut(i) {
            *width += spare.min(natural[i].min(most).saturating_sub(*width));
        }
    }
    // The terminal is narrower than the columns that must be shown.
    let over = taken(&widths).saturating_sub(limit);
    if let Some(width) = widths.iter_mut().flatten().max().filter(|_| over > 0) {
        *width = width.saturating_sub(over).max(1);
    }
    widths
}

/// The beginning of `text` and an ellipsis, in `width` columns; `text` itself if it fits.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut shortened = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width.saturating_sub(1) {
            break;
        }
        shortened.push(c);
    }
    shortened.push(ELLIPSIS);
    shortened
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            Column::new("KEY").shortened_to(8),
            Column::new("TYPE").left_out(2),
            Column::new("SIZE").right().left_out(1),
            Column::new("NOTE").shortened_to(6).left_out(3),
        ]);
        for row in [["0123456789abcdef", "plain", "1 B", "a note that is long"], ["k", "dataframe", "10.5 MB", ""]] {
            table.push(row.map(str::to_owned).to_vec());
        }
        table
    }

    fn text(limit: Option<usize>) -> String {
        table().lines(limit).0.join("\n")
    }

    #[test]
    fn a_table_fits() {
        let whole = "\
KEY               TYPE          SIZE  NOTE
0123456789abcdef  plain          1 B  a note that is long
k                 dataframe  10.5 MB";
        assert_eq!(text(None), whole);
        assert_eq!(text(Some(57)), whole);
        assert_eq!(text(Some(220)), whole);
        let shortened = "\
KEY           TYPE          SIZE  NOTE
0123456789a…  plain          1 B  a note that i…
k             dataframe  10.5 MB";
        assert_eq!(text(Some(48)), shortened);
        assert_eq!(
            text(Some(30)),
            "\
KEY       TYPE       NOTE
0123456…  plain      a note t…
k         dataframe"
        );
        assert_eq!(text(Some(20)), "KEY       NOTE\n0123456…  a note th…\nk");
        for limit in 1..70 {
            let table = table();
            let (lines, missing) = table.lines(Some(limit));
            assert!(lines.iter().all(|line| line.width() <= limit), "{limit}: {lines:?}");
            assert!(!missing.contains(&"KEY"));
        }
    }

    #[test]
    fn columns_go_in_their_order() {
        let missing = |limit| table().lines(Some(limit)).1.into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert!(missing(57).is_empty());
        assert_eq!(missing(34), ["SIZE"]);
        assert_eq!(missing(20), ["TYPE", "SIZE"]);
        assert_eq!(missing(10), ["TYPE", "SIZE", "NOTE"]);
    }

    #[test]
    fn a_long_cell_makes_no_other_row_long() {
        let mut table = table();
        let long = "x".repeat(1_000);
        table.push(vec![long.clone(), "plain".into(), "2 B".into(), "note".into()]);
        let (lines, _) = table.lines(None);
        assert_eq!(lines[3], format!("{long}  plain          2 B  note"));
        assert!(lines.iter().enumerate().all(|(i, line)| i == 3 || line.len() < 90), "{lines:?}");
        let (lines, _) = table.lines(Some(60));
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:?}");
        assert!(lines[3].starts_with(&format!("{}…  plain", "x".repeat(18))), "{lines:?}");
    }

    #[test]
    fn width_is_what_a_terminal_shows() {
        assert_eq!(shorten("日本語", 6), "日本語");
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!(shorten("日本語", 4), "日…");
        assert_eq!(shorten("e\u{301}e\u{301}", 2), "e\u{301}e\u{301}");
        assert_eq!(shorten("e\u{301}e\u{301}e", 2), "e\u{301}…");
        let mut table = Table::new(vec![Column::new("A"), Column::new("B")]);
        table.push(vec!["日本".into(), "x".into()]);
        table.push(vec!["a".into(), "y".into()]);
        assert_eq!(table.lines(None).0, ["A     B", "日本  x", "a     y"]);
    }
}
