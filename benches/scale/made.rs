//! Snapshots that are made without a source to ingest, through the library: of real pages and chunks.

use std::sync::Arc;

use yesterfs::id::ChunkId;
use yesterfs::progress::Recorder;
use yesterfs::repository::content::{ChunkClass, Content, ContentBody, Extent, ExtentSource};
use yesterfs::repository::node::{DirectoryRoot, Node, NodeKind, RootPage, Totals, Xattrs};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::snapshot::{Manifest, SnapshotKind, SnapshotStatus};
use yesterfs::repository::tree::{DirectoryWriter, OlderDirectory};
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::store::BaseHint;
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::data_lane::{BatchedChunk, ChunkBatch};
use yesterfs::time::Timestamp;

use crate::support::{Noise, Workplace};

/// When made snapshots begin: 2026-01-01.
const FIRST_SECOND: i64 = 1_767_225_600;
const SECONDS_AN_HOUR: i64 = 3600;

/// The repository of a workplace, as a process of its own would open it.
pub fn open(workplace: &Workplace) -> Repository {
    let directory = workplace.path("repository");
    let options =
        OpenOptions { index_directory: directory.join("index"), cache_bytes: 48 << 20, index_cache_bytes: 32 << 20 };
    Repository::open(Arc::new(LocalBackend::new(&directory)), options, Arc::new(Recorder::default()))
        .expect("the repository")
}

/// `hour` hours after the first snapshot.
pub fn at_hour(hour: usize) -> Timestamp {
    Timestamp { seconds: FIRST_SECOND + hour as i64 * SECONDS_AN_HOUR, nanos: 0 }
}

/// An entry as root's.
pub fn node(kind: NodeKind, modified: Timestamp) -> Node {
    let permissions = if matches!(kind, NodeKind::Directory(_)) { 0o755 } else { 0o644 };
    let (owner, group) = (b"root".to_vec(), b"root".to_vec());
    Node { permissions, uid: 0, gid: 0, owner, group, modified, xattrs: Xattrs::None, hard_link: None, kind }
}

/// What the manifest of a made snapshot tells of the directory that it shows.
pub fn manifest(source: &str, root: DirectoryRoot, started: Timestamp) -> Manifest {
    let totals = root.totals;
    Manifest {
        source: source.into(),
        name: String::new(),
        started,
        finished: started,
        kind: SnapshotKind::Directory,
        status: SnapshotStatus::Complete,
        host: "here".into(),
        user: "root".into(),
        origin: format!("/srv/{source}").into_bytes(),
        root: node(NodeKind::Directory(root), started),
        witnesses: None,
        parent: None,
        files: totals.descendants - totals.directories,
        has_xattrs: false,
        bytes_new: 0,
        bytes_stored: 0,
        problems: 0,
        problem_list: Vec::new(),
        tags: Default::default(),
        facts: Default::default(),
    }
}

/// A directory whose pages may be deltas against those that it had before.
pub fn writer_beside<'s>(session: &'s WriteSession, older: &DirectoryRoot) -> DirectoryWriter<'s, WriteSession<'s>> {
    let older = OlderDirectory { entries: older.page.as_ref().and_then(RootPage::stored), witnesses: None };
    DirectoryWriter::new(session).beside(session.chunks().store(), older)
}

/// Stores the bytes of a file that was never there before.
pub fn put_file(session: &WriteSession, noise: &mut Noise, length: usize) -> ChunkId {
    let bytes = noise.bytes(length);
    let id = ChunkId::of(&bytes);
    let mut lane = session.chunks().data_lane(None);
    let chunk = BatchedChunk::new(0..bytes.len(), Some(id), false, BaseHint::default());
    lane.submit(ChunkBatch::new(bytes, vec![chunk]));
    lane.release().expect("a chunk");
    id
}

pub fn content(id: ChunkId, length: usize) -> Content {
    let extent = Extent { length: length as u64, source: ExtentSource::Chunk { id, offset: 0 } };
    let Totals { bytes, data_bytes, .. } = extent.totals();
    Content { size: bytes, data_bytes, class: ChunkClass::Small, body: ContentBody::Extents(vec![extent]) }
}
