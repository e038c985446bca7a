//! Requirements: what a dump asks of a server that is to take it and to give it back.

use std::collections::BTreeSet;

use crate::dump::mysql::account::{Account, definer};
use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::replication::change_of_replication;
use crate::dump::mysql::words::{QuoteModes, Word, Words};

/// So many definers are looked for; more stand in no dump but one that means harm.
const DEFINERS_MAX: usize = 10_000;

/// What a dump requires.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Who defines views, routines, triggers or events, and is not made by the dump: that is left to a dump of users.
    pub definers: BTreeSet<Account>,
    /// It makes triggers or functions, which a server with a binary log takes from few users.
    pub makes_programs: bool,
    /// Rows that system-versioned tables had before were dumped too.
    pub has_history: bool,
    /// What it would change of the server's replication and log, as in `CHANGE MASTER`.
    pub replication: BTreeSet<String>,
    /// The same of statements that set something else too.
    pub mixed_replication: BTreeSet<String>,
}

/// Finds them while it reads a dump.
#[derive(Default)]
pub struct RequirementsFinder {
    lexer: Lexer,
    found: Found,
}

impl RequirementsFinder {
    /// Takes the next piece, of any length.
    pub fn push(&mut self, piece: &[u8]) {
        self.lexer.push(piece, &mut self.found);
    }

    /// Tells that nothing follows.
    pub fn finish(mut self) -> Requirements {
        self.lexer.finish(&mut self.found);
        let Found { named, made, makes_programs, has_history, replication, mixed_replication } = self.found;
        Requirements { definers: &named - &made, makes_programs, has_history, replication, mixed_replication }
    }
}

#[derive(Default)]
struct Found {
    named: BTreeSet<Account>,
    made: BTreeSet<Account>,
    makes_programs: bool,
    has_history: bool,
    replication: BTreeSet<String>,
    mixed_replication: BTreeSet<String>,
}

impl Sink for Found {
    fn statement(&mut self, _: u64, text: &[u8], modes: QuoteModes) {
        if let Some(change) = change_of_replication(text, modes) {
            let known = if change.is_all { &mut self.replication } else { &mut self.mixed_replication };
            known.insert(change.name);
        }
        let mut words = Words::new(text, modes);
        if words.pass("SET") {
            self.has_history |= asks_for_history(words);
        } else if words.pass("CREATE") {
            let _ = words.pass("OR") && words.pass("REPLACE");
            self.makes_programs |= makes_program(words.clone());
            if words.pass("USER") || words.pass("ROLE") {
                self.note_made(words.past_if_exists());
            } else if self.named.len() < DEFINERS_MAX {
                let definer = definer(text, modes).map(|(account, _)| account);
                self.named.extend(definer.filter(|account| !account.is_present_one()));
            }
        }
    }
}

impl Found {
    /// Accounts with commas between them, each with what it is identified by.
    fn note_made(&mut self, mut words: Words) {
        while self.made.len() < DEFINERS_MAX {
            self.made.extend(Account::next(&mut words));
            if !words.any(|word| word == Word::Symbol(b',')) {
                return;
            }
        }
    }
}

/// Whether what is created is a trigger or a function, by the first word that tells.
fn makes_program(mut words: Words) -> bool {
    const OTHERS: [&str; 8] = ["VIEW", "TABLE", "PROCEDURE", "EVENT", "DATABASE", "SEQUENCE", "PACKAGE", "INDEX"];
    let told = |word: Word| match word {
        word if word.is("TRIGGER") || word.is("FUNCTION") => Some(true),
        word if OTHERS.iter().any(|other| word.is(other)) => Some(false),
        _ => None,
    };
    words.find_map(told).unwrap_or(false)
}

/// `SET @@session.system_versioning_insert_history=1`, which `mariadb-dump --dump-history` writes before such rows.
fn asks_for_history(mut words: Words) -> bool {
    while let Some(word) = words.next() {
        if word.is("SYSTEM_VERSIONING_INSERT_HISTORY") && words.pass_symbol(b'=') && words.pass("1") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, piece_bytes: usize) -> Requirements {
        let mut finder = RequirementsFinder::default();
        text.as_bytes().chunks(piece_bytes).for_each(|piece| finder.push(piece));
        finder.finish()
    }

    #[test]
    fn definers_are_found_but_those_that_the_dump_makes() {
        let text = "CREATE USER `own`@`h` IDENTIFIED BY 'CREATE', `other own`@`h`;\nCREATE ROLE IF NOT EXISTS `role`;\n\
                    INSERT INTO `t` VALUES ('; CREATE DEFINER=`no`@`%` VIEW `v`;');\n\
                    /*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`of view`@`%` SQL SECURITY DEFINER */\n\
                    /*!50001 VIEW `v` AS select 1 AS `definer` */;\nDELIMITER ;;\n\
                    /*!50003 CREATE*/ /*!50017 DEFINER=`of trigger`@`%`*/ /*!50003 TRIGGER a BEFORE INSERT ON t FOR EACH ROW BEGIN\n\
                    SET @x = 1; END */;;\nCREATE DEFINER=`own`@`h` PROCEDURE `p`() BEGIN SELECT 1; END;;\n\
                    CREATE DEFINER=`other own`@`h` PROCEDURE `p`() SELECT 1;;\nCREATE DEFINER=`role` PROCEDURE `r`() SELECT 1;;\n\
                    CREATE DEFINER=CURRENT_USER PROCEDURE `q`() SELECT 1;;\n\
                    CREATE OR REPLACE DEFINER=`of function`@`%` FUNCTION `f`() RETURNS int RETURN 1;;\n\
                    /*!50106 CREATE*/ /*!50117 DEFINER=`of event`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;";
        for piece_bytes in [1, 7, text.len()] {
            let Requirements { definers, has_history, replication, .. } = found(text, piece_bytes);
            let users: Vec<_> = definers.iter().map(|it| String::from_utf8(it.user.clone()).unwrap()).collect();
            assert_eq!(users, ["of event", "of function", "of trigger", "of view"]);
            assert!(!has_history && replication.is_empty());
        }
    }

    #[test]
    fn triggers_and_functions_are_found_and_nothing_else() {
        let makes = |text: &str| found(text, 7).makes_programs;
        assert!(makes(
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON o FOR EACH ROW SET @x = 1 */;;"
        ));
        assert!(makes("CREATE DEFINER=`a`@`%` AGGREGATE FUNCTION `f`() RETURNS int RETURN 1;"));
        for other in [
            "CREATE TABLE `trigger` (`function` int);",
            "CREATE ALGORITHM=UNDEFINED VIEW v AS SELECT 'TRIGGER' AS TRIGGER;",
            "CREATE DEFINER=`trigger`@`%` PROCEDURE p() SELECT 1;",
            "DROP TRIGGER t; SELECT 'CREATE FUNCTION';",
        ] {
            assert!(!makes(other), "{other}");
        }
    }

    #[test]
    fn what_it_would_change_of_replication_is_found() {
        let found = found("SET SQL_LOG_BIN=0, sql_mode='';\nSTOP SLAVE;\nSET @@session.sql_log_off=1;\n", 7);
        let names = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found.replication), ["SET SQL_LOG_OFF", "STOP SLAVE"]);
        assert_eq!(names(&found.mixed_replication), ["SET SQL_LOG_BIN"]);
    }

    #[test]
    fn a_dump_says_that_it_has_history() {
        let sets = "/*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history, \
                    @@session.system_versioning_insert_history=1 */;\n";
        let sets_back = "/*M!101100 SET system_versioning_insert_history=@old_system_versioning_insert_history */;\n";
        assert!(found(sets, 7).has_history);
        assert!(!found(sets_back, 7).has_history);
        assert!(!found(&format!("INSERT INTO t VALUES ('\n{sets}');\n"), 7).has_history);
    }
}
