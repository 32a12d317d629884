//! Access records: which entries were read, how often and when last. Recorded in memory, flushed in batches.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::CacheEngine;
use crate::backend::AccessRecord;
use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::error::Result;
use crate::process::PerProcess;
use crate::sync::{AtomicI64, Mutex, MutexGuard};

/// Accesses are flushed when this many entries have been read since the last flush.
const MOST: usize = 16 * 1024;

/// A put flushes them when the last flush is longer ago than this, in microseconds.
const PUT_AFTER: i64 = 10_000_000;

/// A get flushes them when it is longer ago than this: entries that only one process reads must not seem unused to
/// others.
const GET_AFTER: i64 = 60_000_000;

/// How long to wait for the lock on the records.
const PATIENCE: Duration = Duration::from_millis(20);

/// Reads that have not been flushed yet.
#[derive(Debug)]
pub(super) struct Accesses {
    /// Count and last time by key. The parent flushes the records that a forked child inherits.
    noted: PerProcess<Mutex<HashMap<String, (u64, Timestamp)>>>,
    /// The time of the last flush.
    written_at: AtomicI64,
}

impl Accesses {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { noted: PerProcess::new(), written_at: AtomicI64::new(now.0) }
    }

    /// Gives up after a short wait: a lost count is better than a slow read.
    fn lock(&self) -> Option<MutexGuard<'_, HashMap<String, (u64, Timestamp)>>> {
        self.noted.get_or_make(Mutex::default).try_lock_for(PATIENCE)
    }

    /// Whether the last flush is longer ago than `micros`, or the clock was set back since.
    fn is_older(&self, now: Timestamp, micros: i64) -> bool {
        !(0..micros).contains(&now.0.saturating_sub(self.written_at.load(Ordering::Relaxed)))
    }

    /// Records a read of `key`; `false` if the records must be flushed first.
    fn note(&self, key: &str, now: Timestamp) -> bool {
        if self.is_older(now, GET_AFTER) {
            return false;
        }
        let Some(mut noted) = self.lock() else { return true };
        if let Some((count, at)) = noted.get_mut(key) {
            *count += 1;
            *at = now;
            return true;
        }
        if noted.len() >= MOST {
            return false;
        }
        noted.insert(key.to_owned(), (1, now));
        true
    }

    /// Takes the records out, to flush them.
    fn take(&self, now: Timestamp) -> Vec<AccessRecord> {
        self.written_at.store(now.0, Ordering::Relaxed);
        let Some(mut noted) = self.lock() else { return Vec::new() };
        let taken = std::mem::take(&mut *noted);
        drop(noted);
        taken.into_iter().map(|(key, (count, at))| AccessRecord { key, at, count }).collect()
    }

    /// Puts back records that could not be flushed. Records made meanwhile are newer.
    fn put_back(&self, accesses: Vec<AccessRecord>) {
        let Some(mut noted) = self.lock() else { return };
        for AccessRecord { key, at, count } in accesses {
            let (noted, _) = noted.entry(key).or_insert((0, at));
            *noted = noted.saturating_add(count);
        }
    }

    /// Flushes the records with `record`, if there are any.
    fn write_down(&self, now: Timestamp, record: impl FnOnce(&[AccessRecord]) -> Result<()>) -> Result<()> {
        let accesses = self.take(now);
        if accesses.is_empty() {
            return Ok(());
        }
        let written = record(&accesses);
        if written.is_err() {
            self.put_back(accesses);
        }
        written
    }

    /// Forgets reads of removed entries: a later value of the same key has not been read.
    pub(super) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a str>) {
        if let Some(mut noted) = self.lock() {
            for key in keys {
                noted.remove(key);
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        if let Some(mut noted) = self.lock() {
            // `clear` would keep the map's memory.
            *noted = HashMap::new();
        }
    }

    /// Adds the unflushed accesses to `entry`.
    pub(super) fn add_to(&self, entry: &mut Entry) {
        if let Some((count, at)) = self.lock().and_then(|noted| noted.get(&entry.key).copied()) {
            entry.access_count = entry.access_count.saturating_add(count);
            entry.accessed_at = entry.accessed_at.max(at);
        }
    }
}

impl CacheEngine {
    /// Records a read of `key`; `false` if the caller must use [`CacheEngine::note_access_and_flush`] instead.
    pub(super) fn note_access(&self, key: &str, now: Timestamp) -> bool {
        self.store.is_read_only() || self.accesses.note(key, now)
    }

    /// The value has already been read: a failed flush of accesses does not fail the get.
    pub(super) fn note_access_and_flush(&self, key: &str, now: Timestamp) {
        if !self.note_access(key, now) {
            if let Err(error) = self.flush_accesses() {
                log::warn!("a value was read, but its accesses could not be recorded: {}", error.with_causes());
            }
            self.note_access(key, now);
        }
    }

    /// Flushes accesses after a put if that is due.
    pub(super) fn flush_after_put(&self, now: Timestamp) -> Result<()> {
        if self.accesses.is_older(now, PUT_AFTER) { self.flush_accesses() } else { Ok(()) }
    }

    /// Flushes accesses before entries are read. On a full disk they stay in memory and are added to the entries that
    /// are read.
    pub(super) fn flush_before_reading(&self) -> Result<()> {
        self.flush_accesses().or_else(|error| if error.is_no_space() { Ok(()) } else { Err(error) })
    }

    /// Flushes how often and when entries were read since the last flush.
    pub fn flush_accesses(&self) -> Result<()> {
        let store = &self.store;
        self.accesses.write_down(store.clock().now(), |accesses| {
            if store.is_read_only() { Ok(()) } else { store.record_accesses(accesses) }
        })
    }
}

#[cfg(all(test, loom))]
mod model;
