//! What `mongoexport` wrote: a file for each collection.

use crate::compressed::Wrapping;
use crate::dump::mongo::{Export, ExportForm, collection_file_name};
use crate::error::{Error, Result};
use crate::ingest::dump::{Ending, InputEnd, Verdict};
use crate::ingest::input::{OpenInput, StreamInput};
use crate::ingest::mongo::archives::{ArchiveInput, OpenArchive};
use crate::ingest::mongo::files::{Coordinates, MongoDump, MongoFile, Program};
use crate::ingest::mongo::layout::{FilePath, database_directory, shown};
use crate::ingest::mongo::originals::{KeptOriginal, Originals};
use crate::ingest::mongo::plain_file::{PlainFile, Seen};
use crate::ingest::mongo::{archives, fault_in};
use crate::repository::snapshot::SnapshotStatus;
use crate::store::{DataLane, EncodeQueue};

/// A collection that was exported.
pub struct ExportInput {
    /// What it is called; without it, as its file or command.
    pub name: Option<String>,
    pub input: StreamInput,
    pub of: ExportOf,
}

/// Which collection it is, and how it is written.
#[derive(Debug, Clone)]
pub struct ExportOf {
    pub database: String,
    pub collection: String,
    /// `None` where its first byte is to tell. It may be an archive of `mongodump` then.
    pub form: Option<ExportForm>,
}

impl ExportOf {
    fn path(&self, form: ExportForm) -> FilePath {
        let file = collection_file_name(self.collection.as_bytes(), form.suffix());
        vec![database_directory(self.database.as_bytes()), file]
    }
}

/// Stores exports, or archives where the first is none, with threads that compress.
pub fn store(originals: &Originals, inputs: Vec<ExportInput>, threads: usize) -> Result<MongoDump> {
    let is_alone = inputs.len() == 1;
    let mut inputs = inputs.into_iter();
    let first = inputs.next().ok_or_else(|| Error::invalid("list of exports", "", "there must be at least one"))?;
    let first = OpenExport::open(first, originals)?;
    if first.form.is_none() {
        let others = inputs.map(|input| OpenExport::open(input, originals));
        let archives = std::iter::once(Ok(first)).chain(others).map(|open| open?.into_archive());
        return archives::store(originals, archives, is_alone, threads);
    }
    std::thread::scope(|scope| {
        let chunks = originals.reading.session.chunks();
        let queue = EncodeQueue::start(scope, chunks, threads);
        let lane = chunks.data_lane(Some(queue.clone()));
        let mut storing = Storing { originals, queue, lane, stored: Stored::default() };
        storing.add(first, is_alone)?;
        inputs.try_for_each(|input| storing.add(OpenExport::open(input, originals)?, false))?;
        storing.lane.release()?;
        Ok(storing.stored.finish())
    })
}

/// One that is being read.
struct OpenExport {
    name: String,
    file: Option<Vec<u8>>,
    input: OpenInput,
    wrapping: Option<Wrapping>,
    of: ExportOf,
    form: Option<ExportForm>,
    /// It is a file, which may be empty: `mongoexport` prints nothing of a collection without documents.
    is_file: bool,
}

impl OpenExport {
    fn open(export: ExportInput, originals: &Originals) -> Result<OpenExport> {
        let ExportInput { name, input, of } = export;
        let is_file = matches!(input, StreamInput::File(_));
        let is_given_up = || originals.reading.monitor.is_cancelled();
        let OpenArchive { name, file, mut input, wrapping } =
            OpenArchive::open(ArchiveInput { name, input }, originals)?;
        let form = match of.form {
            None => input.first_byte(wrapping, &is_given_up)?.and_then(ExportForm::beginning_with),
            told => told,
        };
        Ok(OpenExport { name, file, input, wrapping, of, form, is_file })
    }

    /// The same as one of several archives.
    fn into_archive(self) -> Result<OpenArchive> {
        let OpenExport { name, file, input, wrapping, form, .. } = self;
        match form {
            None => Ok(OpenArchive { name, file, input, wrapping }),
            Some(_) => Err(Error::invalid(
                "export",
                name,
                "archives come before it, and make no snapshot together with exports",
            )),
        }
    }
}

/// What exports are stored by.
struct Storing<'a, 'r, 'w, 'l> {
    originals: &'a Originals<'a, 'r>,
    queue: EncodeQueue,
    lane: DataLane<'w, 'l>,
    stored: Stored,
}

impl Storing<'_, '_, '_, '_> {
    fn add(&mut self, export: OpenExport, is_alone: bool) -> Result<()> {
        let OpenExport { name, input, wrapping, of, form, is_file, .. } = export;
        let Some(form) = form else {
            let reason = "it does not begin as JSON does; --format tells what else it is";
            return Err(Error::invalid("export", name, reason));
        };
        let path = of.path(form);
        let (reading, lane) = (self.originals.reading, &mut self.lane);
        let mut store = |mut input: OpenInput| {
            let plain = PlainFile::store(reading, &path, &mut input, Seen::export(form), lane)?;
            if plain.content.size == 0 && plain.ended.cut_at.is_none() && !is_file {
                refuse_nothing(&input, &plain)?;
            }
            Ok(plain)
        };
        let (plain, original) = match wrapping {
            None => (store(input)?, None),
            Some(wrapping) => {
                let mut original = path.clone();
                original.iter_mut().skip(1).for_each(|name| name.extend_from_slice(wrapping.suffix().as_bytes()));
                self.originals.beside(input, wrapping, [original, path.clone()], &self.queue, store)?
            }
        };
        self.stored.originals.extend(original);
        self.stored.learn(&name, path, plain, is_alone);
        Ok(())
    }
}

/// Nothing came. A collection may be empty, but only a command that ended well shows that.
fn refuse_nothing(input: &OpenInput, plain: &PlainFile) -> Result<()> {
    match plain.ended.exit {
        Some(exit) if exit.success() => Ok(()),
        exit => Err(input.gave_nothing(exit)),
    }
}

/// Exports that are stored, and what was learned of them.
struct Stored {
    files: Vec<MongoFile>,
    originals: Vec<KeptOriginal>,
    fault: Option<String>,
    ending: Ending,
    ended: InputEnd,
}

impl Default for Stored {
    fn default() -> Stored {
        let (files, originals) = (Vec::new(), Vec::new());
        Stored { files, originals, fault: None, ending: Ending::Marked, ended: InputEnd::default() }
    }
}

impl Stored {
    /// Takes note of one that was stored.
    fn learn(&mut self, name: &str, path: FilePath, plain: PlainFile, is_alone: bool) {
        let PlainFile { content, seen, ended } = plain;
        let end = seen.export.map(Export::finish);
        let is_marked = end.as_ref().is_some_and(|end| end.is_marked);
        let ending = if is_marked { Ending::Marked } else { Ending::Unmarked };
        let Verdict { status, reason } = Verdict::of(ending, &ended);
        match status {
            SnapshotStatus::Complete => {}
            SnapshotStatus::Unverified => self.ending = Ending::Unmarked,
            _ if is_alone => {}
            _ => self.note(reason.map(|reason| format!("\"{name}\": {reason}"))),
        }
        if is_alone {
            self.ended = ended;
        }
        self.note(end.as_ref().and_then(|end| Some(fault_in(&shown(&path), end.fault.as_ref()?))));
        self.files.push(MongoFile { path, content, documents: end.map(|end| end.counts) });
    }

    /// What shows that not all is whole; the first of it is kept.
    fn note(&mut self, fault: Option<String>) {
        self.fault = self.fault.take().or(fault);
    }

    fn finish(self) -> MongoDump {
        let Stored { files, originals, fault, ending, ended } = self;
        MongoDump {
            made_by: Program::Mongoexport,
            files,
            archives: Vec::new(),
            originals,
            inputs: Vec::new(),
            coordinates: vec![Coordinates::default()],
            fault,
            ending,
            ended,
        }
    }
}
