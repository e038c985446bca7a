//! RowMarks: by what the beginning of a row can be told in a dump from its bytes alone, without having read all that is before
//! it. Whether a line break followed by a parenthesis is one depends on the dump: a string may hold the same bytes. So
//! whoever reads a whole dump looks whether that is ever so.

use std::collections::HashMap;

use memchr::memmem;

use crate::dump::letters::Letters;
use crate::dump::mysql::words::QuoteModes;
use crate::id::hash;

/// The beginning of a row, with what comes before it.
const LINE: &[u8] = b"\n(";
const BRACKETS: &[u8] = b"),(";

/// Places that may be rows, and of which nobody has said yet. A statement of more of them leaves nothing to be sure of.
const CANDIDATES_MAX: usize = 1 << 18;

/// Bytes that are looked at together.
const STRETCH_BYTES: usize = 32;

/// What is known of the rows of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowMarks {
    /// Wherever among rows a line begins with a parenthesis, a row does.
    pub lines: bool,
    /// Wherever among rows `),(` stands, a row begins.
    pub brackets: bool,
    /// How strings are read, in every row.
    pub modes: QuoteModes,
}

const WORDS: [&str; 4] = ["lines", "brackets", "plain-backslash", "ansi-quotes"];

impl RowMarks {
    /// As words, for the facts of a snapshot.
    pub fn to_words(self) -> String {
        let set = [self.lines, self.brackets, self.modes.plain_backslash, self.modes.ansi_quotes];
        let words = WORDS.iter().zip(set).filter(|(_, is_set)| *is_set).map(|(word, _)| *word);
        let words: Vec<&str> = words.chain(self.modes.letters.name()).collect();
        if words.is_empty() { "none".to_string() } else { words.join(" ") }
    }

    pub fn from_words(words: &str) -> RowMarks {
        let has = |wanted: usize| words.split(' ').any(|word| word == WORDS[wanted]);
        let letters = Letters::among(words);
        let modes = QuoteModes { plain_backslash: has(2), ansi_quotes: has(3), letters, letters_of_session: letters };
        RowMarks { lines: has(0), brackets: has(1), modes }
    }

    /// What is sure where either is: both tell of the same bytes.
    pub fn or(self, other: RowMarks) -> RowMarks {
        RowMarks { lines: self.lines || other.lines, brackets: self.brackets || other.brackets, modes: self.modes }
    }

    /// Where the last row of `text` begins that this tells of.
    pub fn last_row(self, text: &[u8]) -> Option<usize> {
        let line = if self.lines { memmem::rfind(text, LINE).map(|at| at + 1) } else { None };
        let brackets = if self.brackets { memmem::rfind(text, BRACKETS).map(|at| at + 2) } else { None };
        line.max(brackets)
    }

    /// Where the first row of `text` begins that this tells of.
    pub fn first_row(self, text: &[u8]) -> Option<usize> {
        let line = if self.lines { memmem::find(text, LINE).map(|at| at + 1) } else { None };
        let brackets = if self.brackets { memmem::find(text, BRACKETS).map(|at| at + 2) } else { None };
        line.into_iter().chain(brackets).min()
    }
}

/// Bytes that look like the beginning of a row.
struct Candidates {
    places: Vec<u64>,
    /// So many of the first were said.
    said: usize,
    /// None of them was another thing so far.
    is_sure: bool,
}

impl Default for Candidates {
    fn default() -> Candidates {
        Candidates { places: Vec::new(), said: 0, is_sure: true }
    }
}

impl Candidates {
    fn bound(&mut self) {
        self.places.drain(..self.said);
        self.said = 0;
        self.is_sure &= self.places.len() <= CANDIDATES_MAX;
        if !self.is_sure {
            self.places = Vec::new();
        }
    }

    /// All before `place` are none, unless they are not among rows.
    #[inline]
    fn pass(&mut self, place: u64, are_rows: bool) {
        while self.places.get(self.said).is_some_and(|&first| first < place) {
            self.said += 1;
            self.is_sure &= !are_rows;
        }
    }

    #[inline]
    fn row(&mut self, start: u64) {
        self.pass(start, true);
        self.said += usize::from(self.places.get(self.said) == Some(&start));
    }
}

/// Learns the marks of a dump while it is read.
pub struct RowMarksFinder {
    lines: Candidates,
    brackets: Candidates,
    /// The last two bytes of the piece before, and where the next begins.
    tail: [u8; 2],
    offset: u64,
    modes: Option<QuoteModes>,
    has_one_mode: bool,
    has_one_set: bool,
    /// What each table's rows have in front of them: hashes of both.
    inserts: HashMap<u64, u64>,
    has_one_insert: bool,
}

impl Default for RowMarksFinder {
    fn default() -> RowMarksFinder {
        RowMarksFinder {
            lines: Candidates::default(),
            brackets: Candidates::default(),
            tail: [0; 2],
            offset: 0,
            modes: None,
            has_one_mode: true,
            has_one_set: true,
            inserts: HashMap::new(),
            has_one_insert: true,
        }
    }
}

impl RowMarksFinder {
    /// Takes a piece that the lexer is about to read.
    pub fn push(&mut self, piece: &[u8]) {
        self.lines.bound();
        self.brackets.bound();
        let tail = self.tail;
        let byte = |at: usize, back: usize| if at >= back { piece[at - back] } else { tail[at + 2 - back] };
        each_place_of(b'(', piece, |at| {
            let place = self.offset + at as u64;
            match byte(at, 1) {
                b'\n' => self.lines.places.push(place),
                b',' if byte(at, 2) == b')' => self.brackets.places.push(place),
                _ => {}
            }
        });
        self.offset += piece.len() as u64;
        self.tail = [byte(piece.len(), 2), byte(piece.len(), 1)];
    }

    /// A row begins there.
    #[inline]
    pub fn row(&mut self, start: u64) {
        self.lines.row(start);
        self.brackets.row(start);
    }

    /// What comes before `place` is among rows, or not.
    pub fn pass(&mut self, place: u64, are_rows: bool) {
        self.lines.pass(place, are_rows);
        self.brackets.pass(place, are_rows);
    }

    /// Rows of a table follow, with this in front.
    pub fn insert(&mut self, table: &[&[u8]], text: &[u8], modes: QuoteModes) {
        let known = self.modes.get_or_insert(modes);
        let letters = known.letters.shared_with(modes.letters);
        (known.letters, known.letters_of_session) = (letters.unwrap_or_default(), letters.unwrap_or_default());
        let quotes = |modes: &QuoteModes| (modes.plain_backslash, modes.ansi_quotes);
        self.has_one_set &= letters.is_some();
        self.has_one_mode &= quotes(known) == quotes(&modes);
        let table = short_hash(&table.join(&0));
        let text = short_hash(text);
        self.has_one_insert &= *self.inserts.entry(table).or_insert(text) == text;
    }

    /// Whether rows differ in nothing but letters in how they are read.
    pub fn differs_in_letters(&self) -> bool {
        self.has_one_mode && !self.has_one_set
    }

    /// What was learned; nothing where rows are not all read the same way.
    pub fn finish(mut self, are_rows: bool) -> Option<RowMarks> {
        self.pass(u64::MAX, are_rows);
        let is_sure = |candidates: &Candidates| candidates.is_sure && self.has_one_insert;
        let (lines, brackets) = (is_sure(&self.lines), is_sure(&self.brackets));
        let are_alike = self.has_one_mode && self.has_one_set;
        are_alike.then(|| RowMarks { lines, brackets, modes: self.modes.unwrap_or_default() })
    }
}

/// Tells each place of a byte that may be one in ten, or rare: many bytes are asked together whether one of them is it, then eight.
fn each_place_of(wanted: u8, bytes: &[u8], mut tell: impl FnMut(usize)) {
    const LOW: u64 = u64::from_le_bytes([0x7f; 8]);
    let (stretches, rest) = bytes.as_chunks::<STRETCH_BYTES>();
    for (number, stretch) in stretches.iter().enumerate() {
        // Without a way out of it, this becomes instructions for many bytes.
        if !stretch.iter().fold(false, |is_there, &byte| is_there | (byte == wanted)) {
            continue;
        }
        for (word_number, word) in stretch.as_chunks::<8>().0.iter().enumerate() {
            let differs = u64::from_le_bytes(*word) ^ u64::from_le_bytes([wanted; 8]);
            // The top bit of each byte that is zero.
            let mut found = !(((differs & LOW) + LOW) | differs | LOW);
            while found != 0 {
                tell(number * STRETCH_BYTES + word_number * 8 + found.trailing_zeros() as usize / 8);
                found &= found - 1;
            }
        }
    }
    let places = rest.iter().enumerate().filter(|(_, byte)| **byte == wanted);
    places.for_each(|(at, _)| tell(stretches.len() * STRETCH_BYTES + at));
}

fn short_hash(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash(bytes)[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::mysql::MysqlDump;

    const TABLE: &str = "CREATE TABLE `t` (\n`a` int\n);\nINSERT INTO `t` VALUES\n(1,'x'),\n(2,'y');\n";

    #[track_caller]
    fn marks(dump: &str, expected: Option<&str>) {
        for length in [1, 2, 3, 5, 64, 1 << 20] {
            let mut reader = MysqlDump::default();
            dump.as_bytes().chunks(length).for_each(|piece| reader.push(piece, &mut |_| {}));
            let found = reader.finish(&mut |_| {}).row_marks;
            assert_eq!(found.map(RowMarks::to_words).as_deref(), expected, "{dump} by {length}");
            assert!(found.is_none_or(|marks| RowMarks::from_words(&marks.to_words()) == marks));
        }
    }

    #[test]
    fn rows_show_unless_strings_look_like_them() {
        marks(TABLE, Some("lines brackets"));
        marks(&TABLE.replace(",\n(", ",("), Some("lines brackets"));
        marks(&TABLE.replace("'x'", "'x\n(3'"), Some("brackets"));
        marks(&TABLE.replace("'x'", "'),('"), Some("lines"));
        marks(&TABLE.replace("'x'", "'\n(),('"), Some("none"));
        marks(&TABLE.replace("'y'", "'),(,\n('"), Some("none"));
        // Names may hold anything.
        marks(&TABLE.replace("`t`", "`t\n(`"), Some("brackets"));
        // Elsewhere it does not count.
        let routine = "DELIMITER ;;\nCREATE PROCEDURE p() SELECT\n(1),(2)\n;;\nDELIMITER ;\n";
        marks(&format!("{TABLE}{routine}{}", TABLE.replace("`t`", "`u`")), Some("lines brackets"));
    }

    #[test]
    fn rows_that_are_read_in_different_ways_show_nothing() {
        marks(&format!("SET sql_mode = 'NO_BACKSLASH_ESCAPES';\n{TABLE}"), Some("lines brackets plain-backslash"));
        marks(&format!("{TABLE}SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO `u` VALUES (1);\n"), None);
        marks(&format!("{TABLE}INSERT INTO `t` (`a`) VALUES\n(1);\n"), Some("none"));
        marks(&format!("{TABLE}INSERT INTO `u` (`a`) VALUES\n(1);\n"), Some("lines brackets"));
        marks("", Some("lines brackets"));
    }

    #[test]
    fn sets_that_only_names_are_read_by_do_not_hide_rows() {
        let in_set = |set: &str| format!("SET NAMES {set};\n{TABLE}");
        marks(&in_set("latin1"), Some("lines brackets latin1"));
        marks(&[in_set("latin1"), in_set("utf8mb4"), in_set("koi8r")].concat(), Some("lines brackets"));
        marks(&[in_set("utf8mb4"), in_set("latin1"), in_set("latin1")].concat(), Some("lines brackets"));
        marks(&[in_set("latin1"), in_set("sjis")].concat(), None);
    }

    #[test]
    fn the_nearest_row_is_found() {
        let both = RowMarks { lines: true, brackets: true, ..RowMarks::default() };
        let text = b"x\n(1),(2),\n(3),4";
        assert_eq!((both.first_row(text), both.last_row(text)), (Some(2), Some(11)));
        let brackets = RowMarks { lines: false, ..both };
        assert_eq!((brackets.first_row(text), brackets.last_row(text)), (Some(6), Some(6)));
        assert_eq!((both.first_row(b"1,2"), RowMarks::default().last_row(text)), (None, None));
    }
}
