//! Layout: which file of a snapshot is which of a dump's.

use crate::dump::layout::{META_DIRECTORY, ORIGINAL_DIRECTORY};
use crate::dump::mongo::{PRELUDE_FILE, collection_file_name};
use crate::dump::name::file_name_beside;
use crate::ingest::dump::frame_name;

/// The operations while the dump was made.
pub const OPLOG_FILE: &str = "oplog.bson";

/// An archive as it came, unless its input tells a name.
pub const CONTAINER_FILE: &str = "dump.archive";

/// Where an archive stands in a snapshot.
pub struct ArchivePlace {
    /// Its file among originals.
    pub file: Vec<u8>,
    /// Its number among all.
    pub number: usize,
}

impl ArchivePlace {
    pub fn of_only() -> ArchivePlace {
        ArchivePlace { file: CONTAINER_FILE.into(), number: 0 }
    }

    /// The archive as it came.
    pub fn container(&self) -> FilePath {
        vec![ORIGINAL_DIRECTORY.into(), self.file.clone()]
    }

    /// What it has around the documents.
    pub fn frame(&self) -> FilePath {
        path_of(&[META_DIRECTORY, &frame_name(self.number)])
    }
}

/// Where the operations of another archive are kept that came with the one whose operations are at [`OPLOG_FILE`].
pub fn other_oplog_path(number: usize) -> FilePath {
    path_of(&[META_DIRECTORY, &format!("oplog-{}.bson", number + 1)])
}

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
