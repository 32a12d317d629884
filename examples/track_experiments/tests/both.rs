//! Both halves run on one store, each twice, and see the experiments of each other.

use std::path::Path;
use std::process::Command;

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn both_languages_track_experiments_in_one_store() {
    let python = std::env::var("CACHENESS_PYTHON")
        .expect("CACHENESS_PYTHON must name a Python that has cacheness installed: run `make test`");
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("experiments");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiment_tracking.py");
    let in_python = || output(Command::new(&python).arg(&script).arg(&store));
    let in_rust = || output(Command::new(env!("CARGO_BIN_EXE_track_experiments")).arg(&store));

    assert!(in_python().starts_with("ran 6 experiments\n"));
    let rust = in_rust();
    assert!(rust.starts_with("ran 3 experiments\n"), "{rust}");
    assert!(rust.contains("Words of the description:\n  8 experiments\n"), "{rust}");
    let rows = rust.split("of each type:\n").nth(1).expect("the rows of both").lines().collect::<Vec<_>>();
    let expected = [("logistic-1.0", "5 folds"), ("tree-3", "5 folds"), ("neighbours-5", "569 folds")];
    for (row, (name, folds)) in rows.into_iter().zip(expected) {
        assert!(row.trim_start().starts_with(name) && row.ends_with(folds), "{row}: {rust}");
    }
    for again in [in_python(), in_rust()] {
        assert!(again.starts_with("ran 0 experiments\n"), "{again}");
        let types = again.split("by SQL:\n").nth(1).expect("the types");
        for line in ["logistic   3 0.98", "tree       3 0.9", "neighbours 3 0.97"] {
            assert!(types.contains(line), "{again}");
        }
    }
}
