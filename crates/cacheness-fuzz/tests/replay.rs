//! The corpora of `fuzz/corpus`, and a bounded number of mutations of them with a fixed seed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cacheness_fuzz::mutate::Mutator;
use cacheness_fuzz::{TARGETS, Target, seeds};

/// The inputs that are kept for a target, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    let mut paths: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs the target on the input, and shows the input if something does not hold.
fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{}: this input fails: {hex}", target.name);
        std::panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let corpus = corpus(target);
    assert!(corpus.len() >= 5, "{name} has a corpus");
    assert!(corpus.iter().map(Vec::len).sum::<usize>() < 300_000, "{name} has a small corpus");
    corpus.iter().for_each(|input| run(target, input));
    // `make soak` goes on with other seeds.
    let seeds = std::env::var("CACHENESS_SOAK").map_or(1, |times| times.parse::<u64>().unwrap());
    for seed in 0..seeds {
        let mut mutator = Mutator::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * seed + 1));
        for _ in 0..target.iterations {
            let (input, other) = (mutator.below(corpus.len()), mutator.below(corpus.len()));
            let input = mutator.mutate(&corpus[input], &corpus[other]);
            run(target, &input);
        }
    }
}

#[test]
fn keys() {
    replay("keys");
}

#[test]
fn plain() {
    replay("plain");
}

#[test]
fn frames() {
    replay("frames");
}

#[test]
fn arrays() {
    replay("arrays");
}

#[test]
fn tables() {
    replay("tables");
}

#[test]
fn rows() {
    replay("rows");
}

#[test]
fn filters() {
    replay("filters");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn seeds_are_what_this_release_writes() {
    for target in TARGETS {
        let seeds = seeds::of(target.name);
        assert!(seeds.len() >= 5, "{}", target.name);
        seeds.iter().for_each(|seed| run(target, seed));
    }
}

#[test]
fn mutations_are_the_same_for_the_same_seed() {
    let inputs = |seed| {
        let mut mutator = Mutator::new(seed);
        (0..100).map(|_| mutator.mutate(b"some input", b"another")).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(3));
}
