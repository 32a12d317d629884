//! The key that signs is replaced while threads put, update and read: no thread waits for the rotation or sees an error, and
//! every acknowledged entry is valid afterwards.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cacheness_core::backend::{EntryUpdate, MetadataBackend};
use cacheness_core::backends::{JsonMetadata, JsonOptions, MemoryBlobs, MemoryMetadata};
use cacheness_core::clock::Clock;
use cacheness_core::config::StoreConfig;
use cacheness_core::entry::Format;
use cacheness_core::payload::{Encoded, Payload, Stored};
use cacheness_core::sign::{SignatureState, SignedFields, Signer};
use cacheness_core::store::{EntryKey, Found, PutAttributes, Store};
use cacheness_testkit::sample;

const ROTATIONS: usize = 30;

fn store(metadata: impl MetadataBackend, blobs: &MemoryBlobs, signer: Signer) -> Store {
    let mut config = StoreConfig { inline_threshold_bytes: 100, ..StoreConfig::default() };
    // Whoever takes a valid entry for a forged one deletes it.
    config.security.delete_invalid_signatures = true;
    config.security.allow_unsigned_entries = false;
    Store::new(Box::new(metadata), Arc::new(blobs.clone()), Some(signer), config, Clock::system())
}

fn name(key: &str) -> EntryKey {
    EntryKey::from_name(key).expect("a name")
}

fn put(store: &Store, key: &str, size: usize) {
    let format = Format { ..sample::inline("", b"").format };
    let payload = Payload::Bytes(vec![7; size].into());
    let encoded = Encoded { format, payload, extension: "bin".into() };
    store.put(&name(key), encoded, PutAttributes::default()).expect("put");
}

fn read(store: &Store, key: &str) -> usize {
    let size = |stored: Stored| stored.into_bytes().map(|bytes| bytes.len());
    match store.read(&name(key), store.read_options(), |_| true, size).expect("a valid entry") {
        Found::Value(size) => size,
        other => panic!("{key}: {other:?}"),
    }
}

/// Writers, readers and rotations on these handles of one store; the keys of all entries.
fn play(handles: &[Store]) -> Vec<String> {
    put(&handles[0], "read", 50);
    put(&handles[0], "updated", 500);
    let handle = |number: usize| &handles[number % handles.len()];
    let (is_over, puts, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut keys = std::thread::scope(|scope| {
        let (is_over, puts, reads) = (&is_over, &puts, &reads);
        let until_over = move |work: &mut dyn FnMut(usize)| {
            (0..).take_while(|_| !is_over.load(Ordering::Acquire)).for_each(work);
        };
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let store = handle(writer);
                scope.spawn(move || {
                    until_over(&mut |number| {
                        let key = format!("{writer}/{}", number % 10);
                        put(store, &key, 20 + 100 * (number % 2));
                        assert!(read(store, &key) >= 20);
                        puts.fetch_add(1, Ordering::Relaxed);
                    });
                    (0..10).map(|number| format!("{writer}/{number}")).collect::<Vec<_>>()
                })
            })
            .collect();
        scope.spawn(move || {
            until_over(&mut |number| {
                let description = Some(Some(format!("{number}")));
                let update = EntryUpdate { description, ..EntryUpdate::default() };
                assert!(handle(1).update_entry("updated", |_| Ok(update.clone())).expect("a valid entry"));
            });
        });
        for reader in 0..3 {
            scope.spawn(move || {
                until_over(&mut |_| {
                    assert_eq!((read(handle(reader), "read"), read(handle(reader), "updated")), (50, 500));
                    reads.fetch_add(1, Ordering::Relaxed);
                });
            });
        }
        for number in 0..ROTATIONS {
            let before = puts.load(Ordering::Relaxed);
            assert!(handle(number).rotate_signing_key().expect("rotated") >= 2);
            while puts.load(Ordering::Relaxed) < before + 3 && !writers.iter().any(|writer| writer.is_finished()) {
                std::thread::yield_now();
            }
        }
        while puts.load(Ordering::Relaxed) < 60 && !writers.iter().any(|writer| writer.is_finished()) {
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(reads.load(Ordering::Relaxed) > 0, "no reader has read");
    keys.extend(["read".to_owned(), "updated".to_owned()]);
    keys
}

fn check(store: &Store, mut keys: Vec<String>) {
    let mut found = Vec::new();
    store
        .for_each("", |summary| {
            let state = store.check_signature(&summary.entry)?;
            assert_eq!(state, SignatureState::Valid, "{}", summary.entry.key);
            found.push(summary.entry.key);
            Ok(())
        })
        .expect("listed");
    keys.retain(|key| !found.contains(key));
    assert!(keys.is_empty(), "{keys:?} are lost");
}

#[test]
fn a_key_in_memory() {
    let signer = Signer::in_memory(SignedFields::ALL).expect("a key");
    let handles = [store(MemoryMetadata::new(), &MemoryBlobs::new(), signer)];
    let keys = play(&handles);
    check(&handles[0], keys);
}

#[test]
fn a_key_in_a_file_and_one_handle() {
    let dir = tempfile::tempdir().expect("a directory");
    let signer = Signer::from_file(&dir.path().join("key"), SignedFields::ALL).expect("a key");
    let handles = [store(MemoryMetadata::new(), &MemoryBlobs::new(), signer)];
    let keys = play(&handles);
    check(&handles[0], keys);
}

#[test]
fn a_key_in_a_file_and_several_handles() {
    let shared = Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.expect("a directory");
    let blobs = MemoryBlobs::new();
    let open = || {
        let metadata = JsonMetadata::open(dir.path().join("entries.json"), JsonOptions::default()).expect("opened");
        store(metadata, &blobs, Signer::from_file(&dir.path().join("key"), SignedFields::ALL).expect("a key"))
    };
    let handles = [open(), open(), open()];
    let keys = play(&handles);
    check(&open(), keys);
    assert_eq!(std::fs::read(dir.path().join("key")).expect("read").len(), 32, "former keys are dropped");
}
