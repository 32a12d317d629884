//! Listings: a thread reads the next entries while this one creates the dictionaries of the previous ones.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;

use cacheness_core::Error;
use cacheness_core::cache::CacheEngine;
use cacheness_core::entry::EntrySummary;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::entries::{Detail, Writer};
use crate::errors::IntoPyResult;

/// How many entries are read at a time: few, so that creating dictionaries starts early.
const PAGE: usize = 256;

/// How many pages may be read ahead.
const AHEAD: usize = 4;

type Page = Result<Vec<EntrySummary>, Error>;

/// The dictionaries of all entries, in the order of their keys.
pub(crate) fn list<'py>(py: Python<'py>, engine: &CacheEngine, detail: Detail) -> PyResult<Bound<'py, PyList>> {
    let mut writer = Writer::new(py, engine.store(), detail);
    let list = PyList::empty(py);
    let first = py.detach(|| engine.page(None, PAGE)).into_py_result()?;
    let mut after = last_key(&first);
    if after.is_none() {
        writer.append_to(&list, &first)?;
        return Ok(list);
    }
    let (sender, pages) = sync_channel::<Page>(AHEAD);
    let start = after.clone();
    let read = move || {
        let mut after = start;
        while let Some(key) = after {
            let page = engine.page(Some(&key), PAGE);
            after = page.as_deref().ok().and_then(last_key);
            // The receiver is gone if creating a dictionary failed.
            if sender.send(page).is_err() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let reader = Builder::new().name("cacheness-list".into()).spawn_scoped(scope, read);
        writer.append_to(&list, &first)?;
        if reader.is_ok() {
            return append_all(py, &mut writer, &list, pages);
        }
        // The system has no more threads.
        while let Some(key) = after.take() {
            let page = py.detach(|| engine.page(Some(&key), PAGE)).into_py_result()?;
            after = last_key(&page);
            writer.append_to(&list, &page)?;
        }
        Ok(())
    })?;
    Ok(list)
}

/// Where to continue after a page; `None` after the last one.
fn last_key(page: &[EntrySummary]) -> Option<String> {
    page.last().filter(|_| page.len() == PAGE).map(|last| last.entry.key.clone())
}

fn append_all<'py>(
    py: Python<'py>,
    writer: &mut Writer<'py, '_>,
    list: &Bound<'py, PyList>,
    mut pages: Receiver<Page>,
) -> PyResult<()> {
    loop {
        py.check_signals()?;
        let page = match pages.try_recv() {
            Ok(page) => page,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                let (page, rest) = py.detach(move || (pages.recv(), pages));
                pages = rest;
                match page {
                    Ok(page) => page,
                    Err(_) => return Ok(()),
                }
            }
        };
        writer.append_to(list, &page.into_py_result()?)?;
    }
}
