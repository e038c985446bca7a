//! Rows: which rows of a table two snapshots do not both have, and what brings one to the other. What two snapshots share is
//! not read: only chunks that differ are, and as much around them as the rows in them take.
//!
//! 1. `tables`, `collections`: the files of tables that differ, and of collections of MongoDB; `names`: what all are called. `table_counts`: how much is in each. `side`: what each side says of its columns. `form`: how rows stand in the
//!    dumps of each database; nothing else here knows that, but what writes statements.
//! 2. `gaps`: the ranges of both `data.sql` that are not shared. `reading`: the rows in them.
//! 3. `window`: drops what is the same and in the same order. `join`: finds what belongs together by key, in memory or in files.
//! 4. `difference`: the changes. `patch`: the statements that make them.
//!
//! One row by its key: `locate` looks for its place, `documents` for that of a document of MongoDB; `find` gives it, `history`
//! follows it through the snapshots of a source.

mod ahead;
mod collections;
mod comparison;
mod difference;
mod document_line;
mod documents;
mod find;
mod form;
mod gaps;
mod history;
mod join;
mod key;
mod layout;
mod locate;
mod names;
mod nearby;
mod patch;
mod reading;
mod run;
mod side;
mod table_counts;
mod tables;
mod window;

pub use self::comparison::{Comparison, RowView};
pub use self::difference::{Operation, RowChange, RowDiffCounts, RowDiffOptions, TableChange, diff_table};
pub use self::document_line::document_line;
pub use self::find::{FoundRow, check_rows_are_there, find_rows};
pub use self::form::{RowForm, Value};
pub use self::history::{HistoryStep, row_history};
pub use self::join::{Join, JoinCounts};
pub use self::layout::TableLayout;
pub use self::names::each_table_name;
pub use self::patch::{Direction, PatchCounts, PatchWriter, around_rows, check_around_rows};
pub use self::reading::ReadingCounts;
pub use self::run::unnamed_file;
pub use self::side::{DumpSide, has_rows};
pub use self::table_counts::table_counts;
pub use self::tables::{
    TablePair, changed_directories, changed_table, changed_tables, changed_tables_of, is_changed_directory,
    is_changed_table,
};
