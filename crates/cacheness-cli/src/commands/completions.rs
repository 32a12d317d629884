//! `cacheness completions SHELL`

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Args, Completions};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Completions, out: &mut Output) -> Result<(), Failure> {
    let script = match args.shell {
        Shell::Bash => include_str!("../shells/cacheness.bash").to_owned(),
        Shell::Zsh => include_str!("../shells/cacheness.zsh").to_owned(),
        Shell::Fish => include_str!("../shells/cacheness.fish").to_owned(),
        // These complete verbs and options, but no keys.
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut Args::command(), "cacheness", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    };
    out.write_all(script.as_bytes())?;
    Ok(())
}
