//! Writes the seeds of all targets into `fuzz/corpus`: what is there already stays.
#![allow(missing_docs)]

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for target in cacheness_fuzz::TARGETS {
        let directory = corpus.join(target.name);
        std::fs::create_dir_all(&directory)?;
        for (number, seed) in cacheness_fuzz::seeds::of(target.name).iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
