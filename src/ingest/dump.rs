//! What ingests of all kinds of database dumps do alike: the dump is stored as it is, and the files of databases and tables
//! beside it are ranges of it. `docs/semantics.md` section 10 shows the tree. What is known of one kind of dump is a `DumpFormat`.

mod archive;
mod container;
mod directory;
mod dump_tree;
mod few_names;
mod files;
mod form;
mod kind;
mod meta;
mod need_list;
mod needs;
mod original;
mod part_list;
mod ranges;
mod reading;
mod verdict;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use self::form::DumpForm;
pub use self::meta::STATUS_REASON;
pub use self::original::OriginalPolicy;
pub use self::verdict::COMMAND_FAILED;

pub(super) use self::archive::frame_name;
pub(super) use self::container::Container;
pub(super) use self::dump_tree::DumpTree;
pub(super) use self::form::{DirectoryForm, form_of_directory};
pub(super) use self::kind::{BEGINNING_BYTES, refuse_other_kind};
pub(super) use self::meta::{Facts, coordinates_of_all, facts, facts_of_all, input_line, json_file, status};
pub(super) use self::need_list::NeedList;
pub(super) use self::needs::{NeedLine, needs_comment};
pub(super) use self::original::{
    KeptForm, Original, OriginalKeeper, PIECES_WAITING_MAX, WrappedOriginal, unwrap_and_listen,
};
pub(super) use self::part_list::{ObjectPath, PartList, Place};
pub(super) use self::ranges::{extents_of, store_chunk};
pub(super) use self::reading::{StoredDumps, StoredMember, TextReading};
pub(super) use self::verdict::{Ending, InputEnd, Verdict};

use self::files::DumpFiles;
use crate::compressed::UnwrapLimit;
use crate::dump::layout::DUMP_FILE;
use crate::dump::mysql::tab::FieldForm;
use crate::dump::unpack::{ArchiveEnd, ArchiveReader, DirectoryReader};
use crate::error::Result;
use crate::id::hash;
use crate::ingest::input::StreamInput;
use crate::ingest::{IngestOptions, IngestReport, note_other_kind};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::cut_marks::CutMarks;
use crate::repository::node::Node;
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{DUMP_BYTES, Manifest, Snapshot, SnapshotKind, check_label};
use crate::store::chunker::ChunkSizes;
use crate::time::{Clock, Timestamp};

/// What the ingest of a dump is told.
pub struct DumpOptions {
    pub common: IngestOptions,
    /// In the order in which they are stored, after one another.
    pub inputs: Vec<DumpInput>,
    pub rules: DumpRules,
    /// Threads that compress, besides one that reads.
    pub threads: usize,
}

/// Where a dump comes from; it may be several, after one another.
pub struct DumpInput {
    /// What it is called; without it, as its file or command.
    pub name: Option<String>,
    pub input: StreamInput,
    /// The database of what neither the dump nor [`DumpRules::database`] tells one for.
    pub fallback_database: String,
}

/// How dumps are taken.
#[derive(Debug, Clone, Default)]
pub struct DumpRules {
    /// The database of what a dump does not say it of; without it, the one that the dump's first lines name.
    pub database: Option<String>,
    /// How each is written; without it, as it looks.
    pub form: Option<DumpForm>,
    /// Make a snapshot of an incomplete dump too.
    pub keep_incomplete: bool,
    /// How much may come out of a dump that is compressed.
    pub unwrap_limit: UnwrapLimit,
    /// What is kept of such a dump besides.
    pub original: OriginalPolicy,
    /// Leave definers out of what restores tables, where the kind of dump tells some.
    pub restore_without_definer: bool,
    /// How rows stand in files of their own, where a dump of MySQL has such.
    pub rows: FieldForm,
}

/// What is known of one kind of dump: it reads one dump, says where its parts belong, and what it learned.
pub(super) trait DumpFormat: Sized {
    const KIND: SnapshotKind;
    /// For people: which command makes the snapshot.
    const COMMAND: &'static str;

    /// What reads a dump that begins there in the text of all. Places that it tells count from the beginning of that.
    fn beginning_at(start: u64, rules: &DumpRules) -> Self;
    /// What makes text of a dump that begins so, if it is an archive. The key keeps a client from running what a server slipped
    /// into it.
    fn archive(_first: &[u8], _key: &str, _rules: &DumpRules) -> Option<Box<dyn ArchiveReader>> {
        None
    }
    /// How a dump is written that begins so.
    fn form(first: &[u8]) -> DumpForm;
    /// The same of a directory, which may be told; `None` where it is no dump of that form.
    fn form_of_directory(directory: &Path, told: Option<DumpForm>) -> Option<DumpForm>;
    /// What makes text of a directory of this form.
    fn directory(path: &Path, form: DumpForm, key: &str, rules: &DumpRules) -> Result<Box<dyn DirectoryReader>>;
    /// What a dump is called in the snapshot that begins so.
    fn dump_file(_first: &[u8]) -> &'static str {
        DUMP_FILE
    }
    /// The text was made of this.
    fn note_archive(&mut self, _archive: ArchiveEnd) {}
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

    /// Another dump begins in the same input.
    pub fn next_dump(&mut self) {
        self.list.next_dump();
    }

    /// A row of the present part begins.
    pub fn row(&mut self, start: u64) {
        self.marks.iter_mut().for_each(|marks| marks.row(start));
        self.list.add_row();
    }

    /// All parts so far.
    pub fn list(&mut self) -> &mut PartList {
        self.list
    }
}

/// Makes one snapshot of one dump, or of several.
///
/// # Errors
/// [`Error::Incomplete`] where one is not whole and need not be kept, [`Error::Command`] where there is none,
/// [`Error::Invalid`] where two dump the same database.
pub(super) fn ingest_dump<F: DumpFormat>(
    repository: &Repository,
    options: DumpOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let DumpOptions { common, inputs, rules, threads } = options;
    make_snapshot(repository, F::KIND, F::COMMAND, common, clock, monitor, |reading| {
        let origin = inputs.iter().map(|input| input.input.describe()).collect::<Vec<_>>().join("\n");
        let texts = TextReading { reading, rules, key: key_of(repository) };
        let dumps = texts.store::<F>(inputs, threads).and_then(|dumps| texts.settle(dumps))?;
        write_tree(reading, &dumps, origin)
    })
}

/// Writes the files of dumps that were stored, which came from there.
pub(super) fn write_tree<F: DumpFormat>(
    reading: &DumpReading,
    dumps: &StoredDumps<F>,
    origin: String,
) -> Result<MadeTree> {
    let verdict = dumps.verdict();
    let DumpReading { session, clock, started, .. } = *reading;
    let files = DumpFiles { session, clock, before: reading.before(), started };
    let (root, files) = files.write(dumps, &verdict)?;
    let told = facts_of_all(dumps.inputs.iter().map(|input| input.format.facts()));
    let mut facts = facts(told, Some(dumps.parts.rows()), &verdict);
    facts.insert(DUMP_BYTES.to_string(), dumps.content.size.to_string());
    Ok(MadeTree { origin, root, files, verdict, facts })
}

/// What no server knows that is dumped into this repository, and is always the same.
fn key_of(repository: &Repository) -> String {
    let digest = hash(&[b"restrict ", &repository.id().0[..]].concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
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
    let opened = clock();
    let started = common.time_of_data(opened)?;
    let session = WriteSession::open(repository, monitor.counters(), &common.host, command, opened)?;
    note_other_kind(repository, &common.source, kind, monitor);
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

impl DumpReading<'_, '_> {
    /// The root of the snapshot before.
    pub fn before(&self) -> Option<&Node> {
        self.parent.map(|parent| &parent.manifest.root)
    }

    /// What keeps a file of this name as it came.
    pub fn keeper(&self, name: Vec<u8>) -> OriginalKeeper<'_, '_> {
        let (session, before, monitor) = (self.session, self.before(), self.monitor);
        OriginalKeeper { session, before, monitor, name, has_failed: AtomicBool::new(false) }
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
}
