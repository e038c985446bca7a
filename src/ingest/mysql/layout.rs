//! Layout: which file of a snapshot a part of a dump belongs to.

use crate::dump::layout::{
    DATA_FILE, DATABASE_FILE, GLOBALS_DIRECTORY, HEADER_FILE, META_DIRECTORY, SCHEMA_FILE, SEQUENCES_DIRECTORY,
    STUB_FILE, TABLES_DIRECTORY, TABLESPACES_FILE, TRIGGERS_FILE, VIEWS_DIRECTORY, database_directory,
};
use crate::dump::mysql::{Part, PartKind};
use crate::dump::name::file_name;
use crate::ingest::dump::Place;

/// Where the parts of one kind lie.
struct Shelf {
    /// The first directory, where it is not that of the database.
    top: Option<&'static str>,
    /// The directories between that and the object.
    directories: &'static [&'static str],
    /// The object has a directory of its own, with this file in it; else the object is a file.
    file: Option<&'static str>,
    /// It is about an object that has a name.
    is_named: bool,
}

/// Where parts of this kind lie.
fn shelf_of(kind: PartKind) -> Shelf {
    let in_top = |top, file| Shelf { top: Some(top), directories: &[], file: Some(file), is_named: false };
    let own_directory = |directories, file| Shelf { top: None, directories, file: Some(file), is_named: true };
    let own_file = |directories| Shelf { top: None, directories, file: None, is_named: true };
    match kind {
        PartKind::Header => in_top(META_DIRECTORY, HEADER_FILE),
        PartKind::Footer | PartKind::Coordinates => in_top(META_DIRECTORY, "footer.sql"),
        PartKind::Users => in_top(GLOBALS_DIRECTORY, "users.sql"),
        PartKind::Roles => in_top(GLOBALS_DIRECTORY, "roles.sql"),
        PartKind::Grants => in_top(GLOBALS_DIRECTORY, "grants.sql"),
        PartKind::Tablespaces => in_top(GLOBALS_DIRECTORY, TABLESPACES_FILE),
        PartKind::Servers => in_top(GLOBALS_DIRECTORY, "servers.sql"),
        PartKind::Plugins => in_top(GLOBALS_DIRECTORY, "plugins.sql"),
        PartKind::Database => Shelf { top: None, directories: &[], file: Some(DATABASE_FILE), is_named: false },
        PartKind::Schema => own_directory(&[TABLES_DIRECTORY], SCHEMA_FILE),
        PartKind::Data => own_directory(&[TABLES_DIRECTORY], DATA_FILE),
        PartKind::Triggers => own_directory(&[TABLES_DIRECTORY], TRIGGERS_FILE),
        PartKind::ViewStub => own_directory(&[VIEWS_DIRECTORY], STUB_FILE),
        PartKind::View => own_directory(&[VIEWS_DIRECTORY], "view.sql"),
        PartKind::Procedure => own_file(&["routines", "procedures"]),
        PartKind::Function => own_file(&["routines", "functions"]),
        PartKind::Package => own_file(&["routines", "packages"]),
        PartKind::PackageBody => own_file(&["routines", "package-bodies"]),
        PartKind::Event => own_file(&["events"]),
        PartKind::Sequence => own_file(&[SEQUENCES_DIRECTORY]),
    }
}

/// The file in a dump in XML that is the same as this in others.
fn in_xml(file: &'static str) -> &'static str {
    match file {
        HEADER_FILE => "header.xml",
        "footer.sql" => "footer.xml",
        DATABASE_FILE => "_database.xml",
        SCHEMA_FILE => "schema.xml",
        DATA_FILE => "data.xml",
        TRIGGERS_FILE => "triggers.xml",
        other => other,
    }
}

/// Where a part of a dump in XML belongs.
pub fn place_in_xml(part: &Part) -> Place {
    let Place { mut object, file, .. } = place_of(part);
    if let Some(stem) = object.strip_suffix(b".sql").filter(|_| file.is_none()) {
        object = [stem, b".xml"].concat();
    }
    Place { object, file: file.map(in_xml), is_restorable: false }
}

/// Where a part belongs.
pub fn place_of(part: &Part) -> Place {
    let shelf = shelf_of(part.kind);
    let database = || part.database.as_deref().map(database_directory).unwrap_or_default();
    let mut object = shelf.top.map_or_else(database, |top| top.as_bytes().to_vec());
    let name = match (shelf.is_named, shelf.file) {
        (false, _) => None,
        (true, Some(_)) => Some(file_name(&part.name, "")),
        (true, None) => Some(file_name(&part.name, ".sql")),
    };
    for directory in shelf.directories.iter().map(|name| name.as_bytes()).chain(name.as_deref()) {
        object.push(b'/');
        object.extend_from_slice(directory);
    }
    Place { object, file: shelf.file, is_restorable: part.kind.is_of_table() }
}
