use super::ends::LOOKAHEAD_BYTES;
use super::*;

use proptest::prelude::*;

/// What is said of a dump that comes in pieces of these lengths, over and over.
fn read(dump: &[u8], lengths: &[usize]) -> (Vec<Event>, DumpFacts) {
    let mut events = Vec::new();
    let mut reader = PostgresDump::default();
    let mut rest = dump;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min((*length).max(1)));
        reader.push(piece, &mut |event| events.push(event));
        rest = behind;
    }
    let facts = reader.finish(&mut |event| events.push(event));
    (events, facts)
}

fn parts(events: &[Event]) -> Vec<&Part> {
    events.iter().filter_map(|event| if let Event::Part(part) = event { Some(part) } else { None }).collect()
}

/// Kind and name of each part, and the text of it.
fn told(dump: &str) -> Vec<(PartKind, String, &str)> {
    let (events, _) = read(dump.as_bytes(), &[dump.len()]);
    let parts = parts(&events);
    let ends = parts.iter().skip(1).map(|part| part.start as usize).chain([dump.len()]);
    let text = |part: &Part, end: usize| &dump[part.start as usize..end];
    let name = |part: &Part| String::from_utf8_lossy(&part.object.name).into_owned();
    parts.iter().zip(ends).map(|(part, end)| (part.object.kind, name(part), text(part, end))).collect()
}

fn names(dump: &str) -> Vec<(PartKind, String)> {
    told(dump).into_iter().map(|(kind, name, _)| (kind, name)).collect()
}

fn end_of(dump: &str) -> DumpEnd {
    read(dump.as_bytes(), &[dump.len()]).1.end
}

/// Pieces of dumps, each of which changes how what follows is to be read, or looks as if it did.
const FRAGMENTS: [&str; 40] = [
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.18\n",
    "SET standard_conforming_strings = on;\nSELECT pg_catalog.set_config('search_path', '', false);\n",
    "SET standard_conforming_strings = off;\n",
    "SET default_tablespace = '';\n\n",
    "--\n-- Name: a; Type: TABLE; Schema: public; Owner: me\n--\n\n",
    "CREATE TABLE public.a (\n    x integer REFERENCES public.p (y) DEFAULT 'it''s'::text\n);\n\n\n",
    "ALTER TABLE public.a OWNER TO me;\n\n",
    "--\n-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: me\n--\n\n",
    "COPY public.a (x) FROM stdin;\n1\n\\\\.\n\\.x\n\\N\n\\.\n\n\n",
    "COPY public.a FROM stdin;\r\n1\r\n\\.\r\n",
    "COPY public.a FROM stdin;\n",
    "\\.\n",
    "INSERT INTO public.a VALUES (1, 'x\\');\n",
    "INSERT INTO public.\"values\" (\"values\", v) OVERRIDING SYSTEM VALUE VALUES\n\t(1, '''('),\n\t(2, E'\\'');\n",
    "INSERT INTO public.a DEFAULT VALUES;\n",
    "CREATE FUNCTION public.f(a integer DEFAULT 1, b text) RETURNS integer\n    LANGUAGE plpgsql\n    AS $_$ BEGIN; $$ ' $x$ END $_$;\n",
    "CREATE FUNCTION public.g() RETURNS integer\n    BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND;\n",
    "CREATE RULE r AS ON DELETE TO public.a DO (SELECT 1;\nSELECT ';');\n",
    "SELECT pg_catalog.setval('public.\"a_''id\"', 42, true);\n",
    "ALTER SEQUENCE public.s OWNED BY public.a.x;\n",
    "CREATE SEQUENCE public.s\n    START WITH 1;\n",
    "CREATE VIEW public.v AS SELECT U&'\\' AS \"it's\";\n",
    "COMMENT ON COLUMN public.v.x IS 'E''\\';\n",
    "SELECT E'it\\'s', e'\\\\', name'\\', $1, a$b$;\n",
    "-- it's a comment\n",
    "/* a ' /* nested */ comment */\n",
    "/* a comment that is longer than what the reader looks ahead, with ' and ; and * / in it, and /* one */ to its last ** star **/\n",
    "SELECT /* the same in a statement: longer than what the reader looks ahead, with ' and ; and * / in it, /* too */ ****/ 1;\n",
    "\\connect other\n",
    "\\connect -reuse-previous=on \"dbname='a b'\"\n",
    "\\unrestrict abc\n",
    "--\n-- PostgreSQL database dump complete\n--\n\n",
    "DROP TABLE IF EXISTS public.a;\n",
    "BEGIN;\n\nSELECT pg_catalog.lo_open('1', 131072);\nCOMMIT;\n",
    "-",
    "/",
    "'",
    "\"",
    "$x$",
    "\\",
];

proptest! {
    /// However a dump is cut into pieces, and wherever it ends, its parts are the same, and they are the dump.
    #[test]
    fn parts_do_not_depend_on_pieces_and_leave_nothing_out(
        chosen in prop::collection::vec(0..FRAGMENTS.len(), 0..40),
        lengths in prop::collection::vec(1usize..120, 1..8),
        cut in 0.0..1.0f64,
    ) {
        let whole: String = chosen.iter().map(|&at| FRAGMENTS[at]).collect();
        let dump = &whole.as_bytes()[..(whole.len() as f64 * cut) as usize];
        let (events, facts) = read(dump, &[dump.len()]);
        prop_assert_eq!(&read(dump, &lengths), &(events.clone(), facts.clone()));
        prop_assert_eq!(&read(dump, &[1]), &(events.clone(), facts));
        let starts: Vec<u64> = parts(&events).iter().map(|part| part.start).collect();
        prop_assert_eq!(starts.first(), Some(&0));
        let is_ascending = starts.is_sorted_by(|one, next| one < next);
        prop_assert!(is_ascending && starts.iter().skip(1).all(|&start| start < dump.len() as u64), "{:?}", starts);
    }

    #[test]
    fn any_bytes_are_read(dump in prop::collection::vec(any::<u8>(), 0..2000), length in 1usize..300) {
        prop_assert_eq!(read(&dump, &[dump.len()]), read(&dump, &[length]));
    }
}

/// Statements, and what they are about.
const BELONGINGS: &[(&str, PartKind, &str)] = {
    use PartKind::*;
    &[
        ("CREATE SCHEMA s", Schema, ""),
        ("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public", Extension, "uuid-ossp"),
        ("CREATE TYPE public.pair AS (a integer)", Type, "pair"),
        ("COMMENT ON COLUMN public.pair.a IS 'x'", Type, "pair"),
        ("COMMENT ON CONSTRAINT c ON DOMAIN public.d IS 'x'", Type, "d"),
        (
            "CREATE FUNCTION public.f(a integer DEFAULT (1 + 2), \"DEFAULT\" text DEFAULT ', '::text) RETURNS TABLE(x text)\n AS ''",
            Function,
            "f(a integer, \"DEFAULT\" text)",
        ),
        ("ALTER FUNCTION public.f(a integer, b text) OWNER TO me", Function, "f(a integer, b text)"),
        ("GRANT ALL ON PROCEDURE public.p(INOUT a integer) TO x", Function, "p(INOUT a integer)"),
        ("CREATE AGGREGATE public.total(*) (SFUNC = f)", Function, "total(*)"),
        ("CREATE OPERATOR public.=/= (FUNCTION = f)", Operator, "=/="),
        ("COMMENT ON OPERATOR public.=/= (integer, integer) IS 'x'", Operator, "=/="),
        ("CREATE OPERATOR CLASS public.c FOR TYPE integer USING btree", OperatorClass, "c"),
        ("CREATE CAST (public.a AS double precision) WITHOUT FUNCTION", Cast, "(public.a AS double precision)"),
        (
            "CREATE TRANSFORM FOR hstore LANGUAGE plperl (FROM SQL WITH FUNCTION f())",
            Transform,
            "FOR hstore LANGUAGE plperl",
        ),
        ("CREATE OR REPLACE TRUSTED PROCEDURAL LANGUAGE plperl HANDLER h", Language, "plperl"),
        ("CREATE DEFAULT CONVERSION public.c FOR 'A' TO 'B' FROM f", Conversion, "c"),
        ("ALTER TEXT SEARCH CONFIGURATION public.c ADD MAPPING FOR word WITH simple", TextSearchConfiguration, "c"),
        ("CREATE USER MAPPING FOR \"SERVER\" SERVER s OPTIONS (password 'x')", Server, "s"),
        ("GRANT USAGE ON FOREIGN SERVER s TO x", Server, "s"),
        ("ALTER EVENT TRIGGER e DISABLE", EventTrigger, "e"),
        ("ALTER PUBLICATION p ADD TABLE ONLY public.t", Publication, "p"),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b", DefaultPrivileges, ""),
        ("CREATE SEQUENCE public.s START WITH 1", Sequence, "s"),
        ("ALTER TABLE public.s OWNER TO me", Sequence, "s"),
        ("SELECT pg_catalog.setval('public.\"S''s\"', 1, true)", Sequence, "S's"),
        ("CREATE UNLOGGED TABLE public.t (a integer)", Table, "t"),
        ("CREATE FOREIGN TABLE public.far (a integer) SERVER s", Table, "far"),
        ("ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT nextval('x'::regclass)", Table, "t"),
        ("ALTER TABLE ONLY public.t REPLICA IDENTITY FULL", Table, "t"),
        ("ALTER TABLE public.t DISABLE TRIGGER ALL", Data, "t"),
        ("ALTER TABLE ONLY public.parent ATTACH PARTITION public.t FOR VALUES IN (1)", Attachment, "t"),
        ("ALTER INDEX public.i ATTACH PARTITION public.j", IndexAttachments, ""),
        ("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (a)", Post, "t"),
        ("CREATE UNIQUE INDEX \"ON public.x\" ON ONLY public.t USING btree (a)", Post, "t"),
        ("CREATE STATISTICS public.st ON a, (EXTRACT(year FROM b)) FROM public.u", Post, "u"),
        (
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE OF a ON public.t FOR EACH ROW EXECUTE FUNCTION public.f()",
            Post,
            "t",
        ),
        ("CREATE RULE r AS\n    ON DELETE TO public.u DO NOTHING", Post, "u"),
        ("CREATE POLICY p ON public.t USING (true)", Post, "t"),
        ("GRANT SELECT(a),UPDATE(b) ON TABLE public.u TO x", Post, "u"),
        ("COMMENT ON TRIGGER \"a ON b\" ON public.t IS 'x'", Post, "t"),
        ("CREATE MATERIALIZED VIEW public.v AS SELECT 1 WITH NO DATA", View, "v"),
        ("GRANT SELECT ON TABLE public.v TO x", View, "v"),
        ("CREATE INDEX i ON public.v USING btree (a)", View, "v"),
        ("GRANT a TO b GRANTED BY c", Grants, ""),
        ("ALTER ROLE a SET work_mem TO '1MB'", Roles, ""),
        ("ALTER ROLE a IN DATABASE shop SET work_mem TO '1MB'", Database, ""),
        ("CREATE TABLESPACE t OWNER me LOCATION '/x'", Tablespaces, ""),
        ("GRANT CONNECT ON DATABASE shop TO a", Database, ""),
        ("SELECT pg_catalog.lowrite(0, '\\x00')", LargeObjects, ""),
        (
            "SELECT * FROM pg_catalog.pg_restore_relation_stats(\n\t'version', '180006'::integer,\n\t'schemaname', 'public')",
            Statistics,
            "",
        ),
        ("DROP TABLE public.t", Drops, ""),
    ]
};

#[test]
fn statements_go_to_what_they_are_about() {
    let dump: String = BELONGINGS.iter().flat_map(|(text, ..)| [text, ";\n"]).collect();
    let found = names(&dump);
    let mut expected: Vec<_> = BELONGINGS.iter().map(|(_, kind, name)| (*kind, name.to_string())).collect();
    // Neighbours that are about the same are one part.
    expected.dedup();
    assert_eq!(found, expected);
}

#[test]
fn what_looks_like_a_part_in_a_string_or_a_name_is_none() {
    let dump = "CREATE TABLE public.\"a\n--\n-- Name: b; Type: TABLE; Schema: c; Owner: d\n--\n\" (x text DEFAULT E'\\';');\n\
                COPY public.t FROM stdin;\n--\n-- PostgreSQL database dump complete\n--\n\\\\.\n\\.\n\
                CREATE FUNCTION public.f() RETURNS void AS $_$;\nCREATE TABLE public.no (a integer);\n$_$;\n\
                CREATE OR REPLACE PROCEDURE public.p()\n    BEGIN ATOMIC\n INSERT INTO public.no (a) VALUES (1);\n\
                 SELECT CASE WHEN true THEN 1 END;\n INSERT INTO public.no (a) VALUES (2);\nEND;\n\
                CREATE RULE r AS ON DELETE TO public.t DO (INSERT INTO public.no VALUES (1);\n INSERT INTO public.no VALUES (1);\n);\n";
    let comment = "/* /* it's */ CREATE TABLE public.no (a integer);\n*/\n";
    assert_eq!(names(&[comment, "CREATE TABLE public.yes (", comment, ");\n"].concat()).len(), 2);
    let expected = [
        (PartKind::Table, "a\n--\n-- Name: b; Type: TABLE; Schema: c; Owner: d\n--\n"),
        (PartKind::Data, "t"),
        (PartKind::Function, "f()"),
        (PartKind::Function, "p()"),
        (PartKind::Post, "t"),
    ];
    assert_eq!(names(dump), expected.map(|(kind, name)| (kind, name.to_string())));
}

#[test]
fn strings_between_dollars_may_touch() {
    let starts = |dump: &str| {
        let (mut statements, mut found) = (StatementStarts::default(), Vec::new());
        dump.as_bytes().chunks(1).for_each(|piece| statements.push(piece, &mut |start, _| found.push(start)));
        statements.finish(&mut |start, _| found.push(start));
        found
    };
    assert_eq!(starts("SELECT f($a$;$a$$b$;$b$); SELECT 2;"), [0, 26]);
    assert_eq!(starts("SELECT f($$;$$$$;$$$_$;$_$); SELECT 2;"), [0, 29]);
    // In a name they begin none.
    assert_eq!(starts("SELECT a$$; SELECT b$c$; SELECT 3;"), [0, 12, 25]);
}

#[test]
fn no_part_is_empty_where_a_dump_begins_with_an_object() {
    for dump in ["CREATE TABLE public.a ();\n", "--\n-- Name: a; Type: TABLE; Schema: public; Owner: me\n--\n\nCREATE"]
    {
        let starts: Vec<u64> = parts(&read(dump.as_bytes(), &[7]).0).iter().map(|part| part.start).collect();
        assert!(starts.is_sorted_by(|a, b| a < b), "{starts:?}");
    }
}

#[test]
fn titles_begin_parts_and_settings_belong_to_what_follows() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n\n\
                --\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: me\n--\n\nCREATE FUNCTION public.f() RETURNS void AS '';\n\n\n\
                SET default_tablespace = '';\n\n\
                --\n-- TOC entry 1\n-- Name: a; Type: TABLE; Schema: public; Owner: me\n--\n\nCREATE TABLE public.a ();\n\n\n\
                --\n-- Name: g; Type: PROPERTY GRAPH; Schema: public; Owner: me\n--\n\nCREATE PROPERTY GRAPH public.g;\n\n\n\
                --\n-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: me\n--\n\n\n\n\
                --\n-- PostgreSQL database dump complete\n--\n\n";
    let found = told(dump);
    let kinds: Vec<PartKind> = found.iter().map(|(kind, ..)| *kind).collect();
    use PartKind::*;
    assert_eq!(kinds, [Header, Function, Table, Other, Data, Footer]);
    assert!(found[2].2.starts_with("SET default_tablespace = '';\n\n--\n-- TOC entry 1\n-- Name: a"), "{:?}", found[2]);
    assert!(found[4].2.starts_with("--\n-- Data for Name: a;") && found[4].1 == "a", "{:?}", found[4]);
    assert!(found[5].2.starts_with("--\n-- PostgreSQL database dump complete\n"), "{:?}", found[5]);
}

#[test]
fn what_makes_room_is_a_part_of_its_own() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\nALTER TABLE ONLY public.a DROP CONSTRAINT a_pkey;\n\
                ALTER TABLE public.a ALTER COLUMN x DROP DEFAULT;\nDROP TABLE public.a;\n\
                CREATE OR REPLACE VIEW public.v AS\nSELECT\n    NULL::integer AS x;\nDROP VIEW public.w;\n\
                SELECT pg_catalog.lo_unlink('16390');\n-- *not* dropping schema\n";
    let table = "CREATE TABLE public.a (x integer);\n";
    let kinds = |dump: &str| told(dump).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
    use PartKind::*;
    assert_eq!(kinds(dump), [Header, Drops]);
    assert_eq!(kinds(&[dump, table].concat()), [Header, Drops, Table]);
    let title = "--\n-- Name: v; Type: VIEW; Schema: public; Owner: me\n--\n\nCREATE VIEW public.v AS SELECT 1;\n";
    assert_eq!(kinds(&[dump, title].concat()), [Header, Drops, View]);
}

#[test]
fn old_dumps_name_a_schema_once() {
    let dump = "SET search_path = sales, pg_catalog;\nCREATE TABLE orders (a integer);\nCREATE SEQUENCE s;\n\
                ALTER SEQUENCE s OWNED BY orders.a;\nCOMMENT ON COLUMN orders.a IS 'x';\n";
    let (events, _) = read(dump.as_bytes(), &[9]);
    let found: Vec<_> = parts(&events).iter().map(|part| part.object.clone()).collect();
    let in_sales = |kind, name: &str| Object { kind, database: None, schema: b"sales".to_vec(), name: name.into() };
    let (table, sequence) = (in_sales(PartKind::Table, "orders"), in_sales(PartKind::Sequence, "s"));
    assert_eq!(found[1..], [table.clone(), sequence.clone(), in_sales(PartKind::Post, "orders")]);
    assert!(events.contains(&Event::Owns { table, sequence }));
}

#[test]
fn the_end_shows_whether_a_dump_is_whole() {
    let begin = "--\n-- PostgreSQL database dump\n--\n\n";
    let end = "--\n-- PostgreSQL database dump complete\n--\n\n";
    let cluster =
        ["--\n-- PostgreSQL database cluster dump\n--\n\n", "--\n-- PostgreSQL database cluster dump complete\n--\n\n"];
    let (restrict, unrestrict) = ("\\restrict abc\n", "\\unrestrict abc\n");
    let table = "CREATE TABLE public.a (x integer);\n";
    assert_eq!(end_of(&[begin, table, end].concat()), DumpEnd::Trailer);
    assert_eq!(end_of(&[begin, restrict, table, end, unrestrict, "\n"].concat()), DumpEnd::Trailer);
    assert_eq!(end_of(&[begin, restrict, table, end].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[begin, restrict, table, end, "\\unrestrict ab"].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[begin, table].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[begin, end, table].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[cluster[0], begin, table, end].concat()), DumpEnd::NoTrailer);
    assert_eq!(end_of(&[cluster[0], begin, table, end, begin, end, cluster[1]].concat()), DumpEnd::Trailer);
    // Another one begins before the end of one.
    for cut in [
        &[begin, table, begin, table, end][..],
        &[begin, restrict, table, begin, "\\restrict b\n", end, "\\unrestrict b\n"],
        &[begin, restrict, table, end, begin, "\\restrict b\n", end, "\\unrestrict b\n"],
        &[cluster[0], begin, begin, end, cluster[1]],
        &[cluster[0], begin, end, begin, table, cluster[1]],
        &[cluster[0], cluster[0], cluster[1]],
        &[begin, table, cluster[0], cluster[1]],
    ] {
        assert_eq!(end_of(&cut.concat()), DumpEnd::NoTrailerInside, "{cut:?}");
    }
    assert_eq!(
        end_of(&[cluster[0], cluster[1], begin, restrict, end, unrestrict, begin, end].concat()),
        DumpEnd::Trailer
    );
    assert_eq!(end_of(table), DumpEnd::Unmarked);
    assert_eq!(end_of("CREATE TABLE a"), DumpEnd::InStatement);
    assert_eq!(end_of("COPY a FROM stdin;\n1\n"), DumpEnd::InRows);
    assert_eq!(end_of("SELECT '\n-- PostgreSQL database dump complete\n"), DumpEnd::InStatement);
}

#[test]
fn a_dump_behind_another_has_a_session_of_its_own() {
    let (begin, end) = ("--\n-- PostgreSQL database dump\n--\n\n", "--\n-- PostgreSQL database dump complete\n--\n\n");
    let cluster =
        ["--\n-- PostgreSQL database cluster dump\n--\n\n", "--\n-- PostgreSQL database cluster dump complete\n--\n\n"];
    let table = "SET search_path = s;\nCREATE TABLE t (x integer);\n";
    // The databases of its tables, with a comma where another dump begins.
    let told = |pieces: &[&str]| {
        let (events, facts) = read(pieces.concat().as_bytes(), &[11]);
        let shown = |event: &Event| match event {
            Event::NextDump => Some(",".to_string()),
            Event::Part(Part { object, start }) if object.kind == PartKind::Table => {
                let name = object.database.clone().map_or("-".into(), |name| String::from_utf8(name).unwrap());
                let settings = facts.settings.changed(None, start + 1);
                assert_eq!(settings.is_empty(), object.schema == b"public", "{name}: {object:?}");
                Some(name)
            }
            _ => None,
        };
        events.iter().filter_map(shown).collect::<String>()
    };
    let plain = "CREATE TABLE t (x integer);\n";
    let connect = "\\connect a\n";
    assert_eq!(told(&[begin, connect, table, end, begin, plain, end]), "a,-");
    assert_eq!(told(&[begin, connect, table, begin, plain, end]), "a,-");
    assert_eq!(told(&[begin, table, end, begin, plain, end]), "-,-");
    assert_eq!(told(&[connect, begin, table, end, "\\connect b\n", begin, plain, end]), "a,b");
    // Those of a cluster are one.
    let both = [cluster[0], connect, begin, table, end, "\\connect b\n", begin, plain, end, cluster[1]];
    assert_eq!(told(&both), "ab");
    assert_eq!(told(&[&both[..], &[begin, plain, end]].concat()), "ab,-");
    assert_eq!(told(&[&[begin, plain, end], &both[..]].concat()), "-,ab");
}

#[test]
fn rows_are_counted_however_they_are_written() {
    let rows = |dump: &str| {
        let (events, _) = read(dump.as_bytes(), &[5]);
        events.iter().filter(|event| matches!(event, Event::Row(_))).count()
    };
    assert_eq!(rows("COPY a FROM stdin;\n1\t(\n\\\\.\n\n\\.\n"), 3);
    assert_eq!(rows("COPY a FROM stdin;\n\\.\n"), 0);
    assert_eq!(rows("INSERT INTO a VALUES (1, '(');\nINSERT INTO a VALUES (1, (2));\n"), 2);
    assert_eq!(
        rows("INSERT INTO a (b, c) VALUES\n\t(1, '),('),\n\t(E'\\',', 2),\n\t(3, 4)\nON CONFLICT DO NOTHING;\n"),
        3
    );
    assert_eq!(rows("INSERT INTO a DEFAULT VALUES;\n"), 1);
}

#[test]
fn what_a_table_needs_is_found() {
    let dump = "CREATE TABLE public.a (x public.mood DEFAULT 1.5, n integer DEFAULT nextval('public.s'::regclass),\n\
                t text COLLATE public.plain CHECK (public.f(x) > pg_catalog.lower(t))) INHERITS (public.p, other.\"Q\");\n\
                CREATE TRIGGER t BEFORE INSERT ON public.a FOR EACH ROW WHEN ((new.x > old.y)) EXECUTE FUNCTION public.g();\n\
                CREATE POLICY p ON public.a USING (EXISTS (SELECT 1 FROM public.q c WHERE c.id = a.id));\n";
    let (events, _) = read(dump.as_bytes(), &[64]);
    let mut found = Vec::new();
    for event in events {
        if let Event::Needs(needs) = event {
            let shown =
                |need: Need| (need.kind, String::from_utf8([&need.schema[..], b".", &need.name].concat()).unwrap());
            found.extend(needs.into_iter().map(shown));
        }
    }
    use NeedKind::*;
    let expected = [
        (Other, "public.mood"),
        (Sequence, "public.s"),
        (Other, "public.plain"),
        (Function, "public.f"),
        (Table, "public.p"),
        (Table, "other.Q"),
        (Function, "public.g"),
        (Table, "public.q"),
    ];
    assert_eq!(found, expected.map(|(kind, name)| (kind, name.to_string())));
}

#[test]
fn roles_that_a_table_needs_are_found() {
    let dump = "CREATE TABLE public.owner (x integer);\n\
                ALTER TABLE public.owner OWNER TO alice;\n\
                CREATE POLICY p ON public.owner FOR SELECT TO readers, \"Bob; TO x\" USING ((x > 1));\n\
                CREATE POLICY q ON public.owner USING ((x > 1));\n\
                REVOKE ALL ON TABLE public.owner FROM PUBLIC;\n\
                GRANT SELECT(x),UPDATE(x) ON TABLE public.owner TO carol WITH GRANT OPTION;\n\
                CREATE SEQUENCE public.s;\n\
                ALTER SEQUENCE public.s OWNER TO \"PUBLIC\";\n";
    let mut found = Vec::new();
    for event in read(dump.as_bytes(), &[64]).0 {
        if let Event::Needs(needs) = event {
            found.extend(needs.into_iter().map(|need| (need.kind, String::from_utf8(need.name).unwrap())));
        }
    }
    let expected = ["alice", "readers", "Bob; TO x", "carol", "PUBLIC"];
    assert_eq!(found, expected.map(|name| (NeedKind::Role, name.to_string())));
}

#[test]
fn an_insert_that_comes_again_is_read_as_the_first() {
    // Longer than what is seen of a statement that comes byte by byte: of that, none is known again.
    let insert = format!("INSERT INTO public.{} VALUES", "t".repeat(LOOKAHEAD_BYTES));
    let escapes = "SET standard_conforming_strings = off";
    let behind =
        ["(1),(2)", " (3)", "\n\t('\\'),\n\t('5')", &format!("(6);\n-- x\n{escapes};\n{escapes}"), "('\\'7'),(8)"];
    let dump = behind.map(|rows| format!("{insert}{rows};\n")).concat();
    let (events, facts) = read(dump.as_bytes(), &[dump.len()]);
    assert_eq!((events.clone(), facts), read(dump.as_bytes(), &[1]));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Row(_))).count(), 8);
    // A word may only begin like what came before.
    let dump = "INSERT INTO values VALUES (1);\nINSERT INTO values_b VALUES (2);\n";
    assert_eq!(names(dump).into_iter().map(|part| part.1).collect::<Vec<_>>(), ["values", "values_b"]);
}
