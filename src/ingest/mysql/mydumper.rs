//! A directory that `mydumper` wrote: its files in the order in which they load are stored as one dump, and each is a range of it.

mod originals;
mod text;

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use self::originals::keep_originals;
use self::text::{JoinedFile, MydumperText, Told};
use crate::compressed::Wrapping;
use crate::dump::layout::{DATA_FILE, TABLES_DIRECTORY, database_directory};
use crate::dump::mysql::mydumper::{
    MydumperMetadata, StatementFile, TableRows, in_loading_order, is_metadata, is_partial_metadata,
};
use crate::dump::name::file_name;
use crate::error::{Error, Result};
use crate::ingest::IngestReport;
use crate::ingest::dump::{
    DumpFormat, DumpInput, DumpOptions, DumpRules, ObjectPath, StoredDumps, StoredMember, TextReading, Verdict,
    make_snapshot, write_tree,
};
use crate::ingest::input::StreamInput;
use crate::ingest::mysql::Mysql;
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::snapshot::SnapshotStatus;
use crate::time::Clock;

/// Longest `metadata` that is read.
const METADATA_MAX_BYTES: u64 = 64 << 20;

/// Whether this is such a directory.
pub fn is_mydumper(directory: &Path) -> bool {
    let is_one = |name: &[u8]| {
        let (plain, _) = Wrapping::split_name(name);
        is_metadata(name) || is_partial_metadata(name) || plain.ends_with(b"-schema-create.sql")
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    directory.is_dir() && entries.map(|entry| entry.file_name()).any(|name| is_one(name.as_bytes()))
}

/// Makes one snapshot of one such directory.
pub fn ingest(
    repository: &Repository,
    options: DumpOptions,
    directory: &Path,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    let DumpOptions { common, rules, threads, .. } = options;
    make_snapshot(repository, Mysql::KIND, Mysql::COMMAND, common, clock, monitor, |reading| {
        let found = Found::in_directory(directory)?;
        found.incomplete().map_or(Ok(()), |verdict| verdict.accept(&found.origin(), rules.keep_incomplete))?;
        Counters::add(&monitor.counters().bytes_expected, found.bytes);
        // What form was told is that of the directory; its files make text.
        let text_rules = DumpRules { form: None, ..rules.clone() };
        let texts = TextReading { reading, rules: text_rules, key: String::new() };
        let (mut dumps, files) = found.store(&texts, threads)?;
        dumps.originals = keep_originals(&texts, &found, &files, threads)?;
        let mut dumps = texts.settle(dumps)?;
        dumps.members = members(files);
        found.judge(&mut dumps, &rules)?;
        write_tree(reading, &dumps, found.origin())
    })
}

/// The files that are ranges of the dump, in order of names. Compressed ones are not.
fn members(files: Vec<JoinedFile>) -> Vec<StoredMember> {
    let is_plain = |file: &JoinedFile| Wrapping::split_name(&file.name).1.is_none();
    let member = |file: JoinedFile| StoredMember { name: file.name, ranges: file.ranges };
    let mut members: Vec<StoredMember> = files.into_iter().filter(is_plain).map(member).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}

/// What is in a directory.
struct Found {
    directory: PathBuf,
    /// In the order in which they load.
    files: Vec<StatementFile>,
    /// Names of all other files.
    others: Vec<Vec<u8>>,
    metadata: Option<MydumperMetadata>,
    bytes: u64,
}

impl Found {
    fn in_directory(directory: &Path) -> Result<Found> {
        let refuse = |path: &Path, reason: &str| Error::invalid("dump", path.to_string_lossy(), reason);
        let (mut names, mut bytes) = (Vec::new(), 0);
        for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
            let entry = entry.map_err(Error::io("list", directory))?;
            let file = fs::metadata(entry.path()).map_err(Error::io("look at", entry.path()))?;
            if !file.is_file() {
                return Err(refuse(&entry.path(), "mydumper writes only files into the directory of a dump"));
            }
            let name = entry.file_name().as_bytes().to_vec();
            let (plain, wrapping) = Wrapping::split_name(&name);
            if plain.ends_with(b".dat") {
                let reason = "its rows are for LOAD DATA, which is not taken: dump without --load-data and --csv";
                return Err(refuse(&entry.path(), reason));
            }
            names.push((name.clone(), wrapping.map(Wrapping::suffix)));
            bytes += file.len();
        }
        let (files, mut others) = in_loading_order(names);
        others.sort();
        if files.is_empty() {
            return Err(refuse(directory, "no file of a table or a database is in it"));
        }
        let directory = directory.to_path_buf();
        let mut found = Found { directory, files, others, metadata: None, bytes };
        if found.others.iter().any(|name| is_metadata(name)) {
            found.metadata = Some(found.read_metadata()?);
        }
        Ok(found)
    }

    fn read_metadata(&self) -> Result<MydumperMetadata> {
        let path = self.directory.join("metadata");
        let length = fs::metadata(&path).map_err(Error::io("look at", &path))?.len();
        if length > METADATA_MAX_BYTES {
            let reason = format!("it has {length} bytes, and no more than {METADATA_MAX_BYTES} are read");
            return Err(Error::invalid("dump", path.to_string_lossy(), reason));
        }
        Ok(MydumperMetadata::read(&fs::read(&path).map_err(Error::io("read", &path))?))
    }

    fn origin(&self) -> String {
        self.directory.to_string_lossy().into_owned()
    }

    fn path_of(&self, name: &[u8]) -> PathBuf {
        self.directory.join(std::ffi::OsStr::from_bytes(name))
    }

    /// Why the dump is not whole, as far as the names of its files tell.
    fn incomplete(&self) -> Option<Verdict> {
        let has_partial = self.others.iter().any(|name| is_partial_metadata(name));
        let reason = match (has_partial, &self.metadata) {
            (true, _) => "metadata.partial is there: mydumper did not come to its end",
            (false, None) => "no metadata is there, which mydumper writes at its end",
            (false, Some(_)) => return None,
        };
        Some(incomplete(reason.into()))
    }

    /// Stores all statements as one dump; also tells where each file is in it.
    fn store(&self, texts: &TextReading, threads: usize) -> Result<(StoredDumps<Mysql>, Vec<JoinedFile>)> {
        let told = Arc::new(Mutex::new(Told::default()));
        let text = MydumperText::new(&self.directory, self.files.clone(), texts.rules.unwrap_limit, told.clone())?;
        let input = StreamInput::Reader(Box::new(text));
        // Every statement comes behind a USE, or names its database.
        let inputs = vec![DumpInput { name: Some(self.origin()), input, fallback_database: String::new() }];
        let stored = texts.store::<Mysql>(inputs, threads);
        let Told { files, fault, error } = std::mem::take(&mut *told.lock().unwrap_or_else(|held| held.into_inner()));
        let mut dumps = stored.map_err(|failed| match (failed, error, &fault) {
            (_, Some(error), _) => error,
            (Error::Incomplete { input, .. }, None, Some(reason)) => {
                Error::Incomplete { input, reason: reason.clone() }
            }
            (failed, None, _) => failed,
        })?;
        if let (Some(reason), Some(input)) = (fault, dumps.inputs.first_mut()) {
            input.verdict = incomplete(reason);
        }
        Ok((dumps, files))
    }

    /// Takes what `metadata` tells into what is known of the dump, and looks whether all rows are there.
    fn judge(&self, dumps: &mut StoredDumps<Mysql>, rules: &DumpRules) -> Result<()> {
        let rows = self.metadata.as_ref().and_then(|metadata| missing_rows(&metadata.rows, dumps));
        let told = self.incomplete().or(rows.map(incomplete));
        let Some(input) = dumps.inputs.first_mut() else { return Ok(()) };
        if let Some(verdict) = told.filter(|_| input.verdict.status != SnapshotStatus::Incomplete) {
            input.verdict = verdict;
        }
        let lists_files = self.metadata.as_ref().is_some_and(|metadata| !metadata.rows.is_empty());
        if input.verdict.status == SnapshotStatus::Complete && !lists_files {
            input.verdict = Verdict::without_list();
        }
        input.format.facts.program = Some("mydumper".into());
        if let Some(metadata) = &self.metadata {
            input.format.facts.coordinates = metadata.coordinates.clone();
        }
        input.verdict.accept(&self.origin(), rules.keep_incomplete)
    }
}

fn incomplete(reason: String) -> Verdict {
    Verdict { status: SnapshotStatus::Incomplete, reason: Some(reason) }
}

/// The first table that has another number of rows than is told.
fn missing_rows(told: &[TableRows], dumps: &StoredDumps<Mysql>) -> Option<String> {
    let mut counted: HashMap<ObjectPath, u64> = HashMap::new();
    let parts = &dumps.parts;
    for part in parts.all().filter(|part| parts.file_name(part) == Some(DATA_FILE)) {
        *counted.entry(parts.object(part.object)).or_default() += part.rows;
    }
    told.iter().find_map(|TableRows { database, table, rows }| {
        let path = [&database_directory(database), TABLES_DIRECTORY.as_bytes(), &file_name(table, "")].join(&b'/');
        let there = counted.get(&ObjectPath::of(&path)).copied().unwrap_or(0);
        let name = String::from_utf8_lossy(&[&database[..], table].join(&b'.')).into_owned();
        (there != *rows).then(|| format!("table {name} has {there} rows, and metadata tells of {rows}"))
    })
}
