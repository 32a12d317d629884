//! Every system call of an operation fails once, in every way it can. The operation says so or does without it; what was
//! there before is still there, nothing is left over, and the next operation works.
//!
//! The calls are those of the kernel (see `cacheness_testkit::syscalls`): SQLite's are among them. A directory is copied
//! here past SQLite, which drops its locks; no other process is there to miss them.

use std::collections::BTreeMap;
use std::path::Path;

use cacheness::config::StoreConfig;
use cacheness::{BlobStore, Durability, ErrorKind, OpenMode, Place};
use cacheness_testkit::syscalls::{Answer, Call, Kind, supervise};

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Error(i32),
    /// Half of the bytes are read or written, which is no error.
    Short,
}

fn faults(call: &Call) -> Vec<Fault> {
    let errors: &[i32] = match call.kind {
        _ if call.unlocks() => &[],
        Kind::Open if call.open_flags() & libc::O_CREAT != 0 => {
            &[libc::ENOSPC, libc::EIO, libc::EACCES, libc::EMFILE, libc::EINTR]
        }
        Kind::Open => &[libc::EIO, libc::EACCES, libc::EMFILE, libc::EINTR],
        Kind::Read => &[libc::EIO, libc::EINTR],
        Kind::Write | Kind::Length => &[libc::ENOSPC, libc::EIO, libc::EINTR],
        Kind::Sync => &[libc::ENOSPC, libc::EIO, libc::EINTR],
        Kind::Rename | Kind::Mkdir => &[libc::ENOSPC, libc::EIO, libc::EACCES],
        Kind::Unlink | Kind::Look | Kind::Mode => &[libc::EIO, libc::EACCES],
        Kind::Lock => &[libc::EIO, libc::ENOLCK, libc::EINTR],
        Kind::Map => &[libc::ENOMEM, libc::EACCES],
        Kind::List => &[libc::EIO],
    };
    let short = matches!(call.name, "read" | "write" | "pread64" | "pwrite64").then_some(Fault::Short);
    errors.iter().map(|errno| Fault::Error(*errno)).chain(short).collect()
}

/// A call of an operation, and a fault that it can have.
#[derive(Clone)]
struct Case {
    number: usize,
    fault: Fault,
    text: String,
}

/// All faults of all calls that `work` makes below `dir`.
fn cases<T: Send>(dir: &Path, work: impl FnOnce() -> T + Send) -> Vec<Case> {
    let (mut cases, mut number) = (Vec::new(), 0);
    supervise(
        dir,
        |call| {
            let name = call.path.file_name().unwrap_or_default().to_string_lossy();
            cases.extend(faults(call).into_iter().map(|fault| Case {
                number,
                fault,
                text: format!("{} of {name} (call {number}): {fault:?}", call.name),
            }));
            number += 1;
            Answer::Go
        },
        work,
    );
    // One of the faults of each call, another one for the next; all of them in long runs.
    if !super::is_soak() {
        let mut turn = 0;
        cases = cases
            .chunk_by(|one, other| one.number == other.number)
            .map(|same| {
                turn += 1;
                same[turn % same.len()].clone()
            })
            .collect();
    }
    cases
}

/// Runs `work` with the fault of `case`.
fn with<T: Send>(dir: &Path, case: &Case, work: impl FnOnce() -> T + Send) -> T {
    let mut number = 0;
    supervise(
        dir,
        |call| {
            number += 1;
            match case.fault {
                _ if number != case.number + 1 => Answer::Go,
                Fault::Error(errno) => Answer::Fail(errno),
                Fault::Short => Answer::Done(call.perform_half()),
            }
        },
        work,
    )
}

/// 1 to 9 travel inside their entries, others are blobs.
fn value(number: u64) -> Vec<u8> {
    super::numbered(number, if number < 10 { 300 } else { 6000 })
}

type Values = BTreeMap<&'static str, u64>;

fn former() -> Values {
    BTreeMap::from([("a", 1), ("b", 11), ("c", 2)])
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Put(&'static str, u64),
    Delete(&'static str),
    Clear,
    Update(&'static str),
}

impl Operation {
    fn run(self, store: &BlobStore) -> cacheness::Result<()> {
        match self {
            Self::Put(key, number) => store.put(key, &value(number)),
            Self::Delete(key) => store.delete(key).map(drop),
            Self::Clear => store.clear().map(drop),
            Self::Update(key) => {
                let fields = serde_json::json!({ "x": 1 });
                store.update_metadata(key, fields.as_object().unwrap()).map(drop)
            }
        }
    }

    fn apply(self, values: &mut Values) {
        match self {
            Self::Put(key, number) => drop(values.insert(key, number)),
            Self::Delete(key) => drop(values.remove(key)),
            Self::Clear => values.clear(),
            Self::Update(_) => {}
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Setting {
    backend: &'static str,
    durability: Durability,
}

fn settings() -> impl Iterator<Item = Setting> {
    let all = |backend| [Durability::Normal, Durability::Full].map(|durability| Setting { backend, durability });
    ["sqlite", "json"].into_iter().flat_map(all)
}

fn open(dir: &Path, setting: Setting) -> cacheness::Result<BlobStore> {
    let config = StoreConfig {
        durability: setting.durability,
        inline_threshold_bytes: 1024,
        metadata_backend: Some(setting.backend.to_owned()),
        ..StoreConfig::default()
    };
    BlobStore::open_with(&Place::Directory(dir.to_owned()), config, OpenMode::default())
}

/// A closed store with the former values.
fn template(setting: Setting) -> tempfile::TempDir {
    let dir = super::scratch();
    let store = open(dir.path(), setting).unwrap();
    for (key, number) in former() {
        store.put(key, &value(number)).unwrap();
    }
    store.close().unwrap();
    dir
}

/// What whoever comes next finds there if every process dies now: without what is only in shared memory.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            std::fs::create_dir(to.join(&name)).unwrap();
            copy(&path, &to.join(&name));
        } else if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(&path, to.join(&name)).unwrap();
        }
    }
}

fn copied(from: &Path) -> tempfile::TempDir {
    let dir = super::scratch();
    copy(from, dir.path());
    dir
}

fn check_values(store: &BlobStore, values: &Values, what: &str) {
    for key in ["a", "b", "c", "d"] {
        let found = store.get::<Vec<u8>>(key).unwrap_or_else(|error| panic!("{what}: {key}: {error:?}"));
        let found = found.map(|bytes| super::number_of(&bytes));
        assert_eq!(found.as_ref(), values.get(key), "{what}: {key}");
    }
    assert_eq!(store.engine().totals().unwrap().entries, values.len() as u64, "{what}: totals");
}

/// Nothing but blobs that entries name; `spare` more where one could not be deleted.
fn check_files(dir: &Path, values: &Values, spare: usize, what: &str) {
    let files = super::files(dir);
    let temporary = |name: &str| name.contains("tmp") || name.contains("/.") || name.starts_with('.');
    let left: Vec<_> = files.iter().filter(|name| temporary(name)).collect();
    // The former version in JSON, where removing it has failed; the next one is written over it.
    let known = spare > 0 && left == ["cache_metadata.json.tmp"];
    assert!(left.is_empty() || known, "{what}: {left:?}");
    let blobs = files.iter().filter(|name| name.starts_with("blobs/")).count();
    let named = values.values().filter(|number| **number >= 10).count();
    assert!((named..=named + spare).contains(&blobs), "{what}: {blobs} blobs, {named} of them named");
}

fn check_error(error: &cacheness::Error, what: &str) {
    let known = [ErrorKind::Storage, ErrorKind::Metadata, ErrorKind::ReadOnly, ErrorKind::Busy];
    assert!(known.contains(&error.kind()), "{what}: {error:?}");
    assert!(std::error::Error::source(error).is_some(), "{what}: does not say why: {error:?}");
}

/// An error of a store that is open, which has the kind and the hint of what the system has answered.
fn check_named(error: &cacheness::Error, fault: Fault, what: &str) {
    check_error(error, what);
    // Also where SQLite made the call, which does not say what it was told.
    let (kind, hint) = match fault {
        Fault::Error(libc::ENOSPC) => (ErrorKind::Storage, "space"),
        Fault::Error(libc::EMFILE) => (ErrorKind::Storage, "too many files"),
        Fault::Error(libc::EACCES) => (ErrorKind::ReadOnly, "permissions"),
        _ => return,
    };
    assert_eq!(error.kind(), kind, "{what}: {error:?}");
    assert!(error.hint().is_some_and(|found| found.contains(hint)), "{what}: {error:?}");
}

fn changes(operation: Operation) {
    for setting in settings() {
        let template = template(setting);
        let first = copied(template.path());
        let store = open(first.path(), setting).unwrap();
        let cases = cases(first.path(), || operation.run(&store).unwrap());
        assert!(cases.len() > 5, "{operation:?} makes system calls");
        let mut failed = 0;
        for case in &cases {
            let what = format!("{setting:?}, {operation:?}, {}", case.text);
            let dir = copied(template.path());
            let store = open(dir.path(), setting).unwrap();
            let result = with(dir.path(), case, || operation.run(&store));
            let mut values = former();
            match &result {
                Ok(()) => operation.apply(&mut values),
                Err(error) => {
                    failed += 1;
                    check_named(error, case.fault, &what);
                    assert_ne!(case.fault, Fault::Short, "{what}: {error:?}");
                }
            }
            // Behind a success, a blob that could not be deleted; behind an error nothing.
            let spare = usize::from(result.is_ok());
            // If the process died now, what it was told would still be so.
            let died = copied(dir.path());
            let next = open(died.path(), setting).unwrap_or_else(|error| panic!("{what}, and died: {error:?}"));
            check_values(&next, &values, &format!("{what}, and died"));
            next.close().unwrap();
            check_values(&store, &values, &what);
            check_files(dir.path(), &values, spare, &what);
            operation.run(&store).unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
            operation.apply(&mut values);
            check_values(&store, &values, &format!("{what}, again"));
            store.close().unwrap();
            let next = open(dir.path(), setting).unwrap();
            check_values(&next, &values, &format!("{what}, opened again"));
            check_files(dir.path(), &values, spare, &what);
        }
        assert!(failed > 0, "{setting:?}, {operation:?}: no fault was noticed");
    }
}

#[test]
fn of_a_new_small_value() {
    changes(Operation::Put("d", 3));
}

#[test]
fn of_a_small_value_that_replaces_another() {
    changes(Operation::Put("a", 3));
}

#[test]
fn of_a_new_blob() {
    changes(Operation::Put("d", 13));
}

#[test]
fn of_a_blob_that_replaces_another() {
    changes(Operation::Put("b", 13));
}

#[test]
fn of_a_removal() {
    changes(Operation::Delete("b"));
}

#[test]
fn of_an_update() {
    changes(Operation::Update("b"));
}

#[test]
fn of_a_clear() {
    changes(Operation::Clear);
}

#[test]
fn of_a_get() {
    for setting in settings() {
        let template = template(setting);
        for key in ["a", "b"] {
            let get = |store: &BlobStore| store.get::<Vec<u8>>(key);
            let first = copied(template.path());
            let store = open(first.path(), setting).unwrap();
            let mut failed = 0;
            for case in cases(first.path(), || get(&store).unwrap()) {
                let what = format!("{setting:?}, get {key}, {}", case.text);
                let dir = copied(template.path());
                let store = open(dir.path(), setting).unwrap();
                let expected = Some(value(former()[key]));
                match with(dir.path(), &case, || get(&store)) {
                    Ok(found) => assert_eq!(found, expected, "{what}"),
                    Err(error) => {
                        failed += 1;
                        check_named(&error, case.fault, &what);
                        assert_ne!(case.fault, Fault::Short, "{what}: {error:?}");
                    }
                }
                check_values(&store, &former(), &what);
                check_files(dir.path(), &former(), 0, &what);
            }
            assert!(failed > 0, "{setting:?}, get {key}: no fault was noticed");
        }
    }
}

#[test]
fn of_opening_and_closing() {
    for setting in settings() {
        for template in [template(setting), super::scratch()] {
            let values = if super::files(template.path()).is_empty() { Values::new() } else { former() };
            let first = copied(template.path());
            let session = |dir: &Path| {
                let store = open(dir, setting)?;
                let read_only = store.engine().is_read_only();
                store.close()?;
                Ok(read_only)
            };
            for case in cases(first.path(), || session(first.path()).unwrap()) {
                let what = format!("{setting:?}, {} values, open and close, {}", values.len(), case.text);
                let dir = copied(template.path());
                match with(dir.path(), &case, || session(dir.path())) {
                    // Only what says that nothing may be written makes a store one that is only read.
                    Ok(read_only) => assert!(!read_only || case.fault == Fault::Error(libc::EACCES), "{what}"),
                    // SQLite closes what it could not open, and forgets what it was told.
                    Err(error) => check_error(&error, &what),
                }
                let store = open(dir.path(), setting).unwrap_or_else(|error| panic!("{what}, again: {error:?}"));
                check_values(&store, &values, &what);
                store.put("d", &value(13)).unwrap_or_else(|error| panic!("{what}, then a put: {error:?}"));
                check_files(dir.path(), &values.clone().into_iter().chain([("d", 13)]).collect(), 0, &what);
            }
        }
    }
}
