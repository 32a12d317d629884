//! Which entries were read, how often and when last: noted in memory, written down in batches.

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

/// Accesses are written down when this many entries have been read since the last time.
const MOST: usize = 16 * 1024;

/// They are written down by a put when the last time is longer ago than this, in microseconds.
const PUT_AFTER: i64 = 10_000_000;

/// And by a get when it is longer ago than this: what only one process reads must not seem unused to the others.
const GET_AFTER: i64 = 60_000_000;

/// How long to wait for the table of accesses.
const PATIENCE: Duration = Duration::from_millis(20);

/// Reads that have not been written down yet.
#[derive(Debug)]
pub(super) struct Accesses {
    /// How many and when last, by key. What a forked child inherits its parent writes down.
    noted: PerProcess<Mutex<HashMap<String, (u64, Timestamp)>>>,
    /// When they were written down.
    written_at: AtomicI64,
}

impl Accesses {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { noted: PerProcess::new(), written_at: AtomicI64::new(now.0) }
    }

    /// Rather lose a count than wait for long.
    fn lock(&self) -> Option<MutexGuard<'_, HashMap<String, (u64, Timestamp)>>> {
        self.noted.get_or_make(Mutex::default).try_lock_for(PATIENCE)
    }

    /// Whether the last time they were written down is longer ago than `micros`, or the clock was set back since.
    fn is_older(&self, now: Timestamp, micros: i64) -> bool {
        !(0..micros).contains(&now.0.saturating_sub(self.written_at.load(Ordering::Relaxed)))
    }

    /// Notes a read of `key`; `false` if what is noted has to be written down first.
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

    /// Takes out what is noted, to be written down.
    fn take(&self, now: Timestamp) -> Vec<AccessRecord> {
        self.written_at.store(now.0, Ordering::Relaxed);
        let Some(mut noted) = self.lock() else { return Vec::new() };
        let taken = std::mem::take(&mut *noted);
        drop(noted);
        taken.into_iter().map(|(key, (count, at))| AccessRecord { key, at, count }).collect()
    }

    /// Puts back what could not be written down. What was noted in the meantime is newer.
    fn put_back(&self, accesses: Vec<AccessRecord>) {
        let Some(mut noted) = self.lock() else { return };
        for AccessRecord { key, at, count } in accesses {
            let (noted, _) = noted.entry(key).or_insert((0, at));
            *noted = noted.saturating_add(count);
        }
    }

    /// Has `record` write down what is noted, if anything is.
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

    /// Forgets reads of entries that are gone: what is put under their keys later has not been read.
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
            // Clearing the map would keep its memory.
            *noted = HashMap::new();
        }
    }

    /// Adds to `entry` what is noted of it.
    pub(super) fn add_to(&self, entry: &mut Entry) {
        if let Some((count, at)) = self.lock().and_then(|noted| noted.get(&entry.key).copied()) {
            entry.access_count = entry.access_count.saturating_add(count);
            entry.accessed_at = entry.accessed_at.max(at);
        }
    }
}

impl CacheEngine {
    /// Notes that `key` was read; `false` if that has to be done by [`CacheEngine::note_access_and_flush`].
    pub(super) fn note_access(&self, key: &str, now: Timestamp) -> bool {
        self.store.is_read_only() || self.accesses.note(key, now)
    }

    /// The value has been read already: that its access cannot be written down is no error of the get.
    pub(super) fn note_access_and_flush(&self, key: &str, now: Timestamp) {
        if !self.note_access(key, now) {
            if let Err(error) = self.flush_accesses() {
                log::warn!("a value was read, but writing down when values were read failed: {}", error.with_causes());
            }
            self.note_access(key, now);
        }
    }

    /// Writes down accesses after a put, if that is due.
    pub(super) fn flush_after_put(&self, now: Timestamp) -> Result<()> {
        if self.accesses.is_older(now, PUT_AFTER) { self.flush_accesses() } else { Ok(()) }
    }

    /// Writes accesses down for who reads entries then. On a disk that is full they stay noted, and are added to what is read.
    pub(super) fn flush_before_reading(&self) -> Result<()> {
        self.flush_accesses().or_else(|error| if error.is_no_space() { Ok(()) } else { Err(error) })
    }

    /// Writes down how often and when entries were read since the last time.
    pub fn flush_accesses(&self) -> Result<()> {
        let store = &self.store;
        self.accesses.write_down(store.clock().now(), |accesses| {
            if store.is_read_only() { Ok(()) } else { store.record_accesses(accesses) }
        })
    }
}

#[cfg(all(test, loom))]
mod model;
