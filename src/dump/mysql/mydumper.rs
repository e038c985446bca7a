//! What `mydumper` writes: a directory with files of statements, a few for each table, and what they have to be told apart by.
//! `myloader` loads them by their names; in this order, and with what is put between them, a client loads them as one text.

mod files;
mod metadata;

use self::files::LastNames;
pub use self::files::{FileKind, StatementFile, in_loading_order, is_metadata, is_partial_metadata};
pub use self::metadata::{MydumperMetadata, TableRows};

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::session::{modes_behind, told_settings};
use crate::dump::mysql::words::{QuoteModes, Words, quoted_name};
use crate::dump::name::file_name;

/// Ends each statement of a file whose statements may hold others. `mydumper` puts a blank between a semicolon and the end of
/// a line within a statement, so that `myloader` knows that one ends where there is none.
pub const DELIMITER: &str = "$$$$";

/// How a statement ends in such a file.
pub const STATEMENT_END: &[u8] = b";\n";

impl FileKind {
    /// Whether a file of this kind makes one object: `mydumper` leaves one without that where it fails.
    pub fn makes_one(self) -> bool {
        matches!(self, FileKind::Database | FileKind::Schema | FileKind::ViewStub | FileKind::View | FileKind::Sequence)
    }

    /// Whether its statements may hold others.
    pub fn has_bodies(self) -> bool {
        matches!(self, FileKind::Triggers | FileKind::Routines)
    }
}

/// Before the files of routines and events, which take the time zone of the session and set none.
pub const TIME_ZONE_OF_EVENTS: &str = "/*!40103 SET TIME_ZONE='SYSTEM' */;\n";

/// Titles are given once for all files of an object.
#[derive(Default)]
pub struct Titles {
    last: LastNames,
}

impl Titles {
    /// What comes before a file: a comment that says what it is about, as in other dumps.
    pub fn next(&mut self, file: &StatementFile) -> String {
        let shown = |name: &[u8]| String::from_utf8_lossy(&file_name(name, "")).into_owned();
        if !self.last.change_to(file) {
            return String::new();
        }
        let (database, object) = (shown(&file.database), shown(&file.object));
        let title = match file.kind {
            FileKind::Database => format!("Current Database: `{database}`"),
            FileKind::Sequence => format!("Sequence structure for `{object}`"),
            FileKind::Schema => format!("Table structure for table `{object}`"),
            FileKind::ViewStub => format!("Temporary table structure for view `{object}`"),
            FileKind::Data => format!("Dumping data for table `{object}`"),
            FileKind::View => format!("Final view structure for view `{object}`"),
            FileKind::Routines => format!("Dumping routines for database '{database}'"),
            FileKind::Triggers | FileKind::Tablespaces => return String::new(),
        };
        format!("\n--\n-- {title}\n--\n\n")
    }
}

/// A statement that makes a database the present one, as it stands before a file that begins so.
pub fn use_database(name: &[u8], first: &[u8]) -> Vec<u8> {
    let letters = modes_behind(&told_settings(first)).letters;
    [b"USE ", &quoted_name(name, b'`', letters)[..], b";\n"].concat()
}

/// Whether a file that begins so makes something.
pub fn makes_something(first: &[u8]) -> bool {
    first.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"CREATE "))
}

/// The database that these statements make.
pub fn created_database(text: &[u8]) -> Option<Vec<u8>> {
    let (mut lexer, mut found) = (Lexer::default(), Created(None));
    lexer.push(text, &mut found);
    lexer.finish(&mut found);
    found.0
}

struct Created(Option<Vec<u8>>);

impl Sink for Created {
    fn statement(&mut self, _: u64, text: &[u8], modes: QuoteModes) {
        let mut words = Words::new(text, modes);
        if self.0.is_none() && words.pass("CREATE") {
            let name = words.skip_to(&["DATABASE", "SCHEMA"]).and_then(|words| words.past_if_exists().qualified_name());
            self.0 = name.map(|(_, name)| name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_read_and_written() {
        let name = |text: &str| created_database(text.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        let text = "/*!40101 SET NAMES binary*/;\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `we``ird` /*!40100 DEFAULT ... */;\n";
        assert_eq!(name(text).as_deref(), Some("we`ird"));
        assert_eq!(name("CREATE SCHEMA shop;\n").as_deref(), Some("shop"));
        assert_eq!(name("USE shop;\n"), None);
        assert_eq!(use_database(b"we`ird", b""), b"USE `we``ird`;\n");
    }
}
