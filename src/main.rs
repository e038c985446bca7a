//! The `yesterfs` program: reads the command line, runs one command, ends with its exit code.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
