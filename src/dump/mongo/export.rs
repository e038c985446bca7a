//! Export: reads what `mongoexport` writes, which is the documents of one collection as JSON or as CSV, and finds where they begin.

mod csv;
mod fields;
mod json;
mod reader;

use self::csv::CsvRecords;
pub use self::csv::{csv_fields, csv_names, csv_text};
pub use self::fields::{changed_json_fields, compact_json, id_of_json, key_of_json, shown_json};
use self::json::JsonDocuments;
pub use self::reader::{ExportEvent, ExportReader};
use crate::dump::mongo::{DocumentCounts, Fault};

/// How the names of files of records of CSV end.
pub const CSV_SUFFIX: &str = ".csv";

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// Objects, each on a line or several of its own, or all in one array.
    Json,
    /// Records of values, behind one of names unless that was left out.
    Csv { has_names: bool },
}

impl ExportForm {
    /// How the names of such files end.
    pub fn suffix(self) -> &'static str {
        match self {
            ExportForm::Json => ".json",
            ExportForm::Csv { .. } => CSV_SUFFIX,
        }
    }

    /// The form of what begins with this byte, as far as that shows it.
    pub fn beginning_with(first: u8) -> Option<ExportForm> {
        matches!(first, b'{' | b'[').then_some(ExportForm::Json)
    }

    /// The form of a file of this name, as far as that shows it.
    pub fn named(name: &[u8]) -> Option<ExportForm> {
        let forms = [ExportForm::Json, ExportForm::Csv { has_names: true }];
        forms.into_iter().find(|form| name.ends_with(form.suffix().as_bytes()))
    }
}

/// How an export ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportEnd {
    /// How many documents, and the bytes of the longest with what follows it up to the next one, or of the record of names.
    pub counts: DocumentCounts,
    /// Its end shows that nothing is missing.
    pub is_marked: bool,
    pub fault: Option<Fault>,
}

/// An edge of a document: where its first byte is, or the one behind its last; or the one behind the record of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Begin(u64),
    End(u64),
    EndOfNames(u64),
}

/// Reads one export.
pub enum Export {
    Json(JsonDocuments),
    Csv(CsvRecords),
}

impl Export {
    pub fn new(form: ExportForm) -> Export {
        match form {
            ExportForm::Json => Export::Json(JsonDocuments::default()),
            ExportForm::Csv { has_names } => Export::Csv(CsvRecords::new(has_names)),
        }
    }

    /// One that may begin between any two documents of an export that was judged before, if that is to have no names.
    fn within(form: ExportForm) -> Export {
        match form {
            ExportForm::Json => Export::Json(JsonDocuments::within()),
            ExportForm::Csv { .. } => Export::new(form),
        }
    }

    /// Takes the next piece, of any length, and tells where documents begin.
    pub fn push(&mut self, piece: &[u8], begins: &mut impl FnMut(u64)) {
        self.each_edge(piece, &mut |edge| {
            if let Edge::Begin(at) = edge {
                begins(at);
            }
        });
    }

    /// The same, and where they end.
    fn each_edge(&mut self, piece: &[u8], tell: &mut impl FnMut(Edge)) {
        match self {
            Export::Json(documents) => documents.push(piece, tell),
            Export::Csv(records) => records.push(piece, tell),
        }
    }

    /// Whether the present place is in no document.
    fn is_between(&self) -> bool {
        match self {
            Export::Json(documents) => documents.is_between(),
            Export::Csv(records) => records.is_between(),
        }
    }

    /// Whether names come before the next document.
    fn expects_names(&self) -> bool {
        matches!(self, Export::Csv(records) if records.expects_names())
    }

    /// What was met that is no document, behind which nothing is told.
    fn fault(&self) -> Option<&Fault> {
        match self {
            Export::Json(documents) => documents.fault(),
            Export::Csv(records) => records.fault(),
        }
    }

    /// Tells that nothing follows.
    pub fn finish(self) -> ExportEnd {
        match self {
            Export::Json(documents) => documents.finish(),
            Export::Csv(records) => records.finish(),
        }
    }
}
