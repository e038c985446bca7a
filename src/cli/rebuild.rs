//! `yesterfs rebuild`

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use yesterfs::error::Error;
use yesterfs::rebuild::rebuild_original;
use yesterfs::repository::Repository;
use yesterfs::repository::snapshot::Snapshot;

use super::exit::{CommandResult, Failure, Outcome};
use super::invocation::Invocation;
use super::output::unbuffered;

const EXAMPLES: &str = "\
Examples:
  yesterfs rebuild shop@yesterday > shop.sql.gz
  yesterfs rebuild shop@2026-11-20 shop.sql.gz --output /tmp/shop.sql.gz";

/// Write the compressed dump, or the archive, that a snapshot was made of, byte for byte
///
/// What makes it again is in the snapshot, in _original, unless it was ingested with --original=drop, or was compressed by bzip2, xz
/// or lz4 and ingested without --original=keep. What comes is compared with
/// the hash of what was ingested: where it is another file, the exit code is 4.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Rebuild {
    /// The snapshot: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP")]
    snapshot: String,

    /// The name that the file had; needed where the snapshot was made of several
    #[arg(value_name = "NAME")]
    name: Option<OsString>,

    /// Write it here, to a file that is new, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub fn run(args: Rebuild, invocation: &Invocation) -> CommandResult {
    if args.output.is_none() && io::stdout().is_terminal() {
        let hint = "name a file with --output FILE, or pipe it into a program";
        return Err(Failure::Usage { problem: "compressed data does not belong on a terminal", hint });
    }
    let repository = invocation.open_quietly()?;
    let snapshot = invocation.snapshot(&repository, &args.snapshot)?;
    let name = args.name.as_deref().map(OsStrExt::as_bytes);
    let Some(path) = args.output else {
        write(&repository, &snapshot, name, unbuffered()?, Path::new("standard output"))?;
        return Ok(Outcome::Done);
    };
    let file = File::create_new(&path).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { what: "file", name: path.to_string_lossy().into_owned() },
        _ => Error::io("create", &path)(cause),
    })?;
    let written = write(&repository, &snapshot, name, file, &path);
    if written.is_err() {
        // What failed is the cause, whatever becomes of the rest.
        let _ = std::fs::remove_file(&path);
    }
    written.map(|()| Outcome::Done)
}

fn write(
    repository: &Repository,
    snapshot: &Snapshot,
    name: Option<&[u8]>,
    mut to: File,
    path: &Path,
) -> CommandResult<()> {
    let mut closed = None;
    let written = rebuild_original(repository, snapshot, name, &mut |bytes| {
        to.write_all(bytes).map_err(|cause| {
            let again = io::Error::from(cause.kind());
            closed = Some(cause);
            Error::io("write", path)(again)
        })
    });
    match closed {
        Some(cause) if path == Path::new("standard output") => Err(Failure::Output(cause)),
        _ => Ok(written?),
    }
}
