//! Loading into PostgreSQL.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::dump::layout::database_directory;
use crate::dump::name::split_at_dots;
use crate::dump::postgres::TableInSchema;
use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::load::client::Client;
use crate::load::failure::StatementLines;
use crate::load::loader::{Load, Loader};
use crate::load::server::PostgresUrl;
use crate::load::steps::{POSTGRES, load_dump};
use crate::load::tables::{Database, DumpTables, FoundTable, TableName, from_hex, text_of};
use crate::load::text::{CommandRule, NewName, SqlText, Stretch};
use crate::load::{LoadOptions, LoadReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;

const CLIENTS: [&str; 1] = ["psql"];

/// Its own settings are nobody's business here; the first error ends it; lines are counted.
const ARGUMENTS: [&str; 5] = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align"];

/// Variables that lead to a server, and count more than the host that a URL names, or add to it.
const SERVER_VARIABLES: [&str; 2] = ["PGHOSTADDR", "PGSERVICE"];

/// Variables that set what a session does to what it is given.
const SESSION_VARIABLES: [&str; 6] = ["PGOPTIONS", "PGDATABASE", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGGEQO"];

/// Where databases are made.
const MAINTENANCE_DATABASE: &str = "postgres";

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    loader: Loader<'a>,
    commands: CommandRule,
    server: &'a PostgresUrl,
    options: &'a LoadOptions,
}

/// A table, and where it goes.
struct PlacedTable<'n> {
    /// As it was asked for.
    what: &'n str,
    found: FoundTable<'n>,
    database: String,
    schema: String,
    table: String,
}

impl PlacedTable<'_> {
    /// What comes before its `restore.sql`, and what it is called there.
    fn change(&self, overwrite: bool) -> (Stretch, NewName) {
        let old = TableInSchema {
            schema: self.found.name.schema.unwrap_or_default().to_vec(),
            table: self.found.name.table.to_vec(),
        };
        let new = TableInSchema { schema: self.schema.clone().into(), table: self.table.clone().into() };
        let mut begin = String::new();
        // The file makes the schema of its own, but none that every database has.
        if old.schema != new.schema && self.schema != "public" {
            begin.push_str(&format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(&self.schema)));
        }
        if overwrite {
            begin.push_str(&format!("DROP TABLE IF EXISTS {}.{};\n", quoted(&self.schema), quoted(&self.table)));
        }
        let name = if old == new { NewName::None } else { NewName::Postgres { old, new } };
        (Stretch::Statement(begin.into()), name)
    }
}

pub fn load(
    repository: &Repository,
    snapshot: &Snapshot,
    server: &PostgresUrl,
    options: &LoadOptions,
    monitor: &dyn Monitor,
) -> Result<LoadReport> {
    let tables = DumpTables::of(repository.tree()?, &snapshot.manifest.root)?;
    let client = Client {
        program: Client::program(options.client.as_ref(), &CLIENTS),
        arguments: ARGUMENTS.map(OsString::from).to_vec(),
        statement_option: "--command",
        environment: options.environment.clone(),
        withheld: withheld(server),
    };
    let commands = command_rule(&client, monitor)?;
    let loader = Loader { client, lines: StatementLines::Postgres, threads: options.threads, monitor };
    let run = Run { repository, tables, loader, commands, server, options };
    match options.tables.as_slice() {
        [] => run.load_dump(snapshot),
        names => run.load_tables(names),
    }
}

/// What the client must not inherit: what would lead elsewhere than the URL, and what would alter sessions and with them data.
fn withheld(server: &PostgresUrl) -> Vec<&'static str> {
    let of_server: &[&str] = if server.is_named { &SERVER_VARIABLES } else { &[] };
    [of_server, &SESSION_VARIABLES].concat()
}

/// How this client is kept from running commands of the dump.
fn command_rule(client: &Client, monitor: &dyn Monitor) -> Result<CommandRule> {
    if client.told("--help=commands")?.contains("\\restrict") {
        return Ok(CommandRule::Key(WriterId::random()?.to_string()));
    }
    monitor.note(&format!(
        "{} has no \\restrict: a command to it within a statement of the dump would be run; 15.14, 16.10, 17.6 and newer have it",
        client.program.to_string_lossy()
    ));
    Ok(CommandRule::Lines)
}

impl Run<'_> {
    /// The whole dump, as if it were piped into the client.
    fn load_dump(&self, snapshot: &Snapshot) -> Result<LoadReport> {
        if self.options.overwrite {
            let reason = "dumps of PostgreSQL replace nothing; drop the database first, or load tables";
            return Err(Error::invalid("option", "--overwrite", reason));
        }
        let content = self.tables.dump(&snapshot.manifest.root)?;
        let database = self.tables.unnamed_goes_to(self.server.database.as_deref(), Some(MAINTENANCE_DATABASE))?;
        let mut places = HashMap::new();
        for place in self.tables.databases() {
            let goes_to = text_of(&self.tables.place_of(place, database.as_deref())?)?;
            self.refuse_dropped_database(place)?;
            self.refuse_present_tables(&place.name, &goes_to)?;
            places.insert(database_directory(&place.name), self.fed_in(&goes_to));
        }
        if let Some(database) = &database {
            self.make_database(database)?;
        }
        let bytes = content.size;
        let mut text = SqlText::whole(self.repository.contents()?, content, self.options.threads);
        text.commands = Some(self.commands.clone());
        if let Some(directory) = &self.options.tablespaces {
            text.rename = NewName::Tablespaces(directory.as_os_str().as_bytes().to_vec());
        }
        let arguments = self.fed_in(database.as_deref().unwrap_or(MAINTENANCE_DATABASE));
        let load = Load { what: "the dump".into(), text, arguments };
        load_dump(&self.loader, &POSTGRES, load, self.tables.parts(snapshot)?, &places)?;
        Ok(LoadReport { tables: None, bytes })
    }

    fn load_tables(&self, names: &[String]) -> Result<LoadReport> {
        // All are looked at before anything is changed.
        let placed = names.iter().map(|name| self.place(name)).collect::<Result<Vec<_>>>()?;
        let mut loads = Vec::new();
        for placed in placed {
            self.make_database(&placed.database)?;
            self.tell_new_names(&placed);
            let mut text = SqlText::whole(self.repository.contents()?, placed.found.content.clone(), 1);
            text.commands = Some(self.commands.clone());
            let (begin, name) = placed.change(self.options.overwrite);
            text.made_of.insert(0, begin);
            text.rename = name;
            let mut arguments = self.fed_in(&placed.database);
            // All of the table, or nothing.
            arguments.push("--single-transaction".into());
            loads.push(Load { what: placed.what.to_string(), text, arguments });
        }
        let report = LoadReport { tables: Some(loads.len() as u64), bytes: loads.iter().map(Load::bytes).sum() };
        self.loader.run_all(loads)?;
        Ok(report)
    }

    fn tell_new_names(&self, placed: &PlacedTable) {
        let (old, new) = (String::from_utf8_lossy(placed.found.name.table), &placed.table);
        if old != *new {
            self.loader.monitor.note(&format!(
                "the indexes, unique constraints, sequences and statistics of {old} get names that begin with {new}"
            ));
        }
    }

    /// Finds a table, and a place for it that is free or may be taken.
    fn place<'n>(&'n self, what: &'n str) -> Result<PlacedTable<'n>> {
        let found = self.tables.find(what, "tables are named DATABASE.SCHEMA.TABLE", self.meant(what))?;
        let TableName { database: _, schema, table } = found.name;
        let own = [text_of(schema.unwrap_or_default())?, text_of(table)?];
        let [database, schema, table] = self.place_for(&found.name, own)?;
        let is_free = || Ok(!self.has_database(&database)? || !self.has_table(&database, &schema, &table)?);
        if !self.options.overwrite && !is_free()? {
            return Err(Error::Exists { what: "table", name: format!("{database}.{schema}.{table}") });
        }
        Ok(PlacedTable { what, found, database, schema, table })
    }

    /// What a name can mean: with its database, or where there is but one, without.
    fn meant<'n>(&'n self, name: &'n str) -> impl Iterator<Item = TableName<'n>> {
        let name = name.as_bytes();
        let in_database = |database: &'n [u8], rest: &'n [u8]| {
            split_at_dots(rest).map(move |(schema, table)| TableName { database, schema: Some(schema), table })
        };
        let only = Some(self.tables.databases()).filter(|all| all.len() == 1).and_then(|all| all.first());
        let named = split_at_dots(name).flat_map(move |(database, rest)| in_database(database, rest));
        named.chain(only.into_iter().flat_map(move |database| in_database(&database.name, name)))
    }

    /// The database, schema and name that a table gets.
    fn place_for(&self, name: &TableName, [schema, table]: [String; 2]) -> Result<[String; 3]> {
        let Some(place) = &self.options.rename else {
            let database = self.server.database.clone().map_or_else(|| text_of(name.database), Ok)?;
            return Ok([database, schema, table]);
        };
        // Its own names need no quotes, whatever is in them.
        let database = place.strip_suffix(&format!(".{schema}.{table}")).filter(|database| !database.is_empty());
        match database {
            Some(database) if !database.contains('"') => Ok([database.to_string(), schema, table]),
            _ => three_names(place).ok_or_else(|| {
                let reason =
                    "a table of PostgreSQL becomes DATABASE.SCHEMA.TABLE; a name that has dots is put in double quotes";
                Error::invalid("option", "--as", reason)
            }),
        }
    }

    fn in_database(&self, database: &str) -> Vec<OsString> {
        vec!["--dbname".into(), self.server.of(database).into()]
    }

    fn fed_in(&self, database: &str) -> Vec<OsString> {
        let mut arguments = self.in_database(database);
        // Named, standard input gets its lines counted.
        arguments.push("--file=-".into());
        arguments
    }

    fn has_database(&self, name: &str) -> Result<bool> {
        let statement = format!("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {}", literal(name));
        Ok(self.loader.client.ask(&self.in_database(MAINTENANCE_DATABASE), &statement)?.trim() != "0")
    }

    fn make_database(&self, name: &str) -> Result<()> {
        if self.has_database(name)? {
            return Ok(());
        }
        let statement = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
        self.loader.client.ask(&self.in_database(MAINTENANCE_DATABASE), &statement).map(|_| ())
    }

    fn has_table(&self, database: &str, schema: &str, table: &str) -> Result<bool> {
        let statement = format!(
            "SELECT count(*) FROM {TABLES} WHERE n.nspname = {} AND c.relname = {}",
            literal(schema),
            literal(table)
        );
        Ok(self.loader.client.ask(&self.in_database(database), &statement)?.trim() != "0")
    }

    /// A database that the dump drops goes with all that is in it, be it in the dump or not.
    fn refuse_dropped_database(&self, database: &Database) -> Result<()> {
        if !self.tables.is_dropped(database, &self.repository.contents()?)? {
            return Ok(());
        }
        let name = text_of(&database.name)?;
        if self.has_database(&name)? { Err(Error::Exists { what: "database", name }) } else { Ok(()) }
    }

    /// Looks whether a database has tables that the dump makes.
    fn refuse_present_tables(&self, database: &[u8], goes_to: &str) -> Result<()> {
        if !self.has_database(goes_to)? {
            return Ok(());
        }
        let hex = |name: &str| format!("encode(convert_to({name}::text, 'UTF8'), 'hex')");
        let statement = format!("SELECT {} || '.' || {} FROM {TABLES}", hex("n.nspname"), hex("c.relname"));
        for line in self.loader.client.ask(&self.in_database(goes_to), &statement)?.lines() {
            let Some((schema, table)) = line.split_once('.') else { continue };
            let (schema, table) = (from_hex(schema), from_hex(table));
            if self.tables.has(TableName { database, schema: Some(&schema), table: &table })? {
                let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                return Err(Error::Exists {
                    what: "table",
                    name: format!("{goes_to}.{}.{}", shown(&schema), shown(&table)),
                });
            }
        }
        Ok(())
    }
}

const TABLES: &str = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                      AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// `database.schema.table`, each of which may stand in double quotes.
fn three_names(place: &str) -> Option<[String; 3]> {
    let (mut names, mut rest) = (Vec::new(), place);
    loop {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(inside) => quoted_part(inside)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_string(), &rest[end..])
            }
        };
        names.push(name);
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None if behind.is_empty() => break,
            None => return None,
        }
    }
    <[String; 3]>::try_from(names).ok().filter(|names| names.iter().all(|name| !name.is_empty()))
}

/// A name up to its closing quote, of which those in it are doubled, and what is behind it.
fn quoted_part(mut rest: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(_) => name.push('"'),
            None => return Some((name, behind)),
        }
        rest = &behind[1..];
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
