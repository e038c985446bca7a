//! `yesterfs completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::write_out;

/// Write the completions of a shell to standard output
///
/// For bash: yesterfs completions bash > ~/.local/share/bash-completion/completions/yesterfs
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

pub fn run(args: Completions, _: &Invocation) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "yesterfs", &mut script);
    write_out(&script)?;
    Ok(Outcome::Done)
}
