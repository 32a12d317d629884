//! A commit whose answer was lost: whether it was made.
//!
//! The connection broke after the commit was sent, and before its answer arrived. First the session of that connection is
//! ended, so that nothing of it happens any more. Then:
//!
//! - Of a transaction whose statements were answered one by one, only the answer to `COMMIT` is missing. The server knows
//!   the outcome of its number.
//! - A commit of puts is one round trip, and its number never arrived. The rows tell: a row that this put has written has
//!   its version, and `written_at` orders the others. A row that was written before the put began shows that the put was
//!   not made, because it would have replaced the row; so does a missing row, if no row was removed that is younger than the
//!   beginning. A row that somebody wrote later has replaced what the put wrote, or has taken its place in time: both count
//!   as made, because the put was then running.
//!
//! `written_at` is of the server's clock. When the put began is known by that clock in two ways: what this process has seen
//! written before is earlier, and the clock that the look-up reads tells the rest, up to [`MARGIN`]. Where another writer
//! wrote the same key within it, nobody can tell, and the error is uncertain.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cacheness_core::backend::{Commit, Operation, Outcome, Put, PutOutcome};
use cacheness_core::entry::Entry;
use cacheness_core::{Error, ErrorKind, Result};
use tokio_postgres::Row;

use crate::link::{Link, Param, Session};
use crate::statements::Statements;

/// How exactly the beginning of a put is known by the server's clock, beside the round trip of the look-up.
const MARGIN: Duration = Duration::from_millis(50);

/// How long the server is given to end a session, in milliseconds.
const ENDS_WITHIN: i64 = 5000;

const LOOK_UP: &str = "cannot look up a commit whose answer was lost";

/// The latest time at which this process knows that a row was written, in microseconds since 1970.
#[derive(Debug)]
pub(crate) struct LatestWrite(AtomicI64);

impl Default for LatestWrite {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl LatestWrite {
    /// Notes the time in the answer to a put.
    pub(crate) fn note(&self, written_at: SystemTime) {
        self.0.fetch_max(micros(written_at), Ordering::AcqRel);
    }
}

fn micros(time: SystemTime) -> i64 {
    let signed = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

/// What an attempt has sent.
#[derive(Debug, Default)]
pub(crate) enum Sent {
    /// No `COMMIT`: without its connection nothing was made.
    #[default]
    Nothing,
    /// A commit whose rows tell whether it was made, or one that does the same when it is made again.
    Whole,
    /// The `COMMIT` of the transaction with this number, whose statements have been answered.
    Transaction(String, Vec<Outcome>),
}

/// An attempt whose connection broke.
#[derive(Debug)]
pub(crate) struct Lost {
    session: Session,
    begun: Instant,
    latest: i64,
    pub(crate) sent: Sent,
}

impl Lost {
    /// Of an attempt that begins now.
    pub(crate) fn beginning(session: Session, latest: &LatestWrite) -> Self {
        Self { session, begun: Instant::now(), latest: latest.0.load(Ordering::Acquire), sent: Sent::Nothing }
    }
}

/// Whether the commit was made.
#[derive(Debug)]
pub(crate) enum Verdict {
    Made(Vec<Outcome>),
    NotMade,
    /// Another writer was too close.
    Unknown,
}

/// The error of a commit that may have been made.
pub(crate) fn unknown() -> Error {
    let what = "the connection broke during a commit, and another writer changed the same entries in that moment";
    Error::new(ErrorKind::Unavailable, what).uncertain()
}

/// Finds out whether `commit` was made. After an error the question is still open.
pub(crate) fn look_up(link: &mut Link, sql: &Statements, commit: &Commit<'_>, lost: &mut Lost) -> Result<Verdict> {
    end_session(link, lost.session)?;
    match &mut lost.sent {
        Sent::Nothing => Ok(Verdict::NotMade),
        Sent::Transaction(number, outcomes) => {
            let rows = link.query(LOOK_UP, "SELECT pg_xact_status($1::text::xid8)", &[number])?;
            match rows.first().and_then(|row| row.try_get::<_, Option<&str>>(0).ok().flatten()) {
                Some("committed") => Ok(Verdict::Made(std::mem::take(outcomes))),
                Some("aborted") => Ok(Verdict::NotMade),
                _ => Ok(Verdict::Unknown),
            }
        }
        Sent::Whole => {
            let puts: Vec<&Put<'_>> = commit.operations.iter().filter_map(put_of).collect();
            // The others do the same when they are made again.
            if puts.is_empty() { Ok(Verdict::NotMade) } else { by_rows(link, sql, commit, &puts, lost) }
        }
    }
}

fn put_of<'a>(operation: &'a Operation<'a>) -> Option<&'a Put<'a>> {
    match operation {
        Operation::Put(put) => Some(put),
        _ => None,
    }
}

/// Ends the session that sent the commit, unless it has ended, and waits for it.
fn end_session(link: &mut Link, session: Session) -> Result<()> {
    let sql = "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2";
    let rows = link.query(LOOK_UP, sql, &[&session.process, &session.begun, &ENDS_WITHIN])?;
    let has_ended = rows.iter().all(|row| row.try_get(0).unwrap_or(false));
    if has_ended {
        return Ok(());
    }
    let what = format!("{LOOK_UP}: its session {} does not end", session.process);
    Err(Error::new(ErrorKind::TimedOut, what).with_hint("see what the session does in pg_stat_activity"))
}

/// What the row of a put tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// The put has written it.
    Own,
    /// It was there before the put, which would have replaced it; or none was there, and none was removed.
    NotMade,
    /// It was written later.
    Replaced,
    Unclear,
}

/// When a put began, by the clock of the server.
struct Beginning {
    /// Not before this.
    earliest: i64,
    /// Not after this.
    latest: i64,
    /// What was written until then is known to be earlier.
    known: i64,
}

impl Beginning {
    /// Whether a row was written before the put began; `None` if that is too close.
    fn is_after(&self, written: i64) -> Option<bool> {
        if written <= self.known || written < self.earliest {
            Some(true)
        } else if written > self.latest {
            Some(false)
        } else {
            None
        }
    }
}

fn by_rows(link: &mut Link, sql: &Statements, commit: &Commit<'_>, puts: &[&Put<'_>], lost: &Lost) -> Result<Verdict> {
    let keys: Vec<&str> = puts.iter().map(|put| put.entry.key.as_str()).collect();
    let asked = lost.begun.elapsed();
    let rows = link.query(LOOK_UP, &sql.written, &[&keys as Param<'_>])?;
    let answered = lost.begun.elapsed();
    let time = |row: &Row, place: usize| row.try_get::<_, Option<SystemTime>>(place).ok().flatten().map(micros);
    let length = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let Some(now) = rows.first().and_then(|row| time(row, 0)) else { return Ok(Verdict::Unknown) };
    let beginning = Beginning {
        earliest: now.saturating_sub(length(answered + MARGIN)),
        latest: now.saturating_sub(length(asked)).saturating_add(length(MARGIN)),
        known: lost.latest,
    };
    let evidence: Vec<Evidence> = rows
        .iter()
        .zip(puts)
        .map(|(row, put)| match time(row, 2) {
            None => match time(row, 1) {
                Some(removed) if beginning.is_after(removed) != Some(true) => Evidence::Unclear,
                _ => Evidence::NotMade,
            },
            Some(written) => match beginning.is_after(written) {
                Some(true) => Evidence::NotMade,
                _ if is_version(row, put.entry) => Evidence::Own,
                Some(false) => Evidence::Replaced,
                None => Evidence::Unclear,
            },
        })
        .collect();
    log::debug!("a commit of {} entries whose answer was lost: {evidence:?}", puts.len());
    let any = |what: Evidence| evidence.contains(&what);
    // All puts of a commit were made, or none was.
    if !any(Evidence::Own) {
        if any(Evidence::NotMade) {
            return Ok(Verdict::NotMade);
        }
        if any(Evidence::Unclear) {
            return Ok(Verdict::Unknown);
        }
    }
    let mut found = rows.iter().zip(&evidence);
    let reports = commit.garbage_due.is_none();
    let outcomes = commit.operations.iter().map(|operation| match operation {
        Operation::Put(put) => {
            let own = put.entry.location.locator();
            Outcome::Put(match found.next() {
                Some((row, Evidence::Own)) => {
                    let former: Option<i64> = row.try_get(6).unwrap_or_default();
                    let locator: Option<String> = row.try_get(7).unwrap_or_default();
                    let orphaned = locator.filter(|locator| reports && Some(locator.as_str()) != own);
                    PutOutcome {
                        replaced: former.is_some(),
                        orphaned: orphaned.into_iter().collect(),
                        ..PutOutcome::default()
                    }
                }
                // Nobody names its blob any more.
                _ => PutOutcome {
                    orphaned: own.filter(|_| reports).map(str::to_owned).into_iter().collect(),
                    ..PutOutcome::default()
                },
            })
        }
        _ => Outcome::Done,
    });
    Ok(Verdict::Made(outcomes.collect()))
}

/// Whether a row has the version that the entry is.
fn is_version(row: &Row, entry: &Entry) -> bool {
    let locator: Option<&str> = row.try_get(5).unwrap_or_default();
    row.try_get::<_, i64>(3).is_ok_and(|created_at| created_at == entry.created_at.0)
        && row.try_get::<_, i64>(4).is_ok_and(|hash| hash == entry.file_hash.cast_signed())
        && locator == entry.location.locator()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_close_is_unknown() {
        let beginning = Beginning { earliest: 100, latest: 200, known: 120 };
        assert_eq!(beginning.is_after(99), Some(true));
        assert_eq!(beginning.is_after(120), Some(true), "this process has seen it");
        assert_eq!(beginning.is_after(121), None);
        assert_eq!(beginning.is_after(200), None);
        assert_eq!(beginning.is_after(201), Some(false));
    }

    #[test]
    fn times_are_microseconds() {
        let latest = LatestWrite::default();
        latest.note(SystemTime::UNIX_EPOCH + Duration::from_secs(2));
        latest.note(SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(latest.0.load(Ordering::Relaxed), 2_000_000);
        assert_eq!(micros(SystemTime::UNIX_EPOCH - Duration::from_micros(3)), -3);
    }
}
