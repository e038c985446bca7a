//! Making: what loads one table becomes part of a transaction that makes several. What it sets holds in the transaction only, and what
//! needs other tables is left out, to be run behind all of them. So is what makes its schema.

use crate::codec::DecodeError;
use crate::dump::letters::Letters;
use crate::dump::name::quoted_name;
use crate::dump::postgres::alteration::alteration;
use crate::dump::postgres::ends::Boundary;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::rename::TableInSchema;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::row::quoted;
use crate::dump::postgres::settings::name_of_setting;
use crate::dump::postgres::strings::Strings;
use crate::dump::postgres::words::{QualifiedName, Words};
use crate::dump::renaming::Edits;

/// Gives out what it takes as part of a transaction.
pub type TableMaker = Rewriter<Making>;

/// What was seen of it.
pub struct Making {
    own: TableInSchema,
    /// Those of the transaction, and those that are set.
    outside: Letters,
    strings: Strings,
    /// What is made gets privileges by itself, which the dump does not know.
    has_default_privileges: bool,
    acts_for_others: bool,
    /// Comments before the first statement tell how the file is loaded by itself.
    has_begun: bool,
    problem: Option<DecodeError>,
    edits: Edits,
}

impl Rewriter<Making> {
    /// For the `restore.sql` of this table, and a transaction in these letters.
    pub fn of_table(own: TableInSchema, has_default_privileges: bool, outside: Letters) -> TableMaker {
        let edits = Edits::new();
        let [acts_for_others, has_begun] = [false; 2];
        let strings = Strings { letters: outside, ..Strings::default() };
        let making =
            Making { own, outside, strings, has_default_privileges, acts_for_others, has_begun, problem: None, edits };
        Rewriter::with(making).with_lexer(Lexer::before(Boundary::Statement, strings))
    }

    /// What sets back, for what follows in the transaction, who acts, and how strings are read.
    pub fn resets(&self) -> Vec<u8> {
        let role: &[u8] = if self.editor().acts_for_others { b"RESET SESSION AUTHORIZATION;\n" } else { b"" };
        let plain: &[u8] =
            if self.lexer().is_standard() { b"" } else { b"SET LOCAL standard_conforming_strings = on;\n" };
        [role, plain].concat()
    }
}

impl Editor for Making {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        self.problem.take().map_or(Ok(&mut self.edits), Err)
    }

    fn command_within(&mut self, at: u64) {
        let reason = "it holds a command to psql in a statement";
        self.problem = Some(DecodeError { reason, at: at as usize });
    }

    fn heeds_doubts(&self) -> bool {
        true
    }
}

impl Making {
    /// `SET a = b`, `SELECT set_config('a', 'b', false)`: until the end of the transaction.
    fn setting(&mut self, start: u64, text: &[u8], name: &[u8]) {
        self.acts_for_others |= name == b"session authorization";
        let mut words = Words::new(text);
        if words.pass("SET") {
            let at = start + words.end() as u64;
            return self.edits.push((at..at, b" LOCAL".to_vec()));
        }
        let mut range = None;
        while let Some(word) = words.next() {
            if word.is("false") {
                let end = start + words.end() as u64;
                range = Some(end - "false".len() as u64..end);
            }
        }
        self.edits.extend(range.map(|range| (range, b"true".to_vec())));
    }

    /// Takes away what a table or a sequence got by itself when it was made.
    fn privileges(&mut self, start: u64, text: &[u8]) {
        let Some(name) = made(text).filter(|_| self.has_default_privileges) else { return };
        let name = match name.schema {
            Some(schema) => [&quoted_name(&schema, b'"')[..], b".", &quoted_name(&name.name, b'"')].concat(),
            None => quoted_name(&name.name, b'"'),
        };
        let code = [
            b"DECLARE made pg_catalog.regclass := ",
            &quoted(&name, self.strings.letters)[..],
            b"; role text; BEGIN FOR role IN SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' \
              ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END \
              FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) g WHERE c.oid = made AND g.grantee <> c.relowner \
              LOOP EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', made, role); END LOOP; END",
        ];
        let at = start + text.len() as u64;
        self.edits.push((at..at, [b";\nDO ", &quoted(&code.concat(), self.strings.letters)[..]].concat()));
    }
}

impl Sink for Making {
    fn comment(&mut self, start: u64, text: &[u8]) {
        if !self.has_begun {
            self.edits.push((start..start + text.len() as u64, Vec::new()));
        }
    }

    fn statement(&mut self, start: u64, text: &[u8]) {
        self.has_begun = true;
        self.strings.follow(text);
        if self.outside.shared_with(self.strings.letters).is_none() {
            let reason = "it is in another character set than what stands around it";
            self.problem.get_or_insert(DecodeError { reason, at: start as usize });
        }
        if let Some(name) = name_of_setting(text) {
            return self.setting(start, text, &name);
        }
        self.privileges(start, text);
        // Its schema is there, and need not be one that the present role may make.
        let is_schema = Words::new(text).pass_all(&["CREATE", "SCHEMA", "IF"]);
        if is_schema || alteration(text, &self.own).is_some_and(|it| it.kind.waits()) {
            self.edits.push((start..start + text.len() as u64, Vec::new()));
        }
    }
}

/// Whether `psql` would find something to do in a statement in these letters, or may read it otherwise than we do: of a line with a NUL
/// it takes only what stands before that.
pub fn holds_command(text: &[u8], letters: Letters) -> bool {
    struct Nobody;
    impl Sink for Nobody {}
    if text.contains(&0) {
        return true;
    }
    let mut lexer = Lexer::before(Boundary::Statement, Strings { letters, ..Strings::default() });
    lexer.push(text, &mut Nobody);
    lexer.finish(&mut Nobody);
    lexer.command_within().is_some() || lexer.doubt().is_some()
}

/// The table or the sequence that a statement makes.
fn made(text: &[u8]) -> Option<QualifiedName> {
    let mut words = Words::new(text);
    if !words.pass("CREATE") {
        return None;
    }
    words.pass("UNLOGGED");
    (words.pass("TABLE") || words.pass("SEQUENCE")).then(|| words.qualified_name())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    fn made_of(text: &str, has_default_privileges: bool, size: usize) -> Result<String, DecodeError> {
        let own = TableInSchema { schema: b"a".to_vec(), table: b"t".to_vec() };
        let (mut maker, mut out) =
            (Box::new(TableMaker::of_table(own, has_default_privileges, Letters::Plain)), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            maker.push(piece, &mut out)?;
        }
        maker.end(&mut out)?;
        assert_eq!(maker.resets().starts_with(b"RESET SESSION"), text.contains("AUTHORIZATION"));
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn settings_hold_in_the_transaction_and_what_needs_others_waits() {
        let text = "-- Loads one table\nSET a = false;\n-- Name: t\nSELECT pg_catalog.set_config('search_path', 'false', false);\nSET SESSION AUTHORIZATION b;\n\
                    CREATE SCHEMA IF NOT EXISTS a;\nCREATE TABLE a.t (x int);\nCOPY a.t (x) FROM stdin;\nSET a = b;\n\\.\nRESET SESSION AUTHORIZATION;\n\
                    CREATE POLICY p ON a.t USING (true);\nALTER TABLE ONLY a.t ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES a.u(x);\n\
                    COMMENT ON TABLE a.t IS 'false';\n";
        let expected = "\nSET LOCAL a = false;\n-- Name: t\nSELECT pg_catalog.set_config('search_path', 'false', true);\n\
                        SET LOCAL SESSION AUTHORIZATION b;\n;\nCREATE TABLE a.t (x int);\nCOPY a.t (x) FROM stdin;\nSET a = b;\n\\.\n\
                        RESET SESSION AUTHORIZATION;\n;\n;\nCOMMENT ON TABLE a.t IS 'false';\n";
        for size in [1, 9, text.len()] {
            assert_eq!(made_of(text, false, size).unwrap(), expected);
        }
        let with_privileges = made_of("CREATE TABLE a.\"T\" (x int);\nSELECT 1;\n", true, 99).unwrap();
        let start =
            "CREATE TABLE a.\"T\" (x int);\nDO 'DECLARE made pg_catalog.regclass := ''\"a\".\"T\"''; role text;";
        assert!(
            with_privileges.starts_with(start) && with_privileges.ends_with("END';\nSELECT 1;\n"),
            "{with_privileges}"
        );
    }

    #[test]
    fn what_comes_first_may_be_a_long_comment() {
        let text = format!("-- It needs {}\nSELECT 1;\n", "function,".repeat(50));
        for size in [1, 97, 150, text.len()] {
            assert_eq!(made_of(&text, false, size).unwrap(), "\nSELECT 1;\n");
        }
    }

    #[test]
    fn no_statement_holds_a_command() {
        assert!(made_of("CREATE TABLE a.t (x text DEFAULT 'a\\b', y text DEFAULT E'\\\\!');\n", false, 7).is_ok());
        let escapes = [
            "SET standard_conforming_strings = off",
            "SET LOCAL \"standard_conforming_strings\" TO 'of'",
            "SELECT pg_catalog.set_config('Standard_Conforming_Strings', 'f', false)",
        ];
        let hidden = escapes.map(|sets| format!("{sets};\nCREATE TABLE a.t (x text DEFAULT '\\'' \\! touch x\n');\n"));
        let plain =
            ["CREATE TABLE a.t (x int) \\! touch x\n;\n", "CREATE TABLE a.t (x int \\! touch x\n"].map(String::from);
        for text in plain.iter().chain(&hidden) {
            let error = made_of(text, false, 7).unwrap_err();
            let is_told = ["command to psql", "not sure"].iter().any(|reason| error.reason.contains(reason));
            assert!(is_told, "{text}: {}", error.reason);
        }
        // Outside of a transaction a SET LOCAL holds for nothing, and only who knows that knows how the rest is read.
        let local = "SET standard_conforming_strings = off;\nSET LOCAL standard_conforming_strings = on;\n";
        let error = made_of(&format!("{local}COMMENT ON x IS '\\' \\! touch x --';\n"), false, 7).unwrap_err();
        assert!(error.reason.contains("not sure"), "{}", error.reason);
        let on =
            "SET standard_conforming_strings = on;\nCREATE TABLE a.t (x text DEFAULT '\\', y text DEFAULT ' \\! x');\n";
        assert!(made_of(&format!("{};\n{on}", escapes[0]), false, 7).is_ok());
        let error =
            made_of("CREATE TABLE a.t (x text DEFAULT E'a'\n'\\'' \\! touch x --'\n);\n", false, 7).unwrap_err();
        assert!(error.reason.contains("goes on in another line"), "{}", error.reason);
        let holds = |text: &[u8]| holds_command(text, Letters::Plain);
        assert!(holds(b"COMMENT ON x IS E'a'\n'\\'' \\! touch x --'") && !holds(b"COMMENT ON x IS '\\'"));
        assert!(holds(b"COMMENT ON x IS 'a\0' \\! touch x'"));
        let of_sjis = b"COMMENT ON x IS E'\x95\\' \\! touch x --'";
        assert!(holds_command(of_sjis, Letters::Sjis) && !holds(of_sjis));
    }

    #[test]
    fn what_follows_is_read_as_before() {
        let resets = |text: &str| {
            let own = TableInSchema { schema: b"a".to_vec(), table: b"t".to_vec() };
            let (mut maker, mut out) = (TableMaker::of_table(own, false, Letters::Plain), Vec::new());
            maker.push(text.as_bytes(), &mut out).unwrap();
            maker.end(&mut out).unwrap();
            String::from_utf8(maker.resets()).unwrap()
        };
        let on = "SET LOCAL standard_conforming_strings = on;\n";
        for text in
            ["SET LOCAL standard_conforming_strings = off;\n", "DISCARD ALL;\n", "RESET standard_conforming_strings;\n"]
        {
            assert_eq!(resets(text), on, "{text}");
        }
        assert_eq!(resets("SET LOCAL standard_conforming_strings = off;\nSET standard_conforming_strings = on;\n"), "");
        let error = made_of("SET client_encoding = 'SJIS';\nSELECT 1;\n", false, 7).unwrap_err();
        assert!(error.reason.contains("another character set"), "{}", error.reason);
    }
}
