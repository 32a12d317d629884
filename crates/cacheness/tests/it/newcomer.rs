//! What a program meets that begins with the README: in a package of its own, with the dependencies that stand there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The dependencies that the README states, with paths from anywhere.
fn dependencies() -> toml::Table {
    let [block] = &blocks("toml")[..] else { panic!("the README has one block for Cargo.toml") };
    let mut manifest: toml::Table = block.parse().unwrap();
    let Some(toml::Value::Table(mut dependencies)) = manifest.remove("dependencies") else { panic!("{block}") };
    for (_, dependency) in &mut dependencies {
        if let Some(path) = dependency.get_mut("path") {
            *path = root().join(path.as_str().unwrap()).to_str().unwrap().into();
        }
    }
    dependencies
}

/// An empty package beside the build artefacts of this test, so that what is compiled already serves.
struct Package {
    directory: tempfile::TempDir,
    target: PathBuf,
    /// Profile that this test was compiled with.
    profile: String,
}

impl Package {
    fn new(name: &str, dependencies: toml::Table) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
        let program = std::env::current_exe().unwrap();
        let of = program.parent().unwrap().parent().unwrap().file_name().unwrap().to_str().unwrap();
        let profile = if of == "debug" { "dev" } else { of }.to_owned();
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ours: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
        let mut dependencies = dependencies;
        // Adds no code: dependencies have the features that they were compiled with.
        let features = toml::Table::from_iter([("path".to_owned(), path(&root().join("crates/workspace-hack")))]);
        dependencies.insert("workspace-hack".to_owned(), features.into());
        let package = toml::toml! {
            version = "0.0.0"
            edition = "2024"
            publish = false
        };
        let mut manifest = toml::Table::new();
        manifest.insert("package".to_owned(), package.into());
        manifest["package"].as_table_mut().unwrap().insert("name".to_owned(), name.into());
        manifest.insert("dependencies".to_owned(), dependencies.into());
        manifest.insert("profile".to_owned(), ours["profile"].clone());
        manifest.insert("workspace".to_owned(), toml::Table::new().into());
        fs::write(directory.path().join("Cargo.toml"), manifest.to_string()).unwrap();
        fs::copy(root().join("Cargo.lock"), directory.path().join("Cargo.lock")).unwrap();
        for folder in ["src", "examples"] {
            fs::create_dir(directory.path().join(folder)).unwrap();
        }
        fs::write(directory.path().join("src/main.rs"), "fn main() {}").unwrap();
        Self { directory, target, profile }
    }

    fn cargo(&self, command: &str, arguments: &[&str]) -> Output {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(command).args(["--quiet", "--offline", "--profile", &self.profile, "--target-dir"]).arg(&self.target);
        // The home of a user who has nothing of ours.
        cargo.args(arguments).current_dir(self.directory.path()).output().unwrap()
    }
}

fn path(path: &Path) -> toml::Value {
    path.to_str().unwrap().into()
}

#[test]
fn the_rust_block_of_the_readme_is_a_program() {
    let package = Package::new("pasted-readme", dependencies());
    let [block] = &blocks("rust")[..] else { panic!("the README has one block of Rust") };
    fs::write(package.directory.path().join("src/main.rs"), block).unwrap();
    let run = package.cargo("run", &[]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Each program of `tests/ui` fails to compile, and the compiler says every sentence that the program expects, in a line
/// that starts with `//~`. What is said names no crate that a user does not depend on.
#[test]
fn what_cannot_be_compiled_says_what_to_write() {
    let package = Package::new("wrong-programs", dependencies());
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        fs::copy(&path, package.directory.path().join("examples").join(path.file_name().unwrap())).unwrap();
        expected.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), source);
    }
    let build = package.cargo("build", &["--examples", "--keep-going", "--message-format=json"]);
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(build.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        if message["reason"] == "compiler-message" {
            let name = message["target"]["name"].as_str().unwrap().to_owned();
            *said.entry(name).or_default() += message["message"]["rendered"].as_str().unwrap();
        }
    }
    assert!(!expected.is_empty());
    for (name, source) in expected {
        let said = said
            .remove(&name)
            .unwrap_or_else(|| panic!("{name} is compiled: {}", String::from_utf8_lossy(&build.stderr)));
        // Sentences are broken into lines nowhere but where a note has several.
        let wanted: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
        assert!(!wanted.is_empty(), "{name} expects nothing");
        for sentence in wanted {
            assert!(said.contains(sentence), "{name} is not told {sentence:?}, but\n{said}");
        }
        for line in said.lines().filter(|line| line.trim_start().starts_with("= ")) {
            assert!(!line.contains("cacheness_core") && !line.contains("cacheness-core"), "{name} is told\n{said}");
        }
    }
}
