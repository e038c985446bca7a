//! PlainFile: a file of a dump, stored as it comes, and what is learned of it meanwhile.

use crate::dump::mongo::{DOCUMENTS_SUFFIX, Documents, Export, ExportForm, METADATA_SUFFIX, OplogReader, PRELUDE_FILE};
use crate::error::Result;
use crate::ingest::dump::{DumpReading, InputEnd};
use crate::ingest::input::OpenInput;
use crate::ingest::mongo::layout::FilePath;
use crate::ingest::older_content;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::cut_marks::CutMarks;
use crate::repository::predecessor::Predecessor;
use crate::store::DataLane;

/// Longest file of JSON that is read; longer ones are only stored.
const JSON_MAX_BYTES: usize = 16 << 20;

/// What is looked at of a file while it is stored.
#[derive(Default)]
pub struct Seen {
    pub documents: Option<Documents>,
    pub oplog: Option<OplogReader>,
    pub json: Option<Vec<u8>>,
    pub export: Option<Export>,
}

impl Seen {
    /// Of a file of this name in a directory that was dumped.
    pub fn of(path: &FilePath) -> Seen {
        let ends_with = |suffix: &str| path.last().is_some_and(|name| name.ends_with(suffix.as_bytes()));
        let is_prelude = path.last().is_some_and(|name| name == PRELUDE_FILE.as_bytes());
        let documents = ends_with(DOCUMENTS_SUFFIX).then(Documents::default);
        let oplog = (path.len() == 1 && documents.is_some()).then(OplogReader::default);
        let json = (is_prelude || ends_with(METADATA_SUFFIX)).then(Vec::new);
        Seen { documents, oplog, json, export: None }
    }

    /// Of a collection that was exported.
    pub fn export(form: ExportForm) -> Seen {
        Seen { export: Some(Export::new(form)), ..Seen::default() }
    }

    fn see(&mut self, piece: &[u8], marks: &mut CutMarks) {
        if let Some(documents) = &mut self.documents {
            documents.push(piece, &mut |at| marks.row(at));
        }
        if let Some(export) = &mut self.export {
            export.push(piece, &mut |at| marks.row(at));
        }
        if let Some(oplog) = &mut self.oplog {
            oplog.push(piece);
        }
        if let Some(json) = self.json.as_mut().filter(|json| json.len() + piece.len() <= JSON_MAX_BYTES) {
            json.extend_from_slice(piece);
        }
    }
}

/// A file that was stored.
pub struct PlainFile {
    pub content: Content,
    pub seen: Seen,
    pub ended: InputEnd,
}

impl PlainFile {
    pub fn store(
        reading: &DumpReading,
        path: &FilePath,
        input: &mut OpenInput,
        mut seen: Seen,
        lane: &mut DataLane,
    ) -> Result<PlainFile> {
        let chunks = reading.session.chunks().store();
        let previous = older_content(chunks, reading.before(), &path.join(&b'/'));
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let writer = ContentWriter::new(lane, reading.session, ChunkClass::Small, previous);
        let mut writer = writer.with_relatives(&reading.relatives);
        let (counters, is_given_up) = (reading.monitor.counters(), || reading.monitor.is_cancelled());
        let see = &mut |piece: &[u8], marks: &mut CutMarks| seen.see(piece, marks);
        input.store(&mut writer, reading.session, counters, reading.clock, &is_given_up, see)?;
        let content = writer.finish()?;
        let exit = input.ended(&is_given_up)?;
        Ok(PlainFile { content, ended: InputEnd::of(input, exit), seen })
    }
}
