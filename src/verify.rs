//! `verify`: the restore drill. A server is started for it, the dump of a snapshot is loaded there as `restore --into` does it,
//! dumped again by the same kind of tool, and compared with the snapshot row by row. The catalog keeps what was found.

mod compare;
mod globals;
mod mongo;
mod mysql;
mod place;
mod postgres;
mod programs;
mod row_options;
mod server;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use self::compare::Comparing;
pub use self::compare::VerifiedTable;
use self::mongo::MongoEngine;
use self::mysql::MysqlEngine;
use self::place::ScratchPlace;
use self::postgres::PostgresEngine;
use self::server::{Engine, ScratchServer};
use crate::error::{Error, Result};
use crate::load::{LeftOut, LoadOptions, load};
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::drill::{Drill, FailedDrill};
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::time::Clock;

/// Which server the drill is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrillServer {
    /// MySQL or MariaDB.
    Mysql,
    Postgres,
    Mongo,
}

/// How a drill is done.
pub struct VerifyOptions {
    pub with: DrillServer,
    /// The directory of the server's programs, where they are not at one of the usual places.
    pub server_bin: Option<PathBuf>,
    /// Where the server gets a directory of its own.
    pub temporary_directory: PathBuf,
    /// Leave that directory where something was not equal, or failed.
    pub keep: bool,
    /// About so many bytes of rows that differ are kept in memory, and more in files.
    pub memory_bytes: usize,
    /// Threads that decode and compress.
    pub threads: usize,
}

/// Does the drill, gives each table to `tell`, and records what was found.
///
/// # Errors
/// [`Error::Load`] where the server does not take the dump, which is recorded, or cannot be started or dumped, which is not.
/// [`Error::NotStarted`] where the program that loads cannot be. [`Error::Invalid`] for a snapshot of anything else. Those of `tell`.
pub fn verify(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &VerifyOptions,
    clock: &Clock,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&VerifiedTable) -> Result<()>,
) -> Result<Drill> {
    check_kind(snapshot, options.with)?;
    let place = ScratchPlace::new(&options.temporary_directory, monitor)?;
    // Its programs start in a directory of the drill's own.
    let absolute = |bin: &PathBuf| std::path::absolute(bin).map_err(Error::io("find", bin));
    let bin = options.server_bin.as_ref().map(absolute).transpose()?;
    let bin = bin.as_deref();
    let engine: Result<Box<dyn Engine>> = match options.with {
        DrillServer::Mysql => MysqlEngine::new(bin, repository, snapshot, monitor).map(|engine| Box::new(engine) as _),
        DrillServer::Postgres => PostgresEngine::new(bin).map(|engine| Box::new(engine) as _),
        DrillServer::Mongo => MongoEngine::new(bin).map(|engine| Box::new(engine) as _),
    };
    let result = engine.and_then(|engine| {
        let engine = engine.as_ref();
        Run { repository, snapshot, options, place: &place, engine, clock, monitor }.drill(tell)
    });
    // Whatever failed then, failed because the user asked to stop.
    let result = if monitor.is_cancelled() { Err(Error::Interrupted) } else { result };
    let is_good = result.as_ref().is_ok_and(Drill::is_equal);
    if options.keep && !is_good && !monitor.is_cancelled() {
        monitor.note(&format!("the server's directory is left at {}", place.keep().display()));
    }
    let drill = result?;
    repository.record_drill(snapshot.id, &drill)?;
    Ok(drill)
}

fn check_kind(snapshot: &Snapshot, with: DrillServer) -> Result<()> {
    let manifest = &snapshot.manifest;
    let reason = match (manifest.kind, with) {
        (SnapshotKind::Mysql, DrillServer::Mysql)
        | (SnapshotKind::Postgres, DrillServer::Postgres)
        | (SnapshotKind::Mongo, DrillServer::Mongo) => return Ok(()),
        (SnapshotKind::Mysql, _) => "it holds a dump of MySQL or MariaDB: --with mysql",
        (SnapshotKind::Postgres, _) => "it holds a dump of PostgreSQL: --with postgres",
        (SnapshotKind::Mongo, _) => "it holds a dump of MongoDB: --with mongo",
        _ => "it holds no dump of MySQL, MariaDB, PostgreSQL or MongoDB that was ingested as one",
    };
    Err(Error::invalid("snapshot", format!("{}@{}", manifest.source, manifest.name), reason))
}

/// One drill.
struct Run<'a> {
    repository: &'a Repository,
    snapshot: &'a Snapshot,
    options: &'a VerifyOptions,
    place: &'a ScratchPlace<'a>,
    engine: &'a dyn Engine,
    clock: &'a Clock,
    monitor: &'a dyn Monitor,
}

impl Run<'_> {
    fn drill(&self, tell: &mut dyn FnMut(&VerifiedTable) -> Result<()>) -> Result<Drill> {
        let Run { repository, snapshot, options, place, engine, clock, monitor } = *self;
        let mut server = ScratchServer::start(engine, place, monitor)?;
        engine.prepare(place, repository, snapshot, monitor)?;
        if let Err(error) = self.load(&server) {
            self.record_failure(&error)?;
            return Err(error);
        }
        if engine.is_to_be_restarted(repository, snapshot)? {
            server.restart(monitor)?;
        }
        let comparing = Comparing { repository, snapshot, options, place, clock, monitor };
        let dumped = comparing.dump(engine)?;
        server.stop();
        let (tables, rows, tables_different) = comparing.tables(&dumped, tell)?;
        Ok(Drill { time: clock(), server: dumped.server_version(), tables, rows, tables_different })
    }

    /// What the server refuses, the next one would, too. Where the user ended it or a program is missing, nothing is known.
    fn record_failure(&self, error: &Error) -> Result<()> {
        if !matches!(error, Error::Load { .. }) || self.monitor.is_cancelled() {
            return Ok(());
        }
        let failure = FailedDrill::new((self.clock)(), error.to_string());
        self.repository.record_failed_drill(self.snapshot.id, &failure)
    }

    /// Loads the dump. A client that waits for the server knows nothing of users who gave up, so that the server ends then.
    fn load(&self, server: &ScratchServer) -> Result<()> {
        let options = LoadOptions {
            server: self.engine.url(self.place)?,
            tables: Vec::new(),
            rename: None,
            overwrite: self.engine.loads_over_what_is_there(),
            left_out: LeftOut::default(),
            client: Some(self.engine.client()),
            environment: self.place.environment(),
            tablespaces: self.engine.tablespaces(self.place),
            threads: self.options.threads,
        };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| server.end_if_cancelled(self.monitor, &is_over));
            let loaded = load(self.repository, self.snapshot, &options, self.monitor);
            is_over.store(true, Ordering::Relaxed);
            loaded.map(|_| ())
        })
    }
}
