//! Archives: one, or several that are read one after the other and make one dump, each of databases of its own.

use std::collections::{HashMap, HashSet};

use crate::compressed::Wrapping;
use crate::dump::name::file_name;
use crate::error::{Error, Result};
use crate::ingest::dump::{Ending, InputEnd, Verdict, input_line};
use crate::ingest::input::{OpenInput, StreamInput};
use crate::ingest::mongo::archive;
use crate::ingest::mongo::files::{MongoDump, Program};
use crate::ingest::mongo::layout::{
    ArchivePlace, CONTAINER_FILE, FilePath, OPLOG_FILE, other_oplog_path, path_of, shown,
};
use crate::ingest::mongo::older::OlderFiles;
use crate::ingest::mongo::originals::Originals;

/// An archive that is to be read.
pub struct ArchiveInput {
    /// What it is called; without it, as its file or command.
    pub name: Option<String>,
    pub input: StreamInput,
}

/// One that is being read.
pub struct OpenArchive {
    pub name: String,
    /// The name of its file, or what it is called.
    pub file: Option<Vec<u8>>,
    pub input: OpenInput,
    pub wrapping: Option<Wrapping>,
}

impl OpenArchive {
    pub fn open(archive: ArchiveInput, originals: &Originals) -> Result<OpenArchive> {
        let ArchiveInput { name, input } = archive;
        let file = name.as_deref().map(str::as_bytes).or(input.file_name()).map(<[u8]>::to_vec);
        let name = name.unwrap_or_else(|| input.describe());
        let mut input = input.open()?;
        let wrapping = input.wrapping(&|| originals.reading.monitor.is_cancelled())?;
        Ok(OpenArchive { name, file, input, wrapping })
    }
}

/// Stores archives, each opened once the one before is stored, with threads that compress.
pub fn store(
    originals: &Originals,
    archives: impl Iterator<Item = Result<OpenArchive>>,
    is_alone: bool,
    threads: usize,
) -> Result<MongoDump> {
    let older = OlderFiles::of(originals.reading);
    let mut joined = Joined::default();
    for archive in archives {
        let archive = archive?;
        let name = archive.name.clone();
        let place = if is_alone { ArchivePlace::of_only() } else { joined.place_of(&archive) };
        let dump = archive::store(originals, archive, &older, place, threads)?;
        if is_alone {
            return Ok(dump);
        }
        joined.add(name, dump, originals.keep_incomplete)?;
    }
    joined.finish()
}

/// Archives that were stored.
#[derive(Default)]
struct Joined {
    dumps: Vec<MongoDump>,
    /// Their names, and how whole each is.
    verdicts: Vec<(String, Verdict)>,
    /// Names that are taken among originals.
    names_kept: HashSet<Vec<u8>>,
    /// Which archive has a database, by the name of its directory.
    owners: HashMap<Vec<u8>, usize>,
    /// Whether one has a log of operations.
    has_oplog: bool,
}

impl Joined {
    /// Where the next archive stands: named as its file, or another way where that is taken.
    fn place_of(&mut self, archive: &OpenArchive) -> ArchivePlace {
        let number = self.dumps.len();
        let file = archive.file.as_deref().unwrap_or(CONTAINER_FILE.as_bytes());
        let plain = match archive.wrapping {
            Some(_) => Wrapping::split_name(file).0,
            None => file,
        };
        let suffix = archive.wrapping.map_or("", Wrapping::suffix);
        let names = |file: &[u8]| {
            let file = file_name(file, "");
            [[&file[..], suffix.as_bytes()].concat(), file]
        };
        let mut found = names(if plain.is_empty() { file } else { plain });
        if found.iter().any(|name| self.names_kept.contains(name)) {
            found = names(&[format!("{}-", number + 1).as_bytes(), &found[1]].concat());
        }
        self.names_kept.extend(found.clone());
        let [_, file] = found;
        ArchivePlace { file, number }
    }

    fn add(&mut self, name: String, mut dump: MongoDump, keep_incomplete: bool) -> Result<()> {
        let verdict = dump.verdict();
        verdict.accept(&name, keep_incomplete)?;
        self.take_databases(&name, &dump)?;
        self.move_oplog(&mut dump);
        self.verdicts.push((name, verdict));
        self.dumps.push(dump);
        Ok(())
    }

    /// Takes note of the databases of an archive, which no other one may have.
    fn take_databases(&mut self, name: &str, dump: &MongoDump) -> Result<()> {
        let number = self.dumps.len();
        for file in &dump.files {
            let [database, _] = &file.path[..] else { continue };
            let owner = *self.owners.entry(database.clone()).or_insert(number);
            if let Some((other, _)) = self.verdicts.get(owner) {
                let reason = format!("both \"{other}\" and \"{name}\" dump it");
                return Err(Error::invalid("database", shown(std::slice::from_ref(database)), reason));
            }
        }
        Ok(())
    }

    /// Only one can have its operations where `mongorestore` looks for them: the first that has some.
    fn move_oplog(&mut self, dump: &mut MongoDump) {
        let Some(file) = dump.files.iter_mut().find(|file| file.path == path_of(&[OPLOG_FILE])) else { return };
        if std::mem::replace(&mut self.has_oplog, true) {
            let path: FilePath = other_oplog_path(self.dumps.len());
            dump.coordinates.iter_mut().for_each(|it| it.other_oplog = Some(shown(&path)));
            (file.path, file.documents) = (path, None);
        }
    }

    /// All of them as one dump.
    fn finish(self) -> Result<MongoDump> {
        let verdicts = self.verdicts.iter().map(|(name, verdict)| (name.as_str(), verdict));
        let mut all = MongoDump {
            made_by: Program::Mongodump,
            files: Vec::new(),
            archives: Vec::new(),
            originals: Vec::new(),
            inputs: Vec::new(),
            coordinates: Vec::new(),
            fault: Verdict::of_all(verdicts).reason,
            ending: Ending::Marked,
            ended: InputEnd::default(),
        };
        let mut start = 0;
        for ((name, verdict), mut dump) in self.verdicts.iter().zip(self.dumps) {
            let length: u64 = dump.archives.iter().flat_map(|it| &it.parts).map(|part| part.length).sum();
            all.inputs.push(input_line(name, start..start + length, verdict, dump.ended.exit));
            start += length;
            let files_before = all.files.len();
            let parts = dump.archives.iter_mut().flat_map(|archive| &mut archive.parts);
            parts.for_each(|part| part.renumber(|file| Some(files_before + file)));
            all.files.append(&mut dump.files);
            all.archives.append(&mut dump.archives);
            all.originals.append(&mut dump.originals);
            all.coordinates.append(&mut dump.coordinates);
        }
        match all.archives.is_empty() {
            true => Err(Error::invalid("list of archives", "", "there must be at least one")),
            false => Ok(all),
        }
    }
}
