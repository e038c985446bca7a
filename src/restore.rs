//! `restore`: brings a snapshot, or a part of one, back into an ordinary directory.
//!
//! A directory's entries go *into* the target, which becomes that directory, with its metadata too (as
//! `rsync -a DIR/ TARGET/` does); anything else goes into the target under its own name. A target that is missing is
//! made. What is there already is kept where it is right, and "right" is found by reading, never by size and time.
//!
//! # How files are written
//! A new file, and a changed one, is written beside its place under a temporary name (`.yesterfs-...`) and renamed
//! when it is whole and has its metadata: a name never shows half a file. A changed file of
//! [`IN_PLACE_MIN_BYTES`] and more is written in place instead, only the chunks that differ: a dump of a terabyte would
//! need its room a second time. Before the first byte of it changes, everything needed was read from the repository and
//! verified. A crash or a full disk in the middle leaves such a file part old, part new, with a modification time of now.
//! A file with other names is never written in place: they may lie outside of the target.
//! Nothing is synced; after a power failure, restore again: it writes only what is missing.
//!
//! # What is safe
//! Every access goes by an open directory and one name in it and follows no symlink, so that no link, whoever put it
//! there, leads out of the target. What is of another type than in the snapshot is replaced; a directory that is not
//! empty only with [`RestoreOptions::delete`]. Only an entry of which the snapshot, read without error, says that it is
//! not there is deleted; what is mounted below the target, or is protected, stays.

mod compare;
mod entry;
mod file;
mod links;
mod removal;
mod stretch;
mod tally;
mod target;
mod walk;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, bounded};

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content_reader::ContentReader;
use crate::repository::metadata::{ApplyOptions, Identity, OwnerNames};
use crate::repository::node::Node;
use crate::repository::tree::TreeReader;
use crate::restore::links::Links;
use crate::restore::stretch::Stretches;
use crate::restore::tally::Tally;
use crate::restore::target::{Target, TemporaryNames};
use crate::restore::walk::Job;
use crate::store::ChunkStore;

pub use file::IN_PLACE_MIN_BYTES;

/// Stretches of entries that may wait for a thread. Each may hold a directory open.
const QUEUE_STRETCHES: usize = 64;

/// Groups in [`RestoreReport::not_set`]; what is in further ones is only counted.
pub const NOT_SET_GROUPS_MAX: usize = 100;

/// Paths that a group names.
pub const NOT_SET_EXAMPLES_MAX: usize = 3;

/// How a snapshot is restored.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The directory that receives it. A symlink here is followed: the user named it.
    pub to: PathBuf,
    /// Change nothing, tell the same actions.
    pub dry_run: bool,
    /// Delete what the snapshot does not have in its directories.
    pub delete: bool,
    /// Read everything back afterwards, from the disk where the system permits that, and compare.
    pub verify: bool,
    /// Owner and group by number, even where their names are known here.
    pub numeric_ids: bool,
    /// Threads that write files; with 0 or 1 actions are told in order of the tree.
    pub threads: usize,
    /// Directories that are never restored into, replaced or deleted: the repository's own.
    pub protected: Vec<PathBuf>,
}

/// What happens to one entry of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing is there: it is made.
    Create,
    /// Something of another type is there, or a file whose other names must not change: another takes its place.
    Replace,
    /// Its content (or a symlink's target) differs.
    Update,
    /// Only its metadata differs.
    SetMetadata,
    /// It becomes another name of a file that was restored before it.
    Link,
    /// The snapshot does not have it.
    Delete,
}

/// One action, told just before it happens, or instead of it in a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedAction<'a> {
    pub action: Action,
    /// Relative to the target, names joined by `/`; empty for the target itself.
    pub path: &'a [u8],
    /// What the entry is (for a deletion: was), as `find -type` says it.
    pub letter: u8,
}

/// Something of an entry that could not be given back, though the entry itself is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRestored {
    /// Relative to the target.
    pub path: Vec<u8>,
    /// "owner", "extended attribute \"user.x\"", "hard link to ...", ...
    pub what: String,
    pub cause: String,
}

/// The same of any number of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSetGroup {
    pub what: String,
    pub cause: String,
    pub count: u64,
    /// The first of them by path, at most [`NOT_SET_EXAMPLES_MAX`].
    pub first: Vec<Vec<u8>>,
}

/// What a restore tells while it works, of each entry.
#[derive(Debug)]
pub enum Event<'a> {
    Action(PlannedAction<'a>),
    NotSet(&'a NotRestored),
}

/// What a restore did, or in a dry run would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Entries of the snapshot that are in the target now; the target itself does not count.
    pub entries: u64,
    /// Regular files among them, each name counted.
    pub files: u64,
    /// Entries that were made, replaced, updated, linked, or given other metadata.
    pub changed: u64,
    /// Bytes of data written into files; holes are not data.
    pub bytes_written: u64,
    /// Bytes of data that files had already.
    pub bytes_unchanged: u64,
    /// Entries deleted.
    pub deleted: u64,
    /// Entries that could not be restored, deleted or verified; each was told to the monitor.
    pub problems: u64,
    /// Those of the problems that are damage of the repository.
    pub damaged: u64,
    /// Things that could not be set.
    pub not_set_count: u64,
    /// The same by what and why, at most [`NOT_SET_GROUPS_MAX`]; each of them was an [`Event`].
    pub not_set: Vec<NotSetGroup>,
    /// Bytes of data that were read back and compared, if that was asked for.
    pub bytes_verified: u64,
}

/// Restores `root`, which stands at `path` in its snapshot (names joined by `/`; empty for the snapshot's root).
///
/// `listener` hears of every action, and of everything that could not be given back. Entries that cannot be restored are problems of the monitor, and the rest goes on.
///
/// # Errors
/// [`Error::Invalid`] where the target lies in a protected directory, [`Error::Io`] where it cannot be made or opened,
/// or where its disk is full (the error names the file), [`Error::Interrupted`].
pub fn restore(
    repository: &Repository,
    root: &Node,
    path: &[u8],
    options: &RestoreOptions,
    monitor: &dyn Monitor,
    listener: &mut (dyn FnMut(&Event<'_>) + Send),
) -> Result<RestoreReport> {
    let prefix = path.strip_prefix(b"/").unwrap_or(path);
    let run = Run {
        chunks: repository.chunks()?,
        tree: repository.tree()?,
        contents: repository.contents()?,
        options,
        apply: ApplyOptions { numeric_ids: options.numeric_ids, as_root: rustix::process::geteuid().is_root() },
        owners: OwnerNames::new(),
        names: TemporaryNames::new()?,
        protected: target::identities(&options.protected)?,
        tally: Tally::new(&options.to, monitor, listener),
        mode: if options.dry_run { Mode::Plan } else { Mode::Write },
        links: Links::default(),
        stop: Mutex::default(),
        target: None,
        root,
        prefix,
    };
    Counters::add(&monitor.counters().bytes_expected, root.totals().bytes);
    let run = run.pass()?;
    if !options.verify || options.dry_run {
        return Ok(run.tally.into_report());
    }
    Counters::add(&monitor.counters().bytes_expected, root.totals().bytes);
    let again = Run { mode: Mode::Verify, links: Links::default(), ..run };
    Ok(again.pass()?.tally.into_report())
}

/// What a pass over the snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Tell what would be done.
    Plan,
    /// Do it.
    Write,
    /// Read everything back; whatever would have to be done is a problem.
    Verify,
}

/// One pass, shared by its threads.
struct Run<'a> {
    chunks: &'a ChunkStore,
    tree: TreeReader<'a>,
    contents: ContentReader<'a>,
    options: &'a RestoreOptions,
    apply: ApplyOptions,
    owners: OwnerNames,
    names: TemporaryNames,
    protected: Vec<Identity>,
    tally: Tally<'a>,
    mode: Mode,
    links: Links,
    /// Why everything ends early.
    stop: Mutex<Option<Error>>,
    /// `None` where it is missing and nothing is made.
    target: Option<Target>,
    root: &'a Node,
    prefix: &'a [u8],
}

impl<'a> Run<'a> {
    /// One thread walks, the others restore what it finds; with one thread, the walker does both.
    fn pass(mut self) -> Result<Run<'a>> {
        self.target = self.open_target()?;
        let run = &self;
        std::thread::scope(|scope| {
            let (sender, queue) = bounded(QUEUE_STRETCHES);
            let mut stretches = Stretches::new(sender);
            let parallel = run.options.threads > 1;
            for _ in 0..if parallel { run.options.threads } else { 0 } {
                let queue: Receiver<Vec<Job>> = queue.clone();
                scope.spawn(move || queue.iter().for_each(|stretch| run.process_stretch(stretch)));
            }
            drop(queue);
            let walked = run.walk(&mut |job| match parallel {
                true => stretches.add(job),
                false => {
                    run.process(job);
                    Ok(())
                }
            });
            let walked = walked.and_then(|()| stretches.pass_on());
            if let Err(error) = walked {
                run.stop(error);
            }
        });
        match self.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(()),
            Some(error) => Err(error),
        }?;
        Ok(self)
    }

    /// Ends the pass: the first reason stands.
    fn stop(&self, error: Error) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn is_stopped(&self) -> bool {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Fails once the user asked to stop, or something made going on pointless.
    fn check_stopped(&self) -> Result<()> {
        if self.tally.is_cancelled() || self.is_stopped() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// One entry failed. Notes it, or ends everything where all others would fail the same way.
    fn fail(&self, path: &[u8], error: Error) {
        if is_final(&error) { self.stop(error) } else { self.tally.problem(path, &error) }
    }
}

/// Whether going on is pointless after this.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Interrupted => true,
        Error::Io { source, .. } => {
            matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        }
        _ => false,
    }
}
