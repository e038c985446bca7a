//! How fast each part is alone, on one core: `cargo bench --bench micro`.
//!
//! The dump has rows as `mariadb-dump` writes them; its second version has another status and time in one row of a hundred.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;
use yesterfs::id::{ChunkId, RepositoryId, WriterId, WriterObject};
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::node::{DirectoryRoot, Node, NodeKind, Xattrs};
use yesterfs::repository::session::WriteSession;
use yesterfs::repository::tree::{DirectoryWriter, TreeReader, Witness};
use yesterfs::repository::{OpenOptions, Repository};
use yesterfs::store::backend::LocalBackend;
use yesterfs::store::chunker::ChunkSizes;
use yesterfs::store::compress::{Codec, Compression, Compressor, decompress};
use yesterfs::store::delta::{DeltaEncoder, apply_delta};
use yesterfs::store::index::{AppliedMark, ChunkIndex, IndexOptions, Missing, PackChunks, PackFile};
use yesterfs::store::pack::FooterEntry;
use yesterfs::time::Timestamp;

use support::Noise;

#[path = "support/mod.rs"]
mod support;

const ROWS: u64 = 60_000;
const INDEXED_CHUNKS: u32 = 1 << 20;
const PACK_CHUNKS: u32 = 1 << 11;
const DIRECTORY_ENTRIES: u64 = 1_000_000;
/// Lookups of one sample.
const LOOKUPS: u32 = 1000;

fn main() {
    divan::main();
}

/// A dump; row `n` has another status and time where `is_updated(n)`.
fn dump(is_updated: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut out = String::new();
    for n in 0..ROWS {
        let mut noise = Noise(n + 1);
        let (a, b, c) = (noise.next(), noise.next(), noise.next());
        let open = if n % 5000 == 0 { ";\nINSERT INTO `orders` VALUES\n" } else { ",\n" };
        let (status, second) = if is_updated(n) { ("sent", 59) } else { ("open", a % 50) };
        let day = b % 28 + 1;
        let _ = write!(
            out,
            "{open}({n},{},'{status}','2026-11-{day:02} 10:00:{second:02}','{:016x} {:010}',{}.{:02})",
            a % 9973,
            b,
            c % 1_000_000_000,
            c % 977,
            a % 100
        );
    }
    out.into_bytes()
}

static DUMP: LazyLock<Vec<u8>> = LazyLock::new(|| dump(|_| false));
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| Noise(7).bytes(8 << 20));

fn cut(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut chunks, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(ChunkSizes::SMALL.first_cut(rest));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

#[divan::bench]
fn chunker(bencher: Bencher) {
    bencher.counter(BytesCount::new(DUMP.len())).bench(|| cut(&DUMP).len());
}

#[divan::bench]
fn hash(bencher: Bencher) {
    let chunks = cut(&DUMP);
    bencher.counter(BytesCount::new(DUMP.len())).bench(|| chunks.iter().map(|chunk| ChunkId::of(chunk).0[0]).max());
}

const WAYS: [Compression; 2] = [Compression::Lz4, Compression::Zstd { level: 3 }];

fn compress_all(chunks: &[&[u8]], compressor: &mut Compressor) -> Vec<(Codec, Vec<u8>)> {
    let compress = |chunk: &&[u8]| {
        let (codec, payload) = compressor.compress(chunk);
        (codec, payload.to_vec())
    };
    chunks.iter().map(compress).collect()
}

#[divan::bench(args = WAYS)]
fn compress_dump(bencher: Bencher, way: Compression) {
    let (chunks, mut compressor) = (cut(&DUMP), Compressor::new(way));
    bencher.counter(BytesCount::new(DUMP.len())).bench_local(|| compress_all(&chunks, &mut compressor));
}

#[divan::bench(args = WAYS)]
fn compress_noise(bencher: Bencher, way: Compression) {
    let (chunks, mut compressor) = (cut(&NOISE), Compressor::new(way));
    bencher.counter(BytesCount::new(NOISE.len())).bench_local(|| compress_all(&chunks, &mut compressor));
}

#[divan::bench(args = WAYS)]
fn decompress_dump(bencher: Bencher, way: Compression) {
    let chunks = cut(&DUMP);
    let packed = compress_all(&chunks, &mut Compressor::new(way));
    bencher.counter(BytesCount::new(DUMP.len())).bench(|| {
        for (chunk, (codec, payload)) in chunks.iter().zip(&packed) {
            assert_eq!(decompress(*codec, payload, chunk.len()).expect("it was packed so").len(), chunk.len());
        }
    });
}

/// What changed, and what it was: pieces of one length, so that both begin at the same row.
fn changed() -> Vec<(Vec<u8>, Vec<u8>)> {
    let after = dump(|n| n % 100 == 0);
    let pieces = DUMP.chunks(16 << 10).zip(after.chunks(16 << 10));
    pieces.filter(|(before, after)| before != after).map(|(before, after)| (before.to_vec(), after.to_vec())).collect()
}

#[divan::bench]
fn delta_encode(bencher: Bencher) {
    let (pieces, mut encoder) = (changed(), DeltaEncoder::default());
    let bytes: usize = pieces.iter().map(|(_, after)| after.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut out = Vec::new();
        pieces.iter().all(|(before, after)| encoder.encode(before, 0, after, usize::MAX, &mut out))
    });
}

#[divan::bench]
fn delta_apply(bencher: Bencher) {
    let mut encoder = DeltaEncoder::default();
    let deltas = changed().into_iter().map(|(before, after)| {
        let mut out = Vec::new();
        encoder.encode(&before, 0, &after, usize::MAX, &mut out);
        (before, out, after.len())
    });
    let deltas: Vec<(Vec<u8>, Vec<u8>, usize)> = deltas.collect();
    let bytes: usize = deltas.iter().map(|(.., length)| length).sum();
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        for (before, delta, length) in &deltas {
            assert_eq!(apply_delta(before, delta, *length).expect("it was made so").len(), *length);
        }
    });
}

fn indexed(number: u32) -> ChunkId {
    ChunkId::of(&number.to_le_bytes())
}

/// An index of a million chunks, and the directory that holds it.
static INDEX: LazyLock<(ChunkIndex, TempDir)> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a directory");
    let index = ChunkIndex::open(directory.path(), RepositoryId([1; 16]), IndexOptions::default()).expect("an index");
    let pack = |number: u32| {
        let first = number * PACK_CHUNKS;
        let chunk = |slot: u32| {
            let (id, offset) = (indexed(first + slot), 27 + u64::from(slot) * 8000);
            FooterEntry { id, offset, record_bytes: 8000, member: 0, plain_bytes: 16_000 }
        };
        Ok(PackChunks {
            pack: WriterObject { writer: WriterId([2; 8]), number },
            file: PackFile { file_bytes: 1 << 24, base_packs: Vec::new() },
            chunks: (0..PACK_CHUNKS).map(chunk).collect(),
        })
    };
    let mark = AppliedMark { sequence: 1, record_hash: [3; 32] };
    let missing = |_: Option<AppliedMark>| {
        let packs = Box::new((0..INDEXED_CHUNKS / PACK_CHUNKS).map(pack));
        Ok(Some(Missing { to: mark, packs }))
    };
    index.apply(missing).expect("room for the index");
    (index, directory)
});

/// Numbers up to `below`, scattered.
fn scattered(below: u32) -> Vec<u32> {
    let mut noise = Noise(11);
    (0..LOOKUPS).map(|_| (noise.next() % u64::from(below)) as u32).collect()
}

#[divan::bench]
fn index_lookup_known(bencher: Bencher) {
    let ids: Vec<ChunkId> = scattered(INDEXED_CHUNKS).into_iter().map(indexed).collect();
    let index = &INDEX.0;
    bencher
        .counter(ItemsCount::new(ids.len()))
        .bench(|| ids.iter().filter(|id| index.get(id).expect("an index").is_some()).count());
}

#[divan::bench]
fn index_lookup_new(bencher: Bencher) {
    let ids: Vec<ChunkId> =
        scattered(u32::MAX - INDEXED_CHUNKS).into_iter().map(|n| indexed(INDEXED_CHUNKS + n)).collect();
    let index = &INDEX.0;
    bencher
        .counter(ItemsCount::new(ids.len()))
        .bench(|| ids.iter().filter(|id| index.get(id).expect("an index").is_some()).count());
}

/// A directory of a million entries in a repository of its own.
static DIRECTORY: LazyLock<(Repository, DirectoryRoot, TempDir)> = LazyLock::new(|| {
    let directory = TempDir::new().expect("a directory");
    let (backend, now) = (Arc::new(LocalBackend::new(directory.path().join("repo"))), Timestamp::default());
    Repository::init(backend.as_ref(), now).expect("an empty directory");
    let index_directory = directory.path().join("index");
    let options = OpenOptions { index_directory, cache_bytes: 256 << 20, index_cache_bytes: 32 << 20 };
    let repository = Repository::open(backend, options, Arc::new(Recorder::default())).expect("a repository");
    let counters = Counters::default();
    let session = WriteSession::open(&repository, &counters, "here", "bench", now).expect("a session");
    let mut writer = DirectoryWriter::new(&session);
    for number in 0..DIRECTORY_ENTRIES {
        writer.push(name(number).as_bytes(), &symlink(), &Witness::None).expect("room for pages");
    }
    let (root, _) = writer.finish().expect("room for pages");
    session.abandon(now).expect("room for pages");
    (repository, root, directory)
});

fn name(number: u64) -> String {
    format!("entry-{number:08}")
}

fn symlink() -> Node {
    Node {
        permissions: 0o777,
        uid: 0,
        gid: 0,
        owner: "root".into(),
        group: "root".into(),
        modified: Timestamp::default(),
        xattrs: Xattrs::None,
        hard_link: None,
        kind: NodeKind::Symlink { target: b"target".to_vec() },
    }
}

#[divan::bench]
fn page_seek_by_name(bencher: Bencher) {
    let (repository, root, _) = &*DIRECTORY;
    let tree: TreeReader = repository.tree().expect("an index");
    let names: Vec<String> = scattered(DIRECTORY_ENTRIES as u32).into_iter().map(|n| name(n.into())).collect();
    bencher
        .counter(ItemsCount::new(names.len()))
        .bench(|| names.iter().filter(|name| tree.lookup(root, name.as_bytes()).expect("pages").is_some()).count());
}

#[divan::bench]
fn page_seek_by_position(bencher: Bencher) {
    let (repository, root, _) = &*DIRECTORY;
    let tree: TreeReader = repository.tree().expect("an index");
    let positions = scattered(DIRECTORY_ENTRIES as u32);
    bencher
        .counter(ItemsCount::new(positions.len()))
        .bench(|| positions.iter().filter(|&&at| tree.entry_at(root, at.into()).expect("pages").is_some()).count());
}
