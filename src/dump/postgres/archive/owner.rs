//! How statements name what has an owner.

use crate::dump::postgres::archive::quote::{push_identifier, push_qualified};
use crate::dump::postgres::archive::toc::{Entry, Toc};

/// Views and sequences are altered by their own names since then.
const OWN_NAMES_SINCE: (u8, u8) = (1, 16);

/// Kinds whose statement that drops them names them as one that alters them does.
const NAMED_AS_DROPPED: [&[u8]; 6] =
    [b"AGGREGATE", b"FUNCTION", b"OPERATOR", b"OPERATOR CLASS", b"OPERATOR FAMILY", b"PROCEDURE"];

/// Kinds that need nothing but their names.
const NAMED: [&[u8]; 20] = [
    b"COLLATION",
    b"CONVERSION",
    b"DATABASE",
    b"DOMAIN",
    b"EVENT TRIGGER",
    b"FOREIGN DATA WRAPPER",
    b"FOREIGN TABLE",
    b"MATERIALIZED VIEW",
    b"PROCEDURAL LANGUAGE",
    b"PUBLICATION",
    b"SCHEMA",
    b"SEQUENCE",
    b"SERVER",
    b"STATISTICS",
    b"SUBSCRIPTION",
    b"TABLE",
    b"TEXT SEARCH CONFIGURATION",
    b"TEXT SEARCH DICTIONARY",
    b"TYPE",
    b"VIEW",
];

/// An entry's object, as `ALTER` names it; `None` for what has no owner of its own.
pub fn owned_object(toc: &Toc, entry: &Entry) -> Option<Vec<u8>> {
    let mut kind = toc.text(entry.kind);
    if kind == b"BLOB" {
        return Some([b"LARGE OBJECT ", toc.text(entry.tag)].concat());
    }
    if NAMED_AS_DROPPED.contains(&kind) {
        let drop = toc.text(entry.drop).strip_prefix(b"DROP ")?;
        let end = drop.iter().rposition(|byte| !matches!(byte, b'\n' | b';')).map_or(0, |last| last + 1);
        return Some(drop[..end].to_vec());
    }
    if !NAMED.contains(&kind) {
        return None;
    }
    let is_relation = matches!(kind, b"VIEW" | b"SEQUENCE" | b"MATERIALIZED VIEW");
    if is_relation && toc.header.version < OWN_NAMES_SINCE {
        kind = b"TABLE";
    }
    let mut named = [kind, b" "].concat();
    match toc.text(entry.schema) {
        b"" => push_identifier(&mut named, toc.text(entry.tag)),
        schema => push_qualified(&mut named, schema, toc.text(entry.tag)),
    }
    Some(named)
}
