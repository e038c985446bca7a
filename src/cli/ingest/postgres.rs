//! `yesterfs ingest postgres`

use clap::{Args, ValueEnum};
use yesterfs::ingest::dump::{DumpForm, DumpRules};
use yesterfs::ingest::postgres::{directory_form, ingest_postgres};

use super::dump::{DUMP_SUFFIXES, DumpArgs, DumpPlaces};
use crate::cli::exit::CommandResult;
use crate::cli::invocation::Invocation;

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest postgres --source shop --database shop -- pg_dump shop
  yesterfs ingest postgres --source cluster -- pg_dumpall
  yesterfs ingest postgres --source shop shop.sql
  yesterfs ingest postgres --source shop /var/backups/shop.dir
  yesterfs ingest postgres --source all /var/backups/all";

/// Make a snapshot of a dump of PostgreSQL
///
/// The snapshot holds dump.sql, the dump as it is, and every table, view, function, type, sequence and all else of it as files
/// that take no room of their own. tables/NAME/restore.sql loads one table into any database, with its rows, sequences,
/// indexes, constraints, triggers and privileges. _meta tells how many rows each part has. Of what pg_dump writes for
/// pg_restore, be it a directory (-Fd), tar (-Ft) or one file (-Fc), dump.sql is the text that pg_restore makes of it, and
/// _original has the archive, or what rebuild makes it of. A dump that is cut short, or whose command fails, makes no snapshot. Passwords in command lines
/// are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Postgres {
    #[command(flatten)]
    dump: DumpArgs<Format>,
}

/// What a dump is, in the words of pg_dump.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Text, as pg_dump and pg_dumpall print it
    Plain,
    /// What pg_dump -Fc writes
    Custom,
    /// What pg_dump -Ft writes
    Tar,
    /// What pg_dump -Fd writes
    Directory,
}

impl From<Format> for DumpForm {
    fn from(format: Format) -> DumpForm {
        match format {
            Format::Plain => DumpForm::Text,
            Format::Custom => DumpForm::Custom,
            Format::Tar => DumpForm::Tar,
            Format::Directory => DumpForm::Directory,
        }
    }
}

const PLACES: DumpPlaces =
    DumpPlaces { suffixes: &DUMP_SUFFIXES, directory_form, taken_within: &[DumpForm::Directory] };

pub fn run(args: Postgres, invocation: &Invocation) -> CommandResult {
    args.dump.run(ingest_postgres, DumpRules::default(), &PLACES, invocation)
}
