//! `restore --into`: loads a dump, or tables of it, from a snapshot into a server, by the client program that is installed; of
//! MongoDB by its driver.
//! Passwords are the client's matter: from option files or the environment, never from a command line. What else these say counts
//! where the URL leaves it out, and where it does not alter what is loaded.

mod at_once;
mod client;
mod environment;
mod failure;
mod inputs;
mod loader;
mod mongo;
mod mysql;
mod outline;
mod passages;
mod places;
mod postgres;
mod server;
mod steps;
mod tables;
mod text;

use std::ffi::OsString;
use std::path::PathBuf;

pub use self::environment::Environment;
pub use self::mongo::{MongoUrl, is_loaded, unload};
pub use self::mysql::character_set_at;
pub use self::server::{MysqlUrl, ServerUrl};

use crate::dump::layout::{FORM, XML};
use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::{Snapshot, SnapshotKind, SnapshotStatus};

/// What is to be loaded, and where.
pub struct LoadOptions {
    pub server: ServerUrl,
    /// Tables by `database.table`, which collections are too, or `database.schema.table`; none for the whole dump.
    pub tables: Vec<String>,
    /// What the one table is called there.
    pub rename: Option<String>,
    /// Replace tables that are there.
    pub overwrite: bool,
    pub left_out: LeftOut,
    /// The program, where it is not the usual one.
    pub client: Option<OsString>,
    /// What the program inherits.
    pub environment: Environment,
    /// Where the tablespaces that a dump of PostgreSQL makes get their directories, by
    /// [`tablespace_directory`](crate::dump::postgres::tablespace_directory), which are there; else these are where the dump says.
    pub tablespaces: Option<PathBuf>,
    /// Clients at the same time.
    pub threads: usize,
}

/// What of a dump is not loaded: it goes to whoever loads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Who owns what, of PostgreSQL.
    pub owners: bool,
    /// Who may do what with it, of PostgreSQL.
    pub privileges: bool,
    /// Who defines views, routines, triggers and events, of MySQL.
    pub definers: bool,
}

/// What was loaded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// `None` for a whole dump.
    pub tables: Option<u64>,
    /// Bytes of SQL, or of documents.
    pub bytes: u64,
}

/// Loads what `options` say.
///
/// # Errors
/// [`Error::NotFound`] for a table that the dump lacks, and [`Error::Exists`] where one is there and may not be replaced; nothing was
/// changed then. [`Error::Accounts`] for roles and definers that the server lacks or that the user may not name; nor then.
/// [`Error::Load`] with the statement or the document that failed; what came before it is loaded.
pub fn load(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &LoadOptions,
    monitor: &dyn Monitor,
) -> Result<LoadReport> {
    if snapshot.manifest.status == SnapshotStatus::Incomplete {
        monitor.note("the dump is incomplete: what it lacks will not be loaded");
    }
    if snapshot.manifest.facts.get(FORM).is_some_and(|form| form == XML) {
        let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
        return Err(Error::invalid("snapshot", name, "it holds a dump in XML, which no client loads"));
    }
    options.left_out.refuse_unfit(snapshot.manifest.kind)?;
    match (snapshot.manifest.kind, &options.server) {
        (SnapshotKind::Mysql, ServerUrl::Mysql(server)) => mysql::load(repository, snapshot, server, options, monitor),
        (SnapshotKind::Postgres, ServerUrl::Postgres(server)) => {
            postgres::load(repository, snapshot, server, options, monitor)
        }
        (SnapshotKind::Mongo, ServerUrl::Mongo(server)) => mongo::load(repository, snapshot, server, options, monitor),
        (kind, _) => {
            let reason = match kind {
                SnapshotKind::Mysql => "it holds a dump of MySQL or MariaDB, whose URLs begin with mysql: or mariadb:",
                SnapshotKind::Postgres => "it holds a dump of PostgreSQL, whose URLs begin with postgres:",
                SnapshotKind::Mongo => "it holds a dump of MongoDB, whose URLs begin with mongodb:",
                _ => "it holds no dump of MySQL, MariaDB, PostgreSQL or MongoDB that was ingested as one",
            };
            let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
            Err(Error::invalid("snapshot", name, reason))
        }
    }
}

impl LeftOut {
    /// Refuses what dumps of this kind do not have.
    fn refuse_unfit(self, kind: SnapshotKind) -> Result<()> {
        let [of_postgres, of_mysql] =
            ["only dumps of PostgreSQL have those", "only dumps of MySQL and MariaDB have those"];
        let options = [
            ("--no-owner", self.owners, SnapshotKind::Postgres, of_postgres),
            ("--no-privileges", self.privileges, SnapshotKind::Postgres, of_postgres),
            ("--without-definer", self.definers, SnapshotKind::Mysql, of_mysql),
        ];
        match options.into_iter().find(|(_, is_given, of, _)| *is_given && *of != kind) {
            Some((option, _, _, reason)) => Err(Error::invalid("option", option, reason)),
            None => Ok(()),
        }
    }
}
