//! RowDiffs: the row diff, as the view asks for it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;
use crate::rows::{
    Direction, DumpSide, PatchWriter, RowDiffOptions, TableLayout, TablePair, changed_directories, changed_table,
    changed_tables_of, diff_table, document_line, has_rows, is_changed_directory, is_changed_table, unnamed_file,
};
use crate::view::{RowPatches, RowsChild};

/// How the names of files end, behind the names of tables' directories: statements, or of MongoDB lines of JSON.
fn suffix(layout: TableLayout) -> &'static [u8] {
    if let TableLayout::Collections(_) = layout { b".json" } else { b".sql" }
}

/// Writes patches into files in this directory, which have no names there.
pub struct RowDiffs {
    pub temporary_directory: PathBuf,
    /// Memory for rows that differ; more of them wait in other such files.
    pub memory_bytes: usize,
}

fn roots(pair: [&Snapshot; 2]) -> [Option<&Node>; 2] {
    pair.map(|snapshot| Some(&snapshot.manifest.root))
}

impl RowPatches for RowDiffs {
    fn are_comparable(&self, pair: [&Snapshot; 2]) -> bool {
        let [a, b] = pair;
        let is_alike = || TableLayout::of(&a.manifest) == TableLayout::of(&b.manifest);
        a.manifest.kind == b.manifest.kind && is_alike() && has_rows(a) && has_rows(b)
    }

    fn children(&self, repository: &Repository, pair: [&Snapshot; 2], path: &[Vec<u8>]) -> Result<Vec<RowsChild>> {
        let layout = TableLayout::of(&pair[0].manifest);
        if path.len() < layout.levels() {
            let names = changed_directories(repository, layout, roots(pair), path)?;
            return Ok(names.into_iter().map(|name| RowsChild { name, is_patch: false }).collect());
        }
        let tables = changed_tables_of(repository, layout, roots(pair), path)?;
        let name = |table: &TablePair| [table.rows_name(), suffix(layout)].concat();
        let patch = |table: &TablePair| RowsChild { name: name(table), is_patch: true };
        Ok(tables.iter().map(patch).collect())
    }

    fn child(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        path: &[Vec<u8>],
        name: &[u8],
    ) -> Result<Option<RowsChild>> {
        let layout = TableLayout::of(&pair[0].manifest);
        let (is_patch, is_there) = if path.len() < layout.levels() {
            (false, is_changed_directory(repository, layout, roots(pair), &[path, &[name.to_vec()]].concat())?)
        } else if let Some(table) = name.strip_suffix(suffix(layout)) {
            (true, is_changed_table(repository, layout, roots(pair), path, table)?)
        } else {
            (false, false)
        };
        Ok(is_there.then(|| RowsChild { name: name.to_vec(), is_patch }))
    }

    fn write(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        path: &[Vec<u8>],
        is_given_up: &AtomicBool,
    ) -> Result<File> {
        let monitor = Unwatched { counters: Counters::default(), is_given_up };
        let [a, b] = pair.map(|snapshot| DumpSide::new(repository, snapshot, &monitor));
        let dumps = [&a?, &b?];
        let layout = dumps[0].layout();
        let table = match path.split_last().and_then(|(name, path)| Some((name.strip_suffix(suffix(layout))?, path))) {
            Some((table, path)) => changed_table(repository, layout, roots(pair), path, table)?,
            None => None,
        };
        let folder = &self.temporary_directory;
        let file = unnamed_file(folder).map_err(Error::io("make a temporary file in", folder))?;
        let mut file = BufWriter::new(file);
        let failed = || Error::io("write a temporary file in", folder);
        if let Some(table) = &table {
            let mut take = |text: &[u8]| file.write_all(text).map_err(failed());
            match layout {
                TableLayout::Collections(_) => self.write_lines(dumps, table, &monitor, &mut take)?,
                _ => self.write_statements(dumps, table, &monitor, &mut take)?,
            }
        }
        file.into_inner().map_err(|error| failed()(error.into_error()))
    }
}

impl RowDiffs {
    fn options(&self) -> RowDiffOptions {
        RowDiffOptions {
            key: None,
            memory_bytes: self.memory_bytes,
            temporary_directory: self.temporary_directory.clone(),
            whole: false,
        }
    }

    fn write_statements(
        &self,
        dumps: [&DumpSide; 2],
        table: &TablePair,
        monitor: &dyn Monitor,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let patch = PatchWriter { dumps, direction: Direction::Forward, options: &self.options(), monitor };
        let counts = patch.write(std::slice::from_ref(table), take)?;
        // Nobody is to take a patch without it for all that differs.
        match counts.left_out {
            0 => Ok(()),
            _ => Err(Error::invalid("table", table.name(), "statements cannot bring it there")),
        }
    }

    fn write_lines(
        &self,
        dumps: [&DumpSide; 2],
        table: &TablePair,
        monitor: &dyn Monitor,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let name = table.name();
        diff_table(dumps, table, &self.options(), monitor, &mut |change| {
            change.each(&mut |row| take((document_line(&name, row) + "\n").as_bytes()))
        })
    }
}

/// Nobody sees what it counts.
struct Unwatched<'a> {
    counters: Counters,
    is_given_up: &'a AtomicBool,
}

impl Monitor for Unwatched<'_> {
    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn problem(&self, problem: Problem) {
        log::error!("\"{}\": {}", problem.path.display(), problem.reason);
    }

    fn note(&self, text: &str) {
        log::info!("{text}");
    }

    fn is_cancelled(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }
}
