//! What a snapshot tells of a dump of PostgreSQL.

use serde_json::json;

use crate::dump::postgres::{DumpFacts, Need, NeedKind};
use crate::ingest::dump::{Facts, json_file};

/// Longest list of what a table needs.
const NEEDS_MAX_BYTES: usize = 64 << 10;

/// `coordinates.json`: that such dumps tell of no place in the log, and what made it.
pub fn coordinates(facts: &DumpFacts) -> Vec<u8> {
    json_file(&json!({
        "of": null,
        "lsn": null,
        "reason": "pg_dump does not print where the log stood",
        "server_version": facts.server_version,
        "program": facts.program,
        "character_set": facts.character_set,
    }))
}

/// The facts of a snapshot.
pub fn facts(facts: &DumpFacts) -> Facts {
    vec![
        ("server_version", facts.server_version.clone()),
        ("program", facts.program.clone()),
        ("character_set", facts.character_set.clone()),
        ("tables", Some(facts.tables.to_string())),
    ]
}

/// The first comment of a `restore.sql`.
pub fn restore_comment(needs: &[&Need], is_attached: bool) -> Vec<u8> {
    let mut comment =
        b"-- Loads one table, with its rows, indexes and triggers, into the present database: psql DATABASE < restore.sql\n"
            .to_vec();
    if needs.is_empty() {
        comment.extend_from_slice(b"-- It needs nothing else.\n");
    }
    for need in needs {
        if comment.len() > NEEDS_MAX_BYTES {
            comment.extend_from_slice(b"-- and more.\n");
            break;
        }
        comment.extend_from_slice(match need.kind {
            NeedKind::Table => b"-- It refers to table ",
            NeedKind::Sequence => b"-- It needs sequence ",
            NeedKind::Function => b"-- It needs function ",
            NeedKind::Other => b"-- It needs ",
        });
        push_quoted(&mut comment, &need.schema);
        comment.push(b'.');
        push_quoted(&mut comment, &need.name);
        comment.push(b'\n');
    }
    if is_attached {
        comment.extend_from_slice(b"-- It is part of another table, of which attach.sql makes it one again.\n");
    }
    comment.push(b'\n');
    comment
}

/// Makes the schema of a table, unless it is there or every database has it.
pub fn make_schema(name: &[u8]) -> Vec<u8> {
    if name.is_empty() || name == b"public" {
        return b"\n".to_vec();
    }
    let quoted: Vec<u8> = name.iter().flat_map(|&byte| if byte == b'"' { vec![byte; 2] } else { vec![byte] }).collect();
    [b"CREATE SCHEMA IF NOT EXISTS \"", &quoted[..], b"\";\n\n"].concat()
}

/// A name between quotes. A line break in it would end the comment.
fn push_quoted(comment: &mut Vec<u8>, name: &[u8]) {
    comment.push(b'"');
    for &byte in name {
        match byte {
            b'"' => comment.extend_from_slice(b"\"\""),
            0..=0x1f | 0x7f => comment.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => comment.push(byte),
        }
    }
    comment.push(b'"');
}
