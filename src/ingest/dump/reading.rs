//! Reading: the dumps of a snapshot are read one after the other, and stored as one text.

use std::ops::Range;

use crate::compressed::Wrapping;
use crate::dump::layout::DUMP_FILE;
use crate::dump::name::file_name;
use crate::error::{Error, Result};
use crate::ingest::dump::original::Original;
use crate::ingest::dump::verdict::{InputEnd, Verdict};
use crate::ingest::dump::{DumpFormat, DumpInput, DumpReading, DumpRules, Notes, PartList};
use crate::ingest::input::OpenInput;
use crate::ingest::older_content;
use crate::progress::Counters;
use crate::repository::content::{ChunkClass, Content};
use crate::repository::content_writer::ContentWriter;
use crate::repository::predecessor::Predecessor;
use crate::repository::session::WriteSession;
use crate::store::EncodeQueue;

/// Reads the dumps of one ingest.
pub struct TextReading<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    pub rules: DumpRules,
}

/// Dumps that were stored, one after the other.
pub struct StoredDumps<F> {
    pub content: Content,
    pub parts: PartList,
    pub inputs: Vec<StoredInput<F>>,
    pub originals: Vec<Original>,
    /// Files that the text was put together of, in order of names.
    pub members: Vec<StoredMember>,
}

/// A file whose bytes are ranges of the text.
pub struct StoredMember {
    pub name: Vec<u8>,
    pub ranges: Vec<Range<u64>>,
}

/// What came from one input.
pub struct StoredInput<F> {
    pub name: String,
    /// Where it begins in the text, and how long it is there.
    pub start: u64,
    pub length: u64,
    pub format: F,
    pub ended: InputEnd,
    pub verdict: Verdict,
}

impl<F> StoredDumps<F> {
    /// The input that this place of the text came from. There is one at least.
    pub fn input_at(&self, place: u64) -> &StoredInput<F> {
        let behind = self.inputs.partition_point(|input| input.start <= place);
        &self.inputs[behind.saturating_sub(1)]
    }

    /// How whole all of them are.
    pub fn verdict(&self) -> Verdict {
        Verdict::of_all(self.inputs.iter().map(|input| (input.name.as_str(), &input.verdict)))
    }
}

impl TextReading<'_, '_> {
    /// Stores all dumps, and what is kept of them as they came, with threads that compress. What is kept is still to be settled.
    pub fn store<F: DumpFormat>(&self, inputs: Vec<DumpInput>, threads: usize) -> Result<StoredDumps<F>> {
        let chunks = self.reading.session.chunks().store();
        let previous = older_content(chunks, self.reading.before(), DUMP_FILE.as_bytes());
        let expected_bytes = previous.as_ref().map_or(0, |content| content.size);
        Counters::add(&self.reading.monitor.counters().bytes_expected, expected_bytes);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut dumps = StoredDumps {
            content: Content::empty(),
            parts: PartList::default(),
            inputs: Vec::new(),
            originals: Vec::new(),
            members: Vec::new(),
        };
        std::thread::scope(|scope| {
            let queue = EncodeQueue::start(scope, self.reading.session.chunks(), threads);
            let mut lane = self.reading.session.chunks().data_lane(Some(queue.clone()));
            let mut writer = ContentWriter::new(&mut lane, self.reading.session, ChunkClass::Small, previous)
                .with_relatives(&self.reading.relatives);
            for input in inputs {
                self.read(input, &mut dumps, &mut writer, queue.clone())?;
            }
            dumps.content = writer.finish()?;
            lane.release()
        })?;
        Ok(dumps)
    }

    /// Reads one input, and what is kept of it as it came.
    fn read<F: DumpFormat>(
        &self,
        input: DumpInput,
        dumps: &mut StoredDumps<F>,
        writer: &mut ContentWriter<WriteSession>,
        queue: EncodeQueue,
    ) -> Result<()> {
        let DumpInput { name, input, fallback_database } = input;
        let file = name.as_deref().map(str::as_bytes).or(input.file_name()).map(<[u8]>::to_vec);
        let name = name.unwrap_or_else(|| input.describe());
        let mut open = input.open()?;
        let wrapping = open.wrapping(&|| self.reading.monitor.is_cancelled())?;
        let start = dumps.inputs.last().map_or(0, |last| last.start + last.length);
        let form = wrapping.and_then(|wrapping| self.rules.original.form(wrapping));
        let (Some(wrapping), Some(form)) = (wrapping, form) else {
            if let Some(wrapping) = wrapping {
                open.unwrap_as(wrapping, self.rules.unwrap_limit, None);
            }
            return self.read_plain(open, name, start, fallback_database, dumps, writer);
        };
        let keeper = self.reading.keeper(name_kept(file, wrapping, &dumps.originals));
        let unwrapping = (wrapping, self.rules.unwrap_limit);
        let ((), original) = keeper.beside(open, unwrapping, form, queue, (DUMP_FILE.as_bytes(), start), |open| {
            self.read_plain(open, name, start, fallback_database, dumps, writer)
        })?;
        dumps.originals.push(original);
        Ok(())
    }

    /// Reads what is in one input.
    fn read_plain<F: DumpFormat>(
        &self,
        mut input: OpenInput,
        name: String,
        start: u64,
        fallback_database: String,
        dumps: &mut StoredDumps<F>,
        writer: &mut ContentWriter<WriteSession>,
    ) -> Result<()> {
        let is_given_up = || self.reading.monitor.is_cancelled();
        let (counters, parts) = (self.reading.monitor.counters(), &mut dumps.parts);
        let mut format = F::beginning_at(start, &self.rules);
        let mut length = 0;
        parts.begin_input();
        input.store(
            writer,
            self.reading.session,
            counters,
            self.reading.clock,
            &is_given_up,
            &mut |piece, marks| {
                length += piece.len() as u64;
                format.push(piece, &mut Notes { list: parts, marks: Some(marks) });
            },
        )?;
        format.finish(&mut Notes { list: parts, marks: None });
        let exit = input.ended(&is_given_up)?;
        if length == 0 {
            return Err(input.failed(
                exit.filter(|exit| !exit.success())
                    .map_or_else(|| "produced nothing".to_string(), |exit| format!("failed with {exit}")),
            ));
        }
        let ended = InputEnd { exit, cut_at: input.cut_at() };
        let verdict = Verdict::of(format.ending(), &ended);
        verdict.accept(&name, self.rules.keep_incomplete)?;
        let named = self.rules.database.as_deref().map(str::as_bytes).or(format.database());
        parts.end_input(start + length, named.unwrap_or(fallback_database.as_bytes()));
        dumps.inputs.push(StoredInput { name, start, length, format, ended, verdict });
        dumps.refuse_databases_told_twice()
    }

    /// Puts files in the place of recipes that are of little use.
    pub fn settle<F>(&self, mut dumps: StoredDumps<F>) -> Result<StoredDumps<F>> {
        if dumps.originals.iter().any(|original| original.is_poor) {
            self.reading.session.publish_all((self.reading.clock)())?;
        }
        let mut settled = Vec::new();
        for original in std::mem::take(&mut dumps.originals) {
            settled.push(self.reading.keeper(original.file.clone()).settle(original, &dumps.content)?);
        }
        settled.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(StoredDumps { originals: settled, ..dumps })
    }
}

impl<F> StoredDumps<F> {
    fn refuse_databases_told_twice(&self) -> Result<()> {
        let Some(twice) = self.parts.told_twice() else { return Ok(()) };
        let [first, second] = twice.dumps.map(|dump| self.dump_name(dump));
        let database = String::from_utf8_lossy(&twice.database).into_owned();
        Err(Error::invalid("database", database, format!("both {first} and {second} dump it")))
    }

    /// A dump as people find it again, by its number among all.
    fn dump_name(&self, dump: u32) -> String {
        let (input, number) = self.parts.dump_in_input(dump);
        let name = self.inputs.get(input as usize).map_or("", |input| input.name.as_str());
        match number {
            0 => format!("\"{name}\""),
            _ => format!("dump {} in \"{name}\"", number + 1),
        }
    }
}

/// The name for what is kept of an input: that of its file, which is made another one where it is taken.
fn name_kept(file: Option<Vec<u8>>, wrapping: Wrapping, kept: &[Original]) -> Vec<u8> {
    let suffix = wrapping.suffix().as_bytes();
    let mut name = file.unwrap_or_else(|| DUMP_FILE.as_bytes().to_vec());
    if !name.ends_with(suffix) {
        name.extend_from_slice(suffix);
    }
    if kept.iter().any(|kept| kept.file == file_name(&name, "")) {
        name = [format!("{}-", kept.len() + 1).as_bytes(), &name].concat();
    }
    file_name(&name, "")
}
