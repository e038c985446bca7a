//! What the server has that a dump makes as well: looked for before anything is changed.

use std::collections::HashMap;

use crate::dump::layout::{
    FUNCTIONS_DIRECTORY, SEQUENCES_DIRECTORY, TABLES_DIRECTORY, TYPES_DIRECTORY, VIEWS_DIRECTORY,
};
use crate::dump::name::file_name;
use crate::dump::postgres::takes;
use crate::error::{Error, Result};
use crate::load::postgres::Run;
use crate::load::tables::{Database, from_hex, text_of};

/// What a dump makes, and where its snapshot has it.
const MADE: [(&str, &str); 4] = [
    ("table", TABLES_DIRECTORY),
    ("view", VIEWS_DIRECTORY),
    ("sequence", SEQUENCES_DIRECTORY),
    ("type", TYPES_DIRECTORY),
];

/// Schemas that are not the system's own.
const OWN_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Something with a name, in a schema.
pub(super) struct Present {
    pub schema: Vec<u8>,
    pub name: Vec<u8>,
    /// What `pg_class` has for its kind; 'type' for what is a type only.
    kind: String,
}

impl Present {
    pub fn what(&self) -> &'static str {
        match self.kind.as_str() {
            "r" | "p" => "table",
            "f" => "foreign table",
            "v" => "view",
            "m" => "materialized view",
            "S" => "sequence",
            "i" | "I" => "index",
            _ => "type",
        }
    }

    /// Whether something of this kind cannot be beside it: indexes and sequences are no types.
    fn is_in_the_way_of(&self, made: &str) -> bool {
        match self.kind.as_str() {
            "S" | "i" | "I" => made != "type",
            "type" => made != "sequence",
            _ => true,
        }
    }

    /// Whether what drops something of this kind drops it. A table of a dump may be a foreign one, and a view a materialized one.
    fn is_a(&self, made: &str) -> bool {
        self.what().ends_with(made)
    }
}

impl Run<'_> {
    /// Looks whether a database has what the dump makes; if that `replaces` what is there, whether it is of another kind.
    pub(super) fn refuse_present(&self, of: &Database, goes_to: &str, replaces: bool) -> Result<()> {
        if !self.has_database(goes_to)? {
            return Ok(());
        }
        let mut schemas: HashMap<Vec<u8>, bool> = HashMap::new();
        for present in self.present_in(goes_to)? {
            let schema = file_name(&present.schema, "");
            let is_made = match schemas.get(&schema) {
                Some(is_made) => *is_made,
                None => *schemas.entry(schema.clone()).or_insert(self.tables.has_path(of, &[&schema])?),
            };
            for (what, directory) in MADE.iter().filter(|(what, _)| is_made && present.is_in_the_way_of(what)) {
                let suffix = if *directory == TABLES_DIRECTORY { "" } else { ".sql" };
                if !self.tables.has_path(of, &[&schema, directory.as_bytes(), &file_name(&present.name, suffix)])? {
                    continue;
                }
                let name = shown(goes_to, &present.schema, &present.name);
                if !present.is_a(what) {
                    return Err(Error::OtherKind { what, name, present: present.what() });
                }
                if !replaces {
                    return Err(Error::Exists { what: present.what(), name });
                }
            }
        }
        if replaces { Ok(()) } else { self.refuse_present_functions(of, goes_to) }
    }

    /// The same of functions, which have their arguments in their names.
    fn refuse_present_functions(&self, of: &Database, goes_to: &str) -> Result<()> {
        let types = "SELECT pg_catalog.string_agg(pg_catalog.format_type(t, NULL), E'\\n' ORDER BY at) \
                     FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (t, at)";
        let statement = format!(
            "SET search_path = ''; SELECT {} || '.' || {} || '.' || {} FROM pg_catalog.pg_proc p \
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND {OWN_SCHEMAS}",
            hex("n.nspname"),
            hex("p.proname"),
            hex(&format!("coalesce(({types}), '')")),
        );
        let mut made: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
        for line in self.lines_of(goes_to, &statement)? {
            let [schema, name, types] = &line[..] else { continue };
            if !made.contains_key(schema) {
                let directory = [&file_name(schema, "")[..], FUNCTIONS_DIRECTORY.as_bytes()];
                made.insert(schema.clone(), self.tables.names_in(of, &directory)?);
            }
            let types: Vec<&[u8]> = types.split(|&byte| byte == b'\n').filter(|name| !name.is_empty()).collect();
            if made[schema].iter().any(|function| takes(function, name, &types)) {
                let own = [&name[..], b"(", &types.join(&b", "[..]), b")"].concat();
                return Err(Error::Exists { what: "function", name: shown(goes_to, schema, &own) });
            }
        }
        Ok(())
    }

    /// What a database that is there has that something of a dump would be in the way of.
    pub(super) fn present_in(&self, database: &str) -> Result<Vec<Present>> {
        let named =
            |name: &str, kind: &str| format!("SELECT {} || '.' || {} || '.' || {kind}", hex("n.nspname"), hex(name));
        let statement = format!(
            "{} FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c', 'i', 'I') AND {OWN_SCHEMAS} UNION ALL \
             {} FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
             AND t.typtype IN ('e', 'd', 'r') AND {OWN_SCHEMAS}",
            named("c.relname", &hex("c.relkind")),
            named("t.typname", &hex("'type'")),
        );
        let lines = self.lines_of(database, &statement)?;
        Ok(lines
            .into_iter()
            .filter_map(|line| {
                let [schema, name, kind] = <[Vec<u8>; 3]>::try_from(line).ok()?;
                Some(Present { schema, name, kind: String::from_utf8(kind).ok()? })
            })
            .collect())
    }

    /// What a statement prints in a database, as bytes with points between them.
    fn lines_of(&self, database: &str, statement: &str) -> Result<Vec<Vec<Vec<u8>>>> {
        let printed = self.loader.client.ask(&self.in_database(database), statement)?;
        Ok(printed.lines().map(|line| line.split('.').map(from_hex).collect()).collect())
    }

    /// A database that the dump drops goes with all that is in it, be it in the dump or not.
    pub(super) fn refuse_dropped_database(&self, database: &Database) -> Result<()> {
        let name = text_of(&database.name)?;
        if self.has_database(&name)? { Err(Error::Exists { what: "database", name }) } else { Ok(()) }
    }
}

fn hex(text: &str) -> String {
    format!("encode(convert_to({text}::text, 'UTF8'), 'hex')")
}

fn shown(database: &str, schema: &[u8], name: &[u8]) -> String {
    [database, &String::from_utf8_lossy(schema), &String::from_utf8_lossy(name)].join(".")
}
