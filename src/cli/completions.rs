//! `yesterfs completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::write_out;

const EXAMPLES: &str = "\
Examples:
  yesterfs completions bash > ~/.local/share/bash-completion/completions/yesterfs
  yesterfs completions zsh > ~/.zfunc/_yesterfs
  yesterfs completions fish > ~/.config/fish/completions/yesterfs.fish";

/// Write the completions of a shell to standard output
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Completions {
    /// The shell that reads them
    shell: Shell,
}

pub fn run(args: Completions, _: &Invocation) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "yesterfs", &mut script);
    write_out(&script)?;
    Ok(Outcome::Done)
}
