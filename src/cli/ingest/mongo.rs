//! `yesterfs ingest mongo`

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::mongo::ExportForm;
use yesterfs::error::Error;
use yesterfs::ingest::mongo::{
    ArchiveInput, ExportInput, ExportOf, MongoInput, MongoOptions, ToolCommand, Written, ingest_mongo,
};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Monitor;

use super::SnapshotArgs;
use super::dump::{DumpPlaces, KeptOriginal, dumps_in, parse_size, stem_of_dump, without_wrapping};
use super::stream::{parse_stream, standard_input};
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::invocation::{Invocation, clock, processors};
use crate::cli::tip::refuse_command;

const EXAMPLES: &str = "\
Examples:
  yesterfs ingest mongo --source shop -- mongodump --archive --oplog
  yesterfs ingest mongo --source shop dump/
  yesterfs ingest mongo --source shop shop.archive
  yesterfs ingest mongo --source all /var/backups/archives
  yesterfs ingest mongo --source shop -- mongoexport --db shop --collection orders
  yesterfs ingest mongo --source shop -- mongoexport --db shop --collection orders --out orders.json
  yesterfs ingest mongo --source shop --database shop exports/";

/// Make a snapshot of a dump of MongoDB, or of exports
///
/// PATH is what mongodump or mongoexport wrote: a directory with directories of databases, or an archive; an export of a
/// collection as JSON or CSV; or a directory of archives or of exports. Several archives, each of databases of its own, make one
/// snapshot, and so do several exports. The snapshot holds the files of a dump's directory, which mongorestore
/// and bsondump take from the mount or from where restore put them; an archive is taken apart into them, and can be read as
/// _original/dump.archive too, one of several under its own name, which takes no room of its own. An export is in DATABASE/COLLECTION.json or .csv, which
/// mongoimport takes. What is compressed is unwrapped, so that it takes no more than what was not. The snapshot tells versions,
/// documents of each collection, and from when to when the oplog reaches; oplog.bson is kept, and mongorestore --oplogReplay
/// replays it. A dump that is cut short or damaged, or whose command fails, makes no snapshot. Passwords in command lines are
/// not kept.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Mongo {
    /// The directory, the archives, or the exports; without any and without a command, or with "-", standard input
    #[arg(value_name = "PATH", conflicts_with = "command")]
    path: Vec<PathBuf>,

    /// The name of an archive or an export, such as shop.archive or orders.json, and the command line for a shell that prints it;
    /// may be repeated. bash runs it with pipefail where it is installed, else sh
    #[arg(long, value_name = "NAME=COMMAND", value_parser = parse_stream, conflicts_with_all = ["path", "command"])]
    stream: Vec<(String, String)>,

    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// The database of exports, which do not name it [default: the one that COMMAND names, or SOURCE]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// The collection of an export, which does not name it [default: PATH's or the stream's name without its suffixes, or the one
    /// that COMMAND names, or SOURCE]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,

    /// What the dump is [default: as the file's name or mongoexport's options say; else what its first byte looks like]. A directory of
    /// mongodump is none of these
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Make a snapshot of an incomplete dump too. Neither "latest" nor a time will mean it, and the exit status is 3
    #[arg(long)]
    keep_incomplete: bool,

    /// What to keep of a compressed file besides what is in it: what makes the same file again, where that can be proven (else
    /// the file itself; of bzip2, xz and lz4 nothing), the file itself, or nothing
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = KeptOriginal::Rebuild)]
    original: KeptOriginal,

    /// Unwrap a compressed file of up to SIZE bytes, with "K", "M", "G" or "T" behind it for KiB, MiB and so on [default: any
    /// size, as long as it is no more than 200 times the compressed one]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_unwrapped: Option<u64>,

    /// The program that prints an archive or an export, and its arguments; what mongodump or mongoexport writes with --out or
    /// --archive=FILE is taken from there
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What a dump is, in words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What mongodump --archive prints
    Archive,
    /// What mongoexport prints: objects, a line or several for each, or an array of them
    Json,
    /// What mongoexport --type=csv prints
    Csv,
    /// The same with --noHeaderLine: columns are called by their numbers
    CsvWithoutNames,
}

impl Format {
    fn of_export(self) -> Option<ExportForm> {
        match self {
            Format::Archive => None,
            Format::Json => Some(ExportForm::Json),
            Format::Csv => Some(ExportForm::Csv { has_names: true }),
            Format::CsvWithoutNames => Some(ExportForm::Csv { has_names: false }),
        }
    }
}

/// What the names of exports and archives end with.
const SUFFIXES: [&str; 3] = [".json", ".csv", ARCHIVE_SUFFIX];
const ARCHIVE_SUFFIX: &str = ".archive";

const PLACES: DumpPlaces = DumpPlaces { suffixes: &SUFFIXES, directory_form: |_, _| None, taken_within: &[] };

pub fn run(args: Mongo, invocation: &Invocation) -> CommandResult {
    let is_of_terminal =
        args.stream.is_empty() && args.command.is_empty() && args.path.iter().all(|path| is_dash(path));
    if is_of_terminal && io::stdin().is_terminal() {
        let hint = "name the dump, pipe it in, or name the command that prints it: -- COMMAND";
        return Err(Failure::Usage { problem: "standard input is a terminal", hint });
    }
    refuse_command(&args.path)?;
    if args.collection.is_some() && args.path.len().max(args.stream.len()) > 1 {
        let hint = "the names of files and of streams tell those of their collections";
        return Err(Failure::Usage { problem: "--collection is for one export", hint });
    }
    let terminal = args.snapshot.start_progress(invocation)?;
    let repository = invocation.open(terminal.clone())?;
    let options = MongoOptions {
        keep_incomplete: args.keep_incomplete,
        unwrap_limit: args.max_unwrapped.map_or(UnwrapLimit::NoBomb, UnwrapLimit::Bytes),
        original: args.original.policy(),
        common: args.snapshot.options(&repository, &terminal, invocation.now)?,
        threads: processors(None),
        input: Inputs {
            source: &args.snapshot.source,
            monitor: terminal.as_ref(),
            database: args.database,
            collection: args.collection,
            format: args.format,
        }
        .of(args.path, args.stream, args.command)?,
    };
    let result = ingest_mongo(&repository, options, &clock, terminal.as_ref());
    args.snapshot.finish(result, &terminal, invocation)
}

fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// What tells of the dump besides where it comes from.
struct Inputs<'a> {
    source: &'a str,
    monitor: &'a dyn Monitor,
    database: Option<String>,
    collection: Option<String>,
    format: Option<Format>,
}

impl Inputs<'_> {
    fn of(
        &self,
        paths: Vec<PathBuf>,
        streams: Vec<(String, String)>,
        command: Vec<OsString>,
    ) -> CommandResult<MongoInput> {
        if !streams.is_empty() {
            let export = |(name, line): (String, String)| {
                let of = self.named(Path::new(&name));
                ExportInput { name: Some(name), input: StreamInput::Shell(line), of }
            };
            return Ok(self.taken(streams.into_iter().map(export).collect()));
        }
        if !command.is_empty() {
            return Ok(self.of_command(command));
        }
        // Absolute, because the snapshot keeps it for people elsewhere.
        let absolute = |path: PathBuf| if is_dash(&path) { path } else { std::path::absolute(&path).unwrap_or(path) };
        let paths: Vec<PathBuf> = paths.into_iter().map(absolute).collect();
        match &paths[..] {
            [path] if path.is_dir() && !holds_files(path) => self.of_directory(path.clone()),
            [] => Ok(self.taken(vec![self.standard_input()?])),
            _ => {
                let mut exports = Vec::new();
                for path in paths {
                    exports.extend(self.of_path(path)?);
                }
                Ok(self.taken(exports))
            }
        }
    }

    fn of_directory(&self, path: PathBuf) -> CommandResult<MongoInput> {
        match self.format {
            None => Ok(MongoInput::Directory(path)),
            Some(_) => {
                let reason = "it is no directory of archives or exports, and --format says that it is one";
                Err(Error::invalid("directory", path.to_string_lossy(), reason).into())
            }
        }
    }

    /// Inputs, as they were told to be taken.
    fn taken(&self, inputs: Vec<ExportInput>) -> MongoInput {
        let archive = |ExportInput { name, input, .. }| ArchiveInput { name, input };
        match self.format {
            Some(Format::Archive) => MongoInput::Archives(inputs.into_iter().map(archive).collect()),
            _ => MongoInput::Exports(inputs),
        }
    }

    fn of_path(&self, path: PathBuf) -> CommandResult<Vec<ExportInput>> {
        if is_dash(&path) {
            return Ok(vec![self.standard_input()?]);
        }
        let files = if path.is_dir() { dumps_in(&path, &PLACES, None, self.monitor)? } else { vec![path] };
        let export = |file: PathBuf| ExportInput { name: None, of: self.named(&file), input: StreamInput::File(file) };
        Ok(files.into_iter().map(export).collect())
    }

    fn standard_input(&self) -> CommandResult<ExportInput> {
        let input = standard_input()?;
        Ok(ExportInput { name: None, input, of: self.named(Path::new("")) })
    }

    fn of_command(&self, words: Vec<OsString>) -> MongoInput {
        let tool = ToolCommand::read(&words).unwrap_or_default();
        let named = self.named(tool.output.as_deref().unwrap_or(Path::new("")));
        let of = ExportOf {
            database: self.database.clone().or(tool.database).unwrap_or(named.database),
            collection: self.collection.clone().or(tool.collection).unwrap_or(named.collection),
            form: tool.form.filter(|_| self.format.is_none()).or(named.form),
        };
        let command = StreamInput::Command(words);
        match tool.output {
            Some(path) => {
                MongoInput::Written(Written { command, path: std::path::absolute(&path).unwrap_or(path), of })
            }
            None => self.taken(vec![ExportInput { name: None, input: command, of }]),
        }
    }

    /// What is known of an export in a file of this name.
    fn named(&self, file: &Path) -> ExportOf {
        let stem = || stem_of_dump(file, &SUFFIXES);
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        let by_name = || ExportForm::named(without_wrapping(name));
        ExportOf {
            database: self.database.clone().unwrap_or_else(|| self.source.into()),
            collection: self.collection.clone().or_else(stem).unwrap_or_else(|| self.source.into()),
            form: self.format.map_or_else(by_name, Format::of_export),
        }
    }
}

/// Whether a directory has exports or archives in it, and is none that `mongodump` made.
fn holds_files(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let mut has_one = false;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let name = without_wrapping(name);
        if path.is_dir() || name.ends_with(b".bson") || name.ends_with(b".metadata.json") {
            return false;
        }
        has_one |= ExportForm::named(name).is_some() || name.ends_with(ARCHIVE_SUFFIX.as_bytes());
    }
    has_one
}
