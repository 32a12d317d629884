//! A disk that loses power: its possible states at any moment of some work, given what the work has synced.
//!
//! A [`Recorder`] records every system call that changes files, in order, with the bytes. A [`Disk`] replays the record
//! and keeps two states: the durable and the pending one. An [`Image`](Disk::write_image) of it is a state that a
//! machine may find after losing power at that moment: everything durable, and any part of the rest.
//!
//! The disk promises as little as POSIX does, which is less than any file system in use:
//! - Written data is durable when `fsync` or `fdatasync` of its file has returned. Until then each piece of 512 bytes
//!   and each change of length independently exists or not; data written after a change of length does not exist
//!   without it.
//! - A name is durable when `fsync` of its directory has returned: syncing a file does not keep its name. A moved file
//!   is in one place or the other, never in both or neither.
//! - A durable directory below one that is not durable is lost with it.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::syscalls::{Answer, Call, Kind, path_of, supervise};

/// The largest piece of a file that is written atomically.
const PIECE: usize = 512;

/// `NFS_SUPER_MAGIC` of `statfs(2)`.
const NFS: libc::c_long = 0x6969;

/// `RENAME_EXCHANGE` of `renameat2(2)`.
const EXCHANGE: u64 = 2;

/// An event on the disk.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file was created.
    Made(PathBuf, usize),
    /// Bytes were written to a file.
    Wrote(usize, u64, Vec<u8>),
    /// A file was set to this length.
    Length(usize, u64),
    /// A file was synced.
    Synced(usize),
    /// A directory was created.
    Directory(PathBuf),
    /// A directory was synced.
    SyncedDirectory(PathBuf),
    /// A file was moved.
    Moved(PathBuf, PathBuf),
    /// Two files were exchanged.
    Exchanged(PathBuf, PathBuf),
    /// A file was linked under another name.
    Linked(PathBuf, PathBuf),
    /// A name was removed.
    Removed(PathBuf),
    /// The work reached this point.
    Mark(u64),
}

/// Records the events below a directory.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    network: bool,
    events: Mutex<Vec<Event>>,
}

/// The files that exist during the recording.
#[derive(Default)]
struct Files {
    by_inode: HashMap<(u64, u64), usize>,
    count: usize,
}

impl Files {
    fn of(&self, descriptor: i32) -> Option<usize> {
        let found = std::fs::metadata(format!("/proc/self/fd/{descriptor}")).ok()?;
        // A directory may have the inode of a removed file.
        if found.is_dir() {
            return None;
        }
        self.by_inode.get(&(found.dev(), found.ino())).copied()
    }
}

impl Recorder {
    /// Records events below `root`, an empty directory that is durable itself.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let root = root.canonicalize().expect("the directory is there");
        Self { root, network: false, events: Mutex::default() }
    }

    /// Makes `statfs` report that the directory is on NFS.
    #[must_use]
    pub fn on_a_network(mut self) -> Self {
        self.network = true;
        self
    }

    fn note(&self, event: Event) {
        self.events.lock().expect("no thread panics while holding it").push(event);
    }

    /// Records that the work reached this point; called by the work itself.
    pub fn mark(&self, point: u64) {
        self.note(Event::Mark(point));
    }

    /// Runs `work` and records its events. All its threads must end before it returns.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let mut files = Files::default();
        supervise(&self.root, |call| self.see(&mut files, call), work)
    }

    /// The recorded events.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        let events = self.events.into_inner().expect("no thread panics while holding it");
        assert!(!events.is_empty(), "nothing was recorded");
        events
    }

    fn relative(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix(&self.root).expect("only calls below the root are seen");
        path.components().filter(|part| *part != std::path::Component::CurDir).collect()
    }

    fn see(&self, files: &mut Files, call: &Call) -> Answer {
        match call.kind {
            Kind::Open => {
                let flags = call.open_flags();
                if flags & libc::O_CREAT == 0 || call.path.symlink_metadata().is_ok() {
                    assert!(flags & libc::O_TRUNC == 0 || flags & libc::O_ACCMODE == 0, "{call:?} truncates a file");
                    return Answer::Go;
                }
                let result = call.perform();
                if let Some(descriptor) = i32::try_from(result).ok().filter(|descriptor| *descriptor >= 0) {
                    let found = std::fs::metadata(format!("/proc/self/fd/{descriptor}")).expect("it is open");
                    files.by_inode.insert((found.dev(), found.ino()), files.count);
                    self.note(Event::Made(self.relative(&call.path), files.count));
                    files.count += 1;
                }
                Answer::Done(result)
            }
            Kind::Write => {
                let (bytes, at) = call.written().unwrap_or_else(|| panic!("{call:?} is not understood"));
                let descriptor = call.descriptor();
                let at = at.unwrap_or_else(|| {
                    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).expect("it is open");
                    let line = info.lines().find_map(|line| line.strip_prefix("pos:")).expect("it has a place");
                    line.trim().parse().expect("a number")
                });
                let result = call.perform();
                if let (Ok(written), Some(file)) = (usize::try_from(result), files.of(descriptor)) {
                    self.note(Event::Wrote(file, at, bytes[..written].to_vec()));
                }
                Answer::Done(result)
            }
            // Allocating space beyond the end has no visible effect.
            Kind::Length if call.name == "fallocate" => Answer::Go,
            Kind::Length => {
                let result = call.perform();
                if let (0, Some(file)) = (result, files.of(call.descriptor())) {
                    self.note(Event::Length(file, call.length()));
                }
                Answer::Done(result)
            }
            Kind::Sync => {
                assert_ne!(call.name, "sync_file_range", "it makes no data durable");
                let result = call.perform();
                if result == 0 {
                    match files.of(call.descriptor()) {
                        Some(file) => self.note(Event::Synced(file)),
                        None => self.note(Event::SyncedDirectory(self.relative(&call.path))),
                    }
                }
                Answer::Done(result)
            }
            Kind::Rename => {
                let exchange = call.rename_flags() & EXCHANGE != 0;
                let result = call.perform();
                if result == 0 {
                    let (from, to) = (self.relative(&call.path), call.to.as_deref().expect("two paths"));
                    let to = self.relative(to);
                    self.note(match call.name {
                        "link" | "linkat" => Event::Linked(from, to),
                        _ if exchange => Event::Exchanged(from, to),
                        _ => Event::Moved(from, to),
                    });
                }
                Answer::Done(result)
            }
            Kind::Unlink => {
                let result = call.perform();
                if result == 0 {
                    self.note(Event::Removed(self.relative(&call.path)));
                }
                Answer::Done(result)
            }
            Kind::Mkdir => {
                let result = call.perform();
                if result == 0 {
                    self.note(Event::Directory(self.relative(&call.path)));
                }
                Answer::Done(result)
            }
            Kind::Map => {
                // Writes through a map are not seen. Only SQLite writes that way, to the index of its log, which it
                // rebuilds.
                let path = path_of(call.map_descriptor()).unwrap_or_default();
                let harmless = !call.maps_for_writing() || path.to_string_lossy().ends_with("-shm");
                assert!(harmless, "{} is written through a map", path.display());
                Answer::Go
            }
            Kind::Look if self.network && call.name.contains("statfs") => Answer::Done(call.perform_statfs_as(NFS)),
            Kind::Read | Kind::Look | Kind::Lock | Kind::List | Kind::Mode => Answer::Go,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let at = usize::try_from(*at).expect("files of tests are small");
                if content.len() < at + bytes.len() {
                    content.resize(at + bytes.len(), 0);
                }
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(usize::try_from(*length).expect("files of tests are small"), 0),
        }
    }

    /// Splits the data at the boundaries of the disk's pieces.
    fn pieces(&self) -> Vec<Self> {
        let Self::Write(at, bytes) = self else { return vec![self.clone()] };
        let mut pieces = Vec::new();
        let (mut at, mut bytes) = (*at, bytes.as_slice());
        while !bytes.is_empty() {
            let room = PIECE - usize::try_from(at % PIECE as u64).expect("less than a piece");
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            pieces.push(Self::Write(at, piece.to_vec()));
            at += piece.len() as u64;
            bytes = rest;
        }
        pieces
    }
}

/// An atomic change of names.
#[derive(Clone, Debug)]
struct Naming {
    /// The directory whose sync makes it durable.
    directory: PathBuf,
    names: Vec<(PathBuf, Option<Node>)>,
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        for (path, node) in &self.names {
            match node {
                Some(node) => drop(names.insert(path.clone(), *node)),
                None => drop(names.remove(path)),
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    durable: Vec<u8>,
    waiting: Vec<Change>,
}

/// Which pending changes survive the loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// All names and all lengths, and no content: files full of zeros.
    Zeros,
    /// All content, and no names.
    Content,
    /// A choice seeded by this number.
    Random(u64),
}

/// A disk that separates durable from pending changes.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    durable: BTreeMap<PathBuf, Node>,
    now: BTreeMap<PathBuf, Node>,
    waiting: Vec<Naming>,
    lies: bool,
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that ignores syncs: a test that passes on it proves nothing.
    #[must_use]
    pub fn lying() -> Self {
        Self { lies: true, ..Self::default() }
    }

    fn name(&mut self, directory: PathBuf, names: Vec<(PathBuf, Option<Node>)>) {
        let naming = Naming { directory, names };
        naming.apply(&mut self.now);
        self.waiting.push(naming);
    }

    fn node(&self, path: &Path) -> Node {
        *self.now.get(path).unwrap_or_else(|| panic!("{} is not there", path.display()))
    }

    /// Applies one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Made(path, file) => {
                assert_eq!(*file, self.files.len(), "files come in order");
                self.files.push(File::default());
                self.name(parent(path), vec![(path.clone(), Some(Node::File(*file)))]);
            }
            Event::Wrote(file, at, bytes) => self.files[*file].waiting.push(Change::Write(*at, bytes.clone())),
            Event::Length(file, length) => self.files[*file].waiting.push(Change::Length(*length)),
            Event::Synced(_) | Event::SyncedDirectory(_) if self.lies => {}
            Event::Synced(file) => {
                let File { durable, waiting } = &mut self.files[*file];
                waiting.drain(..).for_each(|change| change.apply(durable));
            }
            Event::Directory(path) => self.name(parent(path), vec![(path.clone(), Some(Node::Directory))]),
            Event::SyncedDirectory(path) => {
                let (done, waiting): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.waiting).into_iter().partition(|naming| naming.directory == *path);
                done.iter().for_each(|naming| naming.apply(&mut self.durable));
                self.waiting = waiting;
            }
            Event::Moved(from, to) => {
                let node = self.node(from);
                self.name(parent(to), vec![(from.clone(), None), (to.clone(), Some(node))]);
            }
            Event::Exchanged(one, two) => {
                let (first, second) = (self.node(one), self.node(two));
                self.name(parent(two), vec![(one.clone(), Some(second)), (two.clone(), Some(first))]);
            }
            Event::Linked(from, to) => {
                let node = self.node(from);
                self.name(parent(to), vec![(to.clone(), Some(node))]);
            }
            Event::Removed(path) => self.name(parent(path), vec![(path.clone(), None)]),
            Event::Mark(_) => {}
        }
    }

    /// Writes into the empty directory `root` what a machine finds after losing power now.
    pub fn write_image(&self, root: &Path, luck: Luck) {
        let mut dice = Dice(match luck {
            Luck::Random(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d,
            _ => 0,
        });
        let mut names = self.durable.clone();
        let random = matches!(luck, Luck::Random(_));
        let kept = match luck {
            Luck::Nothing | Luck::Content => Vec::new(),
            Luck::Everything | Luck::Zeros => self.waiting.clone(),
            Luck::Random(_) => {
                let kept = dice.choose(&self.waiting);
                self.waiting.iter().zip(kept).filter(|(_, kept)| *kept).map(|(naming, _)| naming.clone()).collect()
            }
        };
        kept.iter().for_each(|naming| naming.apply(&mut names));
        for (path, node) in &names {
            let above: Vec<_> = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
            if above.iter().any(|above| names.get(*above) != Some(&Node::Directory)) {
                continue;
            }
            let target = root.join(path);
            match node {
                Node::Directory => std::fs::DirBuilder::new().mode(0o700).create(&target).expect("made"),
                Node::File(file) => {
                    let File { durable, waiting } = &self.files[*file];
                    let mut content = durable.clone();
                    match luck {
                        Luck::Nothing => {}
                        Luck::Everything | Luck::Content => {
                            waiting.iter().for_each(|change| change.apply(&mut content));
                        }
                        Luck::Zeros => {
                            for change in waiting {
                                match change {
                                    Change::Write(at, bytes) => {
                                        let end = usize::try_from(*at).expect("small") + bytes.len();
                                        content.resize(content.len().max(end), 0);
                                    }
                                    Change::Length(_) => change.apply(&mut content),
                                }
                            }
                        }
                        Luck::Random(_) => {
                            let pieces: Vec<_> = waiting.iter().flat_map(Change::pieces).collect();
                            let kept = dice.choose(&pieces);
                            // Data written after a truncation does not exist without the truncation.
                            let cut = (0..pieces.len()).find(|&i| matches!(pieces[i], Change::Length(_)) && !kept[i]);
                            let until = cut.unwrap_or(pieces.len());
                            (0..until).filter(|&i| kept[i]).for_each(|i| pieces[i].apply(&mut content));
                        }
                    }
                    let mut options = std::fs::OpenOptions::new();
                    let mut file = options.write(true).create_new(true).mode(0o600).open(&target).expect("made");
                    std::io::Write::write_all(&mut file, &content).expect("written");
                }
            }
        }
        assert!(random || dice.0 == 0);
    }
}

/// Pseudo-random numbers: the same seed gives the same image.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % end
    }

    /// Chooses which of them exist: none, all, the first ones, or any.
    fn choose<T>(&mut self, all: &[T]) -> Vec<bool> {
        let count = match self.below(5) {
            0 => 0,
            1 => all.len(),
            2 => self.below(all.len() + 1),
            _ => return all.iter().map(|_| self.below(2) == 0).collect(),
        };
        (0..all.len()).map(|i| i < count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The content of the file of this name if the power is lost after each event.
    fn images(events: &[Event], luck: Luck, name: &str) -> Vec<Option<Vec<u8>>> {
        let mut disk = Disk::new();
        events
            .iter()
            .map(|event| {
                disk.apply(event);
                let dir = tempfile::tempdir().expect("a directory");
                disk.write_image(dir.path(), luck);
                std::fs::read(dir.path().join(name)).ok()
            })
            .collect()
    }

    #[test]
    fn what_is_not_synced_is_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        let recorder = Recorder::new(dir.path());
        recorder.run(|| {
            let path = dir.path().join("a/file");
            std::fs::create_dir(dir.path().join("a")).expect("made");
            let mut file = std::fs::File::create_new(dir.path().join("a/new")).expect("made");
            file.write_all(b"content").expect("written");
            file.sync_data().expect("synced");
            std::fs::rename(dir.path().join("a/new"), &path).expect("renamed");
            let sync = |path: &Path| std::fs::File::open(path).and_then(|it| it.sync_all()).expect("synced");
            sync(&dir.path().join("a"));
            recorder.mark(1);
            sync(dir.path());
            recorder.mark(2);
            file.write_all(b" and more").expect("written");
            recorder.mark(3);
        });
        let events = recorder.into_events();
        let at = |mark: u64| events.iter().position(|e| matches!(e, Event::Mark(m) if *m == mark)).expect("marked");
        let nothing = images(&events, Luck::Nothing, "a/file");
        assert_eq!(nothing[at(1)], None, "its directory is not durable");
        assert_eq!(nothing[at(2)].as_deref(), Some(&b"content"[..]));
        assert_eq!(nothing[at(3)].as_deref(), Some(&b"content"[..]));
        let everything = images(&events, Luck::Everything, "a/file");
        assert_eq!(everything[at(3)].as_deref(), Some(&b"content and more"[..]));
        let zeros = images(&events, Luck::Zeros, "a/file");
        assert_eq!(zeros[at(3)].as_deref(), Some(&b"content\0\0\0\0\0\0\0\0\0"[..]));
    }
}
