//! The content of one file: compared with what is there, written anew, or written in place where it differs.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Advice, FallocateFlags, Mode as Permissions, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::progress::Counters;
use crate::repository::content::{Content, ContentBody, Extent, ExtentSource};
use crate::repository::content_reader::PlacedExtent;
use crate::repository::content_stream::STREAM_MIN_BYTES;
use crate::repository::metadata::{
    Captured, apply_fd, apply_written_fd, open_file_at, read_full_at, read_xattrs_fd, stat_fd, target_owner,
};
use crate::restore::entry::Standing;
use crate::restore::target::{OWNER_ONLY, first_permissions};
use crate::restore::walk::Job;
use crate::restore::{Action, Mode, Run};
use crate::store::chunker::CHUNK_MAX_BYTES;

/// A file of at least this size that differs is written in place; a smaller one is written anew beside its place.
pub const IN_PLACE_MIN_BYTES: u64 = 16 << 20;

/// Extents of one file that are remembered as different, 8 bytes each; beyond it they are searched a second time.
const REMEMBERED_EXTENTS_MAX: usize = 1 << 20;

/// Zeros are read, and written, this many bytes at a time.
const ZEROS_BYTES: usize = 64 << 10;

/// How a file's content compares with what it is to be.
enum Comparison {
    Equal,
    /// It differs, and is written anew.
    Differs,
    /// It differs in these places only.
    DiffersIn(Differences),
}

/// Where a file differs.
#[derive(Default)]
struct Differences {
    /// Where the extents that differ begin.
    starts: Vec<u64>,
    /// There are more of them than these.
    has_more: bool,
    /// Bytes of data in all that differ.
    data_bytes: u64,
}

/// What a comparison is to find out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Whether the bytes are right.
    Bytes,
    /// Also whether its holes are holes.
    BytesAndHoles,
    /// The same, and where it differs.
    Places,
}

/// An existing file that is compared.
struct Existing<'f> {
    fd: BorrowedFd<'f>,
    size: u64,
    block_bytes: u64,
    buffer: Vec<u8>,
}

impl Run<'_> {
    pub(super) fn restore_file(&self, job: &Job, standing: Standing, content: &Content) -> Result<()> {
        let action = match standing {
            Standing::Nothing => Action::Create,
            Standing::Other => Action::Replace,
            // The bytes can be right nevertheless, and more than that is not asked for.
            Standing::Shared if self.mode != Mode::Verify => Action::Replace,
            Standing::Shared => match job.place.look(self, job.file_name(), &job.path)? {
                Some(captured) => return self.restore_over(job, &captured, content),
                None => Action::Create,
            },
            Standing::Same(captured) => return self.restore_over(job, &captured, content),
        };
        self.act_on(job, action);
        self.restore_anew(job, content)
    }

    /// A file stands there.
    fn restore_over(&self, job: &Job, captured: &Captured, content: &Content) -> Result<()> {
        let dir = job.place.open_fd(self)?;
        // What cannot be read is replaced, if the directory permits that.
        let Ok(fd) = open_file_at(dir, job.file_name()) else {
            return self.update_anew(job, captured, content);
        };
        if self.mode == Mode::Verify {
            forget_cached(fd.as_fd());
        }
        let question = match self.mode {
            Mode::Verify => Question::Bytes,
            _ if self.may_write_in_place(job, captured, content) => Question::Places,
            _ => Question::BytesAndHoles,
        };
        match self.compare(job, fd.as_fd(), content, question)? {
            Comparison::Equal => {
                self.count_unchanged(content, question);
                self.set_metadata(job, captured, read_xattrs_fd(fd.as_fd()), |node, xattrs| {
                    apply_fd(fd.as_fd(), node, xattrs, &self.owners, &self.apply)
                })
            }
            Comparison::Differs => self.update_anew(job, captured, content),
            Comparison::DiffersIn(differences) => {
                self.act_on(job, Action::Update);
                self.restore_in_place(job, captured, content, &differences)
            }
        }
    }

    fn update_anew(&self, job: &Job, captured: &Captured, content: &Content) -> Result<()> {
        self.links.name_goes(captured);
        self.act_on(job, Action::Update);
        self.restore_anew(job, content)
    }

    /// In place only where nobody else could see or change what is written: no other names, and the right owner.
    fn may_write_in_place(&self, job: &Job, captured: &Captured, content: &Content) -> bool {
        let owner = match self.apply.as_root {
            true => target_owner(&job.node, &self.owners, &self.apply).0,
            false => rustix::process::geteuid().as_raw(),
        };
        content.size >= IN_PLACE_MIN_BYTES && captured.size > 0 && captured.link_count == 1 && captured.uid == owner
    }

    fn count_unchanged(&self, content: &Content, question: Question) {
        if question == Question::BytesAndHoles {
            Counters::add(&self.tally.counters().bytes, content.size);
        }
        if self.mode == Mode::Verify {
            self.tally.report().bytes_verified += content.data_bytes;
        } else {
            self.tally.report().bytes_unchanged += content.data_bytes;
            Counters::add(&self.tally.counters().files_unchanged, 1);
        }
    }

    /// Writes the file beside its place, and puts it there.
    fn restore_anew(&self, job: &Job, content: &Content) -> Result<()> {
        self.renew(job);
        if self.mode == Mode::Write {
            self.put_in_place(job, |dir, name| {
                let failed = |operation| Error::io(operation, self.tally.full_path(&job.path));
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(dir, name, flags, first_permissions(&job.node))
                    .map_err(|errno| failed("create")(errno.into()))?;
                // Without holes, writing gives it its size.
                if content.data_bytes < content.size {
                    resize(fd.as_fd(), content.size).map_err(|errno| failed("resize")(errno.into()))?;
                }
                self.write_content(job, fd.as_fd(), content)?;
                self.apply_to(job, &fd);
                Ok(())
            })?;
        } else {
            Counters::add(&self.tally.counters().bytes, content.size);
        }
        if self.mode != Mode::Verify {
            self.tally.report().bytes_written += content.data_bytes;
        }
        Ok(())
    }

    /// Writes all of a content into a new file that has its size.
    fn write_content(&self, job: &Job, fd: BorrowedFd<'_>, content: &Content) -> Result<()> {
        if content.data_bytes < STREAM_MIN_BYTES {
            return self
                .each_extent(content, |placed| self.write_extent(job, fd, content, placed).map(ControlFlow::Continue));
        }
        self.contents.stream(content, self.options.threads, |placed, bytes| {
            self.check_stopped()?;
            self.write_bytes(job, fd, &placed, bytes).map(ControlFlow::Continue)
        })
    }

    fn apply_to(&self, job: &Job, fd: &OwnedFd) {
        let (node, xattrs) = self.wanted(&job.node, &job.path);
        self.note_not_set(job, apply_written_fd(fd.as_fd(), &node, &xattrs, &self.owners, &self.apply));
    }

    /// Writes the extents that differ into the file that stands there.
    fn restore_in_place(
        &self,
        job: &Job,
        captured: &Captured,
        content: &Content,
        differences: &Differences,
    ) -> Result<()> {
        if self.mode == Mode::Write {
            let failed = |operation| Error::io(operation, self.tally.full_path(&job.path));
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(job.place.open_fd(self)?, job.file_name(), flags, Permissions::empty());
            // A program that runs, a file that its owner may not write: those can still be replaced.
            let Ok(fd) = opened else { return self.restore_anew(job, content) };
            let found = stat_fd(fd.as_fd()).map_err(failed("look at"))?;
            if found.identity() != captured.identity() || found.link_count != 1 {
                return self.restore_anew(job, content);
            }
            let closed = rustix::fs::fchmod(&fd, OWNER_ONLY).and_then(|()| resize(fd.as_fd(), content.size));
            closed.map_err(|errno| failed("prepare")(errno.into()))?;
            self.write_differences(job, fd.as_fd(), content, differences)?;
            self.apply_to(job, &fd);
        } else {
            Counters::add(&self.tally.counters().bytes, differences.data_bytes);
        }
        let mut report = self.tally.report();
        report.bytes_written += differences.data_bytes;
        report.bytes_unchanged += content.data_bytes.saturating_sub(differences.data_bytes);
        Ok(())
    }

    fn write_differences(
        &self,
        job: &Job,
        fd: BorrowedFd<'_>,
        content: &Content,
        differences: &Differences,
    ) -> Result<()> {
        if differences.has_more {
            let mut existing = Existing::new(fd).map_err(|errno| self.read_failed(job)(errno))?;
            return self.each_extent(content, |placed| {
                if !self.extent_matches(&mut existing, content, &placed, Question::Places, job)? {
                    self.write_extent(job, fd, content, placed)?;
                }
                Ok(ControlFlow::Continue(()))
            });
        }
        for &start in &differences.starts {
            self.check_stopped()?;
            let Some(placed) = self.contents.extents_from(content, start).next() else { continue };
            self.write_extent(job, fd, content, placed?)?;
        }
        Ok(())
    }

    /// Compares the open file with the content.
    fn compare(&self, job: &Job, fd: BorrowedFd<'_>, content: &Content, question: Question) -> Result<Comparison> {
        let mut existing = Existing::new(fd).map_err(|errno| self.read_failed(job)(errno))?;
        let resized = existing.size != content.size;
        if resized && question != Question::Places {
            return Ok(Comparison::Differs);
        }
        let mut differences = Differences::default();
        let mut differs = resized;
        self.each_extent(content, |placed| {
            if self.extent_matches(&mut existing, content, &placed, question, job)? {
                // What would be written anew after all must not count twice; a long file must not look like none.
                if question != Question::BytesAndHoles {
                    Counters::add(&self.tally.counters().bytes, placed.extent.length);
                }
                return Ok(ControlFlow::Continue(()));
            }
            differs = true;
            if question != Question::Places {
                return Ok(ControlFlow::Break(()));
            }
            differences.add(&placed);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(match (differs, question) {
            (false, _) => Comparison::Equal,
            (true, Question::Places) => Comparison::DiffersIn(differences),
            (true, _) => Comparison::Differs,
        })
    }

    fn read_failed(&self, job: &Job) -> impl FnOnce(Errno) -> Error + use<> {
        let error = Error::io("read", self.tally.full_path(&job.path));
        |errno| error(errno.into())
    }

    /// Calls `work` with each extent until it has seen enough; a content in its node is one extent whose chunk nobody
    /// asks for.
    fn each_extent(
        &self,
        content: &Content,
        mut work: impl FnMut(PlacedExtent) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        if let ContentBody::Inline(bytes) = &content.body {
            let source = ExtentSource::Chunk { id: ChunkId([0; 32]), offset: 0 };
            let extent = Extent { length: bytes.len() as u64, source };
            return if bytes.is_empty() { Ok(()) } else { work(PlacedExtent { start: 0, extent }).map(|_| ()) };
        }
        let mut end = 0u64;
        for placed in self.contents.extents_from(content, 0) {
            self.check_stopped()?;
            let placed = placed?;
            end = placed.end();
            if work(placed)?.is_break() {
                return Ok(());
            }
        }
        content.check_end(end)
    }

    /// Calls `work` with an extent's bytes.
    fn with_bytes<T>(&self, content: &Content, extent: &Extent, work: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let ExtentSource::Chunk { id, offset } = extent.source else { return Ok(work(&[])) };
        if let ContentBody::Inline(bytes) = &content.body {
            return Ok(work(bytes));
        }
        let part = |chunk: &[u8]| {
            let from = usize::try_from(offset).ok();
            let part = from
                .zip(usize::try_from(extent.length).ok())
                .and_then(|(from, length)| chunk.get(from..)?.get(..length).map(work));
            part.ok_or_else(|| Error::corrupt(format!("an extent of chunk {id}"), "it reaches beyond the chunk"))
        };
        // Data is used once: what is in memory serves, but nothing is pushed out for it.
        match self.chunks.get_cached(&id) {
            Some(chunk) => part(&chunk),
            None => part(&self.chunks.load(&id)?),
        }
    }

    fn extent_matches(
        &self,
        existing: &mut Existing<'_>,
        content: &Content,
        placed: &PlacedExtent,
        question: Question,
        job: &Job,
    ) -> Result<bool> {
        let PlacedExtent { start, extent } = placed;
        let end = start.saturating_add(extent.length);
        let ExtentSource::Chunk { id, offset } = extent.source else {
            let strict = question != Question::Bytes;
            return existing.has_hole(*start, end, strict).map_err(|errno| self.read_failed(job)(errno));
        };
        let there = existing.read(*start, extent.length).map_err(|errno| self.read_failed(job)(errno))?;
        // A chunk that is used whole need not be read: its id is the hash of its bytes.
        let Some(there) = there else { return self.with_bytes(content, extent, |_| false) };
        if offset == 0 && ChunkId::of(there) == id {
            return Ok(true);
        }
        self.with_bytes(content, extent, |wanted| there == wanted)
    }

    /// Writes one extent into a file that has its final size.
    fn write_extent(&self, job: &Job, fd: BorrowedFd<'_>, content: &Content, placed: PlacedExtent) -> Result<()> {
        self.with_bytes(content, &placed.extent, |bytes| self.write_bytes(job, fd, &placed, bytes))?
    }

    fn write_bytes(&self, job: &Job, fd: BorrowedFd<'_>, placed: &PlacedExtent, bytes: &[u8]) -> Result<()> {
        let written = match placed.extent.source {
            ExtentSource::Hole => make_hole(fd, placed.start, placed.end()),
            ExtentSource::Chunk { .. } => write_all(fd, bytes, placed.start),
        };
        Counters::add(&self.tally.counters().bytes, placed.extent.length);
        written.map_err(|errno| Error::io("write", self.tally.full_path(&job.path))(errno.into()))
    }
}

impl Differences {
    fn add(&mut self, placed: &PlacedExtent) {
        if self.starts.len() < REMEMBERED_EXTENTS_MAX {
            self.starts.push(placed.start);
        } else {
            self.has_more = true;
        }
        self.data_bytes = self.data_bytes.saturating_add(placed.extent.totals().data_bytes);
    }
}

impl<'f> Existing<'f> {
    fn new(fd: BorrowedFd<'f>) -> Result<Existing<'f>, Errno> {
        let stat = rustix::fs::fstat(fd)?;
        let size = u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?;
        let block_bytes = u64::try_from(stat.st_blksize).unwrap_or(0).max(512);
        Ok(Existing { fd, size, block_bytes, buffer: Vec::new() })
    }

    /// Bytes of the file; `None` where it has not that many there.
    fn read(&mut self, start: u64, length: u64) -> Result<Option<&[u8]>, Errno> {
        let end = start.checked_add(length);
        let length = usize::try_from(length).ok().filter(|&length| length <= CHUNK_MAX_BYTES);
        let (Some(end), Some(length)) = (end, length) else { return Ok(None) };
        if end > self.size {
            return Ok(None);
        }
        self.buffer.resize(length, 0);
        let is_there = read_full_at(self.fd, &mut self.buffer, start)? == length;
        Ok(is_there.then_some(&self.buffer[..]))
    }

    /// Whether this range reads as zeros and, if `strict`, takes no room that a hole would not. What lies behind the end
    /// of the file will be a hole by itself.
    fn has_hole(&mut self, start: u64, end: u64, strict: bool) -> Result<bool, Errno> {
        let end = end.min(self.size);
        let mut at = start;
        while let Some((data, data_end)) = next_data(self.fd, at, end)? {
            // Only whole blocks can be holes, the last one whatever its length.
            let first_whole = data.next_multiple_of(self.block_bytes);
            let last_whole = if data_end == self.size { data_end } else { data_end - data_end % self.block_bytes };
            if strict && first_whole < last_whole {
                return Ok(false);
            }
            at = data;
            while at < data_end {
                let length = (data_end - at).min(ZEROS_BYTES as u64);
                if !self.read(at, length)?.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0)) {
                    return Ok(false);
                }
                at += length;
            }
        }
        Ok(true)
    }
}

/// The next range of data at or behind `at` and before `end`.
fn next_data(fd: BorrowedFd<'_>, at: u64, end: u64) -> Result<Option<(u64, u64)>, Errno> {
    if at >= end {
        return Ok(None);
    }
    let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
        Ok(data) if data < end => data,
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        // A filesystem that knows no holes has data everywhere.
        Err(Errno::INVAL) => return Ok(Some((at, end))),
        Err(errno) => return Err(errno),
    };
    let hole = rustix::fs::seek(fd, SeekFrom::Hole(data))?;
    Ok(Some((data, hole.min(end))))
}

/// Gives a file its size; what is new is a hole.
fn resize(fd: BorrowedFd<'_>, size: u64) -> Result<(), Errno> {
    if rustix::fs::fstat(fd)?.st_size == i64::try_from(size).map_err(|_| Errno::FBIG)? {
        return Ok(());
    }
    rustix::fs::ftruncate(fd, size)
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes a range a hole, or zeros where the filesystem has no holes. Does nothing where there is no data.
fn make_hole(fd: BorrowedFd<'_>, start: u64, end: u64) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let block_bytes = u64::try_from(stat.st_blksize).unwrap_or(0).max(1);
    let mut at = start;
    while let Some((data, data_end)) = next_data(fd, at, end.min(size))? {
        // At the end of the file, the rest of the last block is not data either, and only then is all of it a hole.
        let punched_to = if data_end == size { data_end.next_multiple_of(block_bytes) } else { data_end };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(fd, flags, data, punched_to - data) {
            Ok(()) => at = data_end,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let length = (data_end - data).min(ZEROS_BYTES as u64);
                write_all(fd, &vec![0; length as usize], data)?;
                at = data + length;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Lets the next read come from the disk, as far as the system does that.
fn forget_cached(fd: BorrowedFd<'_>) {
    // Only what is on the disk can be forgotten. Both are best effort: reading back works without.
    let _ = rustix::fs::fdatasync(fd);
    let _ = rustix::fs::fadvise(fd, 0, None, Advice::DontNeed);
}
