//! Each half finds what the other one has put.

use std::path::Path;
use std::process::Command;

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn both_languages_share_the_entries() {
    let python = std::env::var("CACHENESS_PYTHON")
        .expect("CACHENESS_PYTHON must name a Python that has cacheness installed: run `make test`");
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("team_cache");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../team_cache.py");
    let in_rust = || output(Command::new(env!("CARGO_BIN_EXE_share_team_cache")).arg(&store));

    assert!(output(Command::new(&python).arg(&script).arg(&store)).starts_with("computed 4 of 4 blocks"));
    // Blocks 2 and 3 are there.
    let first = in_rust();
    assert!(first.contains("computed 2 of 4 blocks"), "{first}");
    assert!(first.contains("block 2: 129703 primes up to 5999993"), "{first}");
    let again = in_rust();
    assert!(again.contains("computed 0 of 4 blocks"), "{again}");
}
