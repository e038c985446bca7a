//! `yesterfs restore --into`

use std::ffi::OsString;

use clap::Args;
use yesterfs::error::Error;
use yesterfs::load::{Environment, LoadOptions, LoadReport, ServerUrl, load};
use yesterfs::repository::Repository;
use yesterfs::repository::snapshot::{Snapshot, SnapshotKind};

use super::Restore;
use crate::cli::exit::{CommandResult, Failure, Outcome};
use crate::cli::hint;
use crate::cli::invocation::{Invocation, processors};
use crate::cli::output::{Output, Record, counted, human_duration, human_size};
use crate::cli::progress::Terminal;

/// Options for loading into a server.
#[derive(Args)]
#[command(next_help_heading = "Into a server")]
pub struct Into {
    /// The server to load a dump into: mysql://USER@HOST:PORT/DATABASE?socket=PATH&defaults-file=PATH, or
    /// postgres://USER@HOST:PORT/DATABASE, each part optional; or mongodb://USER@HOST:PORT/?config=FILE
    ///
    /// The program mariadb, or else mysql, does it, or psql. It takes passwords, and what the URL leaves out, from its own files
    /// or environment (MYSQL_PWD, PGPASSWORD), but nothing that contradicts the URL or alters sessions (PGOPTIONS). Dumps of
    /// MongoDB need no program; the password is in MONGODB_PASSWORD, or in a configuration file of MongoDB's programs.
    #[arg(long, value_name = "URL", conflicts_with_all = ["dry_run", "delete", "verify", "numeric_ids"])]
    into: Option<String>,

    /// Load only this table, with its rows and triggers, or this collection, with its indexes; may be given several times. Tables
    /// of PostgreSQL have their schema in front: DATABASE.SCHEMA.TABLE. Names may stand in quotes as the database has them
    #[arg(long = "table", value_name = "DATABASE.TABLE", requires = "into", conflicts_with = "to")]
    tables: Vec<String>,

    /// Give the one table or collection this name; of PostgreSQL DATABASE.SCHEMA.TABLE, where names that have dots are in double
    /// quotes
    #[arg(long = "as", value_name = "DATABASE.TABLE", requires = "tables")]
    rename: Option<String>,

    /// Replace tables and collections that the server has
    #[arg(long, requires = "into", conflicts_with = "to")]
    overwrite: bool,

    /// The program to load with [default: mariadb, else mysql; psql]
    #[arg(long, value_name = "PROGRAM", requires = "into", conflicts_with = "to")]
    client: Option<OsString>,
}

/// Loads a snapshot, all of it or tables, into a server.
pub fn run(
    args: &Restore,
    repository: &Repository,
    (snapshot, path): (&Snapshot, &[u8]),
    terminal: &Terminal,
    invocation: &Invocation,
) -> CommandResult {
    let Into { into, tables, rename, overwrite, client } = &args.server;
    // Read only here: a complaint about an option shows its value, and this one may hold a password.
    let Some(server) = into.as_deref().map(str::parse::<ServerUrl>).transpose()? else { return Ok(Outcome::Done) };
    if !path.is_empty() {
        let hint = "leave the path out, and name tables with --table DATABASE.TABLE";
        return Err(Failure::Usage { problem: "a server takes a dump or its tables, not a path", hint });
    }
    if rename.is_some() && tables.len() > 1 {
        let hint = "load the tables one by one";
        return Err(Failure::Usage { problem: "--as names one table, and several are to be loaded", hint });
    }
    let options = LoadOptions {
        server,
        tables: tables.clone(),
        rename: rename.clone(),
        overwrite: *overwrite,
        client: client.clone(),
        environment: Environment::OfUser,
        tablespaces: None,
        threads: processors(args.threads),
    };
    let result = load(repository, snapshot, &options, terminal);
    terminal.finish();
    let report = result.map_err(|error| told(error, repository, snapshot, tables.len()))?;
    let mut output = Output::default();
    if args.json {
        output.record(&summary_record(&report, terminal))?;
    } else if !invocation.quiet {
        output.line(summary(&report, snapshot.manifest.kind, terminal))?;
        if tables.is_empty() {
            super::tell_of_operations(&snapshot.manifest, path);
        }
    }
    output.flush()?;
    Ok(Outcome::Done)
}

/// The failure of a load, with what can be done about it: of a whole dump where no tables are named.
fn told(error: Error, repository: &Repository, snapshot: &Snapshot, tables: usize) -> Failure {
    let hint = match (&error, snapshot.manifest.kind, tables) {
        (Error::Interrupted, SnapshotKind::Postgres, 0) => {
            "what was loaded stays in the server; drop the database, then run the same command again"
        }
        (Error::Interrupted, SnapshotKind::Postgres, _) => {
            "a database has all of its tables, or none of them; run the same command again, with --overwrite where it has"
        }
        (Error::Interrupted, ..) => {
            "what was loaded stays in the server; drop it, or run the command again with --overwrite"
        }
        (Error::Exists { what: "table", .. }, SnapshotKind::Postgres, 0) => {
            "a whole dump of PostgreSQL replaces nothing: drop the database first, or load tables with --table"
        }
        (Error::Exists { what: "table" | "collection", .. }, _, 1) => {
            "--overwrite replaces it, --as gives the one in the snapshot another name"
        }
        (Error::Exists { what: "table" | "collection", .. }, ..) => {
            "--overwrite replaces it; one that is loaded alone, with --table, gets another name with --as"
        }
        _ => return hint::unknown_table(error, repository, &[snapshot]),
    };
    Failure::Hinted { error, hint: hint.to_string() }
}

fn summary(report: &LoadReport, kind: SnapshotKind, terminal: &Terminal) -> String {
    let ([one, many], language) = match kind {
        SnapshotKind::Mongo => (["collection", "collections"], "BSON"),
        _ => (["table", "tables"], "SQL"),
    };
    let what = match report.tables {
        Some(count) => counted(count, one, many),
        None => "the dump".to_string(),
    };
    format!("loaded {what}: {} of {language}; {}", human_size(report.bytes), human_duration(terminal.elapsed_seconds()))
}

fn summary_record(report: &LoadReport, terminal: &Terminal) -> Record {
    Record::new("load")
        .put("tables", report.tables)
        .put("bytes", report.bytes)
        .put("seconds", terminal.elapsed_seconds())
}
