//! Keys and options completed by the shell: in bash, which tests can rely on. `cacheness __complete`, which the scripts of
//! all shells ask, is tested by itself.

use std::process::Command;

use cacheness::prelude::*;

use crate::terminal::{Terminal, on_terminal};
use crate::{Place, Ran};

fn filled() -> Place {
    let place = Place::new();
    for (directory, names) in
        [("cache", &["model_a", "model_b", "other", "with space", "co:lon", "eq=ual"][..]), ("results", &["report"])]
    {
        let cache = Cache::open(place.path(directory)).expect("opened");
        for name in names {
            cache.put(&1, Named(name)).expect("put");
        }
        let arguments = params! { origin: "EWR" };
        cache.put(&1, params! { "__function__": "taxi.trips", "arguments": arguments }).expect("put");
    }
    std::fs::create_dir(place.path("without")).expect("made");
    place
}

/// The candidates for the last word.
fn candidates(place: &Place, words: &[&str]) -> Vec<String> {
    let ran = place.run(&[&["__complete", "--", "cacheness"], words].concat()).done();
    assert_eq!(ran.err, "");
    ran.out.lines().map(|line| line.split('\t').next().expect("a value").to_owned()).collect()
}

#[test]
fn words_become_what_fits() {
    let place = filled();
    assert_eq!(candidates(&place, &["get", "mod"]), ["model_a", "model_b"]);
    assert_eq!(candidates(&place, &["info", "mod"]), ["model_a", "model_b"]);
    assert_eq!(candidates(&place, &["rm", "model_a", "mod"]), ["model_a", "model_b"]);
    assert_eq!(candidates(&place, &["get", "results", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["rm", "results", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["rm", "results", "report", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["-d", "results", "get", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["get", "--dir", "results", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["get", "--dir=results", "re"]), ["report"]);
    assert_eq!(candidates(&place, &["get", "res"]), ["results/"], "a directory that holds a store");
    assert_eq!(candidates(&place, &["get", "wi"]), ["with space"], "not one that does not");
    assert_eq!(candidates(&place, &["ls", "--type", "da"]), ["dataframe"]);
    assert_eq!(candidates(&place, &["rm", "--function", ""]), ["taxi.trips"]);
    assert_eq!(candidates(&place, &["ls", "results", "--function", "taxi"]), ["taxi.trips"]);
    assert_eq!(candidates(&place, &["ls", "--sort", "c"]), ["created"]);
    let options = PutOptions::new().metadata(serde_json::json!({ "accuracy": 0.9, "a.b": 1, "with space": 2 }));
    let tagged = options.tags(["eu", "euro", "us"]);
    Cache::open(place.path("tagged")).expect("opened").put_with(&1, params! { fold: 1 }, tagged).expect("put");
    assert_eq!(candidates(&place, &["ls", "tagged", "--tag", "eu"]), ["eu", "euro"]);
    assert_eq!(candidates(&place, &["ls", "tagged", "--where", "a"]), ["a\\.b", "accuracy"]);
    assert_eq!(candidates(&place, &["ls", "tagged", "--where", "params."]), ["params.fold"]);
    assert_eq!(candidates(&place, &["ls", "tagged", "--where", "entry.file_s"]), ["entry.file_size"]);
    assert_eq!(candidates(&place, &["ls", "tagged", "--sort", "-acc"]), ["-accuracy"]);
    assert_eq!(candidates(&place, &["tag", "a"]), ["add"]);
    assert_eq!(candidates(&place, &["veri"]), ["verify"]);
    assert!(candidates(&place, &["get", "--"]).contains(&"--force".to_owned()));
    assert!(candidates(&place, &[""]).iter().all(|verb| verb != "__complete"));
    assert!(candidates(&place, &["stats", "w"]).contains(&"without/".to_owned()));
    assert_eq!(candidates(&place, &["get", "-d", "missing", "m"]), [""; 0], "no store, no keys, no words");
    let mut command = place.command(&["__complete", "--", "cacheness", "get", "re"]);
    let ran = Ran::of(command.env("CACHENESS_DIR", "results").output().expect("run")).done();
    assert_eq!(ran.out.lines().next(), Some("report\tplain, 1 B"));
    let described = place.run(&["__complete", "--", "cacheness", "get", ""]).done().out;
    assert!(described.contains("\ttaxi.trips(origin=\"EWR\")\n"), "{described}");
}

#[test]
fn keys_that_no_shell_can_take_are_left_out() {
    let place = Place::new();
    let cache = place.cache();
    for name in ["line\nbreak", "tab\tkey", "esc\u{1b}", "fine"] {
        cache.put(&1, Named(name)).expect("put");
    }
    let keys = |word: &str| {
        let all = candidates(&place, &["get", "-d", "cache", word]);
        all.into_iter().filter(|candidate| !candidate.starts_with("--")).collect::<Vec<_>>()
    };
    assert_eq!(keys(""), ["fine"]);
    for i in 0..500 {
        cache.put(&i, Named(&format!("k{i:03}"))).expect("put");
    }
    assert_eq!(keys("k").len(), 200, "no more than a person reads");
}

/// An interactive bash on a terminal: types `line` and a tab, and returns the words that bash has then.
fn typed_in_bash(place: &Place, line: &str) -> String {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_cacheness")).parent().expect("a directory");
    let script = "source <(cacheness completions bash)\n";
    place.write("rc", script.as_bytes());
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--rcfile", "rc", "-i"]).current_dir(place.0.path());
    let path = std::env::var("PATH").expect("a path");
    bash.env("PATH", format!("{}:{path}", bin.display())).env_remove("CACHENESS_DIR").env("HISTFILE", "/dev/null");
    bash.env("INPUTRC", "/dev/null");
    // Back to the beginning of the line, so that its words are printed instead of run.
    let keys = format!("{line}\t\u{1}printf '%s|' \u{5} > words\nexit\n");
    on_terminal(&mut bash, &Terminal::new(200).answer(&keys));
    std::fs::read_to_string(place.path("words")).expect("printed")
}

#[test]
fn bash_completes_keys() {
    let place = filled();
    for (line, words) in [
        ("cacheness get oth", "cacheness|get|other|"),
        ("cacheness get mod", "cacheness|get|model_|"),
        ("cacheness rm model_a oth", "cacheness|rm|model_a|other|"),
        ("cacheness get results rep", "cacheness|get|results|report|"),
        ("cacheness -d results info rep", "cacheness|-d|results|info|report|"),
        ("cacheness get with", "cacheness|get|with space|"),
        ("cacheness get 'with", "cacheness|get|with space|"),
        ("cacheness get co", "cacheness|get|co:lon|"),
        ("cacheness get co:l", "cacheness|get|co:lon|"),
        ("cacheness get eq", "cacheness|get|eq=ual|"),
        ("cacheness get eq=u", "cacheness|get|eq=ual|"),
        ("cacheness veri", "cacheness|verify|"),
        ("cacheness ls --sort=cr", "cacheness|ls|--sort=created|"),
        ("cacheness put rc --key x -o nothing", "cacheness|put|rc|--key|x|-o|nothing|"),
        ("cacheness stats resu", "cacheness|stats|results/|"),
        ("cacheness get '$(touch pwned)", "cacheness|get|$(touch pwned)|"),
    ] {
        let line_closed = if line.contains("'$") { format!("{line}'") } else { line.to_owned() };
        assert_eq!(typed_in_bash(&place, &line_closed), words, "{line}");
    }
    assert!(!place.path("pwned").exists(), "nothing that is typed is run");
}

#[test]
fn every_shell_has_a_script() {
    let place = Place::new();
    for (shell, word) in [
        ("bash", "complete -o bashdefault -o default -F _cacheness cacheness"),
        ("zsh", "#compdef cacheness"),
        ("fish", "complete --command cacheness"),
        ("elvish", "edit:completion:arg-completer[cacheness]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = place.run(&["completions", shell]).done().out;
        assert!(script.contains(word), "{shell}");
        if matches!(shell, "bash" | "zsh" | "fish") {
            assert!(script.contains("__complete"), "{shell}");
        } else {
            assert!(!script.contains("__complete"), "{shell}");
        }
    }
    place.run(&["completions", "cmd"]).failed(2, "bash");
}
