//! `ingest mongo`: a snapshot of what `mongodump` wrote: the files of a directory, or an archive, which is taken apart into the
//! same files. `docs/semantics.md` section 12 shows the tree.

mod archive;
mod container;
mod directory;
mod files;
mod layout;
mod meta;
mod older;
mod originals;

use std::path::PathBuf;

pub use self::meta::OPLOG_LAST;

use self::files::{MongoDump, MongoFiles};
use self::originals::Originals;
use crate::compressed::UnwrapLimit;
use crate::dump::mongo::Fault;
use crate::error::Result;
use crate::ingest::dump::{Ending, MadeTree, OriginalPolicy, Verdict, make_snapshot};
use crate::ingest::input::StreamInput;
use crate::ingest::{IngestOptions, IngestReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::{SnapshotKind, SnapshotStatus};
use crate::time::Clock;

/// What a dump of MongoDB is.
pub enum MongoInput {
    /// A directory with directories of databases in it.
    Directory(PathBuf),
    /// An archive.
    Archive(StreamInput),
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
/// [`Error::Command`](crate::Error::Command) where there is none, [`Error::Invalid`](crate::Error::Invalid) where it is none of
/// `mongodump`.
pub fn ingest_mongo(
    repository: &Repository,
    options: MongoOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let MongoOptions { common, input, keep_incomplete, unwrap_limit, original, threads } = options;
    make_snapshot(repository, SnapshotKind::Mongo, "ingest mongo", common, clock, monitor, |reading| {
        let originals = Originals { reading, policy: original, limit: unwrap_limit };
        let (origin, dump) = match input {
            MongoInput::Directory(path) => {
                (path.to_string_lossy().into_owned(), directory::store(&originals, &path, threads)?)
            }
            MongoInput::Archive(input) => (input.describe(), archive::store(&originals, input, threads)?),
        };
        let verdict = judge(&dump);
        verdict.accept(&origin, keep_incomplete)?;
        let facts = meta::facts(&dump, &verdict);
        let (root, files) = MongoFiles { originals: &originals }.write(dump, &verdict)?;
        Ok(MadeTree { origin, root, files, verdict, facts })
    })
}

/// How whole a dump is: its command tells first, then what was found in it.
fn judge(dump: &MongoDump) -> Verdict {
    let verdict = Verdict::of(Ending::Marked, &dump.ended);
    match &dump.fault {
        Some(fault) if verdict.status == SnapshotStatus::Complete => {
            Verdict { status: SnapshotStatus::Incomplete, reason: Some(fault.clone()) }
        }
        _ => verdict,
    }
}

/// What is wrong with one file of a dump.
fn fault_in(path: &str, fault: &Fault) -> String {
    format!("{path}: {fault}")
}
