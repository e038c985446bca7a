//! What a snapshot tells of a dump of MySQL or MariaDB.

use serde_json::json;

use crate::dump::mysql::{CoordinatesOf, DumpFacts, Need, NeedKind, ROW_MARKS, RowMarks};
use crate::ingest::dump::{Facts, json_file};

/// Longest list of what a table needs.
const NEEDS_MAX_BYTES: usize = 64 << 10;

fn name_of(of: CoordinatesOf) -> &'static str {
    match of {
        CoordinatesOf::Server => "server",
        CoordinatesOf::Primary => "primary",
    }
}

/// `coordinates.json`: where replication would go on from this dump, and what made it.
pub fn coordinates(facts: &DumpFacts) -> Vec<u8> {
    let coordinates = &facts.coordinates;
    json_file(&json!({
        "of": coordinates.of.map(name_of),
        "binlog_file": coordinates.file,
        "binlog_position": coordinates.position,
        "gtid": coordinates.gtid,
        "server_version": facts.server_version,
        "program": facts.program,
        "character_set": facts.character_set,
    }))
}

/// The facts of a snapshot of a dump with so many tables.
pub fn facts(facts: &DumpFacts, tables: u64) -> Facts {
    let coordinates = &facts.coordinates;
    vec![
        ("binlog_file", coordinates.file.clone()),
        ("binlog_position", coordinates.position.map(|position| position.to_string())),
        ("gtid", coordinates.gtid.clone()),
        ("coordinates_of", coordinates.of.map(|of| name_of(of).to_string())),
        ("server_version", facts.server_version.clone()),
        ("program", facts.program.clone()),
        ("character_set", facts.character_set.clone()),
        ("tables", Some(tables.to_string())),
        (ROW_MARKS, facts.row_marks.map(RowMarks::to_words)),
    ]
}

/// The first comment of a `restore.sql`.
pub fn restore_comment(needs: &[&Need]) -> Vec<u8> {
    let mut comment =
        b"-- Loads one table, with its rows and triggers, into the present database: mariadb DATABASE < restore.sql\n"
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
        });
        if let Some(database) = &need.database {
            push_quoted(&mut comment, database);
            comment.push(b'.');
        }
        push_quoted(&mut comment, &need.name);
        comment.push(b'\n');
    }
    comment.push(b'\n');
    comment
}

/// A name between backticks. A line break in it would end the comment.
fn push_quoted(comment: &mut Vec<u8>, name: &[u8]) {
    comment.push(b'`');
    for &byte in name {
        match byte {
            b'`' => comment.extend_from_slice(b"``"),
            0..=0x1f | 0x7f => comment.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ => comment.push(byte),
        }
    }
    comment.push(b'`');
}
