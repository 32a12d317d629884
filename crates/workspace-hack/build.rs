//! Exists so that the features of build dependencies count.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
