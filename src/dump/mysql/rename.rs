//! Renamer: gives the table of a `restore.sql` another name while it streams by, and new names to what must not have the same
//! name twice in one database: its constraints and triggers.

use std::borrow::Cow;

use crate::dump::mysql::lexer::Sink;
use crate::dump::mysql::rewriter::{Editor, Rewriter};
use crate::dump::mysql::words::{QuoteModes, Word, Words, quoted_name};
use crate::dump::renaming::{Edits, NameLimit, dependent_name};

/// Longest name of anything.
const NAME_MAX: NameLimit = NameLimit::Characters(64);

/// Renames one table.
pub type Renamer = Rewriter<Changes>;

/// What is to be changed.
pub struct Changes {
    old: Vec<u8>,
    new: Vec<u8>,
    list: Edits,
}

impl Rewriter<Changes> {
    pub fn new(old: &[u8], new: &[u8]) -> Renamer {
        Rewriter::with(Changes { old: old.to_vec(), new: new.to_vec(), list: Edits::new() })
    }
}

impl Editor for Changes {
    fn edits(&mut self) -> &mut Edits {
        &mut self.list
    }
}

impl Sink for Changes {
    fn statement(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        let mut words = Words::new(text, modes);
        let Some(Word::Plain(verb)) = words.next() else { return };
        match verb.to_ascii_uppercase().as_slice() {
            b"INSERT" | b"REPLACE" => self.inserted(start, words),
            b"CREATE" | b"DROP" | b"ALTER" | b"LOCK" | b"ANALYZE" => self.defined(start, words),
            _ => {}
        }
    }

    fn insert(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.statement(start, text, modes);
    }
}

impl Changes {
    fn inserted(&mut self, start: u64, words: Words) {
        if let Some(mut words) = words.skip_to(&["INTO"]) {
            self.table(start, &mut words);
        }
    }

    fn defined(&mut self, start: u64, mut words: Words) {
        while let Some(word) = words.next() {
            if word.is("TABLE") || word.is("TABLES") {
                words = words.past_if_exists();
                self.table(start, &mut words);
                return self.constraints(start, words);
            }
            if word.is("TRIGGER") {
                words = words.past_if_exists();
                // As whoever made it wrote it, perhaps without quotes.
                self.dependent(start, &mut words);
                if let Some(mut words) = words.skip_to(&["ON"]) {
                    self.table(start, &mut words);
                }
                return;
            }
        }
    }

    /// What the rest of a definition of a table names.
    fn constraints(&mut self, start: u64, mut words: Words) {
        while let Some(word) = words.next() {
            if word.is("CONSTRAINT") {
                self.dependent(start, &mut words);
            } else if word.is("REFERENCES") {
                self.table(start, &mut words);
            }
        }
    }

    /// The name that comes next, if it is the table's.
    fn table(&mut self, start: u64, words: &mut Words) {
        let from = words.place();
        if words.qualified_name().is_some_and(|(_, name)| name == self.old) {
            let new = quoted_name(&self.new, b'`', words.modes().letters);
            self.list.push((start + from as u64..start + words.end() as u64, new));
        }
    }

    /// The name that comes next, of something that belongs to the table.
    fn dependent(&mut self, start: u64, words: &mut Words) {
        let mut ahead = words.clone();
        let from = ahead.place();
        if let Some(name) = ahead.next().and_then(|word| word.name().map(Cow::into_owned)) {
            let new = dependent_name(&name, &self.old, &self.new, NAME_MAX);
            let new = quoted_name(&new, b'`', ahead.modes().letters);
            self.list.push((start + from as u64..start + ahead.end() as u64, new));
            *words = ahead;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;
    use proptest::prelude::*;

    fn renamed(sql: &[u8], cuts: usize) -> Vec<u8> {
        let mut renamer = Box::new(Renamer::new(b"orders", b"ord`ers 2"));
        let mut out = Vec::new();
        sql.chunks(cuts).for_each(|piece| renamer.push(piece, &mut out).unwrap());
        renamer.finish(&mut out).unwrap();
        out
    }

    const BEFORE: &str = "/* orders */ SET NAMES utf8mb4;\n-- Table structure for table `orders`\n\
        DROP TABLE IF EXISTS `orders`;\nCREATE TABLE `orders` (\n  `orders` int COMMENT 'REFERENCES `orders`',\n\
        CONSTRAINT `orders_ibfk_1` FOREIGN KEY (`orders`) REFERENCES `orders` (`orders`),\n\
        CONSTRAINT `other` FOREIGN KEY (`a`) REFERENCES `orders_old` (`orders`));\n\
        LOCK TABLES `orders` WRITE;\n/*!40000 ALTER TABLE `orders` DISABLE KEYS */;\n\
        INSERT INTO `orders` VALUES\n('INSERT INTO `orders` VALUES (1);'),('CREATE TABLE `orders`');\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`orders`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON `orders`\n\
        FOR EACH ROW INSERT INTO `orders_log` SELECT 'orders' FROM `orders` */;;\nDELIMITER ;\n";

    const AFTER: &str = "/* orders */ SET NAMES utf8mb4;\n-- Table structure for table `orders`\n\
        DROP TABLE IF EXISTS `ord``ers 2`;\nCREATE TABLE `ord``ers 2` (\n  `orders` int COMMENT 'REFERENCES `orders`',\n\
        CONSTRAINT `ord``ers 2_ibfk_1` FOREIGN KEY (`orders`) REFERENCES `ord``ers 2` (`orders`),\n\
        CONSTRAINT `ord``ers 2_other` FOREIGN KEY (`a`) REFERENCES `orders_old` (`orders`));\n\
        LOCK TABLES `ord``ers 2` WRITE;\n/*!40000 ALTER TABLE `ord``ers 2` DISABLE KEYS */;\n\
        INSERT INTO `ord``ers 2` VALUES\n('INSERT INTO `orders` VALUES (1);'),('CREATE TABLE `orders`');\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`orders`@`%`*/ /*!50003 TRIGGER `ord``ers 2_t` BEFORE INSERT ON `ord``ers 2`\n\
        FOR EACH ROW INSERT INTO `orders_log` SELECT 'orders' FROM `orders` */;;\nDELIMITER ;\n";

    #[test]
    fn only_the_names_of_the_table_and_of_what_belongs_to_it_change() {
        for cuts in [1, 7, 64, 1000, 1 << 20] {
            let after = String::from_utf8(renamed(BEFORE.as_bytes(), cuts)).unwrap();
            assert_eq!(after, AFTER, "in pieces of {cuts}");
        }
    }

    #[test]
    fn names_stay_different_and_short_enough() {
        let long = "x".repeat(64);
        let [a, b] = [&long[..], &long[1..]].map(|name| dependent_name(name.as_bytes(), b"t", b"u", NAME_MAX));
        assert!(a != b && a.len() <= 64 && b.len() <= 64);
    }

    #[test]
    fn a_statement_without_end_is_refused() {
        let mut renamer = Renamer::new(b"a", b"b");
        let mut out = Vec::new();
        assert!((0..70).any(|_| renamer.push(&[b'x'; 1 << 20], &mut out).is_err()));
    }

    proptest! {
        #[test]
        fn what_names_no_such_table_passes_as_it_is(sql: Vec<u8>, cuts in 1..50usize) {
            prop_assert_eq!(renamed(&sql, cuts), sql);
        }
    }
}
