//! `ingest stream`: a snapshot of what commands print, or of standard input. A command that fails, or prints nothing,
//! makes no snapshot.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::ingest::input::OpenInput;
use crate::ingest::{IngestOptions, IngestReport, note_other_kind, older_content, private_node};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::content_writer::ContentWriter;
use crate::repository::node::{DirectoryRoot, Node, NodeKind};
use crate::repository::predecessor::Predecessor;
use crate::repository::relatives::Relatives;
use crate::repository::session::WriteSession;
use crate::repository::snapshot::{Manifest, ManifestProblem, Snapshot, SnapshotKind, SnapshotStatus, check_label};
use crate::repository::tree::{DirectoryWriter, Witness};
use crate::store::{DataLane, EncodeQueue};
use crate::time::{Clock, Timestamp};

pub use crate::ingest::input::StreamInput;

/// Bytes of a stream's end in which the expected text is looked for.
const TAIL_BYTES: usize = 4096;

/// Longest name of a stream: it becomes a file name.
const NAME_MAX_BYTES: usize = 255;

/// One stream: a file of the snapshot.
pub struct StreamSpec {
    /// Its file name.
    pub name: String,
    pub input: StreamInput,
}

/// What `ingest stream` is told besides.
pub struct StreamOptions {
    pub common: IngestOptions,
    pub streams: Vec<StreamSpec>,
    /// Each stream must end with this: its last bytes, white space aside, or the beginning of its last line. A command
    /// that ends otherwise failed; standard input that ends so counts as verified.
    pub expect_end: Option<String>,
    /// Threads that work on the streams, besides one that reads each.
    pub threads: usize,
}

/// Makes one snapshot that holds every stream as a file. All are read at the same time.
///
/// # Errors
/// [`Error::Command`] where a command cannot be started, fails, prints nothing or does not end as expected.
pub fn ingest_streams(
    repository: &Repository,
    options: StreamOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let StreamOptions { common, mut streams, expect_end, threads } = options;
    check_label("source", &common.source)?;
    if expect_end.as_deref().is_some_and(|text| text.trim().is_empty()) {
        let reason = "every output ends with nothing: give the text that must be there";
        return Err(Error::invalid("expected end", "", reason));
    }
    streams.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    check_names(&streams)?;
    let origin = streams.iter().map(|stream| stream.input.describe()).collect::<Vec<_>>().join("\n");
    let opened = clock();
    let started = common.time_of_data(opened)?;
    let session = WriteSession::open(repository, monitor.counters(), &common.host, "ingest stream", opened)?;
    note_other_kind(repository, &common.source, SnapshotKind::Stream, monitor);
    let parent = last_of(repository, &common.source);
    let expected_bytes = parent.as_ref().map_or(0, |last| last.manifest.root.totals().bytes);
    Counters::add(&monitor.counters().bytes_expected, expected_bytes);
    let unwatched = streams.iter().any(|stream| !stream.input.is_watched());
    let reading = StreamReading {
        session: &session,
        parent: parent.as_deref(),
        relatives: Relatives::new(repository.chunks()?, &repository.catalog(), &common.source),
        monitor,
        clock,
        expect_end: expect_end.as_deref(),
        failed: AtomicBool::new(false),
    };
    let read = read_all(&reading, streams, threads)
        .and_then(|(files, ended_well)| Ok((directory_of(&session, &files, started)?, files, ended_well)));
    let ((root, witnesses), files, all_ended_well) = match read {
        Ok(read) => read,
        Err(error) => return Err(session.abandon_for(error, clock())),
    };
    let verified = !unwatched || (expect_end.is_some() && all_ended_well);
    let problem_list = unexpected_ends(&files, expect_end.as_deref(), monitor);
    let counters = monitor.counters();
    let manifest = Manifest {
        source: common.source,
        name: String::new(),
        started,
        finished: clock(),
        kind: SnapshotKind::Stream,
        status: if verified { SnapshotStatus::Complete } else { SnapshotStatus::Unverified },
        host: common.host,
        user: common.user,
        origin: origin.into_bytes(),
        root,
        witnesses,
        parent: parent.map(|it| it.id),
        files: files.len() as u64,
        has_xattrs: false,
        bytes_new: Counters::get(&counters.bytes_new),
        // The session knows once all is written.
        bytes_stored: 0,
        problems: problem_list.len() as u64,
        problem_list,
        tags: common.tags,
        facts: Default::default(),
    };
    let snapshot = session.commit(manifest, clock())?;
    Ok(IngestReport { snapshot })
}

/// The last snapshot of the source that holds streams.
fn last_of(repository: &Repository, source: &str) -> Option<Arc<Snapshot>> {
    let catalog = repository.catalog();
    catalog.of_source(source).rev().find(|it| it.manifest.kind == SnapshotKind::Stream).cloned()
}

/// Streams that nobody watches and that do not end as they should: kept, since they cannot be had again, but told.
fn unexpected_ends(files: &[StreamFile], expected: Option<&str>, monitor: &dyn Monitor) -> Vec<ManifestProblem> {
    let cut_short = files.iter().filter(|file| !file.ended_well);
    let tell = |file: &StreamFile| {
        let reason = format!("it does not end with \"{}\": it may be cut short", expected.unwrap_or_default());
        monitor.problem(Problem { path: PathBuf::from(&file.name), reason: reason.clone() });
        ManifestProblem { path: file.name.clone().into_bytes(), reason }
    };
    cut_short.map(tell).collect()
}

fn check_names(streams: &[StreamSpec]) -> Result<()> {
    if streams.is_empty() {
        return Err(Error::invalid("list of streams", "", "there must be at least one"));
    }
    for stream in streams {
        let name = &stream.name;
        let refuse = |reason: &str| Err(Error::invalid("stream name", name, reason));
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return refuse("it must be a file name");
        }
        if name.len() > NAME_MAX_BYTES {
            return refuse("it is longer than 255 bytes");
        }
        if streams.iter().filter(|other| other.name == *name).count() > 1 {
            return refuse("it is given twice");
        }
    }
    Ok(())
}

/// What the threads that read streams share.
struct StreamReading<'a, 'r> {
    session: &'a WriteSession<'r>,
    /// The snapshot before, whose streams of the same names are probably much the same.
    parent: Option<&'a Snapshot>,
    /// What streams of other names may be like.
    relatives: Relatives<'a>,
    monitor: &'a dyn Monitor,
    clock: &'a Clock,
    expect_end: Option<&'a str>,
    /// One stream failed: the others stop.
    failed: AtomicBool,
}

/// A stream that was read to its end.
struct StreamFile {
    name: String,
    content: Content,
    ended_well: bool,
}

fn read_all(reading: &StreamReading, streams: Vec<StreamSpec>, threads: usize) -> Result<(Vec<StreamFile>, bool)> {
    let results: Vec<Result<StreamFile>> = std::thread::scope(|scope| {
        let queue = EncodeQueue::start(scope, reading.session.chunks(), threads);
        let running: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let queue = queue.clone();
                scope.spawn(move || reading.read_stream(stream, queue))
            })
            .collect();
        // Those that help go home when no stream is left.
        drop(queue);
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Interrupted))).collect()
    });
    // Streams that stopped because another failed say "interrupted": the cause comes first.
    let mut interrupted = None;
    let mut files = Vec::new();
    for result in results {
        match result {
            Ok(file) => files.push(file),
            Err(Error::Interrupted) => interrupted = Some(Error::Interrupted),
            Err(cause) => return Err(cause),
        }
    }
    let all_ended_well = files.iter().all(|file| file.ended_well);
    interrupted.map_or(Ok((files, all_ended_well)), Err)
}

impl StreamReading<'_, '_> {
    fn read_stream(&self, stream: StreamSpec, queue: EncodeQueue) -> Result<StreamFile> {
        let file = self.read_input(stream, queue);
        if file.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        file
    }

    fn read_input(&self, StreamSpec { name, input }: StreamSpec, queue: EncodeQueue) -> Result<StreamFile> {
        let mut lane = self.session.chunks().data_lane(Some(queue));
        let mut input = input.open()?;
        let (content, tail) = self.store(&mut input, &mut lane, &name)?;
        let status = input.ended(&|| self.is_given_up())?;
        if let Some(status) = status.filter(|status| !status.success()) {
            return Err(input.failed(format!("failed with {status}")));
        }
        if content.size == 0 {
            return Err(input.failed("produced nothing"));
        }
        let ended_well = self.expect_end.is_none_or(|expected| ends_with(&tail, expected));
        if !ended_well && status.is_some() {
            let expected = self.expect_end.unwrap_or_default();
            return Err(input.failed(format!("ended well, but its output does not end with \"{expected}\"")));
        }
        Counters::add(&self.monitor.counters().files, 1);
        Counters::add(&self.monitor.counters().entries, 1);
        Ok(StreamFile { name, content, ended_well })
    }

    /// Whether the user, or the failure of another stream, ended the ingest.
    fn is_given_up(&self) -> bool {
        self.monitor.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }

    /// Stores bytes up to their end; also gives the last of them.
    fn store(&self, input: &mut OpenInput, lane: &mut DataLane, name: &str) -> Result<(Content, Vec<u8>)> {
        let chunks = self.session.chunks().store();
        let previous = older_content(chunks, self.parent.map(|parent| &parent.manifest.root), name.as_bytes());
        let class = previous.as_ref().map(|previous| previous.class);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let writer = ContentWriter::new(lane, self.session, class.unwrap_or_default(), previous);
        let writer = if class.is_none() { writer.of_class_of_first_bytes() } else { writer };
        let mut writer = writer.with_relatives(&self.relatives);
        let mut tail = Vec::new();
        let counters = self.monitor.counters();
        input.store(&mut writer, self.session, counters, self.clock, &|| self.is_given_up(), &mut |piece, _| {
            tail.extend_from_slice(&piece[piece.len().saturating_sub(TAIL_BYTES)..]);
            tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        })?;
        let content = writer.finish()?;
        lane.release()?;
        Ok((content, tail))
    }
}

/// Whether a stream with these last bytes ends as expected.
fn ends_with(tail: &[u8], expected: &str) -> bool {
    let tail = tail.trim_ascii_end();
    let last_line = tail.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let expected = expected.trim_end().as_bytes();
    tail.ends_with(expected) || last_line.starts_with(expected)
}

/// The directory that holds the streams: private, since dumps hold what permissions guarded in the database.
fn directory_of(
    session: &WriteSession,
    files: &[StreamFile],
    started: Timestamp,
) -> Result<(Node, Option<crate::id::ChunkId>)> {
    let directory = private_node(0o700, started, NodeKind::Directory(DirectoryRoot::default()));
    let mut writer = DirectoryWriter::new(session);
    for file in files {
        let kind = NodeKind::File { content: file.content.clone(), torn: false };
        let node = Node { permissions: 0o600, kind, ..directory.clone() };
        writer.push(file.name.as_bytes(), &node, &Witness::None)?;
    }
    let (root, witnesses) = writer.finish()?;
    Ok((Node { kind: NodeKind::Directory(root), ..directory }, witnesses))
}

#[cfg(test)]
mod tests {
    use super::ends_with;

    #[test]
    fn the_expected_end_may_stand_at_the_very_end_or_begin_the_last_line() {
        let dump = b"INSERT ...;\n-- Dump completed on 2026-11-22 10:00:00\n";
        assert!(ends_with(dump, "-- Dump completed"));
        assert!(ends_with(dump, "10:00:00"));
        assert!(!ends_with(b"-- Dump completed\nINSERT", "-- Dump completed"));
        assert!(!ends_with(b"", "x"));
    }
}
