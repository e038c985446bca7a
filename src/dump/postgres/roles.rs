//! RoleCutter: leaves out of a dump what makes roles that are there already, and what would alter them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::words::Words;
use crate::dump::renaming::Edits;

/// Gives out what it takes, without these statements.
pub type RoleCutter = Rewriter<Roles>;

/// Roles that stay as they are.
pub struct Roles {
    there: Arc<HashSet<Vec<u8>>>,
    edits: Edits,
}

impl Rewriter<Roles> {
    pub fn new(there: &Arc<HashSet<Vec<u8>>>) -> RoleCutter {
        Rewriter::with(Roles { there: there.clone(), edits: Edits::new() })
    }
}

impl Editor for Roles {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        Ok(&mut self.edits)
    }
}

impl Sink for Roles {
    fn statement(&mut self, start: u64, text: &[u8]) {
        let mut words = Words::new(text);
        if !(words.pass_all(&["CREATE", "ROLE"]) || words.pass_all(&["ALTER", "ROLE"])) {
            return;
        }
        let is_there = words.take_name().is_some_and(|name| self.there.contains(&name));
        // What is set for it in a database that the dump makes is of that database.
        if is_there && !words.pass_all(&["IN", "DATABASE"]) {
            self.edits.push((start..start + text.len() as u64, Vec::new()));
        }
    }
}

/// The role that a statement makes.
pub fn created_role(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    words.pass_all(&["CREATE", "ROLE"]).then(|| words.take_name())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    #[test]
    fn roles_that_are_there_stay_as_they_are() {
        let there = Arc::new(HashSet::from([b"postgres".to_vec(), b"My \"own".to_vec()]));
        let dump = "CREATE ROLE postgres;\nALTER ROLE postgres WITH SUPERUSER;\nCREATE ROLE new;\nALTER ROLE new SET a TO 'x';\n\
                    CREATE ROLE \"My \"\"own\";\nALTER ROLE \"My \"\"own\" IN DATABASE shop SET a TO 'x';\nGRANT new TO postgres;\n";
        let expected = ";\n;\nCREATE ROLE new;\nALTER ROLE new SET a TO 'x';\n;\n\
                        ALTER ROLE \"My \"\"own\" IN DATABASE shop SET a TO 'x';\nGRANT new TO postgres;\n";
        for size in [1, 11, dump.len()] {
            let (mut cutter, mut out) = (Box::new(RoleCutter::new(&there)), Vec::new());
            dump.as_bytes().chunks(size).for_each(|piece| cutter.push(piece, &mut out).unwrap());
            cutter.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        assert_eq!(created_role(b"CREATE ROLE \"a b\""), Some(b"a b".to_vec()));
        assert_eq!(created_role(b"ALTER ROLE a"), None);
    }
}
