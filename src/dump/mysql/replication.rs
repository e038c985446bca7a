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
pub struct Replication(Edits);

impl Editor for Replication {
    fn edits(&mut self) -> &mut Edits {
        &mut self.0
    }
}

impl Sink for Replication {
    fn statement(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        if change_of_replication(text, modes).is_some() {
            // Lines stay where they are: a client that fails tells one.
            let lines = text.iter().filter(|&&byte| byte == b'\n').count();
            let instead = NOTHING.iter().copied().chain(repeat_n(b'\n', lines)).collect();
            self.0.push((start..start + text.len() as u64, instead));
        }
    }
}

/// What a statement would change of a server's replication or log, named by the words that it begins with and its variable; `None`
/// for any other.
pub fn change_of_replication(text: &[u8], modes: QuoteModes) -> Option<String> {
    let mut words = Words::new(text, modes);
    let verb = words.next()?;
    if verb.is("SET") {
        // What holds for one statement only comes with that.
        if words.clone().pass("STATEMENT") {
            return None;
        }
        // One that sets something else too, as no dump's does, has to stay: rows may depend on that.
        let is_single = !words.clone().any(|word| word == Word::Symbol(b','));
        return replication_variable(words).filter(|_| is_single).map(|variable| format!("SET {variable}"));
    }
    const OBJECTS: [(&str, &[&str]); 4] = [
        ("CHANGE", &["MASTER", "REPLICATION"]),
        ("START", &["SLAVE", "REPLICA", "ALL", "GROUP_REPLICATION"]),
        ("STOP", &["SLAVE", "REPLICA", "ALL", "GROUP_REPLICATION"]),
        ("RESET", &["MASTER", "SLAVE", "REPLICA", "BINARY"]),
    ];
    let (verb, objects) = OBJECTS.into_iter().find(|(known, _)| verb.is(known))?;
    let object = words.next()?;
    objects.iter().find(|known| object.is(known)).map(|object| format!("{verb} {object}"))
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
    fn a_body_of_a_routine_is_no_statement_of_the_dump() {
        let dump = "DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\nSET SQL_LOG_BIN=0;\nSTOP SLAVE;\nEND ;;\nDELIMITER ;\n";
        assert_eq!(cut(dump, 7), dump);
    }
}
