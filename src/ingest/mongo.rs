//! `ingest mongo`: a snapshot of what `mongodump` wrote: the files of a directory, or an archive, which is taken apart into the
//! same files; or of what `mongoexport` wrote. `docs/semantics.md` section 12 shows the tree.

mod archive;
mod archives;
mod container;
mod directory;
mod exports;
mod files;
mod layout;
mod meta;
mod older;
mod originals;
mod plain_file;
mod tool;
mod written;

use std::path::PathBuf;

pub use self::archives::ArchiveInput;
pub use self::exports::{ExportInput, ExportOf};
pub use self::meta::OPLOG_LAST;
pub use self::tool::ToolCommand;
pub use self::written::Written;

use self::archives::OpenArchive;
use self::files::{MongoDump, MongoFiles};
use self::originals::Originals;
use crate::compressed::UnwrapLimit;
use crate::dump::mongo::Fault;
use crate::error::Result;
use crate::ingest::dump::{MadeTree, OriginalPolicy, make_snapshot};
use crate::ingest::input::StreamInput;
use crate::ingest::{IngestOptions, IngestReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::SnapshotKind;
use crate::time::Clock;

/// What a dump of MongoDB is, or comes from.
pub enum MongoInput {
    /// A directory with directories of databases in it.
    Directory(PathBuf),
    /// The same of all that a server has, which may be nothing.
    AllOfServer(PathBuf),
    /// Archives, in the order in which they are read.
    Archives(Vec<ArchiveInput>),
    /// Exports of collections; if the first is none, all must be archives.
    Exports(Vec<ExportInput>),
    /// What a command writes, whatever that is.
    Written(Written),
}

impl MongoInput {
    /// How people would name it.
    fn describe(&self) -> String {
        match self {
            MongoInput::Directory(path) | MongoInput::AllOfServer(path) => path.to_string_lossy().into_owned(),
            MongoInput::Archives(inputs) => describe_all(inputs.iter().map(|input| &input.input)),
            MongoInput::Exports(inputs) => describe_all(inputs.iter().map(|input| &input.input)),
            MongoInput::Written(written) => written.command.describe(),
        }
    }

    fn store(self, originals: &Originals, threads: usize) -> Result<MongoDump> {
        match self {
            MongoInput::Directory(path) => directory::store(originals, &path, threads),
            MongoInput::AllOfServer(path) => directory::store_perhaps_empty(originals, &path, threads),
            MongoInput::Archives(inputs) => {
                let is_alone = inputs.len() == 1;
                let archives = inputs.into_iter().map(|input| OpenArchive::open(input, originals));
                archives::store(originals, archives, is_alone, threads)
            }
            MongoInput::Exports(inputs) => exports::store(originals, inputs, threads),
            MongoInput::Written(written) => written::store(originals, written, threads),
        }
    }
}

fn describe_all<'i>(inputs: impl Iterator<Item = &'i StreamInput>) -> String {
    inputs.map(StreamInput::describe).collect::<Vec<_>>().join("\n")
}

/// What `ingest mongo` is told.
pub struct MongoOptions {
    pub common: IngestOptions,
    pub input: MongoInput,
    /// Make a snapshot of an incomplete dump too.
    pub keep_incomplete: bool,
    /// How much may come out of a file that is compressed.
    pub unwrap_limit: UnwrapLimit,
    /// What is kept of such a file besides what was in it.
    pub original: OriginalPolicy,
    /// Threads that compress, besides one that reads.
    pub threads: usize,
}

/// Makes one snapshot of one dump, or of several archives.
///
/// # Errors
/// [`Error::Incomplete`](crate::Error::Incomplete) where the dump is not whole and need not be kept,
/// [`Error::Command`](crate::Error::Command) where there is none, [`Error::Invalid`](crate::Error::Invalid) where it is nothing of
/// `mongodump` or `mongoexport`, or where two archives have the same database.
pub fn ingest_mongo(
    repository: &Repository,
    options: MongoOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let MongoOptions { common, input, keep_incomplete, unwrap_limit, original, threads } = options;
    make_snapshot(repository, SnapshotKind::Mongo, "ingest mongo", common, clock, monitor, |reading| {
        let originals = Originals { reading, policy: original, limit: unwrap_limit, keep_incomplete };
        let origin = input.describe();
        let dump = input.store(&originals, threads)?;
        let verdict = dump.verdict();
        verdict.accept(&origin, keep_incomplete)?;
        let facts = meta::facts(&dump, &verdict);
        let (root, files) = MongoFiles { originals: &originals }.write(dump, &verdict)?;
        Ok(MadeTree { origin, root, files, verdict, facts })
    })
}

/// What is wrong with one file of a dump.
fn fault_in(path: &str, fault: &Fault) -> String {
    format!("{path}: {fault}")
}
