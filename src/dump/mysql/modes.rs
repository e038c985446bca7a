//! ModeTracker: follows `SQL_MODE` and the character set through a dump, as far as they decide how quotes are read. A dump sets them for
//! each routine, and sets them back from variables.

use crate::dump::letters::Letters;
use crate::dump::mysql::words::{QuoteModes, Word, Words};

/// Variables that are remembered; dumps use four.
const VARIABLES_MAX: usize = 8;

/// The present mode, and those that variables hold.
#[derive(Debug, Clone, Default)]
pub struct ModeTracker {
    present: QuoteModes,
    variables: Vec<(Vec<u8>, QuoteModes)>,
}

impl ModeTracker {
    /// One for a text that begins in these modes.
    pub fn beginning_in(modes: QuoteModes) -> ModeTracker {
        ModeTracker { present: modes, variables: Vec::new() }
    }

    pub fn present(&self) -> QuoteModes {
        self.present
    }

    /// Takes note of a statement that may set the mode, or a variable to it.
    pub fn follow(&mut self, statement: &[u8]) {
        let mut words = Words::new(statement, self.present);
        if !words.pass("SET") {
            return;
        }
        loop {
            let Some(target) = words.next() else { return };
            if tells_set(&target, &mut words) {
                self.present.letters = words.next().as_ref().map_or(Letters::Plain, letters_of);
                self.present.letters_of_session = self.present.letters;
                continue;
            }
            let is_assigned = words.pass_symbol(b'=') || (words.pass_symbol(b':') && words.pass_symbol(b'='));
            // `SET SESSION sql_mode = ...`, `SET NAMES utf8mb4`.
            if !is_assigned {
                continue;
            }
            let Some(value) = words.next() else { return };
            self.assign(&target, &value);
            words.pass_symbol(b',');
        }
    }

    fn assign(&mut self, target: &Word, value: &Word) {
        if is_sql_mode(target) {
            let modes = match value {
                Word::Text(modes) => modes_of(modes),
                Word::Plain(variable) if variable.starts_with(b"@") => self.remembered(variable),
                _ => QuoteModes::default(),
            };
            let QuoteModes { plain_backslash, ansi_quotes, .. } = modes;
            self.present = QuoteModes { plain_backslash, ansi_quotes, ..self.present };
        } else if is_character_set(target) {
            self.present.letters = match value {
                Word::Plain(variable) if variable.starts_with(b"@") => self.remembered(variable).letters,
                name => letters_of(name),
            };
        } else if let Word::Plain(variable) = target
            && (is_sql_mode(value) || is_character_set(value))
        {
            let name = variable.to_ascii_lowercase();
            self.variables.retain(|(known, _)| *known != name);
            if self.variables.len() < VARIABLES_MAX {
                self.variables.push((name, self.present));
            }
        }
    }

    fn remembered(&self, variable: &[u8]) -> QuoteModes {
        let found = self.variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(variable));
        found.map(|(_, modes)| *modes).unwrap_or_default()
    }
}

/// Whether a word of a `SET` tells in which set the session is, which follows: `NAMES`, or `CHARACTER SET`. `words` are behind it.
pub fn tells_set(word: &Word, words: &mut Words) -> bool {
    let is_charset = word.is("CHARSET") && !words.clone().pass_symbol(b'=');
    word.is("NAMES") || is_charset || ((word.is("CHARACTER") || word.is("CHAR")) && words.pass("SET"))
}

/// The one that tells in which set statements are.
fn is_character_set(word: &Word) -> bool {
    word.is("CHARACTER_SET_CLIENT") || word.is("@@CHARACTER_SET_CLIENT")
}

/// Those of the set that a word names.
fn letters_of(word: &Word) -> Letters {
    word.name().map_or(Letters::Plain, |name| Letters::of(&name))
}

fn is_sql_mode(word: &Word) -> bool {
    // `@@SESSION.sql_mode` is several words, of which the last is assigned.
    word.is("SQL_MODE") || word.is("@@SQL_MODE")
}

/// Modes in which double quotes enclose names. A dump that is to be compatible with another server sets the one of its name, from which
/// the server makes the first.
const ANSI_QUOTES: [&str; 7] = ["ANSI_QUOTES", "ANSI", "POSTGRESQL", "ORACLE", "MSSQL", "DB2", "MAXDB"];

fn modes_of(text: &[u8]) -> QuoteModes {
    let has =
        |mode: &str| text.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(mode.as_bytes()));
    QuoteModes {
        plain_backslash: has("NO_BACKSLASH_ESCAPES"),
        ansi_quotes: ANSI_QUOTES.into_iter().any(has),
        ..QuoteModes::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routine_has_its_mode_and_the_dump_its_own_again() {
        let mut modes = ModeTracker::default();
        let mut after = |statement: &str| {
            modes.follow(statement.as_bytes());
            (modes.present().plain_backslash, modes.present().ansi_quotes)
        };
        assert_eq!(after("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */"), (false, false));
        assert_eq!(after("/*!50003 SET @saved_sql_mode       = @@sql_mode */ "), (false, false));
        assert_eq!(
            after("/*!50003 SET sql_mode              = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES' */ "),
            (true, false)
        );
        assert_eq!(after("CREATE PROCEDURE p() SET sql_mode = ''"), (true, false));
        assert_eq!(after("SET NAMES utf8mb4"), (true, false));
        assert_eq!(after("/*!50003 SET sql_mode              = @saved_sql_mode */ "), (false, false));
        assert_eq!(after("SET SESSION sql_mode = 'ANSI_QUOTES'"), (false, true));
        assert_eq!(after("/*!40101 SET SQL_MODE=@OLD_SQL_MODE */"), (false, false));
        for other in ["POSTGRESQL", "ORACLE", "MSSQL", "DB2", "MAXDB", "ANSI"] {
            assert_eq!(after(&format!("SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,{other}'")), (false, true), "{other}");
        }
        assert_eq!(after("SET SQL_MODE='MYSQL40,NO_KEY_OPTIONS'"), (false, false));
    }
}
