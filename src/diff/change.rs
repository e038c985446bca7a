//! Change: one entry that differs, and how rsync writes that down.

use std::fmt;

use crate::repository::comparison::{Differences, EntryFacts};
use crate::repository::metadata::FileType;

/// One difference between the two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to what is compared, without slash at either end; empty for the compared directory itself.
    pub path: Vec<u8>,
    pub itemized: Itemized,
    /// First name of the file that this became another name of.
    pub links_to: Option<Vec<u8>>,
    /// The entry on side A, unless it was added.
    pub before: Option<EntryFacts>,
    /// The entry on side B, unless it was removed.
    pub after: Option<EntryFacts>,
}

/// What happened to an entry: the eleven characters of `rsync -i`, as its [`fmt::Display`] writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Itemized {
    pub action: Action,
    /// `f` file, `d` directory, `L` symlink, `D` device, `S` fifo or socket; of side B where the entry is there.
    pub letter: char,
    /// Set for a further name of a file with several: its content comes with its first name.
    pub is_link: bool,
    /// How the entry differs from the one of the same type on side A; nothing where there is none.
    pub differences: Differences,
}

/// What bringing A to B would do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `*deleting`: only A has it.
    Delete,
    /// `+++++++++`: only B has it, or A has something of another type there.
    Create,
    /// `>`: a file with other bytes.
    Transfer,
    /// `c`: a symlink, device, fifo or socket that has to be made anew.
    Remake,
    /// `.`: other attributes, or only other links.
    Adjust,
}

/// The nine columns; rsync's seventh is the access time, which is never compared.
fn columns(differences: &Differences) -> [(bool, char); 9] {
    [
        (differences.content, 'c'),
        (differences.size, 's'),
        (differences.modified, 't'),
        (differences.permissions, 'p'),
        (differences.owner, 'o'),
        (differences.group, 'g'),
        (false, 'u'),
        (differences.acl, 'a'),
        (differences.xattrs, 'x'),
    ]
}

impl fmt::Display for Itemized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = match self.action {
            Action::Delete => return f.write_str("*deleting  "),
            _ if self.is_link => 'h',
            Action::Create if self.letter == 'f' => '>',
            Action::Create | Action::Remake => 'c',
            Action::Transfer => '>',
            Action::Adjust => '.',
        };
        write!(f, "{first}{}", self.letter)?;
        if self.action == Action::Create {
            return f.write_str("+++++++++");
        }
        if !self.differences.any() {
            return f.write_str("         ");
        }
        columns(&self.differences)
            .iter()
            .try_for_each(|(differs, letter)| write!(f, "{}", if *differs { *letter } else { '.' }))
    }
}

impl Change {
    /// The line that `rsync -i` prints, without its end: the eleven characters, the path (directories with a slash
    /// behind), and where a symlink or a link leads.
    pub fn rsync_line(&self) -> Vec<u8> {
        let mut line = format!("{} ", self.itemized).into_bytes();
        match self.path.is_empty() {
            true => line.push(b'.'),
            false => line.extend(rsync_name(&self.path)),
        }
        let Some(shown) = self.after.as_ref().or(self.before.as_ref()) else { return line };
        if shown.file_type == FileType::Directory {
            line.push(b'/');
        }
        match (&self.links_to, &shown.target) {
            _ if self.itemized.action == Action::Delete => {}
            (Some(first), _) => {
                line.extend_from_slice(b" => ");
                line.extend(rsync_name(first));
            }
            (None, Some(target)) => {
                line.extend_from_slice(b" -> ");
                line.extend(rsync_name(target));
            }
            (None, None) => {}
        }
        line
    }
}

/// A name as rsync prints it in a UTF-8 locale: control characters below space (but not tabs), bytes that are no
/// UTF-8, and backslashes that would be taken for such an escape, as `\#` and three octal digits. DEL and the control
/// characters above 127 stay as they are.
pub fn rsync_name(name: &[u8]) -> Vec<u8> {
    let mut printed = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, behind @ ..] = rest {
        let length = character_length(rest);
        let is_printable = match first {
            b'\\' => !looks_escaped(behind),
            0..b' ' => *first == b'\t',
            _ => length > 0,
        };
        let (taken, after) = rest.split_at(length.max(1));
        if is_printable {
            printed.extend_from_slice(taken);
        } else {
            printed.extend_from_slice(format!("\\#{first:03o}").as_bytes());
        }
        rest = after;
    }
    printed
}

/// Whether `#` and three decimal digits follow, which is how rsync's own escapes go on behind the backslash.
fn looks_escaped(behind: &[u8]) -> bool {
    matches!(behind, [b'#', digits @ ..] if digits.len() >= 3 && digits[..3].iter().all(u8::is_ascii_digit))
}

/// Bytes of the character at the start of `bytes`, 0 where it is malformed.
///
/// This is UTF-8 as the C library's converter takes it, which rsync asks: up to 31 bits in up to six bytes, where
/// Unicode ends at 21, but neither surrogates nor overlong forms.
fn character_length(bytes: &[u8]) -> usize {
    let Some(first) = bytes.first() else { return 0 };
    let (length, least) = match first {
        0x00..0x80 => return 1,
        0xc0..0xe0 => (2, 0x80u32),
        0xe0..0xf0 => (3, 0x800),
        0xf0..0xf8 => (4, 0x1_0000),
        0xf8..0xfc => (5, 0x20_0000),
        0xfc..0xfe => (6, 0x400_0000),
        _ => return 0,
    };
    let Some(following) = bytes.get(1..length) else { return 0 };
    if following.iter().any(|byte| byte & 0xc0 != 0x80) {
        return 0;
    }
    let high = u32::from(*first) & (0x7f >> length);
    let value = following.iter().fold(high, |value, byte| value << 6 | u32::from(byte & 0x3f));
    if value < least || (0xd800..0xe000).contains(&value) { 0 } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn itemized(action: Action, letter: char) -> Itemized {
        Itemized { action, letter, is_link: false, differences: Differences::default() }
    }

    #[test]
    fn the_eleven_characters() {
        let all = Differences {
            content: true,
            size: true,
            modified: true,
            permissions: true,
            owner: true,
            group: true,
            acl: true,
            xattrs: true,
        };
        let size = Differences { content: true, size: true, modified: true, ..Differences::default() };
        assert_eq!(itemized(Action::Delete, 'd').to_string(), "*deleting  ");
        assert_eq!(itemized(Action::Create, 'f').to_string(), ">f+++++++++");
        assert_eq!(itemized(Action::Create, 'd').to_string(), "cd+++++++++");
        assert_eq!(Itemized { differences: size, ..itemized(Action::Transfer, 'f') }.to_string(), ">fcst......");
        assert_eq!(Itemized { differences: all, ..itemized(Action::Remake, 'L') }.to_string(), "cLcstpog.ax");
        assert_eq!(Itemized { is_link: true, ..itemized(Action::Adjust, 'f') }.to_string(), "hf         ");
    }

    #[test]
    fn names_that_no_terminal_should_see() {
        let cases: [(&[u8], &[u8]); 14] = [
            ("plain café\t😀".as_bytes(), "plain café\t😀".as_bytes()),
            (b"two\nlines\r", b"two\\#012lines\\#015"),
            (b"\x1b[1m\x7f", b"\\#033[1m\x7f"),
            (b"\xc2\x9b", b"\xc2\x9b"),
            (b"bad\xff", b"bad\\#377"),
            (b"\\#012", b"\\#134#012"),
            (b"\\#999x", b"\\#134#999x"),
            (b"\\#12 \\", b"\\#12 \\"),
            (b"\xe2\x82trunc", b"\\#342\\#202trunc"),
            (b"\xe2\x82", b"\\#342\\#202"),
            (b"\xed\xa0\x80", b"\\#355\\#240\\#200"),
            (b"\xc0\x80", b"\\#300\\#200"),
            (b"\xf4\x90\x80\x80", b"\xf4\x90\x80\x80"),
            (b"\xfd\xbf\xbf\xbf\xbf\xbf\xfe", b"\xfd\xbf\xbf\xbf\xbf\xbf\\#376"),
        ];
        for (name, printed) in cases {
            assert_eq!(rsync_name(name), printed, "{name:?}");
        }
    }
}
