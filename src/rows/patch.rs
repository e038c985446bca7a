//! Patch: statements that make of one snapshot's tables those of another.
//!
//! Rows change in one transaction: first rows go, then rows change in columns that no unique key has, then rows come. So no
//! row ever meets another one with a value that must be unique: what changes in such a column goes and comes again.

use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::repository::snapshot::{Manifest, SnapshotKind, SnapshotStatus};
use crate::rows::difference::{RowDiffOptions, TableChange, diff_table};
use crate::rows::side::DumpSide;
use crate::rows::tables::TablePair;

mod frame;
mod language;
mod mysql;
mod postgres;
mod statements;

pub use language::Language;
use statements::Statements;

/// Which snapshot becomes the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A becomes B.
    Forward,
    /// B becomes A again.
    Reverse,
}

impl Direction {
    /// The side that is changed, and the one that it becomes.
    fn sides(self) -> [usize; 2] {
        match self {
            Direction::Forward => [0, 1],
            Direction::Reverse => [1, 0],
        }
    }
}

/// What comes before and behind statements that insert rows of a dump ([`crate::rows::FoundRow::insert`]): the session reads
/// values as the dump has them.
///
/// # Errors
/// Those of reading the dump's header.
pub fn around_rows(dump: &DumpSide) -> Result<[Vec<u8>; 2]> {
    match dump.kind() {
        SnapshotKind::Postgres => Ok(postgres::around_rows(dump)),
        _ => frame::around_rows(dump),
    }
}

/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) where values of this table mean something else than what [`around_rows`] has read.
pub fn check_around_rows(dump: &DumpSide, pair: &TablePair) -> Result<()> {
    match dump.kind() {
        SnapshotKind::Postgres => Ok(()),
        _ => frame::check_set_around_rows(dump, pair),
    }
}

/// Takes the text of a patch, piece by piece.
pub type TakeText<'t> = dyn FnMut(&[u8]) -> Result<()> + 't;

/// What a patch makes of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PatchCounts {
    pub inserted: u64,
    pub deleted: u64,
    pub updated: u64,
    /// Tables that are made anew, or dropped.
    pub remade: u64,
    /// Tables that stay, of which indexes, constraints, triggers, privileges or comments change.
    pub altered: u64,
    /// Tables that statements cannot bring there, each of which was told as a problem.
    pub left_out: u64,
}

/// Writes a patch.
pub struct PatchWriter<'p> {
    pub dumps: [&'p DumpSide<'p>; 2],
    pub direction: Direction,
    pub options: &'p RowDiffOptions,
    pub monitor: &'p dyn Monitor,
}

impl PatchWriter<'_> {
    /// Writes the patch for these tables.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] where statements cannot tell what to change; those of reading, and of `take`.
    pub fn write(&self, pairs: &[TablePair], take: &mut TakeText) -> Result<PatchCounts> {
        match self.dumps[0].kind() {
            SnapshotKind::Mongo => {
                let manifest = &self.dumps[0].snapshot.manifest;
                let name = format!("{}@{}", manifest.source, manifest.name);
                Err(Error::invalid("snapshot", name, "MongoDB has no SQL; --json tells each document before and after"))
            }
            _ if pairs.is_empty() => Ok(PatchCounts::default()),
            kind => {
                self.check_target_is_whole()?;
                match kind {
                    SnapshotKind::Postgres => self.write_postgres(pairs, take),
                    _ => self.write_mysql(pairs, take),
                }
            }
        }
    }

    fn check_target_is_whole(&self) -> Result<()> {
        let [_, to] = self.direction.sides();
        let Manifest { source, name, status, .. } = &self.dumps[to].snapshot.manifest;
        if *status != SnapshotStatus::Incomplete {
            return Ok(());
        }
        let reason = "it is incomplete: rows and tables that were only cut off would be deleted";
        Err(Error::invalid("snapshot", format!("{source}@{name}"), reason))
    }

    /// Writes what changes the rows of one table, which is named so; `begin` comes before the first statement.
    fn write_rows(
        &self,
        pair: &TablePair,
        table: Vec<u8>,
        language: Language,
        begin: &mut dyn FnMut(&mut TakeText) -> Result<()>,
        counts: &mut PatchCounts,
        take: &mut TakeText,
    ) -> Result<()> {
        let [from, to] = self.direction.sides();
        diff_table(self.dumps, pair, self.options, self.monitor, &mut |change: &TableChange| {
            let mut is_empty = true;
            change.each(&mut |_| {
                is_empty = false;
                Ok(())
            })?;
            if is_empty {
                return Ok(());
            }
            begin(take)?;
            let Some(schema) = change.schemas[to] else { return Ok(()) };
            let has_own_key = self.options.key.is_none();
            let (table, language) = (table.clone(), language.clone());
            let target = Statements::new(change.comparison, schema, table, [from, to], language, has_own_key)?;
            target.write(change, counts, take)
        })
    }
}
