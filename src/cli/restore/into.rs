//! `yesterfs restore --into`

use std::ffi::OsString;

use clap::Args;
use yesterfs::load::{Environment, LoadOptions, LoadReport, ServerUrl, load};
use yesterfs::repository::Repository;
use yesterfs::repository::snapshot::{Snapshot, SnapshotKind};

use super::Restore;
use crate::cli::exit::{CommandResult, Failure, Outcome};
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
    /// or environment (MYSQL_PWD, PGPASSWORD), but nothing that contradicts the URL or alters sessions (PGOPTIONS). Dumps of MongoDB need no program; the password is in MONGODB_PASSWORD, or in a
    /// configuration file of MongoDB's programs.
    #[arg(long, value_name = "URL", conflicts_with_all = ["dry_run", "delete", "verify", "numeric_ids"])]
    into: Option<String>,

    /// Load only this table, with its rows and triggers, or this collection, with its indexes; may be given several times. Tables
    /// of PostgreSQL have their schema in front: DATABASE.SCHEMA.TABLE
    #[arg(long = "table", value_name = "DATABASE.TABLE", requires = "into", conflicts_with = "to")]
    tables: Vec<String>,

    /// Give the one table or collection this name; of PostgreSQL DATABASE.SCHEMA.TABLE, where names that have dots are in double quotes
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
    let report = result?;
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
