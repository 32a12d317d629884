//! Which changes of a database others have made, told by a stamp that every commit changes.
//!
//! It is taken in by the models of the core as well (`scripts/loom.sh`) and names nothing of this crate.

/// What every commit changes, and what says how many have been.
pub(crate) trait Stamp: Copy + PartialEq {
    /// Whether nothing lies between `self` and `later` but the transaction of the caller, who has `written` pages or not.
    fn is_just_before(&self, later: &Self, written: bool) -> bool;
}

/// Counts the changes that others make.
#[derive(Debug)]
pub(crate) struct Changes<S> {
    last: Option<S>,
    count: u64,
    /// The stamp when the schema was last found to be known: nobody has changed it while this is the stamp.
    known: Option<S>,
}

impl<S> Default for Changes<S> {
    fn default() -> Self {
        Self { last: None, count: 0, known: None }
    }
}

impl<S: Stamp> Changes<S> {
    /// How many there have been, when the stamp is `now`.
    pub(crate) fn look(&mut self, now: S) -> u64 {
        if self.last != Some(now) {
            self.last = Some(now);
            self.count += 1;
        }
        self.count
    }

    /// Whether the schema has been looked at, and nobody else has committed since.
    pub(crate) fn knows_schema(&self, now: S) -> bool {
        self.known == Some(now)
    }

    /// Notes that a transaction of this process is over, which began (with the right to write) at `before`; now it is
    /// `after`. It is not counted if it is the only one since the last look. `committed` says whether it has `written`
    /// pages; `None` if it has failed.
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
