//! `yesterfs umount`

use std::path::PathBuf;

use clap::Args;
use yesterfs::mount::Unmounted;

use super::exit::{CommandResult, Outcome};
use super::invocation::Invocation;
use super::output::printable_path;
use super::progress::stderr_line;

const EXAMPLES: &str = "\
Examples:
  yesterfs umount /mnt/yester";

/// Unmount what yesterfs mounted
///
/// A mount that is in use is detached, and that is said: nobody finds it any more, whoever has files open there can go
/// on reading them, and it ends when the last of them is closed.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Umount {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Do not try to unmount it in order first: detach it at once
    #[arg(short, long)]
    lazy: bool,
}

pub fn run(args: Umount, invocation: &Invocation) -> CommandResult {
    match yesterfs::mount::unmount(&args.directory, args.lazy)? {
        Unmounted::Clean => {}
        Unmounted::Lazy if invocation.quiet => {}
        Unmounted::Lazy => {
            let place = printable_path(&args.directory);
            let why = if args.lazy { "" } else { "is in use, and " };
            stderr_line(&format!(
                "yesterfs: \"{place}\" {why}was detached: nobody finds it any more, and it ends when the last file there \
                 is closed"
            ));
        }
    }
    Ok(Outcome::Done)
}
