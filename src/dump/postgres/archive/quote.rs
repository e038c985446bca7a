//! Names in statements, in quotes where they need some.

use crate::dump::postgres::archive::keywords::KEYWORDS;

/// A name that is quoted as `pg_dump` does it.
pub fn push_identifier(out: &mut Vec<u8>, name: &[u8]) {
    if is_plain(name) {
        out.extend_from_slice(name);
        return;
    }
    out.push(b'"');
    for &byte in name {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// The same with a schema in front.
pub fn push_qualified(out: &mut Vec<u8>, schema: &[u8], name: &[u8]) {
    push_identifier(out, schema);
    out.push(b'.');
    push_identifier(out, name);
}

fn is_plain(name: &[u8]) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    let is_next = |byte: &u8| is_first(byte) || byte.is_ascii_digit();
    let is_word = name.first().is_some_and(is_first) && name.iter().all(is_next);
    is_word && std::str::from_utf8(name).is_ok_and(|name| KEYWORDS.binary_search(&name).is_err())
}
