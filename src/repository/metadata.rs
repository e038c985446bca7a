//! Metadata: what the operating system knows of an entry besides its bytes. Reads it for nodes ([`stat_at`],
//! [`read_xattrs_at`], ...), and gives it back to what was restored ([`apply_at`], [`create_special_at`]).
//!
//! Everything works by an open directory and one name in it, or by an open descriptor, and never follows a symlink:
//! whoever swaps entries meanwhile cannot lead it out of the tree. Extended attributes have no such calls, so they go
//! through `/proc/self/fd`, which must be mounted.

mod apply;
mod capture;
mod first_names;
mod owners;
#[cfg(test)]
mod tests;

pub use apply::{
    ApplyOptions, NotSet, apply_at, apply_fd, apply_written_fd, create_special_at, is_removable_xattr, target_owner,
};
pub use capture::{
    Captured, FileType, Identity, OPEN_LEVELS_MAX, XATTRS_MAX_BYTES, open_again, open_beneath, open_directory_at,
    open_file_at, read_full_at, read_link_at, read_xattrs_at, read_xattrs_fd, stat_at, stat_fd,
};
pub use first_names::FirstNames;
pub use owners::OwnerNames;
