//! What `schema.sql` and `post.sql` say of the columns and keys of a table.

use crate::dump::postgres::starts::StatementStarts;
use crate::dump::postgres::statement::attachment;
use crate::dump::postgres::words::{QualifiedName, Word, Words};
use crate::dump::table::{Column, ColumnKind, Key, TableSchema};

/// The first table that `schema` makes, with what `post` adds to it.
pub fn table_schema(schema: &[u8], post: &[u8]) -> Option<TableSchema> {
    let mut found: Option<TableSchema> = None;
    each_statement(schema, &mut |text| match &mut found {
        None => found = create_table(text),
        Some(table) => add(table, text),
    });
    let mut table = found?;
    each_statement(post, &mut |text| add(&mut table, text));
    Some(table)
}

/// The names of the sequences whose values identity columns of this table have, and whether a sequence's own file says that it
/// is a table's.
pub fn owns_sequence(schema: &[u8], sequence: &[u8], table: (&[u8], &[u8]), name: (&[u8], &[u8])) -> bool {
    let mut is_owned = false;
    each_statement(schema, &mut |text| {
        let Some(mut words) = Words::new(text).skip_to("GENERATED") else { return };
        let is_named = words.any(|word| word.is("SEQUENCE")) && words.pass("NAME");
        let found = Some(()).filter(|()| is_named).and_then(|()| words.qualified_name());
        is_owned |= found.is_some_and(|it| it.schema.is_none_or(|schema| schema == name.0) && it.name == name.1);
    });
    each_statement(sequence, &mut |text| {
        let Some(mut words) = Words::new(text).skip_to("OWNED").filter(|_| text.starts_with(b"ALTER")) else { return };
        if !words.pass("BY") {
            return;
        }
        let names: Vec<Vec<u8>> = words.filter_map(|word| word.name()).collect();
        is_owned |= match names.as_slice() {
            [schema, of, _] => (&schema[..], &of[..]) == table,
            [of, _] => of[..] == *table.1,
            _ => false,
        };
    });
    is_owned
}

/// The statement that sets the value of a sequence.
pub fn sequence_value(sequence: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    each_statement(sequence, &mut |text| {
        let mut words = Words::new(text);
        if words.pass("SELECT") && words.qualified_name().is_some_and(|it| it.name == b"setval") {
            found = Some(text.to_vec());
        }
    });
    found
}

/// Gives the statements of a text, and of its rows their beginnings.
pub fn each_statement(text: &[u8], take: &mut impl FnMut(&[u8])) {
    let mut starts = StatementStarts::default();
    starts.push(text, &mut |_, statement| take(statement));
    starts.finish(&mut |_, statement| take(statement));
}

fn create_table(text: &[u8]) -> Option<TableSchema> {
    let mut words = Words::new(text);
    if !words.pass("CREATE") {
        return None;
    }
    while !words.next()?.is("TABLE") {}
    words.pass_all(&["IF", "NOT", "EXISTS"]);
    let name = words.qualified_name()?.name;
    let mut schema = TableSchema { name, ..TableSchema::default() };
    words.clone().for_each(|word| push_word(&mut schema.definition, &word));
    // OF a type, or PARTITION OF a table, with whose columns it begins.
    let is_of_another = words.pass("OF") || words.pass_all(&["PARTITION", "OF"]);
    if is_of_another {
        words.qualified_name();
    }
    if words.pass_symbol(b'(') {
        while let Some((item, goes_on)) = next_item(&mut words) {
            note(&mut schema, item);
            if !goes_on {
                break;
            }
        }
    }
    schema.inherits = is_of_another || words.clone().skip_to("INHERITS").is_some();
    schema.is_partitioned = words.skip_to("PARTITION").is_some_and(|mut words| words.pass("BY"));
    Some(schema)
}

/// The words of a statement, the same of those that only differ in what stands between.
pub fn words_of(text: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    Words::new(text).for_each(|word| push_word(&mut found, &word));
    found
}

/// The tables that the one which `schema` makes has its columns from, or that `attachment` makes it a part of.
pub fn parents(schema: &[u8], attached: &[u8]) -> Vec<QualifiedName> {
    let mut found = Vec::new();
    each_statement(schema, &mut |text| {
        let words = Words::new(text);
        if !words.clone().pass("CREATE") {
            return;
        }
        let partition = words.clone().skip_to("PARTITION").filter(|words| words.clone().pass("OF"));
        found.extend(partition.and_then(|mut words| words.pass("OF").then(|| words.qualified_name())?));
        let Some(mut words) = words.skip_to("INHERITS").filter(|words| words.clone().pass_symbol(b'(')) else { return };
        words.pass_symbol(b'(');
        while let Some(name) = words.qualified_name() {
            found.push(name);
            words.pass_symbol(b',');
        }
    });
    each_statement(attached, &mut |text| found.extend(attachment(text).map(|[parent, _]| parent)));
    found
}

/// Adds a word so that different ones stay different.
fn push_word(definition: &mut Vec<u8>, word: &Word) {
    match word {
        Word::Symbol(byte) => definition.push(*byte),
        Word::Plain(word) => definition.extend(word.to_ascii_lowercase()),
        Word::Name(name) => definition.extend_from_slice(name),
        Word::Text(text) => {
            definition.push(b'\'');
            definition.extend_from_slice(text);
        }
    }
    definition.push(0);
}

/// The words of one column or constraint, and whether another one follows. Nothing may stand between the parentheses.
fn next_item<'a>(words: &mut Words<'a>) -> Option<(Words<'a>, bool)> {
    let (start, mut depth) = (words.clone(), 0);
    loop {
        let before = words.clone();
        match words.next()? {
            Word::Symbol(b'(' | b'[') => depth += 1,
            end @ Word::Symbol(b',' | b')') if depth == 0 => {
                return Some((Words::new(start.up_to(&before)), end == Word::Symbol(b',')));
            }
            Word::Symbol(b')' | b']') => depth -= 1,
            _ => {}
        }
    }
}

/// A column or a constraint among the columns.
fn note(schema: &mut TableSchema, mut item: Words) {
    let Some(first) = item.peek() else { return };
    if ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "NOT"].iter().any(|it| first.is(it)) {
        return constraint(schema, item);
    }
    let Some(name) = item.take_name() else { return };
    let (kind, constraints) = (kind_of(item.clone()), item.clone());
    let has = |first: &str, second: &str| constraints.clone().skip_to(first).is_some_and(|mut it| it.pass(second));
    let generated = constraints.clone().skip_to("GENERATED");
    let is_identity = generated.clone().is_some_and(|words| words.skip_to("IDENTITY").is_some());
    let is_primary = has("PRIMARY", "KEY");
    if is_primary || constraints.clone().skip_to("UNIQUE").is_some() {
        schema.keys.push(Key { is_primary, columns: vec![name.clone()] });
    }
    schema.columns.push(Column {
        name,
        kind,
        is_generated: generated.is_some() && !is_identity,
        changes_itself: false,
        is_not_null: has("NOT", "NULL") || is_primary,
        is_invisible: false,
        is_fixed: is_identity && generated.is_some_and(|mut words| words.pass("ALWAYS")),
    });
}

/// `[CONSTRAINT name] PRIMARY KEY (a, b)`, and others.
fn constraint(schema: &mut TableSchema, mut words: Words) {
    if words.pass("CONSTRAINT") {
        words.next();
    }
    if words.pass_all(&["NOT", "NULL"]) {
        let name = words.take_name().unwrap_or_default();
        schema.columns.iter_mut().filter(|column| column.name == name).for_each(|column| column.is_not_null = true);
        return;
    }
    let is_primary = words.pass_all(&["PRIMARY", "KEY"]);
    if is_primary || words.pass("UNIQUE") {
        while words.peek().is_some_and(|word| word != Word::Symbol(b'(')) {
            words.next();
        }
        let columns = key_columns(&mut words);
        schema.keys.push(Key { is_primary, columns });
    } else if words.pass("EXCLUDE") {
        schema.keys.push(Key { is_primary: false, columns: vec![Vec::new()] });
    }
}

/// What stands between the parentheses that come next: names, and nothing for what is no column.
fn key_columns(words: &mut Words) -> Vec<Vec<u8>> {
    let mut columns = Vec::new();
    if words.pass_symbol(b'(') {
        while let Some((mut item, goes_on)) = next_item(words) {
            let name = item.take_name().unwrap_or_default();
            let is_column = !matches!(item.peek(), Some(Word::Symbol(_)));
            columns.push(if is_column { name } else { Vec::new() });
            if !goes_on {
                break;
            }
        }
    }
    columns
}

/// What a further statement says of a table.
fn add(table: &mut TableSchema, text: &[u8]) {
    let mut words = Words::new(text);
    if words.pass_all(&["ALTER", "TABLE"]) {
        words.pass("ONLY");
        words.qualified_name();
        if words.pass("ADD") {
            constraint(table, words);
        } else if words.pass("ALTER") {
            alter_column(table, words);
        }
    } else if words.pass_all(&["CREATE", "UNIQUE", "INDEX"]) {
        unique_index(table, words);
    }
}

/// `ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (...)`, `ALTER COLUMN a SET NOT NULL`.
fn alter_column(table: &mut TableSchema, mut words: Words) {
    words.pass("COLUMN");
    let name = words.take_name();
    let Some(column) = table.columns.iter_mut().find(|column| Some(&column.name) == name.as_ref()) else { return };
    if words.pass_all(&["ADD", "GENERATED", "ALWAYS"]) {
        column.is_fixed = true;
    } else if words.pass_all(&["SET", "NOT", "NULL"]) {
        column.is_not_null = true;
    }
}

/// `name ON public.orders USING btree (a, lower(b)) INCLUDE (c) WHERE d`.
fn unique_index(table: &mut TableSchema, words: Words) {
    let Some(mut words) = words.skip_to("ON") else { return };
    words.pass("ONLY");
    words.qualified_name();
    if words.pass("USING") {
        words.next();
    }
    let mut columns = key_columns(&mut words);
    if words.skip_to("WHERE").is_some() {
        // Whether a row is in it may depend on other columns.
        columns.push(Vec::new());
    }
    table.keys.push(Key { is_primary: false, columns });
}

/// Words that end a type.
const BEHIND_TYPE: [&str; 13] = [
    "COLLATE",
    "DEFAULT",
    "NOT",
    "NULL",
    "GENERATED",
    "CONSTRAINT",
    "CHECK",
    "STORAGE",
    "COMPRESSION",
    "OPTIONS",
    "PRIMARY",
    "UNIQUE",
    "REFERENCES",
];

/// Types of whole numbers.
const WHOLE: [&[u8]; 3] = [b"smallint", b"integer", b"bigint"];

/// Types of whose values none are equal but those that are the same, and whose text depends on the session, or is not all of it.
const EXACT: [&[u8]; 13] = [
    b"boolean",
    b"bytea",
    b"uuid",
    b"date",
    b"timestamp",
    b"time",
    b"money",
    b"character",
    b"bpchar",
    b"char",
    b"tstzrange",
    b"tstzmultirange",
    b"oid",
];

/// How values of a column are compared, of which the words behind its name are given.
fn kind_of(words: Words) -> ColumnKind {
    let is_type = |word: &Word| !BEHIND_TYPE.iter().any(|end| word.is(end));
    let of_type: Vec<Word> = words.take_while(is_type).collect();
    let [Word::Plain(first), rest @ ..] = of_type.as_slice() else {
        // "char", which is another type than char, and what people made.
        return ColumnKind::AsText;
    };
    let first = first.to_ascii_lowercase();
    let has = |word: &str| rest.iter().any(|it| it.is(word));
    let is_array = rest.contains(&Word::Symbol(b'['));
    let is_zoned = first == b"timestamp" && has("zone") && has("with");
    if WHOLE.contains(&first.as_slice()) && rest.is_empty() {
        return ColumnKind::Whole;
    }
    // character varying keeps what is at its end.
    let is_exact = EXACT.contains(&first.as_slice()) && !has("varying");
    if is_exact && (!is_array || is_zoned) { ColumnKind::Exact } else { ColumnKind::AsText }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "\
--
-- Name: orders; Type: TABLE; Schema: sales; Owner: me
--

SET default_tablespace = '';

CREATE TABLE sales.orders (
    id integer NOT NULL,
    \"a \"\"b\" character varying(20) DEFAULT 'it''s, (GENERATED NOT NULL)'::character varying,
    fixed character(3) COLLATE \"C\" NOT NULL,
    total numeric(10,2) GENERATED ALWAYS AS ((id * 2)) STORED,
    tags text[] DEFAULT ARRAY['a'::text, 'b'::text],
    at timestamp(3) with time zone NOT NULL,
    old integer CONSTRAINT x NOT NULL,
    mood public.mood,
    \"date\" date,
    numbers integer[],
    own bigint DEFAULT nextval('sales.s'::regclass) NOT NULL,
    CONSTRAINT \"check, it\" CHECK ((id > 0))
)
PARTITION BY LIST (id);

ALTER TABLE sales.orders OWNER TO me;
ALTER TABLE sales.orders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME sales.\"orders id\"
    START WITH 1
);
";

    const POST: &str = "\
ALTER TABLE ONLY sales.orders ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (fixed, \"a \"\"b\") INCLUDE (at);
ALTER TABLE ONLY sales.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);
ALTER TABLE ONLY sales.orders ADD CONSTRAINT e EXCLUDE USING gist (at WITH &&);
CREATE UNIQUE INDEX i ON ONLY sales.orders USING btree (at DESC, fixed COLLATE \"C\");
CREATE UNIQUE INDEX j ON sales.orders USING btree (lower(fixed), at) WHERE (id > 3);
CREATE INDEX k ON sales.orders USING btree (mood);
ALTER TABLE ONLY sales.orders ADD CONSTRAINT f FOREIGN KEY (old) REFERENCES public.x(id) ON DELETE CASCADE;
";

    #[test]
    fn columns_and_keys_are_found() {
        let table = table_schema(SCHEMA.as_bytes(), POST.as_bytes()).unwrap();
        let names: Vec<_> = table.columns.iter().map(|it| std::str::from_utf8(&it.name).unwrap()).collect();
        let expected = ["id", "a \"b", "fixed", "total", "tags", "at", "old", "mood", "date", "numbers", "own"];
        assert_eq!((table.name.as_slice(), names.as_slice()), (b"orders".as_slice(), expected.as_slice()));
        let those = |is: fn(&Column) -> bool| {
            let names = table.columns.iter().zip(&names).filter(|(column, _)| is(column)).map(|(_, name)| *name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(those(|it| it.is_generated), ["total"]);
        assert_eq!(those(|it| it.is_not_null), ["id", "fixed", "at", "old", "own"]);
        assert_eq!(those(|it| it.is_fixed), ["id"]);
        assert_eq!(those(|it| it.kind == ColumnKind::Whole), ["id", "old", "own"]);
        assert_eq!(those(|it| it.kind == ColumnKind::Exact), ["fixed", "at", "date"]);
        assert!(table.is_partitioned);
        let keys: Vec<_> = table.identifying_keys().map(|key| key.columns.join(&b"/"[..])).collect();
        assert_eq!(keys, [&b"id"[..], b"at/fixed"]);
        let all: Vec<_> = table.keys.iter().map(|key| key.columns.join(&b"/"[..])).collect();
        assert_eq!(all, [&b"fixed/a \"b"[..], b"id", b"", b"at/fixed", b"/at/"]);
    }

    #[test]
    fn parents_of_every_sort_are_found() {
        let schema = "CREATE TABLE s.t (a int DEFAULT f('INHERITS (x)'))\nINHERITS (s.\"A\", u.b);\n\
                      CREATE TABLE s.u PARTITION OF s.whole FOR VALUES IN (1);\n";
        let attached = "ALTER TABLE ONLY s.top ATTACH PARTITION s.t FOR VALUES IN (2);\n";
        let found = parents(schema.as_bytes(), attached.as_bytes());
        let names: Vec<_> = found.iter().map(|it| std::str::from_utf8(&it.name).unwrap()).collect();
        assert_eq!(names, ["A", "b", "whole", "top"]);
        assert_eq!(found[1].schema.as_deref(), Some(&b"u"[..]));
    }

    #[test]
    fn sequences_are_a_tables_own() {
        let of = |sequence: &str, name: (&str, &str)| {
            let name = (name.0.as_bytes(), name.1.as_bytes());
            owns_sequence(SCHEMA.as_bytes(), sequence.as_bytes(), (b"sales", b"orders"), name)
        };
        assert!(of("", ("sales", "orders id")) && !of("", ("sales", "s")) && !of("", ("x", "orders id")));
        let own = "CREATE SEQUENCE sales.s;\nALTER SEQUENCE sales.s OWNED BY sales.orders.own;\n";
        assert!(of(own, ("sales", "s")) && !of(&own.replace("orders", "others"), ("sales", "s")));
        let value = "-- x\nSELECT pg_catalog.setval('sales.s', 5, true);\n";
        assert_eq!(sequence_value(value.as_bytes()).unwrap(), b"SELECT pg_catalog.setval('sales.s', 5, true)");
        assert_eq!(sequence_value(own.as_bytes()), None);
    }
}
