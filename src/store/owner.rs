//! Owner: whose what is written into a repository is. A drill, a tag or an ingest by root must leave nothing there that the user
//! whose repository it is cannot read or replace.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

/// What is said to root where it is none.
const MAY_NOT: [io::ErrorKind; 3] =
    [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];

/// The user and the group to whom root gives what it makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// Those of a file or a directory.
    pub fn of(metadata: &Metadata) -> Owner {
        Owner { user: metadata.uid(), group: metadata.gid() }
    }

    /// The same.
    pub fn of_path(path: &Path) -> io::Result<Owner> {
        fs::metadata(path).map(|metadata| Owner::of(&metadata))
    }

    /// Gives a file away that this process has made; one that is not root may not, and owns it.
    pub fn give_to(self, file: &File) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() || Owner::of(&file.metadata()?) == self {
            return Ok(());
        }
        match fchown(file, Some(self.user), Some(self.group)) {
            // Root of a container, or in front of another machine's disk, may give nothing away; it can write all the same.
            Err(error) if MAY_NOT.contains(&error.kind()) => Ok(()),
            given => given,
        }
    }

    /// The same of what is at a path, unless somebody else has put something there that leads elsewhere.
    pub fn give_path(self, path: &Path) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
        let metadata = file.metadata()?;
        // Another name of a file may be anywhere, in a directory of root's too.
        let is_only_here = metadata.is_dir() || (metadata.is_file() && metadata.nlink() == 1);
        if is_only_here { self.give_to(&file) } else { Ok(()) }
    }

    /// The same of a directory and all files in it.
    pub fn give_directory(self, directory: &Path) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        self.give_path(directory)?;
        fs::read_dir(directory)?.try_for_each(|entry| self.give_path(&entry?.path()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const STRANGER: Owner = Owner { user: 12_345, group: 12_346 };

    #[test]
    fn what_leads_elsewhere_is_not_given_away() {
        let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, secret) = (place.path().join("file"), elsewhere.path().join("secret"));
        for path in [&file, &secret] {
            fs::write(path, "").unwrap();
        }
        fs::hard_link(&secret, place.path().join("hard link")).unwrap();
        symlink(&secret, place.path().join("symlink")).unwrap();
        let ours = Owner::of_path(&secret).unwrap();
        let given = STRANGER.give_directory(place.path());
        if rustix::process::geteuid().is_root() {
            // The symbolic link is refused, and the rest may have been given or not.
            given.unwrap_err();
            fs::remove_file(place.path().join("symlink")).unwrap();
            STRANGER.give_directory(place.path()).unwrap();
            assert_eq!([place.path(), &file].map(|path| Owner::of_path(path).unwrap()), [STRANGER; 2]);
        } else {
            // Nobody else can give anything away.
            given.unwrap();
            assert_eq!([place.path(), &file].map(|path| Owner::of_path(path).unwrap()), [ours; 2]);
        }
        assert_eq!(Owner::of_path(&secret).unwrap(), ours);
    }
}
