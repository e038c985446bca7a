//! Completion: a thread that finds out what takes long to tell of an open file, so that no loop waits for it.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use fuser::{Errno, INodeNo, Notifier, ReplyAttr};

use super::attributes::file_attr;
use super::errno;
use super::fuse::time_to_live;
use crate::view::View;

/// Readers that wait. One more is told to come again.
const QUEUE: usize = 64;

struct Job {
    ino: u64,
    reply: ReplyAttr,
}

/// Where loops leave what takes long. Without it, the thread has nothing more to do, and gives up what it does.
pub(super) struct Completion {
    view: Arc<View>,
    jobs: Sender<Job>,
}

/// What the thread runs.
pub(super) struct Completer {
    waiting: Receiver<Job>,
}

pub(super) fn queue(view: Arc<View>) -> (Completion, Completer) {
    let (jobs, waiting) = bounded(QUEUE);
    (Completion { view, jobs }, Completer { waiting })
}

impl Completion {
    /// Answers soon.
    pub fn complete(&self, ino: u64, reply: ReplyAttr) {
        if let Err(refused) = self.jobs.try_send(Job { ino, reply }) {
            refused.into_inner().reply.error(Errno::EAGAIN);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.view.give_up_patches();
    }
}

impl Completer {
    /// Answers until nobody asks any more.
    pub fn run(self, view: &View, notifier: &Notifier) {
        for Job { ino, reply } in &self.waiting {
            match view.completed_attributes(ino) {
                Ok(attributes) => {
                    tell_size(view, notifier, ino, attributes.size);
                    reply.attr(&time_to_live(&attributes), &file_attr(&attributes));
                }
                Err(error) => {
                    // The number alone would not tell why there are no statements.
                    log::error!("cannot write the patch that inode {ino} stands for: {error}");
                    reply.error(errno::of(&error, "read", ino));
                }
            }
        }
    }
}

/// Makes the kernel know a file's size by giving it the last byte. It drops the reply itself as out of date if somebody else asked
/// for the attributes meanwhile, and would then take the file for empty.
fn tell_size(view: &View, notifier: &Notifier, ino: u64, size: u64) {
    let Some(last) = size.checked_sub(1) else { return };
    let mut byte = Vec::new();
    let told = view.read(ino, last, 1, &mut byte).map(|()| notifier.store(INodeNo(ino), last, &byte));
    if !matches!(told, Ok(Ok(()))) {
        log::debug!("the kernel was not told the size of inode {ino}: {told:?}");
    }
}
