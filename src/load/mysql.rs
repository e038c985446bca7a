//! Loading into MySQL and MariaDB.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::dump::layout::database_directory;
use crate::dump::letters::Letters;
use crate::dump::mysql::{BEGINNING_MAX_BYTES, character_set_of};
use crate::dump::name::{split_at_dots, split_quoted};
use crate::error::{Error, Result};
use crate::load::client::Client;
use crate::load::failure::StatementLines;
use crate::load::loader::{Load, Loader};
use crate::load::passages::BY_USE;
use crate::load::places::Places;
use crate::load::server::MysqlUrl;
use crate::load::steps::{MYSQL, load_dump};
use crate::load::tables::{Database, DumpTables, FoundTable, TableName, refuse_other_letters, text_of};
use crate::load::text::{Change, SqlText};
use crate::load::{LoadOptions, LoadReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;
use crate::repository::snapshot::Snapshot;

mod definers;
mod present;

/// The programs that are looked for.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

/// `--binary-mode` lets strings hold any byte, and the text no commands to the client; files of this machine are not given
/// to the server; what it prints is printed at once.
const ARGUMENTS: [&str; 6] = [
    "--batch",
    "--unbuffered",
    "--skip-column-names",
    "--binary-mode",
    "--local-infile=0",
    "--max-allowed-packet=1073741824",
];

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    loader: Loader<'a>,
    /// Of the dump.
    letters: Letters,
    server: &'a MysqlUrl,
    options: &'a LoadOptions,
}

/// The character set of a text.
#[derive(Default)]
struct TextSet {
    name: String,
    letters: Letters,
}

impl TextSet {
    /// What a client is told of a text in this set, and in which database to begin. Dumps tell its name, which would be an option if it
    /// stood there alone and began as one.
    fn arguments(&self, database: Option<&str>) -> Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut in_database = database.map_or(Vec::new(), |database| database.as_bytes().to_vec());
        if !self.letters.are_plain() {
            // Else it would take a part of a letter for the backslash that it looks like. It takes its arguments to be in that set, too.
            arguments.push(format!("--default-character-set={}", self.name).into());
            if !self.letters.have(&in_database) {
                let reason = format!("the dump is in {}, which has no such letters", self.name);
                return Err(Error::invalid("database", database.unwrap_or_default(), reason));
            }
            in_database = self.letters.encoded(&in_database).into_owned();
        }
        if database.is_some() {
            arguments.push(OsString::from_vec([b"--database=", &in_database[..]].concat()));
        }
        Ok(arguments)
    }
}

/// A table, and where it goes.
struct PlacedTable<'n> {
    /// As it was asked for.
    what: &'n str,
    found: FoundTable<'n>,
    database: String,
    table: String,
}

/// The character set that a dump, or a `restore.sql`, tells from there on.
pub fn character_set_at(contents: &ContentReader, content: &Content, start: u64) -> Result<Option<String>> {
    let mut beginning = Vec::new();
    contents.read(content, start, BEGINNING_MAX_BYTES, &mut beginning)?;
    Ok(character_set_of(&beginning))
}

pub fn load(
    repository: &Repository,
    snapshot: &Snapshot,
    server: &MysqlUrl,
    options: &LoadOptions,
    monitor: &dyn Monitor,
) -> Result<LoadReport> {
    let tables = DumpTables::of(repository.tree()?, &snapshot.manifest.root)?;
    let loader =
        Loader { client: client(server, options), lines: StatementLines::Mysql, threads: options.threads, monitor };
    let letters = Letters::of_facts(&snapshot.manifest.facts);
    let run = Run { repository, tables, loader, letters, server, options };
    match options.tables.as_slice() {
        [] => run.load_dump(snapshot),
        names => run.load_tables(names),
    }
}

fn client(server: &MysqlUrl, options: &LoadOptions) -> Client {
    let MysqlUrl { user, host, port, socket, defaults_file, database: _ } = server;
    // An option file has to come first.
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: Option<String>| {
        arguments.extend(value.map(|value| OsString::from(format!("--{option}={value}"))));
    };
    add("defaults-file", defaults_file.clone());
    add("user", user.clone());
    add("host", host.clone());
    add("port", port.map(|port| port.to_string()));
    if host.is_none() && socket.is_some() {
        // Else the host of an option file, or of MYSQL_HOST, would count.
        add("host", Some("localhost".into()));
        add("protocol", Some("socket".into()));
    }
    add("socket", socket.clone());
    arguments.extend(ARGUMENTS.map(OsString::from));
    let program = Client::program(options.client.as_ref(), &CLIENTS);
    let environment = options.environment.clone();
    Client { program, arguments, statement_option: "--execute", environment, withheld: Vec::new() }
}

impl<'a> Run<'a> {
    /// The whole dump, as if each that it is made of were piped into a client.
    fn load_dump(&self, snapshot: &Snapshot) -> Result<LoadReport> {
        let (root, contents) = (&snapshot.manifest.root, self.repository.contents()?);
        let content = self.tables.dump(root)?;
        let of_url = self.server.database.as_deref();
        let places = Places::find(&self.tables, contents, (root, &content), &BY_USE, (of_url, None))?;
        self.refuse_what_is_there(&places)?;
        let requirements = self.requirements(root, &content)?;
        self.look_at_definers(requirements.definers)?;
        self.look_at_log(requirements.makes_programs)?;
        let without_replication = self.without_replication(&requirements.replication);
        self.tell(&requirements.mixed_replication, |names| {
            format!("loaded as it is, since the same statement sets something else: {names}")
        });
        let bytes = content.size;
        let sets = places.passages().iter().map(|passage| self.set_of(&content, passage.range.start));
        let sets = sets.collect::<Result<Vec<TextSet>>>()?;
        let mut loads = Vec::new();
        for (passage, set) in places.passages().iter().zip(&sets) {
            let database = places.beginning_of(passage)?;
            self.make_database(database.as_deref())?;
            let mut text = SqlText::stretch_of(contents, content.clone(), passage.range.clone(), self.options.threads);
            text.changes.extend(self.without_definers());
            text.changes.extend(without_replication.clone());
            loads.push(Load { what: places.title_of(passage)?, text, arguments: set.arguments(database.as_deref())? });
        }
        load_dump(&self.loader, &MYSQL, loads, self.tables.parts(snapshot)?, &self.arguments(&places, &sets)?)?;
        Ok(LoadReport { tables: None, bytes })
    }

    fn without_definers(&self) -> Option<Change> {
        self.options.left_out.definers.then_some(Change::WithoutDefiners)
    }

    /// Leaves out what would change the server's replication and log, and tells that.
    fn without_replication(&self, found: &BTreeSet<String>) -> Option<Change> {
        let text = |names: String| {
            format!(
                "left out, so that the server replicates and logs as before: {names}; they stand in the dump itself"
            )
        };
        self.tell(found, text).then_some(Change::WithoutReplication)
    }

    /// Tells what was found, if anything was.
    fn tell(&self, found: &BTreeSet<String>, text: impl Fn(String) -> String) -> bool {
        let names = found.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !found.is_empty() {
            self.loader.monitor.note(&text(names));
        }
        !found.is_empty()
    }

    /// What clients are told to load into databases, by the names of their directories; `sets` are those of the passages.
    fn arguments(&self, places: &Places, sets: &[TextSet]) -> Result<HashMap<Vec<u8>, Vec<OsString>>> {
        let told = |database: &Database| {
            let directory = database_directory(&database.name);
            let mut passages = places.passages().iter().zip(sets);
            let set = passages.find(|(passage, _)| passage.is_about(&directory)).map(|(_, set)| set);
            let place = text_of(&places.place_of(database))?;
            let arguments = set.unwrap_or(&TextSet::default()).arguments(Some(&place))?;
            Ok((directory, arguments))
        };
        self.tables.databases().iter().map(told).collect()
    }

    /// The set of a text of which this is the beginning; that of the snapshot where it tells none.
    fn set_of(&self, content: &Content, start: u64) -> Result<TextSet> {
        let told = character_set_at(&self.repository.contents()?, content, start)?;
        let name = told.unwrap_or_else(|| self.letters.name().unwrap_or_default().to_string());
        Ok(TextSet { letters: Letters::of(name.as_bytes()), name })
    }

    fn load_tables(&self, names: &[String]) -> Result<LoadReport> {
        // All are looked at before anything is changed.
        let placed = names.iter().map(|name| self.place(name)).collect::<Result<Vec<_>>>()?;
        self.look_at_definers_of_tables(&placed)?;
        let mut loads = Vec::new();
        for PlacedTable { what, found, database, table } in placed {
            self.make_database(Some(&database))?;
            let arguments = self.set_of(&found.content, 0)?.arguments(Some(&database))?;
            let mut text = SqlText::whole(self.repository.contents()?, found.content, 1);
            text.changes.extend(self.without_definers());
            if found.name.table != table.as_bytes() {
                text.changes.push(Change::MysqlTable { old: found.name.table.to_vec(), new: table.into_bytes() });
            }
            loads.push(Load { what: what.to_string(), text, arguments });
        }
        let report = LoadReport { tables: Some(loads.len() as u64), bytes: loads.iter().map(Load::bytes).sum() };
        self.loader.run_all(loads)?;
        Ok(report)
    }

    /// Finds a table, and a place for it that is free or may be taken.
    fn place<'n>(&self, what: &'n str) -> Result<PlacedTable<'n>> {
        let meant = split_at_dots(what.as_bytes()).map(|(database, table)| TableName { database, schema: None, table });
        let unquoted = split_quoted(what.as_bytes(), b'`').and_then(|names| match names[..] {
            [database, table] => Some(TableName { database, schema: None, table }),
            _ => None,
        });
        let found = self.tables.find(what, "tables are named DATABASE.TABLE", meant, unquoted)?;
        let (database, table) = self.place_of(&found.name)?;
        self.refuse_present_table(&database, &table)?;
        Ok(PlacedTable { what, found, database, table })
    }

    /// The database and the name that a table gets.
    fn place_of(&self, found: &TableName) -> Result<(String, String)> {
        if let Some(place) = &self.options.rename {
            let (database, table) = place
                .split_once('.')
                .filter(|(database, table)| !database.is_empty() && !table.is_empty())
                .ok_or_else(|| Error::invalid("option", "--as", "it is DATABASE.TABLE"))?;
            refuse_other_letters(self.letters, &[table])?;
            return Ok((database.to_string(), table.to_string()));
        }
        let database = match &self.server.database {
            Some(database) => database.clone(),
            None => text_of(found.database)?,
        };
        Ok((database, text_of(found.table)?))
    }

    fn make_database(&self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        self.loader.client.ask(&[], &format!("CREATE DATABASE IF NOT EXISTS `{}`", name.replace('`', "``"))).map(|_| ())
    }
}
