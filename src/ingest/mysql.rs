//! `ingest mysql`: a snapshot of what `mysqldump` or `mariadb-dump` printed, or of what `mydumper` or MySQL Shell wrote.

mod layout;
mod meta;
mod mydumper;
mod shell;
mod tab;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use self::layout::{place_in_xml, place_of};
use crate::dump::layout::{DUMP_FILE, XML_DUMP_FILE};
use crate::dump::mysql::xml::{XmlDump, is_xml};
use crate::dump::mysql::{DumpEnd, DumpFacts, Event, MysqlDump, PartKind, Session};
use crate::dump::unpack::{ArchiveEnd, DirectoryReader};
use crate::error::{Error, Result};
use crate::ingest::IngestReport;
use crate::ingest::dump::{
    DirectoryForm, DumpForm, DumpFormat, DumpInput, DumpOptions, DumpRules, Ending, Facts, NeedLine, NeedList, Notes,
    PartList, RestorePiece, form_of_directory, ingest_dump,
};
use crate::ingest::input::StreamInput;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::SnapshotKind;
use crate::time::Clock;

use self::mydumper::is_mydumper;
use self::shell::{is_shell_directory, shell_directory};
use self::tab::{has_files_of_rows, tab_directory};

/// Makes one snapshot of one dump, or of several. An input that is a directory which `mydumper` wrote must be the only one.
///
/// # Errors
/// [`Error::Incomplete`] where one is not whole and need not be kept,
/// [`Error::Command`] where there is none, [`Error::Invalid`] where two dump the
/// same database, or one is of another kind of database.
pub fn ingest_mysql(
    repository: &Repository,
    options: DumpOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    match mydumper_directory(&options.inputs, options.rules.form)? {
        Some(directory) => mydumper::ingest(repository, options, &directory, clock, monitor),
        None => ingest_dump::<Mysql>(repository, options, clock, monitor),
    }
}

/// How a directory is written that is one dump, and may be told: by `mydumper`, by MySQL Shell, or with rows in files of their own.
/// `None` where it is no dump of that form.
pub fn directory_form(directory: &Path, told: Option<DumpForm>) -> Option<DumpForm> {
    let forms: [DirectoryForm; 3] =
        [(DumpForm::Mydumper, is_mydumper), (DumpForm::Shell, is_shell_directory), (DumpForm::Tab, has_files_of_rows)];
    form_of_directory(directory, told, &forms)
}

/// The directory of `mydumper` that is to be taken, if any is.
fn mydumper_directory(inputs: &[DumpInput], told: Option<DumpForm>) -> Result<Option<PathBuf>> {
    let is_mydumper = |path: &Path| directory_form(path, told) == Some(DumpForm::Mydumper);
    let is_one = |input: &&DumpInput| matches!(&input.input, StreamInput::File(path) if is_mydumper(path));
    match inputs.iter().find(is_one) {
        Some(DumpInput { input: StreamInput::File(path), .. }) if inputs.len() == 1 => Ok(Some(path.clone())),
        Some(input) => {
            let reason = "what mydumper wrote makes a snapshot of its own";
            Err(Error::invalid("directory", input.input.describe(), reason))
        }
        None => Ok(None),
    }
}

/// A dump of MySQL or MariaDB that is being read, and what was learned of it.
#[derive(Default)]
struct Mysql {
    dump: Reader,
    learned: Learned,
    /// Once the dump has ended.
    facts: DumpFacts,
    /// What is known of the directory that the dump was made of.
    directory: Option<ArchiveEnd>,
}

/// What reads a dump, which its first byte tells.
#[derive(Default)]
enum Reader {
    #[default]
    Unknown,
    Sql(Box<MysqlDump>),
    Xml(Box<XmlDump>),
}

#[derive(Default)]
struct Learned {
    is_xml: bool,
    /// Where the dump begins.
    start: u64,
    tables: u64,
    needs: NeedList,
    /// The functions of the dump, in lower case: their names are told whatever the case.
    functions: BTreeSet<Vec<u8>>,
    /// Where definers of triggers are told that are to be left out, in the order of the dump.
    definers: Option<Vec<Range<u64>>>,
}

impl Learned {
    fn note(&mut self, event: Event, notes: &mut Notes) {
        match event {
            Event::Row(start) => notes.row(self.start + start),
            Event::NextDump => notes.next_dump(),
            Event::Definer(Range { start, end }) => {
                let definer = self.start + start..self.start + end;
                self.definers.iter_mut().for_each(|definers| definers.push(definer.clone()));
            }
            Event::Part(part) => {
                self.tables += u64::from(part.kind == PartKind::Schema);
                if part.kind == PartKind::Function {
                    self.functions.insert(part.name.to_ascii_lowercase());
                }
                let place = if self.is_xml { place_in_xml(&part) } else { place_of(&part) };
                notes.part(self.start + part.start, place);
            }
            Event::Needs(needs) => {
                let part = notes.list().present_number();
                needs.iter().for_each(|need| self.needs.add(part, &meta::need_line(need)));
            }
        }
    }
}

impl Learned {
    /// What these parts need. What a trigger calls is a function if the call says where it is, or the dump has one of that name.
    fn needs_of(&self, parts: &[u32]) -> Vec<NeedLine<'_>> {
        let mut needs = self.needs.of_all(parts);
        needs.retain(|need| match need.name[..] {
            [name] if need.label == meta::NEEDS_FUNCTION => self.functions.contains(&name.to_ascii_lowercase()),
            _ => true,
        });
        needs
    }

    /// A range of the dump, but for what is to be left out.
    fn without_definers(&self, range: Range<u64>) -> Vec<RestorePiece> {
        let definers = self.definers.as_deref().unwrap_or_default();
        let first = definers.partition_point(|definer| definer.start < range.start);
        let mut at = range.start;
        let mut pieces = Vec::new();
        for definer in definers[first..].iter().take_while(|definer| definer.end <= range.end) {
            pieces.push(RestorePiece::Dump(at..definer.start));
            at = definer.end;
        }
        pieces.push(RestorePiece::Dump(at..range.end));
        pieces
    }
}

impl DumpFormat for Mysql {
    const KIND: SnapshotKind = SnapshotKind::Mysql;
    const COMMAND: &'static str = "ingest mysql";

    fn beginning_at(start: u64, rules: &DumpRules) -> Mysql {
        let definers = rules.restore_without_definer.then(Vec::new);
        Mysql { learned: Learned { start, definers, ..Learned::default() }, ..Mysql::default() }
    }

    fn form(first: &[u8]) -> DumpForm {
        if is_xml(first) { DumpForm::Xml } else { DumpForm::Text }
    }

    fn form_of_directory(directory: &Path, told: Option<DumpForm>) -> Option<DumpForm> {
        // The reader of these says what is wrong with what looks like none.
        directory_form(directory, told).or(told.is_none().then_some(DumpForm::Tab))
    }

    fn directory(path: &Path, form: DumpForm, _: &str, rules: &DumpRules) -> Result<Box<dyn DirectoryReader>> {
        Ok(match form {
            DumpForm::Shell => Box::new(shell_directory(path)?),
            _ => Box::new(tab_directory(path, rules)?),
        })
    }

    fn dump_file(first: &[u8]) -> &'static str {
        if is_xml(first) { XML_DUMP_FILE } else { DUMP_FILE }
    }

    fn note_archive(&mut self, archive: ArchiveEnd) {
        self.directory = Some(archive);
    }

    fn push(&mut self, piece: &[u8], notes: &mut Notes) {
        if matches!(self.dump, Reader::Unknown) {
            self.learned.is_xml = is_xml(piece);
            self.dump = if self.learned.is_xml { Reader::Xml(Box::default()) } else { Reader::Sql(Box::default()) };
        }
        let mut tell = |event| self.learned.note(event, notes);
        match &mut self.dump {
            Reader::Unknown => {}
            Reader::Sql(dump) => dump.push(piece, &mut tell),
            Reader::Xml(dump) => dump.push(piece, &mut tell),
        }
    }

    fn finish(&mut self, notes: &mut Notes) {
        let mut tell = |event| self.learned.note(event, notes);
        self.facts = match std::mem::take(&mut self.dump) {
            Reader::Unknown => DumpFacts::default(),
            Reader::Sql(dump) => dump.finish(&mut tell),
            Reader::Xml(dump) => dump.finish(&mut tell),
        };
    }

    fn ending(&self) -> Ending {
        match self.facts.end {
            DumpEnd::InStatement => Ending::Cut("it ends within a statement"),
            DumpEnd::NoTrailer if self.learned.is_xml => Ending::Cut("it does not end with \"</mysqldump>\""),
            DumpEnd::NoTrailerInside if self.learned.is_xml => {
                Ending::Cut("one of the dumps in it does not end with \"</mysqldump>\"")
            }
            DumpEnd::NoTrailer if self.facts.program.is_none() => {
                Ending::Cut("it ends before all is set back that it set for its session")
            }
            DumpEnd::NoTrailerInside if self.facts.program.is_none() => {
                Ending::Cut("one of the dumps in it ends before all is set back that it set for its session")
            }
            DumpEnd::NoTrailer => Ending::Cut("it does not end with \"-- Dump completed\""),
            DumpEnd::NoTrailerInside => Ending::Cut("one of the dumps in it does not end with \"-- Dump completed\""),
            DumpEnd::Unmarked => Ending::Unmarked,
            // Each file has its end, but nothing may tell which files there should be.
            DumpEnd::Trailer if self.directory.as_ref().is_some_and(|it| !it.lists_files) => Ending::Unlisted,
            DumpEnd::Trailer => Ending::Marked,
        }
    }

    fn database(&self) -> Option<&[u8]> {
        self.facts.banner_database.as_deref()
    }

    fn facts(&self) -> Facts {
        meta::facts(&self.facts, self.learned.tables, self.learned.is_xml)
    }

    fn coordinates(&self) -> Vec<u8> {
        meta::coordinates(&self.facts)
    }

    fn restore(&self, list: &PartList, parts: &[u32]) -> Vec<RestorePiece> {
        let needs = self.learned.needs_of(parts);
        let first = parts.first().map_or(0, |&part| list.get(part).start - self.learned.start);
        let Session { settings, resettings, .. } = self.facts.session_at(first);
        let comment = meta::restore_comment(&needs);
        let frame = match needs.is_empty() {
            true => vec![[&comment[..], settings, b"\n"].concat()],
            false => vec![comment, settings.clone()],
        };
        let text = |text: Vec<u8>| Some(text).filter(|text| !text.is_empty()).map(RestorePiece::Text);
        let dump = parts.iter().flat_map(|&part| self.learned.without_definers(list.get(part).range()));
        frame.into_iter().filter_map(text).chain(dump).chain(text(resettings.clone())).collect()
    }
}
