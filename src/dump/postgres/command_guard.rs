//! CommandGuard: lets a dump stream by, but for commands to `psql` that no dump has: they would run programs and read files where it
//! is loaded. Who named a table at the server that was dumped can have put a line into it (CVE-2025-8714).

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::renaming::Edits;

/// What dumps have: to go to another database, to tell the encoding of its names, and to forbid commands, or no longer.
const KNOWN: [&[u8]; 4] = [b"\\connect", b"\\encoding", b"\\restrict", b"\\unrestrict"];

/// Gives out what it takes, up to a command that is none of these.
pub type CommandGuard = Rewriter<Commands>;

/// What was seen of commands.
#[derive(Default)]
pub struct Commands {
    problem: Option<DecodeError>,
    /// None.
    edits: Edits,
}

impl Editor for Commands {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        self.problem.take().map_or(Ok(&mut self.edits), Err)
    }
}

impl Sink for Commands {
    fn command(&mut self, start: u64, text: &[u8]) {
        let word = text.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        if !KNOWN.contains(&word) {
            let reason = "it holds a command to psql that no dump has, such as \\! or \\i";
            self.problem.get_or_insert(DecodeError { reason, at: start as usize });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    fn guarded(dump: &str, size: usize) -> Result<String, DecodeError> {
        let (mut guard, mut out) = (Box::new(CommandGuard::default()), Vec::new());
        for piece in dump.as_bytes().chunks(size) {
            guard.push(piece, &mut out)?;
        }
        guard.finish(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_commands_that_dumps_have_pass() {
        let dump = "\\restrict abc\n\\encoding SQL_ASCII\n-- \\! x\n\\connect shop\nSET a = '\n\\! in a string';\nCOPY t (a) FROM stdin;\n\\! in a row\n\\.\n\
                    CREATE FUNCTION f() AS $$\n\\! in a body\n$$;\n\\unrestrict abc\n";
        for size in [1, 5, dump.len()] {
            assert_eq!(guarded(dump, size).unwrap(), dump);
            for command in ["\\! touch x", "\\i /etc/passwd", "\\copy t from x", "\\connectx", "\\o |sh", "\\"] {
                let hostile = format!("SELECT 1;\n-- Name: t\n{command}\nSELECT 2;\n");
                assert!(guarded(&hostile, size).unwrap_err().reason.contains("no dump has"), "{command}");
            }
        }
        // Nothing of it was given out.
        let (mut guard, mut out) = (CommandGuard::default(), Vec::new());
        guard.push(b"SELECT 1;\n\\! tou", &mut out).unwrap();
        assert!(!out.contains(&b'\\'), "{out:?}");
    }
}
