//! GlobalsCutter: leaves out of a dump what makes roles and tablespaces that are there already, and what would alter them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::words::Words;
use crate::dump::renaming::Edits;

/// Roles and tablespaces of a server, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ServerGlobals {
    pub roles: HashSet<Vec<u8>>,
    pub tablespaces: HashSet<Vec<u8>>,
}

/// Gives out what it takes, without these statements.
pub type GlobalsCutter = Rewriter<Staying>;

/// What stays as it is.
pub struct Staying {
    there: Arc<ServerGlobals>,
    edits: Edits,
}

impl Rewriter<Staying> {
    pub fn new(there: &Arc<ServerGlobals>) -> GlobalsCutter {
        Rewriter::with(Staying { there: there.clone(), edits: Edits::new() })
    }
}

impl Editor for Staying {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        Ok(&mut self.edits)
    }
}

impl Sink for Staying {
    fn statement(&mut self, start: u64, text: &[u8]) {
        let mut words = Words::new(text);
        if !(words.pass("CREATE") || words.pass("ALTER")) {
            return;
        }
        let names = match (words.pass("ROLE"), words.pass("TABLESPACE")) {
            (true, _) => &self.there.roles,
            (_, true) => &self.there.tablespaces,
            _ => return,
        };
        let is_there = words.take_name().is_some_and(|name| names.contains(&name));
        // What is set for a role in a database that the dump makes is of that database.
        if is_there && !words.pass_all(&["IN", "DATABASE"]) {
            self.edits.push((start..start + text.len() as u64, Vec::new()));
        }
    }
}

/// The role that a statement makes.
pub fn created_role(text: &[u8]) -> Option<Vec<u8>> {
    created("ROLE", text)
}

/// The tablespace that it makes.
pub fn created_tablespace(text: &[u8]) -> Option<Vec<u8>> {
    created("TABLESPACE", text)
}

fn created(what: &str, text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    words.pass_all(&["CREATE", what]).then(|| words.take_name())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    #[test]
    fn what_is_there_stays_as_it_is() {
        let roles = HashSet::from([b"postgres".to_vec(), b"My \"own".to_vec()]);
        let there = Arc::new(ServerGlobals { roles, tablespaces: HashSet::from([b"fast".to_vec()]) });
        let dump = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\nCREATE ROLE new;\nALTER ROLE new SET a TO 'x';\n\
                    CREATE ROLE \"My \"\"own\";\nALTER ROLE \"My \"\"own\" IN DATABASE shop SET a TO 'x';\nGRANT new TO postgres;\n\
                    CREATE TABLESPACE fast OWNER new LOCATION '/srv';\nALTER TABLESPACE fast SET (a='1');\nCREATE TABLESPACE postgres LOCATION '';\n";
        let expected = ";\n;\nCREATE ROLE new;\nALTER ROLE new SET a TO 'x';\n;\n\
                        ALTER ROLE \"My \"\"own\" IN DATABASE shop SET a TO 'x';\nGRANT new TO postgres;\n\
                        ;\n;\nCREATE TABLESPACE postgres LOCATION '';\n";
        for size in [1, 11, dump.len()] {
            let (mut cutter, mut out) = (Box::new(GlobalsCutter::new(&there)), Vec::new());
            dump.as_bytes().chunks(size).for_each(|piece| cutter.push(piece, &mut out).unwrap());
            cutter.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        assert_eq!(created_role(b"CREATE ROLE \"a b\""), Some(b"a b".to_vec()));
        assert_eq!(created_role(b"ALTER ROLE a"), None);
    }
}
