//! Reading: the dumps of a snapshot are read one after the other, and stored as one text.

use std::ops::Range;

use crate::dump::layout::{DUMP_FILE, XML_DUMP_FILE};
use crate::dump::name::file_name;
use crate::dump::unpack::{ArchiveReader, Output};
use crate::error::{Error, Result};
use crate::ingest::dump::archive::{Assembly, AssemblyWriter, frame_name, older_frame};
use crate::ingest::dump::original::{ArchiveTeller, KeptForm, Original, WrappedOriginal, unwrap_and_listen};
use crate::ingest::dump::verdict::{InputEnd, Verdict};
use crate::ingest::dump::{
    BEGINNING_BYTES, DumpForm, DumpFormat, DumpInput, DumpReading, DumpRules, Ending, Notes, OriginalPolicy, PartList,
    refuse_other_kind,
};
use crate::ingest::input::{OpenInput, StreamInput};
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
    /// What no server knows that is dumped.
    pub key: String,
}

/// Dumps that were stored, one after the other.
pub struct StoredDumps<F> {
    /// What they are called in the snapshot.
    pub file: &'static str,
    pub content: Content,
    pub parts: PartList,
    pub inputs: Vec<StoredInput<F>>,
    pub originals: Vec<Original>,
    /// Files that the text was put together of, in order of names.
    pub members: Vec<StoredMember>,
    /// Files that are to be put together.
    pub assemblies: Vec<Assembly>,
    /// What of them is no text, with its name.
    pub frames: Vec<(String, Content)>,
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

    /// Where the text of the next input begins.
    fn end(&self) -> u64 {
        self.inputs.last().map_or(0, |last| last.start + last.length)
    }

    /// Whether something of this name is kept.
    fn keeps(&self, name: &[u8]) -> bool {
        let originals = self.originals.iter().map(|original| &original.file);
        let members = self.members.iter().map(|member| &member.name);
        originals.chain(members).chain(self.assemblies.iter().map(|assembly| &assembly.name)).any(|kept| kept == name)
    }

    /// How many files are kept.
    pub fn kept(&self) -> usize {
        self.originals.len() + self.members.len() + self.assemblies.len()
    }
}

/// An input that is to be read.
pub(super) struct PresentInput {
    pub name: String,
    /// The name of its file, or what it is called.
    pub file: Option<Vec<u8>>,
    pub fallback_database: String,
    /// Where its text begins.
    pub start: u64,
}

/// The text of one input.
pub(super) struct InputText<F> {
    pub format: F,
    pub length: u64,
    pub ended: InputEnd,
    /// What shows that its archive is not whole.
    pub fault: Option<String>,
}

/// Where the text of an input goes.
pub(super) struct TextSink<'t, 'l, 'w, 'a, 's, 'r> {
    pub writer: &'t mut ContentWriter<'l, 'w, 'a, 's, WriteSession<'r>>,
    pub queue: EncodeQueue,
}

impl TextSink<'_, '_, '_, '_, '_, '_> {
    /// Takes some text, which `format` reads first.
    pub fn write<F: DumpFormat>(&mut self, bytes: &[u8], format: &mut F, parts: &mut PartList) -> Result<()> {
        let (_, marks) = self.writer.room_and_marks();
        format.push(bytes, &mut Notes { list: parts, marks: Some(marks) });
        self.writer.write(bytes)
    }
}

impl TextReading<'_, '_> {
    /// Stores all dumps, and what is kept of them as they came, with threads that compress. What is kept is still to be settled.
    pub fn store<F: DumpFormat>(&self, inputs: Vec<DumpInput>, threads: usize) -> Result<StoredDumps<F>> {
        let chunks = self.reading.session.chunks().store();
        let older = |file: &str| older_content(chunks, self.reading.before(), file.as_bytes());
        let previous = older(DUMP_FILE).or_else(|| older(XML_DUMP_FILE));
        let expected_bytes = previous.as_ref().map_or(0, |content| content.size);
        Counters::add(&self.reading.monitor.counters().bytes_expected, expected_bytes);
        let previous = previous.as_ref().map(|content| Predecessor::new(chunks, content));
        let mut dumps = StoredDumps {
            file: DUMP_FILE,
            content: Content::empty(),
            parts: PartList::default(),
            inputs: Vec::new(),
            originals: Vec::new(),
            members: Vec::new(),
            assemblies: Vec::new(),
            frames: Vec::new(),
        };
        std::thread::scope(|scope| {
            let queue = EncodeQueue::start(scope, self.reading.session.chunks(), threads);
            let mut lane = self.reading.session.chunks().data_lane(Some(queue.clone()));
            let mut writer = ContentWriter::new(&mut lane, self.reading.session, ChunkClass::Small, previous)
                .with_relatives(&self.reading.relatives);
            let mut sink = TextSink { writer: &mut writer, queue };
            for input in inputs {
                self.read(input, &mut dumps, &mut sink)?;
            }
            dumps.content = writer.finish()?;
            lane.release()
        })?;
        Ok(dumps)
    }

    /// Reads one input, and what is kept of it as it came.
    fn read<F: DumpFormat>(&self, input: DumpInput, dumps: &mut StoredDumps<F>, sink: &mut TextSink) -> Result<()> {
        let DumpInput { name, input, fallback_database } = input;
        let file = name.as_deref().map(str::as_bytes).or(input.file_name()).map(<[u8]>::to_vec);
        let name = name.unwrap_or_else(|| input.describe());
        let present = PresentInput { name, file, fallback_database, start: dumps.end() };
        dumps.parts.begin_input();
        let text = match input {
            StreamInput::File(path) if path.is_dir() => {
                dumps.call_it(DUMP_FILE, &present)?;
                self.read_directory(&path, &present, dumps, sink)?
            }
            input => self.read_open(input.open()?, &present, dumps, sink)?,
        };
        self.end_input(present, text, dumps)
    }

    fn read_open<F: DumpFormat>(
        &self,
        mut open: OpenInput,
        present: &PresentInput,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let is_given_up = || self.reading.monitor.is_cancelled();
        let wrapping = open.wrapping(&is_given_up)?;
        let form = wrapping.and_then(|wrapping| self.rules.original.form(wrapping));
        let (Some(wrapping), Some(form)) = (wrapping, form) else {
            if let Some(wrapping) = wrapping {
                open.unwrap_as(wrapping, self.rules.unwrap_limit, None);
            }
            return self.read_plain(open, present, self.rules.original != OriginalPolicy::Drop, dumps, sink);
        };
        let pieces = unwrap_and_listen(&mut open, (wrapping, self.rules.unwrap_limit));
        let first = open.beginning(BEGINNING_BYTES, &is_given_up)?;
        // A recipe would be told against an archive, which is not kept besides.
        let form = if F::archive(&first, &self.key, &self.rules).is_some() { KeptForm::File } else { form };
        let file = present.file.as_deref().unwrap_or(DUMP_FILE.as_bytes());
        let keeper = self.reading.keeper(name_kept(file, wrapping.suffix().as_bytes(), dumps));
        let text = F::dump_file(&first).as_bytes();
        let wrapped = WrappedOriginal { form, pieces, text, text_at: present.start };
        let (text, original) =
            keeper.beside(wrapped, sink.queue.clone(), || self.read_plain(open, present, false, dumps, sink))?;
        dumps.originals.push(original);
        Ok(text)
    }

    /// Reads what is in an input: text, or an archive, which is kept besides where that is told.
    fn read_plain<F: DumpFormat>(
        &self,
        mut open: OpenInput,
        present: &PresentInput,
        keeps: bool,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let first = open.beginning(BEGINNING_BYTES, &|| self.reading.monitor.is_cancelled())?;
        refuse_other_kind(F::KIND, &first, &present.name)?;
        if !first.is_empty() {
            DumpForm::expect(self.rules.form, F::form(&first), &present.name)?;
        }
        dumps.call_it(F::dump_file(&first), present)?;
        let Some(archive) = F::archive(&first, &self.key, &self.rules) else {
            return self.read_text(open, present, &mut dumps.parts, sink);
        };
        let file = present.file.as_deref().unwrap_or(archive.usual_name().as_bytes());
        let name = name_kept(file, b"", dumps);
        match self.rules.original {
            _ if !keeps => self.read_archive(archive, open, present, &mut |_, _| Ok(()), &mut dumps.parts, sink),
            OriginalPolicy::Rebuild if archive.has_streams() => {
                self.read_and_tell_archive(archive, open, present, name, dumps, sink)
            }
            _ => self.read_and_assemble_archive(archive, open, present, name, dumps, sink),
        }
    }

    /// Makes text of an archive, and the recipe of the archive.
    fn read_and_tell_archive<F: DumpFormat>(
        &self,
        archive: Box<dyn ArchiveReader>,
        open: OpenInput,
        present: &PresentInput,
        name: Vec<u8>,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let (mut teller, pieces) = ArchiveTeller::new();
        let text_of = (dumps.file.as_bytes(), present.start);
        let parts = &mut dumps.parts;
        let keeper = self.reading.keeper(name);
        let (text, original) = keeper.beside_archive(pieces, sink.queue.clone(), text_of, || {
            let mut note = |output: Output, text_at| {
                teller.note(output, text_at);
                Ok(())
            };
            let text = self.read_archive(archive, open, present, &mut note, parts, sink)?;
            teller.finish();
            Ok(text)
        })?;
        dumps.originals.push(original);
        Ok(text)
    }

    /// Makes text of an archive, and takes down what the archive is put together of.
    fn read_and_assemble_archive<F: DumpFormat>(
        &self,
        archive: Box<dyn ArchiveReader>,
        open: OpenInput,
        present: &PresentInput,
        name: Vec<u8>,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let frame = dumps.assemblies.iter().filter_map(Assembly::frame).count();
        let older = older_frame(self.reading, &name, Some(frame));
        let mut lane = self.reading.session.chunks().data_lane(Some(sink.queue.clone()));
        let mut assembly = AssemblyWriter::new(self.reading.session, &mut lane, name, older.as_ref());
        let mut note = |output: Output, text_at| assembly.note(output, text_at);
        let text = self.read_archive(archive, open, present, &mut note, &mut dumps.parts, sink)?;
        dumps.assemblies.push(assembly.finish()?);
        lane.release()?;
        Ok(text)
    }

    /// Reads text.
    fn read_text<F: DumpFormat>(
        &self,
        mut input: OpenInput,
        present: &PresentInput,
        parts: &mut PartList,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let is_given_up = || self.reading.monitor.is_cancelled();
        let (session, clock) = (self.reading.session, self.reading.clock);
        let mut format = F::beginning_at(present.start, &self.rules);
        let mut length = 0;
        let counters = self.reading.monitor.counters();
        input.store(sink.writer, session, counters, clock, &is_given_up, &mut |piece, marks| {
            length += piece.len() as u64;
            format.push(piece, &mut Notes { list: parts, marks: Some(marks) });
        })?;
        self.end_text(input, InputText { format, length, ended: InputEnd::default(), fault: None }, parts)
    }

    /// Nothing follows in an input.
    fn end_text<F: DumpFormat>(
        &self,
        mut input: OpenInput,
        mut text: InputText<F>,
        parts: &mut PartList,
    ) -> Result<InputText<F>> {
        text.format.finish(&mut Notes { list: parts, marks: None });
        let exit = input.ended(&|| self.reading.monitor.is_cancelled())?;
        if text.length == 0 && text.fault.is_none() {
            return Err(input.gave_nothing(exit));
        }
        text.ended = InputEnd::of(&input, exit);
        Ok(text)
    }

    /// Makes text of an archive. `note` gets all that comes of it, and where the next text goes.
    fn read_archive<F: DumpFormat>(
        &self,
        mut archive: Box<dyn ArchiveReader>,
        mut input: OpenInput,
        present: &PresentInput,
        note: &mut dyn FnMut(Output, u64) -> Result<()>,
        parts: &mut PartList,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let mut format = F::beginning_at(present.start, &self.rules);
        let mut length = 0;
        let mut tell = |output: Output| {
            note(output, present.start + length)?;
            let (Output::Shared(bytes) | Output::Text(bytes)) = output else { return Ok(()) };
            length += bytes.len() as u64;
            sink.write(bytes, &mut format, parts)
        };
        self.each_piece(&mut input, &mut |piece| archive.push(piece, &mut tell))?;
        let end = archive.finish(&mut tell)?;
        let fault = end.fault.clone();
        format.note_archive(end);
        self.end_text(input, InputText { format, length, ended: InputEnd::default(), fault }, parts)
    }

    /// Takes note of an input that was read.
    fn end_input<F: DumpFormat>(
        &self,
        present: PresentInput,
        text: InputText<F>,
        dumps: &mut StoredDumps<F>,
    ) -> Result<()> {
        let PresentInput { name, fallback_database, start, .. } = present;
        let InputText { format, length, ended, fault } = text;
        // What an archive tells comes first: text of one that is not whole is not either.
        let ending = if fault.is_some() { Ending::Marked } else { format.ending() };
        let verdict = Verdict::of(ending, &ended).with_fault(fault.as_deref());
        verdict.accept(&name, self.rules.keep_incomplete)?;
        let named = self.rules.database.as_deref().map(str::as_bytes).or(format.database());
        dumps.parts.end_input(start + length, named.unwrap_or(fallback_database.as_bytes()));
        dumps.inputs.push(StoredInput { name, start, length, format, ended, verdict });
        dumps.refuse_databases_told_twice()
    }

    /// Puts files together, and in the place of recipes that are of little use.
    pub fn settle<F>(&self, mut dumps: StoredDumps<F>) -> Result<StoredDumps<F>> {
        if !dumps.assemblies.is_empty() || dumps.originals.iter().any(|original| original.is_poor) {
            self.reading.session.publish_all((self.reading.clock)())?;
        }
        let mut settled = Vec::new();
        for original in std::mem::take(&mut dumps.originals) {
            settled.push(self.reading.keeper(original.file.clone()).settle(original, &dumps.content)?);
        }
        for assembly in std::mem::take(&mut dumps.assemblies) {
            if let Some(frame) = assembly.frame() {
                dumps.frames.push((frame_name(dumps.frames.len()), frame.clone()));
            }
            settled.push(assembly.assemble(self.reading, &dumps.content)?);
        }
        settled.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(StoredDumps { originals: settled, ..dumps })
    }
}

impl<F> StoredDumps<F> {
    /// Calls all of them so, because the present one is to be called that.
    fn call_it(&mut self, file: &'static str, present: &PresentInput) -> Result<()> {
        if !self.inputs.is_empty() && self.file != file {
            let reason = "some dumps are XML, others are not: they make no snapshot together";
            return Err(Error::invalid("dump", present.name.clone(), reason));
        }
        self.file = file;
        Ok(())
    }

    fn refuse_databases_told_twice(&self) -> Result<()> {
        let Some(twice) = self.parts.told_twice() else { return Ok(()) };
        let [first, second] = twice.dumps.map(|dump| self.dump_name(dump));
        let database = String::from_utf8_lossy(&twice.database).into_owned();
        let hint = if twice.is_unnamed {
            ", since neither names its database: give them as files of their own, or each by itself with --database"
        } else {
            ""
        };
        Err(Error::invalid("database", database, format!("both {first} and {second} dump it{hint}")))
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
fn name_kept<F>(file: &[u8], suffix: &[u8], dumps: &StoredDumps<F>) -> Vec<u8> {
    let mut name = file.to_vec();
    if !name.ends_with(suffix) {
        name.extend_from_slice(suffix);
    }
    if dumps.keeps(&file_name(&name, "")) {
        name = [format!("{}-", dumps.kept() + 1).as_bytes(), &name].concat();
    }
    file_name(&name, "")
}
