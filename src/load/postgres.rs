//! Loading into PostgreSQL.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::dump::layout::database_directory;
use crate::dump::letters::Letters;
use crate::dump::postgres::{DropRule, Ownership};
use crate::error::{Error, Result};
use crate::id::WriterId;
use crate::load::client::Client;
use crate::load::failure::StatementLines;
use crate::load::loader::{Load, Loader};
use crate::load::passages::BY_CONNECT;
use crate::load::places::Places;
use crate::load::server::PostgresUrl;
use crate::load::steps::{POSTGRES, load_dump};
use crate::load::tables::{Database, DumpTables, text_of};
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

/// Databases that every server has: others are made by way of them.
const DATABASES_OF_SERVER: [&[u8]; 2] = [MAINTENANCE_DATABASE.as_bytes(), b"template1"];

mod present;
mod roles;
mod tables;

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    loader: Loader<'a>,
    commands: CommandRule,
    /// Of the dump.
    letters: Letters,
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
    // What a client knows of strings and letters, another one's guard does not.
    let threads = if commands.key().is_some() { options.threads } else { 1 };
    let loader = Loader { client, lines: StatementLines::Postgres, threads, monitor };
    let letters = Letters::of_facts_of_postgres(&snapshot.manifest.facts);
    let run = Run { repository, tables, loader, commands, letters, server, options };
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
    /// The whole dump, as if each that it is made of were piped into a client.
    fn load_dump(&self, snapshot: &Snapshot) -> Result<LoadReport> {
        let (root, contents) = (&snapshot.manifest.root, self.repository.contents()?);
        let content = self.tables.dump(root)?;
        let of_url = (self.server.database.as_deref(), Some(MAINTENANCE_DATABASE));
        let places = Places::find(&self.tables, contents, (root, &content), &BY_CONNECT, of_url)?;
        let drops = self.drop_rule()?;
        let mut arguments = HashMap::new();
        for database in self.tables.databases() {
            let goes_to = text_of(&places.place_of(database))?;
            self.look_at_database(database, &goes_to, drops.as_ref())?;
            arguments.insert(database_directory(&database.name), self.fed_in(&goes_to));
        }
        self.look_at_roles_of_dump(snapshot, &content)?;
        let bytes = content.size;
        let changes = self.changes(snapshot, drops)?;
        // What is in no database comes first, since all others may need it: roles.
        let (globals, others): (Vec<_>, Vec<_>) = places.passages().iter().partition(|passage| passage.is_global());
        let mut loads = Vec::new();
        for passage in globals.into_iter().chain(others) {
            let database = places.beginning_of(passage)?;
            database.as_deref().map_or(Ok(()), |name| self.make_database(name))?;
            let text = SqlText::stretch_of(contents, content.clone(), passage.range.clone(), self.options.threads);
            let text = SqlText { changes: changes.clone(), ..text };
            let arguments = self.fed_in(database.as_deref().unwrap_or(MAINTENANCE_DATABASE));
            loads.push(Load { what: places.title_of(passage)?, text, arguments });
        }
        load_dump(&self.loader, &POSTGRES, loads, self.tables.parts(snapshot)?, &arguments)?;
        Ok(LoadReport { tables: None, bytes })
    }

    /// What is changed in a whole dump.
    fn changes(&self, snapshot: &Snapshot, drops: Option<DropRule>) -> Result<Vec<Change>> {
        let mut changes = vec![Change::Commands(self.commands.clone())];
        changes.extend(drops.map(Change::Drops));
        changes.extend(self.globals_that_stay(snapshot)?.map(Change::WithoutGlobals));
        changes.extend(self.without_ownership());
        let tablespaces = self.options.tablespaces.as_ref();
        changes.extend(tablespaces.map(|all| Change::Tablespaces(all.as_os_str().as_bytes().to_vec())));
        Ok(changes)
    }

    /// What becomes of drops, in a dump that has some.
    fn drop_rule(&self) -> Result<Option<DropRule>> {
        let (contents, mut has_drops, mut stay) = (self.repository.contents()?, false, HashSet::new());
        for database in self.tables.databases() {
            let is_dropped = self.tables.is_dropped(database, &contents)?;
            has_drops |= is_dropped || self.tables.has_drops(database)?;
            if is_dropped && DATABASES_OF_SERVER.contains(&&*database.name) {
                stay.insert(database.name.clone());
            }
        }
        let drops = self.options.overwrite;
        if drops && !has_drops {
            let reason = "a dump of PostgreSQL that was made without --clean replaces nothing; drop the database first, or load tables";
            return Err(Error::invalid("option", "--overwrite", reason));
        }
        Ok(has_drops.then_some(DropRule { drops, databases_that_stay: Arc::new(stay) }))
    }

    /// Looks whether a database has what the dump makes, and may not replace.
    fn look_at_database(&self, database: &Database, goes_to: &str, drops: Option<&DropRule>) -> Result<()> {
        let stays = drops.is_some_and(|rule| rule.databases_that_stay.contains(&database.name));
        let replaces = self.options.overwrite && !stays;
        if !stays && self.tables.is_dropped(database, &self.repository.contents()?)? {
            return if replaces { Ok(()) } else { self.refuse_dropped_database(database) };
        }
        self.refuse_present(database, goes_to, replaces && self.tables.has_drops(database)?)
    }

    fn without_ownership(&self) -> Option<Change> {
        let left_out = self.ownership();
        (left_out != Ownership::default()).then_some(Change::WithoutOwnership(left_out))
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
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
