//! `yesterfs umount`

use std::path::PathBuf;

use clap::Args;
use yesterfs::mount::Unmounted;

use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::progress::stderr_line;

/// Unmount what yesterfs mounted
#[derive(Args)]
pub struct Umount {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// If it is in use, take it out of the tree of names now; it ends when the last file is closed
    #[arg(short, long)]
    lazy: bool,
}

pub fn run(args: Umount, invocation: &Invocation) -> CommandResult {
    match yesterfs::mount::unmount(&args.directory, args.lazy)? {
        Unmounted::Clean => {}
        Unmounted::Lazy if invocation.quiet => {}
        Unmounted::Lazy => stderr_line("yesterfs: it is in use; it ends when the last file there is closed"),
    }
    Ok(Outcome::Done)
}
