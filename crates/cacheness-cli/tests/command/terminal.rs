//! The command on a terminal, a real one: what it shows at several widths, where it asks, where it shows progress.
//!
//! `UPDATE_GOLDEN=1 cargo test -p cacheness-cli golden` writes the files of `tests/golden` anew.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cacheness::prelude::*;
use cacheness::{Clock, Timestamp};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use crate::{Place, Ran};

/// A terminal of some columns, and the person in front of it.
pub(crate) struct Terminal<'a> {
    columns: u16,
    answer: String,
    /// Done once, when these words are on the screen and before the answer is given.
    #[allow(clippy::type_complexity)]
    meanwhile: RefCell<Option<(&'static str, Box<dyn FnOnce() + 'a>)>>,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(columns: u16) -> Self {
        Self { columns, answer: String::new(), meanwhile: RefCell::default() }
    }

    pub(crate) fn answer(self, answer: &str) -> Self {
        Self { answer: answer.to_owned(), ..self }
    }

    pub(crate) fn meanwhile(self, words: &'static str, action: impl FnOnce() + 'a) -> Self {
        self.meanwhile.replace(Some((words, Box::new(action))));
        self
    }
}

/// Runs a command with all its ends on a terminal; what is on the screen is the `out` of what it returns.
pub(crate) fn on_terminal(command: &mut Command, terminal: &Terminal<'_>) -> Ran {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&ours).expect("granted");
    unlockpt(&ours).expect("unlocked");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(&name, flags, Mode::empty()).expect("opened");
    let mut modes = tcgetattr(&theirs).expect("modes");
    // What is typed is not shown, and lines end as they are written.
    modes.local_modes.remove(LocalModes::ECHO);
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&theirs, OptionalActions::Now, &modes).expect("set");
    let size = Winsize { ws_row: 24, ws_col: terminal.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).expect("a size");
    let end = || Stdio::from(theirs.try_clone().expect("a copy"));
    command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm-256color").env_remove("COLUMNS");
    let mut child = command.spawn().expect("started");
    drop(theirs);
    // The command holds copies that it would keep the terminal open with.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut ours = std::fs::File::from(ours);
    let mut answer = Some(&terminal.answer).filter(|answer| !answer.is_empty());
    let mut screen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if terminal.meanwhile.borrow().is_none()
            && let Some(answer) = answer.take()
        {
            ours.write_all(answer.as_bytes()).expect("typed");
        }
        // When the last end is closed Linux says so with an error.
        match ours.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => screen.extend_from_slice(&piece[..count]),
        }
        let due = terminal
            .meanwhile
            .borrow()
            .as_ref()
            .is_some_and(|(words, _)| String::from_utf8_lossy(&screen).contains(words));
        if due && let Some((_, action)) = terminal.meanwhile.take() {
            action();
        }
    }
    let status = child.wait().expect("ended");
    assert!(terminal.meanwhile.borrow().is_none(), "never shown: {}", String::from_utf8_lossy(&screen));
    let out = String::from_utf8(screen).expect("UTF-8");
    Ran { code: status.code().expect("no signal"), out, err: String::new() }
}

/// A store with everything that makes a table wide. Nothing in it depends on the time of the day.
fn wide() -> Place {
    let place = Place::new();
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let cache = Cache::builder().directory(place.path("cache")).clock(clock.clone()).open().expect("opened");
    let later = || clock.advance(1_000_000);
    cache.put(&"x".to_owned(), Named(&"long_key_".repeat(112)[..1_000])).expect("put");
    later();
    cache.put(&vec![1, 2, 3], Named("日本語の結果")).expect("put");
    later();
    cache.put(&2.5, Named("escape\u{1b}[2J\u{202e}")).expect("put");
    later();
    let metadata =
        json!({ "stage": "prod", "note": "a sentence that goes on for longer than a terminal is wide", "n": 3 });
    let options = PutOptions::new().metadata(metadata).description("a line about it");
    cache
        .put_with(&ndarray::arr2(&[[1.5, 2.5], [3.5, 4.5]]), params! { model: "ridge", fold: 3 }, options)
        .expect("put");
    later();
    let arguments =
        params! { origin: "EWR", window: 3, columns: ["distance", "duration", "passengers", "fare", "tip"] };
    cache.put(&1, params! { "__function__": "taxi.data.trips", "arguments": arguments }).expect("put");
    later();
    let year = std::time::Duration::from_secs(31_536_000);
    cache.put_with(&2, Named("gone"), PutOptions::new().ttl(year / 100)).expect("put");
    later();
    cache.put_with(&3, Named("lasting"), PutOptions::new().ttl(year * 100)).expect("put");
    cache.close().expect("closed");
    place
}

#[track_caller]
fn golden(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(found, expected, "{name}\n{found}");
}

#[test]
fn golden_tables_fit_the_terminal() {
    let place = wide();
    let key = place.run(&["ls", "-q", "--where", "params.model=ridge"]).done().out;
    for width in [60, 80, 220] {
        for (name, args, words) in [
            ("ls", &["ls"][..], 1),
            ("rm", &["rm", "--older-than", "7d", "--dry-run"], 1),
            ("stats", &["stats"], 0),
            ("info", &["info", key.trim_end()], usize::MAX),
        ] {
            let ran = on_terminal(place.command(args).env("NO_COLOR", "1"), &Terminal::new(width));
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'), "{ran:?}");
            // Words and single values are broken by the terminal, tables are not.
            let lines: Vec<&str> = ran.out.lines().collect();
            let table = &lines[..lines.len().saturating_sub(words)];
            assert!(table.iter().all(|line| line.width() <= usize::from(width)), "{width}: {}", ran.out);
            golden(&format!("{name}_{width}.txt"), &ran.out);
        }
        // What it shows differs from machine to machine.
        let ran = on_terminal(place.command(&["config"]).env("NO_COLOR", "1"), &Terminal::new(width));
        assert!(ran.out.lines().all(|line| line.width() <= usize::from(width)), "{width}: {}", ran.out);
    }
}

#[test]
fn nothing_is_shortened_in_a_pipe() {
    let place = wide();
    let mut command = place.command(&["ls", "--sort", "key"]);
    let ran = Ran::of(command.env("COLUMNS", "40").output().expect("run")).done();
    golden("ls_pipe.txt", &ran.out);
    let long = "long_key_".repeat(112);
    assert!(ran.out.contains(&long[..1_000]), "the whole key");
    assert!(ran.out.contains("longer than a terminal is wide n=3"), "the whole metadata");
    assert!(!ran.out.contains('…'));
    assert_eq!(ran.out.lines().filter(|line| line.width() > 260).count(), 1, "{}", ran.out);
}

#[test]
fn the_width_is_asked_for_in_order() {
    let place = wide();
    let widest = |command: &mut Command, columns: u16| {
        let ran = on_terminal(command, &Terminal::new(columns));
        let table = ran.out.lines().filter(|line| !line.contains(" entries, "));
        table.map(|line| line.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "").width()).max().expect("lines")
    };
    assert!((61..=80).contains(&widest(&mut place.command(&["ls"]), 80)));
    assert!((51..=60).contains(&widest(place.command(&["ls"]).env("COLUMNS", "220"), 60)), "COLUMNS is taken away");
    let narrow = |columns: &str| {
        let mut command = Command::new("env");
        let command = command.arg(format!("COLUMNS={columns}")).arg(env!("CARGO_BIN_EXE_cacheness")).arg("ls");
        widest(command.current_dir(place.0.path()).env_remove("CACHENESS_DIR"), 220)
    };
    assert!((51..=60).contains(&narrow("60")));
    for nonsense in ["", "0", "wide", "-3"] {
        assert!(narrow(nonsense) > 100, "{nonsense}");
    }
    let unknown = widest(&mut place.command(&["ls"]), 0);
    assert!((61..=80).contains(&unknown), "a terminal that does not know its width: {unknown}");
    for columns in 1..60 {
        assert!(widest(&mut place.command(&["ls"]), columns) <= usize::from(columns));
    }
}

#[test]
fn colours_are_for_terminals() {
    let place = wide();
    let ran = on_terminal(&mut place.command(&["ls"]), &Terminal::new(80));
    assert!(ran.out.starts_with("\u{1b}[1mKEY"), "{ran:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = Command::new("env");
        let command = command.arg(format!("{name}={value}")).arg(env!("CARGO_BIN_EXE_cacheness")).arg("ls");
        // A log of CI has colours whatever its TERM says.
        let command = command.current_dir(place.0.path()).env_remove("CACHENESS_DIR").env_remove("CI");
        let ran = on_terminal(command, &Terminal::new(80));
        assert!(ran.out.starts_with("KEY") && !ran.out.contains('\u{1b}'), "{name}: {ran:?}");
    }
    assert!(place.run(&["ls"]).done().out.starts_with("KEY"));
    let ran = on_terminal(&mut place.command(&["get", "nothing"]), &Terminal::new(80));
    assert!(ran.out.contains("\u{1b}[1m\u{1b}[31merror:") || ran.out.contains("\u{1b}[31m"), "{ran:?}");
}

#[test]
fn progress_is_shown_on_a_terminal_and_goes() {
    let place = wide();
    for args in [&["verify"][..], &["rm", "--prefix", "gone", "-y"], &["cleanup"], &["clear", "-y"]] {
        let quiet = on_terminal(&mut place.command(&[args, &["--progress", "never"]].concat()), &Terminal::new(80));
        assert!(quiet.code == 0 && !quiet.out.contains('\r'), "{args:?}: {quiet:?}");
    }
    let place = wide();
    for (args, words) in [
        (&["verify", "--progress", "always"][..], "verifying"),
        (&["rm", "--prefix", "gone", "-y", "--progress", "always"], "removing"),
    ] {
        let ran = on_terminal(&mut place.command(args), &Terminal::new(80));
        let (before, words_at) =
            (ran.out.rfind(words).expect(words), ran.out.trim_end().rfind('\n').map_or(0, |at| at + 1));
        assert!(ran.code == 0 && ran.out.contains('\r'), "{ran:?}");
        assert!(before < words_at || ran.out[before..].contains("\u{1b}[2K"), "the bar is taken away: {ran:?}");
        let piped = place.run(&["verify", "--progress", "always"]).done();
        assert!(!piped.err.contains("verifying") && !piped.err.contains('\u{1b}'), "{piped:?}");
    }
}

#[test]
fn clear_asks_on_a_terminal() {
    let place = wide();
    for (answer, code, words) in [("no\n", 1, "nothing was removed"), ("yes\n", 0, "removed 7 entries")] {
        let ran = on_terminal(&mut place.command(&["clear"]), &Terminal::new(80).answer(answer));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.contains("Remove all 7 entries (") && ran.out.contains(words), "{ran:?}");
    }
    place.run(&["clear"]).failed(2, "there is no terminal");
}
