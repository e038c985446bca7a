//! Export: reads what `mongoexport` writes, which is the documents of one collection as JSON or as CSV, and finds where they begin.

mod csv;
mod fields;
mod json;
mod reader;

use self::csv::CsvRecords;
pub use self::fields::{changed_json_fields, compact_json, id_of_json, key_of_json, shown_json};
use self::json::{Edge, JsonDocuments};
pub use self::reader::ExportReader;
use crate::dump::mongo::{DocumentCounts, Fault};

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
            ExportForm::Csv { .. } => ".csv",
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
    /// How many documents, and of JSON the bytes of the longest with what follows it up to the next one.
    pub counts: DocumentCounts,
    /// Its end shows that nothing is missing.
    pub is_marked: bool,
    pub fault: Option<Fault>,
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

    /// Takes the next piece, of any length, and tells where documents begin.
    pub fn push(&mut self, piece: &[u8], begins: &mut impl FnMut(u64)) {
        match self {
            Export::Json(documents) => documents.push(piece, &mut |edge| {
                if let Edge::Begin(at) = edge {
                    begins(at);
                }
            }),
            Export::Csv(records) => records.push(piece, begins),
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
