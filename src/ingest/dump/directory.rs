//! A dump that is a directory: its files are read in the order of the text that they make, and each is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::compressed::Wrapping;
use crate::dump::layout::DUMP_FILE;
use crate::dump::name::file_name;
use crate::dump::unpack::{DirectoryReader, Output};
use crate::error::Result;
use crate::ingest::dump::archive::{AssemblyWriter, files_in, older_frame};
use crate::ingest::dump::original::{KeptForm, WrappedOriginal, unwrap_and_listen};
use crate::ingest::dump::reading::{InputText, PresentInput, StoredDumps, StoredMember, TextReading, TextSink};
use crate::ingest::dump::verdict::InputEnd;
use crate::ingest::dump::{DumpForm, DumpFormat, Notes, OriginalPolicy, PartList};
use crate::ingest::input::{OpenInput, StreamInput};

/// How the names of files end that are compressed.
const SUFFIXES: [&str; 4] = ["", ".gz", ".zst", ".lz4"];

/// A directory that is being read.
struct Directory {
    /// Files that were not read yet.
    files: BTreeMap<Vec<u8>, PathBuf>,
    /// What stands before the names of those that are kept; `None` where none is.
    prefix: Option<Vec<u8>>,
}

impl Directory {
    /// Takes the file of this name, or of this name with how it is compressed behind it.
    fn take(&mut self, name: &[u8]) -> Option<(Vec<u8>, PathBuf)> {
        let mut names = SUFFIXES.iter().map(|suffix| [name, suffix.as_bytes()].concat());
        names.find_map(|name| self.files.remove_entry(&name))
    }

    /// The name under which a file is kept.
    fn kept(&self, name: &[u8]) -> Option<Vec<u8>> {
        Some([self.prefix.as_ref()?, &file_name(name, "")[..]].concat())
    }
}

/// The text of a directory, as far as it was made.
struct DirectoryText<F> {
    format: F,
    start: u64,
    length: u64,
}

impl<F: DumpFormat> DirectoryText<F> {
    fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Takes what comes of the directory.
    fn take(&mut self, output: Output, parts: &mut PartList, sink: &mut TextSink) -> Result<()> {
        let (Output::Shared(bytes) | Output::Text(bytes)) = output else { return Ok(()) };
        self.length += bytes.len() as u64;
        sink.write(bytes, &mut self.format, parts)
    }
}

impl TextReading<'_, '_> {
    /// Makes text of a directory, and keeps its files.
    pub(super) fn read_directory<F: DumpFormat>(
        &self,
        path: &Path,
        present: &PresentInput,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<InputText<F>> {
        let told = self.rules.form;
        let form = F::form_of_directory(path, told).ok_or_else(|| DumpForm::refuse_directory(told, path))?;
        let mut archive = F::directory(path, form, &self.key, &self.rules)?;
        let keeps = self.rules.original != OriginalPolicy::Drop;
        let prefix = keeps.then(|| directory_kept(present, dumps));
        let mut directory = Directory { files: files_in(path)?, prefix };
        let format = F::beginning_at(present.start, &self.rules);
        let mut text = DirectoryText { format, start: present.start, length: 0 };
        while let Some(name) = archive.next_file() {
            let Some((name, path)) = directory.take(&name) else {
                archive.is_missing(&name);
                break;
            };
            self.read_file(archive.as_mut(), (path, directory.kept(&name)), &mut text, dumps, sink)?;
        }
        let end = archive.finish(&mut |output| text.take(output, &mut dumps.parts, sink))?;
        for (name, path) in std::mem::take(&mut directory.files) {
            if let Some(kept) = directory.kept(&name) {
                self.keep_file(path, kept, dumps, sink)?;
            }
        }
        let DirectoryText { mut format, length, .. } = text;
        let fault = end.fault.clone();
        format.note_archive(end);
        format.finish(&mut Notes { list: &mut dumps.parts, marks: None });
        Ok(InputText { format, length, ended: InputEnd::default(), fault })
    }

    /// Reads a file that makes some of the text, and keeps it under that name.
    fn read_file<F: DumpFormat>(
        &self,
        archive: &mut dyn DirectoryReader,
        (path, kept): (PathBuf, Option<Vec<u8>>),
        text: &mut DirectoryText<F>,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<()> {
        let mut open = StreamInput::File(path).open()?;
        let wrapping = open.wrapping(&|| self.reading.monitor.is_cancelled())?;
        archive.begin_file(&mut |output| text.take(output, &mut dumps.parts, sink))?;
        let start = text.end();
        match (wrapping, kept) {
            (Some(wrapping), kept) => self.read_wrapped(archive, (open, wrapping, kept), text, dumps, sink)?,
            (None, Some(name)) if !archive.is_in_text() => {
                let mut lane = self.reading.session.chunks().data_lane(Some(sink.queue.clone()));
                let older = older_frame(self.reading, &name, None);
                let mut kept = AssemblyWriter::new(self.reading.session, &mut lane, name, older.as_ref());
                self.each_piece(&mut open, &mut |piece| {
                    archive.push(piece, &mut |output| {
                        kept.note(output, 0)?;
                        text.take(output, &mut dumps.parts, sink)
                    })
                })?;
                dumps.assemblies.push(kept.finish()?);
                lane.release()?;
            }
            (None, kept) => {
                let parts = &mut dumps.parts;
                self.each_piece(&mut open, &mut |piece| {
                    archive.push(piece, &mut |output| text.take(output, parts, sink))
                })?;
                let range = start..text.end();
                dumps.members.extend(kept.map(|name| StoredMember { name, ranges: vec![range] }));
            }
        }
        archive.end_file(&mut |output| text.take(output, &mut dumps.parts, sink))
    }

    /// Reads what is in a compressed file, and keeps that, or what makes it again, under this name.
    fn read_wrapped<F: DumpFormat>(
        &self,
        archive: &mut dyn DirectoryReader,
        (mut open, wrapping, kept): (OpenInput, Wrapping, Option<Vec<u8>>),
        text: &mut DirectoryText<F>,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<()> {
        let unwrapping = (wrapping, self.rules.unwrap_limit);
        let kept = match kept {
            Some(name) => Some((name, unwrap_and_listen(&mut open, unwrapping))),
            None => {
                open.unwrap_as(wrapping, self.rules.unwrap_limit, None);
                None
            }
        };
        // What is not in the text as it is, and what no recipe is made of, is kept as it came.
        let form = self.rules.original.form(wrapping).filter(|_| archive.is_in_text()).unwrap_or(KeptForm::File);
        let (start, queue, parts) = (text.end(), sink.queue.clone(), &mut dumps.parts);
        let read = || {
            self.each_piece(&mut open, &mut |piece| archive.push(piece, &mut |output| text.take(output, parts, sink)))?;
            let cut = open.cut_at().map(|at| (open.described().to_string(), at));
            // Whoever keeps the file waits until nobody reads it.
            drop(open);
            Ok(cut)
        };
        let cut = match kept {
            Some((name, pieces)) => {
                let wrapped = WrappedOriginal { form, pieces, text: DUMP_FILE.as_bytes(), text_at: start };
                let (cut, original) = self.reading.keeper(name).beside(wrapped, queue, read)?;
                dumps.originals.push(original);
                cut
            }
            None => read()?,
        };
        if let Some((name, at)) = cut {
            archive.note(format!("{name}: its compressed data is cut off after {at} bytes"));
        }
        Ok(())
    }

    /// Keeps a file that makes no text.
    fn keep_file<F>(
        &self,
        path: PathBuf,
        name: Vec<u8>,
        dumps: &mut StoredDumps<F>,
        sink: &mut TextSink,
    ) -> Result<()> {
        let mut open = StreamInput::File(path).open()?;
        let mut lane = self.reading.session.chunks().data_lane(Some(sink.queue.clone()));
        let older = older_frame(self.reading, &name, None);
        let mut assembly = AssemblyWriter::new(self.reading.session, &mut lane, name, older.as_ref());
        self.each_piece(&mut open, &mut |piece| assembly.note(Output::Frame(piece), 0))?;
        dumps.assemblies.push(assembly.finish()?);
        lane.release()
    }

    pub(super) fn each_piece(&self, open: &mut OpenInput, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let counters = self.reading.monitor.counters();
        let is_given_up = || self.reading.monitor.is_cancelled();
        open.each_piece(self.reading.session, counters, self.reading.clock, &is_given_up, take)
    }
}

/// What stands before the names of the files of a directory that are kept: those of a second one get one of their own.
fn directory_kept<F>(present: &PresentInput, dumps: &StoredDumps<F>) -> Vec<u8> {
    let kept = dumps.kept();
    if kept == 0 {
        return Vec::new();
    }
    let name = present.file.as_deref().unwrap_or_default();
    let name = [format!("{}-", kept + 1).as_bytes(), name].concat();
    [&file_name(&name, "")[..], b"/"].concat()
}
