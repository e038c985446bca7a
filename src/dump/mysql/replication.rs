//! ReplicationCutter: leaves out of a dump what tells a server from where it replicates, and what it logs. Whoever provisions a replica
//! pipes the dump into a client as it is; whoever brings data back wants a server that goes on as it did.

use std::iter::repeat_n;

use crate::dump::mysql::lexer::Sink;
use crate::dump::mysql::rewriter::{Editor, Rewriter};
use crate::dump::mysql::statement::replication_variable;
use crate::dump::mysql::words::{QuoteModes, Word, Words};
use crate::dump::renaming::Edits;

/// Gives out what it takes, with statements that do nothing in place of those about replication and logs.
pub type ReplicationCutter = Rewriter<Replication>;

/// What stands there instead. A client may not be given nothing between two delimiters.
const NOTHING: &[u8] = b"DO 0";

/// Where such statements stand.
#[derive(Default)]
pub struct Replication {
    edits: Edits,
    /// The last statement is one.
    is_cut: bool,
}

impl Editor for Replication {
    fn edits(&mut self) -> &mut Edits {
        &mut self.edits
    }
}

impl Sink for Replication {
    fn statement(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.is_cut = change_of_replication(text, modes).is_some_and(|change| change.is_all);
        if self.is_cut {
            // Lines stay where they are: a client that fails tells one.
            let lines = text.iter().filter(|&&byte| byte == b'\n').count();
            let instead = NOTHING.iter().copied().chain(repeat_n(b'\n', lines)).collect();
            self.edits.push((start..start + text.len() as u64, instead));
        }
    }

    fn rest_of_statement(&mut self, end: u64, lines: usize) {
        if let Some((range, instead)) = self.edits.last_mut().filter(|_| self.is_cut) {
            range.end = end;
            instead.extend(repeat_n(b'\n', lines));
        }
    }
}

/// What a statement would change of a server's replication or log.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplicationChange {
    /// The words that it begins with, and its variable.
    pub name: String,
    /// It changes nothing else.
    pub is_all: bool,
}

/// What a statement would change of that; `None` for any other.
pub fn change_of_replication(text: &[u8], modes: QuoteModes) -> Option<ReplicationChange> {
    let mut words = Words::new(text, modes);
    let verb = words.next()?;
    if verb.is("SET") {
        // What holds for one statement only comes with that.
        if words.clone().pass("STATEMENT") {
            return None;
        }
        // One that sets something else too, as no dump's does, has to stay: rows may depend on that.
        let is_all = !words.clone().any(|word| word == Word::Symbol(b','));
        return replication_variable(words)
            .map(|variable| ReplicationChange { name: format!("SET {variable}"), is_all });
    }
    const OBJECTS: [(&str, &[&str]); 4] = [
        ("CHANGE", &["MASTER", "REPLICATION"]),
        ("START", &["SLAVE", "REPLICA", "ALL", "GROUP_REPLICATION"]),
        ("STOP", &["SLAVE", "REPLICA", "ALL", "GROUP_REPLICATION"]),
        ("RESET", &["MASTER", "SLAVE", "REPLICA", "BINARY"]),
    ];
    let (verb, objects) = OBJECTS.into_iter().find(|(known, _)| verb.is(known))?;
    let object = words.next()?;
    let object = objects.iter().find(|known| object.is(known))?;
    Some(ReplicationChange { name: format!("{verb} {object}"), is_all: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    fn cut(dump: &str, piece_bytes: usize) -> String {
        let (mut cutter, mut out) = (Box::<ReplicationCutter>::default(), Vec::new());
        dump.as_bytes().chunks(piece_bytes).for_each(|piece| cutter.push(piece, &mut out).unwrap());
        cutter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_about_replication_is_left_out_and_all_else_stays_in_its_line() {
        let about = [
            "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
            "SET @@SESSION.SQL_LOG_BIN= 0",
            "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-2,\nb:1'",
            "SET GLOBAL gtid_slave_pos='0-1-5'",
            "/*!50000 STOP SLAVE */",
            "STOP ALL SLAVES",
            "CHANGE MASTER 'far' TO MASTER_LOG_FILE='b.01',\n MASTER_LOG_POS=42",
            "CHANGE REPLICATION SOURCE TO SOURCE_LOG_POS=42",
            "START REPLICA",
            "RESET MASTER",
        ];
        let kept = [
            "-- CHANGE MASTER TO MASTER_LOG_POS=42;\n/*!40101 SET NAMES utf8 */",
            "SET @@SESSION.sql_mode = ''",
            "START TRANSACTION",
            "SET SQL_LOG_BIN=0, sql_mode='NO_BACKSLASH_ESCAPES'",
            "SET sql_mode=''",
            "SET STATEMENT sql_log_bin=0 FOR INSERT INTO t VALUES (2)",
            "CREATE TABLE t (a int COMMENT 'SET SQL_LOG_BIN')",
            "INSERT INTO t VALUES ('\nSET SQL_LOG_BIN=0;\n')",
            "ALTER TABLE t CHANGE master slave int",
        ];
        let with = about.iter().zip(kept.iter().cycle()).map(|(about, kept)| format!("{about};\n{kept};\n"));
        let lines = |about: &str| about.matches('\n').map(str::to_owned).collect::<String>();
        let without =
            about.iter().zip(kept.iter().cycle()).map(|(about, kept)| format!("DO 0{};\n{kept};\n", lines(about)));
        let (with, without) = (with.collect::<String>(), without.collect::<String>());
        for piece_bytes in [1, 17, with.len()] {
            assert_eq!(cut(&with, piece_bytes), without, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_long_one_is_left_out_in_full() {
        let ids = "\n0190fd25-f0d2-11ef-9f5b-0242ac110002:1-5,".repeat(40_000);
        let (long, lines) = (format!("SET @@GLOBAL.GTID_PURGED='{ids}'"), "\n".repeat(40_000));
        let kept = format!("CREATE PROCEDURE p() SELECT '{ids}'");
        assert!(long.len() > 1 << 20);
        let with = format!("{long};\n{kept};\n{long};\nSET sql_mode='';\n");
        let without = format!("DO 0{lines};\n{kept};\nDO 0{lines};\nSET sql_mode='';\n");
        for piece_bytes in [4096, with.len()] {
            assert!(cut(&with, piece_bytes) == without, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_body_of_a_routine_is_no_statement_of_the_dump() {
        let dump = "DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\nSET SQL_LOG_BIN=0;\nSTOP SLAVE;\nEND ;;\nDELIMITER ;\n";
        assert_eq!(cut(dump, 7), dump);
    }
}
