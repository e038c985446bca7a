//! `yesterfs cat`

use std::ffi::OsString;
use std::io::Write;
use std::ops::ControlFlow;

use clap::Args;
use yesterfs::error::Error;
use yesterfs::repository::node::NodeKind;

use super::exit::{CommandResult, Failure, Outcome};
use super::invocation::{Invocation, lossy, processors};
use super::output::unbuffered;

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
        contents.each_piece(content, processors(None), |piece| {
            out.write_all(piece).map(ControlFlow::Continue).map_err(Failure::from)
        })?;
    }
    Ok(Outcome::Done)
}
