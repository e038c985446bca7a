//! RowMarks: whether the beginning of a row can be told in a dump from its bytes alone, without having read all that is before
//! it. Each line between a `COPY` and the line that ends its rows is a row; so that is where a table has one `COPY` and nothing
//! behind it looks like that line. Whoever reads a whole dump looks whether that is ever not so.

use std::collections::HashSet;

use memchr::memmem;

use crate::dump::letters::Letters;
use crate::dump::postgres::part::Object;
use crate::dump::postgres::strings::Strings;
use crate::id::hash;

/// What is known of the rows of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowMarks {
    /// Each line of the rows of a `COPY` is one, up to the last line that ends such rows.
    pub lines: bool,
    /// How strings are read, in every row.
    pub strings: Strings,
}

const WORDS: [&str; 2] = ["lines", "backslash-escapes"];

/// What ends the rows of a `COPY`, with the end of the line before.
const END_OF_ROWS: &[u8] = b"\n\\.";

impl RowMarks {
    /// As words, for the facts of a snapshot.
    pub fn to_words(self) -> String {
        let set = [self.lines, self.strings.backslash_escapes];
        let words = WORDS.iter().zip(set).filter(|(_, is_set)| *is_set).map(|(word, _)| *word);
        let words: Vec<&str> = words.chain(self.strings.letters.name()).collect();
        if words.is_empty() { "none".to_string() } else { words.join(" ") }
    }

    pub fn from_words(words: &str) -> RowMarks {
        let has = |wanted: usize| words.split(' ').any(|word| word == WORDS[wanted]);
        RowMarks { lines: has(0), strings: Strings { backslash_escapes: has(1), letters: Letters::among(words) } }
    }

    /// Where the last row of `text` begins, which is of rows.
    pub fn last_row(text: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', text).map(|at| at + 1)
    }

    /// Where the first row of `text` begins behind its beginning.
    pub fn first_row(text: &[u8]) -> Option<usize> {
        memchr::memchr(b'\n', text).map(|at| at + 1)
    }

    /// Where the line begins that ends all rows, in the end of what is told of a table.
    pub fn end_of_rows(text: &[u8]) -> Option<usize> {
        memmem::rfind(text, END_OF_ROWS).map(|at| at + 1)
    }
}

/// Learns the marks of a dump while it is read.
pub struct RowMarksFinder {
    lines: bool,
    /// Hashes of the names of tables that have rows.
    tables: HashSet<u64>,
    strings: Strings,
    /// How they were read among the first rows.
    of_rows: Option<Strings>,
    has_one_mode: bool,
}

impl Default for RowMarksFinder {
    fn default() -> RowMarksFinder {
        RowMarksFinder {
            lines: true,
            tables: HashSet::new(),
            strings: Strings::default(),
            of_rows: None,
            has_one_mode: true,
        }
    }
}

impl RowMarksFinder {
    /// A statement may set how strings are read from here on.
    pub fn setting(&mut self, text: &[u8]) {
        self.strings.follow(text);
    }

    /// Rows of this table follow.
    pub fn rows_of(&mut self, table: &Object) {
        let database = table.database.as_deref().unwrap_or_default();
        let mut first = [0; 8];
        first.copy_from_slice(&hash(&[database, &table.schema, &table.name].join(&0))[..8]);
        self.lines &= self.tables.insert(u64::from_le_bytes(first));
        let known = self.of_rows.get_or_insert(self.strings);
        let letters = known.letters.shared_with(self.strings.letters);
        known.letters = letters.unwrap_or_default();
        self.has_one_mode &= letters.is_some() && known.backslash_escapes == self.strings.backslash_escapes;
    }

    /// A statement stands beside rows.
    pub fn beside_rows(&mut self, text: &[u8]) {
        self.lines &= memmem::find(text, END_OF_ROWS).is_none();
    }

    /// What was learned; nothing where rows are not all read the same way.
    pub fn finish(&self) -> Option<RowMarks> {
        let strings = self.of_rows.unwrap_or(self.strings);
        self.has_one_mode.then_some(RowMarks { lines: self.lines, strings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::postgres::PostgresDump;

    const TABLE: &str = "CREATE TABLE public.t (a text);\nCOPY public.t (a) FROM stdin;\nx\n\\.\n\n";

    #[track_caller]
    fn marks(dump: &str, expected: Option<&str>) {
        for length in [1, 2, 3, 5, 64, 1 << 20] {
            let mut reader = PostgresDump::default();
            dump.as_bytes().chunks(length).for_each(|piece| reader.push(piece, &mut |_| {}));
            let found = reader.finish(&mut |_| {}).row_marks;
            assert_eq!(found.map(RowMarks::to_words).as_deref(), expected, "{dump} by {length}");
            assert!(found.is_none_or(|marks| RowMarks::from_words(&marks.to_words()) == marks));
        }
    }

    #[test]
    fn lines_are_rows_where_a_table_has_one_copy() {
        marks("", Some("lines"));
        marks(TABLE, Some("lines"));
        marks(&format!("{TABLE}{}", TABLE.replace("public", "other")), Some("lines"));
        marks(&format!("{TABLE}\\connect x\n{TABLE}"), Some("lines"));
        let copy = &TABLE[TABLE.find("COPY").unwrap()..];
        marks(&format!("{TABLE}{copy}"), Some("none"));
        marks(&format!("{TABLE}INSERT INTO public.t VALUES ('y');\n"), Some("none"));
        marks(&format!("{TABLE}ALTER TABLE public.t ENABLE TRIGGER ALL;\n"), Some("lines"));
        let odd = "public.\"t\n\\.\n\"";
        marks(&TABLE.replace("public.t", odd), Some("lines"));
        marks(&format!("{}ALTER TABLE {odd} ENABLE TRIGGER ALL;\n", TABLE.replace("public.t", odd)), Some("none"));
        let settings = ["off", "on"].map(|value| format!("SET standard_conforming_strings = {value};\n"));
        marks(&format!("{}{TABLE}", settings[0]), Some("lines backslash-escapes"));
        marks(&format!("{TABLE}{}{}", settings[0], TABLE.replace("public", "other")), None);
        marks(&format!("{}{}{TABLE}", settings[0], settings[1]), Some("lines"));
    }

    #[test]
    fn the_nearest_row_is_found() {
        let text = b"a\nb\nc";
        assert_eq!((RowMarks::first_row(text), RowMarks::last_row(text)), (Some(2), Some(4)));
        assert_eq!((RowMarks::first_row(b"a"), RowMarks::last_row(b"a")), (None, None));
        assert_eq!(RowMarks::end_of_rows(b"\\.\nx\n\\.\n\n"), Some(5));
    }
}
