//! `ingest postgres`: a snapshot of what `pg_dump` or `pg_dumpall` printed as text.

mod layout;
mod meta;
mod roles;
mod sequences;

use std::collections::HashMap;
use std::path::Path;

use self::layout::{ATTACHMENT_FILE, place_of};
use self::roles::Roles;
use self::sequences::Sequences;
use crate::dump::postgres::archive::{self, DirectoryArchive};
use crate::dump::postgres::{DumpEnd, DumpFacts, Event, Need, NeedKind, Object, PartKind, PostgresDump};
use crate::dump::unpack::{ArchiveEnd, ArchiveReader, DirectoryReader};
use crate::error::Result;
use crate::ingest::IngestReport;
use crate::ingest::dump::{
    DumpFormat, DumpOptions, DumpRules, Ending, Facts, Notes, PartList, RestorePiece, ingest_dump,
};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::SnapshotKind;
use crate::time::Clock;

/// Of more needs of one part of a table the rest is left out: no server allows so many.
const NEEDS_MAX: usize = 1000;

/// Makes one snapshot of one dump.
///
/// # Errors
/// [`Error::Incomplete`](crate::Error::Incomplete) where the dump is not whole and need not be kept,
/// [`Error::Command`](crate::Error::Command) where there is none.
pub fn ingest_postgres(
    repository: &Repository,
    options: DumpOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
) -> Result<IngestReport> {
    ingest_dump::<Postgres>(repository, options, clock, monitor)
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
    /// The schemas of tables that are not in `public`, by where their parts begin.
    schemas: HashMap<u64, Vec<u8>>,
    /// What the present part is about.
    present: Vec<u8>,
    /// What tables need, by where their parts begin.
    needs: HashMap<u64, Vec<Need>>,
    roles: Roles,
    sequences: Sequences,
}

impl Learned {
    fn note(&mut self, event: Event, notes: &mut Notes) {
        match event {
            Event::Row(start) => notes.row(self.start + start),
            Event::Part(part) => {
                let (start, place) = (self.start + part.start, place_of(&part.object));
                self.note_part(start, part.object, &place.object);
                self.present.clone_from(&place.object);
                notes.part(start, place);
            }
            Event::Needs(needs) => {
                let start = notes.part_start();
                for need in needs {
                    // Nearly every table with a sequence names it. Where the dump tells later whose it is, it is left out at the end.
                    if self.is_own(&self.present, &need) {
                        continue;
                    }
                    let Some(need) = self.roles.take(start, need) else { continue };
                    let known = self.needs.entry(start).or_default();
                    if known.len() < NEEDS_MAX && !known.contains(&need) {
                        known.push(need);
                    }
                }
            }
            Event::Owns { table, sequence } => {
                self.sequences.own(&place_of(&table).object, &place_of(&sequence).object);
            }
        }
    }

    fn note_part(&mut self, start: u64, object: Object, place: &[u8]) {
        match object.kind {
            PartKind::Sequence => self.sequences.begin(place, start),
            kind if kind.is_of_table() && object.schema != b"public" => {
                self.schemas.insert(start, object.schema);
            }
            _ => {}
        }
    }

    /// Whether this is a sequence that the table has.
    fn is_own(&self, table: &[u8], need: &Need) -> bool {
        if need.kind != NeedKind::Sequence {
            return false;
        }
        let (schema, name) = (need.schema.clone(), need.name.clone());
        let below = place_of(&Object { kind: PartKind::Sequence, database: None, schema, name }).object;
        let database = table.split(|&byte| byte == b'/').next().unwrap_or_default();
        self.sequences.is_owned(table, &[database, &below].concat())
    }

    /// What the table needs whose parts begin there, besides its sequences.
    fn needs_of(&self, table: &[u8], starts: &[u64]) -> Vec<&Need> {
        let mut needs: Vec<&Need> = Vec::new();
        let objects = starts.iter().filter_map(|start| self.needs.get(start)).flatten();
        for need in objects.chain(starts.iter().flat_map(|&start| self.roles.of(start))) {
            if !needs.contains(&need) && !self.is_own(table, need) {
                needs.push(need);
            }
        }
        needs
    }
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

    fn directory(_: &Path, key: &str, _: &DumpRules) -> Result<Option<Box<dyn DirectoryReader>>> {
        Ok(Some(Box::new(DirectoryArchive::new(key.into()))))
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
    }

    fn ending(&self) -> Ending {
        if self.facts.is_of_mysql {
            return Ending::Cut("it is a dump of MySQL or MariaDB");
        }
        match self.facts.end {
            DumpEnd::InStatement => Ending::Cut("it ends within a statement"),
            DumpEnd::InRows => Ending::Cut("it ends within the rows of a table"),
            DumpEnd::NoTrailer => Ending::Cut("it does not end with \"-- PostgreSQL database dump complete\""),
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
        let parts = parts.iter().map(|&part| list.get(part));
        let (attached, own): (Vec<_>, Vec<_>) = parts.partition(|part| list.file_name(part) == Some(ATTACHMENT_FILE));
        let Some(first) = own.first().or(attached.first()) else { return Vec::new() };
        let table = list.object(first);
        let mut starts: Vec<u64> = own.iter().map(|part| part.start).collect();
        starts.extend(self.learned.sequences.starts_of(table));
        starts.sort_unstable();

        let comment = meta::restore_comment(&self.learned.needs_of(table, &starts), !attached.is_empty());
        let schema = self.learned.schemas.get(&first.start).map_or(b"public".as_slice(), Vec::as_slice);
        let mut before = None;
        let mut pieces = Vec::new();
        for range in starts.iter().filter_map(|&start| list.starting_at(start)).map(|part| part.range()) {
            let settings = self.facts.settings.changed(before, range.start - self.learned.start);
            let text = match before {
                None => [&comment[..], &settings, &meta::make_schema(schema)].concat(),
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
