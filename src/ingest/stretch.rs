//! Stretches of the walk. Entries are handed to the threads that capture them, and back, by the dozen: one by one, a small
//! file would cost more to pass on than to read.

use std::os::fd::{AsRawFd, RawFd};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Result};
use crate::ingest::file::{CapturedEntry, FileJob, Reading, Tools};
use crate::ingest::watch::IngestWatch;
use crate::repository::metadata::Captured;
use crate::repository::node::Xattr;
use crate::repository::tree::OlderDirectory;
use crate::store::EncodeQueue;

/// Stretches between the walk and the tree.
pub(super) const STRETCHES_UNDER_WAY: usize = 32;

/// Stretches that wait for a thread.
pub(super) const STRETCHES_WAITING: usize = 4;

const STEPS_A_STRETCH: usize = 64;

/// Directories that entries on their way hold open, as a process may have no more than 256 files open. Not many more with
/// more threads than this.
const OPEN_DIRECTORIES_MAX: usize = 112;

/// Bytes of the attributes of directories; all else in a stretch is small.
const XATTR_BYTES_A_STRETCH: usize = 64 << 10;

/// One step of the walk, in tree order. `E` is an entry that is no directory: to be captured, or captured.
pub(super) enum Step<E> {
    /// A directory begins; its entries follow, then [`Step::Leave`].
    Enter(Box<EnteredDirectory>),
    Entry(E),
    /// The entry of this name in the present directory, or with no name this directory, could not be read.
    Problem {
        name: Vec<u8>,
        reason: String,
    },
    Leave,
}

/// A directory that the walk goes into. The ingested one itself has no name.
pub(super) struct EnteredDirectory {
    pub name: Vec<u8>,
    pub captured: Captured,
    pub xattrs: Vec<Xattr>,
    /// What it was in the previous snapshot.
    pub older: OlderDirectory,
}

impl<E> Step<E> {
    fn try_map<F>(self, capture: impl FnOnce(E) -> Result<F>) -> Result<Step<F>> {
        Ok(match self {
            Step::Enter(directory) => Step::Enter(directory),
            Step::Entry(entry) => Step::Entry(capture(entry)?),
            Step::Problem { name, reason } => Step::Problem { name, reason },
            Step::Leave => Step::Leave,
        })
    }
}

/// Steps that one thread takes, and where it leaves what came of them.
pub(super) struct Stretch {
    steps: Vec<Step<FileJob>>,
    done: Sender<Result<CapturedStretch>>,
}

/// What came of a stretch.
pub(super) struct CapturedStretch {
    pub steps: Vec<Step<CapturedEntry>>,
    /// The steps behind these, if another thread took them over.
    pub rest: Option<ComingStretch>,
}

/// A stretch that somebody captures meanwhile.
pub(super) type ComingStretch = Receiver<Result<CapturedStretch>>;

/// The nobody-listens-any-more sign: whoever received the steps has failed and says why.
pub(super) struct Abandoned;

/// Gathers the steps of a walk into stretches.
pub(super) struct StretchWriter {
    waiting: Sender<Option<Stretch>>,
    coming: Sender<ComingStretch>,
    steps: Vec<Step<FileJob>>,
    directories: usize,
    directories_max: usize,
    last_directory: Option<RawFd>,
    xattr_bytes: usize,
}

impl StretchWriter {
    /// Sends stretches to `threads` that capture them, and to the builder, in order, where they will be found.
    pub fn new(waiting: Sender<Option<Stretch>>, threads: usize, coming: Sender<ComingStretch>) -> StretchWriter {
        // One more is being gathered.
        let directories_max = (OPEN_DIRECTORIES_MAX / (STRETCHES_WAITING + threads + 1)).max(1);
        let (steps, last_directory) = (Vec::new(), None);
        StretchWriter { waiting, coming, steps, directories: 0, directories_max, last_directory, xattr_bytes: 0 }
    }

    pub fn push(&mut self, step: Step<FileJob>) -> Result<(), Abandoned> {
        match &step {
            Step::Enter(directory) => {
                self.xattr_bytes += directory.xattrs.iter().map(|it| it.name.len() + it.value.len()).sum::<usize>();
            }
            // Open directories have numbers of their own.
            Step::Entry(job) if self.last_directory != Some(job.directory.as_raw_fd()) => {
                if self.directories == self.directories_max {
                    self.flush()?;
                }
                self.last_directory = Some(job.directory.as_raw_fd());
                self.directories += 1;
            }
            _ => {}
        }
        self.steps.push(step);
        let full = self.steps.len() >= STEPS_A_STRETCH || self.xattr_bytes >= XATTR_BYTES_A_STRETCH;
        if full { self.flush() } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) -> Result<(), Abandoned> {
        if self.steps.is_empty() {
            return Ok(());
        }
        let steps = std::mem::replace(&mut self.steps, Vec::with_capacity(STEPS_A_STRETCH));
        (self.directories, self.last_directory, self.xattr_bytes) = (0, None, 0);
        let (done, coming) = bounded(1);
        self.waiting.send(Some(Stretch { steps, done })).map_err(|_| Abandoned)?;
        self.coming.send(coming).map_err(|_| Abandoned)
    }
}

/// Captures stretches until a `None` comes. `back` leads to `waiting`: there goes the rest of a stretch in which a long
/// file was met.
pub(super) fn capture_all(
    waiting: &Receiver<Option<Stretch>>,
    back: &Sender<Option<Stretch>>,
    reading: &Reading,
    watch: &IngestWatch,
    queue: EncodeQueue,
) {
    let mut tools = Tools::new(reading, queue);
    while let Ok(Some(Stretch { steps, done })) = waiting.recv() {
        let captured = capture_stretch(steps, back, reading, &mut tools).map_err(|error| watch.fail(error));
        // A builder that failed no longer listens.
        let _ = done.send(captured);
    }
}

fn capture_stretch<'a, 'r>(
    steps: Vec<Step<FileJob>>,
    back: &Sender<Option<Stretch>>,
    reading: &Reading<'a, 'r>,
    tools: &mut Tools<'a, 'r>,
) -> Result<CapturedStretch> {
    let mut captured = CapturedStretch { steps: Vec::with_capacity(steps.len()), rest: None };
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        let mut give_away_rest = || {
            // Nothing is left after the first time, where that was taken over.
            if captured.rest.is_none() {
                let (rest, coming) = give_away(std::mem::take(&mut steps).collect(), back);
                steps = rest.into_iter();
                captured.rest = coming;
            }
        };
        let step = step.try_map(|job| match reading.monitor.is_cancelled() {
            true => Err(Error::Interrupted),
            false => reading.capture(job, tools, &mut give_away_rest),
        })?;
        captured.steps.push(step);
    }
    tools.release()?;
    reading.publish_if_due()?;
    Ok(captured)
}

/// Passes steps on to a thread that has nothing to do, so that it need not wait for a long file. Gives back what stays
/// here, and where the rest will be found.
fn give_away(steps: Vec<Step<FileJob>>, back: &Sender<Option<Stretch>>) -> (Vec<Step<FileJob>>, Option<ComingStretch>) {
    if steps.is_empty() || !back.is_empty() {
        return (steps, None);
    }
    let (done, coming) = bounded(1);
    match back.try_send(Some(Stretch { steps, done })) {
        Ok(()) => (Vec::new(), Some(coming)),
        // The others have enough to do.
        Err(refused) => (refused.into_inner().map_or_else(Vec::new, |stretch| stretch.steps), None),
    }
}
