//! One entry that is no directory: restored as itself, or as another name of a file.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::progress::Counters;
use crate::repository::metadata::{
    Captured, FileType, NotSet, apply_at, create_special_at, open_beneath, read_link_at, read_xattrs_at,
};
use crate::repository::node::{Node, NodeKind};
use crate::restore::links::Role;
use crate::restore::target::Temporary;
use crate::restore::walk::Job;
use crate::restore::{Action, Mode, PlannedAction, Run};

/// Files up to this long are read together with those beside them.
const READ_TOGETHER_MAX_BYTES: u64 = 128 << 10;

/// What stands where an entry belongs.
pub(super) enum Standing {
    Nothing,
    /// Something of another type.
    Other,
    /// The right type, but with more names than it may have: changing it would change them, wherever they are.
    Shared,
    Same(Captured),
}

impl Run<'_> {
    fn standing(&self, found: Option<&Captured>, node: &Node) -> Standing {
        let names_max = node.hard_link.as_ref().map_or(1, |link| link.count.max(1));
        match found {
            None => Standing::Nothing,
            Some(found) if found.file_type != FileType::of(&node.kind) => Standing::Other,
            Some(found) if self.links.names_left(found) > names_max => Standing::Shared,
            Some(found) => Standing::Same(*found),
        }
    }

    /// Restores the entries of a stretch.
    pub(super) fn process_stretch(&self, stretch: Vec<Job>) {
        self.read_small_files(&stretch);
        stretch.into_iter().for_each(|job| self.process(job));
    }

    /// Brings what the small files of a stretch hold into the cache: they lie side by side in their packs, so that a call or
    /// two reads them all. Only where every one of them will be written: elsewhere it is enough to hash what is there.
    fn read_small_files(&self, stretch: &[Job]) {
        let all_are_written = self.mode == Mode::Write && stretch.first().is_some_and(|job| job.place.directory.is_new);
        if !all_are_written {
            return;
        }
        let small = stretch.iter().filter_map(|job| match &job.node.kind {
            NodeKind::File { content, .. } if content.size <= READ_TOGETHER_MAX_BYTES => Some(content),
            _ => None,
        });
        // Whatever cannot be read is asked for again by the file that needs it, which says why.
        if let Err(error) = self.contents.prefetch_small(small) {
            log::debug!("small files are read one by one: {error}");
        }
    }

    /// Restores one entry, or tells why it could not be.
    pub(super) fn process(&self, job: Job) {
        let is_leader = job.role == Role::Leader;
        let followers_wait = is_leader.then(|| self.links.start(&job.path));
        match self.check_stopped().and_then(|()| self.restore_entry(&job)) {
            Ok(()) => self.count(&job.node),
            Err(error) => {
                if is_leader {
                    self.links.fail(&job.path);
                }
                self.fail(&job.path, error);
            }
        }
        drop(followers_wait);
        if self.check_stopped().is_ok() {
            job.place.release(self);
        }
    }

    fn count(&self, node: &Node) {
        let is_file = u64::from(matches!(node.kind, NodeKind::File { .. }));
        let mut report = self.tally.report();
        if self.mode != Mode::Verify {
            report.entries += 1;
            report.files += is_file;
        }
        Counters::add(&self.tally.counters().entries, 1);
        Counters::add(&self.tally.counters().files, is_file);
    }

    fn restore_entry(&self, job: &Job) -> Result<()> {
        match &job.role {
            // Reading back, the bytes count, not how they got there.
            Role::Follower { leader } if self.mode != Mode::Verify => self.link(job, leader),
            _ => self.restore_alone(job),
        }
    }

    fn restore_alone(&self, job: &Job) -> Result<()> {
        let found = match job.place.directory.is_new {
            // What is there all the same shows itself when the entry is made.
            true => None,
            false => job.place.look(self, job.file_name(), &job.path)?,
        };
        let standing = self.standing(found.as_ref(), &job.node);
        // What is not kept is counted at once, before another name of it is looked at.
        if let (Some(found), Standing::Other | Standing::Shared) = (&found, &standing) {
            self.links.name_goes(found);
        }
        let directory_in_the_way = found.is_some_and(|found| found.file_type == FileType::Directory);
        if directory_in_the_way {
            self.check_way(job.place.open_fd(self)?, job.file_name(), &job.path)?;
        }
        match &job.node.kind {
            NodeKind::File { content, .. } => self.restore_file(job, standing, content)?,
            _ => self.restore_special(job, standing)?,
        }
        if directory_in_the_way && self.mode == Mode::Plan {
            self.clear_way(job.place.open_fd(self)?, job.file_name(), &job.path)?;
        }
        Ok(())
    }

    /// A symlink, fifo, socket or device.
    fn restore_special(&self, job: &Job, standing: Standing) -> Result<()> {
        let action = match standing {
            Standing::Nothing => Action::Create,
            Standing::Other | Standing::Shared => Action::Replace,
            Standing::Same(captured) if self.has_other_target(job)? => {
                self.links.name_goes(&captured);
                Action::Update
            }
            Standing::Same(captured) => {
                let dir = job.place.open_fd(self)?;
                return self.set_metadata(job, &captured, read_xattrs_at(dir, job.file_name()), |node, xattrs| {
                    apply_at(dir, job.file_name(), node, xattrs, &self.owners, &self.apply)
                });
            }
        };
        self.act_on(job, action);
        self.renew(job);
        if self.mode != Mode::Write {
            return Ok(());
        }
        self.put_in_place(job, |dir, name| {
            let failed = Error::io("create", self.tally.full_path(&job.path));
            create_special_at(dir, name, &job.node.kind).map_err(failed)?;
            let (node, xattrs) = self.wanted(&job.node, &job.path);
            self.note_not_set(job, apply_at(dir, name, &node, &xattrs, &self.owners, &self.apply));
            Ok(())
        })
    }

    fn has_other_target(&self, job: &Job) -> Result<bool> {
        let NodeKind::Symlink { target } = &job.node.kind else { return Ok(false) };
        let found = read_link_at(job.place.open_fd(self)?, job.file_name());
        found.map(|found| found != *target).map_err(Error::io("read the symlink", self.tally.full_path(&job.path)))
    }

    /// Gives an entry whose content is right its metadata, where that differs.
    pub(super) fn set_metadata(
        &self,
        job: &Job,
        state: &Captured,
        present: io::Result<Vec<crate::repository::node::Xattr>>,
        apply: impl FnOnce(&Node, &[crate::repository::node::Xattr]) -> Vec<NotSet>,
    ) -> Result<()> {
        if self.mode == Mode::Verify {
            // Whatever metadata could not be set was found when it was set.
            return Ok(());
        }
        let (node, xattrs) = self.wanted(&job.node, &job.path);
        if self.metadata_differs(state, present, &node, &xattrs) {
            self.act_on(job, Action::SetMetadata);
            if self.mode == Mode::Write {
                self.note_not_set(job, apply(&node, &xattrs));
            }
        }
        Ok(())
    }

    pub(super) fn note_not_set(&self, job: &Job, list: Vec<NotSet>) {
        list.into_iter().for_each(|not_set| self.tally.not_set(&job.path, not_set));
    }

    /// Makes an entry by `fill` under a temporary name, and lets it take its place when it is complete. In a directory that
    /// this pass made, which is closed to others and had nothing to keep, it has its own name at once: renaming costs as
    /// much as making.
    pub(super) fn put_in_place(&self, job: &Job, fill: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<()>) -> Result<()> {
        let dir = job.place.open_fd(self)?;
        if job.place.directory.is_new {
            let mut made = Temporary::named(job.file_name(), dir);
            match fill(dir, &made.name) {
                // Another name of the snapshot is the same to this file system.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => made.keep(),
                Err(error) => return Err(error),
                Ok(()) => {
                    made.keep();
                    return Ok(());
                }
            }
        }
        let temporary = Temporary::new(&self.names, dir);
        fill(dir, &temporary.name)?;
        self.settle(job, temporary)
    }

    fn settle(&self, job: &Job, mut temporary: Temporary<'_>) -> Result<()> {
        let (dir, name) = (temporary.dir, job.file_name());
        let settled = match temporary.settle(name) {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                self.check_way(dir, name, &job.path)?;
                self.clear_way(dir, name, &job.path)?;
                temporary.settle(name)
            }
            settled => settled,
        };
        settled.map_err(Error::io("put in place", self.tally.full_path(&job.path)))
    }

    /// Makes an entry a further name of its leader.
    fn link(&self, job: &Job, leader: &[u8]) -> Result<()> {
        let restored = self.links.wait_for(leader);
        self.check_stopped()?;
        let linked = if restored {
            self.try_link(job, leader)
        } else {
            Err(io::Error::other("it could not be restored").into())
        };
        match linked {
            Ok(()) => {
                Counters::add(&self.tally.counters().bytes, job.node.size());
                Ok(())
            }
            Err(LinkFailure::Entry(error)) => Err(error),
            Err(LinkFailure::Leader(cause)) => {
                let what = format!("hard link to \"{}\"", String::from_utf8_lossy(leader));
                self.tally.not_set(&job.path, NotSet { what, cause });
                self.restore_alone(job)
            }
        }
    }

    fn try_link(&self, job: &Job, leader: &[u8]) -> Result<(), LinkFailure> {
        let found = job.place.look(self, job.file_name(), &job.path)?;
        let is_directory = found.is_some_and(|found| found.file_type == FileType::Directory);
        if is_directory {
            self.check_way(job.place.open_fd(self)?, job.file_name(), &job.path)?;
        }
        if self.mode == Mode::Plan && self.links.is_renewed(leader) {
            found.iter().for_each(|found| self.links.name_goes(found));
            return self.plan_link(job, is_directory);
        }
        let (leader_dir, leader_name) = split(leader);
        let target = self.target.as_ref().ok_or(Errno::NOENT)?;
        let leader_dir = open_beneath(target.fd.as_fd(), leader_dir)?;
        let leader_is = crate::repository::metadata::stat_at(leader_dir.as_fd(), leader_name)?;
        if leader_is.file_type != FileType::of(&job.node.kind) {
            return Err(io::Error::other("something else stands there").into());
        }
        if found.is_some_and(|found| found.identity() == leader_is.identity()) {
            return Ok(());
        }
        found.iter().for_each(|found| self.links.name_goes(found));
        if self.mode == Mode::Plan {
            return self.plan_link(job, is_directory);
        }
        let temporary = Temporary::new(&self.names, job.place.open_fd(self)?);
        rustix::fs::linkat(&leader_dir, leader_name, temporary.dir, &temporary.name, AtFlags::empty())?;
        self.act_on(job, Action::Link);
        Ok(self.settle(job, temporary)?)
    }

    fn plan_link(&self, job: &Job, directory_in_the_way: bool) -> Result<(), LinkFailure> {
        self.act_on(job, Action::Link);
        if directory_in_the_way {
            self.clear_way(job.place.open_fd(self)?, job.file_name(), &job.path)?;
        }
        Ok(())
    }

    /// What stands there now, if anything, will not be the file of this leader.
    pub(super) fn renew(&self, job: &Job) {
        if job.role == Role::Leader {
            self.links.renew(&job.path);
        }
    }

    pub(super) fn act_on(&self, job: &Job, action: Action) {
        self.act(action, &job.path, job.node.kind.letter());
    }

    /// Tells an action. Where everything is only read back, one that concerns content is a problem.
    pub(super) fn act(&self, action: Action, path: &[u8], letter: u8) {
        let reason = match (self.mode, action) {
            (Mode::Plan | Mode::Write, _) => return self.tally.planned(&PlannedAction { action, path, letter }),
            (Mode::Verify, Action::SetMetadata | Action::Link | Action::Delete) => return,
            (Mode::Verify, Action::Create) => "it is missing",
            (Mode::Verify, Action::Replace) => "it is something else",
            (Mode::Verify, Action::Update) => "its content differs",
        };
        self.tally.problem_because(path, format!("reading it back: {reason}"));
    }
}

/// Why an entry did not become another name of its leader.
enum LinkFailure {
    /// The entry's own place is the trouble.
    Entry(Error),
    /// The leader, or linking as such: the entry can be a file of its own.
    Leader(io::Error),
}

impl From<Error> for LinkFailure {
    fn from(error: Error) -> LinkFailure {
        LinkFailure::Entry(error)
    }
}

impl From<io::Error> for LinkFailure {
    fn from(cause: io::Error) -> LinkFailure {
        LinkFailure::Leader(cause)
    }
}

impl From<Errno> for LinkFailure {
    fn from(errno: Errno) -> LinkFailure {
        LinkFailure::Leader(errno.into())
    }
}

/// A path's directory and last name.
fn split(path: &[u8]) -> (&[u8], &OsStr) {
    use std::os::unix::ffi::OsStrExt;
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], OsStr::from_bytes(&path[at + 1..])),
        None => (b"", OsStr::from_bytes(path)),
    }
}
