//! PostgresDump: reads what `pg_dump` and `pg_dumpall` print as text, and says which part of it is about what. Whatever it does
//! not understand belongs to the part before it, so that the parts, in order, are the dump.

mod alteration;
pub mod archive;
mod command_guard;
mod doubts;
mod drops;
mod ends;
mod facts;
mod foreign_keys;
mod lexer;
mod making;
mod needs;
mod ownership;
mod part;
mod phrase;
mod place;
mod progress;
mod relations;
mod remark;
mod rename;
mod rewriter;
mod row;
mod row_marks;
mod row_reader;
mod settings;
mod signature;
mod starts;
mod statement;
mod staying;
mod strings;
mod table;
mod tablespaces;
mod words;

pub use self::alteration::{Alteration, AlterationKind, alterations, manner_of_table};
pub use self::command_guard::{CommandGuard, restricted};
pub use self::drops::{DropEditor, DropRule};
pub use self::ends::Boundary;
pub use self::facts::{DumpEnd, DumpFacts};
pub use self::foreign_keys::{ForeignKeyCutter, foreign_keys};
pub use self::making::{TableMaker, holds_command};
pub use self::needs::needs;
pub use self::ownership::{NamedRoles, Ownership, OwnershipCutter, RoleFinder};
pub use self::part::{Need, NeedKind, Object, Part, PartKind};
pub use self::rename::{Renamer, TableInSchema};
pub use self::row::{RowForm, columns_of_rows, meaning, quoted, split_row};
pub use self::row_marks::RowMarks;
pub use self::row_reader::{RowEvent, RowReader};
pub use self::settings::Settings;
pub use self::signature::takes;
pub use self::starts::StatementStarts;
pub use self::statement::attachment;
pub use self::staying::{GlobalsCutter, ServerGlobals, created_role, created_tablespace};
pub use self::strings::Strings;
pub use self::table::{each_statement, owns_sequence, parents, sequence_value, table_schema};
pub use self::tablespaces::{Resettler, tablespace_directory};
pub use self::words::{QualifiedName, Words};

use self::facts::{BEGINNING_BYTES, is_of_mysql};
use self::lexer::{Lexer, Sink};
use self::needs::roles;
use self::progress::{Beginning, Progress};
use self::relations::Relations;
use self::remark::{Remark, Title, connected_to, remark};
use self::row_marks::RowMarksFinder;
use self::settings::name_of_setting;
use self::statement::{Belongs, copies_from_here, statement};
use self::strings::client_encoding;
use self::words::begins_with;

use super::letters::Letters;

/// What the reader tells, in the order of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins, and the one before ends. It may begin some way before the last byte that was pushed.
    Part(Part),
    /// A row of the present part begins there.
    Row(u64),
    /// The table of the present part needs these.
    Needs(Vec<Need>),
    /// The table has this sequence: one is not made without the other.
    Owns { table: Object, sequence: Object },
    /// A dump ended, and another one begins, that is none of a whole server's.
    NextDump,
}

/// Reads one dump.
#[derive(Default)]
pub struct PostgresDump {
    lexer: Lexer,
    sections: Sections,
    /// Its first bytes.
    beginning: Vec<u8>,
}

impl PostgresDump {
    /// Takes the next piece, of any length.
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(Event)) {
        let missing = BEGINNING_BYTES - self.beginning.len();
        self.beginning.extend_from_slice(&piece[..piece.len().min(missing)]);
        self.lexer.push(piece, &mut Telling { sections: &mut self.sections, tell });
    }

    /// Tells that nothing follows, and what was learned.
    pub fn finish(mut self, tell: &mut impl FnMut(Event)) -> DumpFacts {
        let mut telling = Telling { sections: &mut self.sections, tell };
        let ended_in = self.lexer.finish(&mut telling);
        telling.settle();
        self.sections.facts.end = self.sections.progress.finish(ended_in);
        self.sections.facts.row_marks = self.sections.row_marks.finish();
        self.sections.facts.is_of_mysql = is_of_mysql(&self.beginning);
        self.sections.facts
    }
}

/// Comments and settings that belong to the next object, whatever it is.
#[derive(Default)]
struct Pending {
    start: Option<u64>,
    /// The title among them says what follows.
    title: Option<Title>,
}

/// Sorts statements into parts.
#[derive(Default)]
struct Sections {
    present: Option<Object>,
    /// The database of the last `\connect`.
    database: Option<Vec<u8>>,
    /// The schema of names without one: old dumps say it once for many.
    schema: Vec<u8>,
    pending: Pending,
    /// Where the last lines of comments begin, and where the next would.
    comment: Option<(u64, u64)>,
    /// The last `INSERT` up to its rows: most are followed by others of the same table.
    last_insert: Vec<u8>,
    /// What is named like a table and is none, in the present database.
    relations: Relations,
    facts: DumpFacts,
    row_marks: RowMarksFinder,
    progress: Progress,
    /// Names are in these, and are told in UTF-8.
    letters: Letters,
}

/// [`Sections`] with somebody to tell.
struct Telling<'a, F> {
    sections: &'a mut Sections,
    tell: &'a mut F,
}

impl Sections {
    fn is_in(&self, kind: PartKind) -> bool {
        self.present.as_ref().is_some_and(|present| present.kind == kind)
    }

    /// A name with the schema that it is in.
    fn qualified(&self, name: QualifiedName) -> QualifiedName {
        let usual = if self.schema.is_empty() { b"public".as_slice() } else { &self.schema };
        QualifiedName { schema: Some(name.schema.unwrap_or_else(|| usual.to_vec())), name: name.name }
    }

    /// What a statement is about that belongs to a part of this kind, of what has this name.
    fn object(&mut self, kind: PartKind, name: QualifiedName) -> Object {
        if kind.is_global() {
            return Object { kind, database: None, schema: Vec::new(), name: Vec::new() };
        }
        let database = self.database.clone();
        if !kind.is_in_schema() {
            return Object { kind, database, schema: Vec::new(), name: name.name };
        }
        let name = self.qualified(name);
        if matches!(kind, PartKind::View | PartKind::Sequence | PartKind::Type) {
            self.relations.add(&name, kind);
        }
        // Statements speak of tables where they mean views and sequences.
        let other = if kind.is_of_table() { self.relations.kind(&name) } else { None };
        let kind = other.unwrap_or(kind);
        Object { kind, database, schema: name.schema.unwrap_or_default(), name: name.name }
    }

    /// A statement that is about rows of a table, or has them.
    fn note_rows(&mut self, text: &[u8], table: &Object) {
        if begins_with(text, b"INSERT") || (begins_with(text, b"COPY") && copies_from_here(text)) {
            self.row_marks.rows_of(table);
        } else {
            self.row_marks.beside_rows(text);
        }
    }

    /// The schema in which old dumps mean names without one.
    fn follow_search_path(&mut self, text: &[u8]) {
        let mut words = Words::new(text);
        if words.pass_all(&["SET", "search_path"]) {
            words.next();
            self.schema = words.take_name().unwrap_or_default();
        }
    }
}

impl<F: FnMut(Event)> Telling<'_, F> {
    fn tell(&mut self, event: Event) {
        (self.tell)(event.in_utf8(self.sections.letters));
    }

    /// What begins at `start`, with all that waited for it, belongs to this part.
    fn resolve(&mut self, start: u64, object: Object) {
        let pending = std::mem::take(&mut self.sections.pending);
        if self.sections.present.as_ref() == Some(&object) {
            return;
        }
        let start = pending.start.unwrap_or(start);
        let header = global(PartKind::Header);
        let start = match self.sections.present {
            Some(_) => start,
            None if object == header => 0,
            None if start > 0 => {
                self.tell(Event::Part(Part { start: 0, object: header }));
                start
            }
            None => start,
        };
        self.tell(Event::Part(Part { start, object: object.clone() }));
        self.sections.present = Some(object);
    }

    /// What waits belongs to what its title says, or to the part before.
    fn settle(&mut self) {
        let start = self.sections.pending.start.unwrap_or_default();
        match self.sections.pending.title.take() {
            Some(Title::Rows(name)) => {
                let object = self.sections.object(PartKind::Data, name);
                self.resolve(start, object);
            }
            _ if self.sections.present.is_none() => self.resolve(0, global(PartKind::Header)),
            _ => self.sections.pending = Pending::default(),
        }
    }

    fn wait(&mut self, start: u64) {
        self.sections.pending.start.get_or_insert(start);
    }

    fn title(&mut self, start: u64, title: Title) {
        self.settle_rows();
        self.wait(start);
        self.sections.pending.title = Some(title);
    }

    /// A table without rows may have a title and no statement.
    fn settle_rows(&mut self) {
        if matches!(self.sections.pending.title, Some(Title::Rows(_))) {
            self.settle();
        }
    }

    fn setting(&mut self, start: u64, text: &[u8], belongs: &Belongs) {
        self.sections.facts.note_setting(start, text);
        if let Some(name) = client_encoding(text) {
            self.sections.letters = Letters::of_postgres(&name);
        }
        self.sections.follow_search_path(text);
        self.sections.row_marks.setting(text);
        let is_first = self.sections.present.is_none() || self.sections.is_in(PartKind::Header);
        if *belongs == Belongs::ToPrevious {
            self.settle();
        } else if is_first && self.sections.pending.title.is_none() {
            self.resolve(start, global(PartKind::Header));
        } else {
            self.wait(start);
        }
    }

    fn belonging(&mut self, start: u64, text: &[u8], belongs: Belongs) {
        let has_title = matches!(self.sections.pending.title, Some(Title::Other));
        match belongs {
            // Views that need each other are not dropped before they are views of nothing.
            Belongs::To { kind: PartKind::View | PartKind::LargeObjects, .. }
                if self.sections.is_in(PartKind::Drops) && self.sections.pending.title.is_none() =>
            {
                self.settle()
            }
            Belongs::To { kind, name } => {
                let own = self.sections.qualified(name.clone());
                let object = self.sections.object(kind, name);
                self.resolve(start, object.clone());
                if object.kind == PartKind::Data {
                    self.sections.note_rows(text, &object);
                } else if object.kind.is_of_table() {
                    self.table(text, object, &own);
                } else if object.kind == PartKind::Sequence {
                    self.sequence(text, object);
                }
            }
            Belongs::ToDatabase(name) => {
                let (schema, kind) = (Vec::new(), PartKind::Database);
                self.resolve(start, Object { kind, database: Some(name), schema, name: Vec::new() });
            }
            Belongs::ToNext => self.wait(start),
            Belongs::Unknown if has_title => {
                let object = self.sections.object(PartKind::Other, QualifiedName { schema: None, name: Vec::new() });
                self.resolve(start, object);
            }
            Belongs::ToPrevious | Belongs::Unknown => {
                self.settle();
                self.sections.row_marks.beside_rows(text);
            }
        }
    }

    /// What a statement tells that is part of a table.
    fn table(&mut self, text: &[u8], table: Object, own: &QualifiedName) {
        if !matches!(table.kind, PartKind::Table | PartKind::Post) {
            return;
        }
        self.needs(roles(text));
        let words = Words::new(text);
        let begins_with = |verb: &str| words.peek().is_some_and(|word| word.is(verb));
        if begins_with("CREATE") {
            self.sections.facts.tables += u64::from(table.kind == PartKind::Table);
        } else if !begins_with("ALTER") {
            return;
        }
        // ALTER TABLE ... ADD GENERATED ... AS IDENTITY (SEQUENCE NAME name ...)
        let generated = if begins_with("ALTER") { words.clone().skip_to("GENERATED") } else { None };
        if let Some(mut words) = generated {
            if words.any(|word| word.is("SEQUENCE"))
                && words.pass("NAME")
                && let Some(name) = words.qualified_name()
            {
                let sequence = self.sections.object(PartKind::Sequence, name);
                self.tell(Event::Owns { table, sequence });
            }
            return;
        }
        self.needs(needs(text, own));
    }

    fn needs(&mut self, needs: Vec<Need>) {
        if !needs.is_empty() {
            self.tell(Event::Needs(needs));
        }
    }

    /// `ALTER SEQUENCE name OWNED BY table.column`.
    fn sequence(&mut self, text: &[u8], sequence: Object) {
        self.needs(roles(text));
        let Some(mut words) = Words::new(text).skip_to("OWNED").filter(|_| text.starts_with(b"ALTER")) else { return };
        let Some(mut name) = Some(()).filter(|()| words.pass("BY")).and_then(|()| words.qualified_name()) else {
            return;
        };
        if words.peek().is_none() {
            // Without a schema, the second name is that of the column.
            name = QualifiedName { name: name.schema.unwrap_or_default(), schema: None };
        }
        let table = self.sections.object(PartKind::Table, name);
        self.tell(Event::Owns { table, sequence });
    }

    /// The first line of a dump came. Dumps may follow one another.
    fn begin_dump(&mut self, start: u64, of_cluster: bool) {
        let Beginning { is_another, forgets_database } = self.sections.progress.begin(of_cluster);
        self.settle_rows();
        self.resolve(start, global(PartKind::Header));
        if is_another {
            self.tell(Event::NextDump);
        }
        if forgets_database {
            self.connect(start, None);
        }
    }

    /// Another session begins.
    fn connect(&mut self, start: u64, database: Option<Vec<u8>>) {
        self.sections.database = database;
        self.sections.schema.clear();
        self.sections.relations = Relations::default();
        self.sections.facts.settings.reset(start);
    }
}

fn global(kind: PartKind) -> Object {
    Object { kind, database: None, schema: Vec::new(), name: Vec::new() }
}

impl<F: FnMut(Event)> Sink for Telling<'_, F> {
    fn comment(&mut self, start: u64, text: &[u8]) {
        let behind = start + text.len() as u64 + 1;
        let begin = self.sections.comment.filter(|(_, next)| *next == start).map_or(start, |(begin, _)| begin);
        let remark = remark(text);
        // What follows a line that tells something begins behind that, or two parts would begin at one place.
        self.sections.comment = Some((begin, behind)).filter(|_| matches!(remark, Remark::Other));
        match remark {
            Remark::Title(title) => self.title(begin, title),
            Remark::Begins { of_cluster } => self.begin_dump(begin, of_cluster),
            Remark::Ends { of_cluster } => {
                self.sections.progress.end(of_cluster);
                self.settle_rows();
                self.resolve(begin, global(PartKind::Footer));
            }
            Remark::Other => {
                self.sections.facts.note_comment(text);
                self.wait(start);
            }
        }
    }

    fn statement(&mut self, start: u64, text: &[u8]) {
        self.sections.progress.go_on();
        let belongs = statement(text);
        if matches!(belongs, Belongs::ToNext | Belongs::ToPrevious) && name_of_setting(text).is_some() {
            self.setting(start, text, &belongs);
        } else {
            self.belonging(start, text, belongs);
        }
    }

    fn insert(&mut self, start: u64, text: &[u8]) {
        self.sections.progress.go_on();
        let is_same = self.sections.last_insert == text;
        if is_same && self.sections.is_in(PartKind::Data) && self.sections.pending.start.is_none() {
            return;
        }
        self.belonging(start, text, statement(text));
        self.sections.last_insert.clear();
        self.sections.last_insert.extend_from_slice(text);
    }

    fn row(&mut self, start: u64) {
        (self.tell)(Event::Row(start));
    }

    fn command(&mut self, start: u64, text: &[u8]) {
        let mut words = text.splitn(2, |byte| byte.is_ascii_whitespace());
        let (name, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match name {
            b"\\restrict" => self.sections.progress.restrict(argument),
            b"\\unrestrict" => {
                self.sections.progress.unrestrict(argument);
                if self.sections.is_in(PartKind::Footer) {
                    return self.settle();
                }
            }
            b"\\connect" | b"\\c" => {
                self.sections.progress.lead();
                if let Some(database) = connected_to(argument) {
                    self.connect(start, Some(database));
                }
            }
            _ => return self.settle(),
        }
        self.resolve(start, global(PartKind::Header));
    }
}

#[cfg(test)]
mod tests;
