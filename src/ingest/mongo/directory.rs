//! A dump in a directory: its files, as they are.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::dump::mongo::{
    BUCKETS_PREFIX, DOCUMENTS_SUFFIX, Documents, METADATA_SUFFIX, Metadata, OplogReader, Prelude, TIME_SERIES, VIEW,
};
use crate::error::{Error, Result};
use crate::ingest::dump::{Ending, InputEnd};
use crate::ingest::input::StreamInput;
use crate::ingest::mongo::fault_in;
use crate::ingest::mongo::files::{Coordinates, MongoDump, MongoFile, Program};
use crate::ingest::mongo::layout::{FilePath, OPLOG_FILE, RESERVED, database_directory, path_of, shown};
use crate::ingest::mongo::originals::{KeptOriginal, Originals};
use crate::ingest::mongo::plain_file::{PlainFile, Seen};
use crate::progress::Counters;
use crate::store::{DataLane, EncodeQueue};

/// In front of what a dump of one database has of its users; no metadata belongs to it.
const USERS_PREFIX: &[u8] = b"$admin.";

/// Indexes, as old servers had them; no metadata belongs to it.
const OLD_INDEXES: &[u8] = b"system.indexes";

/// What the name of a compressed file ends with.
const GZIP_SUFFIX: &[u8] = b".gz";

/// A file of the dump.
struct Found {
    path: FilePath,
    place: PathBuf,
    bytes: u64,
    /// Its name says that it is compressed, or all others are.
    may_be_wrapped: bool,
}

impl Found {
    fn is_named_gzip(&self) -> bool {
        self.path.last().is_some_and(|name| name.ends_with(GZIP_SUFFIX))
    }
}

/// What files are stored by.
struct Storing<'a, 'r, 'w, 'l> {
    originals: &'a Originals<'a, 'r>,
    queue: EncodeQueue,
    lane: DataLane<'w, 'l>,
}

/// Stores a directory, with threads that compress.
pub fn store(originals: &Originals, directory: &Path, threads: usize) -> Result<MongoDump> {
    let found = find(directory)?;
    if !found.iter().any(|file| file.path.len() == 2) {
        return Err(refuse(directory, "no collections are in it"));
    }
    store_found(originals, found, threads)
}

/// The same of one that may have no collections: a server had none then. Elsewhere that is somebody's mistake.
pub fn store_perhaps_empty(originals: &Originals, directory: &Path, threads: usize) -> Result<MongoDump> {
    store_found(originals, find(directory)?, threads)
}

fn store_found(originals: &Originals, found: Vec<Found>, threads: usize) -> Result<MongoDump> {
    let reading = originals.reading;
    let expected = found.iter().map(|file| file.bytes).sum();
    Counters::add(&reading.monitor.counters().bytes_expected, expected);
    std::thread::scope(|scope| {
        let queue = EncodeQueue::start(scope, reading.session.chunks(), threads);
        let lane = reading.session.chunks().data_lane(Some(queue.clone()));
        let mut storing = Storing { originals, queue, lane };
        let mut stored = Stored::default();
        found.into_iter().try_for_each(|file| stored.add(file, &mut storing))?;
        storing.lane.release()?;
        stored.finish()
    })
}

/// The files of a dump.
fn find(directory: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (name, place) in list(directory)? {
        if !place.is_dir() {
            let stem = name.strip_suffix(GZIP_SUFFIX).unwrap_or(&name);
            if stem.ends_with(DOCUMENTS_SUFFIX.as_bytes()) && stem != OPLOG_FILE.as_bytes() {
                return Err(refuse(&place, "collections are in directories of databases: name the one above"));
            }
            found.push(regular(vec![name], place)?);
            continue;
        }
        let database = match RESERVED.iter().any(|reserved| reserved.as_bytes() == name) {
            true => database_directory(&name),
            false => name,
        };
        for (name, place) in list(&place)? {
            if place.is_dir() {
                return Err(refuse(&place, "a dump has no directories in those of databases"));
            }
            found.push(regular(vec![database.clone(), name], place)?);
        }
    }
    // The operations of a compressed dump are compressed under their usual name.
    let is_gzip = found.iter().any(Found::is_named_gzip);
    for file in &mut found {
        file.may_be_wrapped = file.is_named_gzip() || (is_gzip && file.path == path_of(&[OPLOG_FILE]));
    }
    Ok(found)
}

fn refuse(path: &Path, reason: &str) -> Error {
    Error::invalid("dump", path.to_string_lossy(), reason)
}

fn list(directory: &Path) -> Result<Vec<(Vec<u8>, PathBuf)>> {
    let failed = |cause| Error::io("list", directory)(cause);
    let entries = fs::read_dir(directory).map_err(failed)?;
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|cause| Error::io("list", directory)(cause))?;
        Ok((entry.file_name().as_bytes().to_vec(), entry.path()))
    };
    let mut list = entries.map(entry).collect::<Result<Vec<_>>>()?;
    list.sort_unstable();
    Ok(list)
}

fn regular(path: FilePath, place: PathBuf) -> Result<Found> {
    let metadata = fs::metadata(&place).map_err(Error::io("look at", &place))?;
    if !metadata.is_file() {
        return Err(Error::invalid("dump", place.to_string_lossy(), "it is neither a file nor a directory"));
    }
    Ok(Found { path, place, bytes: metadata.len(), may_be_wrapped: false })
}

/// Takes the end off the name of a file, if it is so.
fn without_suffix(path: &mut FilePath, suffix: &[u8]) -> bool {
    let Some(name) = path.last_mut().filter(|name| name.ends_with(suffix)) else { return false };
    name.truncate(name.len() - suffix.len());
    true
}

/// What of a dump is stored, and what was learned of it.
#[derive(Default)]
struct Stored {
    files: Vec<MongoFile>,
    originals: Vec<KeptOriginal>,
    /// Collections that have metadata, by database, and their kinds.
    metadata: Vec<(FilePath, Option<String>)>,
    prelude: Prelude,
    oplog: Option<OplogReader>,
    fault: Option<String>,
}

impl Stored {
    fn add(&mut self, file: Found, storing: &mut Storing) -> Result<()> {
        let Found { mut path, place, may_be_wrapped, .. } = file;
        let Storing { originals, queue, lane } = storing;
        let reading = originals.reading;
        let mut input = StreamInput::File(place).open()?;
        let wrapping = match may_be_wrapped {
            true => input.wrapping(&|| reading.monitor.is_cancelled())?,
            false => None,
        };
        let Some(wrapping) = wrapping else {
            let plain = PlainFile::store(reading, &path, &mut input, Seen::of(&path), lane)?;
            self.learn(path, plain);
            return Ok(());
        };
        let original = path.clone();
        without_suffix(&mut path, GZIP_SUFFIX);
        let store = |mut input| PlainFile::store(reading, &path, &mut input, Seen::of(&path), lane);
        let (plain, kept) = originals.beside(input, wrapping, [original, path.clone()], queue, store)?;
        self.originals.extend(kept);
        self.learn(path, plain);
        Ok(())
    }

    /// Takes note of a file that was stored.
    fn learn(&mut self, path: FilePath, plain: PlainFile) {
        let PlainFile { content, seen, ended } = plain;
        if let Some(at) = ended.cut_at {
            self.note(format!("{}: its compressed data is cut off after {at} bytes", shown(&path)));
        }
        let (counts, fault) = seen.documents.map(Documents::finish).unzip();
        if let Some(fault) = fault.flatten() {
            self.note(fault_in(&shown(&path), &fault));
        }
        self.oplog = self.oplog.take().or(seen.oplog);
        let json = seen.json.unwrap_or_default();
        let mut collection = path.clone();
        if without_suffix(&mut collection, METADATA_SUFFIX.as_bytes()) {
            let metadata = Metadata::read(&json);
            if metadata.is_none() {
                self.note(format!("{}: it is no JSON", shown(&path)));
            }
            self.metadata.push((collection, metadata.and_then(|metadata| metadata.kind)));
        } else if let Some(prelude) = Prelude::read(&json) {
            self.prelude = prelude;
        }
        self.files.push(MongoFile { path, content, documents: counts });
    }

    /// What shows that the dump is not whole; the first of it is kept.
    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn finish(mut self) -> Result<MongoDump> {
        self.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.metadata.sort_unstable();
        if let Some(fault) = self.missing() {
            self.note(fault);
        }
        let Stored { files, originals, prelude, oplog, fault, .. } = self;
        // It is written last. Else, one that was killed may leave whole documents and all metadata, which are written first.
        let ending = if oplog.is_some() { Ending::Marked } else { Ending::Unmarked };
        let oplog = oplog.map(|oplog| oplog.window());
        Ok(MongoDump {
            made_by: Program::Mongodump,
            files,
            archives: Vec::new(),
            originals,
            inputs: Vec::new(),
            coordinates: vec![Coordinates { prelude, oplog, other_oplog: None }],
            fault,
            ending,
            ended: InputEnd::default(),
        })
    }

    /// Which file is missing beside another one.
    fn missing(&self) -> Option<String> {
        let without_metadata = self.files.iter().find(|file| file.is_collection() && !self.has_metadata(&file.path));
        if let Some(file) = without_metadata {
            return Some(format!("{} has no {METADATA_SUFFIX} beside it", shown(&file.path)));
        }
        let without_documents = self.metadata.iter().find(|(path, kind)| !self.has_documents(path, kind.as_deref()));
        without_documents
            .map(|(path, _)| format!("{}{METADATA_SUFFIX} has no {DOCUMENTS_SUFFIX} beside it", shown(path)))
    }

    fn has_metadata(&self, file: &[Vec<u8>]) -> bool {
        let [directory, name] = file else { return true };
        let stem = name.strip_suffix(DOCUMENTS_SUFFIX.as_bytes()).unwrap_or(name);
        let is_there = |stem: &[u8]| {
            let wanted = [directory.clone(), stem.to_vec()];
            self.metadata.binary_search_by(|(path, _)| path[..].cmp(&wanted[..])).is_ok()
        };
        let series = stem.strip_prefix(BUCKETS_PREFIX.as_bytes());
        stem.starts_with(USERS_PREFIX) || stem == OLD_INDEXES || is_there(stem) || series.is_some_and(is_there)
    }

    fn has_documents(&self, path: &[Vec<u8>], kind: Option<&str>) -> bool {
        let [directory, name] = path else { return true };
        let is_there = |prefix: &str| {
            let name = [prefix.as_bytes(), name, DOCUMENTS_SUFFIX.as_bytes()].concat();
            let wanted = [directory.clone(), name];
            self.files.binary_search_by(|file| file.path[..].cmp(&wanted[..])).is_ok()
        };
        kind == Some(VIEW) || is_there("") || (kind == Some(TIME_SERIES) && is_there(BUCKETS_PREFIX))
    }
}
