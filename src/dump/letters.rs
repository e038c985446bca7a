//! Letters: the character sets of MySQL and PostgreSQL. In some for Japanese and Chinese a byte of a letter that is not its first may
//! look like a backslash, a backtick, or another character of ASCII: who reads a dump in one of them steps over whole letters, as
//! servers and clients do. Names are told in UTF-8, whichever set they stand in, for one dump may have them in two.

mod sets;

use std::borrow::Cow;
use std::collections::BTreeMap;

use self::sets::{BIG5_CODE, Code, GB18030_CODE, GBK_CODE, SETS, SJIS_CODE, Set};
use crate::dump::layout::CHARACTER_SET;

/// The letters of a character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Letters {
    /// UTF-8, and whatever is not known.
    #[default]
    Plain,
    /// Another set of which no byte of a letter looks like another character: that at this place of `SETS`.
    Of(u8),
    Sjis,
    Cp932,
    Gbk,
    Gb18030,
    Big5,
    Johab,
}

/// Names of the sets in MySQL and PostgreSQL, in lower case; the first of each is the one that it is known by here.
const NAMES: [(&str, Letters); 15] = [
    ("sjis", Letters::Sjis),
    ("cp932", Letters::Cp932),
    ("gbk", Letters::Gbk),
    ("gb18030", Letters::Gb18030),
    ("big5", Letters::Big5),
    ("johab", Letters::Johab),
    ("shiftjis", Letters::Cp932),
    ("shiftjis2004", Letters::Cp932),
    ("mskanji", Letters::Cp932),
    ("win932", Letters::Cp932),
    ("windows932", Letters::Cp932),
    ("win936", Letters::Gbk),
    ("windows936", Letters::Gbk),
    ("win950", Letters::Big5),
    ("windows950", Letters::Big5),
];

/// Of these, the first set has what stands at the right where the other one and [`SJIS_CODE`] have what stands at the left.
const OF_SJIS_ALONE: [(char, char); 7] = [
    ('\u{ff3c}', '\\'),
    ('\u{ff5e}', '\u{301c}'),
    ('\u{2225}', '\u{2016}'),
    ('\u{ff0d}', '\u{2212}'),
    ('\u{ffe0}', '\u{a2}'),
    ('\u{ffe1}', '\u{a3}'),
    ('\u{ffe2}', '\u{ac}'),
];

impl Letters {
    /// Those of the set of this name, in whatever case, and with whatever stands between letters and digits, as PostgreSQL takes names.
    pub fn of(name: &[u8]) -> Letters {
        let named = name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
        let is_it = |known: &str| known.bytes().filter(u8::is_ascii_alphanumeric).eq(named.clone());
        let is_in = |set: &Set| set.names.iter().any(|known| is_it(known));
        let of_set = || (0..).zip(&SETS).find(|(_, set)| is_in(set)).map(|(place, _)| Letters::Of(place));
        let found = NAMES.iter().find(|(known, _)| is_it(known)).map(|(_, letters)| *letters);
        found.or_else(of_set).unwrap_or_default()
    }

    /// The same of PostgreSQL, which means other sets by some of the names.
    pub fn of_postgres(name: &[u8]) -> Letters {
        let letters = Letters::of(name);
        match letters.name() {
            Some("latin1") if !name.to_ascii_lowercase().starts_with(b"win") => Letters::of(b"iso_8859_1"),
            Some("euckr") => Letters::of(b"ks_c_5601"),
            _ => letters,
        }
    }

    /// Those that a dump is in of which these are the facts.
    pub fn of_facts(facts: &BTreeMap<String, String>) -> Letters {
        facts.get(CHARACTER_SET).map_or(Letters::Plain, |name| Letters::of(name.as_bytes()))
    }

    /// The same of a dump of PostgreSQL.
    pub fn of_facts_of_postgres(facts: &BTreeMap<String, String>) -> Letters {
        facts.get(CHARACTER_SET).map_or(Letters::Plain, |name| Letters::of_postgres(name.as_bytes()))
    }

    /// What the set is called; nothing where there is none to tell of.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Letters::Of(place) => SETS.get(usize::from(place))?.names.first().copied(),
            _ => NAMES.iter().find(|(_, letters)| *letters == self).map(|(name, _)| *name),
        }
    }

    /// Those of the first set that is named among these words.
    pub fn among(words: &str) -> Letters {
        let named = words.split(' ').map(|word| Letters::of(word.as_bytes()));
        named.into_iter().find(|letters| *letters != Letters::Plain).unwrap_or_default()
    }

    /// Whether no byte of a letter looks like another character.
    #[inline]
    pub fn are_plain(self) -> bool {
        matches!(self, Letters::Plain | Letters::Of(_))
    }

    /// Whether bytes of a letter behind its first may look like ASCII: whether `psql` hides them from itself.
    pub fn look_like_ascii(self) -> bool {
        match self {
            Letters::Plain => false,
            Letters::Of(_) => self.name() == Some("uhc"),
            _ => true,
        }
    }

    /// By which text is read that is in these or in those; of sets that only names are read by, neither.
    pub fn shared_with(self, other: Letters) -> Option<Letters> {
        let are_plain = self.are_plain() && other.are_plain();
        if self == other { Some(self) } else { are_plain.then_some(Letters::Plain) }
    }

    /// How many bytes the first letter of `rest` has; one where its bytes are none of a longer one. `None` where more bytes would have
    /// to be there to tell.
    #[inline]
    pub fn first_length(self, rest: &[u8]) -> Option<usize> {
        let (&first, behind) = rest.split_first()?;
        if !self.begins_with(first) {
            return Some(1);
        }
        let &second = behind.first()?;
        if self == Letters::Gb18030 && second.is_ascii_digit() {
            return match behind {
                [_, third, ..] if !self.begins_with(*third) => Some(1),
                [_, _, fourth, ..] => Some(if fourth.is_ascii_digit() { 4 } else { 1 }),
                _ => None,
            };
        }
        Some(if self.goes_on_with(second) { 2 } else { 1 })
    }

    /// The same where nothing follows `rest`, which must not be empty.
    pub fn first_length_of_all(self, rest: &[u8]) -> usize {
        self.first_length(rest).unwrap_or(1)
    }

    /// Whether a longer letter may begin with this byte.
    pub fn begins_with(self, byte: u8) -> bool {
        match self {
            Letters::Plain | Letters::Of(_) => false,
            Letters::Sjis | Letters::Cp932 => matches!(byte, 0x81..=0x9f | 0xe0..=0xfc),
            Letters::Big5 => matches!(byte, 0xa1..=0xf9),
            Letters::Gbk | Letters::Gb18030 | Letters::Johab => matches!(byte, 0x81..=0xfe),
        }
    }

    /// Whether this byte makes a letter of two together with one that may begin such.
    fn goes_on_with(self, byte: u8) -> bool {
        match self {
            Letters::Plain | Letters::Of(_) => false,
            Letters::Sjis | Letters::Cp932 => matches!(byte, 0x40..=0x7e | 0x80..=0xfc),
            Letters::Big5 => matches!(byte, 0x40..=0x7e | 0xa1..=0xfe),
            Letters::Gbk | Letters::Gb18030 => matches!(byte, 0x40..=0x7e | 0x80..=0xfe),
            Letters::Johab => matches!(byte, 0x31..=0x7e | 0x81..=0xfe),
        }
    }

    /// The letters of `text`, in order.
    pub fn each(self, mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::from_fn(move || {
            let length = self.first_length_of_all(Some(text).filter(|text| !text.is_empty())?);
            let (letter, rest) = text.split_at(length);
            text = rest;
            Some(letter)
        })
    }

    /// A name in UTF-8, as dumps have it where they make something. One that cannot be told stays as it is.
    pub fn name_in_utf8(self, name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        if name.is_ascii() {
            return name;
        }
        let decoded = self.decoded(&name).filter(|text| *self.encoded(text.as_bytes()) == *name);
        decoded.map_or(name, |text| Cow::Owned(text.into_bytes()))
    }

    /// The same of names in their places.
    pub fn make_utf8<'n>(self, names: impl IntoIterator<Item = &'n mut Vec<u8>>) {
        for name in names {
            *name = self.name_in_utf8(std::mem::take(name).into()).into_owned();
        }
    }

    /// Whether a name of UTF-8 can be written in this set.
    pub fn have(self, name: &[u8]) -> bool {
        self.code().is_none() || self.bytes_of(name).is_some()
    }

    /// A name of UTF-8 in this set. One that has no such letters stays as it is.
    pub fn encoded(self, name: &[u8]) -> Cow<'_, [u8]> {
        self.bytes_of(name).map_or(name.into(), Cow::Owned)
    }

    fn bytes_of(self, name: &[u8]) -> Option<Vec<u8>> {
        let (code, text) = self.code().zip(std::str::from_utf8(name).ok())?;
        let text = self.exchanged(text, |(of_others, of_sjis)| (of_sjis, of_others));
        // Some letters are written as others that look like them: a yen sign as a backslash.
        code.encoded(&text).filter(|bytes| code.decoded(bytes).as_deref() == Some(&*text))
    }

    fn decoded(self, name: &[u8]) -> Option<String> {
        Some(self.exchanged(&self.code()?.decoded(name)?, |pair| pair))
    }

    /// With what [`Letters::Sjis`] has in another way.
    fn exchanged(self, text: &str, pair: impl Fn((char, char)) -> (char, char)) -> String {
        let pairs: &[(char, char)] = if self == Letters::Sjis { &OF_SJIS_ALONE } else { &[] };
        let exchange =
            |letter| pairs.iter().map(|it| pair(*it)).find(|(from, _)| *from == letter).map_or(letter, |(_, to)| to);
        text.chars().map(exchange).collect()
    }

    fn code(self) -> Option<Code> {
        match self {
            Letters::Plain | Letters::Johab => None,
            Letters::Of(place) => SETS.get(usize::from(place)).map(|set| set.code),
            Letters::Sjis | Letters::Cp932 => Some(SJIS_CODE),
            Letters::Gbk => Some(GBK_CODE),
            Letters::Gb18030 => Some(GB18030_CODE),
            Letters::Big5 => Some(BIG5_CODE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::mysql::{self, MysqlDump, QuoteModes, meaning, quoted, split_row};
    use crate::dump::postgres::{self, PostgresDump, RowForm};
    use proptest::prelude::*;

    const OF_MYSQL: [Letters; 5] = [Letters::Sjis, Letters::Cp932, Letters::Gbk, Letters::Gb18030, Letters::Big5];

    #[test]
    fn letters_are_as_long_as_servers_take_them() {
        let lengths = |letters: Letters, text: &[u8]| letters.each(text).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(Letters::Sjis, b"\x83\x5ca\xb1\x5c\x83\x27\x83"), [2, 1, 1, 1, 1, 1, 1]);
        assert_eq!(lengths(Letters::Gbk, b"\xd5\x5c\xbf\x27\x81\x30\x81\x30"), [2, 1, 1, 1, 1, 1, 1]);
        assert_eq!(lengths(Letters::Gb18030, b"\x81\x30\x81\x30\x81\x30\x81\x5c\x81\x5c"), [4, 1, 1, 2, 2]);
        assert_eq!(lengths(Letters::Big5, b"\xa5\x5c\x81\x5c\xa5\x80"), [2, 1, 1, 1, 1]);
        assert_eq!(lengths(Letters::of(b"utf8mb4"), b"\x83\x5c"), [1, 1]);
        let four = Letters::Gb18030;
        for (rest, length) in [(&b"\x81"[..], None), (b"\x81\x30\x81", None), (b"\x81\x30\x20", Some(1))] {
            assert_eq!(four.first_length(rest), length, "{rest:x?}");
        }
    }

    #[test]
    fn names_are_the_same_in_utf8() {
        for (set, name, text) in [
            ("sjis", &b"\x95\x5c\x83\x5c"[..], "表ソ"),
            ("CP932", b"\x83\x60\x81\x60", "チ\u{ff5e}"),
            ("sjis", b"\x81\x60", "\u{301c}"),
            ("gbk", b"\xd5\x5c", "誠"),
            ("big5", b"\xa5\x5c", "功"),
        ] {
            let letters = Letters::of(set.as_bytes());
            assert_eq!(*letters.name_in_utf8(name.into()), *text.as_bytes(), "{set}");
            assert_eq!(*letters.encoded(text.as_bytes()), *name, "{set}");
            let statement = [b"SET NAMES ", set.as_bytes(), b"; CREATE TABLE `", name, b"` (x int);"].concat();
            let table = mysql::table_schema(&statement, QuoteModes::default()).unwrap();
            assert_eq!(table.name, text.as_bytes());
        }
        assert_eq!(*Letters::Sjis.name_in_utf8(b"\x83\x27"[..].into()), *b"\x83\x27");
        for name in ["🐘", "a¥b", "a‾"] {
            assert_eq!(*Letters::Sjis.encoded(name.as_bytes()), *name.as_bytes());
            assert!(!Letters::Sjis.have(name.as_bytes()) && !Letters::of(b"ujis").have(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_in_sets_that_are_not_known_stay_as_they_are() {
        for set in ["swe7", "johab", "EUC_TW", "MULE_INTERNAL", "utf8mb4", "SQL_ASCII", "binary", "x"] {
            let letters = Letters::of(set.as_bytes());
            assert_eq!(*letters.name_in_utf8(b"a\xe9"[..].into()), *b"a\xe9", "{set}");
            assert_eq!(*letters.encoded("aé".as_bytes()), *"aé".as_bytes(), "{set}");
        }
        // Bytes that stand for no letter there.
        assert_eq!(*Letters::of(b"cp850").name_in_utf8(b"\xe9"[..].into()), *"Ú".as_bytes());
        assert_eq!(*Letters::of(b"dec8").name_in_utf8(b"\xa4\x90"[..].into()), *b"\xa4\x90");
        let mut names = Vec::new();
        let mut dump = MysqlDump::default();
        dump.push(b"INSERT INTO `\xe9` VALUES (1);\n", &mut |event| {
            names.extend(if let mysql::Event::Part(part) = event { Some(part.name) } else { None });
        });
        dump.finish(&mut |event| {
            names.extend(if let mysql::Event::Part(part) = event { Some(part.name) } else { None });
        });
        assert_eq!(names, [b"\xe9".to_vec()]);
    }

    #[test]
    fn names_of_every_set_come_back() {
        for (place, set) in (0..).zip(&SETS) {
            let letters = Letters::Of(place);
            for name in set.names {
                assert_eq!(Letters::of(name.to_uppercase().as_bytes()), letters, "{name}");
            }
            assert_eq!(Letters::among(&format!("lines {}", letters.name().unwrap())), letters);
            assert!(letters.are_plain() && letters.have(b"a") && !letters.have("a🐘".as_bytes()), "{set:?}");
            let (mut told, mut lost) = (0, 0);
            for bytes in
                (0x80..=0xff).flat_map(|first| (0x21..=0xff).step_by(5).map(move |second| [first, second, b'x']))
            {
                let (name, text) = (letters.name_in_utf8(bytes[..].into()), letters.decoded(&bytes));
                let comes_back = text.as_ref().is_some_and(|text| *letters.encoded(text.as_bytes()) == bytes);
                let shown = text.as_ref().filter(|_| comes_back).map_or(&bytes[..], |text| text.as_bytes());
                assert_eq!(*name, *shown, "{set:?}");
                (told, lost) = (told + usize::from(comes_back), lost + usize::from(text.is_some() && !comes_back));
            }
            // Of some letters these have two.
            let lost_max = match letters.name() {
                Some("ujis") => 80,
                Some("armscii8") => 350,
                _ => 0,
            };
            assert!(told > 900 && lost <= lost_max, "{set:?} tells {told} names and loses {lost}");
        }
    }

    /// Bytes that make letters, and what looks like parts of them.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let one = prop_oneof![Just(b'\\'), Just(b'\''), Just(b'`'), Just(0x83), Just(0xa5), Just(0x30), any::<u8>()];
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn strings_are_quoted_as_they_are_read(bytes in bytes(), plain_backslash: bool) {
            for letters in OF_MYSQL {
                let modes = QuoteModes { letters, plain_backslash, ..QuoteModes::default() };
                let row = [b"(1,", &quoted(&bytes, modes)[..], b")"].concat();
                let mut values = Vec::new();
                prop_assert!(split_row(&row, modes, &mut values) && values.len() == 2, "{letters:?} {row:x?}");
                prop_assert_eq!(&*meaning(&row[values[1].clone()], modes).unwrap(), &bytes[..]);
            }
        }

        #[test]
        fn parts_and_rows_are_the_same_in_any_pieces(bytes in bytes(), size in 1..9usize) {
            for letters in OF_MYSQL {
                let name = letters.name().unwrap();
                let quoted = quoted(&bytes, QuoteModes { letters, ..QuoteModes::default() });
                let head = format!("SET NAMES {name};\nINSERT INTO a VALUES (1,");
                let dump = [head.as_bytes(), &quoted, b"),(2,'');\nCREATE TABLE b (c int);\n", &bytes].concat();
                let read = |size: usize| {
                    let (mut reader, mut events) = (MysqlDump::default(), Vec::new());
                    dump.chunks(size).for_each(|piece| reader.push(piece, &mut |event| events.push(event)));
                    let facts = reader.finish(&mut |event| events.push(event));
                    (events, facts)
                };
                let whole = read(dump.len());
                prop_assert_eq!(&whole, &read(size));
                let rows = whole.0.iter().filter(|event| matches!(event, mysql::Event::Row(_))).count();
                prop_assert!(rows >= 2, "{name} {dump:x?}");
                let is_table = |event: &mysql::Event| matches!(event, mysql::Event::Part(part) if part.name == b"b");
                prop_assert!(whole.0.iter().any(is_table), "{name} {dump:x?}");
            }
        }

        #[test]
        fn rows_of_postgresql_are_the_same_in_any_pieces(bytes in bytes(), size in 1..9usize) {
            for letters in OF_MYSQL {
                let name = letters.name().unwrap();
                let dump = [format!("SET client_encoding = '{name}';\nSELECT E'").as_bytes(), &bytes].concat();
                let read = |size: usize| {
                    let (mut reader, mut events) = (PostgresDump::default(), Vec::new());
                    dump.chunks(size).for_each(|piece| reader.push(piece, &mut |event| events.push(event)));
                    let facts = reader.finish(&mut |event| events.push(event));
                    (events, facts)
                };
                prop_assert_eq!(read(dump.len()), read(size));
            }
        }
    }

    #[test]
    fn values_of_postgresql_are_read_letter_by_letter() {
        let strings = postgres::Strings { letters: Letters::Sjis, ..Default::default() };
        let means = |literal: &[u8], form: RowForm| postgres::meaning(literal, form).unwrap().into_owned();
        assert_eq!(means(b"\x83\x5c\\\\\x83\x5cn\\n", RowForm::Copy(Letters::Sjis)), b"\x83\x5c\\\x83\x5cn\n");
        assert_eq!(means(b"E'\x83\x5c\\\\''\x83\x5cn\\n'", RowForm::Insert(strings)), b"\x83\x5c\\'\x83\x5cn\n");
        for (text, literal) in [(&b"\x83\x5c'"[..], &b"'\x83\x5c'''"[..]), (b"\x83\x5c\\", b"E'\x83\x5c\\\\'")] {
            assert_eq!(postgres::quoted(text, Letters::Sjis), literal);
        }
    }
}
