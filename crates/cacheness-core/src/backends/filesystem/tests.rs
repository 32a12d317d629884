use std::io::Write;

use rustix::fs::FileType;

use super::beneath::open_by_component;
use super::*;

fn blobs(shard_chars: u8, durability: Durability) -> (tempfile::TempDir, FilesystemBlobs) {
    let dir = tempfile::tempdir().expect("a directory");
    let options = FilesystemOptions { shard_chars, durability };
    let blobs = FilesystemBlobs::new(dir.path().join("store"), options).expect("valid options");
    (dir, blobs)
}

fn put(blobs: &FilesystemBlobs, bytes: &[u8]) -> String {
    let hint = BlobHint { stem: "00c0ffee", extension: "bin", size: None };
    let mut writer = blobs.create(hint).expect("a writer");
    writer.write_all(bytes).expect("written");
    writer.commit().expect("committed").locator
}

fn open(blobs: &FilesystemBlobs, locator: &str) -> Result<Box<dyn BlobReader>> {
    blobs.open(&BlobRef::new(locator, 0))
}

fn delete(blobs: &FilesystemBlobs, locator: &str) -> Result<()> {
    blobs.delete(&[locator])
}

fn list(blobs: &FilesystemBlobs) -> Result<Vec<(String, u64)>> {
    Ok(blobs.list(None, usize::MAX)?.into_iter().map(|info| (info.locator, info.size)).collect())
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn only_the_owner_can_read_what_is_made() {
    for durability in [Durability::Normal, Durability::Full] {
        let (_dir, blobs) = blobs(2, durability);
        let locator = put(&blobs, b"abc");
        assert!(locator.starts_with("blobs/00/00c0ffee-"), "{locator}");
        assert_eq!(mode(blobs.root()), 0o700);
        assert_eq!(mode(&blobs.root().join("blobs/00")), 0o700);
        assert_eq!(mode(&blobs.root().join("tmp")), 0o700);
        assert_eq!(mode(&blobs.root().join(&locator)), 0o600);
        assert_eq!(std::fs::read_dir(blobs.root().join("tmp")).expect("there").count(), 0);
    }
}

#[test]
fn links_are_never_followed() {
    let (dir, blobs) = blobs(2, Durability::Normal);
    let locator = put(&blobs, b"secret");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(blobs.root().join("blobs/00"), &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, blobs.root().join("blobs/00")).expect("linked");
    assert_eq!(open(&blobs, &locator).err().expect("refused").kind(), ErrorKind::Integrity);
    assert!(delete(&blobs, &locator).is_err());
    assert!(elsewhere.join(locator.rsplit('/').next().expect("a name")).exists(), "nothing was deleted");
    // The directory is refused or skipped.
    assert!(list(&blobs).unwrap_or_default().is_empty());
    let hint = BlobHint { stem: "00c0ffee", extension: "bin", size: None };
    let error = blobs.create(hint).expect("a writer").commit().expect_err("not through the link");
    assert_eq!(error.kind(), ErrorKind::Integrity);

    std::fs::remove_file(blobs.root().join("blobs/00")).expect("unlinked");
    std::fs::create_dir(blobs.root().join("blobs/00")).expect("made");
    std::os::unix::fs::symlink("/etc/passwd", blobs.root().join(&locator)).expect("linked");
    assert_eq!(open(&blobs, &locator).err().expect("refused").kind(), ErrorKind::Integrity);
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let (_dir, blobs) = blobs(2, Durability::Normal);
    let locator = put(&blobs, b"x");
    delete(&blobs, &locator).expect("deleted");
    let path = blobs.root().join(&locator);
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, FILE_MODE, 0).expect("a pipe");
    assert_eq!(open(&blobs, &locator).err().expect("refused").kind(), ErrorKind::Integrity);
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    assert_eq!(open(&blobs, &locator).err().expect("refused").kind(), ErrorKind::Integrity);
    assert!(delete(&blobs, &locator).is_err());
}

#[test]
fn a_file_written_elsewhere_is_adopted() {
    for durability in [Durability::Normal, Durability::Full] {
        let (_dir, blobs) = blobs(1, durability);
        let made = blobs.temp_dir().expect("a directory").expect("on disk").join("made-by-a-handler");
        std::fs::write(&made, b"adopted").expect("written");
        let writer = blobs.create(BlobHint { stem: "ab", extension: "parquet", size: Some(7) }).expect("a writer");
        std::fs::rename(&made, writer.local_path().expect("a file")).expect("renamed");
        let BlobRef { locator, size, .. } = writer.commit().expect("committed");
        assert_eq!(size, 7);
        let reader = open(&blobs, &locator).expect("opened");
        let mut bytes = [0; 7];
        reader.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"adopted");
        assert_eq!(mode(&blobs.root().join(&locator)), 0o600);
    }
}

#[test]
fn foreign_files_are_passed_over() {
    let (_dir, blobs) = blobs(2, Durability::Normal);
    let locator = put(&blobs, b"1234");
    for foreign in ["blobs/.DS_Store", "blobs/00/notes.txt", "blobs/README"] {
        std::fs::write(blobs.root().join(foreign), b"x").expect("written");
    }
    std::fs::create_dir_all(blobs.root().join("blobs/00/deeper")).expect("made");
    std::fs::create_dir_all(blobs.root().join("blobs/toolong")).expect("made");
    assert_eq!(list(&blobs).expect("listed"), [(locator, 4)]);
}

#[test]
fn a_full_disk_is_a_typed_error_and_leaves_nothing() {
    // /dev/full fails every write with ENOSPC; it replaces the writer's own file.
    let (_dir, blobs) = blobs(2, Durability::Normal);
    let hint = BlobHint { stem: "ab", extension: "bin", size: None };
    drop(blobs.create(hint).expect("a writer"));
    let shared = Arc::clone(&blobs.shared);
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let mut writer = Box::new(FileWriter {
        name: new_name("ab", "bin").expect("valid"),
        path: PathBuf::new(),
        path_taken: AtomicBool::new(false),
        directory: shared.root.make().expect("there"),
        shared,
        extension: "bin".into(),
        stem: "ab".into(),
        file: Some(BufWriter::with_capacity(16, full)),
        written: 0,
        process: rustix::process::getpid(),
        committed: false,
    });
    writer.write_all(b"abc").expect("gathered");
    let error = writer.commit().expect_err("no space");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.hint().expect("a hint").contains("space"), "{error:?}");
    assert!(!error.to_string().contains(blobs.root().to_str().expect("UTF-8")), "{error}");
    assert_eq!(std::fs::read_dir(blobs.root().join("tmp")).expect("there").count(), 0);
}

#[test]
fn a_directory_that_is_a_file_is_not_a_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    std::fs::write(&path, b"x").expect("written");
    let blobs = FilesystemBlobs::new(&path, FilesystemOptions::default()).expect("valid options");
    let hint = BlobHint { stem: "ab", extension: "bin", size: None };
    assert_eq!(blobs.create(hint).err().expect("refused").kind(), ErrorKind::NotAStore);
    assert_eq!(open(&blobs, "blobs/ab-0123456789ab").err().expect("refused").kind(), ErrorKind::NotAStore);
    assert!(FilesystemBlobs::new("x", FilesystemOptions { shard_chars: 5, ..Default::default() }).is_err());
}

#[test]
fn the_fallback_follows_no_link_either() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("real")).expect("made");
    std::fs::write(dir.path().join("real/file"), b"x").expect("written");
    std::os::unix::fs::symlink("real", dir.path().join("link")).expect("linked");
    let root = File::open(dir.path()).expect("opened");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_by_component(&root, "real/file", flags, Mode::empty()).expect("opened");
    let error = open_by_component(&root, "link/file", flags, Mode::empty()).expect_err("a link");
    assert!(matches!(error, Errno::LOOP | Errno::NOTDIR), "{error}");
}

/// A directory outside the store that must not change: it has a file with the name of a blob.
fn elsewhere(dir: &tempfile::TempDir) -> PathBuf {
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::write(elsewhere.join("00c0ffee-0123456789ab.bin"), b"elsewhere").expect("written");
    elsewhere
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).expect("there");
    entries.map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn a_link_in_place_of_a_directory_leads_nowhere() {
    for directory in ["blobs", "tmp"] {
        let (dir, blobs) = blobs(2, Durability::Normal);
        let locator = put(&blobs, b"x");
        let elsewhere = elsewhere(&dir);
        std::fs::remove_dir_all(blobs.root().join(directory)).expect("removed");
        std::os::unix::fs::symlink(&elsewhere, blobs.root().join(directory)).expect("linked");
        let hint = BlobHint { stem: "00c0ffee", extension: "bin", size: None };
        let made = blobs.create(hint).and_then(|mut writer| {
            writer.write_all(b"abc").expect("gathered");
            writer.commit()
        });
        assert_eq!(made.expect_err("nothing is written").kind(), ErrorKind::Integrity, "{directory}");
        match directory {
            "blobs" => {
                assert!(list(&blobs).unwrap_or_default().is_empty());
                for locator in ["blobs/00c0ffee-0123456789ab.bin", &locator] {
                    assert_eq!(open(&blobs, locator).err().expect("refused").kind(), ErrorKind::Integrity);
                    assert!(delete(&blobs, locator).is_err());
                }
            }
            _ => {
                assert_eq!(blobs.temp_dir().expect_err("refused").kind(), ErrorKind::Integrity);
                assert_eq!(blobs.sweep(Duration::ZERO).unwrap_or(0), 0);
            }
        }
        assert_eq!(names(&elsewhere), ["00c0ffee-0123456789ab.bin"]);
    }
}

#[test]
fn what_handlers_left_is_swept_without_following_links() {
    let (dir, blobs) = blobs(2, Durability::Normal);
    let elsewhere = elsewhere(&dir);
    let left = blobs.temp_dir().expect("a directory").expect("on disk").join("handler-x");
    std::fs::create_dir_all(left.join("inner/deeper")).expect("made");
    std::fs::write(left.join("inner/value"), b"x").expect("written");
    std::os::unix::fs::symlink(&elsewhere, left.join("inner/link")).expect("linked");
    std::os::unix::fs::symlink(&elsewhere, left.with_file_name("link")).expect("linked");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 24 * 3600);
    File::open(&left).and_then(|file| file.set_modified(old)).expect("an old directory");
    assert_eq!(blobs.sweep(Duration::ZERO).expect("swept"), 1);
    assert_eq!(names(&blobs.root().join("tmp")), ["link"], "the sweep leaves files of others alone");
    assert_eq!(names(&elsewhere), ["00c0ffee-0123456789ab.bin"]);
}

#[test]
fn a_directory_is_not_made_through_a_link() {
    let (dir, blobs) = blobs(2, Durability::Normal);
    put(&blobs, b"x");
    let elsewhere = elsewhere(&dir);
    std::fs::remove_dir_all(blobs.root().join("blobs")).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, blobs.root().join("blobs")).expect("linked");
    let root = blobs.shared.root.open().expect("opened").expect("there");
    // As if the link appeared between the check and the creation.
    let error = blobs.shared.make_directory(&root, "blobs/00").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(names(&elsewhere), ["00c0ffee-0123456789ab.bin"]);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux has it").count()
}

/// Retries, because under `cargo test` other tests of the process open files meanwhile; nextest runs one test per
/// process.
fn eventually(what: impl Fn() -> bool) -> bool {
    (0..200).any(|_| {
        what() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    })
}

#[test]
fn closing_releases_the_directory_and_leaves_what_is_open() {
    let (_dir, blobs) = blobs(2, Durability::Full);
    let before = descriptors();
    let locator = put(&blobs, b"abcd");
    let reader = open(&blobs, &locator).expect("opened");
    let hint = BlobHint { stem: "ab", extension: "bin", size: None };
    let mut writer = blobs.create(hint).expect("a writer");
    blobs.close().expect("closed");
    blobs.close().expect("closed twice");
    let mut content = [0; 4];
    reader.read_exact_at(&mut content, 0).expect("still readable");
    assert_eq!(&content, b"abcd");
    // A put in progress ends, and can still delete its own blob.
    writer.write_all(b"xyz").expect("written");
    let late = writer.commit().expect("committed").locator;
    delete(&blobs, &late).expect("deleted");
    assert_eq!(open(&blobs, &late).err().expect("deleted").kind(), ErrorKind::NotFound);
    delete(&blobs, &late).expect("there is none");
    drop(reader);
    assert!(eventually(|| descriptors() <= before), "{} descriptors, {before} before", descriptors());
    drop(blobs);
    assert!(eventually(|| descriptors() <= before));
}
