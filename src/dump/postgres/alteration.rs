//! Alteration: a statement that adds something to a table that is there, or sets something of it, and the one that takes that
//! away again.

use crate::dump::name::quoted_name;
use crate::dump::postgres::needs::owner;
use crate::dump::postgres::rename::TableInSchema;
use crate::dump::postgres::settings::name_of_setting;
use crate::dump::postgres::table::{each_statement, words_of};
use crate::dump::postgres::words::{QualifiedName, Word, Words};

/// A statement about a table, behind the one that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alteration {
    /// Without its semicolon.
    pub text: Vec<u8>,
    /// The same of statements that only differ in what stands between words.
    pub words: Vec<u8>,
    pub kind: AlterationKind,
    /// What takes it away, without a semicolon; empty where nothing has to. `None` where nothing is known to.
    pub undo: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterationKind {
    /// It refers to this table.
    ForeignKey(TableInSchema),
    /// Foreign keys may refer to what it makes.
    Key,
    /// A policy or a rule, which may need any other table.
    Query,
    /// It may be run again, and changes nothing then. It waits until all tables are there where it may be about something that does.
    Repeatable {
        waits: bool,
    },
    /// What follows is done as another role.
    Session,
    Other,
}

impl AlterationKind {
    /// Whether it has to wait until all tables are there, with their rows and keys.
    pub fn waits(&self) -> bool {
        matches!(self, Self::ForeignKey(_) | Self::Query | Self::Repeatable { waits: true })
    }
}

/// The statements that alter the table `own`, in a text that may make it, too.
pub fn alterations(text: &[u8], own: &TableInSchema) -> Vec<Alteration> {
    let mut found = Vec::new();
    each_statement(text, &mut |statement| found.extend(alteration(statement, own)));
    found
}

/// What a statement alters; `None` where it makes the table, has rows of it, or only sets up the session.
pub fn alteration(text: &[u8], own: &TableInSchema) -> Option<Alteration> {
    let mut words = Words::new(text);
    let setting = name_of_setting(text);
    if setting.as_deref() == Some(b"session authorization") {
        let kind = AlterationKind::Session;
        return Some(Alteration { text: text.to_vec(), words: words_of(text), kind, undo: None });
    }
    if setting.is_some() || makes_table(words.clone()) || ["COPY", "INSERT"].iter().any(|verb| words.clone().pass(verb))
    {
        return None;
    }
    let own = Own { table: own, quoted: quoted(&own.schema, &own.table) };
    let Word::Plain(verb) = words.next()? else { return None };
    let found = match verb.to_ascii_uppercase().as_slice() {
        b"CREATE" => own.created(words),
        b"ALTER" => own.altered(words),
        b"COMMENT" | b"SECURITY" => told(text),
        b"GRANT" | b"REVOKE" => granted(text),
        _ => None,
    };
    let (kind, undo) = found.unwrap_or((AlterationKind::Other, None));
    Some(Alteration { text: text.to_vec(), words: words_of(text), kind, undo })
}

/// What of a table is said before the word: `UNLOGGED`, `FOREIGN`, or nothing.
pub fn manner_of_table(schema: &[u8]) -> Vec<u8> {
    let mut manner = Vec::new();
    each_statement(schema, &mut |text| {
        let mut words = Words::new(text);
        if makes_table(words.clone()) && words.pass("CREATE") && !words.pass("TABLE") {
            manner = words.take_name().unwrap_or_default().to_ascii_uppercase();
        }
    });
    manner
}

fn makes_table(mut words: Words) -> bool {
    words.pass_all(&["CREATE", "TABLE"])
        || words.pass_all(&["CREATE", "UNLOGGED", "TABLE"])
        || words.pass_all(&["CREATE", "FOREIGN", "TABLE"])
}

fn quoted(schema: &[u8], name: &[u8]) -> Vec<u8> {
    [&quoted_name(schema, b'"')[..], b".", &quoted_name(name, b'"')].concat()
}

type Found = Option<(AlterationKind, Option<Vec<u8>>)>;

const REPEATABLE: AlterationKind = AlterationKind::Repeatable { waits: false };

/// The table that statements are about.
struct Own<'o> {
    table: &'o TableInSchema,
    quoted: Vec<u8>,
}

impl Own<'_> {
    fn drop_on(&self, what: &str, name: &[u8]) -> Option<Vec<u8>> {
        let parts: [&[u8]; 6] = [b"DROP ", what.as_bytes(), b" ", &quoted_name(name, b'"'), b" ON ", &self.quoted];
        Some(parts.concat())
    }

    fn drop_in_schema(&self, what: &str, name: QualifiedName) -> Option<Vec<u8>> {
        let name = quoted(&name.schema.unwrap_or_else(|| self.table.schema.clone()), &name.name);
        Some([b"DROP ", what.as_bytes(), b" ", &name].concat())
    }

    fn alter(&self, how: &[u8]) -> Option<Vec<u8>> {
        Some([b"ALTER TABLE ", &self.quoted[..], b" ", how].concat())
    }

    fn created(&self, mut words: Words) -> Found {
        words.pass_all(&["OR", "REPLACE"]);
        if words.pass("TRIGGER") || words.pass_all(&["CONSTRAINT", "TRIGGER"]) {
            return Some((AlterationKind::Other, self.drop_on("TRIGGER", &words.take_name()?)));
        }
        for what in ["POLICY", "RULE"] {
            if words.pass(what) {
                return Some((AlterationKind::Query, self.drop_on(what, &words.take_name()?)));
            }
        }
        if words.pass("STATISTICS") {
            return Some((AlterationKind::Other, self.drop_in_schema("STATISTICS", words.qualified_name()?)));
        }
        let is_unique = words.pass("UNIQUE");
        if !words.pass("INDEX") {
            return None;
        }
        let kind = if is_unique { AlterationKind::Key } else { AlterationKind::Other };
        Some((kind, self.drop_in_schema("INDEX", words.qualified_name()?)))
    }

    fn altered(&self, mut words: Words) -> Found {
        if owner(words.clone()).is_some() {
            return Some((REPEATABLE, Some(Vec::new())));
        }
        if !words.pass("TABLE") {
            // What an index or statistics of it were set to before cannot be told.
            return Some((REPEATABLE, None));
        }
        words.pass("ONLY");
        words.qualified_name()?;
        if words.pass_all(&["ADD", "CONSTRAINT"]) {
            return self.constrained(words);
        }
        let set = |undo: &[u8]| Some((REPEATABLE, self.alter(undo)));
        if words.pass_all(&["ENABLE", "ROW"]) {
            return set(b"DISABLE ROW LEVEL SECURITY");
        }
        if words.pass_all(&["FORCE", "ROW"]) {
            return set(b"NO FORCE ROW LEVEL SECURITY");
        }
        if words.pass("CLUSTER") {
            return set(b"SET WITHOUT CLUSTER");
        }
        if words.pass_all(&["REPLICA", "IDENTITY"]) {
            return set(b"REPLICA IDENTITY DEFAULT");
        }
        if words.pass("ENABLE") || words.pass("DISABLE") {
            return self.switched(words);
        }
        None
    }

    /// `ADD CONSTRAINT` stands before it.
    fn constrained(&self, mut words: Words) -> Found {
        let undo = self.alter(&[b"DROP CONSTRAINT ", &quoted_name(&words.take_name()?, b'"')[..]].concat());
        if words.pass_all(&["FOREIGN", "KEY"]) {
            let QualifiedName { schema, name: table } = words.skip_to("REFERENCES")?.qualified_name()?;
            let schema = schema.unwrap_or_else(|| self.table.schema.clone());
            return Some((AlterationKind::ForeignKey(TableInSchema { schema, table }), undo));
        }
        let is_key = words.pass("PRIMARY") || words.pass("UNIQUE") || words.pass("EXCLUDE");
        Some((if is_key { AlterationKind::Key } else { AlterationKind::Other }, undo))
    }

    /// Triggers and rules that fire or do not: `ENABLE` or `DISABLE` stands before it.
    fn switched(&self, mut words: Words) -> Found {
        if !words.pass("ALWAYS") {
            words.pass("REPLICA");
        }
        let is_rule = words.pass("RULE");
        if !is_rule && !words.pass("TRIGGER") {
            return None;
        }
        let how: &[u8] = if is_rule { b"ENABLE RULE " } else { b"ENABLE TRIGGER " };
        let undo = self.alter(&[how, &quoted_name(&words.take_name()?, b'"')].concat());
        Some((AlterationKind::Repeatable { waits: is_rule }, undo))
    }
}

/// `COMMENT ON ... IS ...`, `SECURITY LABEL ... IS ...`.
fn told(text: &[u8]) -> Found {
    let start = Words::new(text);
    let behind = start.clone().skip_to("IS")?;
    let undo = [start.up_to(&behind), b" NULL"].concat();
    let mut about = start.skip_to("ON")?;
    let waits = ["CONSTRAINT", "POLICY", "RULE"].iter().any(|what| about.pass(what));
    Some((AlterationKind::Repeatable { waits }, Some(undo)))
}

/// `GRANT ... ON ... TO ...` and `REVOKE ... ON ... FROM ...`, of which each undoes the other.
fn granted(text: &[u8]) -> Found {
    let mut start = Words::new(text);
    let is_grant = start.pass("GRANT");
    let (link, verb, other): (_, &[u8], &[u8]) =
        if is_grant { ("TO", b"REVOKE ", b" FROM ") } else { ("FROM", b"GRANT ", b" TO ") };
    if !is_grant && (!start.pass("REVOKE") || start.clone().pass_all(&["GRANT", "OPTION"])) {
        return None;
    }
    let (mut words, mut depth) = (start.clone(), 0);
    let what = loop {
        let before = words.clone();
        match words.next()? {
            Word::Symbol(b'(') => depth += 1,
            Word::Symbol(b')') => depth -= 1,
            word if depth == 0 && word.is(link) => break start.up_to(&before).trim_ascii(),
            _ => {}
        }
    };
    let roles = words.clone();
    let mut end = words.clone();
    while end.peek().is_some_and(|word| !word.is("WITH") && !word.is("GRANTED")) {
        end.next();
    }
    Some((REPEATABLE, Some([verb, what, other, roles.up_to(&end).trim_ascii()].concat())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> TableInSchema {
        TableInSchema { schema: b"s".to_vec(), table: b"T".to_vec() }
    }

    #[test]
    fn what_is_added_is_taken_away_again() {
        let undone = |text: &str| {
            let undo = alteration(text.as_bytes(), &own()).unwrap().undo;
            undo.map(|undo| String::from_utf8(undo).unwrap())
        };
        for (text, undo) in [
            (
                "ALTER TABLE ONLY s.\"T\"\n    ADD CONSTRAINT \"a b\" PRIMARY KEY (x)",
                "ALTER TABLE \"s\".\"T\" DROP CONSTRAINT \"a b\"",
            ),
            ("CREATE UNIQUE INDEX i ON s.\"T\" USING btree (x)", "DROP INDEX \"s\".\"i\""),
            (
                "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON s.\"T\" EXECUTE FUNCTION f()",
                "DROP TRIGGER \"t\" ON \"s\".\"T\"",
            ),
            ("CREATE POLICY p ON s.\"T\" USING (true)", "DROP POLICY \"p\" ON \"s\".\"T\""),
            ("CREATE RULE r AS ON DELETE TO s.\"T\" DO NOTHING", "DROP RULE \"r\" ON \"s\".\"T\""),
            ("CREATE STATISTICS u.x ON a, b FROM s.\"T\"", "DROP STATISTICS \"u\".\"x\""),
            ("COMMENT ON COLUMN s.\"T\".x IS 'TO IS'", "COMMENT ON COLUMN s.\"T\".x IS NULL"),
            ("SECURITY LABEL FOR a ON TABLE s.\"T\" IS 'b'", "SECURITY LABEL FOR a ON TABLE s.\"T\" IS NULL"),
            (
                "GRANT SELECT(\"to\"),UPDATE(x) ON TABLE s.\"T\" TO a,b WITH GRANT OPTION",
                "REVOKE SELECT(\"to\"),UPDATE(x) ON TABLE s.\"T\" FROM a,b",
            ),
            ("REVOKE ALL ON TABLE s.\"T\" FROM a", "GRANT ALL ON TABLE s.\"T\" TO a"),
            ("ALTER TABLE s.\"T\" ENABLE ROW LEVEL SECURITY", "ALTER TABLE \"s\".\"T\" DISABLE ROW LEVEL SECURITY"),
            (
                "ALTER TABLE ONLY s.\"T\" FORCE ROW LEVEL SECURITY",
                "ALTER TABLE \"s\".\"T\" NO FORCE ROW LEVEL SECURITY",
            ),
            ("ALTER TABLE s.\"T\" CLUSTER ON i", "ALTER TABLE \"s\".\"T\" SET WITHOUT CLUSTER"),
            ("ALTER TABLE ONLY s.\"T\" REPLICA IDENTITY FULL", "ALTER TABLE \"s\".\"T\" REPLICA IDENTITY DEFAULT"),
            ("ALTER TABLE s.\"T\" DISABLE TRIGGER t", "ALTER TABLE \"s\".\"T\" ENABLE TRIGGER \"t\""),
            ("ALTER TABLE s.\"T\" ENABLE ALWAYS RULE r", "ALTER TABLE \"s\".\"T\" ENABLE RULE \"r\""),
            ("ALTER TABLE s.\"T\" OWNER TO me", ""),
            ("ALTER STATISTICS u.x OWNER TO me", ""),
        ] {
            assert_eq!(undone(text).as_deref(), Some(undo), "{text}");
        }
        for text in [
            "ALTER TABLE ONLY s.\"T\" ALTER COLUMN x SET STATISTICS 5",
            "ALTER TABLE s.\"T\" ALTER COLUMN x ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME s.q)",
            "REVOKE GRANT OPTION FOR ALL ON TABLE s.\"T\" FROM a",
            "SET SESSION AUTHORIZATION a",
            "ALTER INDEX s.i ALTER COLUMN 1 SET STATISTICS 7",
        ] {
            assert_eq!(undone(text), None, "{text}");
        }
    }

    #[test]
    fn what_makes_the_table_or_its_rows_alters_nothing() {
        let text = "SET default_tablespace = '';\nCREATE UNLOGGED TABLE s.\"T\" (x int);\nCOPY s.\"T\" (x) FROM stdin;\n1\n\\.\n\
                    ALTER TABLE ONLY s.\"T\" ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES u.\"O\"(y);\n\
                    COMMENT ON CONSTRAINT f ON s.\"T\" IS 'x';\nCREATE INDEX i ON s.\"T\" (x);\n";
        let found = alterations(text.as_bytes(), &own());
        let other = TableInSchema { schema: b"u".to_vec(), table: b"O".to_vec() };
        assert_eq!(found[0].kind, AlterationKind::ForeignKey(other));
        let waits: Vec<bool> = found.iter().map(|it| it.kind.waits()).collect();
        assert_eq!(waits, [true, true, false]);
        assert_eq!(manner_of_table(text.as_bytes()), b"UNLOGGED");
        assert_eq!(manner_of_table(b"SET a = b;\nCREATE TABLE a (x int);\n"), b"");
        let spaced = alteration(b"CREATE  INDEX i\nON s.\"T\" (x)", &own()).unwrap();
        assert_eq!(spaced.words, found[2].words);
    }
}
