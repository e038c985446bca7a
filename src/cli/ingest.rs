//! `yesterfs ingest`: what its kinds share.

use std::sync::Arc;

use clap::{Args, Subcommand};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::dump::STATUS_REASON;
use yesterfs::ingest::{IngestOptions, IngestReport};
use yesterfs::progress::{Counters, Monitor};
use yesterfs::repository::Repository;
use yesterfs::repository::metadata::OwnerNames;
use yesterfs::repository::snapshot::SnapshotStatus;
use yesterfs::time::{Timestamp, parse_when};

use super::exit::{CommandResult, Outcome};
use super::invocation::{Invocation, snapshot_name};
use super::output::{Output, counted, human_count, human_duration, human_ratio, human_size};
use super::progress::{Show, Terminal, stderr_line};
use super::snapshots::snapshot_record;

mod dir;
mod dump;
mod mongo;
mod mysql;
mod postgres;
mod stream;

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest dir /export/lake --source lake
  yesterfs ingest mysql --source shop -- mariadb-dump --single-transaction --routines --events --databases shop
  yesterfs ingest postgres --source cluster -- pg_dumpall
  yesterfs ingest mongo --source shop -- mongodump --archive --oplog
  yesterfs ingest mongo --source shop -- mongoexport --db shop --collection orders
  yesterfs ingest stream --source app --name export.json -- app-export --all
  yesterfs ingest mysql --help";

/// Make a snapshot of a directory, of a database dump, or of what commands print
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Ingest {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    Dir(dir::Dir),
    Mongo(mongo::Mongo),
    Mysql(mysql::Mysql),
    Postgres(postgres::Postgres),
    Stream(stream::Stream),
}

pub fn run(args: Ingest, invocation: &Invocation) -> CommandResult {
    let invocation = invocation.for_ingest();
    match args.kind {
        Kind::Dir(args) => dir::run(args, &invocation),
        Kind::Mongo(args) => mongo::run(args, &invocation),
        Kind::Mysql(args) => mysql::run(args, &invocation),
        Kind::Postgres(args) => postgres::run(args, &invocation),
        Kind::Stream(args) => stream::run(args, &invocation),
    }
}

/// Options of every kind of ingest.
#[derive(Args)]
struct SnapshotArgs {
    /// The source whose next snapshot this is: letters, digits, ".", "_" and "-". A new name begins a new source
    #[arg(long)]
    source: String,

    /// Tag the snapshot; may be repeated
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Of when the data is, for what was made before: 2026-11-20, 2026-11-20T09:30, 2h-ago [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Print progress (once a second), problems and at last the snapshot as JSON objects, one a line
    #[arg(long)]
    json: bool,
}

impl SnapshotArgs {
    /// Tells where the snapshot will be the latest of its source, but not the newest.
    fn options(&self, repository: &Repository, terminal: &Terminal, now: Timestamp) -> Result<IngestOptions> {
        let user = OwnerNames::new().user_name(rustix::process::getuid().as_raw());
        let time = self.time.as_ref().map(|text| parse_when(text, now)).transpose()?;
        let catalog = repository.catalog();
        let mut newer = catalog.choices(&self.source).filter(|it| time.is_some_and(|time| it.manifest.started > time));
        if let Some(newer) = newer.next_back() {
            terminal.note(&format!(
                "{} is newer, but {}@latest will be this one, which is added last; times find each",
                snapshot_name(newer),
                self.source,
            ));
        }
        Ok(IngestOptions {
            source: self.source.clone(),
            host: host_name(),
            user: String::from_utf8_lossy(&user).into_owned(),
            tags: self.tag.iter().cloned().collect(),
            time,
        })
    }

    fn start_progress(&self, invocation: &Invocation) -> CommandResult<Arc<Terminal>> {
        invocation.start_progress(if self.json { Show::Json } else { Show::Text }, self.json)
    }

    /// Tells what became of the ingest.
    fn finish(&self, result: Result<IngestReport>, terminal: &Terminal, invocation: &Invocation) -> CommandResult {
        terminal.finish();
        let report = match result {
            // Whatever ended the ingest may have ended the command as well; that it failed then is no news.
            Err(Error::Command { .. } | Error::Incomplete { .. }) if terminal.is_cancelled() => {
                return Err(Error::Interrupted.into());
            }
            result => result?,
        };
        let mut output = Output::default();
        if self.json {
            let counters = terminal.counters();
            let record = snapshot_record(&report.snapshot)
                .put("bytes_read", Counters::get(&counters.bytes_read))
                .put("files_unchanged", Counters::get(&counters.files_unchanged))
                .put("seconds", terminal.elapsed_seconds());
            output.record(&record)?;
        } else if !invocation.quiet {
            print_summary(&report, terminal, &mut output)?;
        }
        output.flush()?;
        Ok(match report.snapshot.manifest.status {
            SnapshotStatus::Partial | SnapshotStatus::Incomplete => Outcome::Partial,
            // Standard input that did not end as told.
            SnapshotStatus::Unverified if report.snapshot.manifest.problems > 0 => Outcome::Partial,
            SnapshotStatus::Complete | SnapshotStatus::Unverified => Outcome::Done,
        })
    }
}

fn print_summary(report: &IngestReport, terminal: &Terminal, output: &mut Output) -> CommandResult<()> {
    let snapshot = &report.snapshot;
    let manifest = &snapshot.manifest;
    // Holes are neither read nor stored.
    let [bytes, data_bytes] = manifest.sizes_bytes();
    let seconds = terminal.elapsed_seconds();
    let unchanged = match Counters::get(&terminal.counters().files_unchanged) {
        0 => String::new(),
        count => format!(" ({} unchanged)", human_count(count)),
    };
    output.line(format!("{} ({}): {}", snapshot_name(snapshot), snapshot.id.short(), manifest.status.name()))?;
    output.line(format!(
        "{}{unchanged}, {}, in {} ({}/s)",
        counted(manifest.files, "file", "files"),
        human_size(bytes),
        human_duration(seconds),
        human_size((data_bytes as f64 / seconds.max(0.001)) as u64),
    ))?;
    output.line(match human_ratio(data_bytes, manifest.bytes_stored) {
        None => "nothing new to store".to_string(),
        Some(ratio) => format!(
            "{} new, stored in {}; all of it is {ratio} as much",
            human_size(manifest.bytes_new),
            human_size(manifest.bytes_stored)
        ),
    })?;
    match manifest.status {
        SnapshotStatus::Complete => {}
        SnapshotStatus::Partial => {
            let problems = counted(manifest.problems, "problem", "problems");
            stderr_line(&format!("yesterfs: {problems}; yesterfs show {} tells of them", snapshot_name(snapshot)));
        }
        SnapshotStatus::Incomplete => {
            let reason = manifest.facts.get(STATUS_REASON).map_or("", String::as_str);
            stderr_line(&format!("yesterfs: the dump is incomplete: {reason}; latest and times do not choose it"));
        }
        SnapshotStatus::Unverified if manifest.facts.contains_key(STATUS_REASON) => {
            let reason = &manifest.facts[STATUS_REASON];
            stderr_line(&format!("yesterfs: nothing shows that the dump is whole: {reason}"));
        }
        SnapshotStatus::Unverified => {
            stderr_line("yesterfs: standard input ended, but nothing shows that its producer was done");
            if manifest.problems == 0 {
                stderr_line(
                    "hint: let yesterfs run the command, after --, or name how its output ends with --expect-end",
                );
            }
        }
    }
    Ok(())
}

/// This machine's name, as the kernel tells it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_string()
}
