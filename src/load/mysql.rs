//! Loading into MySQL and MariaDB.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::dump::layout::database_directory;
use crate::dump::name::{split_at_dots, split_quoted};
use crate::error::{Error, Result};
use crate::load::client::Client;
use crate::load::failure::StatementLines;
use crate::load::loader::{Load, Loader};
use crate::load::server::MysqlUrl;
use crate::load::steps::{MYSQL, load_dump};
use crate::load::tables::{DumpTables, FoundTable, TableName, from_hex, text_of};
use crate::load::text::{Change, SqlText};
use crate::load::{LoadOptions, LoadReport};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;

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

/// What a server can have that a dump replaces: where it lists that, and where a snapshot has it.
struct Present {
    what: &'static str,
    of: &'static str,
    directories: &'static [&'static str],
}

const PRESENT: [Present; 3] = [
    Present {
        what: "table",
        of: "HEX(TABLE_SCHEMA), HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA",
        directories: &["tables", "views", "sequences"],
    },
    Present {
        what: "routine",
        of: "HEX(ROUTINE_SCHEMA), HEX(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
        directories: &["routines/procedures", "routines/functions", "routines/packages"],
    },
    Present {
        what: "event",
        of: "HEX(EVENT_SCHEMA), HEX(EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
        directories: &["events"],
    },
];

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    loader: Loader<'a>,
    server: &'a MysqlUrl,
    options: &'a LoadOptions,
}

/// A table, and where it goes.
struct PlacedTable<'n> {
    /// As it was asked for.
    what: &'n str,
    found: FoundTable<'n>,
    database: String,
    table: String,
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
    let run = Run { repository, tables, loader, server, options };
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
    /// The whole dump, as if it were piped into the client.
    fn load_dump(&self, snapshot: &Snapshot) -> Result<LoadReport> {
        let content = self.tables.dump(&snapshot.manifest.root)?;
        let database = self.tables.unnamed_goes_to(self.server.database.as_deref(), None)?;
        if !self.options.overwrite {
            self.refuse_what_is_there(database.as_deref())?;
        }
        self.make_database(database.as_deref())?;
        let bytes = content.size;
        let arguments = database.clone().map(OsString::from).into_iter().collect();
        let text = SqlText::whole(self.repository.contents()?, content, self.options.threads);
        let load = Load { what: "the dump".into(), text, arguments };
        let places = self.places(database.as_deref())?;
        load_dump(&self.loader, &MYSQL, load, self.tables.parts(snapshot)?, &places)?;
        Ok(LoadReport { tables: None, bytes })
    }

    /// What clients are told to load into databases, by the names of their directories.
    fn places(&self, unnamed: Option<&str>) -> Result<HashMap<Vec<u8>, Vec<OsString>>> {
        let mut places = HashMap::new();
        for database in self.tables.databases() {
            let place = self.tables.place_of(database, unnamed)?;
            places.insert(database_directory(&database.name), vec![text_of(&place)?.into()]);
        }
        Ok(places)
    }

    /// Looks whether the server has anything that the dump would replace.
    fn refuse_what_is_there(&self, unnamed: Option<&str>) -> Result<()> {
        let mut places = Vec::new();
        for database in self.tables.databases() {
            places.push((self.tables.place_of(database, unnamed)?, &database.name));
        }
        let list: Vec<String> = places.iter().map(|(place, _)| literal(place)).collect();
        if list.is_empty() {
            return Ok(());
        }
        let list = list.join(", ");
        self.refuse_dropped_databases(&list)?;
        for Present { what, of, directories } in &PRESENT {
            let there = self.loader.client.ask(&[], &format!("SELECT {of} IN ({list})"))?;
            for line in there.lines() {
                let Some((schema, name)) = line.split_once('\t') else { continue };
                let (schema, name) = (from_hex(schema), from_hex(name));
                for (place, database) in &places {
                    if *place == schema && self.tables.has_in(database, directories, &name)? {
                        return Err(present(what, &schema, &name));
                    }
                }
            }
        }
        Ok(())
    }

    /// A database that the dump drops goes with all that is in it, be it in the dump or not.
    fn refuse_dropped_databases(&self, list: &str) -> Result<()> {
        let statement =
            format!("SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({list})");
        let there: Vec<Vec<u8>> = self.loader.client.ask(&[], &statement)?.lines().map(from_hex).collect();
        let contents = self.repository.contents()?;
        for database in self.tables.databases() {
            if there.contains(&database.name) && self.tables.is_dropped(database, &contents)? {
                let name = String::from_utf8_lossy(&database.name).into_owned();
                return Err(Error::Exists { what: "database", name });
            }
        }
        Ok(())
    }

    fn load_tables(&self, names: &[String]) -> Result<LoadReport> {
        // All are looked at before anything is changed.
        let placed = names.iter().map(|name| self.place(name)).collect::<Result<Vec<_>>>()?;
        let mut loads = Vec::new();
        for PlacedTable { what, found, database, table } in placed {
            self.make_database(Some(&database))?;
            let mut text = SqlText::whole(self.repository.contents()?, found.content, 1);
            if found.name.table != table.as_bytes() {
                text.changes = vec![Change::MysqlTable { old: found.name.table.to_vec(), new: table.into_bytes() }];
            }
            loads.push(Load { what: what.to_string(), text, arguments: vec![database.into()] });
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
        if !self.options.overwrite {
            self.refuse_present_table(&database, &table)?;
        }
        Ok(PlacedTable { what, found, database, table })
    }

    /// The database and the name that a table gets.
    fn place_of(&self, found: &TableName) -> Result<(String, String)> {
        if let Some(place) = &self.options.rename {
            let (database, table) = place
                .split_once('.')
                .filter(|(database, table)| !database.is_empty() && !table.is_empty())
                .ok_or_else(|| Error::invalid("option", "--as", "it is DATABASE.TABLE"))?;
            return Ok((database.to_string(), table.to_string()));
        }
        let database = match &self.server.database {
            Some(database) => database.clone(),
            None => text_of(found.database)?,
        };
        Ok((database, text_of(found.table)?))
    }

    fn refuse_present_table(&self, database: &str, table: &str) -> Result<()> {
        let count = self.loader.client.ask(
            &[],
            &format!(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                literal(database.as_bytes()),
                literal(table.as_bytes())
            ),
        )?;
        match count.trim() {
            "0" => Ok(()),
            _ => Err(present("table", database.as_bytes(), table.as_bytes())),
        }
    }

    fn make_database(&self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        self.loader.client.ask(&[], &format!("CREATE DATABASE IF NOT EXISTS `{}`", name.replace('`', "``"))).map(|_| ())
    }
}

fn present(what: &'static str, database: &[u8], name: &[u8]) -> Error {
    let name = format!("{}.{}", String::from_utf8_lossy(database), String::from_utf8_lossy(name));
    Error::Exists { what, name }
}

/// Any bytes as an SQL string.
fn literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("_utf8mb4 x'{digits}'")
}
