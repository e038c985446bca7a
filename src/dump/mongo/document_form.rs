//! DocumentForm: how documents stand in a file, and what either form tells of them.

use std::borrow::Cow;
use std::ops::Range;

use crate::dump::mongo::bson::{self, key_of_element};
use crate::dump::mongo::export::{ExportForm, changed_json_fields, compact_json, id_of_json, key_of_json, shown_json};
use crate::dump::mongo::extended_json::{element_json, shown_document, shown_element};
use crate::dump::mongo::id_text::WantedJson;
use crate::dump::mongo::{DOCUMENTS_SUFFIX, id_element};

/// How documents stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentForm {
    /// As `mongodump` writes them.
    Bson,
    /// As `mongoexport` writes them.
    Json,
}

impl DocumentForm {
    /// How the names of such files end.
    pub fn suffix(self) -> &'static str {
        match self {
            DocumentForm::Bson => DOCUMENTS_SUFFIX,
            DocumentForm::Json => ExportForm::Json.suffix(),
        }
    }

    /// Where in a document stands what tells it from all others of its collection.
    pub fn id(self, document: &[u8]) -> Option<Range<usize>> {
        match self {
            DocumentForm::Bson => id_element(document),
            DocumentForm::Json => id_of_json(document),
        }
    }

    /// What that means. Strings, object ids and whole numbers mean the same in both forms.
    pub fn key_of_id(self, id: &[u8]) -> Vec<u8> {
        match self {
            DocumentForm::Bson => key_of_element(id),
            DocumentForm::Json => key_of_json(id),
        }
    }

    /// Whether that is the wanted one.
    pub fn is_id(self, id: &[u8], wanted: &WantedJson) -> bool {
        match self {
            DocumentForm::Bson => element_json(id).is_some_and(|json| wanted.is(json.as_bytes())),
            DocumentForm::Json => wanted.is(id),
        }
    }

    /// What a document says, whichever way it is laid out.
    pub fn meaning(self, document: &[u8]) -> Cow<'_, [u8]> {
        match self {
            DocumentForm::Bson => Cow::Borrowed(document),
            DocumentForm::Json => compact_json(document),
        }
    }

    /// A document as Extended JSON: what was dumped in its canonical form, what was exported as it was.
    pub fn shown(self, document: &[u8]) -> String {
        match self {
            DocumentForm::Bson => shown_document(document),
            DocumentForm::Json => shown_json(document),
        }
    }

    /// What tells it from others, likewise.
    pub fn shown_id(self, id: &[u8]) -> String {
        match self {
            DocumentForm::Bson => shown_element(id),
            DocumentForm::Json => shown_json(id),
        }
    }

    /// The names of the fields at the top that two documents do not both have with the same value.
    pub fn changed_fields(self, a: &[u8], b: &[u8]) -> Vec<Vec<u8>> {
        match self {
            DocumentForm::Bson => bson::changed_fields(a, b),
            DocumentForm::Json => changed_json_fields(a, b),
        }
    }
}
