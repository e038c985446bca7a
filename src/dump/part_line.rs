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

/// A line of `_meta/collections`: `BYTES DOCUMENTS [LONGEST [NAMES]] PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectionLine<'l> {
    /// Its documents count as rows.
    pub part: PartLine<'l>,
    /// Bytes of the longest document.
    pub longest: Option<u64>,
    /// Of CSV, those of the record of names.
    pub names: Option<u64>,
}

impl<'l> CollectionLine<'l> {
    /// Reads a line, without its break; `None` where it is none. No name in MongoDB has a space in it, so that what is a number is
    /// no name.
    pub fn parse(line: &'l [u8]) -> Option<CollectionLine<'l>> {
        let mut part = PartLine::parse(line)?;
        let mut number = || {
            let space = part.path.iter().position(|&byte| byte == b' ')?;
            let number = std::str::from_utf8(&part.path[..space]).ok()?.parse().ok()?;
            part.path = &part.path[space + 1..];
            Some(number)
        };
        let longest = number();
        let names = longest.and_then(|_| number());
        Some(CollectionLine { part, longest, names })
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

    #[test]
    fn a_collection_has_its_longest_document_or_none() {
        for (line, path, longest, names) in [
            (&b"12 3 7 shop/orders.bson"[..], &b"shop/orders.bson"[..], Some(7), None),
            (b"12 3 7 5 shop/orders.csv", b"shop/orders.csv", Some(7), Some(5)),
            (b"12 3 shop/a b.json", b"shop/a b.json", None, None),
            (b"12 3 7", b"7", None, None),
        ] {
            let part = PartLine { length: 12, rows: 3, path };
            assert_eq!(CollectionLine::parse(line), Some(CollectionLine { part, longest, names }));
        }
    }
}
