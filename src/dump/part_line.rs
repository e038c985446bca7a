//! PartLine: a line of `_meta/parts`, which tells of one part of a dump, in the order of the dump (docs/semantics.md).

/// One part: `LENGTH ROWS PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLine<'l> {
    /// Bytes of the dump.
    pub length: u64,
    pub rows: u64,
    /// The file that it is in. Names of files hold no line breaks.
    pub path: &'l [u8],
}

impl<'l> PartLine<'l> {
    /// Reads a line, without its break; `None` where it is none.
    pub fn parse(line: &'l [u8]) -> Option<PartLine<'l>> {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
        let (length, rows) = (number()?, number()?);
        let path = words.next().filter(|path| !path.is_empty())?;
        Some(PartLine { length, rows, path })
    }

    /// The line, with its break.
    pub fn line(&self) -> Vec<u8> {
        [format!("{} {} ", self.length, self.rows).as_bytes(), self.path, b"\n"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let part = PartLine { length: 12, rows: 3, path: b"shop/tables/a b/data.sql" };
        let line = part.line();
        assert_eq!(PartLine::parse(&line[..line.len() - 1]), Some(part));
        for none in [&b""[..], b"1", b"1 2", b"1 2 ", b"1 x y", b"-1 2 y"] {
            assert_eq!(PartLine::parse(none), None, "{}", String::from_utf8_lossy(none));
        }
    }
}
