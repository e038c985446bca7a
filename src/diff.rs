//! `diff`: what changed from one tree (A, the old one) to another (B, the new one), in the words of
//! `rsync -aXAHn --checksum --delete -i --modify-window=-1 B/ A/` run as root. Each side is a snapshot or a live
//! directory; what two snapshots share is not read.
//!
//! # Order
//! Tree order: the entries of a directory sorted by name bytewise, each directory followed by all that is below it.
//! (The order of whole paths would put `a.b` between `a` and `a/c`, since `.` sorts before `/`.) Where a directory
//! became something else, the new entry comes first, then what was deleted below.
//!
//! # What is printed for what
//! Learned from rsync 3.5.0; `tests/diff.rs` compares with the rsync that is installed.
//!
//! - Only in A: `*deleting`, for a directory and everything below it.
//! - Only in B: `>f+++++++++` for files, `cd`, `cL`, `cD` (devices), `cS` (fifos and sockets) for the others, everything
//!   below a directory too.
//! - Another type: as if only in B; of a directory that went, only what was below it is deleted.
//!   A fifo that became a socket is of the same type: `cSc........`; so is a device with another number: `cDc........`.
//! - Other bytes: `>fc`, with `s` where the size differs. Another symlink target: `cLc`.
//! - Only other attributes: `.`, and `t` (to the nanosecond), `p`, `o`, `g` (by number), `a` (an ACL, beyond what the
//!   permission bits show), `x` (other extended attributes, but none of `system.`). Permissions and ACLs of symlinks
//!   do not count, nor do sizes of anything but files.
//! - The compared directory itself is `./`.
//!
//! Here rsync is not followed: a character device that became a block device of the same number, which rsync takes
//! for equal, is `cDc........`.
//!
//! # Hard links
//! What rsync prints for them depends on the order in which it gets to them. Here, of the names of one file of B:
//! - the first in tree order counts as a file of its own;
//! - every other one has `h` for the first character; `hf+++++++++ name => first` where A has nothing of that type;
//!   ` => first` also where it is there, but was no name of the same file as `first` was; and otherwise
//!   the same columns as the first name, for its bytes and attributes are the same.
//! - A name that was linked and is not any more shows only by what else changed.
//!
//! Names outside of what is compared do not count.

mod change;
mod contents;
mod hard_links;
mod listing;
mod root;
mod walk;

use std::path::PathBuf;

use crate::error::Result;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::metadata::FileType;
use crate::repository::node::Node;

pub use crate::repository::comparison::{Differences, EntryFacts};
pub use change::{Action, Change, Itemized, rsync_name};

/// One of the two trees.
#[expect(clippy::large_enum_variant, reason = "there are two of these, and never more")]
pub enum Side<'a> {
    /// A directory (or any other entry) of a snapshot.
    Snapshot {
        repository: &'a Repository,
        root: Node,
        /// Where `root` stands in its snapshot, without slashes at the ends; empty for the snapshot's own root.
        path: Vec<u8>,
    },
    /// A live directory (or any other entry). A symlink given here is compared itself; resolve the path to follow it.
    Live(PathBuf),
    /// Nothing at all: everything on the other side was added or removed.
    Nothing,
}

/// How two trees are compared.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// What a change of the compared entries themselves is called where one of them is no directory.
    pub root_name: Vec<u8>,
    /// Device and inode number of the repository's own directory, which no ingest takes up: live sides pass over it,
    /// and over mounts of the repository.
    pub own_directory: Option<(u64, u64)>,
}

/// What a comparison found, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffSummary {
    /// Entries only in B.
    pub added: u64,
    /// Entries only in A.
    pub removed: u64,
    /// Entries of another type or with another content; see [`Differences::content`].
    pub changed: u64,
    /// Entries with only other attributes or links.
    pub metadata_only: u64,
    /// Logical bytes of the files that were removed or changed, as they were in A.
    pub bytes_before: u64,
    /// Logical bytes of the files that were added or changed, as they are in B.
    pub bytes_after: u64,
    /// Entries or directories that could not be compared; the monitor was told which, and why.
    pub problems: u64,
    /// Those of them where the repository is damaged.
    pub damaged: u64,
    /// Tree pages of directories that were read.
    pub pages_read: u64,
    /// Subdirectories that were equal as a whole, and pages of larger ones: passed over unread.
    pub pages_skipped: u64,
    /// Entries in those, at any depth, and single ones that are stored the same on both sides.
    pub entries_skipped: u64,
}

impl DiffSummary {
    /// Whether no difference was found.
    pub fn is_equal(&self) -> bool {
        self.added + self.removed + self.changed + self.metadata_only == 0
    }

    /// Counts one change.
    fn add(&mut self, change: &Change) {
        let count = match (change.itemized.action, &change.before) {
            (Action::Delete, _) => &mut self.removed,
            (Action::Create, None) => &mut self.added,
            (Action::Create | Action::Transfer | Action::Remake, _) => &mut self.changed,
            (Action::Adjust, _) => &mut self.metadata_only,
        };
        *count += 1;
        if change.itemized.action != Action::Adjust {
            let bytes = |facts: &Option<EntryFacts>| match facts {
                Some(facts) if facts.file_type == FileType::File => facts.size,
                _ => 0,
            };
            self.bytes_before = self.bytes_before.saturating_add(bytes(&change.before));
            self.bytes_after = self.bytes_after.saturating_add(bytes(&change.after));
        }
    }
}

/// Compares two trees; gives every change to `emit` as it is found, in tree order (see the [module](self)).
///
/// Memory is bounded by the names of the directories on the way to the present one, and by two chunks. A link between
/// names takes memory until all its names were met (live sides), or where its first name changed.
///
/// # Errors
/// [`crate::Error::NotFound`] or [`crate::Error::Io`] where a live side cannot be opened,
/// [`crate::Error::Interrupted`], and what `emit` fails with. What cannot be compared below is a problem of the
/// monitor, and counted: nothing is said to be added or removed because its directory could not be read.
pub fn diff(
    a: &Side<'_>,
    b: &Side<'_>,
    options: &DiffOptions,
    monitor: &dyn Monitor,
    emit: &mut dyn FnMut(Change) -> Result<()>,
) -> Result<DiffSummary> {
    walk::Walk::new(a, b, options, monitor, emit)?.run()
}
