//! `get -o`: files that exist, links, devices.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

use cacheness::prelude::*;

use crate::Place;
use crate::terminal::{Terminal, on_terminal};

fn filled() -> Place {
    let place = Place::new();
    place.cache().put(&"new".to_owned(), Named("k")).expect("put");
    place
}

fn read(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path(name)).expect("read")
}

#[test]
fn a_file_is_not_overwritten_without_a_word() {
    let place = filled();
    place.write("out", b"old");
    let ran = place.run(&["get", "k", "-o", "out"]).failed(2, "out exists (3 B), but there is no terminal");
    assert!(ran.err.contains("hint: use --force to overwrite it"), "{ran:?}");
    for answer in ["n\n", "\n", "nonsense\n", "\u{4}"] {
        let ran = on_terminal(&mut place.command(&["get", "k", "-o", "out"]), &Terminal::new(80).answer(answer));
        assert!(ran.code == 1 && ran.out.contains("out exists (3 B). Overwrite it? [y/N]"), "{ran:?}");
        assert!(ran.out.contains("nothing was written"), "{ran:?}");
    }
    assert_eq!(read(&place, "out"), "old");
    let ran = on_terminal(&mut place.command(&["get", "k", "-o", "out"]), &Terminal::new(80).answer("y\n"));
    assert!(ran.code == 0 && read(&place, "out") == "new", "{ran:?}");
    place.write("out", b"old");
    place.run(&["get", "k", "-o", "out", "--force"]).done();
    assert_eq!(read(&place, "out"), "new");
    place.run(&["get", "k", "--force"]).failed(2, "--output");
    // What cannot be read overwrites nothing.
    place.run(&["get", "nothing", "-o", "out", "-f"]).failed(3, "does not exist");
    assert_eq!(read(&place, "out"), "new");
    let left: Vec<_> =
        std::fs::read_dir(place.0.path()).expect("listed").map(|file| file.expect("a file").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".cacheness-")), "{left:?}");
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let place = filled();
    place.write("out", b"old");
    std::fs::set_permissions(place.path("out"), std::fs::Permissions::from_mode(0o640)).expect("set");
    let reader = std::fs::File::open(place.path("out")).expect("opened");
    place.run(&["get", "k", "-o", "out", "-f"]).done();
    assert_eq!(std::io::read_to_string(reader).expect("read"), "old", "whoever has opened the former file reads it on");
    assert_eq!(std::fs::metadata(place.path("out")).expect("there").permissions().mode() & 0o777, 0o640);
}

#[test]
fn links_lead_to_what_is_written() {
    let place = filled();
    std::fs::create_dir(place.path("sub")).expect("made");
    place.write("sub/file", b"old");
    symlink("sub/file", place.path("link")).expect("linked");
    place.run(&["get", "k", "-o", "link"]).failed(2, "link exists");
    place.run(&["get", "k", "-o", "link", "-f"]).done();
    assert!(std::fs::symlink_metadata(place.path("link")).expect("there").is_symlink());
    assert_eq!(read(&place, "sub/file"), "new");
    symlink("later", place.path("sub/dangling")).expect("linked");
    place.run(&["get", "k", "-o", "sub/dangling"]).done();
    assert_eq!(read(&place, "sub/later"), "new");
}

#[test]
fn devices_and_pipes_are_written_to() {
    let place = filled();
    place.run(&["get", "k", "-o", "/dev/null"]).done();
    assert!(std::fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    assert_eq!(place.run(&["get", "k", "-o", "/dev/stdout"]).done().out, "new");
    let mut shell = std::process::Command::new("bash");
    let script = "mkfifo pipe && { cat pipe > out & } && $0 get k -o pipe && wait";
    let done = shell.args(["-c", script, env!("CARGO_BIN_EXE_cacheness")]).current_dir(place.0.path());
    assert!(done.env_remove("CACHENESS_DIR").status().expect("run").success());
    assert_eq!(read(&place, "out"), "new");
}
