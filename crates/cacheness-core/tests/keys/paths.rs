//! Files and directories.

use std::fs;
use std::path::Path;

use cacheness_core::config::SerializationConfig;
use cacheness_core::key::{digest, hash_path, render};
use cacheness_core::{ErrorKind, params};

use crate::{config, key};

#[test]
fn a_path_is_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::write(&one, b"content").unwrap();
    fs::write(&two, b"content").unwrap();
    assert_eq!(key(params! { p: &one }), key(params! { p: two.as_path() }));
    assert_eq!(hash_path(&one).unwrap(), digest::blake3(b"content"));
    fs::write(&two, b"other content").unwrap();
    assert_ne!(key(params! { p: &one }), key(params! { p: &two }));
    let missing = key(params! { p: Path::new("no/such/file.csv") });
    assert_eq!(render(&missing.encoding).unwrap()["p"], "no/such/file.csv");
    let by_name = SerializationConfig { hash_path_content: false, ..config() };
    assert_ne!(params! { p: &one }.key(&by_name).unwrap(), key(params! { p: &one }));
    assert_eq!(hash_path(&dir.path().join("none")).unwrap_err().kind(), ErrorKind::Storage);
}

#[test]
fn a_large_file_is_hashed_in_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..9_000_001_u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
    for len in [0, 1, 4 << 20, (4 << 20) + 1, 8 << 20, content.len()] {
        let path = dir.path().join("file");
        fs::write(&path, &content[..len]).unwrap();
        assert_eq!(hash_path(&path).unwrap(), digest::blake3(&content[..len]), "{len} bytes");
    }
}

#[test]
fn a_directory_is_its_files_and_their_names() {
    let make = |files: &[(&str, &str)]| {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    };
    let files = [("a.txt", "1"), ("sub/b.txt", "2"), ("sub.txt", "3"), ("sub/deep/c", "")];
    let mut reversed = files;
    reversed.reverse();
    let (one, two) = (make(&files), make(&reversed));
    let digest = hash_path(one.path()).unwrap();
    assert_eq!(digest, hash_path(two.path()).unwrap());

    // The listing as the specification describes it.
    let mut listing = Vec::new();
    for (name, content) in [("a.txt", "1"), ("sub.txt", "3"), ("sub/b.txt", "2"), ("sub/deep/c", "")] {
        listing.push(name.len() as u8);
        listing.extend_from_slice(name.as_bytes());
        listing.push(b'f');
        listing.extend_from_slice(&digest::blake3(content.as_bytes()));
    }
    assert_eq!(digest, digest::blake3(&listing));

    fs::create_dir(two.path().join("empty")).unwrap();
    let with_empty = hash_path(two.path()).unwrap();
    assert_ne!(with_empty, digest);
    fs::rename(two.path().join("empty"), two.path().join("Empty")).unwrap();
    assert_ne!(hash_path(two.path()).unwrap(), with_empty);
    fs::rename(one.path().join("a.txt"), one.path().join("b.txt")).unwrap();
    assert_ne!(hash_path(one.path()).unwrap(), digest);
    assert_eq!(hash_path(make(&[]).path()).unwrap(), digest::blake3(b""));
}

#[test]
fn links_and_special_files() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("inside");
    fs::create_dir(&inside).unwrap();
    fs::write(dir.path().join("file"), b"content").unwrap();
    symlink(dir.path().join("file"), dir.path().join("link")).unwrap();
    assert_eq!(hash_path(&dir.path().join("link")).unwrap(), digest::blake3(b"content"));
    symlink("gone", dir.path().join("dangling")).unwrap();
    assert_eq!(
        render(&key(params! { p: dir.path().join("dangling") }).encoding).unwrap()["p"],
        dir.path().join("dangling").to_str().unwrap()
    );
    symlink("..", inside.join("loop")).unwrap();
    let looped = hash_path(&inside).unwrap();
    let listing = [&[4][..], b"loop", b"l", &[2], b".."].concat();
    assert_eq!(looped, digest::blake3(&listing));
    let _socket = UnixListener::bind(inside.join("socket")).unwrap();
    let error = params! { data: [&inside] }.key(&config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyEncoding);
    assert!(error.to_string().starts_with("params.data[0]: "), "{error}");
}
