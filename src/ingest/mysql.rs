//! `ingest mysql`: a snapshot of what `mysqldump` or `mariadb-dump` printed. The dump is stored as it is; the files of
//! databases and tables beside it are ranges of it. `docs/semantics.md` section 10 shows the tree.

mod dump_tree;
mod files;
mod layout;
mod meta;
mod part_list;
mod ranges;

use std::process::ExitStatus;
use std::sync::Arc;

pub use self::meta::STATUS_REASON;

use self::files::DumpFiles;
use self::layout::DUMP_FILE;
use self::part_list::PartList;
use crate::dump::mysql::{DumpEnd, DumpFacts, Event, MysqlDump};
use crate::error::{Error, Result};
use crate::ingest::input::StreamInput;
use crate::ingest::{IngestOptions, IngestReport, older_content};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::cut_marks::CutMarks;
use crate::repository::predecessor::Predecessor;
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{Manifest, Snapshot, SnapshotKind, SnapshotStatus, check_label};
use crate::store::EncodeQueue;
use crate::store::chunker::ChunkSizes;
use crate::time::{Clock, Timestamp};

/// What `ingest mysql` is told.
pub struct MysqlOptions {
    pub common: IngestOptions,
    pub input: StreamInput,
    /// The database of what the dump does not say it of; without it, the one that the banner names.
    pub database: Option<String>,
    /// The database where the banner names none either.
    pub fallback_database: String,
    /// Make a snapshot of an incomplete dump too.
    pub keep_incomplete: bool,
    /// Threads that compress, besides one that reads.
    pub threads: usize,
}

/// Makes one snapshot of one dump.
///
/// # Errors
/// [`Error::Incomplete`] where the dump is not whole and need not be kept, [`Error::Command`] where there is none.
pub fn ingest_mysql(
    repository: &Repository,
    options: MysqlOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    check_label("source", &options.common.source)?;
    let started = clock();
    let session = WriteSession::open(repository, monitor.counters(), &options.common.host, "ingest mysql", started)?;
    let parent = last_of(repository, &options.common.source);
    let relatives = Relatives::new(repository.chunks()?, &repository.catalog(), &options.common.source);
    let reading = DumpReading { session: &session, parent: parent.as_deref(), relatives, monitor, clock };
    match reading.make(options, started) {
        Ok(manifest) => {
            let snapshot = session.commit(manifest, clock())?;
            Ok(IngestReport { snapshot })
        }
        Err(error) => Err(session.abandon_for(error, clock())),
    }
}

/// The last snapshot of the source whose dump is probably much the same.
fn last_of(repository: &Repository, source: &str) -> Option<Arc<Snapshot>> {
    let catalog = repository.catalog();
    let is_dump = |it: &&Arc<Snapshot>| matches!(it.manifest.kind, SnapshotKind::Mysql | SnapshotKind::Stream);
    catalog.of_source(source).rev().find(is_dump).cloned()
}

/// One ingest.
struct DumpReading<'a, 'r> {
    session: &'a WriteSession<'r>,
    parent: Option<&'a Snapshot>,
    relatives: Relatives<'a>,
    monitor: &'a dyn Monitor,
    clock: &'a Clock,
}

/// A dump that was stored.
struct StoredDump {
    content: Content,
    parts: PartList,
    facts: DumpFacts,
    /// How its command ended; `None` where there was none.
    exit: Option<ExitStatus>,
}

/// How whole a dump is, and why.
struct Verdict {
    status: SnapshotStatus,
    reason: Option<String>,
}

impl StoredDump {
    fn verdict(&self) -> Verdict {
        let incomplete = |reason: String| Verdict { status: SnapshotStatus::Incomplete, reason: Some(reason) };
        if let Some(exit) = self.exit.filter(|exit| !exit.success()) {
            return incomplete(format!("its command failed with {exit}"));
        }
        let (status, reason) = match self.facts.end {
            DumpEnd::InStatement => return incomplete("it ends within a statement".into()),
            DumpEnd::NoTrailer => return incomplete("it does not end with \"-- Dump completed\"".into()),
            DumpEnd::Unmarked if self.exit.is_none() => {
                (SnapshotStatus::Unverified, Some("such dumps have no mark at their end".to_string()))
            }
            DumpEnd::Unmarked | DumpEnd::Trailer => (SnapshotStatus::Complete, None),
        };
        Verdict { status, reason }
    }
}

/// Says where the dump is to be cut: between rows, and behind parts that are long enough for a chunk.
fn mark(marks: &mut CutMarks, parts: &PartList, event: &Event) {
    match event {
        Event::Row(start) => marks.row(*start),
        Event::Part(next) if next.start >= parts.last_start() + ChunkSizes::SMALL.min_bytes as u64 => {
            marks.edge(next.start);
        }
        Event::Part(_) | Event::Needs(_) => {}
    }
}

impl DumpReading<'_, '_> {
    fn make(&self, options: MysqlOptions, started: Timestamp) -> Result<Manifest> {
        let MysqlOptions { common, input, database, fallback_database, keep_incomplete, threads } = options;
        let origin = input.describe();
        let mut dump = self.store_with_help(input, threads)?;
        let verdict = dump.verdict();
        if let (SnapshotStatus::Incomplete, Some(reason), false) = (verdict.status, &verdict.reason, keep_incomplete) {
            return Err(Error::Incomplete { input: origin, reason: reason.clone() });
        }
        let named = database.map(String::into_bytes).or_else(|| dump.facts.banner_database.clone());
        dump.parts.finish(dump.content.size, &named.unwrap_or_else(|| fallback_database.into_bytes()));
        let before = self.parent.map(|parent| &parent.manifest.root);
        let files = DumpFiles { session: self.session, clock: self.clock, before, started };
        let (root, count) = files.write(&dump, &verdict)?;
        let counters = self.monitor.counters();
        Counters::add(&counters.files, count);
        Ok(Manifest {
            source: common.source,
            name: String::new(),
            started,
            finished: (self.clock)(),
            kind: SnapshotKind::Mysql,
            status: verdict.status,
            host: common.host,
            user: common.user,
            origin: origin.into_bytes(),
            root,
            witnesses: None,
            parent: self.parent.map(|it| it.id),
            files: count,
            has_xattrs: false,
            bytes_new: Counters::get(&counters.bytes_new),
            // The session knows once all is written.
            bytes_stored: 0,
            problems: 0,
            problem_list: Vec::new(),
            tags: common.tags,
            facts: meta::facts(&dump, &verdict),
        })
    }

    /// Stores the dump, with threads that compress.
    fn store_with_help(&self, input: StreamInput, threads: usize) -> Result<StoredDump> {
        std::thread::scope(|scope| self.store(input, EncodeQueue::start(scope, self.session.chunks(), threads)))
    }

    fn store(&self, input: StreamInput, queue: EncodeQueue) -> Result<StoredDump> {
        let mut input = input.open()?;
        let chunks = self.session.chunks().store();
        let root = self.parent.map(|parent| &parent.manifest.root);
        let previous = older_content(chunks, root, DUMP_FILE.as_bytes());
        let expected_bytes = previous.as_ref().map_or(0, |content| content.size);
        Counters::add(&self.monitor.counters().bytes_expected, expected_bytes);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut lane = self.session.chunks().data_lane(Some(queue));
        let mut writer =
            ContentWriter::new(&mut lane, self.session, ChunkClass::Small, previous).with_relatives(&self.relatives);
        let mut dump = MysqlDump::default();
        let mut parts = PartList::default();
        let is_given_up = || self.monitor.is_cancelled();
        let counters = self.monitor.counters();
        input.store(&mut writer, self.session, counters, self.clock, &is_given_up, &mut |piece, marks| {
            dump.push(piece, &mut |event| {
                mark(marks, &parts, &event);
                parts.note(event);
            });
        })?;
        let content = writer.finish()?;
        lane.release()?;
        let facts = dump.finish(&mut |event| parts.note(event));
        let exit = input.ended(&is_given_up)?;
        if content.size == 0 {
            return Err(input.failed(
                exit.filter(|exit| !exit.success())
                    .map_or_else(|| "produced nothing".to_string(), |exit| format!("failed with {exit}")),
            ));
        }
        Ok(StoredDump { content, parts, facts, exit })
    }
}
