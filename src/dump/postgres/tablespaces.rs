//! Resettler: gives the tablespaces that a dump makes other directories while it streams by, so that a server that is there for a
//! trial touches no directory of another one.

use crate::codec::DecodeError;
use crate::dump::name::quoted_name;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::words::{Word, Words};
use crate::dump::renaming::Edits;

/// The directory of a tablespace, below one for all of them: the digits of its name, which is in no certain encoding.
pub fn tablespace_directory(all: &[u8], name: &[u8]) -> Vec<u8> {
    let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    [all, b"/", digits.as_bytes()].concat()
}

/// Changes the places of tablespaces.
pub type Resettler = Rewriter<Places>;

/// What is to be changed.
pub struct Places {
    /// The directory for all of them.
    all: Vec<u8>,
    edits: Edits,
}

impl Rewriter<Places> {
    pub fn new(all: &[u8]) -> Resettler {
        Rewriter::with(Places { all: all.to_vec(), edits: Edits::new() })
    }
}

impl Editor for Places {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        Ok(&mut self.edits)
    }
}

impl Sink for Places {
    /// `CREATE TABLESPACE name OWNER owner LOCATION 'directory'`
    fn statement(&mut self, start: u64, text: &[u8]) {
        let mut words = Words::new(text);
        let name = words.pass_all(&["CREATE", "TABLESPACE"]).then(|| words.take_name()).flatten();
        let Some((name, mut words)) = name.and_then(|name| Some((name, words.skip_to("LOCATION")?))) else { return };
        let from = words.place();
        if let Some(Word::Text(_)) = words.next() {
            let directory = quoted_name(&tablespace_directory(&self.all, &name), b'\'');
            self.edits.push((start + from as u64..start + words.end() as u64, directory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    #[test]
    fn statements_get_other_places_and_rows_stay() {
        let dump = "CREATE TABLESPACE fast OWNER me LOCATION '/srv/it''s';\n\
                    ALTER TABLESPACE fast SET (random_page_cost=1);\n\
                    CREATE TABLESPACE \"LOCATION\" OWNER \"a;b\" LOCATION E'/srv\\\\\n'\n;\n\
                    CREATE TABLE t (a text);\nCOPY t (a) FROM stdin;\n\
                    CREATE TABLESPACE x OWNER y LOCATION '/z';\n\\.\n\
                    INSERT INTO t VALUES ('\nCREATE TABLESPACE x OWNER y LOCATION ''/z'';');\n\
                    CREATE TABLESPACE c LOCATION '';\n";
        let expected = dump
            .replacen("'/srv/it''s'", "'/tmp/a''b/66617374'", 1)
            .replacen("E'/srv\\\\\n'", "'/tmp/a''b/4c4f434154494f4e'", 1)
            .replace("c LOCATION ''", "c LOCATION '/tmp/a''b/63'");
        for size in [1, 7, dump.len()] {
            let (mut resettler, mut out) = (Box::new(Resettler::new(b"/tmp/a'b")), Vec::new());
            for piece in dump.as_bytes().chunks(size) {
                resettler.push(piece, &mut out).unwrap();
            }
            resettler.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in pieces of {size}");
        }
    }
}
