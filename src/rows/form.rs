//! RowForm: how rows stand in a dump, of whatever database; what their values mean; and where others begin.

use std::borrow::Cow;
use std::ops::Range;

use crate::dump::mongo::{
    DocumentForm, DocumentReader, ExportEvent, ExportForm, ExportReader, csv_fields, csv_names, csv_text,
};
use crate::dump::mysql::{self, QuoteModes};
use crate::dump::postgres::{self, Boundary};
use crate::dump::table::ColumnKind;
use crate::store::chunker::ChunkSizes;

/// How rows stand in a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowForm {
    Mysql(QuoteModes),
    Postgres(postgres::RowForm),
    /// A document of MongoDB. Its values are what tells it from others, and all of it.
    Document(DocumentForm),
    /// A record of CSV, in a file whose first record has names or not.
    Csv {
        has_names: bool,
    },
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'r> {
    Null,
    /// The digits of a number.
    Number(Cow<'r, [u8]>),
    Bytes(Cow<'r, [u8]>),
}

impl RowForm {
    /// How documents stand, where rows are that.
    pub fn documents(self) -> Option<DocumentForm> {
        match self {
            RowForm::Document(form) => Some(form),
            RowForm::Mysql(_) | RowForm::Postgres(_) | RowForm::Csv { .. } => None,
        }
    }

    /// Where the values of a row stand. False where it is none.
    pub fn split(self, row: &[u8], values: &mut Vec<Range<usize>>) -> bool {
        match self {
            RowForm::Mysql(modes) => mysql::split_row(row, modes, values),
            RowForm::Postgres(form) => postgres::split_row(row, form, values),
            RowForm::Document(form) => {
                values.clear();
                values.extend([form.id(row).unwrap_or(0..row.len()), 0..row.len()]);
                true
            }
            RowForm::Csv { .. } => {
                csv_fields(row, values);
                true
            }
        }
    }

    /// What a value means, whichever way it is written. `None` for NULL.
    pub fn meaning(self, literal: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            RowForm::Mysql(modes) => mysql::meaning(literal, modes),
            RowForm::Postgres(form) => postgres::meaning(literal, form),
            RowForm::Document(form) => Some(form.meaning(literal)),
            RowForm::Csv { .. } => Some(csv_text(literal)),
        }
    }

    /// What stands for a value in a key.
    pub fn key(self, literal: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            RowForm::Document(form) => Some(Cow::Owned(form.key_of_id(literal))),
            _ => self.meaning(literal),
        }
    }

    /// A row, for people.
    pub fn shown_row(self, row: &[u8]) -> Cow<'_, [u8]> {
        match self {
            RowForm::Document(form) => Cow::Owned(form.shown(row).into_bytes()),
            _ => Cow::Borrowed(row),
        }
    }

    /// A value, likewise; of a document, what tells it from others.
    pub fn shown_value(self, literal: &[u8]) -> Cow<'_, [u8]> {
        match self {
            RowForm::Document(form) => Cow::Owned(form.shown_id(literal).into_bytes()),
            RowForm::Csv { .. } => csv_text(literal),
            _ => Cow::Borrowed(literal),
        }
    }

    /// The same, and whether it is a number, in a column of this kind.
    pub fn value(self, literal: &[u8], kind: Option<ColumnKind>) -> Value<'_> {
        let is_number = match self {
            RowForm::Mysql(_) => mysql::is_number(literal),
            RowForm::Postgres(_) => kind == Some(ColumnKind::Whole),
            RowForm::Document(_) | RowForm::Csv { .. } => false,
        };
        match self.meaning(literal) {
            None => Value::Null,
            Some(digits) if is_number => Value::Number(digits),
            Some(bytes) => Value::Bytes(bytes),
        }
    }
}

/// Whether both mean the same.
pub fn same_meaning(a: (&[u8], RowForm), b: (&[u8], RowForm)) -> bool {
    a == b || a.1.meaning(a.0) == b.1.meaning(b.0)
}

/// By what rows of a table are found without reading all before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marks {
    /// Nothing tells.
    Unknown,
    Mysql(mysql::RowMarks),
    /// Each line in this range is a row, and what follows it ends them.
    Lines(Range<u64>),
    /// The longest document has so many bytes: chunks that leave room for one more end with a document.
    Documents(u64),
}

impl Marks {
    /// What is sure of both.
    pub fn and(&self, other: &Marks) -> Marks {
        match (self, other) {
            (Marks::Mysql(a), Marks::Mysql(b)) => {
                let marks = mysql::RowMarks { lines: a.lines && b.lines, brackets: a.brackets && b.brackets, ..*a };
                Marks::Mysql(marks)
            }
            (Marks::Lines(_), Marks::Lines(_)) => self.clone(),
            (Marks::Documents(a), Marks::Documents(b)) => Marks::Documents(*a.max(b)),
            _ => Marks::Unknown,
        }
    }

    /// Where the last row of `text` begins that this tells of. `text` is among rows.
    pub fn last_row(&self, text: &[u8]) -> Option<usize> {
        match self {
            Marks::Unknown | Marks::Documents(_) => None,
            Marks::Mysql(marks) => marks.last_row(text),
            Marks::Lines(_) => postgres::RowMarks::last_row(text),
        }
    }

    /// Where the first row of `text` begins that this tells of, likewise.
    pub fn first_row(&self, text: &[u8]) -> Option<usize> {
        match self {
            Marks::Unknown | Marks::Documents(_) => None,
            Marks::Mysql(marks) => marks.first_row(text),
            Marks::Lines(_) => postgres::RowMarks::first_row(text),
        }
    }

    /// Whether they tell of anything.
    pub fn are_known(&self) -> bool {
        match self {
            Marks::Unknown => false,
            Marks::Mysql(marks) => marks.lines || marks.brackets,
            Marks::Lines(_) => true,
            Marks::Documents(longest) => longest < &(ChunkSizes::SMALL.max_bytes as u64),
        }
    }

    /// Where rows may be.
    pub fn range(&self) -> Range<u64> {
        match self {
            Marks::Lines(range) => range.clone(),
            Marks::Unknown | Marks::Mysql(_) | Marks::Documents(_) => 0..u64::MAX,
        }
    }
}

/// What a reader of rows tells, in order.
pub enum Told<'a> {
    /// Rows of this form follow, of these columns, if they are named.
    Columns(Option<Vec<Vec<u8>>>, RowForm),
    /// A row, and where it begins.
    Row { start: u64, text: &'a [u8] },
}

/// Reads the rows of a table.
pub enum RowReader {
    Mysql(Box<mysql::RowReader>),
    Postgres(Box<postgres::RowReader>),
    Documents(DocumentReader),
    Export(Box<ExportReader>),
}

impl RowReader {
    /// One for rows of this form that begins at the beginning, or before a row.
    pub fn new(form: RowForm, within_rows: bool) -> RowReader {
        match form {
            RowForm::Document(DocumentForm::Bson) => RowReader::Documents(DocumentReader::default()),
            RowForm::Document(DocumentForm::Json) => RowReader::Export(Box::new(ExportReader::new(ExportForm::Json))),
            RowForm::Csv { has_names } => {
                let form = ExportForm::Csv { has_names: has_names && !within_rows };
                RowReader::Export(Box::new(ExportReader::new(form)))
            }
            RowForm::Mysql(modes) => RowReader::Mysql(Box::new(mysql::RowReader::new(modes, within_rows))),
            RowForm::Postgres(form) => {
                RowReader::Postgres(Box::new(postgres::RowReader::new(form.strings(), within_rows)))
            }
        }
    }

    /// Takes the next piece. False where a row is longer than any can be, or is none.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(Told) -> Result<(), E>) -> Result<bool, E> {
        match self {
            RowReader::Mysql(reader) => reader.push(piece, &mut |event| tell(of_mysql(event))),
            RowReader::Postgres(reader) => reader.push(piece, &mut |event| tell(of_postgres(event))),
            RowReader::Documents(reader) => reader.push(piece, &mut |start, text| tell(Told::Row { start, text })),
            RowReader::Export(reader) => reader.push(piece, &mut |event| tell(of_export(event))),
        }
    }

    /// Why it takes no more.
    pub fn refusal(&self) -> String {
        let fault = if let RowReader::Export(reader) = self { reader.fault() } else { None };
        fault.map_or_else(|| "a row is longer than any can be".into(), |fault| fault.what.clone())
    }

    /// What the present place is before, if what follows reads as it would at any other place before the same.
    pub fn boundary(&self) -> Option<Boundary> {
        match self {
            RowReader::Mysql(reader) => reader.is_before_row().then_some(Boundary::Row),
            RowReader::Postgres(reader) => reader.boundary(),
            RowReader::Documents(reader) => reader.is_between().then_some(Boundary::Row),
            RowReader::Export(reader) => (reader.is_between() && !reader.expects_names()).then_some(Boundary::Row),
        }
    }

    /// Tells that nothing follows; false where that is within a statement, or within rows that something must end.
    pub fn finish<E>(self, tell: &mut impl FnMut(Told) -> Result<(), E>) -> Result<bool, E> {
        match self {
            RowReader::Mysql(reader) => reader.finish(&mut |event| tell(of_mysql(event))),
            RowReader::Postgres(reader) => reader.finish(&mut |event| tell(of_postgres(event))),
            RowReader::Documents(reader) => Ok(reader.is_between()),
            RowReader::Export(reader) => Ok(reader.is_between()),
        }
    }
}

fn of_mysql(event: mysql::RowEvent<'_>) -> Told<'_> {
    match event {
        mysql::RowEvent::Insert { text, modes } => {
            Told::Columns(mysql::columns_of_insert(text, modes), RowForm::Mysql(modes))
        }
        mysql::RowEvent::Row { start, text, .. } => Told::Row { start, text },
    }
}

fn of_export(event: ExportEvent<'_>) -> Told<'_> {
    match event {
        ExportEvent::Names(text) => Told::Columns(Some(csv_names(text)), RowForm::Csv { has_names: true }),
        ExportEvent::Document { start, text } => Told::Row { start, text },
    }
}

fn of_postgres(event: postgres::RowEvent<'_>) -> Told<'_> {
    match event {
        postgres::RowEvent::Begin { text, form } => {
            let columns = postgres::columns_of_rows(text).map(|mut columns| {
                form.strings().letters.make_utf8(&mut columns);
                columns
            });
            Told::Columns(columns, RowForm::Postgres(form))
        }
        postgres::RowEvent::Row { start, text } => Told::Row { start, text },
    }
}
