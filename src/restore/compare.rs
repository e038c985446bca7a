//! Whether an entry's metadata is as stored; what is to be set where the store cannot tell all of it.

use std::borrow::Cow;
use std::io;

use crate::repository::metadata::{Captured, FileType, NotSet, is_removable_xattr, target_owner};
use crate::repository::node::{Node, Xattr};
use crate::restore::Run;

/// Set-id and sticky bits and the owner's rights: what remains where an ACL is lost. The bits of group and others may
/// say more than the ACL did.
const OWNER_ONLY: u16 = 0o7700;

impl Run<'_> {
    /// The metadata to set. Where the attributes cannot be read, the entry is closed to all but its owner, and told.
    pub(super) fn wanted<'n>(&self, node: &'n Node, path: &[u8]) -> (Cow<'n, Node>, Vec<Xattr>) {
        match self.tree.xattrs(node) {
            Ok(xattrs) => (Cow::Borrowed(node), xattrs),
            Err(error) => {
                self.tally.problem(path, &error);
                let cause = io::Error::other("they cannot be read from the repository; others got no access");
                self.tally.not_set(path, NotSet { what: "extended attributes".into(), cause });
                let closed = Node { permissions: node.permissions & OWNER_ONLY, ..node.clone() };
                (Cow::Owned(closed), Vec::new())
            }
        }
    }

    /// Whether metadata is to be set: `present` are the attributes that are there.
    pub(super) fn metadata_differs(
        &self,
        state: &Captured,
        present: io::Result<Vec<Xattr>>,
        node: &Node,
        wanted: &[Xattr],
    ) -> bool {
        // The system gives symlinks no permissions of their own.
        let permissions_differ = state.file_type != FileType::Symlink && state.permissions != node.permissions;
        permissions_differ
            || (state.uid, state.gid) != target_owner(node, &self.owners, &self.apply)
            || state.modified != node.modified
            || xattrs_differ(present, wanted)
    }
}

fn xattrs_differ(present: io::Result<Vec<Xattr>>, wanted: &[Xattr]) -> bool {
    let Ok(present) = present else { return true };
    // Both are sorted by name, each name once.
    let counts = |xattr: &&Xattr| is_removable_xattr(&xattr.name) || wanted.iter().any(|it| it.name == xattr.name);
    !present.iter().filter(counts).eq(wanted)
}
