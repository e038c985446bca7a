//! `yesterfs cat`

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::Args;
use yesterfs::error::Error;
use yesterfs::repository::content::{Content, ExtentSource};
use yesterfs::repository::content_reader::ContentReader;
use yesterfs::repository::content_stream::STREAM_MIN_BYTES;
use yesterfs::repository::node::NodeKind;

use super::exit::{CommandResult, Failure, Outcome};
use super::invocation::{Invocation, lossy, processors};
use super::output::unbuffered;

/// Bytes that are read and written at a time.
const PIECE_BYTES: usize = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  yesterfs cat shop:/dump.sql | mariadb shop
  yesterfs cat lake@latest~1:/etc/app.conf";

/// Write files of snapshots to standard output
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Cat {
    /// A file in a snapshot; SNAP is SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP:/PATH", required = true)]
    targets: Vec<OsString>,
}

pub fn run(args: Cat, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let contents = repository.contents()?;
    let mut out = unbuffered()?;
    for name in &args.targets {
        let target = invocation.target(&repository, name)?;
        let NodeKind::File { content, .. } = &target.node.kind else {
            let error = Error::invalid("path", lossy(name), "only regular files can be written out");
            return Err(match target.node.directory() {
                Some(_) => Failure::Hinted { error, hint: format!("yesterfs ls {} lists the directory", lossy(name)) },
                None => error.into(),
            });
        };
        if content.data_bytes < STREAM_MIN_BYTES {
            write_in_pieces(&contents, content, &mut out)?;
        } else {
            contents.stream(content, processors(None), |placed, bytes| {
                let written = match placed.extent.source {
                    ExtentSource::Hole => write_zeros(placed.extent.length, &mut out),
                    ExtentSource::Chunk { .. } => out.write_all(bytes),
                };
                written.map(ControlFlow::Continue).map_err(Failure::from)
            })?;
        }
    }
    Ok(Outcome::Done)
}

fn write_in_pieces(contents: &ContentReader, content: &Content, out: &mut File) -> CommandResult<()> {
    let mut piece = Vec::new();
    let mut offset = 0;
    while offset < content.size {
        piece.clear();
        contents.read(content, offset, PIECE_BYTES, &mut piece)?;
        out.write_all(&piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

fn write_zeros(length: u64, out: &mut File) -> io::Result<()> {
    let zeros = vec![0; length.min(PIECE_BYTES as u64) as usize];
    let mut left = length;
    while left > 0 {
        let piece = left.min(PIECE_BYTES as u64);
        out.write_all(&zeros[..piece as usize])?;
        left -= piece;
    }
    Ok(())
}
