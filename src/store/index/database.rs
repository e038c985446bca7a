//! One database of the chunk index; the only file that names RocksDB.
//!
//! Keys are chunk ids, values their places; keys that begin with `pack` and are shorter are packs, values the lengths of
//! their files; the key `state` tells whose index it is and how far it has followed the catalog. All in one column family and without write-ahead log, flushed when an apply is complete: so whatever is lost
//! after a crash or to damage, the state never tells more than the chunks that are there.

use std::path::Path;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, DEFAULT_COLUMN_FAMILY_NAME, Direction,
    InfoLogger, IteratorMode, LogLevel, Options, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::{AppliedMark, Location, PackChunks, PackFile};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::{Error, Result};
use crate::id::{ChunkId, RepositoryId, WriterId, WriterObject};

/// Version of what is written here. Another one is rebuilt, never read.
const INDEX_VERSION: u16 = 3;

/// Shorter than a chunk id, so it is none.
const STATE_KEY: &[u8] = b"state";

/// Begins the key of a pack; writer and number follow. Chunk ids may begin so too, but are longer.
const PACK_KEY_PREFIX: &[u8] = b"pack";
/// Above every key of a pack.
const PACK_KEYS_END: &[u8] = b"pacl";
const PACK_KEY_BYTES: usize = PACK_KEY_PREFIX.len() + WriterId::LEN + 4;

const BLOOM_BITS_PER_CHUNK: f64 = 10.0;
/// Of filters and indexes: read at once where an id was not looked up near before. With RocksDB's 4 KiB nearly every new chunk
/// of an ingest costs a read until all filters are in the cache.
const PARTITION_BYTES: usize = 16 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 20;
const TABLE_FILE_BYTES: u64 = 32 << 20;
const FIRST_LEVEL_BYTES: u64 = 64 << 20;
const BATCH_BYTES: usize = 1 << 20;
const MULTI_GET_CHUNKS: usize = 1024;

/// So many files that applies left are merged: later makes gets slower, sooner makes applies slower.
const MERGE_FILES: i32 = 8;
/// The same while a whole index is built: seldom, as nobody reads it yet.
const BUILD_MERGE_FILES: i32 = 32;
/// Files a writer keeps open; it need not have them all.
const WRITER_OPEN_FILES: i32 = 256;

/// Uncompressed blocks of all databases that one process opens of an index.
pub(super) struct BlockCache(Cache);

impl BlockCache {
    pub fn new(bytes: usize) -> BlockCache {
        BlockCache(Cache::new_lru_cache(bytes))
    }
}

fn failed(operation: &'static str) -> impl Fn(rocksdb::Error) -> Error {
    move |error| Error::Index { operation, reason: error.into_string() }
}

fn undecodable(error: DecodeError) -> Error {
    Error::Index { operation: "read", reason: error.to_string() }
}

fn options(cache: &BlockCache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache.0);
    table.set_bloom_filter(BLOOM_BITS_PER_CHUNK, false);
    // Whole filters and indexes would fill the cache: 2,700 gets a second against 62,000 (30 M chunks, 64 MiB cache).
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(PARTITION_BYTES);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_top_level_index_and_filter(true);

    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    // Ids do not compress, but pack names repeat: 52.3 bytes a chunk against 62.9.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_target_file_size_base(TABLE_FILE_BYTES);
    options.set_max_bytes_for_level_base(FIRST_LEVEL_BYTES);
    options.set_max_background_jobs(1);
    options.set_paranoid_checks(true);
    // No log files, no statistics: each would cost every open.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| {}));
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_skip_stats_update_on_db_open(true);
    options
}

/// An immutable view of a database as its last writer left it.
///
/// A read-only instance, not a secondary one: where a file is missing it fails, while a secondary falls back to an older
/// state without a word; opening takes 2 ms, as long as a secondary needs to catch up.
pub(super) struct Reader {
    db: DB,
    mark: AppliedMark,
}

impl Reader {
    pub fn open(path: &Path, repository: RepositoryId, cache: &BlockCache) -> Result<Reader> {
        // Opening would make it.
        if !path.is_dir() {
            return Err(Error::Index { operation: "open", reason: "its database is missing".into() });
        }
        let mut options = options(cache);
        // Every file stays open, so that it can be read after a writer has deleted it.
        options.set_max_open_files(-1);
        let families = [(DEFAULT_COLUMN_FAMILY_NAME, options.clone())];
        let db = DB::open_cf_with_opts_for_read_only(&options, path, families, false).map_err(failed("open"))?;
        let mark = match db.get(STATE_KEY).map_err(failed("open"))? {
            Some(state) => decode_state(&state, repository)?,
            None => return Err(Error::Index { operation: "open", reason: "it was never completed".into() }),
        };
        Ok(Reader { db, mark })
    }

    pub fn mark(&self) -> AppliedMark {
        self.mark
    }

    pub fn get(&self, id: &ChunkId) -> Result<Option<Location>> {
        let value = self.db.get_pinned(id.0).map_err(failed("read"))?;
        value.map(|value| decode_location(&value)).transpose().map_err(undecodable)
    }

    pub fn get_many(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>> {
        let missing = || Error::Index { operation: "read", reason: "it has no column family".into() };
        let family = self.db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME).ok_or_else(missing)?;
        let mut locations = Vec::with_capacity(ids.len());
        for some in ids.chunks(MULTI_GET_CHUNKS) {
            for value in self.db.batched_multi_get_cf(family, some.iter().map(|id| &id.0), false) {
                let value = value.map_err(failed("read"))?;
                locations.push(value.map(|value| decode_location(&value)).transpose().map_err(undecodable)?);
            }
        }
        Ok(locations)
    }

    /// All packs, with the lengths of their files.
    pub fn packs(&self) -> Result<Vec<(WriterObject, PackFile)>> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(PACK_KEYS_END);
        let mut packs = Vec::new();
        for entry in self.db.iterator_opt(IteratorMode::From(PACK_KEY_PREFIX, Direction::Forward), options) {
            let (key, value) = entry.map_err(failed("read"))?;
            if key.len() == PACK_KEY_BYTES {
                packs.push(decode_pack(&key, &value).map_err(undecodable)?);
            }
        }
        Ok(packs)
    }
}

/// Writes one apply. Dropped without [`Writer::finish`], it leaves chunks beyond the mark at worst, which is harmless.
pub(super) struct Writer {
    db: DB,
    batch: WriteBatch,
    building: bool,
}

impl Writer {
    /// Opens a database that is there.
    pub fn open(path: &Path, cache: &BlockCache) -> Result<Writer> {
        let mut options = options(cache);
        options.set_level_zero_file_num_compaction_trigger(MERGE_FILES);
        Writer::with(options, path, false)
    }

    /// Makes a new database.
    pub fn create(path: &Path, cache: &BlockCache) -> Result<Writer> {
        let mut options = options(cache);
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        options.set_level_zero_file_num_compaction_trigger(BUILD_MERGE_FILES);
        options.set_level_zero_slowdown_writes_trigger(2 * BUILD_MERGE_FILES);
        options.set_level_zero_stop_writes_trigger(3 * BUILD_MERGE_FILES);
        Writer::with(options, path, true)
    }

    fn with(mut options: Options, path: &Path, building: bool) -> Result<Writer> {
        options.set_max_open_files(WRITER_OPEN_FILES);
        let db = DB::open(&options, path).map_err(failed("open"))?;
        Ok(Writer { db, batch: WriteBatch::default(), building })
    }

    /// Adds a pack and its chunks.
    pub fn put(&mut self, pack: &PackChunks) -> Result<()> {
        let (key, value) = encode_pack(&pack.pack, &pack.file);
        self.batch.put(key, value);
        for (id, location) in pack.locations() {
            self.batch.put(id.0, encode_location(&location));
            if self.batch.size_in_bytes() >= BATCH_BYTES {
                self.write_batch()?;
            }
        }
        Ok(())
    }

    /// Moves the mark and makes all durable.
    pub fn finish(mut self, repository: RepositoryId, mark: AppliedMark) -> Result<()> {
        self.batch.put(STATE_KEY, encode_state(repository, mark));
        self.write_batch()?;
        self.db.flush().map_err(failed("write"))?;
        self.merge().map_err(failed("write"))
    }

    /// Merges small files if there are many, and waits for it: closing would break it off, and they would grow without
    /// bound.
    fn merge(&self) -> Result<(), rocksdb::Error> {
        let files = self.db.property_int_value("rocksdb.num-files-at-level0")?.unwrap_or_default();
        let trigger = if self.building { 2 } else { MERGE_FILES };
        if files < trigger.unsigned_abs().into() {
            return Ok(());
        }
        if self.building {
            // What a build leaves would burden the next small apply (measured: 13 s after 20 M chunks).
            self.db.set_options(&[("level0_file_num_compaction_trigger", &trigger.to_string())])?;
        }
        self.db.wait_for_compact(&WaitForCompactOptions::default())
    }

    fn write_batch(&mut self) -> Result<()> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(std::mem::take(&mut self.batch), &options).map_err(failed("write"))
    }
}

fn encode_state(repository: RepositoryId, mark: AppliedMark) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.u16(INDEX_VERSION).raw(&repository.0).u64(mark.sequence).raw(&mark.record_hash);
    encoder.bytes
}

fn decode_state(bytes: &[u8], repository: RepositoryId) -> Result<AppliedMark> {
    let unusable = |reason: &str| Error::Index { operation: "open", reason: reason.into() };
    let mut decoder = Decoder::new(bytes);
    if decoder.u16().map_err(undecodable)? != INDEX_VERSION {
        return Err(unusable("another version of yesterfs wrote it"));
    }
    if decoder.array().map_err(undecodable)? != repository.0 {
        return Err(unusable("it belongs to another repository"));
    }
    let sequence = decoder.u64().map_err(undecodable)?;
    let record_hash = decoder.array().map_err(undecodable)?;
    decoder.end().map_err(undecodable)?;
    Ok(AppliedMark { sequence, record_hash })
}

fn encode_pack(pack: &WriterObject, file: &PackFile) -> (Vec<u8>, Vec<u8>) {
    let (mut key, mut value) = (Encoder::new(), Encoder::new());
    key.raw(PACK_KEY_PREFIX).raw(&pack.writer.0).u32(pack.number);
    value.varint(file.file_bytes).list(&file.base_packs, |value, pack| {
        value.raw(&pack.writer.0).u32(pack.number);
    });
    (key.bytes, value.bytes)
}

fn decode_pack(key: &[u8], value: &[u8]) -> Result<(WriterObject, PackFile), DecodeError> {
    let (mut key, mut value) = (Decoder::new(key), Decoder::new(value));
    key.raw(PACK_KEY_PREFIX.len())?;
    let pack = WriterObject { writer: WriterId(key.array()?), number: key.u32()? };
    let file_bytes = value.varint()?;
    let base_packs = value.list(|item| Ok(WriterObject { writer: WriterId(item.array()?), number: item.u32()? }))?;
    value.end().map(|()| (pack, PackFile { file_bytes, base_packs }))
}

fn encode_location(location: &Location) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.writer_object(&location.pack);
    encoder.varint(location.slot.into()).varint(location.offset);
    encoder.varint(location.record_bytes.into()).varint(location.member.into()).varint(location.plain_bytes.into());
    encoder.bytes
}

fn decode_location(bytes: &[u8]) -> Result<Location, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let location = Location {
        pack: decoder.writer_object()?,
        slot: decoder.varint32()?,
        offset: decoder.varint()?,
        record_bytes: decoder.varint32()?,
        member: decoder.varint32()?,
        plain_bytes: decoder.varint32()?,
    };
    decoder.end()?;
    Ok(location)
}

#[cfg(test)]
mod tests {
    use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

    use super::*;
    use crate::store::pack::FooterEntry;

    const REPOSITORY: RepositoryId = RepositoryId([7; 16]);

    fn pack(number: u32) -> PackChunks {
        let pack = WriterObject { writer: WriterId([number as u8; 8]), number };
        let file = PackFile { file_bytes: 1 << number, base_packs: vec![WriterObject { number: number + 1, ..pack }] };
        PackChunks { pack, file, chunks: vec![entry(ChunkId([number as u8; 32]), 27)] }
    }

    fn entry(id: ChunkId, offset: u64) -> FooterEntry {
        FooterEntry { id, offset, record_bytes: 100, member: 3, plain_bytes: 200 }
    }

    #[test]
    fn packs_are_told_from_chunks_whose_ids_begin_as_their_keys_do() {
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = (place.path().join("db"), BlockCache::new(1 << 20));
        let mut chunk = [0; 32];
        chunk[..4].copy_from_slice(PACK_KEY_PREFIX);
        let mut first = pack(1);
        first.chunks.push(entry(ChunkId(chunk), 127));
        let mark = AppliedMark { sequence: 1, record_hash: [1; 32] };
        let mut writer = Writer::create(&path, &cache).unwrap();
        [first.clone(), pack(40)].iter().for_each(|pack| writer.put(pack).unwrap());
        writer.finish(REPOSITORY, mark).unwrap();

        let reader = Reader::open(&path, REPOSITORY, &cache).unwrap();
        let mut packs = reader.packs().unwrap();
        packs.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(packs, [1, 40].map(pack).map(|pack| (pack.pack, pack.file)));
        let location = Location::of(&first.pack, 1, &first.chunks[1]);
        assert_eq!(reader.get(&ChunkId(chunk)).unwrap(), Some(location));
    }

    #[test]
    fn pieces_of_filters_are_large_enough_to_be_shared_by_unknown_chunks() {
        const KNOWN: u32 = 400_000;
        const UNKNOWN: u32 = 2_000;
        let id = |number: u32| ChunkId::of(&number.to_le_bytes());
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = (place.path().join("db"), BlockCache::new(8 << 20));
        let chunks = (0..KNOWN).map(|number| entry(id(number), 27)).collect();
        let mut writer = Writer::create(&path, &cache).unwrap();
        writer.put(&PackChunks { chunks, ..pack(1) }).unwrap();
        writer.finish(REPOSITORY, AppliedMark { sequence: 1, record_hash: [1; 32] }).unwrap();

        let cold = BlockCache::new(8 << 20);
        let reader = Reader::open(&path, REPOSITORY, &cold).unwrap();
        set_perf_stats(PerfStatsLevel::EnableCount);
        let mut counted = PerfContext::default();
        counted.reset();
        let unknown: Vec<ChunkId> = (KNOWN..KNOWN + UNKNOWN).map(id).collect();
        assert!(reader.get_many(&unknown).unwrap().iter().all(Option::is_none));
        let reads = counted.metric(PerfMetric::BlockReadCount);
        // 500 KB of filters in pieces, and two blocks for each chunk in a hundred that they take for a known one.
        assert!((20..100).contains(&reads), "{reads} reads");
    }

    #[test]
    fn an_index_of_another_version_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let (path, cache) = (place.path().join("db"), BlockCache::new(1 << 20));
        let mark = AppliedMark { sequence: 1, record_hash: [1; 32] };
        Writer::create(&path, &cache).unwrap().finish(REPOSITORY, mark).unwrap();
        assert!(Reader::open(&path, REPOSITORY, &cache).is_ok());
        let mut writer = Writer::open(&path, &cache).unwrap();
        let mut state = encode_state(REPOSITORY, mark);
        state[0] -= 1;
        writer.batch.put(STATE_KEY, state);
        writer.write_batch().unwrap();
        writer.db.flush().unwrap();
        drop(writer);
        let error = Reader::open(&path, REPOSITORY, &cache).err().unwrap();
        assert!(error.to_string().contains("another version"), "{error}");
    }
}
