//! Renamer: gives the table of a `restore.sql` another name or schema while it streams by, and new names to what must not have the
//! same name twice in one schema: its indexes and the constraints that make some, sequences that it owns, and statistics.

use std::collections::{HashMap, HashSet};

use crate::codec::DecodeError;
use crate::dump::name::quoted_name;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::words::{QualifiedName, Word, Words};
use crate::dump::renaming::{Edits, NameLimit, dependent_name};

/// Longest name of anything, in bytes.
const NAME_MAX: NameLimit = NameLimit::Bytes(63);

/// Statements that are longer are not read to their ends: no table takes so much.
const STATEMENT_MAX_BYTES: usize = 1 << 20;

/// Words before a name that can be no function's, whatever follows it.
const BEFORE_TABLES: [&str; 6] = ["TABLE", "ONLY", "INTO", "REFERENCES", "COPY", "EXISTS"];

/// Words behind the name of a table in a query that are no other name of it.
const BEHIND_TABLES: [&str; 28] = [
    "SET",
    "WHERE",
    "JOIN",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "NATURAL",
    "INNER",
    "ON",
    "USING",
    "GROUP",
    "ORDER",
    "HAVING",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WINDOW",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "VALUES",
    "SELECT",
    "DEFAULT",
    "OVERRIDING",
    "RETURNING",
    "TABLESAMPLE",
];

/// A table, by its schema and its own name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableInSchema {
    pub schema: Vec<u8>,
    pub table: Vec<u8>,
}

/// Renames one table.
pub type Renamer = Rewriter<Names>;

/// What is to be changed.
pub struct Names {
    old: TableInSchema,
    new: TableInSchema,
    /// What is in the old schema by name, and is the table or belongs to it: what it is called in the new one.
    known: HashMap<Vec<u8>, Vec<u8>>,
    /// Those that constraints have, too.
    constraints: HashSet<Vec<u8>>,
    /// Statistics of the table, in their own schemas.
    statistics: HashSet<QualifiedName>,
    edits: Edits,
    problem: Option<DecodeError>,
}

impl Rewriter<Names> {
    pub fn new(old: TableInSchema, new: TableInSchema) -> Renamer {
        let known = HashMap::from([(old.table.clone(), new.table.clone())]);
        let (constraints, statistics) = (HashSet::new(), HashSet::new());
        Rewriter::with(Names { old, new, known, constraints, statistics, edits: Edits::new(), problem: None })
    }
}

impl Editor for Names {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        self.problem.take().map_or(Ok(&mut self.edits), Err)
    }
}

impl Sink for Names {
    fn statement(&mut self, start: u64, text: &[u8]) {
        let words = Words::new(text);
        let refuse = |reason| Some(DecodeError { reason, at: start as usize });
        if text.len() >= STATEMENT_MAX_BYTES {
            self.problem = refuse("a statement is longer than 1 MiB");
        } else if words.clone().pass_all(&["SET", "search_path"]) {
            self.problem = refuse("the dump is of a pg_dump that named no schemas");
        } else if words.clone().pass_all(&["CREATE", "SCHEMA"]) {
            self.schema(start, words);
        } else {
            let [is_rule, is_policy] = [&["RULE"], &["POLICY"]].map(|kind| creates(words.clone(), kind));
            let (before, function) = ([None, None], None);
            Statement { names: self, start, text, before, function, is_rule, is_policy }.walk(words);
        }
    }

    fn insert(&mut self, start: u64, text: &[u8]) {
        self.statement(start, text);
    }
}

impl Names {
    /// `CREATE SCHEMA IF NOT EXISTS name`, which makes that of the table.
    fn schema(&mut self, start: u64, mut words: Words) {
        words.pass_all(&["CREATE", "SCHEMA"]);
        words.pass_all(&["IF", "NOT", "EXISTS"]);
        let from = words.place();
        if words.take_name().as_ref() == Some(&self.old.schema) {
            self.edits.push((start + from as u64..start + words.end() as u64, quoted_name(&self.new.schema, b'"')));
        }
    }

    /// What something of the old schema is called in the new one, from now on.
    fn depends(&mut self, name: Vec<u8>) -> Vec<u8> {
        if let Some(known) = self.known.get(&name) {
            return known.clone();
        }
        let derived = |name: &[u8]| match self.old.table == self.new.table {
            true => name.to_vec(),
            false => dependent_name(name, &self.old.table, &self.new.table, NAME_MAX),
        };
        // Of `orders_id` and `id`, both would be called `new_id`.
        let numbered = (2u64..).map(|number| derived(&[&name, format!("_{number}").as_bytes()].concat()));
        let mut candidates = std::iter::once(derived(&name)).chain(numbered);
        let new = candidates.find(|new| !self.known.values().any(|taken| taken == new)).unwrap_or_default();
        self.known.insert(name, new.clone());
        new
    }

    fn qualified(&self, name: &[u8]) -> Vec<u8> {
        [&quoted_name(&self.new.schema, b'"')[..], b".", &quoted_name(name, b'"')].concat()
    }

    /// What a name with its schema becomes, if it is one of these.
    fn renamed(&self, name: &QualifiedName) -> Option<Vec<u8>> {
        let is_here = name.schema.as_ref() == Some(&self.old.schema);
        self.known.get(&name.name).filter(|_| is_here).map(|new| self.qualified(new))
    }
}

/// One statement, word by word.
struct Statement<'n> {
    names: &'n mut Names,
    start: u64,
    text: &'n [u8],
    /// The last two words, in capitals, where they are keywords.
    before: [Option<Vec<u8>>; 2],
    /// The last name that a parenthesis followed.
    function: Option<Vec<u8>>,
    /// It holds queries, whose columns have the name of the table in front.
    is_rule: bool,
    is_policy: bool,
}

impl Statement<'_> {
    fn walk(&mut self, mut words: Words) {
        let mut ahead = words.clone();
        while let Some(word) = words.next() {
            match &word {
                Word::Plain(number) if number[0].is_ascii_digit() => {}
                Word::Plain(_) | Word::Name(_) => self.name(&ahead, &mut words),
                Word::Text(text) => self.text(&ahead, &words, text),
                Word::Symbol(b')') => self.function = None,
                Word::Symbol(_) => {}
            }
            let keyword = match word {
                Word::Plain(keyword) => Some(keyword.to_ascii_uppercase()),
                _ => None,
            };
            self.before = [self.before[1].take(), keyword];
            ahead = words.clone();
        }
    }

    fn follows(&self, keyword: &str) -> bool {
        self.before[1].as_deref() == Some(keyword.as_bytes())
    }

    fn follows_both(&self, first: &str, second: &str) -> bool {
        self.before[0].as_deref() == Some(first.as_bytes()) && self.follows(second)
    }

    /// A name that begins at `at`; `words` are behind its first word, and will be behind all of it.
    fn name<'a>(&mut self, at: &Words<'a>, words: &mut Words<'a>) {
        let mut behind = at.clone();
        let Some(name) = behind.qualified_name() else { return };
        let is_called = behind.peek() == Some(Word::Symbol(b'('));
        if is_called {
            self.function = Some(name.name.clone());
        }
        if name.schema.is_none() {
            return self.bare_name(at, words, name.name);
        }
        *words = behind;
        if self.is_policy
            && name.schema.as_ref() == Some(&self.names.old.table)
            && name.schema != Some(self.names.old.schema.clone())
        {
            let column = [quoted_name(&self.names.new.table, b'"'), quoted_name(&name.name, b'"')].join(&b'.');
            return self.replace(at, words, column);
        }
        let makes_it = self.follows_both("CREATE", "SEQUENCE")
            || self.follows_both("UNLOGGED", "SEQUENCE")
            || self.follows_both("SEQUENCE", "NAME");
        if self.follows("STATISTICS") {
            return self.statistics(at, words, name);
        }
        if makes_it && name.schema.as_ref() == Some(&self.names.old.schema) {
            self.names.depends(name.name.clone());
        }
        let is_table = BEFORE_TABLES.iter().any(|keyword| self.follows(keyword));
        if let Some(mut new) = self.names.renamed(&name).filter(|_| is_table || makes_it || !is_called) {
            if self.is_rule && name.name == self.names.old.table && !self.follows("TO") && !has_alias(words.clone()) {
                new.extend([b" AS ", &quoted_name(&name.name, b'"')[..]].concat());
            }
            self.replace(at, words, new);
        }
    }

    /// The name of statistics, which go with their table, whatever schema they are in.
    fn statistics(&mut self, at: &Words, words: &Words, name: QualifiedName) {
        if self.follows_both("CREATE", "STATISTICS") {
            self.names.statistics.insert(name.clone());
            self.names.depends(name.name.clone());
        }
        if let Some(new) = self.names.known.get(&name.name).filter(|_| self.names.statistics.contains(&name)) {
            self.replace(at, words, self.names.qualified(new));
        }
    }

    /// One without a schema: of an index, or of a constraint.
    fn bare_name<'a>(&mut self, at: &Words<'a>, words: &mut Words<'a>, name: Vec<u8>) {
        let mut behind = words.clone();
        let is_index = (self.follows("INDEX") && self.before[0].as_deref() != Some(b"USING")) && behind.pass("ON");
        let makes_index = self.follows("CONSTRAINT")
            && ["PRIMARY", "UNIQUE", "EXCLUDE"].iter().any(|keyword| words.peek().is_some_and(|it| it.is(keyword)));
        if makes_index {
            self.names.constraints.insert(name.clone());
        }
        if is_index || makes_index {
            let new = self.names.depends(name);
            return self.replace(at, words, quoted_name(&new, b'"'));
        }
        let is_known = self.follows_both("CLUSTER", "ON") || self.follows_both("USING", "INDEX");
        let is_constraint = self.follows("CONSTRAINT") && self.names.constraints.contains(&name);
        if let Some(new) = self.names.known.get(&name).filter(|_| is_known || is_constraint) {
            self.replace(at, words, quoted_name(new, b'"'));
        }
    }

    /// A string that stands for a table or a sequence.
    fn text<'a>(&mut self, at: &Words<'a>, behind: &Words<'a>, text: &[u8]) {
        let is_of_sequence =
            self.function.as_ref().is_some_and(|name| matches!(&name[..], b"nextval" | b"setval" | b"currval"));
        let mut named = Words::new(text);
        let name = named.qualified_name().filter(|_| named.next().is_none());
        if !is_of_sequence && !becomes_regclass(behind.clone()) {
            return;
        }
        if let Some(new) = name.and_then(|name| self.names.renamed(&name)) {
            self.replace(at, behind, literal(&new));
        }
    }

    fn replace(&mut self, from: &Words, to: &Words, new: Vec<u8>) {
        let (from, to) = (from.place(), to.end());
        // What had no quotes may touch some, and a quote that is doubled ends nothing.
        let blank = |is_needed: bool| if is_needed { &b" "[..] } else { b"" };
        let front = blank(self.text[..from].last() == new.first());
        let back = blank(self.text.get(to) == new.last());
        let range = self.start + from as u64..self.start + to as u64;
        self.names.edits.push((range, [front, &new, back].concat()));
    }
}

/// Whether the statement makes something of this kind.
fn creates(mut words: Words, kind: &[&str]) -> bool {
    words.pass("CREATE") && {
        words.pass_all(&["OR", "REPLACE"]);
        words.pass_all(kind)
    }
}

/// Whether the name of a table in a query has another one behind it, by which its columns are called.
fn has_alias(mut words: Words) -> bool {
    match words.next() {
        Some(Word::Name(_)) => true,
        Some(word @ Word::Plain(_)) => !BEHIND_TABLES.iter().any(|keyword| word.is(keyword)),
        _ => false,
    }
}

/// Whether `::regclass` follows.
fn becomes_regclass(mut words: Words) -> bool {
    let is_cast = words.pass_symbol(b':') && words.pass_symbol(b':');
    is_cast && words.qualified_name().is_some_and(|name| name.name == b"regclass")
}

/// A string that says this, however backslashes are read.
fn literal(text: &[u8]) -> Vec<u8> {
    let doubled = quoted_name(text, b'\'');
    if !text.contains(&b'\\') {
        return doubled;
    }
    let escaped = doubled.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == b'\\' { 2 } else { 1 }));
    std::iter::once(b'E').chain(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;
    use proptest::prelude::*;

    fn renamed(sql: &[u8], cuts: usize) -> Result<Vec<u8>, DecodeError> {
        let table = |schema: &str, table: &str| TableInSchema { schema: schema.into(), table: table.into() };
        let mut renamer = Box::new(Renamer::new(table("Sh.op", "orders"), table("new", "or\"d 2")));
        let mut out = Vec::new();
        sql.chunks(cuts).try_for_each(|piece| renamer.push(piece, &mut out))?;
        renamer.finish(&mut out)?;
        Ok(out)
    }

    const BEFORE: &str = r#"-- Name: orders; Schema: "Sh.op"
CREATE SCHEMA IF NOT EXISTS "Sh.op";
CREATE TABLE "Sh.op".orders (id integer, "orders" text DEFAULT '"Sh.op".orders'::text, t oid DEFAULT ('"Sh.op".orders'::regclass)::oid,
CONSTRAINT c CHECK (("Sh.op".orders(id) > 0)), CONSTRAINT u UNIQUE (id));
CREATE SEQUENCE "Sh.op".orders_id_seq AS integer; ALTER SEQUENCE "Sh.op".orders_id_seq OWNED BY "Sh.op".orders.id;
ALTER TABLE "Sh.op".orders ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME "Sh.op"."N" START WITH 1);
ALTER TABLE ONLY "Sh.op".orders ALTER COLUMN id SET DEFAULT nextval('"Sh.op".orders_id_seq'::regclass);
ALTER TABLE ONLY "Sh.op".orders ALTER COLUMN id SET DEFAULT nextval('"Sh.op".shared_seq'::regclass);
COPY "Sh.op".orders (id) FROM stdin;
"Sh.op".orders	ALTER TABLE "Sh.op".orders
\.
INSERT INTO "Sh.op".orders VALUES ('INSERT INTO "Sh.op".orders', nextval('"Sh.op".orders_id_seq'));
SELECT pg_catalog.setval('"Sh.op".orders_id_seq', 3, true);
ALTER TABLE ONLY "Sh.op".orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY "Sh.op".orders ADD CONSTRAINT orders_self FOREIGN KEY (id) REFERENCES "Sh.op".orders(id);
CREATE UNIQUE INDEX "I.x" ON "Sh.op".orders USING btree (lower("orders")); ALTER TABLE "Sh.op".orders CLUSTER ON "I.x";
COMMENT ON INDEX "Sh.op"."I.x" IS '"Sh.op"."I.x"'; COMMENT ON CONSTRAINT orders_pkey ON "Sh.op".orders IS 'orders_pkey';
COMMENT ON CONSTRAINT orders_self ON "Sh.op".orders IS $$"Sh.op".orders$$; COMMENT ON COLUMN "Sh.op".orders."orders" IS 'o';
CREATE STATISTICS "Sh.op".s ON a, b FROM "Sh.op".orders; ALTER TABLE "Sh.op".orders OWNER TO orders;
CREATE TRIGGER orders BEFORE INSERT ON "Sh.op".orders FOR EACH ROW EXECUTE FUNCTION "Sh.op".orders('"Sh.op".orders');
GRANT SELECT(id) ON TABLE "Sh.op".orders TO orders; GRANT USAGE ON SEQUENCE "Sh.op".orders_id_seq TO PUBLIC;
ALTER TABLE ONLY "Sh.op".orders REPLICA IDENTITY USING INDEX orders_pkey; SELECT * FROM other.orders;
CREATE RULE r AS ON DELETE TO "Sh.op".orders DO INSTEAD UPDATE "Sh.op".orders SET id = 1 FROM "Sh.op".orders o WHERE (orders.id = old.id);
CREATE POLICY p ON "Sh.op".orders USING ((id IN (SELECT o.id FROM "Sh.op".orders o WHERE (o.n = orders.n))));
"#;

    const AFTER: &str = r#"-- Name: orders; Schema: "Sh.op"
CREATE SCHEMA IF NOT EXISTS "new";
CREATE TABLE "new"."or""d 2" (id integer, "orders" text DEFAULT '"Sh.op".orders'::text, t oid DEFAULT ('"new"."or""d 2"'::regclass)::oid,
CONSTRAINT c CHECK (("Sh.op".orders(id) > 0)), CONSTRAINT "or""d 2_u" UNIQUE (id));
CREATE SEQUENCE "new"."or""d 2_id_seq" AS integer; ALTER SEQUENCE "new"."or""d 2_id_seq" OWNED BY "new"."or""d 2".id;
ALTER TABLE "new"."or""d 2" ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME "new"."or""d 2_N" START WITH 1);
ALTER TABLE ONLY "new"."or""d 2" ALTER COLUMN id SET DEFAULT nextval('"new"."or""d 2_id_seq"'::regclass);
ALTER TABLE ONLY "new"."or""d 2" ALTER COLUMN id SET DEFAULT nextval('"Sh.op".shared_seq'::regclass);
COPY "new"."or""d 2" (id) FROM stdin;
"Sh.op".orders	ALTER TABLE "Sh.op".orders
\.
INSERT INTO "new"."or""d 2" VALUES ('INSERT INTO "Sh.op".orders', nextval('"Sh.op".orders_id_seq'));
SELECT pg_catalog.setval('"new"."or""d 2_id_seq"', 3, true);
ALTER TABLE ONLY "new"."or""d 2" ADD CONSTRAINT "or""d 2_pkey" PRIMARY KEY (id);
ALTER TABLE ONLY "new"."or""d 2" ADD CONSTRAINT orders_self FOREIGN KEY (id) REFERENCES "new"."or""d 2"(id);
CREATE UNIQUE INDEX "or""d 2_I.x" ON "new"."or""d 2" USING btree (lower("orders")); ALTER TABLE "new"."or""d 2" CLUSTER ON "or""d 2_I.x";
COMMENT ON INDEX "new"."or""d 2_I.x" IS '"Sh.op"."I.x"'; COMMENT ON CONSTRAINT "or""d 2_pkey" ON "new"."or""d 2" IS 'orders_pkey';
COMMENT ON CONSTRAINT orders_self ON "new"."or""d 2" IS $$"Sh.op".orders$$; COMMENT ON COLUMN "new"."or""d 2"."orders" IS 'o';
CREATE STATISTICS "new"."or""d 2_s" ON a, b FROM "new"."or""d 2"; ALTER TABLE "new"."or""d 2" OWNER TO orders;
CREATE TRIGGER orders BEFORE INSERT ON "new"."or""d 2" FOR EACH ROW EXECUTE FUNCTION "Sh.op".orders('"Sh.op".orders');
GRANT SELECT(id) ON TABLE "new"."or""d 2" TO orders; GRANT USAGE ON SEQUENCE "new"."or""d 2_id_seq" TO PUBLIC;
ALTER TABLE ONLY "new"."or""d 2" REPLICA IDENTITY USING INDEX "or""d 2_pkey"; SELECT * FROM other.orders;
CREATE RULE r AS ON DELETE TO "new"."or""d 2" DO INSTEAD UPDATE "new"."or""d 2" AS "orders" SET id = 1 FROM "new"."or""d 2" o WHERE (orders.id = old.id);
CREATE POLICY p ON "new"."or""d 2" USING ((id IN (SELECT o.id FROM "new"."or""d 2" o WHERE (o.n = "or""d 2"."n"))));
"#;

    #[test]
    fn only_the_names_of_the_table_and_of_what_belongs_to_it_change() {
        for cuts in [1, 7, 64, 1000, 1 << 20] {
            let after = String::from_utf8(renamed(BEFORE.as_bytes(), cuts).unwrap()).unwrap();
            assert_eq!(after, AFTER, "in pieces of {cuts}");
        }
    }

    #[test]
    fn names_stay_different() {
        let sql = b"CREATE INDEX orders_id ON a.b USING btree (a); CREATE INDEX id ON a.b USING btree (b);";
        let after = String::from_utf8(renamed(sql, 100).unwrap()).unwrap();
        assert!(
            after.contains("INDEX \"or\"\"d 2_id\" ON") && after.contains("INDEX \"or\"\"d 2_id_2\" ON"),
            "{after}"
        );
    }

    #[test]
    fn names_stay_apart_from_quotes_that_touch_them() {
        let before = br#"DELETE FROM "Sh.op".orders"x"; SELECT setval($$"Sh.op".orders$$'x'); CREATE INDEX i"y" ON a;"#;
        let after = r#"DELETE FROM "new"."or""d 2" "x"; SELECT setval('"new"."or""d 2"' 'x'); CREATE INDEX i"y" ON a;"#;
        assert_eq!(String::from_utf8(renamed(before, 100).unwrap()).unwrap(), after);
        let before = br#"CREATE STATISTICS"Sh.op".s ON a, "b"FROM "Sh.op"."orders";"#;
        let after = r#"CREATE STATISTICS"new"."or""d 2_s" ON a, "b"FROM "new"."or""d 2";"#;
        assert_eq!(String::from_utf8(renamed(before, 100).unwrap()).unwrap(), after);
    }

    #[test]
    fn what_cannot_be_renamed_is_refused() {
        assert!(renamed(b"SET search_path = \"Sh.op\", pg_catalog;\nCREATE TABLE orders (id integer);", 9).is_err());
        let long =
            [b"CREATE RULE r AS ON DELETE TO x DO SELECT '".to_vec(), vec![b'x'; 1 << 20], b"';".to_vec()].concat();
        assert!(renamed(&long, 1000).is_err());
    }

    proptest! {
        #[test]
        fn what_names_no_such_table_passes_as_it_is(sql in "[a-zA-Z0-9\"'$;().: \\\\\n-]{0,400}", cuts in 1..50usize) {
            prop_assume!(!sql.contains("search_path"));
            if let Ok(after) = renamed(sql.as_bytes(), cuts) {
                let names_something = ["INDEX", "CONSTRAINT"].iter().any(|word| sql.to_uppercase().contains(word));
                prop_assert!(names_something || after == sql.as_bytes());
            }
        }
    }
}
