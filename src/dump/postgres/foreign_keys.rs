//! ForeignKeys: finds the statements of a table that make its foreign keys, which have to wait until the rows of other tables are
//! there, too.

use std::collections::HashSet;

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::words::Words;
use crate::dump::renaming::Edits;

/// Gives out what it takes, without these statements.
pub type ForeignKeyCutter = Rewriter<ForeignKeys>;

/// What was seen of them.
#[derive(Default)]
pub struct ForeignKeys {
    names: HashSet<Vec<u8>>,
    /// The statements, one after the other.
    text: Vec<u8>,
    edits: Edits,
}

/// The statements that make foreign keys, and tell of them, among those of a table.
pub fn foreign_keys(text: &[u8]) -> Vec<u8> {
    let (mut lexer, mut found) = (Lexer::default(), ForeignKeys::default());
    lexer.push(text, &mut found);
    lexer.finish(&mut found);
    found.text
}

impl Editor for ForeignKeys {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        self.text.clear();
        Ok(&mut self.edits)
    }
}

impl Sink for ForeignKeys {
    fn statement(&mut self, start: u64, text: &[u8]) {
        let words = Words::new(text);
        let name = made(words.clone());
        if name.is_some() || remark(words).is_some_and(|name| self.names.contains(&name)) {
            self.names.extend(name);
            self.edits.push((start..start + text.len() as u64, Vec::new()));
            self.text.extend_from_slice(text);
            self.text.extend_from_slice(b";\n");
        }
    }
}

/// `ALTER TABLE ONLY a.b ADD CONSTRAINT name FOREIGN KEY`: the name.
fn made(mut words: Words) -> Option<Vec<u8>> {
    if !words.pass_all(&["ALTER", "TABLE"]) {
        return None;
    }
    words.pass("ONLY");
    words.qualified_name()?;
    if !words.pass_all(&["ADD", "CONSTRAINT"]) {
        return None;
    }
    let name = words.take_name()?;
    words.pass_all(&["FOREIGN", "KEY"]).then_some(name)
}

/// `COMMENT ON CONSTRAINT name`: the name.
fn remark(mut words: Words) -> Option<Vec<u8>> {
    words.pass_all(&["COMMENT", "ON", "CONSTRAINT"]).then(|| words.take_name())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    #[test]
    fn only_foreign_keys_and_what_tells_of_them_wait() {
        let before = "CREATE TABLE a.t (x int, y text DEFAULT 'ADD CONSTRAINT z FOREIGN KEY');\nCOPY a.t (x) FROM stdin;\n\
                      ALTER TABLE a.t ADD CONSTRAINT c FOREIGN KEY;\n\\.\nALTER TABLE ONLY a.t\n    ADD CONSTRAINT k PRIMARY KEY (x);\n";
        let first = "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"F;1\" FOREIGN KEY (x) REFERENCES a.u(x)";
        let told = "COMMENT ON CONSTRAINT \"F;1\" ON a.t IS ';'";
        let other = "COMMENT ON CONSTRAINT k ON a.t IS 'key';\n";
        let text = format!("{before}{first};\n{told};\n{other}");
        for size in [1, 9, text.len()] {
            let (mut cutter, mut out) = (Box::new(ForeignKeyCutter::default()), Vec::new());
            text.as_bytes().chunks(size).for_each(|piece| cutter.push(piece, &mut out).unwrap());
            cutter.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{before};\n;\n{other}"));
        }
        assert_eq!(String::from_utf8(foreign_keys(text.as_bytes())).unwrap(), format!("{first};\n{told};\n"));
    }
}
