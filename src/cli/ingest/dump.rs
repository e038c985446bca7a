//! What the commands that take dumps of databases share.

use std::ffi::OsString;
use std::fs::DirEntry;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use yesterfs::compressed::{UnwrapLimit, Wrapping};
use yesterfs::error::{Error, Result};
use yesterfs::ingest::IngestReport;
use yesterfs::ingest::dump::{DumpForm, DumpInput, DumpOptions, DumpRules, OriginalPolicy};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Monitor;
use yesterfs::repository::Repository;
use yesterfs::time::Clock;

use super::SnapshotArgs;
use super::stream::{parse_stream, standard_input};
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::invocation::{Invocation, clock, processors};
use crate::cli::tip::refuse_command;

/// Options of every kind of dump, which may be written in these forms.
#[derive(Args)]
pub struct DumpArgs<F: Form> {
    /// The dump; several become one snapshot, as if they followed one another, and a directory is the dumps in it in order of
    /// names: *.sql, *.sql.gz, *.sql.zst and so on, of MySQL directories of --tab too, of PostgreSQL *.dump, *.pgdump, *.tar, *.backup
    /// and directories of pg_dump.
    /// Without any and without a command, or with "-", standard input
    #[arg(value_name = "FILE", conflicts_with = "command")]
    file: Vec<PathBuf>,

    /// A dump's name, and the command line for a shell that prints it; may be repeated. bash runs it with pipefail where it is
    /// installed, else sh
    #[arg(long, value_name = "NAME=COMMAND", value_parser = parse_stream, conflicts_with_all = ["file", "command"])]
    stream: Vec<(String, String)>,

    #[command(flatten)]
    snapshot: SnapshotArgs,

    /// The database of what a dump names no database for [default: the one in the dump's first lines, or FILE's or the stream's
    /// name without its suffixes, or SOURCE]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,

    /// What the dump is [default: as it begins, and a directory as what is in it]. What is something else is refused; a directory that
    /// could be several is taken for this, or for a directory of such dumps
    #[arg(long, value_enum)]
    format: Option<F>,

    /// Make a snapshot of an incomplete dump too. Neither "latest" nor a time will mean it, and the exit status is 3
    #[arg(long)]
    keep_incomplete: bool,

    /// Unwrap a compressed dump of up to SIZE bytes, with "K", "M", "G" or "T" behind it for KiB, MiB and so on [default: any
    /// size, as long as it is no more than 200 times the compressed one]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_unwrapped: Option<u64>,

    /// What to keep of a compressed dump besides what is in it: what makes the same file again, where that can be proven (else
    /// the file itself; of bzip2, xz and lz4 nothing), the file itself, or nothing
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = KeptOriginal::Rebuild)]
    original: KeptOriginal,

    /// The program that prints the dump, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What is kept of a compressed dump, in words of the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KeptOriginal {
    Rebuild,
    Keep,
    Drop,
}

impl KeptOriginal {
    pub fn policy(self) -> OriginalPolicy {
        match self {
            KeptOriginal::Rebuild => OriginalPolicy::Rebuild,
            KeptOriginal::Keep => OriginalPolicy::Keep,
            KeptOriginal::Drop => OriginalPolicy::Drop,
        }
    }
}

/// What makes the snapshot.
type Ingest = fn(&Repository, DumpOptions, &Clock, &dyn Monitor) -> Result<IngestReport>;

/// What counts as a dump in the file system.
pub struct DumpPlaces {
    /// What the names of files end with that a directory is ingested for.
    pub suffixes: &'static [&'static str],
    /// How a directory is written that is one dump, which may be told.
    pub directory_form: fn(&Path, Option<DumpForm>) -> Option<DumpForm>,
    /// Those of these forms are taken for the directory that they are in.
    pub taken_within: &'static [DumpForm],
}

/// Forms of a kind of dump, in words of the command line.
pub trait Form: ValueEnum + Clone + Send + Sync + Into<DumpForm> + 'static {}

impl<F: ValueEnum + Clone + Send + Sync + Into<DumpForm> + 'static> Form for F {}

impl<F: Form> DumpArgs<F> {
    /// Runs it; what the kind of dump has besides is in `rules`.
    pub fn run(self, ingest: Ingest, rules: DumpRules, places: &DumpPlaces, invocation: &Invocation) -> CommandResult {
        let is_of_terminal =
            self.stream.is_empty() && self.command.is_empty() && self.file.iter().all(|file| is_dash(file));
        if is_of_terminal && io::stdin().is_terminal() {
            let hint = "name the dump, pipe it in, or name the command that prints it: -- COMMAND";
            return Err(Failure::Usage { problem: "standard input is a terminal", hint });
        }
        refuse_command(&self.file)?;
        let terminal = self.snapshot.start_progress(invocation)?;
        let repository = invocation.open(terminal.clone())?;
        let common = self.snapshot.options(&repository, &terminal, invocation.now)?;
        let form = self.format.map(F::into);
        let told = Told { form, source: &common.source, monitor: terminal.as_ref() };
        let options = DumpOptions {
            inputs: inputs(self.file, self.stream, self.command, places, told)?,
            rules: DumpRules {
                database: self.database,
                form,
                keep_incomplete: self.keep_incomplete,
                unwrap_limit: self.max_unwrapped.map_or(UnwrapLimit::NoBomb, UnwrapLimit::Bytes),
                original: self.original.policy(),
                ..rules
            },
            common,
            threads: processors(None),
        };
        let result = ingest(&repository, options, &clock, terminal.as_ref());
        self.snapshot.finish(result, &terminal, invocation)
    }
}

fn is_dash(file: &Path) -> bool {
    file == Path::new("-")
}

/// What is told besides where dumps come from.
struct Told<'a> {
    form: Option<DumpForm>,
    source: &'a str,
    monitor: &'a dyn Monitor,
}

/// Where the dumps come from, in the order in which they were named.
fn inputs(
    files: Vec<PathBuf>,
    streams: Vec<(String, String)>,
    command: Vec<OsString>,
    places: &DumpPlaces,
    told: Told,
) -> CommandResult<Vec<DumpInput>> {
    let source = told.source;
    let from_standard_input = || -> CommandResult<DumpInput> {
        let input = standard_input()?;
        Ok(DumpInput { name: None, input, fallback_database: source.into() })
    };
    if !streams.is_empty() {
        let input = |(name, line): (String, String)| {
            let fallback_database = stem_of_dump(Path::new(&name), &DUMP_SUFFIXES).unwrap_or_else(|| source.into());
            DumpInput { name: Some(name), input: StreamInput::Shell(line), fallback_database }
        };
        return Ok(streams.into_iter().map(input).collect());
    }
    if !command.is_empty() {
        let input = StreamInput::Command(command);
        return Ok(vec![DumpInput { name: None, input, fallback_database: source.into() }]);
    }
    if files.is_empty() {
        return Ok(vec![from_standard_input()?]);
    }
    let mut inputs = Vec::new();
    for file in files {
        if is_dash(&file) {
            inputs.push(from_standard_input()?);
            continue;
        }
        // Absolute, because the snapshot keeps it for people elsewhere.
        let file = std::path::absolute(&file).unwrap_or(file);
        let found = match file.is_dir() && !places.takes_whole(&file, told.form) {
            true => dumps_in(&file, places, told.form, told.monitor)?,
            false => vec![file],
        };
        inputs.extend(found.into_iter().map(|file| {
            let fallback_database = stem_of_dump(&file, &DUMP_SUFFIXES).unwrap_or_else(|| source.into());
            DumpInput { name: None, input: StreamInput::File(file), fallback_database }
        }));
    }
    Ok(inputs)
}

/// The dumps in a directory, whether they are compressed or not, in order of names. What else is in it is told.
pub fn dumps_in(
    directory: &Path,
    places: &DumpPlaces,
    form: Option<DumpForm>,
    monitor: &dyn Monitor,
) -> CommandResult<Vec<PathBuf>> {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory).map_err(Error::io("read", directory))? {
        let path = entry.map_err(Error::io("read", directory))?.path();
        if places.take(&path, form) {
            files.push(path);
        } else {
            others.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    if files.is_empty() {
        let wanted: Vec<String> = places.suffixes.iter().map(|suffix| format!("*{suffix}, *{suffix}.gz")).collect();
        let reason = format!("it holds no {} and so on", wanted.join(", "));
        return Err(Error::invalid("directory", directory.to_string_lossy(), reason).into());
    }
    if !others.is_empty() {
        others.sort();
        let (shown, more) = others.split_at(others.len().min(OTHERS_MAX));
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        monitor.note(&format!("not taken from \"{}\": {}{more}", directory.display(), shown.join(", ")));
    }
    files.sort();
    Ok(files)
}

impl DumpPlaces {
    /// Whether a directory is one dump. What it is told to be, but is not, is refused where it is read.
    fn takes_whole(&self, directory: &Path, form: Option<DumpForm>) -> bool {
        let is_told = form.is_some_and(DumpForm::is_directory) && !self.holds_directories(directory, form);
        is_told || (self.directory_form)(directory, form).is_some()
    }

    /// Whether a directory has others in it that are taken for it.
    fn holds_directories(&self, directory: &Path, form: Option<DumpForm>) -> bool {
        let is_one = |entry: io::Result<DirEntry>| entry.is_ok_and(|entry| self.takes_within(&entry.path(), form));
        std::fs::read_dir(directory).is_ok_and(|mut entries| entries.any(is_one))
    }

    /// Whether this is a directory that is taken for the one that it is in.
    fn takes_within(&self, path: &Path, form: Option<DumpForm>) -> bool {
        let is_one = |form| self.taken_within.contains(&form);
        path.is_dir() && (self.directory_form)(path, form).is_some_and(is_one)
    }

    /// Whether what is in a directory is one of the dumps that this is ingested for.
    fn take(&self, path: &Path, form: Option<DumpForm>) -> bool {
        if path.is_dir() {
            return self.takes_within(path, form);
        }
        let is_named = is_named_so(path.file_name().unwrap_or_default().as_encoded_bytes(), self.suffixes);
        is_named && path.is_file() && !form.is_some_and(DumpForm::is_directory)
    }
}

/// So many files that are not taken are named.
const OTHERS_MAX: usize = 10;

/// What the name of a dump as text ends with.
pub const TEXT_SUFFIX: &str = ".sql";

/// The same of any dump.
pub const DUMP_SUFFIXES: [&str; 5] = [TEXT_SUFFIX, ".dump", ".pgdump", ".tar", ".backup"];

/// Whether the name of a file ends with one of these, however it is compressed.
fn is_named_so(file: &[u8], suffixes: &[&str]) -> bool {
    suffixes.iter().any(|suffix| without_wrapping(file).ends_with(suffix.as_bytes()))
}

/// The name of a file without what tells that it is a dump (one of `suffixes`), and how it is compressed.
pub fn stem_of_dump(file: &Path, suffixes: &[&str]) -> Option<String> {
    let stem = without_suffix(without_wrapping(file.file_name()?.as_encoded_bytes()), suffixes);
    Some(String::from_utf8_lossy(stem).into_owned())
}

/// A name without what tells how a file is compressed, unless it is nothing else.
pub fn without_wrapping(name: &[u8]) -> &[u8] {
    let (plain, _) = Wrapping::split_name(name);
    if plain.is_empty() { name } else { plain }
}

/// A name without the first of these that it ends with, unless it is nothing else.
fn without_suffix<'n>(name: &'n [u8], suffixes: &[&str]) -> &'n [u8] {
    let stem = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix.as_bytes()));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(name)
}

/// A number of bytes: `4096`, `512M`, `2G`.
pub fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("expected a number of bytes, such as 4096, 512M or 2G".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number of bytes, such as 4096, 512M or 2G")?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than any file holds".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(
            ["4096", "2K", "512M", "1T"].map(|text| parse_size(text).unwrap()),
            [4096, 2048, 512 << 20, 1 << 40]
        );
        assert!(["", "M", "-1", "1.5G", "2GB", "99999999T"].iter().all(|text| parse_size(text).is_err()));
    }

    #[test]
    fn dumps_are_told_by_their_suffixes() {
        let is = |name: &str| is_named_so(name.as_bytes(), &[TEXT_SUFFIX]);
        assert!(["a.sql", "a.sql.gz", "a.sql.zst", "a.sql.bz2", "a.sql.xz", "a.sql.lz4"].into_iter().all(is));
        assert!(!["sql", "a.sql.txt", "a.gz", "a.sql.gz.part"].into_iter().any(is));
    }

    #[test]
    fn a_dump_is_named_without_its_suffixes() {
        let stem = |name: &str| stem_of_dump(Path::new(name), &DUMP_SUFFIXES).unwrap();
        assert_eq!(
            ["/x/shop.sql.gz", "shop.zst", "shop.2.sql", "shop", ".sql", "shop.backup"].map(stem),
            ["shop", "shop", "shop.2", "shop", ".sql", "shop"]
        );
    }
}
