//! What `mongodump` writes: files of BSON documents, and archives that hold the documents of all collections interleaved; and
//! what `mongoexport` writes.

mod archive;
mod bson;
mod crc64;
mod decimal;
mod document_form;
mod document_reader;
mod documents;
mod export;
mod extended_json;
mod id_text;
mod metadata;
mod name;
mod oplog;

use std::fmt;

pub use self::archive::{Archive, ArchiveEnd, ArchiveHeader, CollectionEnd, Event, MAGIC};
pub use self::bson::{changed_fields, id_element, key_of_element};
pub use self::document_form::DocumentForm;
pub use self::document_reader::DocumentReader;
pub use self::documents::{DOCUMENT_MAX_BYTES, DocumentCounts, Documents};
pub use self::export::{
    CSV_SUFFIX, Export, ExportEnd, ExportEvent, ExportForm, ExportReader, csv_fields, csv_names, csv_text,
};
pub use self::extended_json::{element_json, extended_json, hexadecimal, json_text, shown_document, shown_element};
pub use self::id_text::{IdText, WantedJson, csv_ids};
pub use self::metadata::{Metadata, Prelude};
pub use self::name::{collection_file_name, collection_of_file};
pub use self::oplog::{OplogReader, OplogTime, OplogWindow};

/// The file of a dump that tells of programs' versions.
pub const PRELUDE_FILE: &str = "prelude.json";

/// What the file of a collection's options and indexes ends with.
pub const METADATA_SUFFIX: &str = ".metadata.json";

/// What the file of a collection's documents ends with.
pub const DOCUMENTS_SUFFIX: &str = ".bson";

/// In front of the name of the collection that holds the documents of a time series.
pub const BUCKETS_PREFIX: &str = "system.buckets.";

/// The kind of collection whose documents may be in another one.
pub const TIME_SERIES: &str = "timeseries";

/// The kind that has no documents of its own.
pub const VIEW: &str = "view";

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub at: u64,
    pub what: String,
}

impl Fault {
    fn new(at: u64, what: impl Into<String>) -> Fault {
        Fault { at, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.what, self.at)
    }
}
