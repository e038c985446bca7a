//! MysqlDump: reads what `mysqldump` and `mariadb-dump` print, and says which part of it is about what. Whatever it does not
//! understand belongs to the part before it, so that the parts, in order, are the dump.

use std::ops::Range;

mod account;
mod definers;
mod facts;
mod lexer;
mod modes;
pub mod mydumper;
mod part;
mod place;
mod rename;
mod replication;
mod requirements;
mod rewriter;
mod row;
mod row_marks;
mod row_reader;
mod scan;
pub mod session;
pub mod shell;
mod starts;
mod statement;
pub mod tab;
mod table;
mod trigger;
mod words;
pub mod xml;

pub use self::account::Account;
pub use self::definers::DefinerCutter;
pub use self::facts::{Coordinates, CoordinatesOf, DumpEnd, DumpFacts, Session};
pub use self::part::{Need, NeedKind, Part, PartKind};
pub use self::rename::Renamer;
pub use self::replication::ReplicationCutter;
pub use self::requirements::{Requirements, RequirementsFinder};
pub use self::row::{columns_of_insert, is_number, meaning, quoted, split_row};
pub use self::row_marks::RowMarks;
pub use self::row_reader::{RowEvent, RowReader};
pub use self::starts::StatementStarts;
pub use self::statement::{setting, trigger_names};
pub use self::table::{bytes_of_bits, table_schema};
pub use self::words::{QuoteModes, quoted_name};

use self::account::definer;
use self::facts::shown;
use self::lexer::{EndedIn, Lexer, Sink};
use self::row_marks::RowMarksFinder;
use self::statement::{Belongs, Remark, is_replication_comment, needs_of_table, remark, statement};
use self::trigger::needed_by_trigger;
use self::words::{Word, Words, unquoted_name};

use super::letters::Letters;

/// The databases that a server has of its own.
pub const SERVER_DATABASES: [&[u8]; 4] = [b"mysql", b"sys", b"performance_schema", b"information_schema"];

/// Every dump that sets anything saves one of these last, and sets it back last: newer ones of MariaDB the second.
const SAVED_LAST: [&[u8]; 2] = [b"@OLD_SQL_NOTES", b"@OLD_NOTE_VERBOSITY"];

/// What the reader tells, in the order of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins, and the one before ends. It may begin some way before the last byte that was pushed.
    Part(Part),
    /// A row of the present part begins there.
    Row(u64),
    /// The present part makes a table that needs these.
    Needs(Vec<Need>),
    /// The present part makes a trigger, whose definer is told there.
    Definer(Range<u64>),
    /// A banner tells that another dump begins.
    NextDump,
}

/// Reads one dump.
#[derive(Default)]
pub struct MysqlDump {
    lexer: Lexer,
    sections: Sections,
}

/// A dump, or a `restore.sql`, tells within so many bytes in which character set it is.
pub const BEGINNING_MAX_BYTES: usize = 64 << 10;

/// The set that the beginning of one tells.
pub fn character_set_of(beginning: &[u8]) -> Option<String> {
    let mut dump = MysqlDump::default();
    dump.push(beginning, &mut |_| {});
    dump.finish(&mut |_| {}).character_set
}

impl MysqlDump {
    /// Takes the next piece, of any length.
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(Event)) {
        self.sections.row_marks.push(piece);
        self.lexer.push(piece, &mut Telling { sections: &mut self.sections, tell });
    }

    /// Tells that nothing follows, and what was learned.
    pub fn finish(mut self, tell: &mut impl FnMut(Event)) -> DumpFacts {
        let mut telling = Telling { sections: &mut self.sections, tell };
        let ended_in = self.lexer.finish(&mut telling);
        telling.settle();
        self.sections.facts.end = self.sections.end(ended_in);
        let are_rows = self.sections.may_be_among_rows();
        self.sections.facts.differs_in_letters = self.sections.row_marks.differs_in_letters();
        self.sections.facts.row_marks = self.sections.row_marks.finish(are_rows);
        self.sections.facts
    }
}

/// What part a place belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    kind: PartKind,
    database: Option<Vec<u8>>,
    name: Vec<u8>,
}

/// Statements and comments that belong to the next object, whatever it is.
#[derive(Default)]
struct Pending {
    start: Option<u64>,
    /// The title among them says what follows.
    title: Option<(PartKind, Vec<u8>)>,
    settings: Vec<u8>,
}

/// Sorts statements into parts.
#[derive(Default)]
struct Sections {
    present: Option<Key>,
    /// The database of the last `USE`.
    database: Option<Vec<u8>>,
    pending: Pending,
    /// Where the last comment begins, if it was an empty one: a title has one above it.
    rule: Option<u64>,
    /// The last `INSERT` up to its rows: most are followed by others of the same table.
    last_insert: Vec<u8>,
    row_marks: RowMarksFinder,
    facts: DumpFacts,
    has_ended: bool,
    /// Banners so far.
    dumps: u64,
    /// The last one told a database, in a set that was not told yet.
    is_behind_banner: bool,
    open: Open,
    /// Something was open where another dump began.
    was_open: bool,
}

/// What began and has not ended: what dumps say before and behind something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Open {
    /// Behind a banner: the trailer is to come.
    dump: bool,
    /// Behind what saves the settings of the session: they are to be set back.
    session: bool,
    /// Behind what saves a setting for an object, or locks its table.
    object: bool,
}

impl Open {
    fn is_anything(self) -> bool {
        self != Open::default()
    }

    /// Looks at a statement.
    fn pass(&mut self, text: &[u8], modes: QuoteModes) {
        let mut words = Words::new(text, modes);
        if words.pass("LOCK") {
            self.object = true;
        } else if words.pass("UNLOCK") {
            self.object = false;
        } else if words.pass("SET") {
            let saves = words.next().is_some_and(|word| matches!(word, Word::Plain(name) if keeps_a_setting(name)));
            self.object =
                saves || (self.object && !words.any(|word| matches!(word, Word::Plain(name) if keeps_a_setting(name))));
        }
    }
}

/// Whether a variable keeps a setting while an object is made.
fn keeps_a_setting(variable: &[u8]) -> bool {
    variable.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"@SAVE"))
}

/// [`Sections`] with somebody to tell.
struct Telling<'a, F> {
    sections: &'a mut Sections,
    tell: &'a mut F,
}

impl Sections {
    fn is_in(&self, kind: PartKind) -> bool {
        self.present.as_ref().is_some_and(|key| key.kind == kind)
    }

    /// Whether what was read last is, or may turn out to be, in the part of a table's rows.
    fn may_be_among_rows(&self) -> bool {
        self.is_in(PartKind::Data) || self.pending.start.is_some()
    }

    /// A comment, a statement, or a row begins there.
    fn pass(&mut self, start: u64) {
        let are_rows = self.may_be_among_rows();
        self.row_marks.pass(start, are_rows);
    }

    /// What the end of the dump shows of its being whole. Dumps with a banner have a trailer too; those without comments
    /// set back last what they set last, if they set anything.
    fn end(&self, ended_in: EndedIn) -> DumpEnd {
        let has_session = SAVED_LAST.iter().any(|it| contains(&self.facts.session.settings, it));
        let is_unmarked = self.facts.program.is_none() && !has_session && !self.open.is_anything();
        match ended_in {
            EndedIn::Statement => DumpEnd::InStatement,
            EndedIn::Nothing | EndedIn::Line if self.was_open => DumpEnd::NoTrailerInside,
            EndedIn::Nothing | EndedIn::Line if self.has_ended => DumpEnd::Trailer,
            EndedIn::Nothing if is_unmarked => DumpEnd::Unmarked,
            EndedIn::Nothing | EndedIn::Line => DumpEnd::NoTrailer,
        }
    }

    /// Takes note of a `SET NAMES`. A banner comes before it.
    fn note_character_set(&mut self, text: &[u8]) {
        let Some(letters) = self.facts.note_character_set(text) else { return };
        if std::mem::take(&mut self.is_behind_banner) {
            letters.make_utf8(if self.dumps > 1 { &mut self.database } else { &mut self.facts.banner_database });
        }
    }

    /// The kind of an object, where a title tells more than the statement.
    fn kind_by_title(&self, kind: PartKind, text: &[u8]) -> PartKind {
        let is_table_or_view = matches!(kind, PartKind::Schema | PartKind::View | PartKind::ViewStub);
        match &self.pending.title {
            Some((title @ (PartKind::ViewStub | PartKind::View), _)) if is_table_or_view => *title,
            // Where there are no titles: old servers' stubs are tables that only servers with views make.
            None if kind == PartKind::Schema && text.starts_with(b"/*!50001") => PartKind::ViewStub,
            _ => kind,
        }
    }
}

impl<F: FnMut(Event)> Telling<'_, F> {
    /// What begins at `start`, with all that waited for it, belongs to this part.
    fn resolve(&mut self, start: u64, kind: PartKind, database: Option<Vec<u8>>, name: Vec<u8>) {
        let pending = std::mem::take(&mut self.sections.pending);
        if kind == PartKind::Header {
            self.sections.facts.session.settings.extend_from_slice(&pending.settings);
        }
        let key = Key { kind, database, name };
        if self.sections.present.as_ref() == Some(&key) {
            return;
        }
        let start = pending.start.unwrap_or(start);
        let start = match self.sections.present {
            Some(_) => start,
            None if kind == PartKind::Header => 0,
            None if start > 0 => {
                let (database, name) = (None, Vec::new());
                (self.tell)(Event::Part(Part { start: 0, kind: PartKind::Header, database, name }));
                start
            }
            None => start,
        };
        (self.tell)(Event::Part(Part { start, kind, database: key.database.clone(), name: key.name.clone() }));
        self.sections.present = Some(key);
    }

    /// What waits belongs to what its title says, or to the part before.
    fn settle(&mut self) {
        let start = self.sections.pending.start.unwrap_or_default();
        match self.sections.pending.title.take() {
            None => self.sections.pending = Pending::default(),
            Some((PartKind::Database, _)) => {
                self.resolve(start, PartKind::Database, self.sections.database.clone(), Vec::new())
            }
            Some((kind, name)) => self.resolve(start, kind, self.sections.database.clone(), name),
        }
        if self.sections.present.is_none() {
            self.resolve(0, PartKind::Header, None, Vec::new());
        }
    }

    fn wait(&mut self, start: u64) {
        self.sections.pending.start.get_or_insert(start);
    }

    /// Something about replication: in the header where it stands there, else at the end.
    fn replication(&mut self, start: u64, text: &[u8]) {
        self.sections.facts.coordinates.note(text);
        if self.sections.present.is_none() || self.sections.is_in(PartKind::Header) {
            self.settle();
        } else {
            self.resolve(start, PartKind::Footer, None, Vec::new());
        }
    }

    /// A banner came. Dumps may follow one another.
    fn begin_dump(&mut self, start: u64, program: &[u8]) {
        let sections = &mut *self.sections;
        sections.was_open |= sections.open.is_anything();
        if sections.dumps > 0 {
            // What the dump before used is not this one's.
            sections.database = None;
            sections.facts.next_session(start);
            (self.tell)(Event::NextDump);
        }
        (sections.dumps, sections.open) = (sections.dumps + 1, Open { dump: true, ..Open::default() });
        sections.is_behind_banner = false;
        sections.facts.program.get_or_insert_with(|| shown(program));
    }

    fn title(&mut self, start: u64, kind: PartKind, name: Vec<u8>) {
        let start = self.sections.rule.unwrap_or(start);
        // Before what stands first, there is nothing to settle, nor a header.
        if start > 0 {
            self.settle();
        }
        self.sections.pending.start = Some(start);
        self.sections.pending.title = Some((kind, name));
    }

    fn object(&mut self, start: u64, text: &[u8], modes: QuoteModes, belongs: Belongs) {
        match belongs {
            Belongs::To { kind: PartKind::Coordinates, .. } => self.replication(start, text),
            Belongs::To { kind: PartKind::Header, .. } => {
                if SAVED_LAST.iter().any(|it| contains(text, &[it, &b"="[..]].concat())) {
                    self.sections.was_open |= self.sections.open.session || self.sections.open.object;
                    self.sections.open.session = true;
                }
                DumpFacts::keep_setting(&mut self.sections.pending.settings, text);
                self.resolve(start, PartKind::Header, None, Vec::new());
            }
            Belongs::To { kind: PartKind::Footer, .. } => {
                self.resolve(start, PartKind::Footer, None, Vec::new());
                DumpFacts::keep_setting(&mut self.sections.facts.session.resettings, text);
                // One with a banner goes on to its trailer.
                if SAVED_LAST.iter().any(|it| contains(text, &[b"=", *it].concat())) {
                    self.sections.open.session = false;
                    self.sections.has_ended = self.sections.facts.program.is_none();
                }
            }
            Belongs::To { kind, .. } if kind.is_global() => self.resolve(start, kind, None, Vec::new()),
            Belongs::To { kind, database, name } => {
                let kind = self.sections.kind_by_title(kind, text);
                let database = database.or_else(|| self.sections.database.clone());
                self.resolve(start, kind, database, name);
                match kind {
                    PartKind::Schema => (self.tell)(Event::Needs(needs_of_table(text, modes))),
                    PartKind::Triggers => {
                        (self.tell)(Event::Needs(needed_by_trigger(text, modes)));
                        if let Some((_, place)) = definer(text, modes) {
                            (self.tell)(Event::Definer(start + place.start as u64..start + place.end as u64));
                        }
                    }
                    _ => {}
                }
            }
            Belongs::ToDatabase(name) => {
                self.sections.database = Some(name.clone());
                self.resolve(start, PartKind::Database, Some(name), Vec::new());
            }
            Belongs::AroundObject if self.sections.pending.start.is_some() => {}
            Belongs::AroundObject if self.sections.present.as_ref().is_some_and(|key| key.kind.is_of_table()) => {
                self.resolve(start, PartKind::Database, self.sections.database.clone(), Vec::new());
            }
            Belongs::ToNext => {
                self.wait(start);
                if self.sections.pending.title.is_none() && Words::new(text, modes).pass("SET") {
                    self.sections.note_character_set(text);
                    DumpFacts::keep_setting(&mut self.sections.pending.settings, text);
                }
            }
            Belongs::AroundObject | Belongs::ToPrevious => self.settle(),
        }
    }
}

impl<F: FnMut(Event)> Sink for Telling<'_, F> {
    /// `mysqldump --set-gtid-purged=COMMENTED` encloses the set.
    fn enclosed_comment(&mut self, start: u64, text: &[u8]) {
        let text = text.trim_ascii();
        if is_replication_comment(text) {
            self.replication(start, text);
        }
    }

    fn comment(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.sections.pass(start);
        self.sections.has_ended = false;
        match remark(text) {
            Remark::Opens { kind, name } => self.title(start, kind, unquoted(name, modes.letters)),
            Remark::Sandbox => self.resolve(start, PartKind::Header, None, Vec::new()),
            Remark::Banner(program) => {
                self.resolve(start, PartKind::Header, None, Vec::new());
                self.begin_dump(start, program);
            }
            Remark::ServerVersion(version) => {
                self.wait(start);
                self.sections.facts.server_version.get_or_insert_with(|| shown(version));
            }
            Remark::DatabaseOfBanner(name) => {
                self.wait(start);
                self.sections.is_behind_banner = true;
                if !name.is_empty() && self.sections.dumps > 1 {
                    self.sections.database.get_or_insert_with(|| name.to_vec());
                } else if !name.is_empty() {
                    self.sections.facts.banner_database.get_or_insert_with(|| name.to_vec());
                }
            }
            Remark::Trailer => {
                self.resolve(start, PartKind::Footer, None, Vec::new());
                (self.sections.has_ended, self.sections.open) = (true, Open::default());
            }
            Remark::Replication(text) => self.replication(start, text),
            Remark::Other => self.wait(start),
        }
        self.sections.rule = Some(start).filter(|_| text.trim_ascii_end() == b"--");
    }

    fn statement(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.sections.pass(start);
        self.sections.rule = None;
        self.sections.has_ended = false;
        self.sections.open.pass(text, modes);
        self.object(start, text, modes, statement(text, modes));
    }

    fn insert(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.sections.pass(start);
        self.sections.rule = None;
        self.sections.has_ended = false;
        if self.sections.is_in(PartKind::Data)
            && self.sections.pending.start.is_none()
            && self.sections.last_insert == text
        {
            return;
        }
        self.object(start, text, modes, statement(text, modes));
        if let Some(Key { database, name, .. }) = &self.sections.present {
            let table = [database.as_deref().unwrap_or_default(), name];
            self.sections.row_marks.insert(&table, text, modes);
        }
        self.sections.last_insert.clear();
        self.sections.last_insert.extend_from_slice(text);
    }

    #[inline]
    fn row(&mut self, start: u64) {
        self.sections.row_marks.row(start);
        (self.tell)(Event::Row(start));
    }

    fn delimiter(&mut self, start: u64, is_usual: bool) {
        self.sections.pass(start);
        self.sections.rule = None;
        self.sections.has_ended = false;
        if !is_usual {
            self.wait(start);
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// A name as a title has it, without its quotes.
fn unquoted(name: &[u8], letters: Letters) -> Vec<u8> {
    let name = match name {
        [quote @ (b'`' | b'\'' | b'"'), inside @ ..] => {
            unquoted_name(inside.strip_suffix(&[*quote]).unwrap_or(inside), *quote, letters)
        }
        _ => letters.name_in_utf8(name.into()),
    };
    name.into_owned()
}

#[cfg(test)]
mod tests;
