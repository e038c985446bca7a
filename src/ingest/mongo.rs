//! `ingest mongo`: a snapshot of what `mongodump` wrote: the files of a directory, or an archive, which is taken apart into the
//! same files; or of what `mongoexport` wrote. `docs/semantics.md` section 12 shows the tree.

mod archive;
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

pub use self::exports::{ExportInput, ExportOf};
pub use self::meta::OPLOG_LAST;
pub use self::tool::ToolCommand;
pub use self::written::Written;

use self::files::{MongoDump, MongoFiles};
use self::originals::Originals;
use crate::compressed::UnwrapLimit;
use crate::dump::mongo::Fault;
use crate::error::Result;
use crate::ingest::dump::{MadeTree, OriginalPolicy, Verdict, make_snapshot};
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
    /// An archive.
    Archive(StreamInput),
    /// Exports of collections; one that is alone may turn out to be an archive.
    Exports(Vec<ExportInput>),
    /// What a command writes, whatever that is.
    Written(Written),
}

impl MongoInput {
    /// How people would name it.
    fn describe(&self) -> String {
        match self {
            MongoInput::Directory(path) | MongoInput::AllOfServer(path) => path.to_string_lossy().into_owned(),
            MongoInput::Archive(input) => input.describe(),
            MongoInput::Exports(inputs) => {
                inputs.iter().map(|input| input.input.describe()).collect::<Vec<_>>().join("\n")
            }
            MongoInput::Written(written) => written.command.describe(),
        }
    }

    fn store(self, originals: &Originals, threads: usize) -> Result<MongoDump> {
        match self {
            MongoInput::Directory(path) => directory::store(originals, &path, threads),
            MongoInput::AllOfServer(path) => directory::store_perhaps_empty(originals, &path, threads),
            MongoInput::Archive(input) => archive::store(originals, input, threads),
            MongoInput::Exports(inputs) => exports::store(originals, inputs, threads),
            MongoInput::Written(written) => written::store(originals, written, threads),
        }
    }
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

/// Makes one snapshot of one dump.
///
/// # Errors
/// [`Error::Incomplete`](crate::Error::Incomplete) where the dump is not whole and need not be kept,
/// [`Error::Command`](crate::Error::Command) where there is none, [`Error::Invalid`](crate::Error::Invalid) where it is nothing of
/// `mongodump` or `mongoexport`.
pub fn ingest_mongo(
    repository: &Repository,
    options: MongoOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let MongoOptions { common, input, keep_incomplete, unwrap_limit, original, threads } = options;
    make_snapshot(repository, SnapshotKind::Mongo, "ingest mongo", common, clock, monitor, |reading| {
        let originals = Originals { reading, policy: original, limit: unwrap_limit };
        let origin = input.describe();
        let dump = input.store(&originals, threads)?;
        let verdict = judge(&dump);
        verdict.accept(&origin, keep_incomplete)?;
        let facts = meta::facts(&dump, &verdict);
        let (root, files) = MongoFiles { originals: &originals }.write(dump, &verdict)?;
        Ok(MadeTree { origin, root, files, verdict, facts })
    })
}

/// How whole a dump is: its command tells first, then what was found in it.
fn judge(dump: &MongoDump) -> Verdict {
    Verdict::of(dump.ending, &dump.ended).with_fault(dump.fault.as_deref())
}

/// What is wrong with one file of a dump.
fn fault_in(path: &str, fault: &Fault) -> String {
    format!("{path}: {fault}")
}
