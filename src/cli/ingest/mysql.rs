//! `yesterfs ingest mysql`

use clap::Args;
use yesterfs::ingest::dump::DumpRules;
use yesterfs::ingest::mysql::{ingest_mysql, is_mydumper};

use super::dump::DumpArgs;
use crate::cli::exit::CommandResult;
use crate::cli::invocation::Invocation;

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest mysql --source shop -- mariadb-dump --single-transaction --routines --events --databases shop
  yesterfs ingest mysql --source shop shop.sql
  yesterfs ingest mysql --source shop shop.sql.gz
  yesterfs ingest mysql --source shop /var/backups/mydumper
  yesterfs ingest mysql --source all --stream a.sql='mysqldump a' --stream b.sql='mysqldump b'";

/// Make a snapshot of a dump of MySQL or MariaDB
///
/// The snapshot holds dump.sql, the dump as it is, and every table, view, routine, event and sequence of it as files that
/// take no room of their own. tables/NAME/restore.sql loads one table, with rows and triggers, into any database. _meta tells
/// where the binary log stood, and how many rows each part has. A dump that gzip, zstd, bzip2, xz or lz4 compressed is
/// unwrapped, wherever it comes from. A directory that mydumper wrote is one dump: its files are put together in the order in
/// which they load, and kept as they are in _original. A dump that is cut short, or whose command fails, makes no snapshot.
/// Passwords in command lines are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Mysql {
    #[command(flatten)]
    dump: DumpArgs,

    /// Leave the DEFINER of triggers out of each restore.sql, so that they belong to whoever loads it
    #[arg(long)]
    restore_without_definer: bool,
}

pub fn run(args: Mysql, invocation: &Invocation) -> CommandResult {
    let rules = DumpRules { restore_without_definer: args.restore_without_definer, ..DumpRules::default() };
    args.dump.run(ingest_mysql, rules, is_mydumper, invocation)
}
