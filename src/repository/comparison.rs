//! Comparison: how two entries of one name differ. The one rule for what `diff` prints and for what a mount shows in
//! `diff/`; `docs/semantics.md` section 4 says it in words.

mod attributes;
mod contents;

use crate::error::Result;
use crate::repository::metadata::FileType;
use crate::repository::node::{Node, NodeKind, Xattr};
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;
use crate::time::Timestamp;

use attributes::{same_acls, same_others};
pub(crate) use contents::{Piece, PieceSource, PieceStream, ends_early, is_zero};
pub use contents::{StoredBytes, same_as_extents, same_bytes};

/// What an entry is, apart from its content and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFacts {
    pub file_type: FileType,
    /// Permission bits with set-id and sticky: the low 12 bits of `st_mode`.
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    pub modified: Timestamp,
    /// Logical bytes of a file, target length of a symlink, otherwise 0.
    pub size: u64,
    /// Names that the file has; 1 for a directory. It may count names outside of what is compared.
    pub link_count: u32,
    /// Where a symlink leads.
    pub target: Option<Vec<u8>>,
}

/// The differences that rsync tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Differences {
    /// `c`: bytes of a file; target of a symlink; kind or numbers of a device; fifo or socket.
    pub content: bool,
    /// `s`: files only.
    pub size: bool,
    /// `t`: to the nanosecond.
    pub modified: bool,
    /// `p`: not of symlinks, which have none of their own.
    pub permissions: bool,
    /// `o`: by number.
    pub owner: bool,
    /// `g`: by number.
    pub group: bool,
    /// `a`: what a POSIX ACL says beyond the permission bits.
    pub acl: bool,
    /// `x`: the other extended attributes.
    pub xattrs: bool,
}

impl EntryFacts {
    /// Those of a stored entry.
    pub fn of(node: &Node) -> EntryFacts {
        let target = match &node.kind {
            NodeKind::Symlink { target } => Some(target.clone()),
            _ => None,
        };
        EntryFacts {
            file_type: FileType::of(&node.kind),
            permissions: node.permissions,
            uid: node.uid,
            gid: node.gid,
            modified: node.modified,
            size: node.size(),
            link_count: node.hard_link.as_ref().map_or(1, |link| link.count),
            target,
        }
    }
}

impl Differences {
    /// What facts alone tell of two entries of one type. What is left to compare is the bytes of files of one size, and
    /// attributes.
    pub fn of_facts(before: &EntryFacts, after: &EntryFacts) -> Differences {
        let size = after.file_type == FileType::File && before.size != after.size;
        Differences {
            // A device's numbers are part of its type.
            content: size || before.file_type != after.file_type || before.target != after.target,
            size,
            modified: before.modified != after.modified,
            permissions: after.file_type != FileType::Symlink && before.permissions != after.permissions,
            owner: before.uid != after.uid,
            group: before.gid != after.gid,
            acl: false,
            xattrs: false,
        }
    }

    /// Adds what the extended attributes of two entries of type `file_type` tell; ACLs of symlinks do not count.
    /// `with_trusted` is false where one side could not show attributes in `trusted.`.
    pub fn add_attributes(&mut self, file_type: FileType, a: &[Xattr], b: &[Xattr], with_trusted: bool) {
        self.acl = file_type != FileType::Symlink && !same_acls(a, b);
        self.xattrs = !same_others(a, b, with_trusted);
    }

    /// True if there is any.
    pub fn any(&self) -> bool {
        *self != Differences::default()
    }
}

/// The letter of a type in rsync's second column. Entries whose letters differ are of different types; of one type are
/// devices of both kinds, and fifos and sockets.
pub fn type_letter(file_type: FileType) -> char {
    match file_type {
        FileType::File => 'f',
        FileType::Directory => 'd',
        FileType::Symlink => 'L',
        FileType::CharacterDevice(_) | FileType::BlockDevice(_) => 'D',
        FileType::Fifo | FileType::Socket => 'S',
    }
}

/// Whether two stored entries of one type differ in anything that counts. What costs reading is compared last.
pub fn stored_entries_differ(chunks: &ChunkStore, a: &Node, b: &Node) -> Result<bool> {
    if a == b {
        return Ok(false);
    }
    let after = EntryFacts::of(b);
    let mut differences = Differences::of_facts(&EntryFacts::of(a), &after);
    if !differences.any() && a.xattrs != b.xattrs {
        let tree = TreeReader::new(chunks);
        differences.add_attributes(after.file_type, &tree.xattrs(a)?, &tree.xattrs(b)?, true);
    }
    match (&a.kind, &b.kind) {
        (NodeKind::File { content: a, .. }, NodeKind::File { content: b, .. }) if !differences.any() => {
            let (a, b) = (StoredBytes { chunks, content: a }, StoredBytes { chunks, content: b });
            Ok(!same_bytes(a, b, &|| false)?)
        }
        _ => Ok(differences.any()),
    }
}
