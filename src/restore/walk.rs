//! The walk over the snapshot: makes directories, hands everything else to whoever restores it.
//!
//! Directories of the target are held open by descriptor while they are worked in, but not all of a deep way down: far
//! above, they are closed, and opened again on the way back, which must lead to the very same directory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::AtFlags;

use crate::error::{Error, Result};
use crate::progress::Counters;
use crate::repository::metadata::{
    Captured, FileType, NotSet, OPEN_LEVELS_MAX, apply_fd, open_again, read_xattrs_fd, stat_fd,
};
use crate::repository::node::{DIRECTORY_LETTER, DirectoryRoot, HardLink, Node};
use crate::repository::page_cursor::{Head, PageCursor};
use crate::restore::links::Role;
use crate::restore::target::{Directory, Place};
use crate::restore::{Action, Mode, Run};

/// Groups of hard links whose first name lies outside of what is restored, remembered by name; files of further ones
/// are restored each for itself.
const FOREIGN_GROUPS_MAX: usize = 100_000;

/// One entry that is no directory, on its way to whoever restores it.
pub(super) struct Job {
    pub place: Place,
    pub name: Vec<u8>,
    /// Relative to the target.
    pub path: Vec<u8>,
    pub node: Node,
    pub role: Role,
}

impl Job {
    pub fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }
}

/// A directory on the way down.
struct Frame<'a> {
    place: Place,
    /// Its descriptor was closed for the time being.
    closed: bool,
    entries: PageCursor<'a>,
    /// Of the path of the directory above.
    parent_path_length: usize,
}

/// A directory to go down into.
struct Opened {
    /// `None` where it is missing and nothing is made.
    fd: Option<OwnedFd>,
    is_new: bool,
}

/// The walk's own state.
struct Walker<'r, 'a> {
    run: &'r Run<'a>,
    stack: Vec<Frame<'a>>,
    path: Vec<u8>,
    foreign_groups: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Run<'a> {
    /// Walks the snapshot in order of names, parents first.
    ///
    /// After a failure, no directory that is under way gets its metadata: what is not complete shall not look it.
    pub(super) fn walk(&self, send: &mut dyn FnMut(Job) -> Result<()>) -> Result<()> {
        let again = |fd: &OwnedFd| fd.try_clone().map_err(Error::io("open again", &self.options.to));
        let fd = self.target.as_ref().map(|target| again(&target.fd)).transpose()?;
        let (stack, path) = (Vec::new(), Vec::new());
        let mut walker = Walker { run: self, stack, path, foreign_groups: HashMap::new() };
        match self.root.directory() {
            Some(root) => walker.walk_from(root, fd, send),
            None => walker.single_entry(fd, send),
        }
    }

    /// Gives a directory its metadata, once everything in it was made.
    pub(super) fn finish_directory(&self, directory: &Directory, fd: BorrowedFd<'_>) {
        if let (Some(node), Mode::Write) = (&directory.node, self.mode) {
            let (node, xattrs) = self.wanted(node, &directory.path);
            for not_set in apply_fd(fd, &node, &xattrs, &self.owners, &self.apply) {
                self.tally.not_set(&directory.path, not_set);
            }
        }
    }
}

impl<'a> Walker<'_, 'a> {
    /// Something that is no directory goes into the target under its own name; the target itself stays as it is.
    fn single_entry(&mut self, fd: Option<OwnedFd>, send: &mut dyn FnMut(Job) -> Result<()>) -> Result<()> {
        let name = self.run.prefix.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
        if !is_single_name(&name) {
            return Err(Error::invalid("path", String::from_utf8_lossy(self.run.prefix), "it does not end in a name"));
        }
        let place = Place::new(Directory { path: Vec::new(), node: None, identity: None, is_new: false }, fd);
        let path = name.clone();
        send(Job { place, name, path, node: self.run.root.clone(), role: Role::Alone })
    }

    fn walk_from(
        &mut self,
        root: &DirectoryRoot,
        fd: Option<OwnedFd>,
        send: &mut dyn FnMut(Job) -> Result<()>,
    ) -> Result<()> {
        match &fd {
            None => self.run.act(Action::Create, b"", DIRECTORY_LETTER),
            Some(fd) => {
                let found = self.run.target.as_ref().map(|target| target.found);
                found.iter().for_each(|found| self.compare_directory(found, fd.as_fd(), self.run.root, b""));
            }
        }
        self.push(self.run.root.clone(), root, Opened { fd, is_new: false }, 0)?;
        while let Some(frame) = self.stack.last_mut() {
            self.run.check_stopped()?;
            match next_entry(&mut frame.entries) {
                Ok(None) => self.leave()?,
                Ok(Some((name, node))) => self.visit(name, node, send)?,
                // What of the directory can still be read comes next.
                Err(error) => self.run.fail(&self.path, error),
            }
        }
        Ok(())
    }

    /// Goes down into a directory; `self.path` is its path already.
    fn push(&mut self, node: Node, root: &DirectoryRoot, opened: Opened, parent_path_length: usize) -> Result<()> {
        let Opened { fd, is_new } = opened;
        let look =
            |fd: &OwnedFd| stat_fd(fd.as_fd()).map_err(Error::io("look at", self.run.tally.full_path(&self.path)));
        let identity = fd.as_ref().map(look).transpose()?.map(|found| found.identity());
        if let (Some(fd), true) = (&fd, self.run.options.delete && self.run.mode != Mode::Verify) {
            self.run.delete_extras(fd.as_fd(), root, &self.path)?;
        }
        let directory = Directory { path: self.path.clone(), node: Some(node), identity, is_new };
        let place = Place::new(directory, fd);
        let entries = PageCursor::of_directory(self.run.chunks, root.page.as_ref());
        self.stack.push(Frame { place, closed: false, entries, parent_path_length });
        if let Some(far_above) = self.stack.len().checked_sub(OPEN_LEVELS_MAX).and_then(|at| self.stack.get_mut(at)) {
            far_above.closed = far_above.place.fd.take().is_some();
        }
        Ok(())
    }

    /// Goes back up.
    fn leave(&mut self) -> Result<()> {
        let Some(done) = self.stack.pop() else { return Ok(()) };
        self.path.truncate(done.parent_path_length);
        if let (Some(parent), Some(target)) = (self.stack.last_mut(), &self.run.target)
            && parent.closed
            && let Some(identity) = parent.place.directory.identity
        {
            let below = done.place.fd.as_deref().map(OwnedFd::as_fd);
            let failed = Error::io("go back up to", self.run.tally.full_path(&self.path));
            let fd = open_again(identity, below, target.fd.as_fd(), &self.path).map_err(failed)?;
            parent.place.fd = Some(fd.into());
            parent.closed = false;
        }
        done.place.release(self.run);
        Ok(())
    }

    fn visit(&mut self, name: Vec<u8>, node: Node, send: &mut dyn FnMut(Job) -> Result<()>) -> Result<()> {
        let Some(frame) = self.stack.last() else { return Ok(()) };
        let place = frame.place.clone();
        if !is_single_name(&name) {
            let object = format!("the directory \"{}\" of the snapshot", String::from_utf8_lossy(&self.path));
            self.run.fail(&self.path, Error::corrupt(object, "it has an entry whose name leads elsewhere"));
            return Ok(());
        }
        let parent_path_length = self.path.len();
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&name);
        if let Some(root) = node.directory().cloned() {
            match self.enter(&place, OsStr::from_bytes(&name), &node) {
                Ok(opened) => {
                    self.run.tally.report().entries += u64::from(self.run.mode != Mode::Verify);
                    Counters::add(&self.run.tally.counters().entries, 1);
                    return self.push(node, &root, opened, parent_path_length);
                }
                Err(error) => self.run.fail(&self.path, error),
            }
        } else {
            let role = self.role(&node);
            if role == Role::Leader {
                self.run.links.announce(&self.path);
            }
            send(Job { place, name, path: self.path.clone(), node, role })?;
        }
        self.path.truncate(parent_path_length);
        Ok(())
    }

    /// Opens the directory in the target that an entry stands for, and makes it where it is missing.
    fn enter(&self, place: &Place, name: &OsStr, node: &Node) -> Result<Opened> {
        let run = self.run;
        let failed = |operation| Error::io(operation, run.tally.full_path(&self.path));
        let found = place.look(run, name, &self.path)?;
        let action = match &found {
            Some(captured) if captured.file_type == FileType::Directory => {
                if run.protected.contains(&captured.identity()) {
                    return Err(failed("restore into")(io::Error::other("it is the repository")));
                }
                let fd =
                    run.open_existing(place.open_fd(run)?, name, captured).map_err(failed("open the directory"))?;
                self.compare_directory(captured, fd.as_fd(), node, &self.path);
                return Ok(Opened { fd: Some(fd), is_new: false });
            }
            Some(captured) => {
                run.links.name_goes(captured);
                Action::Replace
            }
            None => Action::Create,
        };
        run.act(action, &self.path, DIRECTORY_LETTER);
        if run.mode != Mode::Write {
            return Ok(Opened { fd: None, is_new: true });
        }
        let dir = place.open_fd(run)?;
        if found.is_some() {
            rustix::fs::unlinkat(dir, name, AtFlags::empty()).map_err(|errno| failed("replace")(errno.into()))?;
        }
        let fd = run.make_directory(dir, name).map_err(failed("create the directory"))?;
        Ok(Opened { fd: Some(fd), is_new: true })
    }

    /// Tells where the metadata of a directory that was found will change.
    fn compare_directory(&self, found: &Captured, fd: BorrowedFd<'_>, node: &Node, path: &[u8]) {
        // What cannot be read is told when the metadata is set.
        let xattrs = self.run.tree.xattrs(node).unwrap_or_default();
        if self.run.metadata_differs(found, read_xattrs_fd(fd), node, &xattrs) {
            self.run.act(Action::SetMetadata, path, DIRECTORY_LETTER);
        }
    }

    /// What this entry is among the names of its file.
    fn role(&mut self, node: &Node) -> Role {
        let Some(link) = &node.hard_link else { return Role::Alone };
        if let Some(first) = beneath(self.run.prefix, &link.first_path) {
            if first == self.path {
                return Role::Leader;
            }
            if comes_before(first, &self.path) && self.is_first_name(first, link) {
                return Role::Follower { leader: first.to_vec() };
            }
        }
        if let Some(leader) = self.foreign_groups.get(&link.first_path) {
            return Role::Follower { leader: leader.clone() };
        }
        if self.foreign_groups.len() >= FOREIGN_GROUPS_MAX {
            let cause = io::Error::other(format!("more than {FOREIGN_GROUPS_MAX} files have names outside"));
            self.run.tally.not_set(&self.path, NotSet { what: "hard links".into(), cause });
            return Role::Stray;
        }
        self.foreign_groups.insert(link.first_path.clone(), self.path.clone());
        Role::Leader
    }

    /// Whether the snapshot really has the first name of the group there: then the walk has passed it.
    fn is_first_name(&self, first: &[u8], link: &HardLink) -> bool {
        match self.run.tree.lookup_path(self.run.root, first) {
            Ok(Some(node)) => node.hard_link.is_some_and(|its| its.first_path == link.first_path),
            _ => false,
        }
    }
}

/// The next entry of a directory. After an error, the one behind what cannot be read.
fn next_entry(entries: &mut PageCursor<'_>) -> Result<Option<(Vec<u8>, Node)>> {
    loop {
        let opened = match entries.head() {
            Ok(Head::End) => return Ok(None),
            Ok(Head::Page(_)) => entries.open(),
            Ok(Head::Entry) => {
                let Some((page, at)) = entries.entry() else { return Ok(None) };
                let entry = page.key(at).and_then(|name| Ok((name.to_vec(), page.value(at, Node::decode)?)));
                entries.pass();
                return entry.map(Some);
            }
            Err(error) => Err(error),
        };
        if let Err(error) = opened {
            entries.pass();
            return Err(error);
        }
    }
}

/// `path` relative to the directory `prefix`, if it lies beneath it.
fn beneath<'p>(prefix: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    if prefix.is_empty() { Some(path) } else { path.strip_prefix(prefix)?.strip_prefix(b"/") }
}

/// Whether a walk in order of names, parents first, passes `a` before `b`.
fn comes_before(a: &[u8], b: &[u8]) -> bool {
    a.split(|&byte| byte == b'/').lt(b.split(|&byte| byte == b'/'))
}

/// False for a stored name that would lead elsewhere.
fn is_single_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_the_walk_is_by_names_not_by_bytes_of_paths() {
        assert!(comes_before(b"a/z", b"a.b"));
        assert!(comes_before(b"a", b"a/b"));
        assert!(comes_before(b"a/b", b"b"));
        assert!(!comes_before(b"a", b"a"));
        assert!(!comes_before(b"b", b"a/b"));
    }

    #[test]
    fn only_whole_components_lie_beneath() {
        assert_eq!(beneath(b"", b"a/b"), Some(&b"a/b"[..]));
        assert_eq!(beneath(b"a", b"a/b"), Some(&b"b"[..]));
        assert_eq!(beneath(b"a", b"ab/c"), None);
        assert_eq!(beneath(b"a", b"a"), None);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
            assert!(!is_single_name(name));
        }
        assert!(is_single_name(b"..."));
    }
}
