//! What a repository holds, read through the library.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use yesterfs::Result;
use yesterfs::id::{ChunkId, WriterObject};
use yesterfs::repository::Repository;
use yesterfs::repository::content::{Content, ContentBody, ExtentSource};
use yesterfs::repository::node::{Node, NodeKind};
use yesterfs::repository::page::PageSpan;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::store::backend::{Backend, ByteRange, MemoryBackend};
use yesterfs::store::chunk_record::{ChunkRecord, RecordPlace};
use yesterfs::store::data_lane::BatchedChunk;
use yesterfs::store::delta_group::DeltaGroup;
use yesterfs::store::pack::{FooterEntry, PACK_HEADER_BYTES, PackKind, pack_key, read_footer_of, verify_header};
use yesterfs::store::segment::read_segment;
use yesterfs::store::{BaseHint, ChunkBatch, DataLane};

use super::fidelity::Walk;

/// Every path of a snapshot (the root is empty) with its node and, of a file, all its bytes.
pub type StoredTree = BTreeMap<Vec<u8>, (Node, Vec<u8>)>;

/// Files larger than this are compared by their runs of data only, as the walker of live trees does.
const READ_WHOLE_MAX_BYTES: u64 = 1 << 30;
const BLOCK_BYTES: usize = 4096;

/// The record that holds a chunk, out of its pack.
pub fn record_of<'f>(pack: &'f [u8], entry: &FooterEntry) -> &'f [u8] {
    &pack[entry.offset as usize..][..entry.record_bytes as usize]
}

/// The bases of a chunk in a pack.
pub fn bases_of(pack: &[u8], entry: &FooterEntry, name: &WriterObject) -> Vec<RecordPlace> {
    let record = record_of(pack, entry);
    match DeltaGroup::is_in(record) {
        true => DeltaGroup::open(record).unwrap().member(entry.member).unwrap().bases,
        false => ChunkRecord::open(record, &entry.id, name).unwrap().bases,
    }
}

/// A backend in memory that holds the same objects.
pub fn copy_of(backend: &dyn Backend) -> Arc<MemoryBackend> {
    let copy = Arc::new(MemoryBackend::default());
    for listed in backend.list_after("", None).unwrap() {
        let mut object = copy.put_new(&listed.key).unwrap();
        object.write(&backend.get_range(&listed.key, ByteRange::Whole).unwrap()).unwrap();
        object.finish().unwrap();
    }
    copy
}

/// Calls `visit` for every entry of a snapshot, the root first, in tree order.
pub fn visit(repository: &Repository, snapshot: &Snapshot, mut each: impl FnMut(&[u8], &Node)) -> Result<()> {
    fn below(repository: &Repository, path: &[u8], node: &Node, each: &mut dyn FnMut(&[u8], &Node)) -> Result<()> {
        each(path, node);
        let Some(root) = node.directory() else { return Ok(()) };
        for entry in repository.tree()?.entries(root) {
            let entry = entry?;
            let path = if path.is_empty() { entry.name.clone() } else { [path, b"/", &entry.name].concat() };
            below(repository, &path, &entry.node, each)?;
        }
        Ok(())
    }
    below(repository, b"", &snapshot.manifest.root, &mut each)
}

/// Everything in a snapshot.
pub fn stored_tree(repository: &Repository, snapshot: &Snapshot) -> Result<StoredTree> {
    let mut nodes = Vec::new();
    visit(repository, snapshot, |path, node| nodes.push((path.to_vec(), node.clone())))?;
    let mut tree = StoredTree::new();
    for (path, node) in nodes {
        let bytes = match &node.kind {
            NodeKind::File { content, .. } => read(repository, content, 0, content.size)?,
            _ => Vec::new(),
        };
        tree.insert(path, (node, bytes));
    }
    Ok(tree)
}

/// Bytes of a content, all that were asked for.
pub fn read(repository: &Repository, content: &Content, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    repository.contents()?.read(content, offset, usize::try_from(length).unwrap(), &mut bytes)?;
    assert_eq!(bytes.len() as u64, length.min(content.size.saturating_sub(offset)), "short data");
    Ok(bytes)
}

/// Where the chunks of a content begin, which has no holes.
pub fn chunk_starts(repository: &Repository, content: &Content) -> Result<Vec<usize>> {
    let placed = repository.contents()?.extents_from(content, 0).collect::<Result<Vec<_>>>()?;
    assert!(placed.iter().all(|piece| matches!(piece.extent.source, ExtentSource::Chunk { .. })), "a hole");
    Ok(placed.iter().map(|piece| piece.start as usize).collect())
}

/// Where a content has data and no hole, as ranges (start, end).
pub fn data_runs(repository: &Repository, content: &Content) -> Result<Vec<(u64, u64)>> {
    if let ContentBody::Inline(bytes) = &content.body {
        return Ok(if bytes.is_empty() { Vec::new() } else { vec![(0, bytes.len() as u64)] });
    }
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut end = 0;
    for placed in repository.contents()?.extents_from(content, 0) {
        let placed = placed?;
        assert_eq!(placed.start, end, "extents follow each other");
        end = placed.start + placed.extent.length;
        match (placed.extent.source, runs.last_mut()) {
            (ExtentSource::Hole, _) => {}
            (ExtentSource::Chunk { .. }, Some(last)) if last.1 == placed.start => last.1 = end,
            (ExtentSource::Chunk { .. }, _) => runs.push((placed.start, end)),
        }
    }
    assert_eq!(end, content.size, "extents cover the content");
    Ok(runs)
}

/// A snapshot in the words of the walker of live trees, to be compared with what that one found.
pub fn stored_walk(repository: &Repository, snapshot: &Snapshot) -> Result<Walk> {
    let mut nodes = Vec::new();
    visit(repository, snapshot, |path, node| nodes.push((path.to_vec(), node.clone())))?;
    let mut walk = Walk::new();
    for (path, node) in nodes {
        let path = if path.is_empty() { b".".to_vec() } else { path };
        walk.insert(path, fields_of(repository, &node)?);
    }
    Ok(walk)
}

fn fields_of(repository: &Repository, node: &Node) -> Result<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut add = |field: &str, value: String| fields.push((field.to_string(), value));
    let file_type = match &node.kind {
        NodeKind::File { .. } => "RegularFile",
        NodeKind::Directory(_) => "Directory",
        NodeKind::Symlink { .. } => "Symlink",
        NodeKind::Fifo => "Fifo",
        NodeKind::Socket => "Socket",
        NodeKind::CharacterDevice(_) => "CharacterDevice",
        NodeKind::BlockDevice(_) => "BlockDevice",
    };
    add("type", file_type.into());
    add("permissions", format!("{:04o}", node.permissions));
    add("uid", node.uid.to_string());
    add("gid", node.gid.to_string());
    add("modified", format!("{} s + {:09} ns", node.modified.seconds, node.modified.nanos));
    match &node.kind {
        NodeKind::Directory(root) => add("directory links", (2 + root.totals.directories).to_string()),
        _ => {
            add("links", node.hard_link.as_ref().map_or(1, |link| link.count).to_string());
            add("size", node.size().to_string());
        }
    }
    if let Some(link) = &node.hard_link {
        add("same file as", format!("{:?}", OsStr::from_bytes(&link.first_path)));
    }
    match &node.kind {
        NodeKind::CharacterDevice(device) | NodeKind::BlockDevice(device) => {
            add("device number", format!("{}:{}", device.major, device.minor));
        }
        NodeKind::Symlink { target } => add("target", format!("{:?}", OsStr::from_bytes(target))),
        NodeKind::File { content, .. } => {
            let runs = data_runs(repository, content)?;
            let shown: Vec<String> = runs.iter().map(|(start, end)| format!("{start}..{end}")).collect();
            add("content", content_hash(repository, content, &runs)?);
            add("data", shown.join(" "));
        }
        _ => {}
    }
    for xattr in repository.tree()?.xattrs(node)? {
        let value: String = xattr.value.iter().map(|byte| format!("{byte:02x}")).collect();
        add(&format!("attribute {:?}", OsStr::from_bytes(&xattr.name)), format!("0x{value}"));
    }
    Ok(fields)
}

fn content_hash(repository: &Repository, content: &Content, runs: &[(u64, u64)]) -> Result<String> {
    let piece_bytes = (256 * BLOCK_BYTES) as u64;
    if content.size <= READ_WHOLE_MAX_BYTES {
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < content.size {
            let piece = read(repository, content, at, piece_bytes)?;
            hasher.update(&piece);
            at += piece.len() as u64;
        }
        return Ok(hasher.finalize().to_string());
    }
    let mut hashes = Vec::new();
    for &(start, end) in runs {
        let mut hasher = blake3::Hasher::new();
        let mut at = start;
        while at < end {
            for block in read(repository, content, at, piece_bytes.min(end - at))?.chunks(BLOCK_BYTES) {
                if block.iter().any(|byte| *byte != 0) {
                    hasher.update(&at.to_le_bytes()).update(block);
                }
                at += block.len() as u64;
            }
        }
        hashes.push(hasher.finalize().to_string());
    }
    Ok(hashes.join(" "))
}

/// What published packs of a kind take, with their footers.
pub fn published_bytes(repository: &Repository, kind: PackKind) -> u64 {
    let backend = repository.backend().as_ref();
    let segments = repository.catalog().published().segments;
    let packs = segments.iter().flat_map(|published| read_segment(backend, &published.segment).unwrap());
    packs.filter(|pack| pack.kind == kind).map(|pack| pack.file_bytes).sum()
}

/// Plain bytes of all chunks in published packs.
pub fn published_plain_bytes(repository: &Repository) -> u64 {
    let backend = repository.backend().as_ref();
    let segments = repository.catalog().published().segments;
    let packs = segments.iter().flat_map(|published| read_segment(backend, &published.segment).unwrap());
    packs.map(|pack| pack.plain_bytes).sum()
}

/// Reads all that the catalog names: every chunk of every published pack, every entry and byte of every snapshot.
/// Panics at the first thing that is not as it must be. Returns the snapshots' trees, in catalog order.
#[track_caller]
pub fn assert_sound(repository: &Repository) -> Vec<StoredTree> {
    let backend = repository.backend().as_ref();
    for published in repository.catalog().published().segments.iter() {
        for summary in read_segment(backend, &published.segment).unwrap() {
            let key = pack_key(&summary.name);
            let file = backend.get_range(&key, ByteRange::Whole).unwrap();
            assert_eq!(file.len() as u64, summary.file_bytes, "{key}");
            let footer = read_footer_of(backend, &summary).unwrap();
            verify_header(&file[..PACK_HEADER_BYTES as usize], &summary, &footer).unwrap();
            let mut plain_bytes = 0;
            let entries: Vec<FooterEntry> = footer.by_place().collect();
            for chunks in entries.chunk_by(|a, b| a.offset == b.offset) {
                let store = repository.chunks().unwrap();
                store.verify(record_of(&file, &chunks[0]), chunks, &summary.name, &mut |entry, plain| {
                    let plain = plain.unwrap();
                    assert_eq!(plain.len(), entry.plain_bytes as usize, "{key}");
                    assert!(store.locate(&entry.id).unwrap().is_some(), "a chunk is not indexed");
                    plain_bytes += plain.len() as u64;
                });
            }
            assert_eq!(plain_bytes, summary.plain_bytes, "{key}");
        }
    }
    repository.catalog().snapshots().map(|snapshot| stored_tree(repository, snapshot).unwrap()).collect()
}

/// Stores one chunk of data.
pub fn put_chunk(lane: &mut DataLane, plain: &[u8]) -> ChunkId {
    let chunk = BatchedChunk::new(0..plain.len(), None, false, BaseHint::default());
    lane.submit(ChunkBatch::new(plain.to_vec(), vec![chunk]));
    lane.release().unwrap();
    ChunkId::of(plain)
}

/// What page writers ask where there are no older pages.
pub fn no_hints(_: &PageSpan) -> BaseHint {
    BaseHint::default()
}
