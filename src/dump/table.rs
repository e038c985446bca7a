//! Table: what a dump says of the columns and keys of a table, whatever database it is of.

use crate::dump::letters::Letters;

/// How values of a column are compared with what is written for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// As values of the column's type.
    Exact,
    /// The same, of a type that has only whole numbers.
    Whole,
    /// As the text that the server makes of them: none of their digits need be exact.
    AsText,
    /// As strings, by the column's collation.
    Text,
    /// As bytes.
    Bytes,
    Bits,
    Geometry,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: Vec<u8>,
    pub kind: ColumnKind,
    /// Its value comes from others, or from the server.
    pub is_generated: bool,
    /// The server changes it with any other.
    pub changes_itself: bool,
    pub is_not_null: bool,
    /// An `INSERT` without a list has no value for it.
    pub is_invisible: bool,
    /// It gets a value with its row, and no other.
    pub is_fixed: bool,
}

impl Column {
    /// One of which nothing else is known.
    fn named(name: Vec<u8>) -> Column {
        Column {
            name,
            kind: ColumnKind::AsText,
            is_generated: false,
            changes_itself: false,
            is_not_null: false,
            is_invisible: false,
            is_fixed: false,
        }
    }
}

/// A primary or a unique key. What is no column has no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub is_primary: bool,
    pub columns: Vec<Vec<u8>>,
}

/// A table, as a dump makes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSchema {
    pub name: Vec<u8>,
    pub columns: Vec<Column>,
    pub keys: Vec<Key>,
    /// The number that the next row gets.
    pub auto_increment: Option<Vec<u8>>,
    /// Its rows are in other tables.
    pub is_partitioned: bool,
    /// It has columns of other tables, or of a type, that its definition does not name.
    pub inherits: bool,
    /// The words of the definition without that number, for comparison.
    pub definition: Vec<u8>,
}

impl TableSchema {
    /// With its names, which are in these letters, in UTF-8.
    pub fn in_utf8(mut self, letters: Letters) -> TableSchema {
        let of_columns = self.columns.iter_mut().map(|column| &mut column.name);
        let of_keys = self.keys.iter_mut().flat_map(|key| &mut key.columns);
        letters.make_utf8(std::iter::once(&mut self.name).chain(of_columns).chain(of_keys));
        self
    }

    /// That of a collection of documents: what tells one from the others, and all of it.
    pub fn of_documents() -> TableSchema {
        let key = Key { is_primary: true, columns: vec![b"_id".to_vec()] };
        let columns = ["_id", "document"].map(|name| Column::named(name.into())).into();
        TableSchema { columns, keys: vec![key], ..TableSchema::default() }
    }

    /// That of a collection of which these fields were exported, dotted where they are nested.
    pub fn of_fields(names: &[Vec<u8>]) -> TableSchema {
        let columns = names.iter().map(|name| Column::named(name.clone())).collect();
        let key = || Key { is_primary: true, columns: vec![b"_id".to_vec()] };
        let keys = names.iter().any(|name| name == b"_id").then(key).into_iter().collect();
        TableSchema { columns, keys, definition: names.join(&0), ..TableSchema::default() }
    }

    pub fn column(&self, name: &[u8]) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The same with columns of these names, as far as they are missing: a table may have them from another one.
    pub fn with_columns(mut self, names: &[Vec<u8>]) -> TableSchema {
        for name in names.iter().filter(|_| self.inherits) {
            if self.column(name).is_none() {
                self.columns.push(Column::named(name.clone()));
            }
        }
        self
    }

    /// Keys that tell each row from all others: those without columns that may be NULL; the primary key first.
    pub fn identifying_keys(&self) -> impl Iterator<Item = &Key> {
        let is_identifying = |key: &&Key| {
            key.is_primary || key.columns.iter().all(|name| self.column(name).is_some_and(|column| column.is_not_null))
        };
        let (primary, unique): (Vec<&Key>, Vec<&Key>) =
            self.keys.iter().filter(is_identifying).partition(|key| key.is_primary);
        primary.into_iter().chain(unique)
    }
}
