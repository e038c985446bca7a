//! Loading into MySQL and MariaDB.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::load::client::{Client, Taker};
use crate::load::failure::failed_statement;
use crate::load::server::ServerUrl;
use crate::load::tables::{DumpTables, FoundTable};
use crate::load::text::SqlText;
use crate::load::{LoadOptions, LoadReport};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;

/// The programs that are looked for.
const CLIENTS: [&str; 2] = ["mariadb", "mysql"];

/// `--binary-mode` lets strings hold any byte, and the text no commands to the client; files of this machine are not given
/// to the server.
const ARGUMENTS: [&str; 5] =
    ["--batch", "--skip-column-names", "--binary-mode", "--local-infile=0", "--max-allowed-packet=1073741824"];

/// One text on its way to the server.
struct Load<'a> {
    /// For messages.
    what: String,
    text: SqlText<'a>,
    database: Option<String>,
}

/// One run.
struct Run<'a> {
    repository: &'a Repository,
    tables: DumpTables<'a>,
    client: Client,
    options: &'a LoadOptions,
    monitor: &'a dyn Monitor,
}

pub fn load(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &LoadOptions,
    monitor: &dyn Monitor,
) -> Result<LoadReport> {
    let tables = DumpTables::of(repository.tree()?, &snapshot.manifest.root)?;
    let client = client(options);
    let run = Run { repository, tables, client, options, monitor };
    match options.tables.as_slice() {
        [] => run.load_dump(snapshot),
        names => run.load_tables(names),
    }
}

fn client(options: &LoadOptions) -> Client {
    let ServerUrl { user, host, port, socket, defaults_file, database: _ } = &options.server;
    let usual = CLIENTS.into_iter().find(|name| is_installed(name)).unwrap_or(CLIENTS[0]);
    let program = options.client.clone().unwrap_or_else(|| usual.into());
    // An option file has to come first.
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: Option<String>| {
        arguments.extend(value.map(|value| OsString::from(format!("--{option}={value}"))));
    };
    add("defaults-file", defaults_file.clone());
    add("user", user.clone());
    add("host", host.clone());
    add("port", port.map(|port| port.to_string()));
    add("socket", socket.clone());
    arguments.extend(ARGUMENTS.map(OsString::from));
    Client { program, arguments }
}

fn is_installed(program: &str) -> bool {
    let places = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&places).any(|place| Path::new(&place).join(program).is_file())
}

impl<'a> Run<'a> {
    /// The whole dump, as if it were piped into the client.
    fn load_dump(&self, snapshot: &Snapshot) -> Result<LoadReport> {
        let node = self.repository.tree()?.lookup_path(&snapshot.manifest.root, b"dump.sql")?;
        let content = node.and_then(|node| node.content().cloned());
        let content = content.ok_or_else(|| Error::corrupt("the snapshot", "it has no dump.sql"))?;
        let database = self.database_of_dump()?;
        if !self.options.overwrite {
            self.refuse_present_tables(database.as_deref())?;
        }
        self.make_database(database.as_deref())?;
        let bytes = content.size;
        Counters::add(&self.monitor.counters().bytes_expected, bytes);
        let text =
            SqlText { contents: self.repository.contents()?, content, rename: None, threads: self.options.threads };
        self.run(&Load { what: "the dump".into(), text, database })?;
        Ok(LoadReport { tables: None, bytes })
    }

    /// The database for what the dump names none for.
    fn database_of_dump(&self) -> Result<Option<String>> {
        if let Some(database) = &self.options.server.database {
            return Ok(Some(database.clone()));
        }
        for database in self.tables.databases() {
            if !self.tables.is_named(database)? {
                return text_of(&database.name).map(Some);
            }
        }
        Ok(None)
    }

    /// Looks whether the server has tables that the dump would replace.
    fn refuse_present_tables(&self, unnamed: Option<&str>) -> Result<()> {
        let mut places = Vec::new();
        for database in self.tables.databases() {
            let goes_to = match (self.tables.is_named(database)?, unnamed) {
                (false, Some(unnamed)) => unnamed.as_bytes().to_vec(),
                _ => database.name.clone(),
            };
            places.push((goes_to, &database.name));
        }
        let list: Vec<String> = places.iter().map(|(place, _)| literal(place)).collect();
        if list.is_empty() {
            return Ok(());
        }
        let there = self.client.ask(&format!(
            "SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({})",
            list.join(", ")
        ))?;
        for line in there.lines() {
            let Some((schema, table)) = line.split_once('\t') else { continue };
            let (schema, table) = (from_hex(schema), from_hex(table));
            for (place, database) in &places {
                if *place == schema && self.tables.has(database, &table)? {
                    return Err(present(&schema, &table));
                }
            }
        }
        Ok(())
    }

    fn load_tables(&self, names: &[String]) -> Result<LoadReport> {
        let mut loads = Vec::new();
        for name in names {
            let found = self.tables.find(name)?;
            let (database, table) = self.place_of(&found)?;
            if !self.options.overwrite {
                self.refuse_present_table(&database, &table)?;
            }
            self.make_database(Some(&database))?;
            Counters::add(&self.monitor.counters().bytes_expected, found.content.size);
            let rename = Some((found.table, table.into_bytes())).filter(|(old, new)| old != new);
            let contents = self.repository.contents()?;
            let text = SqlText { contents, content: found.content, rename, threads: 1 };
            loads.push(Load { what: name.clone(), text, database: Some(database) });
        }
        let report = LoadReport { tables: Some(loads.len() as u64), bytes: loads.iter().map(Load::bytes).sum() };
        self.run_all(loads)?;
        Ok(report)
    }

    /// The database and the name that a table gets.
    fn place_of(&self, found: &FoundTable) -> Result<(String, String)> {
        if let Some(place) = &self.options.rename {
            let (database, table) = place
                .split_once('.')
                .filter(|(database, table)| !database.is_empty() && !table.is_empty())
                .ok_or_else(|| Error::invalid("option", "--as", "it is DATABASE.TABLE"))?;
            return Ok((database.to_string(), table.to_string()));
        }
        let database = match &self.options.server.database {
            Some(database) => database.clone(),
            None => text_of(&found.database)?,
        };
        Ok((database, text_of(&found.table)?))
    }

    fn refuse_present_table(&self, database: &str, table: &str) -> Result<()> {
        let count = self.client.ask(&format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(database.as_bytes()),
            literal(table.as_bytes())
        ))?;
        match count.trim() {
            "0" => Ok(()),
            _ => Err(present(database.as_bytes(), table.as_bytes())),
        }
    }

    fn make_database(&self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        self.client.ask(&format!("CREATE DATABASE IF NOT EXISTS `{}`", name.replace('`', "``"))).map(|_| ())
    }

    /// Several clients take one table after the other, until one fails.
    fn run_all(&self, loads: Vec<Load<'_>>) -> Result<()> {
        let clients = self.options.threads.clamp(1, loads.len().max(1));
        let (waiting, failed) = (Mutex::new(loads.into_iter()), Mutex::new(None));
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    // Poisoned, both still hold what they held.
                    let next = || waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                    let first_failure = || failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    while first_failure().is_none()
                        && let Some(load) = next()
                    {
                        if let Err(error) = self.run(&load) {
                            first_failure().get_or_insert(error);
                        }
                        Counters::add(&self.monitor.counters().entries, 1);
                    }
                });
            }
        });
        failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).map_or(Ok(()), Err)
    }

    fn run(&self, load: &Load<'_>) -> Result<()> {
        let complaint = self.client.feed(load.database.as_deref(), |take: Taker<'_>| {
            load.text.each_piece(&mut |piece| {
                if self.monitor.is_cancelled() {
                    return Err(Error::Interrupted);
                }
                Counters::add(&self.monitor.counters().bytes, piece.len() as u64);
                take(piece)
            })
        })?;
        let Err(complaint) = complaint else { return Ok(()) };
        let statement = failed_statement(&load.text, &complaint.text)?;
        let statement = statement.map(|text| format!(", in the statement: {text}")).unwrap_or_default();
        Err(self.client.failed(&format!("loading {}", load.what), format!("{}{statement}", complaint.text)))
    }
}

impl Load<'_> {
    fn bytes(&self) -> u64 {
        self.text.content.size
    }
}

fn present(database: &[u8], table: &[u8]) -> Error {
    let name = format!("{}.{}", String::from_utf8_lossy(database), String::from_utf8_lossy(table));
    Error::Exists { what: "table", name }
}

fn text_of(name: &[u8]) -> Result<String> {
    String::from_utf8(name.to_vec())
        .map_err(|_| Error::invalid("name", String::from_utf8_lossy(name), "it is not UTF-8; name the place with --as"))
}

/// Any bytes as an SQL string.
fn literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("_utf8mb4 x'{digits}'")
}

fn from_hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
