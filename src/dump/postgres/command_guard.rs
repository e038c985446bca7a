//! CommandGuard: lets a dump stream by, but for commands to `psql` that no dump has: they would run programs and read files where it
//! is loaded. Who named a table at the server that was dumped can have put a line into it (CVE-2025-8714). A `psql` that has
//! `\\restrict` refuses those within statements too, as long as it was not told the key; it is given one that the dump cannot know.

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::renaming::Edits;

/// Gives out what it takes, up to a command that no dump has.
pub type CommandGuard = Rewriter<Commands>;

/// What was seen of commands.
#[derive(Default)]
pub struct Commands {
    /// What lets `psql` take commands again, where it takes none.
    key: Option<String>,
    problem: Option<DecodeError>,
    edits: Edits,
    /// Bytes that came.
    taken: u64,
}

impl Rewriter<Commands> {
    /// For a `psql` that takes no commands, as it was told [`restricted`] with this key first, or for one that knows nothing of that.
    pub fn new(key: Option<&str>) -> CommandGuard {
        Rewriter::with(Commands { key: key.map(str::to_string), ..Commands::default() })
    }

    /// The same where nobody knows how the session reads strings that it begins with.
    pub fn in_any_session(self) -> CommandGuard {
        self.with_lexer(Lexer::in_any_session())
    }
}

/// The line that lets `psql` take no command but the one to end that, which needs this key.
pub fn restricted(key: &str) -> String {
    format!("\\restrict {key}\n")
}

impl Editor for Commands {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        self.problem.take().map_or(Ok(&mut self.edits), Err)
    }

    /// A `psql` that takes no commands runs none, wherever it sees one.
    fn heeds_doubts(&self) -> bool {
        self.key.is_none()
    }

    /// A line that holds a NUL goes on in the next one for `psql`: what looks like a comment or a string may be none.
    fn look(&mut self, piece: &[u8]) {
        if let Some(place) = memchr::memchr(0, piece) {
            let (reason, at) = ("it holds a NUL, which no dump does", self.taken as usize + place);
            self.problem.get_or_insert(DecodeError { reason, at });
        }
        self.taken += piece.len() as u64;
    }
}

impl Sink for Commands {
    fn command(&mut self, start: u64, text: &[u8]) {
        let range = start..start + text.len() as u64;
        match (Known::of(text), &self.key) {
            (None, _) => {
                let reason = "it holds a command to psql that no dump has, such as \\! or \\i";
                self.problem.get_or_insert(DecodeError { reason, at: start as usize });
            }
            (Some(_), None) => {}
            // The key that holds is another.
            (Some(Known::Restriction), Some(_)) => self.edits.push((range, Vec::new())),
            (Some(Known::Session), Some(key)) => {
                let (before, again) = (format!("\\unrestrict {key}\n"), restricted(key));
                let wrapped = [before.as_bytes(), text, b"\n", again.trim_end().as_bytes()].concat();
                self.edits.push((range, wrapped));
            }
        }
    }
}

/// Commands that dumps have.
enum Known {
    /// To go to another database, or to tell the encoding of its names.
    Session,
    /// To forbid commands, or no longer.
    Restriction,
}

impl Known {
    /// Commands may follow one another in a line, and `psql` runs what stands in backticks: nothing may follow the one argument.
    fn of(text: &[u8]) -> Option<Known> {
        let space = text.iter().position(|&byte| byte == b' ')?;
        let (command, argument) = (&text[..space], &text[space + 1..]);
        match command {
            b"\\connect" => {
                // A database with an unusual name.
                let is_known = match argument.strip_prefix(b"-reuse-previous=on ") {
                    Some(whole) => is_name(whole) && names_only_a_database(whole),
                    None => is_name(argument) && !names_a_server(argument),
                };
                is_known.then_some(Known::Session)
            }
            b"\\encoding" => is_word(argument).then_some(Known::Session),
            b"\\restrict" | b"\\unrestrict" => is_word(argument).then_some(Known::Restriction),
            _ => None,
        }
    }
}

/// As in `shop`, or in quotes, of which those in it are doubled.
fn is_name(text: &[u8]) -> bool {
    let quoted = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    match quoted {
        Some(inside) => inside.chunk_by(|a, b| a == b).all(|same| same[0] != b'"' || same.len() % 2 == 0),
        None => is_word(text),
    }
}

/// As in `"dbname='it\'s'"`: behind it could stand the address of another server.
fn names_only_a_database(text: &[u8]) -> bool {
    let Some(mut rest) = text.strip_prefix(b"\"dbname='") else { return false };
    while let [first, behind @ ..] = rest {
        rest = match first {
            b'\'' => return behind == b"\"",
            b'\\' => behind.get(1..).unwrap_or_default(),
            _ => behind,
        };
    }
    false
}

/// Where `psql` would take it for more than a name.
fn names_a_server(text: &[u8]) -> bool {
    text.contains(&b'=') || text.windows(3).any(|three| three == b"://")
}

fn is_word(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_.-$".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::postgres::{Ownership, OwnershipCutter};
    use crate::dump::renaming::Rewrite;

    fn guarded(dump: &str, key: Option<&str>, size: usize) -> Result<String, DecodeError> {
        let (mut guard, mut out) = (Box::new(CommandGuard::new(key)), Vec::new());
        for piece in dump.as_bytes().chunks(size) {
            guard.push(piece, &mut out)?;
        }
        guard.finish(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    const HOSTILE: [&str; 18] = [
        "\\! touch x",
        "\\i /etc/passwd",
        "\\copy t from x",
        "\\connectx shop",
        "\\connect",
        "\\o |sh",
        "\\",
        "\\connect shop \\! touch x",
        "\\connect `touch x`",
        "\\connect \"shop\" \"x\"",
        "\\connect shop other elsewhere.example",
        "\\connect -reuse-previous=on \"host='elsewhere'\"",
        "\\connect -reuse-previous=on \"dbname='a' host=elsewhere\"",
        "\\connect -reuse-previous=on \"dbname='a\\\\' host=elsewhere user='\"",
        "\\connect \"host=elsewhere\"",
        "\\connect \"postgres://elsewhere/shop\"",
        "\\encoding UTF8 \\! touch x",
        "\\restrict a\\!",
    ];

    #[test]
    fn only_commands_that_dumps_have_pass() {
        let dump = "\\restrict abc\n\\encoding SQL_ASCII\n-- \\! x\n\\connect shop\nSET a = '\n\\! in a string';\nCOPY t (a) FROM stdin;\n\\! in a row\n\\.\n\
                    CREATE FUNCTION f() AS $$\n\\! in a body\n$$;\n\\unrestrict abc\n";
        for size in [1, 5, dump.len()] {
            assert_eq!(guarded(dump, None, size).unwrap(), dump);
            for command in HOSTILE {
                let hostile = format!("SELECT 1;\n-- Name: t\n{command}\nSELECT 2;\n");
                assert!(guarded(&hostile, None, size).unwrap_err().reason.contains("no dump has"), "{command}");
            }
        }
        for known in ["\\connect \"my \"\"db\"", "\\connect -reuse-previous=on \"dbname='my \\\\ db'\""] {
            assert_eq!(guarded(&format!("{known}\n"), None, 7).unwrap(), format!("{known}\n"));
        }
        for hidden in [
            "-- a\r\\! touch x",
            "SELECT 1 -- a\r;\n\\! touch x",
            "COPY t FROM stdin; \\! touch x\n\\.",
            "COPY (SELECT 1 FROM stdin) TO stdout;\n\\! touch x",
        ] {
            assert!(guarded(&format!("{hidden}\n"), None, 7).unwrap_err().reason.contains("no dump has"), "{hidden}");
        }
        assert!(guarded("-- a\0\n'\n\\! touch x\n'", None, 7).unwrap_err().reason.contains("NUL"));
        for hidden in ["SELECT E'a'\n '\\'';\n\\! touch x\n--'", "SELECT e'a' -- b\n '\\'';\n\\! touch x\n--'"] {
            let reason = guarded(&format!("{hidden}\n"), None, 7).unwrap_err().reason;
            assert!(reason.contains("goes on in another line"), "{reason}");
        }
        for hidden in ["SELECT $E'\\' || ';\n\\! touch x\n--'", "SELECT 1E'\\' || ';\n\\! touch x\n--'"] {
            assert!(guarded(&format!("{hidden}\n"), None, 7).unwrap_err().reason.contains("follows an E"), "{hidden}");
        }
        let function =
            "CREATE FUNCTION f() RETURNS int AS $$ $$BEGIN ;\nCOPY t FROM stdin;\n\\! touch x\n\\.\n;\nEND;\n";
        assert_eq!(
            guarded(function, None, 7).unwrap(),
            function,
            "only a key keeps psql from commands within statements"
        );
        let plain = "SELECT E'a'\n, 'b'\n'd' - E'e' - 1, E'f';\n-- g\nSELECT 'a';\n";
        assert_eq!(guarded(plain, None, 3).unwrap(), plain);
        let tag = format!("${}$", "a".repeat(100));
        for size in [7, 1000] {
            let reason = guarded(&format!("SELECT {tag} ' {tag};\n\\! touch x\n--'\n"), None, size).unwrap_err().reason;
            assert!(reason.contains("tag between dollars"), "{reason}");
        }
        // Nothing of it was given out.
        let (mut guard, mut out) = (CommandGuard::new(None), Vec::new());
        let long = format!("SELECT 1;\n\\! tou{}", "c".repeat(200));
        guard.push(long.as_bytes(), &mut out).unwrap();
        assert!(!out.contains(&b'\\'), "{out:?}");
    }

    #[test]
    fn only_a_command_that_dumps_have_is_let_through_a_restriction() {
        let long = format!("\\connect -reuse-previous=on \"dbname='{}'\"", "é".repeat(60));
        for command in ["\\connect shop", &long] {
            let dump = format!("\\restrict abc\nSELECT 1;\n{command}\nSELECT 2 \\g |sh\n;\n\\unrestrict abc\n");
            let wanted = format!("\nSELECT 1;\n\\unrestrict K\n{command}\n\\restrict K\nSELECT 2 \\g |sh\n;\n\n");
            for size in [1, 5, 100, dump.len()] {
                assert_eq!(guarded(&dump, Some("K"), size).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn a_session_within_a_dump_is_in_doubt_until_it_is_told() {
        let (told, text) = ("SET standard_conforming_strings = on;\n", "COMMENT ON TABLE a IS 'C:\\';\n");
        let passes = |dump: &str, mut guard: CommandGuard| {
            let out = &mut Vec::new();
            guard.push(dump.as_bytes(), out).and_then(|()| guard.end(out)).is_ok()
        };
        for (dump, is_sure) in [(text.to_string(), false), (format!("{told}{text}"), true)] {
            assert!(passes(&dump, CommandGuard::new(None)));
            assert_eq!(passes(&dump, CommandGuard::new(None).in_any_session()), is_sure, "{dump}");
            assert!(passes(&dump, CommandGuard::new(Some("K")).in_any_session()));
        }
    }

    #[test]
    fn what_is_in_doubt_matters_to_those_alone_who_look_for_commands() {
        let dump = "DO $$BEGIN END$$;\nCOMMENT ON TABLE a IS 'C:\\';\n";
        assert!(guarded(dump, None, 7).unwrap_err().reason.contains("standard_conforming_strings"));
        assert_eq!(guarded(dump, Some("K"), 7).unwrap(), dump);
        let (mut cutter, mut out) = (Box::new(OwnershipCutter::new(Ownership::default())), Vec::new());
        cutter.push(dump.as_bytes(), &mut out).and_then(|()| cutter.finish(&mut out)).unwrap();
        assert_eq!(out, dump.as_bytes());
    }
}
