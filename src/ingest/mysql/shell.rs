//! A directory that MySQL Shell filled: which files there must be, and their order.

use std::collections::BTreeSet;
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
    let mut plan = Plan { directory: directory.to_path_buf(), files, done: None, steps: Vec::new(), fault: None };
    let manifest = plan.read(MANIFEST)?.as_deref().and_then(DumpManifest::read);
    let manifest = manifest.ok_or_else(|| plan.refuse(MANIFEST))?;
    match plan.read(DONE)? {
        Some(bytes) => plan.done = Some(DoneManifest::read(&bytes).ok_or_else(|| plan.refuse(DONE))?),
        None => plan.fault = Some(format!("{DONE} is missing: MySQL Shell did not come to its end")),
    }
    let preamble = plan.read(PREAMBLE)?.unwrap_or_default();
    for schema in &manifest.schemas {
        plan.add_schema(schema, &manifest.base_name(schema), manifest.makes_databases)?;
    }
    if plan.files.contains(USERS) {
        plan.statements(USERS.into());
    }
    Ok(ShellDirectory::new(&manifest, &preamble, plan.steps, plan.fault))
}

struct Plan {
    directory: PathBuf,
    /// The names of all files.
    files: BTreeSet<String>,
    done: Option<DoneManifest>,
    steps: Vec<ShellStep>,
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

    /// Takes note that a file is not there that another one tells of.
    fn is_missing(&mut self, file: &str) {
        self.fault.get_or_insert(format!("{file} is missing"));
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
        // What stands for a view until all that it needs is there.
        for ending in [".pre.sql", ".sql"] {
            for view in schema.views.iter().filter(|_| schema.has_views) {
                self.statements(format!("{}{ending}", schema.base_name(base, view)));
            }
        }
        Ok(())
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
        for number in 0_u64.. {
            let (last, further) = (format!("{base}@@{number}.{extension}"), format!("{base}@{number}.{extension}"));
            if self.files.contains(&further) && !self.files.contains(&last) {
                self.add_file_of_rows(further)?;
                continue;
            }
            return self.add_file_of_rows(last);
        }
        Ok(())
    }

    fn add_file_of_rows(&mut self, file: String) -> Result<()> {
        let told = self.done.as_ref().and_then(|done| done.file_bytes.get(&file));
        if told == Some(&0) && !self.files.contains(&file) {
            return Ok(());
        }
        let index = self.read(&format!("{file}.idx"))?;
        // An entry for each stretch of rows; the last is of all of them.
        let bytes = index.and_then(|index| index.last_chunk::<8>().copied()).map(u64::from_be_bytes);
        // Whoever opens it finds it however it is compressed.
        let (plain, _) = Wrapping::split_name(file.as_bytes());
        self.steps.push(ShellStep::Rows { file: plain.to_vec(), bytes });
        Ok(())
    }
}
