//! Noticing changes of a database by others, by a stamp that every commit changes.
//!
//! The loom models of the core include this file too (`scripts/loom.sh`), so it uses no other item of this crate.

/// A value that every commit changes.
pub(crate) trait Stamp: Copy + PartialEq {
    /// Whether the only transaction between `self` and `later` is the caller's, which has `written` pages or not.
    fn is_just_before(&self, later: &Self, written: bool) -> bool;
}

/// Counts the changes that others make.
#[derive(Debug)]
pub(crate) struct Changes<S> {
    last: Option<S>,
    count: u64,
    /// The stamp at the last check of the schema: the schema is unchanged while the stamp is.
    known: Option<S>,
}

impl<S> Default for Changes<S> {
    fn default() -> Self {
        Self { last: None, count: 0, known: None }
    }
}

impl<S: Stamp> Changes<S> {
    /// The number of changes when the stamp is `now`.
    pub(crate) fn look(&mut self, now: S) -> u64 {
        if self.last != Some(now) {
            self.last = Some(now);
            self.count += 1;
        }
        self.count
    }

    /// Whether the schema has been checked and no other process or handle has committed since.
    pub(crate) fn knows_schema(&self, now: S) -> bool {
        self.known == Some(now)
    }

    /// Records the end of a transaction of this process: the stamp was `before` when it acquired the write lock, and is
    /// `after` now. The transaction is not counted if it is the only one since the last look. `committed` says whether
    /// it has `written` pages; `None` if it failed.
    pub(crate) fn over(&mut self, before: S, after: S, committed: Option<bool>) {
        if before.is_just_before(&after, committed.unwrap_or(false)) {
            if self.last == Some(before) {
                self.last = Some(after);
            }
            if committed.is_some() {
                self.known = Some(after);
            }
        }
    }
}
