//! An index of very many chunks: what new and known data cost beside it, in a fixed amount of memory.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use yesterfs::id::{ChunkId, WriterId, WriterObject};
use yesterfs::store::index::{Applied, ChunkIndex, IndexOptions, Missing, PackChunks, PackFile};
use yesterfs::store::pack::{FooterEntry, pack_key};

use crate::made::open;
use crate::support::{Noise, Size, Workplace, bytes_below, drain, drop_caches, megabytes, read_randomly, report};

/// Chunks in the index, unless this variable tells another number.
const CHUNKS: u64 = 10_000_000;
const CHUNKS_VARIABLE: &str = "YESTERFS_BENCH_CHUNKS";

/// As a pack of dump text has.
const CHUNKS_A_PACK: u64 = 4000;
const RECORD_BYTES: u32 = 8 << 10;
const PLAIN_BYTES: u32 = 16 << 10;
/// Of one session.
const PACKS_A_WRITER: u64 = 64;
const PACK_HEADER_BYTES: u64 = 27;

const TEXT_BYTES: u64 = 128 << 20;
const RANDOM_READS: u64 = 2_000;

pub fn run(workplace: &Workplace) {
    let text = workplace.path("text");
    fs::create_dir(&text).expect("a source");
    write_text(&mut BufWriter::new(File::create(text.join("1")).expect("a file")), 1);
    // The index follows a history, which begins with a record.
    let empty = workplace.path("empty");
    fs::create_dir(&empty).expect("a source");
    workplace.ingest(&empty, "empty");
    crate::make("make-index", workplace);
    steps(workplace, &text);
}

fn steps(workplace: &Workplace, text: &Path) {
    let size = Size::Bytes(TEXT_BYTES);
    let cold = |step: &str, source: &str| {
        drop_caches();
        report(step, size, &workplace.ingest(text, source));
    };
    report("ingest of nothing", Size::Entries(chunks()), &workplace.ingest(&workplace.path("empty"), "empty"));
    cold("ingest of new text, cold", "text");
    write_text(&mut BufWriter::new(File::create(text.join("1")).expect("a file")), 2);
    report("ingest of other new text, warm", size, &workplace.ingest(text, "other"));
    cold("ingest of known text, cold", "again");
    report("ingest of known text, warm", size, &workplace.ingest(text, "once-more"));
    let daemon = workplace.mount("mnt");
    let file = daemon.latest("again").join("1");
    drop_caches();
    let started = Instant::now();
    drain("cat", &[file.as_os_str()]);
    report("mount, read the text, cold", size, &daemon.taken(started.elapsed()));
    let file = daemon.latest("text").join("1");
    drop_caches();
    let started = Instant::now();
    read_randomly(&file, RANDOM_READS);
    report("mount, random 4 KiB reads, cold", Size::Entries(RANDOM_READS), &daemon.taken(started.elapsed()));
    daemon.stop();
}

fn chunks() -> u64 {
    std::env::var(CHUNKS_VARIABLE).map_or(CHUNKS, |count| count.parse().expect("a number of chunks"))
}

/// Lines of digits that nobody has seen before.
fn write_text(out: &mut impl Write, seed: u64) {
    let mut noise = Noise(seed);
    for _ in 0..TEXT_BYTES / 64 {
        writeln!(out, "{:016x},{:016x},{:016x},{:012x}", noise.next(), noise.next(), noise.next(), noise.next() >> 16)
            .expect("a line");
    }
    out.flush().expect("the text's end");
}

/// Puts chunks of packs that hold nothing into the index, as if they had been published.
pub fn make(workplace: &Workplace) {
    let repository = open(workplace);
    let (mark, id) = (repository.catalog().published().mark, repository.id());
    let directory = workplace.path("repository");
    drop(repository);
    let index =
        ChunkIndex::open(&directory.join("index"), id, IndexOptions { cache_bytes: 32 << 20 }).expect("an index");
    let mut noise = Noise(23);
    let packs = (0..chunks().div_ceil(CHUNKS_A_PACK)).map(|number| {
        let pack = made_pack(number, &mut noise);
        let path = directory.join(pack_key(&pack.pack));
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        File::create(path).and_then(|file| file.set_len(pack.file.file_bytes)).expect("a pack that is all hole");
        Ok(pack)
    });
    let applied = index.apply(|_| Ok(Some(Missing { to: mark, packs: Box::new(packs) }))).expect("an index");
    assert_eq!(applied, Applied::Done);
    println!("{} chunks in an index of {:.0} MB", chunks(), megabytes(bytes_below(&directory.join("index"))));
}

fn made_pack(number: u64, noise: &mut Noise) -> PackChunks {
    let writer = WriterId((number / PACKS_A_WRITER + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let pack = WriterObject { writer, number: (number % PACKS_A_WRITER) as u32 };
    let chunk = |slot: u64| {
        let mut id = [0; ChunkId::LEN];
        noise.fill(&mut id);
        let offset = PACK_HEADER_BYTES + slot * u64::from(RECORD_BYTES);
        FooterEntry { id: ChunkId(id), offset, record_bytes: RECORD_BYTES, member: 0, plain_bytes: PLAIN_BYTES }
    };
    let chunks: Vec<_> = (0..CHUNKS_A_PACK).map(chunk).collect();
    let file_bytes = PACK_HEADER_BYTES + CHUNKS_A_PACK * u64::from(RECORD_BYTES);
    PackChunks { pack, file: PackFile { file_bytes, base_packs: Vec::new() }, chunks }
}
