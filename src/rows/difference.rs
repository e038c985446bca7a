//! Difference: the rows of one table that two snapshots do not both have.

use std::path::PathBuf;

use crate::dump::table::TableSchema;
use crate::error::{Error, Result};
use crate::progress::Monitor;
use crate::rows::ahead::Ahead;
use crate::rows::comparison::{Comparison, RowView, changed_fields, is_same_value};
use crate::rows::gaps;
use crate::rows::join::{Join, JoinCounts, Joined};
use crate::rows::reading::{Reading, ReadingCounts};
use crate::rows::side::{DumpSide, TableSide};
use crate::rows::tables::TablePair;

/// How rows are compared.
#[derive(Debug, Clone)]
pub struct RowDiffOptions {
    /// The columns that tell a row from all others; without it, a key of the table.
    pub key: Option<Vec<Vec<u8>>>,
    /// About so many bytes of rows are kept in memory, and more in files.
    pub memory_bytes: usize,
    pub temporary_directory: PathBuf,
    /// Read all rows of tables that differ, whether they are shared or not.
    pub whole: bool,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Delete,
    Update,
}

/// What comparing a table took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowDiffCounts {
    pub reading: ReadingCounts,
    pub join: JoinCounts,
    /// Rows were read from the beginning, for nothing tells where others begin.
    pub read_all: bool,
}

/// A table of which something differs.
pub struct TableChange<'t> {
    pub pair: &'t TablePair,
    pub schemas: [Option<&'t TableSchema>; 2],
    pub comparison: &'t Comparison,
    joined: &'t Joined<'t>,
    pub counts: RowDiffCounts,
}

/// A row that differs.
pub struct RowChange<'r> {
    pub comparison: &'r Comparison,
    /// As A has it, and as B has it.
    pub sides: [Option<RowView<'r>>; 2],
}

impl RowChange<'_> {
    pub fn operation(&self) -> Operation {
        match self.sides {
            [None, _] => Operation::Insert,
            [_, None] => Operation::Delete,
            _ => Operation::Update,
        }
    }

    /// The columns, by number, that have another value; of a row that both have.
    pub fn changed(&self) -> Vec<usize> {
        let [Some(a), Some(b)] = &self.sides else { return Vec::new() };
        self.comparison.common().iter().copied().filter(|&column| !is_same_value(a, b, column)).collect()
    }

    /// The names of these columns; of a document, of its fields at the top.
    pub fn changed_names(&self) -> Vec<Vec<u8>> {
        let of_columns =
            || self.changed().into_iter().map(|column| self.comparison.columns()[column].clone()).collect();
        changed_fields(&self.sides).unwrap_or_else(of_columns)
    }

    /// The row, as the newer side has it that has it at all.
    pub fn latest(&self) -> Option<&RowView<'_>> {
        self.sides[1].as_ref().or(self.sides[0].as_ref())
    }
}

impl TableChange<'_> {
    /// Gives every row that differs, in the order of keys, as often as this is called.
    pub fn each(&self, each: &mut dyn FnMut(&RowChange) -> Result<()>) -> Result<()> {
        self.joined.each(&mut |_, entry| {
            entry.pairs(|before, after| {
                // A row may be there twice in forms that mean the same as one of the other side.
                if let (Some(before), Some(after)) = (before, after)
                    && self.comparison.is_same(before, after)
                {
                    return Ok(());
                }
                let sides = [self.view(0, before)?, self.view(1, after)?];
                each(&RowChange { comparison: self.comparison, sides })
            })
        })
    }

    fn view<'r>(&self, side: usize, row: Option<&'r [u8]>) -> Result<Option<RowView<'r>>> {
        row.map(|row| self.comparison.view(side, row)).transpose()
    }

    /// Whether its definition differs in more than the number that the next row gets.
    pub fn is_redefined(&self) -> bool {
        match (self.schemas, &self.pair.sides) {
            (_, [None, _] | [_, None]) => true,
            ([a, b], _) => a.map(|it| &it.definition) != b.map(|it| &it.definition),
        }
    }
}

/// Compares a table of two dumps, which need not be in one repository, and gives what differs to `take`.
///
/// # Errors
/// [`Error::Invalid`] where rows cannot be understood; those of reading; [`Error::Interrupted`]; those of `take`.
pub fn diff_table<T>(
    dumps: [&DumpSide; 2],
    pair: &TablePair,
    options: &RowDiffOptions,
    monitor: &dyn Monitor,
    take: &mut dyn FnMut(&TableChange) -> Result<T>,
) -> Result<T> {
    let name = pair.name();
    let [a, b] = dumps;
    let sides = [TableSide::open(a, pair, 0)?, TableSide::open(b, pair, 1)?];
    let comparison = Comparison::new(&name, [sides[0].columns(), sides[1].columns()], options.key.as_deref())?;
    let stores = [a.repository.chunks()?, b.repository.chunks()?];
    let same = |before: &[u8], after: &[u8]| comparison.is_same(before, after);
    let join = Join::new(&same, options.memory_bytes, options.temporary_directory.clone());
    let has_marks = sides[0].marks.and(&sides[1].marks).are_known();
    let gaps = match comparison.reads_alike() && !options.whole {
        true => gaps::gaps(stores, &sides[0].data, &sides[1].data)?,
        false => gaps::everything(&sides[0].data, &sides[1].data),
    };
    let ahead = Ahead::new(stores, [&sides[0].data, &sides[1].data]);
    let was_read = Reading::new(stores, &comparison, &sides, monitor, join).run(&gaps, ahead)?;
    for (side, ends_in_statement) in was_read.ends_in_statement.into_iter().enumerate() {
        if ends_in_statement {
            monitor.note(&format!("the rows of {name} end in the middle on side {}", ["A", "B"][side]));
        }
    }
    let joined = was_read.join.finish();
    let read_all = (!has_marks && !gaps.is_empty()) || was_read.passed_unmarked;
    let counts = RowDiffCounts { reading: was_read.counts, join: joined.counts, read_all };
    if read_all {
        monitor.note(&format!("nothing tells where the rows of {name} begin, so they were read from the first one on"));
    }
    let schemas = [sides[0].schema.as_ref(), sides[1].schema.as_ref()];
    take(&TableChange { pair, schemas, comparison: &comparison, joined: &joined, counts })
}

/// A value that must be there.
pub fn required<T>(value: Option<T>, table: &str, reason: &str) -> Result<T> {
    value.ok_or_else(|| Error::invalid("table", table, reason))
}
