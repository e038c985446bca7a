//! Loading into PostgreSQL.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::dump::layout::{GLOBALS_DIRECTORY, ROLES_FILE, database_directory};
use crate::dump::postgres::{created_role, each_statement};
use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::load::client::Client;
use crate::load::failure::StatementLines;
use crate::load::loader::{Load, Loader};
use crate::load::server::PostgresUrl;
use crate::load::steps::{POSTGRES, load_dump};
use crate::load::tables::{Database, DumpTables, TableName, from_hex, text_in, text_of};
use crate::load::text::{Change, CommandRule, SqlText};
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

mod tables;

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    loader: Loader<'a>,
    commands: CommandRule,
    server: &'a PostgresUrl,
    options: &'a LoadOptions,
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
        text.changes.push(Change::Commands(self.commands.clone()));
        text.changes.extend(self.roles_that_stay(snapshot)?.map(Change::WithoutRoles));
        let tablespaces = self.options.tablespaces.as_ref();
        text.changes.extend(tablespaces.map(|all| Change::Tablespaces(all.as_os_str().as_bytes().to_vec())));
        let arguments = self.fed_in(database.as_deref().unwrap_or(MAINTENANCE_DATABASE));
        let load = Load { what: "the dump".into(), text, arguments };
        load_dump(&self.loader, &POSTGRES, load, self.tables.parts(snapshot)?, &places)?;
        Ok(LoadReport { tables: None, bytes })
    }

    /// The roles that the dump makes and the server has.
    fn roles_that_stay(&self, snapshot: &Snapshot) -> Result<Option<Arc<HashSet<Vec<u8>>>>> {
        let path = [GLOBALS_DIRECTORY, ROLES_FILE].join("/");
        let node = self.repository.tree()?.lookup_path(&snapshot.manifest.root, path.as_bytes())?;
        let text = text_in(&self.repository.contents()?, node.as_ref().and_then(|node| node.content()))?;
        let mut roles = HashSet::new();
        each_statement(&text, &mut |statement| roles.extend(created_role(statement)));
        if roles.is_empty() {
            return Ok(None);
        }
        let statement = "SELECT encode(convert_to(rolname::text, 'UTF8'), 'hex') FROM pg_catalog.pg_roles";
        let there = self.loader.client.ask(&self.in_database(MAINTENANCE_DATABASE), statement)?;
        let there: HashSet<Vec<u8>> = there.lines().map(from_hex).filter(|role| roles.contains(role)).collect();
        if !there.is_empty() {
            let mut names: Vec<_> = there.iter().map(|role| String::from_utf8_lossy(role)).collect();
            names.sort();
            self.loader.monitor.note(&format!("roles that the server has stay as they are: {}", names.join(", ")));
        }
        Ok(Some(Arc::new(there)))
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

    /// The schemas and names of what a database has that a table would be in the way of.
    fn tables_of(&self, database: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if !self.has_database(database)? {
            return Ok(Vec::new());
        }
        let hex = |name: &str| format!("encode(convert_to({name}::text, 'UTF8'), 'hex')");
        let statement = format!("SELECT {} || '.' || {} FROM {TABLES}", hex("n.nspname"), hex("c.relname"));
        let lines = self.loader.client.ask(&self.in_database(database), &statement)?;
        let names = lines.lines().filter_map(|line| line.split_once('.'));
        Ok(names.map(|(schema, table)| (from_hex(schema), from_hex(table))).collect())
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
        for (schema, table) in self.tables_of(goes_to)? {
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

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
