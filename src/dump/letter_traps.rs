//! LetterTraps: letters of two bytes of which the second one looks like a backslash or a backtick. There are such in the character sets
//! of Windows and of servers for Japanese, Chinese and Korean. Where a dump has one, only who knows the character set can tell where a
//! string ends, and nothing here does: what is read of the dump would be wrong without looking so.

use memchr::memchr2_iter;

/// Whether a letter of two bytes begins with this one.
type BeginsLetter = fn(u8) -> bool;

/// Character sets with such letters, as MySQL and PostgreSQL call them, in lower case, and the bytes that a letter of two begins with.
const SETS: [(&str, BeginsLetter); 14] = [
    ("sjis", begins_japanese),
    ("cp932", begins_japanese),
    ("shiftjis", begins_japanese),
    ("shift_jis", begins_japanese),
    ("shift_jis_2004", begins_japanese),
    ("mskanji", begins_japanese),
    ("win932", begins_japanese),
    ("gbk", begins_other),
    ("win936", begins_other),
    ("gb18030", begins_other),
    ("big5", begins_other),
    ("win950", begins_other),
    ("uhc", begins_other),
    ("johab", begins_other),
];

fn begins_japanese(byte: u8) -> bool {
    matches!(byte, 0x81..=0x9f | 0xe0..=0xfc)
}

fn begins_other(byte: u8) -> bool {
    matches!(byte, 0x81..=0xfe)
}

/// Looks at a dump that streams by.
#[derive(Debug, Default)]
pub struct LetterTraps {
    /// What is in force: its place in [`SETS`].
    present: Option<usize>,
    /// What `SET NAMES` said, to which an object's own set gives way.
    session: Option<usize>,
    /// What begins to be in force in the piece that comes next, or in those behind.
    switches: Vec<(u64, Option<usize>)>,
    /// Bytes that went by.
    seen_bytes: u64,
    /// How many bytes that begin a letter stand last, modulo 2.
    is_within_letter: bool,
    found: Option<usize>,
}

impl LetterTraps {
    /// From this place on, all is in the set of this name; `None` for another one than can be told. A place must not be before bytes
    /// that were looked at.
    pub fn set(&mut self, at: u64, name: Option<&[u8]>) {
        let set = name.and_then(number_of);
        self.session = set;
        self.switches.push((at, set));
    }

    /// The same for an object, until [`LetterTraps::end_object`].
    pub fn begin_object(&mut self, at: u64, name: &[u8]) {
        self.switches.push((at, number_of(name)));
    }

    pub fn end_object(&mut self, at: u64) {
        self.switches.push((at, self.session));
    }

    /// Looks at the next piece, in which all that was told so far begins, or before.
    pub fn push(&mut self, piece: &[u8]) {
        let mut from = 0;
        for (at, set) in std::mem::take(&mut self.switches) {
            let to = usize::try_from(at.saturating_sub(self.seen_bytes)).unwrap_or(usize::MAX).clamp(from, piece.len());
            self.look_at(&piece[from..to]);
            (from, self.present, self.is_within_letter) = (to, set, false);
        }
        self.look_at(&piece[from..]);
        self.seen_bytes += piece.len() as u64;
    }

    fn look_at(&mut self, bytes: &[u8]) {
        let Some(set) = self.present.filter(|_| self.found.is_none() && !bytes.is_empty()) else { return };
        // Whether a letter begins right before a place: those before it are pairs of such bytes, back to what is none.
        let is_trap = |at: usize| {
            let run = bytes[..at].iter().rev().take_while(|&&byte| SETS[set].1(byte)).count();
            (run % 2 == 1) != (run == at && self.is_within_letter)
        };
        if memchr2_iter(b'\\', b'`', bytes).any(is_trap) {
            self.found = Some(set);
        }
        self.is_within_letter = is_trap(bytes.len());
    }

    /// The character set in which there was such a letter.
    pub fn found(&self) -> Option<&'static str> {
        self.found.map(|set| SETS[set].0)
    }
}

fn number_of(name: &[u8]) -> Option<usize> {
    SETS.iter().position(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The set that is found in a dump all of which is in this one, in pieces of any size.
    fn found(name: &str, dump: &[u8]) -> Option<&'static str> {
        let found = |size: usize| {
            let mut traps = LetterTraps::default();
            traps.set(0, Some(name.as_bytes()));
            dump.chunks(size).for_each(|piece| traps.push(piece));
            traps.found()
        };
        let all = found(dump.len());
        (1..dump.len()).for_each(|size| assert_eq!(found(size), all, "{name}, in pieces of {size}"));
        all
    }

    #[test]
    fn a_backslash_is_a_letters_where_an_odd_number_of_such_bytes_stands_before() {
        // SO, whose second byte is a backslash; A and a real one; a half-width letter, which is one byte.
        assert_eq!(found("sjis", b"'\x83\x5c'"), Some("sjis"));
        assert_eq!(found("CP932", b"`a\x83\x60`"), Some("cp932"));
        for whole in [&b"'\x83\x41\\n'"[..], b"'\x83\xb1\\''", b"'\x83\x83\\''", b"'\xb1\\''", b"'a\\'`'"] {
            assert_eq!(found("sjis", whole), None, "{whole:x?}");
        }
        assert_eq!(found("sjis", b"'\xb1\x83\x5c'"), Some("sjis"));
        assert_eq!(found("gbk", b"'\xd6\xd0\xd5\x5c'"), Some("gbk"));
        assert_eq!(found("gbk", b"'\xd6\xd0\\n\xd6\xd0\\''"), None);
        for other in ["utf8mb4", "latin1", "ujis", "euckr", "binary"] {
            assert_eq!(found(other, b"'\xc3\x5c'"), None, "{other}");
        }
    }

    #[test]
    fn sets_are_in_force_from_where_they_were_told() {
        let dump = b"'\xc3\\n' | '\x83\\n' | '\xc3\\n'";
        let second = dump.iter().position(|&byte| byte == b'|').unwrap() as u64;
        for (object, found) in [(&b"sjis"[..], Some("sjis")), (b"utf8mb4", None)] {
            let mut traps = LetterTraps::default();
            traps.set(0, Some(b"utf8mb4"));
            traps.begin_object(second, object);
            traps.end_object(second + 10);
            traps.push(dump);
            assert_eq!(traps.found(), found);
        }
        let mut traps = LetterTraps::default();
        traps.set(0, Some(b"utf8mb4"));
        traps.begin_object(1, b"big5");
        traps.end_object(1);
        traps.push(dump);
        assert_eq!(traps.found(), None);
    }
}
