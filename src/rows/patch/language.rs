//! Language: how statements of each database say what they have in common.

use crate::dump::letters::Letters;
use crate::dump::mysql::{self, QuoteModes};
use crate::dump::name::quoted_name;
use crate::dump::postgres;
use crate::dump::table::{Column, ColumnKind};
use crate::rows::form::RowForm;

/// The SQL of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Language {
    /// Strings are read in these modes, and are in this character set.
    Mysql { modes: QuoteModes, character_set: String },
    /// Strings are in these letters.
    Postgres(Letters),
}

impl Language {
    /// The one that rows of this form are of.
    pub fn of(form: RowForm) -> Language {
        match form {
            RowForm::Mysql(modes) => Language::Mysql { modes, character_set: String::new() },
            RowForm::Postgres(form) => Language::Postgres(form.strings().letters),
            RowForm::Document(_) | RowForm::Csv { .. } => Language::Postgres(Letters::Plain),
        }
    }

    fn is_of_postgres(&self) -> bool {
        matches!(self, Language::Postgres(_))
    }

    /// A name in quotes.
    pub fn push_name(&self, name: &[u8], text: &mut Vec<u8>) {
        text.extend(match self {
            Language::Mysql { modes, .. } => mysql::quoted_name(name, b'`', modes.letters),
            Language::Postgres(letters) => quoted_name(&letters.encoded(name), b'"'),
        });
    }

    /// The name of a table, with that of its schema.
    pub fn table(&self, schema: Option<&[u8]>, table: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(schema) = schema {
            self.push_name(schema, &mut text);
            text.push(b'.');
        }
        self.push_name(table, &mut text);
        text
    }

    /// What an `INSERT` says that has a value for a column which gets one by itself.
    pub fn overriding(&self) -> &'static [u8] {
        if self.is_of_postgres() { b" OVERRIDING SYSTEM VALUE" } else { b"" }
    }

    /// A value as it stands in its dump, or the same as a statement reads it.
    pub fn literal(&self, literal: &[u8], form: RowForm) -> Vec<u8> {
        match (self, form) {
            (Language::Mysql { modes, .. }, RowForm::Mysql(of)) => {
                let is_string = matches!(literal.first(), Some(b'\'' | b'"'));
                match mysql::meaning(literal, of) {
                    Some(bytes) if is_string && (of != *modes || literal[0] == b'"') => mysql::quoted(&bytes, *modes),
                    _ => literal.to_vec(),
                }
            }
            (Language::Postgres(letters), _) => {
                form.meaning(literal).map_or_else(|| b"NULL".to_vec(), |bytes| postgres::quoted(&bytes, *letters))
            }
            _ => literal.to_vec(),
        }
    }

    /// That a column holds exactly this value. Where rows are found by a key, the server tells which values are the same.
    pub fn push_condition(&self, about: &Column, literal: &[u8], form: RowForm, by_key: bool, text: &mut Vec<u8>) {
        let mut name = Vec::new();
        self.push_name(&about.name, &mut name);
        let Some(value) = form.meaning(literal) else {
            text.extend_from_slice(&name);
            return text.extend_from_slice(b" IS NULL");
        };
        let (parts, value) = match self {
            Language::Mysql { modes, character_set } => {
                let as_stored = || self.literal(literal, form);
                match about.kind {
                    ColumnKind::AsText => (["CAST(".into(), " AS CHAR)=".into()], mysql::quoted(&value, *modes)),
                    ColumnKind::Geometry => (["HEX(".into(), ")=".into()], hexadecimal(&value)),
                    ColumnKind::Bits => ([String::new(), "+0=".into()], number_of(&value).to_string().into_bytes()),
                    // Collations take different strings for the same, which no key has twice.
                    ColumnKind::Text if !by_key => {
                        (["HEX(CONVERT(".into(), format!(" USING {character_set}))=")], hexadecimal(&value))
                    }
                    _ => ([String::new(), "=".into()], as_stored()),
                }
            }
            Language::Postgres(letters) => {
                let parts = match about.kind {
                    // Some types have no equality, and for others different values are equal.
                    ColumnKind::AsText if !by_key => ["(".to_string(), ")::text COLLATE \"C\"=".to_string()],
                    _ => [String::new(), "=".to_string()],
                };
                (parts, postgres::quoted(&value, *letters))
            }
        };
        for part in [parts[0].as_bytes(), &name, parts[1].as_bytes(), &value] {
            text.extend_from_slice(part);
        }
    }

    /// The end of a statement that changes one row of `table` for which this holds. Without a key, of rows that are the same any will
    /// do.
    pub fn one_row(&self, table: &[u8], is_partitioned: bool, conditions: &[u8], by_key: bool) -> Vec<u8> {
        let such: &[u8] = if conditions.is_empty() { b"" } else { b" WHERE " };
        match self {
            Language::Mysql { .. } if by_key => [such, conditions, b";\n"].concat(),
            Language::Mysql { .. } => [such, conditions, b" LIMIT 1;\n"].concat(),
            Language::Postgres(_) if by_key => [such, conditions, b";\n"].concat(),
            Language::Postgres(_) => {
                let place: [&[u8]; 2] = match is_partitioned {
                    true => [b"(tableoid, ctid)", b"tableoid, ctid"],
                    false => [b"ctid", b"ctid"],
                };
                let parts: [&[u8]; 9] = [
                    b" WHERE ",
                    place[0],
                    b" = (SELECT ",
                    place[1],
                    b" FROM ",
                    table,
                    such,
                    conditions,
                    b" LIMIT 1);\n",
                ];
                parts.concat()
            }
        }
    }

    /// A table in a statement that changes its rows, and not those of tables that inherit from it.
    pub fn changed_table(&self, table: &[u8], is_partitioned: bool) -> Vec<u8> {
        let only: &[u8] = if self.is_of_postgres() && !is_partitioned { b"ONLY " } else { b"" };
        [only, table].concat()
    }
}

fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("'{digits}'").into_bytes()
}

/// The number that bits are.
fn number_of(bits: &[u8]) -> u64 {
    bits.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
