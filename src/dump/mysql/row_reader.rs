//! RowReader: takes a part of a dump that holds the rows of a table, and gives each row as it stands there. It may begin
//! wherever a row does.

use crate::dump::mysql::lexer::{EndedIn, Lexer, Sink};
use crate::dump::mysql::words::QuoteModes;

/// Longest row: servers take no longer statement.
const ROW_MAX_BYTES: usize = 1 << 30;

/// What the reader tells, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEvent<'a> {
    /// An `INSERT` begins, up to its first row.
    Insert { text: &'a [u8], modes: QuoteModes },
    /// A row, from its first parenthesis to its last, and where it begins.
    Row { start: u64, text: &'a [u8], modes: QuoteModes },
}

/// Reads rows.
pub struct RowReader {
    lexer: Lexer,
    /// What was read from `base` on and may still belong to a row.
    text: Vec<u8>,
    base: u64,
    /// Where the present row begins.
    open: Option<u64>,
    last_byte: Option<u8>,
}

/// Where inserts and rows begin and end, as the lexer finds them.
#[derive(Default)]
struct Places {
    inserts: Vec<(u64, Vec<u8>, QuoteModes)>,
    rows: Vec<(u64, u64)>,
    open: Option<u64>,
}

impl Sink for Places {
    fn insert(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        self.inserts.push((start, text.to_vec(), modes));
    }

    fn row(&mut self, start: u64) {
        self.open = Some(start);
    }

    fn row_end(&mut self, end: u64) {
        self.rows.extend(self.open.take().map(|start| (start, end)));
    }
}

impl RowReader {
    /// One for a text whose strings are in these modes, and which begins at its beginning, or before a row.
    pub fn new(modes: QuoteModes, within_rows: bool) -> RowReader {
        let lexer = Lexer::reading(modes, within_rows);
        RowReader { lexer, text: Vec::new(), base: 0, open: None, last_byte: None }
    }

    /// Takes the next piece. False where a row is longer than any can be.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(RowEvent) -> Result<(), E>) -> Result<bool, E> {
        self.text.extend_from_slice(piece);
        self.last_byte = piece.last().copied().or(self.last_byte);
        let mut places = Places { open: self.open, ..Places::default() };
        let modes = self.lexer.modes();
        self.lexer.push(piece, &mut places);
        self.tell_of(&places, modes, tell)?;
        self.open = places.open;
        let kept = self.open.unwrap_or(self.lexer.position());
        self.text.drain(..(kept - self.base) as usize);
        self.base = kept;
        Ok(self.text.len() <= ROW_MAX_BYTES)
    }

    /// Tells what was found; `modes` are those of rows before any insert.
    fn tell_of<E>(
        &self,
        places: &Places,
        mut modes: QuoteModes,
        tell: &mut impl FnMut(RowEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut inserts = places.inserts.iter().peekable();
        for &(start, end) in &places.rows {
            while let Some((_, text, of_insert)) = inserts.next_if(|(at, ..)| *at < start) {
                modes = *of_insert;
                tell(RowEvent::Insert { text, modes })?;
            }
            let text = &self.text[(start - self.base) as usize..(end - self.base) as usize];
            tell(RowEvent::Row { start, text, modes })?;
        }
        inserts.try_for_each(|(_, text, modes)| tell(RowEvent::Insert { text, modes: *modes }))
    }

    /// Whether what follows reads as it would behind any other place where a row may follow.
    pub fn is_before_row(&self) -> bool {
        // No word goes on behind these, and no delimiter of rows has them.
        let is_edge = self.last_byte.is_none_or(|byte| byte == b',' || byte.is_ascii_whitespace());
        is_edge && self.open.is_none() && self.lexer.is_before_row()
    }

    /// Tells that nothing follows; false where that is within a statement.
    pub fn finish<E>(mut self, tell: &mut impl FnMut(RowEvent) -> Result<(), E>) -> Result<bool, E> {
        let mut places = Places { open: self.open, ..Places::default() };
        let modes = self.lexer.modes();
        let ended_in = self.lexer.finish(&mut places);
        self.tell_of(&places, modes, tell)?;
        Ok(ended_in != EndedIn::Statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::letters::Letters;

    const USUAL: QuoteModes = QuoteModes {
        plain_backslash: false,
        ansi_quotes: false,
        letters: Letters::Plain,
        letters_of_session: Letters::Plain,
    };

    const TEXT: &str = "-- (1)\nLOCK TABLES `t` WRITE;\nINSERT INTO `t` (`a`) VALUES\n(1,'),('),\n(2,'\\'\\\\;'),\n(-3,NULL);\n\
                        INSERT INTO `t` (`a`) VALUES (4,f(5));\n/*!40000 ALTER TABLE `t` ENABLE KEYS */;\n";

    /// Rows, inserts, and whether the text ended with a statement.
    fn read(text: &str, within_rows: bool, pieces: usize) -> (Vec<String>, usize, bool) {
        let (mut reader, mut rows, mut inserts) = (RowReader::new(USUAL, within_rows), Vec::new(), 0);
        let mut tell = |event: RowEvent| {
            match event {
                RowEvent::Row { start, text: row, .. } => {
                    assert_eq!(&text.as_bytes()[start as usize..start as usize + row.len()], row);
                    rows.push(String::from_utf8(row.to_vec()).unwrap());
                }
                RowEvent::Insert { .. } => inserts += 1,
            }
            Ok::<(), ()>(())
        };
        text.as_bytes().chunks(pieces).for_each(|piece| assert!(reader.push(piece, &mut tell).unwrap()));
        let is_whole = reader.finish(&mut tell).unwrap();
        (rows, inserts, is_whole)
    }

    #[test]
    fn rows_are_the_same_however_they_come() {
        let expected = ["(1,'),(')", "(2,'\\'\\\\;')", "(-3,NULL)", "(4,f(5))"].map(str::to_string);
        for pieces in 1..TEXT.len() {
            assert_eq!(read(TEXT, false, pieces), (expected.to_vec(), 2, true), "{pieces}");
            let second = TEXT.find("(2,").unwrap();
            assert_eq!(read(&TEXT[second..], true, pieces), (expected[1..].to_vec(), 1, true), "{pieces}");
        }
        assert!(!read(&TEXT[..TEXT.find("NULL").unwrap()], false, 7).2);
    }

    #[test]
    fn rows_of_a_long_insert_are_the_same_however_they_come() {
        let forms = [
            "(1,-2)",
            "('a (b), -- c','\\'(',3)",
            "(\"it's\",-1e-3)",
            "(f('x'),NULL)",
            "('')",
            "(/* ) */ '\"\\\\',`b`)",
        ];
        let rows: Vec<String> = (0..40).map(|number| forms[number * 5 % 7 % forms.len()].to_string()).collect();
        let text = format!("INSERT INTO `t` VALUES {};\n", rows.join(","));
        for pieces in (1..130).chain([text.len()]) {
            assert_eq!(read(&text, false, pieces), (rows.clone(), 1, true), "{pieces}");
        }
    }

    #[test]
    fn it_knows_where_a_row_may_follow() {
        let mut before = Vec::new();
        for end in 0..=TEXT.len() {
            let mut reader = RowReader::new(USUAL, false);
            reader.push(&TEXT.as_bytes()[..end], &mut |_| Ok::<(), ()>(())).unwrap();
            before.extend(reader.is_before_row().then_some(end));
        }
        for row in ["(1,", "(2,", "(-3", "(4,"] {
            let start = TEXT.find(row).unwrap();
            assert!(before.contains(&start), "{row}: {before:?}");
        }
        // Also before the line break that comes before a row, but nowhere else.
        assert!(before.iter().all(|&end| TEXT[end..].trim_start().starts_with('(')), "{before:?}");
    }
}
