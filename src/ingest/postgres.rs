//! `ingest postgres`: a snapshot of what `pg_dump` or `pg_dumpall` printed as text, or `pg_dump` wrote for `pg_restore`.

mod layout;
mod meta;
mod sequences;

use std::path::Path;

use self::layout::place_of;
use self::sequences::Sequences;
use crate::dump::layout::ATTACHMENT_FILE;
use crate::dump::postgres::archive::{self, ArchiveKind, DirectoryArchive, TOC_FILE};
use crate::dump::postgres::{DumpEnd, DumpFacts, Event, Object, PartKind, PostgresDump};
use crate::dump::unpack::{ArchiveEnd, ArchiveReader, DirectoryReader};
use crate::error::Result;
use crate::ingest::IngestReport;
use crate::ingest::dump::{
    DumpForm, DumpFormat, DumpOptions, DumpRules, Ending, Facts, NeedLine, NeedList, Notes, ObjectPath, PartList,
    RestorePiece, form_of_directory, ingest_dump,
};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::SnapshotKind;
use crate::time::Clock;

/// Makes one snapshot of one dump.
///
/// # Errors
/// [`Error::Incomplete`](crate::Error::Incomplete) where the dump is not whole and need not be kept,
/// [`Error::Command`](crate::Error::Command) where there is none, [`Error::Invalid`](crate::Error::Invalid) where it is of another
/// kind of database.
pub fn ingest_postgres(
    repository: &Repository,
    options: DumpOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    ingest_dump::<Postgres>(repository, options, clock, monitor)
}

/// How a directory is written that is one dump, and may be told; `None` where it is no dump of that form.
pub fn directory_form(directory: &Path, told: Option<DumpForm>) -> Option<DumpForm> {
    form_of_directory(directory, told, &[(DumpForm::Directory, |directory| directory.join(TOC_FILE).is_file())])
}

/// A dump of PostgreSQL that is being read, and what was learned of it.
#[derive(Default)]
struct Postgres {
    dump: PostgresDump,
    learned: Learned,
    /// Once the dump has ended.
    facts: DumpFacts,
    archive: ArchiveEnd,
}

#[derive(Default)]
struct Learned {
    /// Where the dump begins.
    start: u64,
    /// Where a part of a table begins that is in another schema than those before, and that.
    schemas: Vec<(u64, Vec<u8>)>,
    needs: NeedList,
    sequences: Sequences,
}

impl Learned {
    fn note(&mut self, event: Event, notes: &mut Notes) {
        match event {
            Event::Row(start) => notes.row(self.start + start),
            Event::NextDump => notes.next_dump(),
            Event::Part(part) => {
                let (start, place) = (self.start + part.start, place_of(&part.object));
                if part.object.kind.is_of_table() {
                    self.note_schema(start, part.object);
                }
                notes.part(start, place);
            }
            Event::Needs(needs) => {
                let list = notes.list();
                let (part, present) = (list.present_number(), list.present_object());
                for need in needs.iter().map(meta::need_line) {
                    // Nearly every table with a sequence names it. Where the dump tells later whose it is, it is left out at the end.
                    if !is_one_of(list, self.sequences.so_far(present), present, &need) {
                        self.needs.add(part, &need);
                    }
                }
            }
            Event::Owns { table, sequence } => {
                let [table, sequence] = [table, sequence].map(|object| notes.list().number_of(&place_of(&object)));
                self.sequences.own(table, sequence);
            }
        }
    }

    /// A part of this table begins there.
    fn note_schema(&mut self, start: u64, table: Object) {
        if self.schemas.last().is_none_or(|(_, schema)| *schema != table.schema) {
            self.schemas.push((start, table.schema));
        }
    }

    /// The schema of a table of which a part begins there.
    fn schema_at(&self, start: u64) -> &[u8] {
        let behind = self.schemas.partition_point(|&(first, _)| first <= start);
        behind.checked_sub(1).map_or(b"public", |at| &self.schemas[at].1)
    }

    /// What the table needs of which these are the parts, besides its sequences; roles last.
    fn needs_of(&self, list: &PartList, table: u32, parts: &[u32]) -> Vec<NeedLine<'_>> {
        let mut needs = self.needs.of_all(parts);
        needs.retain(|need| !is_one_of(list, self.sequences.of(list, table), table, need));
        needs.sort_by_key(|need| need.label == meta::NEEDS_ROLE);
        needs
    }
}

/// Whether what a table needs is one of its sequences.
fn is_one_of(list: &PartList, mut sequences: impl Iterator<Item = u32>, table: u32, need: &NeedLine) -> bool {
    let ([schema, name], meta::NEEDS_SEQUENCE) = (&need.name[..], need.label) else { return false };
    let [schema, name] = [schema, name].map(|name| name.to_vec());
    let below = place_of(&Object { kind: PartKind::Sequence, database: None, schema, name }).object;
    let path = [list.object(table).first(), &below].concat();
    sequences.any(|sequence| list.object(sequence) == ObjectPath::of(&path))
}

impl DumpFormat for Postgres {
    const KIND: SnapshotKind = SnapshotKind::Postgres;
    const COMMAND: &'static str = "ingest postgres";

    fn beginning_at(start: u64, _: &DumpRules) -> Postgres {
        Postgres { learned: Learned { start, ..Learned::default() }, ..Postgres::default() }
    }

    fn archive(first: &[u8], key: &str, rules: &DumpRules) -> Option<Box<dyn ArchiveReader>> {
        archive::reader_of(first, key, rules.unwrap_limit)
    }

    fn form(first: &[u8]) -> DumpForm {
        match archive::kind_of(first) {
            None => DumpForm::Text,
            Some(ArchiveKind::Custom) => DumpForm::Custom,
            Some(ArchiveKind::Tar) => DumpForm::Tar,
        }
    }

    fn form_of_directory(directory: &Path, told: Option<DumpForm>) -> Option<DumpForm> {
        // Its reader says that the table of contents is missing.
        directory_form(directory, told).or(told.is_none().then_some(DumpForm::Directory))
    }

    fn directory(_: &Path, _: DumpForm, key: &str, _: &DumpRules) -> Result<Box<dyn DirectoryReader>> {
        Ok(Box::new(DirectoryArchive::new(key.into())))
    }

    fn note_archive(&mut self, archive: ArchiveEnd) {
        self.archive = archive;
    }

    fn push(&mut self, piece: &[u8], notes: &mut Notes) {
        self.dump.push(piece, &mut |event| self.learned.note(event, notes));
    }

    fn finish(&mut self, notes: &mut Notes) {
        let dump = std::mem::take(&mut self.dump);
        self.facts = dump.finish(&mut |event| self.learned.note(event, notes));
        self.learned.sequences.finish();
    }

    fn ending(&self) -> Ending {
        if self.facts.is_of_mysql {
            return Ending::Cut("it is a dump of MySQL or MariaDB");
        }
        match self.facts.end {
            DumpEnd::InStatement => Ending::Cut("it ends within a statement"),
            DumpEnd::InRows => Ending::Cut("it ends within the rows of a table"),
            DumpEnd::NoTrailer => Ending::Cut("it does not end with \"-- PostgreSQL database dump complete\""),
            DumpEnd::NoTrailerInside => {
                Ending::Cut("one of the dumps in it does not end with \"-- PostgreSQL database dump complete\"")
            }
            DumpEnd::Unmarked => Ending::Unmarked,
            DumpEnd::Trailer => Ending::Marked,
        }
    }

    fn database(&self) -> Option<&[u8]> {
        self.archive.database.as_deref()
    }

    fn facts(&self) -> Facts {
        meta::facts(&self.facts, self.archive.form.as_deref())
    }

    fn coordinates(&self) -> Vec<u8> {
        meta::coordinates(&self.facts)
    }

    /// The parts of the table and of its sequences, each with what was set where it stands in the dump.
    fn restore(&self, list: &PartList, parts: &[u32]) -> Vec<RestorePiece> {
        let is_attachment = |&part: &u32| list.file_name(&list.get(part)) == Some(ATTACHMENT_FILE);
        let (attached, mut own): (Vec<u32>, Vec<u32>) = parts.iter().partition(|part| is_attachment(part));
        let Some(&first) = own.first().or(attached.first()) else { return Vec::new() };
        let first = list.get(first);
        own.extend(self.learned.sequences.of(list, first.object).flat_map(|sequence| list.parts_of(sequence)));
        own.sort_unstable();
        own.dedup();

        let needs = self.learned.needs_of(list, first.object, &own);
        let comment = meta::restore_comment(&needs, !attached.is_empty());
        let schema = self.learned.schema_at(first.start);
        let letters = self.facts.letters();
        let mut before = None;
        let mut pieces = Vec::new();
        for range in own.iter().map(|&part| list.get(part).range()) {
            let settings = self.facts.settings.changed(before, range.start - self.learned.start);
            let text = match before {
                None => [&comment[..], &settings, &meta::make_schema(schema, letters)].concat(),
                Some(_) => settings,
            };
            pieces.extend(Some(text).filter(|text| !text.is_empty()).map(RestorePiece::Text));
            before = Some(range.end - self.learned.start);
            pieces.push(RestorePiece::Dump(range));
        }
        if pieces.is_empty() {
            pieces.push(RestorePiece::Text(comment));
        }
        pieces
    }
}
