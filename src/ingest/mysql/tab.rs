//! A directory with files of statements and of rows, as `mysqldump --tab` writes it: which files there are, and their order.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::compressed::Wrapping;
use crate::dump::mysql::tab::{StatementFile, TabDirectory, TabFile, in_order_of_needs};
use crate::error::{Error, Result};
use crate::ingest::dump::DumpRules;
use crate::ingest::input::StreamInput;

/// How the names of files end, but for how they are compressed.
const STATEMENTS: &[u8] = b".sql";
const ROWS: &[u8] = b".txt";

/// So much is looked at of a file of statements without rows beside it.
const LOOK_MAX_BYTES: usize = 1 << 20;

/// Names of the files of one table or view, or of anything else.
#[derive(Default)]
struct Beside {
    statements: Option<Vec<u8>>,
    rows: Option<Vec<u8>>,
}

/// Whether a directory has rows beside the statements that make their tables.
pub fn has_files_of_rows(directory: &Path) -> bool {
    directory.is_dir() && find(directory).is_ok_and(|found| found.values().any(|it| it.rows.is_some()))
}

/// The reader of such a directory.
pub fn tab_directory(directory: &Path, rules: &DumpRules) -> Result<TabDirectory> {
    let mut order = Order::default();
    for (stem, beside) in find(directory)? {
        order.add(directory, stem, beside)?;
    }
    Ok(TabDirectory::new(order.finish(), rules.rows.clone()))
}

/// The files in a directory, by their names without endings.
fn find(directory: &Path) -> Result<BTreeMap<Vec<u8>, Beside>> {
    let mut found: BTreeMap<Vec<u8>, Beside> = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let name = entry.map_err(Error::io("list", directory))?.file_name().as_bytes().to_vec();
        let (plain, _) = Wrapping::split_name(&name);
        let place = if let Some(stem) = plain.strip_suffix(STATEMENTS) {
            &mut found.entry(stem.to_vec()).or_default().statements
        } else if let Some(stem) = plain.strip_suffix(ROWS) {
            &mut found.entry(stem.to_vec()).or_default().rows
        } else {
            continue;
        };
        if let Some(other) = place.replace(name.clone()) {
            let [one, other] = [other, name].map(|name| String::from_utf8_lossy(&name).into_owned());
            let reason = format!("it is there twice, as {one} and as {other}");
            return Err(Error::invalid("file", directory.join(one).to_string_lossy(), reason));
        }
    }
    // What has rows only is no dump, but something that lies beside it.
    found.retain(|_, beside| beside.statements.is_some());
    Ok(found)
}

/// Files in the order in which they load.
#[derive(Default)]
struct Order {
    /// Routines, events and sequences, which tables and views may need.
    others: Vec<TabFile>,
    tables: Vec<TabFile>,
    views: Vec<TabFile>,
    /// The names and texts of these.
    needs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Order {
    fn add(&mut self, directory: &Path, stem: Vec<u8>, beside: Beside) -> Result<()> {
        let Beside { statements: Some(name), rows } = beside else { return Ok(()) };
        let statements = TabFile { name, rows_of: None };
        if let Some(name) = rows {
            self.tables.extend([statements, TabFile { name, rows_of: Some(stem) }]);
            return Ok(());
        }
        let text = beginning(&directory.join(std::ffi::OsStr::from_bytes(&statements.name)))?;
        let file = StatementFile::read(text);
        match (&file.table, &file.view) {
            (None, Some(view)) => {
                self.needs.push((view.clone(), file.before_rows()));
                self.views.push(statements);
            }
            (None, None) => self.others.push(statements),
            (Some(_), _) => self.tables.push(statements),
        }
        Ok(())
    }

    fn finish(self) -> Vec<TabFile> {
        let views = in_order_of_needs(&self.needs).into_iter().map(|view| self.views[view].clone());
        let views = views.collect::<Vec<_>>();
        [self.others, self.tables, views].concat()
    }
}

/// The beginning of what is in a file.
fn beginning(path: &Path) -> Result<Vec<u8>> {
    let mut input = StreamInput::File(path.to_path_buf()).open()?;
    if let Some(wrapping) = input.wrapping(&|| false)? {
        input.unwrap_as(wrapping, crate::compressed::UnwrapLimit::NoBomb, None);
    }
    let mut text = vec![0; LOOK_MAX_BYTES];
    let mut length = 0;
    while length < text.len() {
        match input.read(&mut text[length..], &|| false)? {
            0 => break,
            got => length += got,
        }
    }
    text.truncate(length);
    Ok(text)
}
