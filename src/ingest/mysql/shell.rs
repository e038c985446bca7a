//! A directory that MySQL Shell filled: which files there must be, and their order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::compressed::Wrapping;
use crate::dump::mysql::shell::{
    DoneManifest, DumpManifest, SchemaManifest, ShellDirectory, ShellStep, ShellTable, TableManifest,
};
use crate::error::{Error, Result};

/// What tells of the whole dump, and what is written last.
const MANIFEST: &str = "@.json";
const DONE: &str = "@.done.json";

/// The settings that were made for the dump, and its users.
const PREAMBLE: &str = "@.sql";
const USERS: &str = "@.users.sql";

/// Longest manifest, or file of settings, that is read.
const MANIFEST_MAX_BYTES: u64 = 64 << 20;

/// Whether this is such a directory.
pub fn is_shell_directory(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file()
}

/// The reader of such a directory.
///
/// # Errors
/// [`Error::Invalid`] where a manifest is none, or tells of rows that could not be told apart.
pub fn shell_directory(directory: &Path) -> Result<ShellDirectory> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let name = entry.map_err(Error::io("list", directory))?.file_name().as_bytes().to_vec();
        files.extend(String::from_utf8(name));
    }
    let mut plan = Plan { directory: directory.to_path_buf(), files, ..Plan::default() };
    let manifest = plan.read(MANIFEST)?.as_deref().and_then(DumpManifest::read);
    let manifest = manifest.ok_or_else(|| plan.refuse(MANIFEST))?;
    match plan.read(DONE)? {
        Some(bytes) => plan.told_bytes = DoneManifest::read(&bytes).ok_or_else(|| plan.refuse(DONE))?.file_bytes,
        None => plan.note(format!("{DONE} is missing: MySQL Shell did not come to its end")),
    }
    let preamble = plan.read(PREAMBLE)?.unwrap_or_default();
    for schema in &manifest.schemas {
        plan.add_schema(schema, &manifest.base_name(schema), manifest.makes_databases)?;
    }
    plan.add_views();
    plan.look_for_rows_of_no_table();
    if plan.files.contains(USERS) {
        plan.statements(USERS.into());
    }
    Ok(ShellDirectory::new(&manifest, &preamble, plan.steps, plan.fault))
}

#[derive(Default)]
struct Plan {
    directory: PathBuf,
    /// The names of all files.
    files: BTreeSet<String>,
    /// Files of rows, and how many bytes of rows were put into each.
    told_bytes: BTreeMap<String, u64>,
    steps: Vec<ShellStep>,
    /// The files of rows that are among the steps.
    rows: BTreeSet<String>,
    /// Databases, and the files that make their views, which may need tables of any database.
    views: Vec<(String, Vec<String>)>,
    fault: Option<String>,
}

impl Plan {
    /// What a small file has, if it is there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if !self.files.contains(name) {
            return Ok(None);
        }
        let path = self.directory.join(name);
        let length = fs::metadata(&path).map_err(Error::io("look at", &path))?.len();
        if length > MANIFEST_MAX_BYTES {
            let reason = format!("it has {length} bytes, and no more than {MANIFEST_MAX_BYTES} are read");
            return Err(Error::invalid("dump", path.to_string_lossy(), reason));
        }
        fs::read(&path).map(Some).map_err(Error::io("read", &path))
    }

    fn refuse(&self, name: &str) -> Error {
        let path = self.directory.join(name);
        Error::invalid("dump", path.to_string_lossy(), "it is not what MySQL Shell writes")
    }

    fn statements(&mut self, file: String) {
        self.steps.push(ShellStep::Statements { file: file.into_bytes() });
    }

    fn note(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    /// Takes note that a file is not there that another one tells of.
    fn is_missing(&mut self, file: &str) {
        self.note(format!("{file} is missing"));
    }

    fn add_schema(&mut self, name: &str, base: &str, is_made: bool) -> Result<()> {
        let file = format!("{base}.json");
        let Some(bytes) = self.read(&file)? else {
            self.is_missing(&file);
            return Ok(());
        };
        let schema = SchemaManifest::read(&bytes).ok_or_else(|| self.refuse(&file))?;
        if schema.has_definition && is_made {
            self.statements(format!("{base}.sql"));
        } else {
            self.steps.push(ShellStep::Use(name.as_bytes().to_vec()));
        }
        for table in &schema.tables {
            self.add_table(table, &schema.base_name(base, table))?;
        }
        let mut views = Vec::new();
        for view in schema.views.iter().filter(|_| schema.has_views) {
            let base = schema.base_name(base, view);
            // What stands for it until all that it needs is there.
            self.statements(format!("{base}.pre.sql"));
            views.push(format!("{base}.sql"));
        }
        self.views.push((name.to_string(), views));
        Ok(())
    }

    fn add_views(&mut self) {
        for (database, views) in std::mem::take(&mut self.views) {
            if !views.is_empty() {
                self.steps.push(ShellStep::Use(database.into_bytes()));
            }
            views.into_iter().for_each(|view| self.statements(view));
        }
    }

    /// Takes note of rows that were written, and that no manifest of a table leads to.
    fn look_for_rows_of_no_table(&mut self) {
        let is_left = |(file, bytes): &(&String, &u64)| **bytes > 0 && !self.rows.contains(*file);
        if let Some((file, _)) = self.told_bytes.iter().find(is_left) {
            self.note(format!("{file} has rows, {DONE} tells, and no manifest tells of which table"));
        }
    }

    fn add_table(&mut self, name: &str, base: &str) -> Result<()> {
        let file = format!("{base}.json");
        let Some(bytes) = self.read(&file)? else {
            self.is_missing(&file);
            return Ok(());
        };
        let table = TableManifest::read(&bytes, base)?.ok_or_else(|| self.refuse(&file))?;
        if table.has_definition {
            self.statements(format!("{base}.sql"));
        }
        if table.has_rows {
            let TableManifest { form, columns, decodings, .. } = table.clone();
            self.steps.push(ShellStep::Table(ShellTable { name: name.as_bytes().to_vec(), form, columns, decodings }));
            for base in &table.base_names {
                self.add_rows(base, &table)?;
            }
        }
        if table.has_triggers {
            self.statements(format!("{base}.triggers.sql"));
        }
        Ok(())
    }

    /// Adds the files of rows whose names begin so, up to the one that says that it is the last.
    fn add_rows(&mut self, base: &str, table: &TableManifest) -> Result<()> {
        let extension = &table.extension;
        if !table.has_chunks {
            return self.add_file_of_rows(format!("{base}.{extension}"));
        }
        let (numbers, last) = self.numbers_of_chunks(base, extension);
        let mut expected = 0;
        for number in numbers {
            if number != expected {
                self.is_missing(&format!("{base}@{expected}.{extension}"));
            }
            self.add_file_of_rows(format!("{base}@{number}.{extension}"))?;
            expected = number.saturating_add(1);
        }
        let last = last.unwrap_or(expected);
        if last != expected {
            self.is_missing(&format!("{base}@{expected}.{extension}"));
        }
        self.add_file_of_rows(format!("{base}@@{last}.{extension}"))
    }

    /// The numbers that the files of rows have whose names begin so, and that of the last one, which says that it is.
    fn numbers_of_chunks(&self, base: &str, extension: &str) -> (BTreeSet<u64>, Option<u64>) {
        let (beginning, ending) = (format!("{base}@"), format!(".{extension}"));
        let of_base = |name: &&String| name.starts_with(&beginning);
        let there = self.files.range(beginning.clone()..).take_while(of_base);
        let told = self.told_bytes.range(beginning.clone()..).map(|(name, _)| name).take_while(of_base);
        let (mut numbers, mut last) = (BTreeSet::new(), None);
        for name in there.chain(told) {
            let number = name.strip_prefix(&beginning).and_then(|name| name.strip_suffix(&ending)).unwrap_or_default();
            match number.strip_prefix('@') {
                Some(number) => last = number.parse().ok().or(last),
                None => numbers.extend(number.parse::<u64>()),
            }
        }
        (numbers, last)
    }

    fn add_file_of_rows(&mut self, file: String) -> Result<()> {
        let told = self.told_bytes.get(&file).copied();
        self.rows.insert(file.clone());
        if told == Some(0) && !self.files.contains(&file) {
            return Ok(());
        }
        let indexed = self.indexed_bytes(&file)?;
        if let (Some(told), Some(indexed)) = (told, indexed)
            && told != indexed
        {
            self.note(format!("{file}.idx tells of {indexed} bytes of rows, and {DONE} of {told}"));
        }
        // Whoever opens it finds it however it is compressed.
        let (plain, _) = Wrapping::split_name(file.as_bytes());
        self.steps.push(ShellStep::Rows { file: plain.to_vec(), bytes: told.or(indexed) });
        Ok(())
    }

    /// How many bytes of rows a file has by its index, if it has one: an entry of 8 bytes for each stretch of rows, the last of all.
    fn indexed_bytes(&mut self, file: &str) -> Result<Option<u64>> {
        let name = format!("{file}.idx");
        let Some(index) = self.read(&name)? else { return Ok(None) };
        let (entries, rest) = index.as_chunks::<8>();
        if !rest.is_empty() || entries.is_empty() {
            self.note(format!("{name} has {} bytes, and entries have 8", index.len()));
        }
        Ok(entries.last().copied().map(u64::from_be_bytes))
    }
}
