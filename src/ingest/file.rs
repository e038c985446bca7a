//! One entry that is no directory: its metadata, and for a regular file its bytes, read so that a change in the
//! middle is noticed.
//!
//! A small file costs six system calls, a file that is unchanged one: open, look, read, look again, list the attributes,
//! close. What the listing of its directory told saves a look by name; that no part of what was read is zeros saves the
//! question for holes; that a read met the end saves another read.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::ingest::backups::BackupTold;
use crate::ingest::hard_links::{Linked, ReadFile, SharedReads, linked};
use crate::ingest::pieces_ahead::{AHEAD_MIN_BYTES, Piece, PiecesAhead, read_ahead};
use crate::progress::{Counters, Monitor};
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::metadata::{
    Captured, FileType, OwnerNames, open_file_at, read_link_at, read_xattrs_at, read_xattrs_fd, stat_at, stat_fd,
};
use crate::repository::node::{Node, NodeKind, XATTRS_INLINE_MAX_BYTES, Xattr, Xattrs};
use crate::repository::page::PageSink;
use crate::repository::predecessor::Predecessor;
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::tree::Witness;
use crate::store::chunker::CHUNK_MAX_BYTES;
use crate::store::{BaseHint, DataLane, EncodeQueue};
use crate::time::{Clock, Timestamp};

/// Bytes read from a file at once. A file that is longer takes long.
const READ_BYTES: usize = 256 << 10;

/// Attempts at a file that changes while it is read; then it is stored as last read, and flagged.
const READ_ATTEMPTS: u32 = 3;

/// A file changed less than this before it was read may change again without its ctime telling. Kernels stamp files by a
/// clock that ticks every 1 to 10 ms, old filesystems by whole seconds; and stores through a mapping stamp a page only
/// when it was clean, which it is half a minute after the last stamp, when the system has written it back.
const SETTLED_AFTER_NANOS: i64 = 60_000_000_000;

/// Holes begin at multiples of this: no filesystem has smaller blocks.
const HOLE_STEP_BYTES: usize = 512;

/// What all readers of one ingest share.
pub(super) struct Reading<'a, 'r> {
    pub session: &'a WriteSession<'r>,
    pub monitor: &'a dyn Monitor,
    pub clock: &'a Clock,
    pub owners: &'a OwnerNames,
    pub shared: SharedReads,
    /// What new files may be like.
    pub relatives: Relatives<'a>,
    /// Read every file, also those that are certainly the same.
    pub reread: bool,
}

/// What one reader has for itself.
pub(super) struct Tools<'a, 'r> {
    lane: DataLane<'a, 'r>,
    buffer: Box<[u8]>,
}

impl<'a, 'r> Tools<'a, 'r> {
    pub fn new(reading: &Reading<'a, 'r>, queue: EncodeQueue) -> Tools<'a, 'r> {
        Tools { lane: reading.session.chunks().data_lane(Some(queue)), buffer: vec![0; READ_BYTES].into() }
    }

    /// Leaves to others what can be shared.
    pub fn release(&mut self) -> Result<()> {
        self.lane.release()
    }
}

/// One entry to capture.
pub(super) struct FileJob {
    pub directory: Arc<OwnedFd>,
    pub name: Vec<u8>,
    /// A regular file, as the listing of its directory told.
    pub is_file: bool,
    /// The entry of this name in the previous snapshot.
    pub previous: Option<Box<Found>>,
}

/// One entry that is captured.
pub(super) struct CapturedEntry {
    pub name: Vec<u8>,
    /// `None` where it could not be read; and where it vanished after its directory was listed: the snapshot is of a time
    /// when it was gone.
    pub found: Option<Box<Found>>,
    /// What could not be read, of it or all of it.
    pub problems: Vec<String>,
    /// What it tells of the copy of a server that it lies in.
    pub told: Option<Box<BackupTold>>,
}

/// An entry, what tells next time that it is unchanged, and which file it is if that has several names. Boxed on its way
/// from thread to thread, as it is large.
pub(super) struct Found {
    pub node: Node,
    pub witness: Witness,
    pub linked: Option<Linked>,
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

fn cannot_read(why: &str) -> CaptureError {
    source("read it")(io::Error::other(why))
}

impl FileJob {
    fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    /// Whether something vouches for what the previous snapshot has here, and the file need not be heard.
    fn has_witness(&self) -> bool {
        let is_heard = |node: &Node| BackupTold::is_expected(&self.name, node.size());
        self.previous
            .as_ref()
            .is_some_and(|found| matches!(found.witness, Witness::Seen { .. }) && !is_heard(&found.node))
    }
}

impl<'a, 'r> Reading<'a, 'r> {
    /// Captures one entry; `at_length` is called before a long file is read. An error here is the repository's and ends
    /// the ingest.
    pub fn capture(
        &self,
        job: FileJob,
        tools: &mut Tools<'a, 'r>,
        at_length: &mut dyn FnMut(),
    ) -> Result<CapturedEntry> {
        let mut capture = Capture { reading: self, job, tools, at_length, problems: Vec::new(), told: None };
        let found = match capture.entry() {
            Ok(found) => {
                let counters = self.monitor.counters();
                Counters::add(&counters.entries, 1);
                Counters::add(&counters.files, u64::from(matches!(found.node.kind, NodeKind::File { .. })));
                Some(Box::new(found))
            }
            Err(CaptureError::Repository(error)) => return Err(error),
            Err(CaptureError::Source { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(CaptureError::Source { operation, cause }) => {
                capture.problems.push(format!("cannot {operation}: {cause}"));
                None
            }
        };
        let Capture { job, problems, told, .. } = capture;
        Ok(CapturedEntry { name: job.name, found, problems, told })
    }

    /// Publishes finished packs once there are enough of them.
    pub fn publish_if_due(&self) -> Result<()> {
        self.session.publish_if_due((self.clock)())
    }

    /// Reads bytes `at..end`, or up to the end of the file; returns where it stopped.
    fn read_range<S: PageSink + ?Sized>(
        &self,
        fd: BorrowedFd,
        (mut at, end): (u64, u64),
        writer: &mut ContentWriter<S>,
        counted: &mut u64,
    ) -> Result<u64, CaptureError> {
        if end.saturating_sub(at) >= AHEAD_MIN_BYTES {
            let (range, headroom_bytes) = (at..end, writer.headroom_bytes());
            let work = |pieces: &PiecesAhead| self.take_pieces(pieces, &mut at, writer, counted);
            if let Some(taken) = read_ahead(fd, range, headroom_bytes, work) {
                return taken.map(|()| at);
            }
        }
        while at < end {
            self.refuse_cancelled()?;
            let room = writer.room();
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(room.len());
            let got = match rustix::io::pread(fd, &mut room[..wanted], at) {
                Err(Errno::INTR) => continue,
                got => got.map_err(source("read it"))?,
            };
            if got == 0 {
                break;
            }
            writer.advance(got)?;
            self.note_read(got, &mut at, counted)?;
        }
        Ok(at)
    }

    /// Takes pieces that another thread reads, from `at` on.
    fn take_pieces<S: PageSink + ?Sized>(
        &self,
        pieces: &PiecesAhead,
        at: &mut u64,
        writer: &mut ContentWriter<S>,
        counted: &mut u64,
    ) -> Result<(), CaptureError> {
        while let Some(Piece { buffer, range }) = pieces.next().map_err(source("read it"))? {
            self.refuse_cancelled()?;
            let got = range.len();
            pieces.give_back(writer.take_buffer(buffer, range)?);
            self.note_read(got, at, counted)?;
        }
        Ok(())
    }

    fn refuse_cancelled(&self) -> Result<(), CaptureError> {
        if self.monitor.is_cancelled() { Err(CaptureError::Repository(Error::Interrupted)) } else { Ok(()) }
    }

    /// Counts what was read at `at`, and publishes what is due.
    fn note_read(&self, got: usize, at: &mut u64, counted: &mut u64) -> Result<()> {
        Counters::add(&self.monitor.counters().bytes_read, got as u64);
        *at += got as u64;
        self.count_up_to(*at, counted);
        self.publish_if_due()
    }

    /// Counts bytes of a file as they are read, so that a long one does not look like none; what an earlier attempt
    /// counted is not counted again.
    fn count_up_to(&self, reached: u64, counted: &mut u64) {
        Counters::add(&self.monitor.counters().bytes, reached.saturating_sub(*counted));
        *counted = reached.max(*counted);
    }

    /// Reads the first `size` bytes of a file that has holes.
    fn read_around_holes<S: PageSink + ?Sized>(
        &self,
        fd: BorrowedFd,
        size: u64,
        writer: &mut ContentWriter<S>,
        counted: &mut u64,
    ) -> Result<(), CaptureError> {
        let mut at = 0;
        while at < size {
            let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
                // No data behind this place.
                Err(Errno::NXIO) => size,
                data => data.map_err(source("find its holes"))?.min(size),
            };
            writer.hole(data - at)?;
            self.count_up_to(data, counted);
            at = data;
            if data < size {
                let hole = rustix::fs::seek(fd, SeekFrom::Hole(data)).map_err(source("find its holes"))?.min(size);
                at = self.read_range(fd, (data, hole), writer, counted)?;
                if at < hole {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Puts attributes where they belong: few into the node, many into a chunk. An entry does without more than a chunk
    /// holds: then the second value is false, and `problem` is told.
    pub fn store_xattrs(&self, list: Vec<Xattr>, problem: impl FnOnce(String)) -> Result<(Xattrs, bool)> {
        if list.is_empty() {
            return Ok((Xattrs::None, true));
        }
        let encoded = Xattrs::encode_list(&list);
        if encoded.len() <= XATTRS_INLINE_MAX_BYTES {
            return Ok((Xattrs::Inline(list), true));
        }
        if encoded.len() > CHUNK_MAX_BYTES {
            let bytes = encoded.len();
            problem(format!("cannot store its attributes: they take {bytes} bytes, more than {CHUNK_MAX_BYTES}"));
            return Ok((Xattrs::None, false));
        }
        Ok((Xattrs::Chunk(self.session.put_page(&encoded, false, &BaseHint::default)?), true))
    }
}

/// The capturing of one entry.
struct Capture<'c, 'a, 'r> {
    reading: &'c Reading<'a, 'r>,
    job: FileJob,
    tools: &'c mut Tools<'a, 'r>,
    at_length: &'c mut dyn FnMut(),
    problems: Vec<String>,
    told: Option<Box<BackupTold>>,
}

impl Capture<'_, '_, '_> {
    fn entry(&mut self) -> Result<Found, CaptureError> {
        let directory = self.job.directory.clone();
        let directory = directory.as_fd();
        let may_be_unchanged = !self.reading.reread && self.job.has_witness();
        if self.job.is_file
            && !may_be_unchanged
            && let Ok(fd) = open_file_at(directory, self.job.file_name())
            && let Ok(opened) = stat_fd(fd.as_fd())
            && opened.file_type == FileType::File
        {
            return self.file(fd.as_fd(), opened);
        }
        let captured = stat_at(directory, self.job.file_name()).map_err(source("look at it"))?;
        let kind = match captured.file_type {
            FileType::File => {
                if may_be_unchanged && let Some(found) = self.unchanged(&captured) {
                    return Ok(found);
                }
                let fd = open_file_at(directory, self.job.file_name()).map_err(source("open it"))?;
                // Not by the look before: another file may have taken the name since.
                let opened = stat_fd(fd.as_fd()).map_err(source("look at it"))?;
                return self.file(fd.as_fd(), opened);
            }
            FileType::Symlink => NodeKind::Symlink {
                target: read_link_at(directory, self.job.file_name()).map_err(source("read the link"))?,
            },
            FileType::Fifo => NodeKind::Fifo,
            FileType::Socket => NodeKind::Socket,
            FileType::CharacterDevice(number) => NodeKind::CharacterDevice(number),
            FileType::BlockDevice(number) => NodeKind::BlockDevice(number),
            FileType::Directory => {
                return Err(cannot_read("it became a directory after its directory was listed"));
            }
        };
        let (xattrs, _) = self.xattrs(read_xattrs_at(directory, self.job.file_name()))?;
        let node = base_node(&captured, self.reading.owners, xattrs, kind);
        Ok(Found { node, witness: Witness::None, linked: linked(&captured) })
    }

    /// A file that is certainly the same as in the previous snapshot, unread: nobody can set ctime back, and it was old
    /// enough when the file was read that a later change shows in it.
    fn unchanged(&mut self, captured: &Captured) -> Option<Found> {
        let seen = Witness::Seen { changed: captured.changed, inode: captured.inode };
        let is_same = |before: &mut Box<Found>| {
            before.witness == seen
                && before.node.modified == captured.modified
                && matches!(&before.node.kind, NodeKind::File { content, torn: false } if content.size == captured.size)
        };
        let Node { xattrs, kind, .. } = self.job.previous.take_if(is_same)?.node;
        let counters = self.reading.monitor.counters();
        Counters::add(&counters.files_unchanged, 1);
        Counters::add(&counters.bytes, captured.size);
        let node = base_node(captured, self.reading.owners, xattrs, kind);
        Some(Found { node, witness: seen, linked: linked(captured) })
    }

    /// Reads an open file.
    fn file(&mut self, fd: BorrowedFd, opened: Captured) -> Result<Found, CaptureError> {
        let file = match linked(&opened) {
            None => self.read_settled(fd, opened)?,
            Some(linked) => self.reading.shared.get_or_read(linked, || self.read_settled(fd, opened))?,
        };
        let ReadFile { content, torn, captured, witness } = file;
        self.told = BackupTold::of(&self.job.name, fd, &captured);
        let (xattrs, all) = self.xattrs(read_xattrs_fd(fd))?;
        let node = base_node(&captured, self.reading.owners, xattrs, NodeKind::File { content, torn });
        let witness = if all { witness } else { Witness::None };
        Ok(Found { node, witness, linked: linked(&captured) })
    }

    /// Reads a file until it did not change meanwhile, or the attempts are used up.
    fn read_settled(&mut self, fd: BorrowedFd, mut before: Captured) -> Result<ReadFile, CaptureError> {
        let started = (self.reading.clock)();
        let previous = match self.job.previous.as_ref().map(|before| &before.node.kind) {
            Some(NodeKind::File { content, .. }) if content.size > 0 => Some(content.clone()),
            _ => None,
        };
        let mut counted = 0;
        for attempt in 1.. {
            if before.file_type != FileType::File {
                return Err(cannot_read("it is no regular file any more"));
            }
            let content = self.read_once(fd, before.size, previous.as_ref(), &mut counted)?;
            let after = stat_fd(fd).map_err(source("look at it"))?;
            let same = content.size == after.size
                && (before.size, before.modified, before.changed) == (after.size, after.modified, after.changed);
            if same || attempt == READ_ATTEMPTS {
                if !same {
                    self.problems.push(format!("it changed during each of {READ_ATTEMPTS} attempts to read it"));
                }
                self.reading.count_up_to(content.size, &mut counted);
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

    /// Reads a file of `size` bytes.
    fn read_once(
        &mut self,
        fd: BorrowedFd,
        size: u64,
        previous: Option<&Content>,
        counted: &mut u64,
    ) -> Result<Content, CaptureError> {
        let (reading, Tools { lane, buffer }) = (self.reading, &mut *self.tools);
        // One byte more tells that it grew; all more would be an endless race with a fast writer.
        let end = size.saturating_add(1);
        let wanted = usize::try_from(end).unwrap_or(usize::MAX).min(buffer.len());
        let got = rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut buffer[..wanted], 0));
        let first = got.map_err(source("read it"))?;
        let class = previous.map_or_else(|| ChunkClass::of(&buffer[..first]), |previous| previous.class);
        let previous = previous.map(|content| Predecessor::new(reading.session.chunks().store(), content));
        if first == buffer.len() {
            (self.at_length)();
        }
        let mut writer = ContentWriter::new(lane, reading.session, class, previous).with_relatives(&reading.relatives);
        let is_whole = first as u64 == size && first < wanted;
        if !(is_whole && is_solid(&buffer[..first])) && has_holes(fd, size) {
            reading.read_around_holes(fd, size, &mut writer, counted)?;
            return Ok(writer.finish()?);
        }
        Counters::add(&reading.monitor.counters().bytes_read, first as u64);
        writer.write(&buffer[..first])?;
        if !is_whole {
            reading.read_range(fd, (first as u64, end), &mut writer, counted)?;
        }
        Ok(writer.finish()?)
    }

    /// The attributes of the entry that were read, stored. Where they could not be read that is a problem, and the entry
    /// does without them: then the second value is false.
    fn xattrs(&mut self, list: io::Result<Vec<Xattr>>) -> Result<(Xattrs, bool), CaptureError> {
        match list {
            Ok(list) => Ok(self.reading.store_xattrs(list, |reason| self.problems.push(reason))?),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(source("read its attributes")(cause)),
            Err(cause) => {
                self.problems.push(format!("cannot read its attributes: {cause}"));
                Ok((Xattrs::None, false))
            }
        }
    }
}

/// True where these bytes, all of a file, cannot hold a hole: one would begin with a zero.
fn is_solid(bytes: &[u8]) -> bool {
    bytes.iter().step_by(HOLE_STEP_BYTES).all(|&byte| byte != 0)
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

/// Whether a file last changed at `changed` could not change again, after a reading that began at `started`, without its
/// ctime telling.
fn is_settled(changed: Timestamp, started: Timestamp) -> bool {
    let nanos = |time: Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    nanos(changed) + i128::from(SETTLED_AFTER_NANOS) <= nanos(started)
}
