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
    Direction, DumpSide, PatchWriter, RowDiffOptions, TablePair, changed_directories, changed_table, changed_tables_of,
    has_statements, is_changed_directory, levels, unnamed_file,
};
use crate::view::{RowPatches, RowsChild};

/// How the names of patches end, behind the names of tables' directories.
const SUFFIX: &[u8] = b".sql";

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
        a.manifest.kind == b.manifest.kind && has_statements(a)
    }

    fn children(&self, repository: &Repository, pair: [&Snapshot; 2], path: &[Vec<u8>]) -> Result<Vec<RowsChild>> {
        let kind = pair[0].manifest.kind;
        if path.len() < levels(kind) {
            let names = changed_directories(repository, kind, roots(pair), path)?;
            return Ok(names.into_iter().map(|name| RowsChild { name, is_patch: false }).collect());
        }
        let tables = changed_tables_of(repository, roots(pair), path)?;
        let patch = |table: &TablePair| RowsChild { name: [table.directory_name(), SUFFIX].concat(), is_patch: true };
        Ok(tables.iter().map(patch).collect())
    }

    fn child(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        path: &[Vec<u8>],
        name: &[u8],
    ) -> Result<Option<RowsChild>> {
        let kind = pair[0].manifest.kind;
        let (is_patch, is_there) = if path.len() < levels(kind) {
            (false, is_changed_directory(repository, kind, roots(pair), &[path, &[name.to_vec()]].concat())?)
        } else if let Some(table) = name.strip_suffix(SUFFIX) {
            (true, changed_table(repository, roots(pair), path, table)?.is_some())
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
        let table = match path.split_last().and_then(|(name, path)| Some((name.strip_suffix(SUFFIX)?, path))) {
            Some((table, path)) => changed_table(repository, roots(pair), path, table)?,
            None => None,
        };
        let folder = &self.temporary_directory;
        let file = unnamed_file(folder).map_err(Error::io("make a temporary file in", folder))?;
        let mut file = BufWriter::new(file);
        let failed = || Error::io("write a temporary file in", folder);
        let options = RowDiffOptions {
            key: None,
            memory_bytes: self.memory_bytes,
            temporary_directory: folder.clone(),
            whole: false,
        };
        let patch = PatchWriter { dumps, direction: Direction::Forward, options: &options, monitor: &monitor };
        let counts = patch.write(table.as_slice(), &mut |text| file.write_all(text).map_err(failed()))?;
        // Nobody is to take a patch without it for all that differs.
        if let (Some(table), 1..) = (&table, counts.left_out) {
            return Err(Error::invalid("table", table.name(), "statements cannot bring it there"));
        }
        file.into_inner().map_err(|error| failed()(error.into_error()))
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
