//! Layout: which file of a snapshot is which of a dump's.

use crate::dump::layout::{META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::mongo::{PRELUDE_FILE, collection_file_name};
use crate::dump::name::file_name_beside;

/// The operations while the dump was made.
pub const OPLOG_FILE: &str = "oplog.bson";

/// What an archive has around the documents.
pub const FRAME_PATH: [&str; 2] = [META_DIRECTORY, "frame"];

/// An archive as it came.
pub const CONTAINER_PATH: [&str; 2] = [ORIGINAL_DIRECTORY, "dump.archive"];

/// Where a collection without a database is found that an archive has for [`OPLOG_FILE`].
const OPLOG_COLLECTION: &[u8] = b"oplog";

/// Names beside the directories of databases.
pub const RESERVED: [&str; 4] = [META_DIRECTORY, ORIGINAL_DIRECTORY, OPLOG_FILE, PRELUDE_FILE];

/// Directories and name of a file.
pub type FilePath = Vec<Vec<u8>>;

/// The file of a collection of an archive, with this suffix.
pub fn collection_path(database: &[u8], collection: &[u8], suffix: &str) -> FilePath {
    if database.is_empty() && collection == OPLOG_COLLECTION {
        return vec![OPLOG_COLLECTION.iter().chain(suffix.as_bytes()).copied().collect()];
    }
    vec![database_directory(database), collection_file_name(collection, suffix)]
}

/// The directory of a database.
pub fn database_directory(name: &[u8]) -> Vec<u8> {
    file_name_beside(name, &RESERVED)
}

pub fn path_of(names: &[&str]) -> FilePath {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// For people.
pub fn shown(path: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&path.join(&b'/')).into_owned()
}
