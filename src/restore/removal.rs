//! Removal of what the snapshot does not have, and of what stands in the way.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir};

use crate::error::{Error, Result};
use crate::repository::metadata::{Captured, FileType, stat_fd};
use crate::repository::node::DirectoryRoot;
use crate::restore::target::letter;
use crate::restore::{Action, Mode, Run};

/// Directories in directories that are removed; each level holds one open.
const REMOVAL_LEVELS_MAX: u32 = 256;

impl Run<'_> {
    /// Deletes what stands in the open directory and not in the snapshot's. Each name is looked up in the snapshot:
    /// where that fails, nothing more is deleted here.
    pub(super) fn delete_extras(&self, dir: BorrowedFd<'_>, root: &DirectoryRoot, path: &[u8]) -> Result<()> {
        let done = self.each_name(dir, path, |name, path| {
            if self.tree.lookup(root, name.as_bytes())?.is_none() {
                self.remove(dir, name, path, 0)?;
            }
            Ok(())
        });
        match done {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                self.tally.problem_because(path, format!("nothing more is deleted here: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Calls `work` with each name in a directory, and its path.
    fn each_name(
        &self,
        dir: BorrowedFd<'_>,
        path: &[u8],
        mut work: impl FnMut(&OsStr, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: rustix::io::Errno| Error::io("list", self.tally.full_path(path))(error.into());
        let mut below = path.to_vec();
        for entry in Dir::read_from(dir).map_err(failed)? {
            self.check_stopped()?;
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            below.truncate(path.len());
            if !path.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(name);
            work(OsStr::from_bytes(name), &below)?;
        }
        Ok(())
    }

    /// Removes an entry and everything below it. False where something of it stayed; why was told.
    pub(super) fn remove(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8], level: u32) -> Result<bool> {
        let Some(captured) = self.look(dir, name, path)? else { return Ok(true) };
        let is_directory = captured.file_type == FileType::Directory;
        if is_directory && !self.remove_below(dir, name, path, &captured, level)? {
            return Ok(false);
        }
        self.links.name_goes(&captured);
        self.act(Action::Delete, path, letter(captured.file_type));
        if self.mode == Mode::Write {
            let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            if let Err(errno) = rustix::fs::unlinkat(dir, name, flags) {
                self.fail(path, Error::io("delete", self.tally.full_path(path))(errno.into()));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Empties a directory. False where something stayed.
    fn remove_below(
        &self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        path: &[u8],
        captured: &Captured,
        level: u32,
    ) -> Result<bool> {
        let stays = |reason: &str| {
            self.tally.problem_because(path, format!("not deleted: {reason}"));
            Ok(false)
        };
        let failed = |operation| Error::io(operation, self.tally.full_path(path));
        if self.protected.contains(&captured.identity()) {
            return stays("it is the repository");
        }
        if stat_fd(dir).map_err(failed("look above"))?.device != captured.device {
            return stays("something is mounted there");
        }
        if level >= REMOVAL_LEVELS_MAX {
            return stays(&format!("it lies more than {REMOVAL_LEVELS_MAX} directories deep"));
        }
        let fd = match self.open_existing(dir, name, captured) {
            Ok(fd) => fd,
            Err(error) => {
                self.fail(path, failed("open the directory")(error));
                return Ok(false);
            }
        };
        let mut emptied = true;
        let done = self.each_name(fd.as_fd(), path, |name, path| {
            emptied &= self.remove(fd.as_fd(), name, path, level + 1)?;
            Ok(())
        });
        match done {
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                self.fail(path, error);
                Ok(false)
            }
            Ok(()) => Ok(emptied),
        }
    }

    /// Fails where a directory stands in the way that may not be removed.
    pub(super) fn check_way(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<()> {
        if self.options.delete || !super::target::has_entries(dir, name) {
            return Ok(());
        }
        let cause = io::Error::other("it is not empty; with --delete it would be removed");
        Err(Error::io("replace the directory", self.tally.full_path(path))(cause))
    }

    /// Removes the directory that stands in the way.
    pub(super) fn clear_way(&self, dir: BorrowedFd<'_>, name: &OsStr, path: &[u8]) -> Result<()> {
        if self.remove(dir, name, path, 0)? {
            return Ok(());
        }
        let cause = io::Error::other("something in it could not be removed");
        Err(Error::io("replace the directory", self.tally.full_path(path))(cause))
    }
}
