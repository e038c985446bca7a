//! Layout: which file of a snapshot a part of a dump belongs to.

use crate::dump::layout::{
    ATTACHMENT_FILE, DATA_FILE, DATABASE_FILE, DEFAULT_PRIVILEGES_FILE, DROPS_FILE, FUNCTIONS_DIRECTORY,
    GLOBALS_DIRECTORY, HEADER_FILE, META_DIRECTORY, OF_SCHEMA_FILE, POST_FILE, PUBLICATIONS_DIRECTORY, ROLES_FILE,
    SCHEMA_FILE, SEQUENCES_DIRECTORY, TABLES_DIRECTORY, TABLESPACES_FILE, TYPES_DIRECTORY, VIEWS_DIRECTORY,
    database_directory,
};
use crate::dump::name::{file_name, file_name_beside};
use crate::dump::postgres::{Object, PartKind};
use crate::ingest::dump::Place;

/// Where the parts of one kind lie.
enum Shelf {
    /// In this file of this directory at the top.
    Top(&'static str, &'static str),
    /// In this file of the database's directory.
    Database(&'static str),
    /// In a file for each object, in this directory of the database's.
    OfDatabase(&'static str),
    /// In this file of the schema's directory.
    Schema(&'static str),
    /// In a file for each object, in this directory of the schema's.
    OfSchema(&'static str),
    /// In this file of the table's directory.
    Table(&'static str),
}

fn shelf_of(kind: PartKind) -> Shelf {
    match kind {
        PartKind::Header => Shelf::Top(META_DIRECTORY, HEADER_FILE),
        PartKind::Footer => Shelf::Top(META_DIRECTORY, "footer.sql"),
        PartKind::Roles => Shelf::Top(GLOBALS_DIRECTORY, ROLES_FILE),
        PartKind::Grants => Shelf::Top(GLOBALS_DIRECTORY, "grants.sql"),
        PartKind::Tablespaces => Shelf::Top(GLOBALS_DIRECTORY, TABLESPACES_FILE),
        PartKind::Database => Shelf::Database(DATABASE_FILE),
        PartKind::Drops => Shelf::Database(DROPS_FILE),
        PartKind::LargeObjects => Shelf::Database("_large_objects.sql"),
        PartKind::DefaultPrivileges => Shelf::Database(DEFAULT_PRIVILEGES_FILE),
        PartKind::Other => Shelf::Database("_other.sql"),
        PartKind::Cast => Shelf::OfDatabase("_casts"),
        PartKind::Transform => Shelf::OfDatabase("_transforms"),
        PartKind::AccessMethod => Shelf::OfDatabase("_access_methods"),
        PartKind::EventTrigger => Shelf::OfDatabase("_event_triggers"),
        PartKind::Extension => Shelf::OfDatabase("_extensions"),
        PartKind::ForeignDataWrapper => Shelf::OfDatabase("_foreign_data_wrappers"),
        PartKind::Language => Shelf::OfDatabase("_languages"),
        PartKind::Publication => Shelf::OfDatabase(PUBLICATIONS_DIRECTORY),
        PartKind::Server => Shelf::OfDatabase("_servers"),
        PartKind::Subscription => Shelf::OfDatabase("_subscriptions"),
        PartKind::Schema => Shelf::Schema(OF_SCHEMA_FILE),
        PartKind::IndexAttachments => Shelf::Schema("_index_attachments.sql"),
        PartKind::Statistics => Shelf::Schema("_statistics.sql"),
        PartKind::Collation => Shelf::OfSchema("collations"),
        PartKind::Conversion => Shelf::OfSchema("conversions"),
        PartKind::Function => Shelf::OfSchema(FUNCTIONS_DIRECTORY),
        PartKind::Operator => Shelf::OfSchema("operators"),
        PartKind::OperatorClass => Shelf::OfSchema("operator_classes"),
        PartKind::OperatorFamily => Shelf::OfSchema("operator_families"),
        PartKind::Sequence => Shelf::OfSchema(SEQUENCES_DIRECTORY),
        PartKind::TextSearchConfiguration => Shelf::OfSchema("text_search_configurations"),
        PartKind::TextSearchDictionary => Shelf::OfSchema("text_search_dictionaries"),
        PartKind::TextSearchParser => Shelf::OfSchema("text_search_parsers"),
        PartKind::TextSearchTemplate => Shelf::OfSchema("text_search_templates"),
        PartKind::Type => Shelf::OfSchema(TYPES_DIRECTORY),
        PartKind::View => Shelf::OfSchema(VIEWS_DIRECTORY),
        PartKind::Table => Shelf::Table(SCHEMA_FILE),
        PartKind::Data => Shelf::Table(DATA_FILE),
        PartKind::Post => Shelf::Table(POST_FILE),
        PartKind::Attachment => Shelf::Table(ATTACHMENT_FILE),
    }
}

/// Names beside the directories of schemas.
const RESERVED: [&str; 15] = [
    DATABASE_FILE,
    DROPS_FILE,
    "_large_objects.sql",
    DEFAULT_PRIVILEGES_FILE,
    "_other.sql",
    "_casts",
    "_transforms",
    "_access_methods",
    "_event_triggers",
    "_extensions",
    "_foreign_data_wrappers",
    "_languages",
    PUBLICATIONS_DIRECTORY,
    "_servers",
    "_subscriptions",
];

/// Where a part belongs that is about this.
pub fn place_of(object: &Object) -> Place {
    let database = || object.database.as_deref().map(database_directory).unwrap_or_default();
    let schema = || file_name_beside(&object.schema, &RESERVED);
    let own_file = || file_name(&object.name, ".sql");
    let (names, file): (Vec<Vec<u8>>, _) = match shelf_of(object.kind) {
        Shelf::Top(directory, file) => (vec![directory.into()], Some(file)),
        Shelf::Database(file) => (vec![database()], Some(file)),
        Shelf::OfDatabase(directory) => (vec![database(), directory.into(), own_file()], None),
        Shelf::Schema(file) => (vec![database(), schema()], Some(file)),
        Shelf::OfSchema(directory) => (vec![database(), schema(), directory.into(), own_file()], None),
        Shelf::Table(file) => {
            (vec![database(), schema(), TABLES_DIRECTORY.into(), file_name(&object.name, "")], Some(file))
        }
    };
    Place { object: names.join(&b'/'), file, is_restorable: object.kind.is_of_table() }
}
