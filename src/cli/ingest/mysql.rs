//! `yesterfs ingest mysql`

use clap::{Args, ValueEnum};
use yesterfs::dump::mysql::tab::{FieldForm, FieldWords};
use yesterfs::ingest::dump::{DumpForm, DumpRules};
use yesterfs::ingest::mysql::{directory_form, ingest_mysql};

use super::dump::{DumpArgs, DumpPlaces, TEXT_SUFFIX};
use crate::cli::exit::CommandResult;
use crate::cli::invocation::Invocation;

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest mysql --source shop -- mariadb-dump --single-transaction --routines --events --databases shop
  yesterfs ingest mysql --source shop shop.sql
  yesterfs ingest mysql --source shop shop.sql.gz
  yesterfs ingest mysql --source shop /var/backups/mydumper
  mariadb-dump --tab=/var/backups/tab shop && yesterfs ingest mysql --source shop /var/backups/tab
  yesterfs ingest mysql --source all --stream a.sql='mysqldump a' --stream b.sql='mysqldump b'";

/// Make a snapshot of a dump of MySQL or MariaDB
///
/// The snapshot holds dump.sql, the dump as it is, and every table, view, routine, event and sequence of it as files that
/// take no room of their own. tables/NAME/restore.sql loads one table, with rows and triggers, into any database. _meta tells
/// where the binary log stood, and how many rows each part has. A dump that gzip, zstd, bzip2, xz or lz4 compressed is
/// unwrapped, wherever it comes from. A directory that mydumper wrote is one dump: its files are put together in the order in
/// which they load, and kept as they are in _original. So is one that mysqldump --tab, mariadb-dump --tab or MySQL Shell filled, of
/// whose rows statements are made. What --xml prints becomes files of XML. A dump that is cut short, or whose command fails, makes no
/// snapshot. Passwords in command lines are not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Mysql {
    #[command(flatten)]
    dump: DumpArgs<Format>,

    /// Leave the DEFINER of triggers out of each restore.sql, so that they belong to whoever loads it
    #[arg(long)]
    restore_without_definer: bool,

    /// What ends each value in files of rows of --tab, as that was told mysqldump: a string, in which \t and such mean what they mean
    /// in SQL, or 0x and hexadecimal digits [default: \t]
    #[arg(long, value_name = "STRING", help_heading = "Files of rows", allow_hyphen_values = true)]
    fields_terminated_by: Option<String>,

    /// What encloses values there, or only strings [default: nothing]
    #[arg(long, value_name = "BYTE", help_heading = "Files of rows", visible_alias = "fields-optionally-enclosed-by")]
    fields_enclosed_by: Option<String>,

    /// What stands there before a byte that would mean something else; empty for nothing [default: \]
    #[arg(long, value_name = "BYTE", help_heading = "Files of rows")]
    fields_escaped_by: Option<String>,

    /// What ends each row there [default: \n]
    #[arg(long, value_name = "STRING", help_heading = "Files of rows")]
    lines_terminated_by: Option<String>,
}

/// What a dump is, in words of the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// What mysqldump and mariadb-dump print
    Sql,
    /// The same with --xml
    Xml,
    /// A directory that mysqldump --tab filled
    Tab,
    /// A directory that mydumper filled
    Mydumper,
    /// A directory that MySQL Shell filled
    Shell,
}

impl From<Format> for DumpForm {
    fn from(format: Format) -> DumpForm {
        match format {
            Format::Sql => DumpForm::Text,
            Format::Xml => DumpForm::Xml,
            Format::Tab => DumpForm::Tab,
            Format::Mydumper => DumpForm::Mydumper,
            Format::Shell => DumpForm::Shell,
        }
    }
}

const PLACES: DumpPlaces = DumpPlaces { suffixes: &[TEXT_SUFFIX], directory_form, taken_within: &[DumpForm::Tab] };

pub fn run(args: Mysql, invocation: &Invocation) -> CommandResult {
    let rows = FieldForm::from_words(FieldWords {
        fields_terminated_by: args.fields_terminated_by.as_deref(),
        fields_enclosed_by: args.fields_enclosed_by.as_deref(),
        fields_escaped_by: args.fields_escaped_by.as_deref(),
        lines_terminated_by: args.lines_terminated_by.as_deref(),
    })?;
    let rules = DumpRules { restore_without_definer: args.restore_without_definer, rows, ..DumpRules::default() };
    args.dump.run(ingest_mysql, rules, &PLACES, invocation)
}
