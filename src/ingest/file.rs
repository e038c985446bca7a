//! One entry that is no directory: its metadata, and for a regular file its bytes, read so that a change in the
//! middle is noticed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::ingest::hard_links::{FileKey, ReadFile, SharedReads};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::metadata::{
    Captured, FileType, OwnerNames, open_file_at, read_link_at, read_xattrs_at, read_xattrs_fd, stat_at, stat_fd,
};
use crate::repository::node::{Node, NodeKind, XATTRS_INLINE_MAX_BYTES, Xattr, Xattrs};
use crate::repository::page::PageSink;
use crate::repository::session::WriteSession;
use crate::repository::tree::Witness;
use crate::store::DataLane;
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::time::{Clock, Timestamp};

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 << 10;

/// Attempts at a file that changes while it is read; then it is stored as last read, and flagged.
const READ_ATTEMPTS: u32 = 3;

/// A file changed less than this before it was read may change again without its ctime telling. Kernels stamp files by a
/// clock that ticks every 1 to 10 ms, old filesystems by whole seconds; and stores through a mapping stamp a page only
/// when it was clean, which it is half a minute after the last stamp, when the system has written it back.
const SETTLED_AFTER_NANOS: i64 = 60_000_000_000;

/// How many of the first bytes tell text from binary, as git does: a zero byte means binary.
const SNIFF_BYTES: usize = 8000;

/// What all readers of one ingest share.
pub(super) struct Reading<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    pub monitor: &'a dyn Monitor,
    pub clock: &'a Clock,
    pub owners: &'a OwnerNames,
    pub shared: SharedReads,
    /// Read every file, also those that are certainly the same.
    pub reread: bool,
}

/// An entry, what tells next time that it is unchanged, and which file it is if that has several names.
type CapturedEntry = (Node, Witness, Option<(FileKey, u32)>);

/// One entry to capture.
pub(super) struct FileJob {
    pub directory: Arc<OwnedFd>,
    /// The directory's path below the ingested one, for messages.
    pub directory_path: Arc<Path>,
    pub name: OsString,
    /// The entry of this name in the previous snapshot.
    pub previous: Option<(Node, Witness)>,
}

/// What became of a [`FileJob`].
pub(super) enum FileOutcome {
    Captured {
        node: Box<Node>,
        witness: Witness,
        linked: Option<(FileKey, u32)>,
    },
    /// It vanished after its directory was listed: the snapshot is of a time when it was gone.
    Vanished,
    /// It could not be read, which was reported.
    Unreadable,
}

/// Why an entry could not be captured.
enum CaptureError {
    /// The source's fault: only this entry is lost.
    Source { operation: &'static str, cause: io::Error },
    /// The repository's: nothing more can be stored.
    Repository(Error),
}

impl From<Error> for CaptureError {
    fn from(error: Error) -> CaptureError {
        CaptureError::Repository(error)
    }
}

fn source<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> CaptureError {
    move |cause| CaptureError::Source { operation, cause: cause.into() }
}

impl FileJob {
    pub fn path(&self) -> PathBuf {
        self.directory_path.join(&self.name)
    }
}

impl Reading<'_, '_> {
    /// Captures one entry. An error here is the repository's and ends the ingest.
    pub fn capture(&self, job: &FileJob, lane: &mut DataLane) -> Result<FileOutcome> {
        let outcome = self.capture_entry(job, lane);
        lane.release();
        self.session.publish_if_due((self.clock)())?;
        match outcome {
            Ok((node, witness, linked)) => {
                let counters = self.monitor.counters();
                Counters::add(&counters.entries, 1);
                Counters::add(&counters.files, u64::from(matches!(node.kind, NodeKind::File { .. })));
                Ok(FileOutcome::Captured { node: Box::new(node), witness, linked })
            }
            Err(CaptureError::Repository(error)) => Err(error),
            Err(CaptureError::Source { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                Ok(FileOutcome::Vanished)
            }
            Err(CaptureError::Source { operation, cause }) => {
                self.monitor.problem(Problem { path: job.path(), reason: format!("cannot {operation}: {cause}") });
                Ok(FileOutcome::Unreadable)
            }
        }
    }

    fn capture_entry(&self, job: &FileJob, lane: &mut DataLane) -> Result<CapturedEntry, CaptureError> {
        let directory = job.directory.as_fd();
        let captured = stat_at(directory, &job.name).map_err(source("look at it"))?;
        let kind = match captured.file_type {
            FileType::File => return self.capture_file(job, captured, lane),
            FileType::Symlink => {
                NodeKind::Symlink { target: read_link_at(directory, &job.name).map_err(source("read the link"))? }
            }
            FileType::Fifo => NodeKind::Fifo,
            FileType::Socket => NodeKind::Socket,
            FileType::CharacterDevice(number) => NodeKind::CharacterDevice(number),
            FileType::BlockDevice(number) => NodeKind::BlockDevice(number),
            FileType::Directory => {
                let cause = io::Error::other("it became a directory after its directory was listed");
                return Err(CaptureError::Source { operation: "read it", cause });
            }
        };
        let (xattrs, _) = self.capture_xattrs(job, read_xattrs_at(directory, &job.name))?;
        Ok((base_node(&captured, self.owners, xattrs, kind), Witness::None, FileKey::of_linked(&captured)))
    }

    fn capture_file(
        &self,
        job: &FileJob,
        captured: Captured,
        lane: &mut DataLane,
    ) -> Result<CapturedEntry, CaptureError> {
        let counters = self.monitor.counters();
        let known = if self.reread { None } else { unchanged(&captured, job) };
        if let Some((content, xattrs, witness)) = known {
            Counters::add(&counters.files_unchanged, 1);
            Counters::add(&counters.bytes, content.size);
            let kind = NodeKind::File { content, torn: false };
            return Ok((base_node(&captured, self.owners, xattrs, kind), witness, FileKey::of_linked(&captured)));
        }
        let fd = open_file_at(job.directory.as_fd(), &job.name).map_err(source("open it"))?;
        // Not by the look before: another file may have taken the name since.
        let opened = stat_fd(fd.as_fd()).map_err(source("look at it"))?;
        let file = match FileKey::of_linked(&opened) {
            None => self.read_settled(job, fd.as_fd(), opened, lane)?,
            Some((key, count)) => {
                self.shared.get_or_read(key, count, || self.read_settled(job, fd.as_fd(), opened, lane))?
            }
        };
        let ReadFile { content, torn, captured, witness } = file;
        let (xattrs, all) = self.capture_xattrs(job, read_xattrs_fd(fd.as_fd()))?;
        let kind = NodeKind::File { content, torn };
        let witness = if all { witness } else { Witness::None };
        Ok((base_node(&captured, self.owners, xattrs, kind), witness, FileKey::of_linked(&captured)))
    }

    /// Reads a file until it did not change meanwhile, or the attempts are used up.
    fn read_settled(
        &self,
        job: &FileJob,
        fd: BorrowedFd,
        mut before: Captured,
        lane: &mut DataLane,
    ) -> Result<ReadFile, CaptureError> {
        let started = (self.clock)();
        let previous_class = match job.previous.as_ref().map(|(node, _)| &node.kind) {
            Some(NodeKind::File { content, .. }) if content.size > 0 => Some(content.class),
            _ => None,
        };
        let mut counted = 0;
        for attempt in 1.. {
            if before.file_type != FileType::File {
                let cause = io::Error::other("it is no regular file any more");
                return Err(CaptureError::Source { operation: "read it", cause });
            }
            let content = self.read_once(fd, &before, previous_class, lane, &mut counted)?;
            let after = stat_fd(fd).map_err(source("look at it"))?;
            let same = content.size == after.size
                && (before.size, before.modified, before.changed) == (after.size, after.modified, after.changed);
            if same || attempt == READ_ATTEMPTS {
                if !same {
                    let reason = format!("it changed during each of {READ_ATTEMPTS} attempts to read it");
                    self.monitor.problem(Problem { path: job.path(), reason });
                }
                self.count_up_to(content.size, &mut counted);
                let witness = match same && is_settled(after.changed, started) {
                    true => Witness::Seen { changed: after.changed, inode: after.inode },
                    false => Witness::None,
                };
                return Ok(ReadFile { content, torn: !same, captured: after, witness });
            }
            before = after;
        }
        // The last attempt returns, and there is at least one.
        unreachable!("the loop ends by its attempts")
    }

    fn read_once(
        &self,
        fd: BorrowedFd,
        captured: &Captured,
        class: Option<ChunkClass>,
        lane: &mut DataLane,
        counted: &mut u64,
    ) -> Result<Content, CaptureError> {
        let mut buffer = vec![0u8; READ_BYTES.min(usize::try_from(captured.size).unwrap_or(READ_BYTES) + 1)];
        let sniffed =
            rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buffer[..], 0)).map_err(source("read it"))?;
        let class = class.unwrap_or_else(|| sniff(&buffer[..sniffed.min(SNIFF_BYTES)]));
        let mut writer = ContentWriter::new(lane, self.session, class);
        if !has_holes(fd, captured.size) {
            Counters::add(&self.monitor.counters().bytes_read, sniffed as u64);
            writer.write(&buffer[..sniffed])?;
            // A buffer that was not filled met the end: small files cost one read.
            if sniffed == buffer.len() {
                // One byte more tells that it grew; all more would be an endless race with a fast writer.
                let end = captured.size.saturating_add(1);
                self.read_range(fd, (sniffed as u64, end), &mut buffer, &mut writer, counted)?;
            }
            return Ok(writer.finish()?);
        }
        let mut at = 0;
        while at < captured.size {
            let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
                // No data behind this place.
                Err(Errno::NXIO) => captured.size,
                data => data.map_err(source("find its holes"))?.min(captured.size),
            };
            writer.hole(data - at)?;
            self.count_up_to(data, counted);
            if data < captured.size {
                let hole = rustix::fs::seek(fd, SeekFrom::Hole(data)).map_err(source("find its holes"))?;
                at = self.read_range(fd, (data, hole.min(captured.size)), &mut buffer, &mut writer, counted)?;
                if at < hole.min(captured.size) {
                    break;
                }
            } else {
                at = data;
            }
        }
        Ok(writer.finish()?)
    }

    /// Reads bytes `at..end`, or up to the end of the file; returns where it stopped.
    fn read_range<S: PageSink + ?Sized>(
        &self,
        fd: BorrowedFd,
        (mut at, end): (u64, u64),
        buffer: &mut [u8],
        writer: &mut ContentWriter<S>,
        counted: &mut u64,
    ) -> Result<u64, CaptureError> {
        while at < end {
            if self.monitor.is_cancelled() {
                return Err(CaptureError::Repository(Error::Interrupted));
            }
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let got = match rustix::io::pread(fd, &mut buffer[..wanted], at) {
                Err(Errno::INTR) => continue,
                got => got.map_err(source("read it"))?,
            };
            if got == 0 {
                break;
            }
            Counters::add(&self.monitor.counters().bytes_read, got as u64);
            writer.write(&buffer[..got])?;
            at += got as u64;
            self.count_up_to(at, counted);
            self.session.publish_if_due((self.clock)())?;
        }
        Ok(at)
    }

    /// Counts bytes of a file as they are read, so that a long one does not look like none; what an earlier attempt
    /// counted is not counted again.
    fn count_up_to(&self, reached: u64, counted: &mut u64) {
        Counters::add(&self.monitor.counters().bytes, reached.saturating_sub(*counted));
        *counted = reached.max(*counted);
    }

    /// The attributes of an entry that were read, stored. Where they could not be read that is a problem, and the entry
    /// does without them: then the second value is false.
    fn capture_xattrs(&self, job: &FileJob, list: io::Result<Vec<Xattr>>) -> Result<(Xattrs, bool), CaptureError> {
        match list {
            Ok(list) => Ok(self.store_xattrs(list, || job.path())?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(source("read its attributes")(cause)),
            Err(cause) => {
                let reason = format!("cannot read its attributes: {cause}");
                self.monitor.problem(Problem { path: job.path(), reason });
                Ok((Xattrs::None, false))
            }
        }
    }

    /// Puts attributes where they belong: few into the node, many into a chunk. More than a chunk holds are a problem
    /// of the entry at `path`, which does without them: then the second value is false.
    pub fn store_xattrs(&self, list: Vec<Xattr>, path: impl FnOnce() -> PathBuf) -> Result<(Xattrs, bool)> {
        if list.is_empty() {
            return Ok((Xattrs::None, true));
        }
        let encoded = Xattrs::encode_list(&list);
        if encoded.len() <= XATTRS_INLINE_MAX_BYTES {
            return Ok((Xattrs::Inline(list), true));
        }
        if encoded.len() > CHUNK_MAX_BYTES {
            let bytes = encoded.len();
            let reason = format!("cannot store its attributes: they take {bytes} bytes, more than {CHUNK_MAX_BYTES}");
            self.monitor.problem(Problem { path: path(), reason });
            return Ok((Xattrs::None, false));
        }
        Ok((Xattrs::Chunk(self.session.put_page(&encoded)?), true))
    }
}

/// Whether the filesystem tells of a hole in these bytes. Its count of blocks would not do: it counts blocks of
/// attributes, and ones that are reserved but unwritten.
fn has_holes(fd: BorrowedFd, size: u64) -> bool {
    // A filesystem that cannot tell has none.
    size > 0 && rustix::fs::seek(fd, SeekFrom::Hole(0)).is_ok_and(|hole| hole < size)
}

/// A node with everything that stat tells.
pub(super) fn base_node(captured: &Captured, owners: &OwnerNames, xattrs: Xattrs, kind: NodeKind) -> Node {
    Node {
        permissions: captured.permissions,
        uid: captured.uid,
        gid: captured.gid,
        owner: owners.user_name(captured.uid),
        group: owners.group_name(captured.gid),
        modified: captured.modified,
        xattrs,
        hard_link: None,
        kind,
    }
}

/// The previous content and attributes of a file that is certainly the same: nobody can set ctime back, and it was
/// old enough when the file was read that a later change shows in it.
fn unchanged(captured: &Captured, job: &FileJob) -> Option<(Content, Xattrs, Witness)> {
    let (node, witness) = job.previous.as_ref()?;
    let NodeKind::File { content, torn: false } = &node.kind else { return None };
    let seen = Witness::Seen { changed: captured.changed, inode: captured.inode };
    let same = *witness == seen && node.modified == captured.modified && content.size == captured.size;
    same.then(|| (content.clone(), node.xattrs.clone(), seen))
}

/// Whether a file last changed at `changed` could not change again, after a reading that began at `started`, without its
/// ctime telling.
fn is_settled(changed: Timestamp, started: Timestamp) -> bool {
    let nanos = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    nanos(changed) + i128::from(SETTLED_AFTER_NANOS) <= nanos(started)
}

fn sniff(first: &[u8]) -> ChunkClass {
    if first.contains(&0) { ChunkClass::Large } else { ChunkClass::Small }
}

/// Bytes of a name.
pub(super) fn name_bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}
