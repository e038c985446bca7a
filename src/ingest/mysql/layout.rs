//! Layout: which file of a snapshot a part of a dump belongs to.

use crate::dump::mysql::PartKind;
use crate::dump::name::{file_name, file_name_beside};

/// The dump itself.
pub const DUMP_FILE: &str = "dump.sql";

/// What is told about the dump.
pub const META_DIRECTORY: &str = "_meta";

const GLOBALS_DIRECTORY: &str = "_globals";

/// Names beside the directories of databases.
const RESERVED: [&str; 4] = [DUMP_FILE, META_DIRECTORY, GLOBALS_DIRECTORY, "_original"];

/// Loads a table by itself.
pub const RESTORE_FILE: &str = "restore.sql";

/// The file name of a database's directory.
pub fn database_directory(name: &[u8]) -> Vec<u8> {
    file_name_beside(name, &RESERVED)
}

/// Where the parts of one kind lie: the directories between that of the database and that of the object, and the file.
pub struct Place {
    /// The first directory, where it is not that of the database.
    pub top: Option<&'static str>,
    pub directories: &'static [&'static str],
    /// The object has a directory of its own, with this file in it; else the object is a file.
    pub file: Option<&'static str>,
    /// It is about an object that has a name.
    pub is_named: bool,
}

/// Where parts of this kind lie.
pub fn place_of(kind: PartKind) -> Place {
    let in_top = |top, file| Place { top: Some(top), directories: &[], file: Some(file), is_named: false };
    let own_directory = |directories, file| Place { top: None, directories, file: Some(file), is_named: true };
    let own_file = |directories| Place { top: None, directories, file: None, is_named: true };
    match kind {
        PartKind::Header => in_top(META_DIRECTORY, "header.sql"),
        PartKind::Footer | PartKind::Coordinates => in_top(META_DIRECTORY, "footer.sql"),
        PartKind::Users => in_top(GLOBALS_DIRECTORY, "users.sql"),
        PartKind::Roles => in_top(GLOBALS_DIRECTORY, "roles.sql"),
        PartKind::Grants => in_top(GLOBALS_DIRECTORY, "grants.sql"),
        PartKind::Tablespaces => in_top(GLOBALS_DIRECTORY, "tablespaces.sql"),
        PartKind::Servers => in_top(GLOBALS_DIRECTORY, "servers.sql"),
        PartKind::Plugins => in_top(GLOBALS_DIRECTORY, "plugins.sql"),
        PartKind::Database => Place { top: None, directories: &[], file: Some("_database.sql"), is_named: false },
        PartKind::Schema => own_directory(&["tables"], "schema.sql"),
        PartKind::Data => own_directory(&["tables"], "data.sql"),
        PartKind::Triggers => own_directory(&["tables"], "triggers.sql"),
        PartKind::ViewStub => own_directory(&["views"], "stub.sql"),
        PartKind::View => own_directory(&["views"], "view.sql"),
        PartKind::Procedure => own_file(&["routines", "procedures"]),
        PartKind::Function => own_file(&["routines", "functions"]),
        PartKind::Package => own_file(&["routines", "packages"]),
        PartKind::PackageBody => own_file(&["routines", "package-bodies"]),
        PartKind::Event => own_file(&["events"]),
        PartKind::Sequence => own_file(&["sequences"]),
    }
}

/// The name of an object's directory, or of its file.
pub fn object_name(kind: PartKind, name: &[u8]) -> Vec<u8> {
    let place = place_of(kind);
    match (place.is_named, place.file) {
        (false, _) => Vec::new(),
        (true, Some(_)) => file_name(name, ""),
        (true, None) => file_name(name, ".sql"),
    }
}
