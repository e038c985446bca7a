//! What ingests of all kinds of database dumps do alike: the dump is stored as it is, and the files of databases and tables
//! beside it are ranges of it. `docs/semantics.md` section 10 shows the tree. What is known of one kind of dump is a `DumpFormat`.

mod dump_tree;
mod files;
mod meta;
mod needs;
mod original;
mod part_list;
mod ranges;
mod verdict;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

pub use self::meta::STATUS_REASON;
pub use self::original::OriginalPolicy;

pub(super) use self::dump_tree::DumpTree;
pub(super) use self::meta::{Facts, facts, json_file, status};
pub(super) use self::needs::{NeedLine, needs_comment};
pub(super) use self::original::{Original, OriginalKeeper, PIECES_WAITING_MAX};
pub(super) use self::part_list::{PartList, Place};
pub(super) use self::ranges::{extents_of, store_chunk};
pub(super) use self::verdict::{Ending, InputEnd, Verdict};

use self::files::DumpFiles;
use crate::compressed::{UnwrapLimit, Wrapping};
use crate::dump::layout::DUMP_FILE;
use crate::dump::name::file_name;
use crate::error::{Error, Result};
use crate::ingest::input::{OpenInput, StreamInput};
use crate::ingest::{IngestOptions, IngestReport, older_content};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::cut_marks::CutMarks;
use crate::repository::node::Node;
use crate::repository::predecessor::Predecessor;
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{Manifest, Snapshot, SnapshotKind, check_label};
use crate::store::EncodeQueue;
use crate::store::chunker::ChunkSizes;
use crate::time::{Clock, Timestamp};

/// What the ingest of a dump is told.
pub struct DumpOptions {
    pub common: IngestOptions,
    pub input: StreamInput,
    /// The database of what the dump does not say it of; without it, the one that the dump's first lines name.
    pub database: Option<String>,
    /// The database where those name none either.
    pub fallback_database: String,
    /// Make a snapshot of an incomplete dump too.
    pub keep_incomplete: bool,
    /// How much may come out of a dump that is compressed.
    pub unwrap_limit: UnwrapLimit,
    /// What is kept of such a dump besides.
    pub original: OriginalPolicy,
    /// Threads that compress, besides one that reads.
    pub threads: usize,
}

/// What is known of one kind of dump: it reads one dump, says where its parts belong, and what it learned.
pub(super) trait DumpFormat {
    const KIND: SnapshotKind;
    /// For people: which command makes the snapshot.
    const COMMAND: &'static str;

    /// Takes the next piece of the dump, of any length.
    fn push(&mut self, piece: &[u8], notes: &mut Notes);
    /// Nothing follows.
    fn finish(&mut self, notes: &mut Notes);
    /// What the end of the dump shows.
    fn ending(&self) -> Ending;
    /// The database that the dump's first lines name.
    fn database(&self) -> Option<&[u8]>;
    fn facts(&self) -> Facts;
    /// Where replication would go on from this dump, and what made it: a file of JSON.
    fn coordinates(&self) -> Vec<u8>;
    /// What restores the object that these parts are about, by numbers in the order of the dump. Always the same.
    fn restore(&self, list: &PartList, parts: &[u32]) -> Vec<RestorePiece>;
}

/// A piece of the file that restores an object.
pub(super) enum RestorePiece {
    /// These bytes of the dump.
    Dump(Range<u64>),
    /// Other bytes: one chunk.
    Text(Vec<u8>),
}

/// Takes note of the parts of a dump, and has it cut at their edges.
pub(super) struct Notes<'a> {
    list: &'a mut PartList,
    marks: Option<&'a mut CutMarks>,
}

impl Notes<'_> {
    /// A part begins, and the one before ends. It may begin some way before the last byte that was pushed.
    pub fn part(&mut self, start: u64, place: Place) {
        // Shorter parts share a chunk.
        if start >= self.list.last_start() + ChunkSizes::SMALL.min_bytes as u64 {
            self.marks.iter_mut().for_each(|marks| marks.edge(start));
        }
        self.list.begin(start, place);
    }

    /// A row of the present part begins.
    pub fn row(&mut self, start: u64) {
        self.marks.iter_mut().for_each(|marks| marks.row(start));
        self.list.add_row();
    }

    /// Where the present part begins.
    pub fn part_start(&self) -> u64 {
        self.list.last_start()
    }
}

/// Makes one snapshot of one dump.
///
/// # Errors
/// [`Error::Incomplete`] where the dump is not whole and need not be kept, [`Error::Command`] where there is none.
pub(super) fn ingest_dump<F: DumpFormat>(
    format: F,
    repository: &Repository,
    options: DumpOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let DumpOptions { common, input, database, fallback_database, keep_incomplete, unwrap_limit, original, threads } =
        options;
    make_snapshot(repository, F::KIND, F::COMMAND, common, clock, monitor, |reading| {
        let origin = input.describe();
        let mut dump = reading.store_with_help(format, input, unwrap_limit, original, threads)?;
        let verdict = Verdict::of(dump.format.ending(), &dump.ended);
        verdict.accept(&origin, keep_incomplete)?;
        let named = database.map(String::into_bytes).or_else(|| dump.format.database().map(<[u8]>::to_vec));
        dump.parts.finish(dump.content.size, &named.unwrap_or_else(|| fallback_database.into_bytes()));
        let files = DumpFiles { session: reading.session, clock, before: reading.before(), started: reading.started };
        let (root, files) = files.write(&dump, &verdict)?;
        let facts = meta::facts(dump.format.facts(), Some(dump.parts.rows()), &verdict);
        Ok(MadeTree { origin, root, files, verdict, facts })
    })
}

/// What becomes a snapshot.
pub(super) struct MadeTree {
    pub origin: String,
    pub root: Node,
    /// How many files it has.
    pub files: u64,
    pub verdict: Verdict,
    pub facts: BTreeMap<String, String>,
}

/// Makes a snapshot of what `make` stores.
pub(super) fn make_snapshot(
    repository: &Repository,
    kind: SnapshotKind,
    command: &'static str,
    common: IngestOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
    make: impl FnOnce(&DumpReading) -> Result<MadeTree>,
) -> Result<IngestReport> {
    check_label("source", &common.source)?;
    let started = clock();
    let session = WriteSession::open(repository, monitor.counters(), &common.host, command, started)?;
    let parent = last_of(repository, &common.source, kind);
    let relatives = Relatives::new(repository.chunks()?, &repository.catalog(), &common.source);
    let reading = DumpReading { session: &session, parent: parent.as_deref(), relatives, monitor, clock, started };
    match make(&reading) {
        Ok(made) => {
            let manifest = reading.manifest(kind, common, made);
            let snapshot = session.commit(manifest, clock())?;
            Ok(IngestReport { snapshot })
        }
        Err(error) => Err(session.abandon_for(error, clock())),
    }
}

/// The last snapshot of the source whose dump is probably much the same.
fn last_of(repository: &Repository, source: &str, kind: SnapshotKind) -> Option<Arc<Snapshot>> {
    let catalog = repository.catalog();
    let is_dump = |it: &&Arc<Snapshot>| it.manifest.kind == kind || it.manifest.kind == SnapshotKind::Stream;
    catalog.of_source(source).rev().find(is_dump).cloned()
}

/// One ingest.
pub(super) struct DumpReading<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    parent: Option<&'a Snapshot>,
    pub relatives: Relatives<'a>,
    pub monitor: &'a dyn Monitor,
    pub clock: &'a Clock,
    pub started: Timestamp,
}

/// A dump that was stored.
struct StoredDump<F> {
    content: Content,
    parts: PartList,
    format: F,
    ended: InputEnd,
    /// In order of names.
    originals: Vec<Original>,
}

impl DumpReading<'_, '_> {
    /// The root of the snapshot before.
    pub fn before(&self) -> Option<&Node> {
        self.parent.map(|parent| &parent.manifest.root)
    }

    fn manifest(&self, kind: SnapshotKind, common: IngestOptions, made: MadeTree) -> Manifest {
        let counters = self.monitor.counters();
        Counters::add(&counters.files, made.files);
        Manifest {
            source: common.source,
            name: String::new(),
            started: self.started,
            finished: (self.clock)(),
            kind,
            status: made.verdict.status,
            host: common.host,
            user: common.user,
            origin: made.origin.into_bytes(),
            root: made.root,
            witnesses: None,
            parent: self.parent.map(|it| it.id),
            files: made.files,
            has_xattrs: false,
            bytes_new: Counters::get(&counters.bytes_new),
            // The session knows once all is written.
            bytes_stored: 0,
            problems: 0,
            problem_list: Vec::new(),
            tags: common.tags,
            facts: made.facts,
        }
    }

    /// Stores the dump, and what is kept of it as it came, with threads that compress.
    fn store_with_help<F: DumpFormat>(
        &self,
        format: F,
        input: StreamInput,
        limit: UnwrapLimit,
        policy: OriginalPolicy,
        threads: usize,
    ) -> Result<StoredDump<F>> {
        let name = input.file_name().map(|name| file_name(name, ""));
        let mut input = input.open()?;
        let wrapping = input.wrapping(&|| self.monitor.is_cancelled())?;
        let name = |wrapping: Wrapping| name.unwrap_or_else(|| [DUMP_FILE, wrapping.suffix()].concat().into_bytes());
        let Some(wrapping) = wrapping else {
            return std::thread::scope(|scope| {
                self.store(format, input, EncodeQueue::start(scope, self.session.chunks(), threads))
            });
        };
        let has_failed = AtomicBool::new(false);
        let is_given_up = || self.monitor.is_cancelled() || has_failed.load(Ordering::Relaxed);
        let (session, before) = (self.session, self.before());
        let keeper = OriginalKeeper { session, before, name: name(wrapping), is_given_up: &is_given_up };
        let (dump, original) = std::thread::scope(|scope| {
            let queue = EncodeQueue::start(scope, self.session.chunks(), threads);
            if policy == OriginalPolicy::Drop {
                input.unwrap_as(wrapping, limit, None);
                return Ok((self.store(format, input, queue)?, None));
            }
            let (listener, pieces) = sync_channel(PIECES_WAITING_MAX);
            let (keeper, lent) = (&keeper, queue.clone());
            let keeping = scope.spawn(move || match (policy, wrapping) {
                (OriginalPolicy::Rebuild, Wrapping::Gzip) => keeper.keep_recipe(pieces, lent, DUMP_FILE.as_bytes(), 0),
                // Another version of zstd writes other bytes.
                _ => keeper.keep(pieces, lent),
            });
            input.unwrap_as(wrapping, limit, Some(listener));
            let dump = self.store(format, input, queue);
            has_failed.store(dump.is_err(), Ordering::Relaxed);
            let original = keeping.join().unwrap_or(Err(Error::Interrupted));
            Ok((dump?, Some(original?)))
        })?;
        let Some(original) = original else { return Ok(dump) };
        self.session.publish_all((self.clock)())?;
        Ok(StoredDump { originals: vec![keeper.settle(original, &dump.content)?], ..dump })
    }

    fn store<F: DumpFormat>(&self, mut format: F, mut input: OpenInput, queue: EncodeQueue) -> Result<StoredDump<F>> {
        let chunks = self.session.chunks().store();
        let previous = older_content(chunks, self.before(), DUMP_FILE.as_bytes());
        let expected_bytes = previous.as_ref().map_or(0, |content| content.size);
        Counters::add(&self.monitor.counters().bytes_expected, expected_bytes);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut lane = self.session.chunks().data_lane(Some(queue));
        let mut writer =
            ContentWriter::new(&mut lane, self.session, ChunkClass::Small, previous).with_relatives(&self.relatives);
        let mut parts = PartList::default();
        let is_given_up = || self.monitor.is_cancelled();
        let counters = self.monitor.counters();
        input.store(&mut writer, self.session, counters, self.clock, &is_given_up, &mut |piece, marks| {
            format.push(piece, &mut Notes { list: &mut parts, marks: Some(marks) });
        })?;
        let content = writer.finish()?;
        lane.release()?;
        format.finish(&mut Notes { list: &mut parts, marks: None });
        let exit = input.ended(&is_given_up)?;
        if content.size == 0 {
            return Err(input.failed(
                exit.filter(|exit| !exit.success())
                    .map_or_else(|| "produced nothing".to_string(), |exit| format!("failed with {exit}")),
            ));
        }
        let ended = InputEnd { exit, cut_at: input.cut_at() };
        Ok(StoredDump { content, parts, format, ended, originals: Vec::new() })
    }
}
