//! `yesterfs init`

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use yesterfs::error::{Error, Result};
use yesterfs::repository::Repository;
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::compress::Compression;

use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, lossy};
use super::output::{Output, Record, printable_path};

const EXAMPLES: &str = "\
Examples:
  yesterfs init /srv/yester
  export YESTERFS_REPO=/srv/yester; yesterfs init
  yesterfs init --compression zstd /srv/yester";

/// Make a new, empty repository
///
/// The directory is created if it does not exist; it must be empty if it does.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Init {
    /// Directory of the repository; --repo and YESTERFS_REPO name it as well
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Compress so: lz4 (fast), zstd (a third smaller, slower), or zstd:LEVEL from 1 to 19; config changes it later
    #[arg(long, value_name = "HOW", default_value_t)]
    compression: Compression,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Init, invocation: &Invocation) -> CommandResult {
    let directory = match args.directory {
        Some(directory) => directory,
        None => invocation.repository_directory()?,
    };
    refuse_unless_empty(&directory)?;
    let id = Repository::init(&LocalBackend::new(&directory), invocation.now)?;
    if args.compression != Compression::default() {
        invocation.within(&directory).open_quietly()?.change_compression(args.compression, invocation.now)?;
    }
    let mut output = Output::default();
    if args.json {
        output.record(&Record::new("repository").put("id", id.to_string()).put_path("directory", &directory))?;
    } else if !invocation.quiet {
        output.line(format!("repository {id} made in \"{}\"", printable_path(&directory)))?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}

/// A repository shares its directory with nothing else. One that is there already is for the library to tell.
fn refuse_unless_empty(directory: &Path) -> Result<()> {
    if directory.join("config").exists() {
        return Ok(());
    }
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("list", directory))?,
    };
    for entry in entries {
        let name = entry.map_err(Error::io("list", directory))?.file_name();
        if name != "lost+found" {
            let reason = format!("it is not empty, \"{}\" is in it", printable_path(&name));
            return Err(Error::invalid("directory", lossy(directory.as_os_str()), reason));
        }
    }
    Ok(())
}
