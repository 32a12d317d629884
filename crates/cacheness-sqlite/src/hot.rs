//! The statements of small puts and gets, which a connection keeps prepared.
//!
//! rusqlite's own cache copies and hashes the text of a statement with each use, which takes 5 % of the instructions of
//! a put. These few are found by a number. SQLite prepares them again by itself when the schema changes.
#![allow(unsafe_code)]

use std::cell::{RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use cacheness_core::Result;
use rusqlite::{Connection, PrepFlags, Statement};

use crate::error::translate;
use crate::rows::columns;

/// A statement that is kept prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hot {
    /// Begins a transaction with the write lock.
    Begin,
    Commit,
    /// The columns of an entry, and its payload; ?1 is the key.
    Get,
    /// The parameters of `rows::bind_entry`. Does nothing if the key exists: a put of a new key, the usual case, is this
    /// statement alone.
    Insert,
    /// `id, file_size, locator` of the key ?1.
    Find,
    /// The parameters of `rows::bind_entry`, and the row. The key (?1) is the same and the access count (?6) is kept.
    Replace,
}

/// The number of statements.
const COUNT: usize = Hot::Replace as usize + 1;

impl Hot {
    const fn sql(self) -> &'static str {
        match self {
            Self::Begin => "BEGIN IMMEDIATE",
            Self::Commit => "COMMIT",
            Self::Get => concat!("SELECT ", columns!(), ", payload FROM cache_entries WHERE cache_key = ?1"),
            Self::Insert => concat!(
                "INSERT INTO cache_entries (cache_key, ",
                columns!(),
                ", payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
                 ?19, ?20, ?21, ?22, ?23, ?24, ?25) ON CONFLICT (cache_key) DO NOTHING"
            ),
            Self::Find => "SELECT id, file_size, locator FROM cache_entries WHERE cache_key = ?1",
            Self::Replace => {
                "UPDATE cache_entries SET fingerprint = ?2, created_at = ?3, accessed_at = ?4, expires_at = ?5, \
                 handler = ?7, data_type = ?8, storage_format = ?9, compression = ?10, object_type = ?11, \
                 handler_meta = ?12, file_size = ?13, file_hash = ?14, digest = ?15, signature = ?16, \
                 description = ?17, metadata = ?18, params = ?19, raw_size = ?20, locator = ?21, computed = ?22, \
                 etag = ?23, version = ?24, payload = ?25 WHERE id = ?26"
            }
        }
    }
}

/// A connection with its hot statements, which are prepared when they are first used.
#[derive(Debug)]
pub(crate) struct Prepared(NonNull<Parts>);

#[derive(Debug)]
struct Parts {
    connection: Connection,
    /// Refer to the connection, and are finalised before it is closed.
    statements: [RefCell<Option<Statement<'static>>>; COUNT],
}

// SAFETY: the connection may be sent, and no part of a statement belongs to a thread: the connection is opened without
// SQLite's own locks, and it and its statements are only used through `self`, by one thread at a time.
unsafe impl Send for Prepared {}

impl Prepared {
    pub(crate) fn new(connection: Connection) -> Self {
        let parts = Box::new(Parts { connection, statements: Default::default() });
        Self(NonNull::from(Box::leak(parts)))
    }

    #[inline]
    fn parts(&self) -> &Parts {
        // SAFETY: made by `Box::leak` and freed when `self` is dropped; an exclusive reference needs `&mut self`.
        unsafe { self.0.as_ref() }
    }

    /// The connection, to be changed; its hot statements are prepared again.
    pub(crate) fn edit(&mut self) -> &mut Connection {
        self.finalise();
        // SAFETY: made by `Box::leak`, and nothing but `self` refers to it any more.
        unsafe { &mut self.0.as_mut().connection }
    }

    fn finalise(&self) {
        self.parts().statements.iter().for_each(|slot| drop(slot.take()));
    }

    /// A hot statement that nobody is using.
    #[inline]
    pub(crate) fn hot(&self, hot: Hot) -> Result<Borrowed<'_>> {
        let mut slot = self.parts().statements[hot as usize].borrow_mut();
        if slot.is_none() {
            *slot = Some(self.prepare(hot)?);
        }
        Ok(Borrowed(RefMut::map(slot, |slot| slot.as_mut().expect("it has just been prepared"))))
    }

    #[cold]
    fn prepare(&self, hot: Hot) -> Result<Statement<'static>> {
        // SAFETY: the connection stays where it is until `self` is dropped, which drops the statements first; they are
        // lent only for the lifetime of `self`.
        let connection: &'static Connection = unsafe { &self.0.as_ref().connection };
        let prepared = connection.prepare_with_flags(hot.sql(), PrepFlags::SQLITE_PREPARE_PERSISTENT);
        prepared.map_err(|e| translate("cannot prepare a statement", e))
    }

    /// Executes a hot statement without parameters.
    #[inline]
    pub(crate) fn step(&self, hot: Hot) -> Result<()> {
        let mut slot = self.hot(hot)?;
        slot.0.raw_execute().map_err(|e| translate("cannot complete a transaction", e))?;
        Ok(())
    }
}

impl Deref for Prepared {
    type Target = Connection;

    #[inline]
    fn deref(&self) -> &Connection {
        &self.parts().connection
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.finalise();
        // SAFETY: made by `Box::leak`, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A hot statement in use; its bindings are cleared afterwards.
#[derive(Debug)]
pub(crate) struct Borrowed<'a>(RefMut<'a, Statement<'static>>);

impl Deref for Borrowed<'_> {
    type Target = Statement<'static>;

    fn deref(&self) -> &Statement<'static> {
        &self.0
    }
}

impl DerefMut for Borrowed<'_> {
    fn deref_mut(&mut self) -> &mut Statement<'static> {
        &mut self.0
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.0.clear_bindings();
    }
}
