//! RowDiffs: the row diff, as the view asks for it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::Repository;
use crate::repository::node::Node;
use crate::repository::snapshot::{Snapshot, SnapshotKind};
use crate::rows::{
    Direction, DumpSide, PatchWriter, RowDiffOptions, changed_databases, changed_table, changed_tables_of, unnamed_file,
};
use crate::view::RowPatches;

/// Memory for rows that differ; more of them wait in temporary files.
const MEMORY_BYTES: usize = 64 << 20;

/// Writes patches into files in this directory, which have no names there.
pub struct RowDiffs {
    pub temporary_directory: PathBuf,
}

fn roots(pair: [&Snapshot; 2]) -> [Option<&Node>; 2] {
    pair.map(|snapshot| Some(&snapshot.manifest.root))
}

impl RowPatches for RowDiffs {
    fn are_comparable(&self, pair: [&Snapshot; 2]) -> bool {
        pair.into_iter().all(|snapshot| snapshot.manifest.kind == SnapshotKind::Mysql)
    }

    fn databases(&self, repository: &Repository, pair: [&Snapshot; 2]) -> Result<Vec<Vec<u8>>> {
        changed_databases(repository, roots(pair))
    }

    fn tables(&self, repository: &Repository, pair: [&Snapshot; 2], database: &[u8]) -> Result<Vec<Vec<u8>>> {
        let tables = changed_tables_of(repository, roots(pair), database)?;
        Ok(tables.iter().map(|table| table.directory_name().to_vec()).collect())
    }

    fn differs(&self, repository: &Repository, pair: [&Snapshot; 2], database: &[u8], table: &[u8]) -> Result<bool> {
        Ok(changed_table(repository, roots(pair), database, table)?.is_some())
    }

    fn write(
        &self,
        repository: &Repository,
        pair: [&Snapshot; 2],
        database: &[u8],
        table: &[u8],
        is_given_up: &AtomicBool,
    ) -> Result<File> {
        let monitor = Unwatched { counters: Counters::default(), is_given_up };
        let [a, b] = pair.map(|snapshot| DumpSide::new(repository, snapshot, &monitor));
        let dumps = [&a?, &b?];
        let table = changed_table(repository, roots(pair), database, table)?;
        let folder = &self.temporary_directory;
        let file = unnamed_file(folder).map_err(Error::io("make a temporary file in", folder))?;
        let mut file = BufWriter::new(file);
        let failed = || Error::io("write a temporary file in", folder);
        let options =
            RowDiffOptions { key: None, memory_bytes: MEMORY_BYTES, temporary_directory: folder.clone(), whole: false };
        let patch = PatchWriter { dumps, direction: Direction::Forward, options: &options, monitor: &monitor };
        patch.write(table.as_slice(), &mut |text| file.write_all(text).map_err(failed()))?;
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
