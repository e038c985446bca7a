//! Layout: the names that the snapshots of all kinds of dumps have in common.

use crate::dump::name::file_name_beside;

/// The dump itself.
pub const DUMP_FILE: &str = "dump.sql";

/// The same of one in XML.
pub const XML_DUMP_FILE: &str = "dump.xml";

/// What is told about the dump.
pub const META_DIRECTORY: &str = "_meta";

/// Beside it, the list of the dump's parts: a [`PartLine`](crate::dump::part_line::PartLine) for each.
pub const PARTS_FILE: &str = "parts";

/// A line of JSON for each input.
pub const INPUTS_FILE: &str = "inputs";

/// Of MongoDB: a line for each collection.
pub const COLLECTIONS_FILE: &str = "collections";

/// What is in no database.
pub const GLOBALS_DIRECTORY: &str = "_globals";

/// Among it, the roles of PostgreSQL.
pub const ROLES_FILE: &str = "roles.sql";

/// Dumps as they came, where that is compressed, or how they are made again.
pub const ORIGINAL_DIRECTORY: &str = "_original";

/// Behind the name of a file, that of how it is made again.
pub const RECIPE_SUFFIX: &str = ".recipe";

/// And its tablespaces.
pub const TABLESPACES_FILE: &str = "tablespaces.sql";

/// What the dump says of a database itself.
pub const DATABASE_FILE: &str = "_database.sql";

/// What removes all that a dump of PostgreSQL makes behind it, in a database.
pub const DROPS_FILE: &str = "_drop.sql";

/// The directory of a database or schema that has one for each table.
pub const TABLES_DIRECTORY: &str = "tables";

/// Files of a table: what makes it, its rows, its triggers.
pub const SCHEMA_FILE: &str = "schema.sql";
pub const DATA_FILE: &str = "data.sql";
pub const TRIGGERS_FILE: &str = "triggers.sql";

/// What comes behind the rows of a table of PostgreSQL: constraints, indexes, triggers.
pub const POST_FILE: &str = "post.sql";

/// What makes a table of PostgreSQL a part of a partitioned one.
pub const ATTACHMENT_FILE: &str = "attach.sql";

/// The directory of a schema, or of a database of MySQL, that has a file for each sequence.
pub const SEQUENCES_DIRECTORY: &str = "sequences";

/// What the dump says of a schema itself.
pub const OF_SCHEMA_FILE: &str = "_schema.sql";

/// In a database of PostgreSQL, what is granted of everything that is made.
pub const DEFAULT_PRIVILEGES_FILE: &str = "_default_privileges.sql";

/// Its directory of what is sent to other servers.
pub const PUBLICATIONS_DIRECTORY: &str = "_publications";

/// Directories of a schema that have a file for each type and each function.
pub const TYPES_DIRECTORY: &str = "types";
pub const FUNCTIONS_DIRECTORY: &str = "functions";

/// The directory of views, and the file of what stands for a view of MySQL until all that it needs is there.
pub const VIEWS_DIRECTORY: &str = "views";
pub const STUB_FILE: &str = "stub.sql";

/// The fact of a snapshot that tells by what a row is found without reading all before it.
pub const ROW_MARKS: &str = "row_marks";

/// The fact that names the character set of a dump.
pub const CHARACTER_SET: &str = "character_set";

/// The fact that tells how a dump is written that is not as usual: what it says of one in XML, and of collections in text.
pub const FORM: &str = "form";
pub const XML: &str = "xml";
pub const EXPORT: &str = "export";

/// What sets up the session, beside what is told about the dump.
pub const HEADER_FILE: &str = "header.sql";

/// Names beside the directories of databases.
pub const RESERVED: [&str; 5] = [DUMP_FILE, XML_DUMP_FILE, META_DIRECTORY, GLOBALS_DIRECTORY, ORIGINAL_DIRECTORY];

/// Loads a table by itself.
pub const RESTORE_FILE: &str = "restore.sql";

/// The file name of a database's directory.
pub fn database_directory(name: &[u8]) -> Vec<u8> {
    file_name_beside(name, &RESERVED)
}
