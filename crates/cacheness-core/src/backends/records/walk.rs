//! Reading all entries, in pages and in the order of their keys.

use super::RecordStore;
use super::format::{Header, RESERVED, State, entry};
use crate::backend::{Page, Position, Query, Versions};
use crate::backends::entries::{Kept, with_subject};
use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Evaluator, Filter, Sorter};

/// Records per page: inline payloads are read with them.
const PAGE: usize = 256;
/// Records that one step of a search reads.
const STEP: usize = 4096;
/// Greater than every reserved key, and smaller than any other key that is greater than these.
const AFTER_RESERVED: &str = "~cacheness/\u{10ffff}";

/// The entries that match a query, in the order of their keys.
pub(super) struct Walk<'a, S> {
    store: &'a S,
    query: Query<'a>,
    evaluator: Option<Evaluator<'a>>,
    /// The key of the last record read.
    after: Option<String>,
    page: std::vec::IntoIter<Record>,
    is_last: bool,
    read: usize,
}

impl<'a, S: RecordStore> Walk<'a, S> {
    pub(super) fn new(store: &'a S, query: &Query<'a>, after: Option<&str>) -> Result<Self> {
        // A sorted listing evaluates its filter with the values that it sorts by.
        let filter = query.filter.filter(|_| query.sort.is_empty());
        let evaluator = filter.map(|filter| Evaluator::new(filter, &[])).transpose()?;
        let after = after.map(str::to_owned);
        Ok(Self { store, query: *query, evaluator, after, page: Vec::new().into_iter(), is_last: false, read: 0 })
    }

    /// The next entry, whether it matches or not.
    fn next_entry(&mut self) -> Result<Option<Kept>> {
        Ok(self.next_with_revision()?.map(|(kept, _)| kept))
    }

    /// The next entry with the revision of its record, whether it matches or not.
    pub(super) fn next_with_revision(&mut self) -> Result<Option<(Kept, String)>> {
        loop {
            if let Some(Record { key, revision, text }) = self.page.next() {
                self.read += 1;
                if key.starts_with(RESERVED) {
                    // The rest of the page is read again from there.
                    (self.page, self.is_last) = (Vec::new().into_iter(), false);
                    self.after = Some(AFTER_RESERVED.to_owned());
                    continue;
                }
                let kept = entry(self.store.name(), &key, &text)?;
                self.after = Some(key);
                return Ok(Some((kept, revision)));
            }
            if self.is_last {
                return Ok(None);
            }
            let page = page(self.store, self.query.prefix, self.after.as_deref())?;
            self.is_last = page.len() < PAGE;
            self.page = page.into_iter();
        }
    }

    fn matches(&self, kept: &Kept) -> Result<bool> {
        let Query { expired_at, pinned, .. } = self.query;
        if pinned && !kept.pinned {
            return Ok(false);
        }
        if expired_at.is_some_and(|time| kept.entry.expires_at.is_none_or(|expiry| expiry > time)) {
            return Ok(false);
        }
        let Some(evaluator) = &self.evaluator else { return Ok(true) };
        with_subject(evaluator, kept, |subject| evaluator.matches(subject))
    }

    /// A page of the entries that match, as `make` makes them.
    pub(super) fn page<T>(mut self, query: &Query<'_>, page: &Page<'_>, make: impl Fn(Entry) -> T) -> Result<Vec<T>> {
        if query.sort.is_empty() {
            let matching = self.skip_ok(page.offset).take(page.most());
            return matching.map(|kept| kept.map(|kept| make(kept.entry))).collect();
        }
        let all = Filter::all();
        let evaluator = Evaluator::new(query.filter.unwrap_or(&all), query.sort)?;
        let mut sorter = Sorter::new(query.sort, page.offset, page.most());
        for kept in &mut self {
            let kept = kept?;
            if let Some(values) = with_subject(&evaluator, &kept, |subject| evaluator.ranked(subject, query.sort))? {
                sorter.push(values, &kept.entry.key, || Ok(make(kept.entry.clone())))?;
            }
        }
        Ok(sorter.finish())
    }

    /// Leaves out the first `count` entries, but no error.
    fn skip_ok(self, count: usize) -> impl Iterator<Item = Result<Kept>> {
        let mut left = count;
        self.filter(move |kept| {
            let skipped = left > 0 && kept.is_ok();
            left -= usize::from(skipped);
            !skipped
        })
    }

    /// One step of a search: at most `limit` entries (0 means no limit), from a bounded number of records.
    pub(super) fn step(mut self, limit: usize) -> Result<Versions> {
        let mut versions = Vec::new();
        while let Some(kept) = self.next_entry()? {
            if self.matches(&kept)? {
                versions.push(kept.entry.version());
            }
            if limit > 0 && versions.len() >= limit || self.read >= STEP {
                return Ok(Versions { versions, next: self.after.map(Position::Key) });
            }
        }
        Ok(Versions { versions, next: None })
    }

    /// Entries from a bounded number of records, whether they match or not.
    pub(super) fn sample(&mut self, count: usize, into: &mut Vec<Kept>) -> Result<()> {
        let end = into.len().saturating_add(count);
        while into.len() < end {
            let Some(kept) = self.next_entry()? else { break };
            into.push(kept);
        }
        Ok(())
    }
}

impl<S: RecordStore> Iterator for Walk<'_, S> {
    type Item = Result<Kept>;

    fn next(&mut self) -> Option<Result<Kept>> {
        loop {
            let kept = match self.next_entry() {
                Ok(kept) => kept?,
                Err(error) => {
                    (self.is_last, self.page) = (true, Vec::new().into_iter());
                    return Some(Err(error));
                }
            };
            match self.matches(&kept) {
                Ok(true) => return Some(Ok(kept)),
                Ok(false) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

struct Record {
    key: String,
    revision: String,
    text: String,
}

/// A page of records. Refuses one whose order would make a walk endless or leave entries out.
fn page(store: &impl RecordStore, prefix: &str, after: Option<&str>) -> Result<Vec<Record>> {
    let mut page: Vec<Record> = Vec::with_capacity(PAGE);
    for text in store.scan(prefix, after, PAGE)? {
        let Header { cache_key, revision } = Header::read(store.name(), &text)?;
        let (key, revision) = (cache_key.into_owned(), revision.into_owned());
        let last = page.last().map(|record| record.key.as_str()).or(after);
        if page.len() == PAGE || !key.starts_with(prefix) || last.is_some_and(|last| *key <= *last) {
            let asked = format!("{PAGE} records with the prefix {prefix:?} after {after:?}");
            let what = format!("the metadata backend {} was asked for {asked}, and returned {key:?}", store.name());
            return Err(Error::new(ErrorKind::Metadata, what)
                .with_hint("a scan returns a page of records in the ascending order of their keys"));
        }
        page.push(Record { key, revision, text });
    }
    Ok(page)
}

/// Calls `visit` with the name and the content of the reserved records with this prefix, until it returns `false`.
pub(super) fn states(
    store: &impl RecordStore,
    prefix: &str,
    mut visit: impl FnMut(&str, &State<'_>) -> bool,
) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = page(store, prefix, after.as_deref())?;
        let is_last = page.len() < PAGE;
        for Record { key, text, .. } in page {
            if !visit(&key[prefix.len()..], &State::read(store.name(), &key, &text)?) {
                return Ok(());
            }
            after = Some(key);
        }
        if is_last {
            return Ok(());
        }
    }
}
