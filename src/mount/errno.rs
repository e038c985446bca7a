//! Which number the kernel gets for which error. Chosen here and nowhere else.

use fuser::Errno;

use crate::error::{Error, ErrorKind};

/// The number for `error`, met while doing `operation` for inode `ino`. What points to damage or to failing storage is
/// logged here, once, with all it says; the caller's `EIO` alone would not tell which chunk of which pack to look at.
pub(super) fn of(error: &Error, operation: &'static str, ino: u64) -> Errno {
    if let Error::Stale { .. } = error {
        // Told so, the kernel looks up the path again, name by name.
        return Errno::ESTALE;
    }
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::Exists => Errno::EEXIST,
        ErrorKind::Invalid => Errno::EINVAL,
        ErrorKind::Interrupted => Errno::EINTR,
        // Never ENOENT, whatever the storage said: a program that believes a damaged file is gone deletes its copy.
        // Nor EOPNOTSUPP for what a newer version wrote: readers of attributes take it for "there are none".
        ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Io | ErrorKind::Command => {
            log::error!("{operation} of inode {ino}: {error}");
            Errno::EIO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkId;

    #[test]
    fn damage_and_failing_storage_are_io_errors_and_never_absence() {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        let errors = [
            Error::corrupt("page", "flipped"),
            Error::ChunkMissing { id: ChunkId([0; 32]) },
            Error::ObjectMissing { key: "packs/ab/x".into(), backend: "memory".into() },
            Error::Unsupported { object: "pack".into(), reason: "future".into() },
            Error::Backend { operation: "read", key: "packs/ab/x".into(), backend: "memory".into(), source: gone },
        ];
        for error in errors {
            assert_eq!(of(&error, "read", 7), Errno::EIO, "{error}");
        }
    }

    #[test]
    fn absence_is_absence() {
        assert_eq!(of(&Error::NotFound { what: "entry", name: "x".into() }, "lookup", 1), Errno::ENOENT);
        assert_eq!(of(&Error::Stale { what: "pair of snapshots", number: 7 }, "lookup", 1), Errno::ESTALE);
    }
}
