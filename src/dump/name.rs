//! File names for the names of databases, tables and all else that a dump names: any bytes become a file name, and different
//! ones different file names.

use crate::id::hash;

/// The longest file name that every Linux file system takes.
const FILE_NAME_MAX_BYTES: usize = 255;

/// Digits of the hash that stands for the rest of a longer name.
const HASH_DIGITS: usize = 16;

/// The file name for `name`, with `suffix` behind it. `/`, `%`, control characters and a leading dot become `%` and two
/// hexadecimal digits; a name that is too long then ends early, with `%~` and the start of its hash.
pub fn file_name(name: &[u8], suffix: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + suffix.len());
    for (at, &byte) in name.iter().enumerate() {
        if matches!(byte, b'/' | b'%' | 0x7f) || byte < b' ' || (byte == b'.' && at == 0) {
            push_escaped(&mut out, byte);
        } else {
            out.push(byte);
        }
    }
    if out.is_empty() {
        // Only a hand-made dump names nothing.
        out.extend_from_slice(b"%");
    }
    if out.len() + suffix.len() > FILE_NAME_MAX_BYTES {
        shorten(&mut out, name, FILE_NAME_MAX_BYTES - suffix.len());
    }
    out.extend_from_slice(suffix.as_bytes());
    out
}

/// The same for what must not be taken for one of `reserved` either: then its first byte is escaped.
pub fn file_name_beside(name: &[u8], reserved: &[&str]) -> Vec<u8> {
    if !reserved.iter().any(|reserved| reserved.as_bytes() == name) {
        return file_name(name, "");
    }
    let mut out = Vec::new();
    push_escaped(&mut out, name[0]);
    out.extend_from_slice(&name[1..]);
    out
}

/// A name between quotes, of which those in it are doubled, as SQL has it.
pub fn quoted_name(name: &[u8], quote: u8) -> Vec<u8> {
    let doubled = name.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == quote { 2 } else { 1 }));
    std::iter::once(quote).chain(doubled).chain([quote]).collect()
}

/// The name that a file name of [`file_name`] without suffix stands for; `None` where it ends early.
pub fn name_of_file(file: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut rest) = (Vec::with_capacity(file.len()), file);
    loop {
        match rest {
            [] => return Some(name),
            b"%" if name.is_empty() => return Some(name),
            [b'%', digits @ ..] => {
                let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
                name.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[3..];
            }
            [byte, behind @ ..] => {
                name.push(*byte);
                rest = behind;
            }
        }
    }
}

/// All ways to take `database.table` apart at one of its dots: either name may have some.
pub fn split_at_dots(name: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.map(|(at, _)| (&name[..at], &name[at + 1..]))
}

/// The names in `"database"."table"`, in which dots between quotes separate nothing; `None` where no name stands in quotes, or one
/// that has quotes in it.
pub fn split_quoted(name: &[u8], quote: u8) -> Option<Vec<&[u8]>> {
    let (mut names, mut rest, mut is_quoted) = (Vec::new(), name, false);
    loop {
        let (part, behind) = match rest.strip_prefix(&[quote]) {
            Some(inside) => {
                is_quoted = true;
                let end = inside.iter().position(|&byte| byte == quote)?;
                (&inside[..end], &inside[end + 1..])
            }
            None => rest.split_at(rest.iter().position(|&byte| byte == b'.').unwrap_or(rest.len())),
        };
        names.push(part);
        match behind {
            [] => return Some(names).filter(|_| is_quoted),
            [b'.', next @ ..] => rest = next,
            _ => return None,
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(format!("%{byte:02X}").as_bytes());
}

fn shorten(out: &mut Vec<u8>, name: &[u8], length: usize) {
    let mut kept = length - HASH_DIGITS - 2;
    // Neither half an escape nor half a character.
    while kept > 0 && (out[kept] & 0xc0 == 0x80 || out[kept - 1] == b'%' || (kept > 1 && out[kept - 2] == b'%')) {
        kept -= 1;
    }
    out.truncate(kept);
    out.extend_from_slice(b"%~");
    let digest: String = hash(name).iter().map(|byte| format!("{byte:02x}")).collect();
    out.extend_from_slice(&digest.as_bytes()[..HASH_DIGITS]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &[u8]) -> String {
        String::from_utf8(file_name(name, ".sql")).unwrap()
    }

    #[test]
    fn names_become_file_names() {
        assert_eq!(shown(b"orders"), "orders.sql");
        assert_eq!(shown("käse 100".as_bytes()), "käse 100.sql");
        assert_eq!(shown(b"a/b%c\0\n\x7f"), "a%2Fb%25c%00%0A%7F.sql");
        assert_eq!(shown(b".hidden.x"), "%2Ehidden.x.sql");
        assert_eq!(shown(b".."), "%2E..sql");
        assert_eq!(file_name(b"..", ""), b"%2E.");
        assert_eq!(file_name(b"", ""), b"%");
        assert_eq!(file_name_beside(b"_meta", &["_meta"]), b"%5Fmeta");
        assert_eq!(file_name_beside(b"shop", &["_meta"]), b"shop");
    }

    #[test]
    fn quotes_hold_names_with_dots_together() {
        let split = |name: &'static str| split_quoted(name.as_bytes(), b'"');
        assert_eq!(split("st.public.\"a.b\""), Some(vec![&b"st"[..], b"public", b"a.b"]));
        assert_eq!(split("\"a\".b"), Some(vec![&b"a"[..], b"b"]));
        assert!(["a.b", "\"a", "\"a\"b", "\"a\"\"b\"", ""].into_iter().all(|name| split(name).is_none()));
    }

    #[test]
    fn file_names_tell_their_names() {
        for name in ["orders", "", "..", "a/b%c\0\n", "käse 100", "_meta"] {
            assert_eq!(name_of_file(&file_name(name.as_bytes(), "")).as_deref(), Some(name.as_bytes()), "{name}");
        }
        assert_eq!(name_of_file(&file_name_beside(b"_meta", &["_meta"])).as_deref(), Some(b"_meta".as_slice()));
        assert_eq!(name_of_file(&file_name(&[b'x'; 300], "")), None);
        assert_eq!(name_of_file(b"a%4"), None);
    }

    #[test]
    fn long_names_stay_different_and_whole_characters() {
        for name in ["ä".repeat(130), "x".repeat(300), "/".repeat(85), format!("{}/", "x".repeat(250))] {
            let short = file_name(name.as_bytes(), ".sql");
            let other = file_name(format!("{name}x").as_bytes(), ".sql");
            assert!(short.len() <= FILE_NAME_MAX_BYTES && short != other, "{name}");
            assert!(String::from_utf8(short.clone()).unwrap().ends_with(".sql"), "{name}");
            let stem = String::from_utf8(short).unwrap();
            let (before, _) = stem.split_once("%~").unwrap();
            assert!(!before.trim_end_matches("%2F").contains('%'), "{before}");
        }
        assert_eq!(file_name(&[b'x'; 251], ".sql").len(), 255);
    }
}
