//! `yesterfs check`

use std::num::NonZeroUsize;

use clap::Args;
use yesterfs::check::{CheckOptions, CheckReport, Damage, check};

use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, processors};
use super::output::{Output, Record, counted, human_count, human_duration, human_size, printable};
use super::progress::{Show, Terminal};

const EXAMPLES: &str = "\
Examples:
  yesterfs check
  yesterfs check --read-data --json";

/// Check that everything in the repository is whole
///
/// Reads the history, the tables of all packs, and all directories, and looks up every chunk that a file refers to.
/// Damage is named by the snapshots and paths that suffer from it, and the exit status is 4.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Check {
    /// Read and verify every chunk, too: all of the repository is read
    #[arg(long)]
    read_data: bool,

    /// Threads that verify chunks [default: as many as processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print progress, damage and a summary as JSON objects
    #[arg(long)]
    json: bool,
}

pub fn run(args: Check, invocation: &Invocation) -> CommandResult {
    let terminal = invocation.start_progress(if args.json { Show::Json } else { Show::Text }, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let options = CheckOptions { read_data: args.read_data, threads: processors(args.threads) };
    let result = check(&repository, options, terminal.as_ref());
    terminal.finish();
    let report = result?;
    let mut output = Output::default();
    for damage in &report.damages {
        if args.json {
            output.record(&damage_record(damage))?;
        } else {
            output.line(damage_line(damage))?;
        }
    }
    if args.json {
        output.record(&summary_record(&report, &terminal))?;
    } else {
        print_summary(&report, &args, invocation, &terminal, &mut output)?;
    }
    output.flush()?;
    Ok(if report.is_sound() { Outcome::Done } else { Outcome::Damaged })
}

const WHAT_TO_DO: &str = "hint: ingest the sources again, directories with --reread: what they still hold is stored \
                          again, for old snapshots too. What is lost stays listed, without a snapshot that needs it";

fn damage_line(damage: &Damage) -> String {
    let place = match (&damage.snapshot, &damage.path) {
        (Some(snapshot), Some(path)) => format!("{snapshot}:/{}: ", printable(path)),
        (Some(snapshot), None) => format!("{snapshot}: "),
        (None, _) => String::new(),
    };
    format!("{place}{}: {}", damage.object, damage.reason)
}

fn damage_record(damage: &Damage) -> Record {
    let record = Record::new("damage").put("snapshot", damage.snapshot.clone());
    let record = match &damage.path {
        Some(path) => record.put_bytes("path", &[b"/", &path[..]].concat()),
        None => record,
    };
    record.put("object", damage.object.as_str()).put("reason", damage.reason.as_str())
}

fn print_summary(
    report: &CheckReport,
    args: &Check,
    invocation: &Invocation,
    terminal: &Terminal,
    output: &mut Output,
) -> CommandResult<()> {
    let unnamed = report.damage_count.saturating_sub(report.damages.len() as u64);
    if unnamed > 0 {
        output.line(format!("and {} more", counted(unnamed, "damage", "damages")))?;
    }
    if invocation.quiet {
        return Ok(());
    }
    let chunks = match args.read_data {
        true => format!("{}, {} verified", counted(report.chunks, "chunk", "chunks"), human_count(report.chunks_read)),
        false => counted(report.chunks, "chunk", "chunks"),
    };
    output.line(format!(
        "{}, {}, {}; {chunks}, {} in {}; {}",
        counted(report.records, "record", "records"),
        counted(report.snapshots, "snapshot", "snapshots"),
        counted(report.entries, "entry", "entries"),
        human_size(report.bytes),
        counted(report.packs, "pack", "packs"),
        human_duration(terminal.elapsed_seconds()),
    ))?;
    if report.packs_unreferenced > 0 {
        let packs = counted(report.packs_unreferenced, "pack", "packs");
        output.line(format!("{packs} that no record names: of an ingest that runs, or that was interrupted"))?;
    }
    output.line(match report.damage_count {
        0 => "no damage".to_string(),
        count => format!("{}\n{WHAT_TO_DO}", counted(count, "damage", "damages")),
    })?;
    Ok(())
}

fn summary_record(report: &CheckReport, terminal: &Terminal) -> Record {
    Record::new("summary")
        .put("sound", report.is_sound())
        .put("damages", report.damage_count)
        .put("rebuilt", report.rebuilt.clone())
        .put("records", report.records)
        .put("snapshots", report.snapshots)
        .put("entries", report.entries)
        .put("pages", report.pages)
        .put("packs", report.packs)
        .put("chunks", report.chunks)
        .put("bytes", report.bytes)
        .put("chunks_read", report.chunks_read)
        .put("packs_unreferenced", report.packs_unreferenced)
        .put("seconds", terminal.elapsed_seconds())
}
