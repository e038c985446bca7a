-- Two databases with whatever makes dumps hard to read, and of every kind of object one.
CREATE ROLE alice;
CREATE ROLE "Bob; Type: TABLE" LOGIN PASSWORD 'it''s';
CREATE ROLE readers;
GRANT readers TO alice;
ALTER ROLE alice SET work_mem TO '64MB';
COMMENT ON ROLE readers IS 'they read';
CREATE TABLESPACE fast LOCATION :'space';
COMMENT ON TABLESPACE fast IS 'it''s fast';
GRANT CREATE ON TABLESPACE fast TO readers;
CREATE DATABASE shop TEMPLATE template0;
ALTER DATABASE shop SET "DateStyle" TO 'ISO, DMY';
COMMENT ON DATABASE shop IS 'Holds; -- Name: all; Type: TABLE; Schema: public; Owner: -';
GRANT CONNECT ON DATABASE shop TO alice;
CREATE DATABASE "we/ird .%db 'n' ""q""" TEMPLATE template0;
ALTER ROLE alice IN DATABASE shop SET statement_timeout TO '5min';
\connect shop
CREATE EXTENSION pg_trgm WITH SCHEMA public;
CREATE SCHEMA sales AUTHORIZATION alice;
CREATE SCHEMA "_casts";
CREATE SCHEMA "odd
-- Name: x; Type: TABLE; Schema: y; Owner: z
""name";
COMMENT ON SCHEMA sales IS 'E''\ and $$ and /* and "';
GRANT USAGE ON SCHEMA sales TO readers;
ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA sales GRANT SELECT ON TABLES TO readers;

-- Types, functions and what is made of them.
CREATE TYPE public.mood AS ENUM ('sad', 'it''s', 'happy; -- no');
CREATE TYPE public.pair AS (a integer, "b ""quoted""" text);
COMMENT ON COLUMN public.pair.a IS 'of a type';
CREATE TYPE public.span AS RANGE (subtype = double precision);
CREATE DOMAIN public.positive AS integer CONSTRAINT "above; zero" CHECK (VALUE > 0);
COMMENT ON CONSTRAINT "above; zero" ON DOMAIN public.positive IS 'of a domain';
GRANT USAGE ON TYPE public.positive TO readers;
CREATE FUNCTION public.twice(number integer, text text DEFAULT ', DEFAULT ('::text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  -- Name: liar; Type: TABLE; Schema: public; Owner: me
  RETURN number * 2; /* it's
--
-- PostgreSQL database dump complete
--
*/
END $$;
COMMENT ON FUNCTION public.twice(integer, text) IS 'doubles';
GRANT EXECUTE ON FUNCTION public.twice(integer, text) TO alice;
CREATE FUNCTION public.twice(VARIADIC numbers numeric[]) RETURNS TABLE (a integer, b text) LANGUAGE sql AS 'SELECT 1, $x$it''s; \$x$::text';
CREATE FUNCTION public.atomic(a integer) RETURNS integer LANGUAGE sql
BEGIN ATOMIC
  SELECT CASE WHEN a > 0 THEN 1 ELSE 2 END;
  SELECT (a + 1);
END;
CREATE PROCEDURE public.proceed(INOUT a integer) LANGUAGE plpgsql AS $_$ BEGIN a := 1; EXECUTE $$SELECT ';'$$; END $_$;
CREATE AGGREGATE public.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
GRANT ALL ON FUNCTION public.total(integer) TO alice;
COMMENT ON AGGREGATE public.total(integer) IS 'adds';
CREATE FUNCTION public.same(integer, integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR public.=/= (FUNCTION = public.same, LEFTARG = integer, RIGHTARG = integer);
COMMENT ON OPERATOR public.=/= (integer, integer) IS 'an operator';
CREATE FUNCTION public.mood_number(public.mood) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE CAST (public.mood AS integer) WITH FUNCTION public.mood_number(public.mood);
COMMENT ON CAST (public.mood AS integer) IS 'a cast';
CREATE COLLATION public.plain (provider = libc, locale = 'C');
CREATE CONVERSION public.convert FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1;
CREATE TEXT SEARCH DICTIONARY public.words (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION public.search (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION public.search ADD MAPPING FOR word WITH public.words;
CREATE OPERATOR FAMILY public.family USING btree;
CREATE FUNCTION public.changed() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION public.changed();
ALTER EVENT TRIGGER watch DISABLE;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper OPTIONS (host 'it''s');
CREATE USER MAPPING FOR alice SERVER elsewhere OPTIONS (password 'secret');
CREATE FOREIGN TABLE public.far (id integer) SERVER elsewhere;
SELECT pg_catalog.lo_from_bytea(4711, '\x00270a5c2e0a');
SELECT pg_catalog.lo_from_bytea(4712, convert_to(repeat('large; ', 9000), 'UTF8'));
COMMENT ON LARGE OBJECT 4711 IS 'it is large';
GRANT SELECT ON LARGE OBJECT 4711 TO alice;

-- Tables.
CREATE SEQUENCE public.numbers START WITH 10;
CREATE TABLE public.customers (
    id serial PRIMARY KEY,
    name text DEFAULT 'it''s ; -- none',
    feeling public.mood DEFAULT 'it''s',
    both_of public.pair,
    length integer GENERATED ALWAYS AS (octet_length(name)) STORED,
    number integer DEFAULT nextval('public.numbers'),
    CONSTRAINT "check ""it" CHECK (name <> 'REFERENCES public.nothing (')
);
COMMENT ON TABLE public.customers IS 'quotes '' " ` \ and -- and /* and ;
--
-- Name: fake; Type: TABLE; Schema: public; Owner: me
--

CREATE TABLE public.fake (a integer);
COPY public.fake FROM stdin;
\.
';
COMMENT ON COLUMN public.customers.name IS 'E''\'' $a$';
INSERT INTO public.customers (name) VALUES
    ('plain'), (NULL), (''), ('it''s'), (E'back\\slash'), (E'end\\'), (E'line\nbreak\r\n'), (E'tab\t'), ('\.'), (E'\\.\n\\.\n'),
    ('"double"'), ('$$'), ('$_$'), ('),('), (E');\nINSERT INTO x VALUES (1);\n'), (E'\n\\.\n\n--\n-- Name: y; Type: TABLE\n--\n'),
    (E'-- PostgreSQL database dump complete\n'), ('/* '), ('*/'), (E'\\connect postgres\n'), ('Grüße, 世界, 🐘'), ('\N');
INSERT INTO public.customers (name, both_of) VALUES ('pair', ROW(1, E'a''b\n\\'));
CREATE TABLE sales.orders (
    id integer GENERATED BY DEFAULT AS IDENTITY (START WITH 7) PRIMARY KEY,
    customer integer REFERENCES public.customers (id) ON DELETE SET NULL,
    amount numeric(10, 2),
    data bytea,
    tags text[],
    placed timestamp with time zone DEFAULT '2026-11-26 01:02:03+00'
);
ALTER TABLE sales.orders OWNER TO alice;
INSERT INTO sales.orders (customer, amount, data, tags)
    SELECT 1 + i % 10, -i / 7.0, decode(md5(i::text), 'hex'), ARRAY['a', 'b,"' || i] FROM generate_series(1, 1000) i;
CREATE INDEX "index; on -- it" ON sales.orders USING btree (customer) WHERE amount > 0;
COMMENT ON INDEX sales."index; on -- it" IS 'an index';
CREATE STATISTICS sales.stats ON customer, (EXTRACT(year FROM placed)) FROM sales.orders;
ALTER TABLE sales.orders CLUSTER ON orders_pkey;
ALTER TABLE ONLY sales.orders ALTER COLUMN amount SET STATISTICS 500;
GRANT SELECT (id, amount), UPDATE (amount) ON TABLE sales.orders TO readers;
GRANT INSERT ON sales.orders TO "Bob; Type: TABLE";
ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own; ones" ON sales.orders FOR SELECT TO readers USING (EXISTS (SELECT 1 FROM public.customers c WHERE c.id = orders.customer));
COMMENT ON POLICY "own; ones" ON sales.orders IS 'a policy';
CREATE FUNCTION sales.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "stamp; on it" BEFORE INSERT OR UPDATE OF amount ON sales.orders
    FOR EACH ROW WHEN (NEW.amount IS NOT NULL) EXECUTE FUNCTION sales.stamp('it''s', ');');
COMMENT ON TRIGGER "stamp; on it" ON sales.orders IS 'a trigger';
ALTER TABLE sales.orders DISABLE TRIGGER "stamp; on it";
CREATE RULE "rule; of it" AS ON DELETE TO sales.orders WHERE OLD.id < 0
    DO ALSO (INSERT INTO public.customers (name) VALUES (';'); UPDATE public.customers SET name = '');

CREATE TABLE public.empty ();
INSERT INTO public.empty DEFAULT VALUES;
INSERT INTO public.empty DEFAULT VALUES;
CREATE TABLE public.vacant (id integer);
CREATE UNLOGGED TABLE public."restore.sql" ("select" integer, "a b" text) WITH (fillfactor = 70);
INSERT INTO public."restore.sql" VALUES (1, 'x');
CREATE TABLE public."we/ird ""it""
-- Name: x; Type: TABLE DATA; Schema: y
\.
;.%" (id serial PRIMARY KEY, "col;
""umn" text DEFAULT E'\\');
INSERT INTO public."we/ird ""it""
-- Name: x; Type: TABLE DATA; Schema: y
\.
;.%" DEFAULT VALUES;
CREATE TABLE "odd
-- Name: x; Type: TABLE; Schema: y; Owner: z
""name".t (id integer UNIQUE, lower text COLLATE public.plain CHECK (lower = pg_catalog.lower(lower)));
INSERT INTO "odd
-- Name: x; Type: TABLE; Schema: y; Owner: z
""name".t VALUES (1, 'a'), (2, NULL);
CREATE TABLE "_casts"."Ünï 世界" (id bigserial, "Größe" double precision);
INSERT INTO "_casts"."Ünï 世界" ("Größe") SELECT i / 3.0 FROM generate_series(1, 10) i;
CREATE TABLE public.large (id integer PRIMARY KEY, text text);
INSERT INTO public.large SELECT i, md5(i::text) || ' ''' || md5((i + 1)::text) || '\' FROM generate_series(1, 20000) i;
CREATE TABLE public.placed (id integer PRIMARY KEY USING INDEX TABLESPACE fast) TABLESPACE fast;
INSERT INTO public.placed VALUES (1);
CREATE TABLE public.parent (id integer, area text) PARTITION BY LIST (area);
CREATE TABLE public.north PARTITION OF public.parent FOR VALUES IN ('north; ', 'n''');
CREATE TABLE public."rest" PARTITION OF public.parent DEFAULT;
CREATE INDEX parent_area ON public.parent (area);
INSERT INTO public.parent VALUES (1, 'north; '), (2, 'n'''), (3, 'south'), (4, NULL);
CREATE TABLE public.heir (extra public.positive) INHERITS (public.vacant);
INSERT INTO public.heir VALUES (1, 2);
CREATE TABLE public.checked (id integer CHECK (public.twice(id) > 0), total integer DEFAULT public.twice(1));
INSERT INTO public.checked VALUES (1), (2);

-- Views, two of which need each other's table.
CREATE VIEW public.cheap AS SELECT id, 'it''s;' AS text FROM sales.orders WHERE amount < 0;
ALTER VIEW public.cheap OWNER TO alice;
COMMENT ON VIEW public.cheap IS 'a view';
COMMENT ON COLUMN public.cheap.text IS 'a column of a view';
GRANT SELECT ON public.cheap TO readers;
CREATE FUNCTION public.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER instead INSTEAD OF DELETE ON public.cheap FOR EACH ROW EXECUTE FUNCTION public.instead();
CREATE MATERIALIZED VIEW sales.sums AS SELECT customer, sum(amount) AS sum FROM sales.orders GROUP BY customer;
CREATE UNIQUE INDEX sums_customer ON sales.sums (customer);
CREATE VIEW public."view/of view" AS SELECT * FROM public.cheap;
CREATE PUBLICATION news FOR TABLE sales.orders, public.customers;
COMMENT ON PUBLICATION news IS 'published';

\connect -reuse-previous=on "dbname='we/ird .%db \'n\' ""q""'"
CREATE TABLE public.customers (id integer);
INSERT INTO public.customers VALUES (1);
CREATE TABLE public.numbers (id integer GENERATED ALWAYS AS IDENTITY, mood text);
INSERT INTO public.numbers (mood) VALUES ('other');
