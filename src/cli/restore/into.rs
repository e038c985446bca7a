//! `yesterfs restore --into`

use std::ffi::OsString;

use clap::Args;
use yesterfs::error::Error;
use yesterfs::load::{Environment, LeftOut, LoadOptions, LoadReport, ServerUrl, load};
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
    /// A dump that names no database goes into DATABASE, or else into the one that it was taken of, as each of several does; it is
    /// made where it is missing. The program mariadb, or else mysql, does it, or psql. It takes passwords, and what the URL leaves out, from its own files
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

    /// Leave out who owns what a dump of PostgreSQL makes: whoever loads it does, as with pg_restore --no-owner
    #[arg(long, requires = "into", conflicts_with = "to")]
    no_owner: bool,

    /// Leave out what a dump of PostgreSQL grants and revokes, as with pg_restore --no-privileges
    #[arg(long, requires = "into", conflicts_with = "to")]
    no_privileges: bool,

    /// Leave out who defines views, routines, triggers and events of MySQL: whoever loads them does
    #[arg(long, requires = "into", conflicts_with = "to")]
    without_definer: bool,

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
    let Into { into, tables, rename, overwrite, no_owner, no_privileges, without_definer, client } = &args.server;
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
        left_out: LeftOut { owners: *no_owner, privileges: *no_privileges, definers: *without_definer },
        client: client.clone(),
        environment: Environment::OfUser,
        tablespaces: None,
        threads: processors(args.threads),
    };
    let result = load(repository, snapshot, &options, terminal);
    terminal.finish();
    let report = result.map_err(|error| told(error, repository, snapshot, &options))?;
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
fn told(error: Error, repository: &Repository, snapshot: &Snapshot, options: &LoadOptions) -> Failure {
    let hint = match (&error, snapshot.manifest.kind, options.tables.len()) {
        (Error::Interrupted, SnapshotKind::Postgres, 0) => {
            "what was loaded stays in the server; drop the database, then run the same command again"
        }
        (Error::Interrupted, SnapshotKind::Postgres, _) => {
            "a database has all of its tables, or none of them; run the same command again, with --overwrite where it has"
        }
        (Error::Interrupted, ..) => {
            "what was loaded stays in the server; drop it, or run the command again with --overwrite"
        }
        (Error::Exists { what: "database", .. }, _, 0) => {
            "--overwrite drops it, with all that is in it; or load tables of the dump with --table"
        }
        (Error::Exists { .. }, SnapshotKind::Postgres, 0) => {
            "a dump that was made with --clean replaces it with --overwrite; else drop the database first, or load tables with --table"
        }
        (Error::Exists { what: "table" | "collection", .. }, _, 1) => {
            "--overwrite replaces it, --as gives the one in the snapshot another name"
        }
        (Error::Exists { what: "procedure" | "function" | "package" | "event", .. }, ..) => "--overwrite replaces it",
        (Error::Exists { .. }, ..) => {
            "--overwrite replaces it; one that is loaded alone, with --table, gets another name with --as"
        }
        (Error::OtherKind { .. }, ..) => {
            "drop it first, or give it another name: what is of another kind is not replaced, not even with --overwrite"
        }
        (Error::Load { reason, .. }, SnapshotKind::Postgres, 1..)
            if reason.contains("violates foreign key constraint") =>
        {
            "nothing of it was loaded: rows that it refers to are gone; load it into another database, with the table that has those"
        }
        (Error::Accounts { what: "definers", .. }, ..) => "--without-definer makes whoever loads it the definer",
        (Error::Accounts { what: "owners", .. }, ..) if options.left_out.owners => {
            "--no-privileges leaves out what is granted, and by whom"
        }
        (Error::Accounts { what: "owners", .. }, ..) => "--no-owner lets whoever loads it own all",
        (Error::Accounts { .. }, ..) if options.left_out.owners && options.left_out.privileges => {
            "make them first: policies and mappings of users are not left out"
        }
        (Error::Accounts { .. }, ..) => {
            "make them first; or --no-owner leaves out who owns what, --no-privileges what is granted"
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
