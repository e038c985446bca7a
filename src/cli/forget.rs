//! `yesterfs forget`

use std::collections::BTreeMap;

use clap::Args;
use yesterfs::Error;
use yesterfs::id::SnapshotId;
use yesterfs::repository::snapshot::Snapshot;

use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, snapshot_name};
use super::output::Output;
use super::snapshots::snapshot_record;

const EXAMPLES: &str = "\
Examples:
  yesterfs forget --dry-run lake~1
  yesterfs forget lake@2026-11-20T100000Z --reason 'made by mistake'";

/// Take snapshots out of the repository's history
///
/// They disappear from lists and mounts. Their data stays: no room is reclaimed yet. Each must be named exactly: by id,
/// as SOURCE@NAME with its name in lists and mounts, as SOURCE@latest or as SOURCE~2.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Forget {
    /// The snapshots: ids, SOURCE@NAME, SOURCE@latest, SOURCE~N
    #[arg(value_name = "SNAP", required = true)]
    snapshots: Vec<String>,

    /// Only show what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Why; it is kept in the repository's history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    /// Print each snapshot as a JSON object
    #[arg(long)]
    json: bool,
}

/// A time means the newest snapshot before it, a source alone its latest: too easily another one than was meant.
fn require_exact(name: &str, snapshot: &Snapshot) -> Result<(), Error> {
    let is_exact = snapshot.id.to_string().starts_with(&name.to_ascii_lowercase())
        || name == snapshot_name(snapshot)
        || name.contains("@latest")
        || name.contains('~');
    if is_exact {
        return Ok(());
    }
    let reason = format!("it may mean {}; give that name, or the id {}", snapshot_name(snapshot), snapshot.id.short());
    Err(Error::invalid("name of a snapshot to forget", name, reason))
}

pub fn run(args: Forget, invocation: &Invocation) -> CommandResult {
    let repository = invocation.open_quietly()?;
    let mut doomed = BTreeMap::new();
    for name in &args.snapshots {
        let snapshot = invocation.snapshot(&repository, name)?;
        require_exact(name, &snapshot)?;
        doomed.insert(snapshot.sequence, snapshot);
    }
    if !args.dry_run {
        let ids: Vec<SnapshotId> = doomed.values().map(|snapshot| snapshot.id).collect();
        repository.forget(&ids, &args.reason, invocation.now)?;
    }
    let verb = if args.dry_run { "would forget" } else { "forgot" };
    let mut output = Output::default();
    for snapshot in doomed.values() {
        if args.json {
            output.record(&snapshot_record(snapshot).put("forgotten", !args.dry_run))?;
        } else {
            output.line(format!("{verb} {} {}", snapshot.id.short(), snapshot_name(snapshot)))?;
        }
    }
    if !args.json && !args.dry_run && !invocation.quiet {
        output.line("their data stays in the repository: no room is reclaimed yet")?;
    }
    output.flush()?;
    Ok(Outcome::Done)
}
