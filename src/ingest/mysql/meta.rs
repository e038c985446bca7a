//! What a snapshot tells of its dump: the files in `_meta`, and the facts of the snapshot.

use std::collections::BTreeMap;

use serde_json::json;

use crate::dump::mysql::{CoordinatesOf, DumpFacts, Need, NeedKind, PartKind};
use crate::ingest::mysql::{StoredDump, Verdict};

/// Longest list of what a table needs.
const NEEDS_MAX_BYTES: usize = 64 << 10;

/// The fact that tells why a snapshot has another status than complete.
pub const STATUS_REASON: &str = "status_reason";

fn name_of(of: CoordinatesOf) -> &'static str {
    match of {
        CoordinatesOf::Server => "server",
        CoordinatesOf::Primary => "primary",
    }
}

/// `status.json`: whether the dump is complete, and why not.
pub(super) fn status(dump: &StoredDump, verdict: &Verdict) -> Vec<u8> {
    lines(&json!({
        "status": verdict.status.name(),
        "reason": verdict.reason,
        "exit_status": dump.exit.and_then(|exit| exit.code()),
    }))
}

/// `coordinates.json`: where replication would go on from this dump, and what made it.
pub(super) fn coordinates(facts: &DumpFacts) -> Vec<u8> {
    let coordinates = &facts.coordinates;
    lines(&json!({
        "of": coordinates.of.map(name_of),
        "binlog_file": coordinates.file,
        "binlog_position": coordinates.position,
        "gtid": coordinates.gtid,
        "server_version": facts.server_version,
        "program": facts.program,
        "character_set": facts.character_set,
    }))
}

fn lines(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// One line of `parts` for each part, in the order of the dump: its length, its rows, its file.
pub(super) fn part_lines(dump: &StoredDump) -> impl Iterator<Item = Vec<u8>> + '_ {
    dump.parts.parts().iter().map(|part| {
        let mut line = format!("{} {} ", part.length, part.rows).into_bytes();
        line.extend_from_slice(&dump.parts.path(part).join(&b'/'));
        line.push(b'\n');
        line
    })
}

/// The facts of the snapshot.
pub(super) fn facts(dump: &StoredDump, verdict: &Verdict) -> BTreeMap<String, String> {
    let coordinates = &dump.facts.coordinates;
    let count = |kind| dump.parts.parts().iter().filter(|part| part.kind == kind).count().to_string();
    let rows: u64 = dump.parts.parts().iter().map(|part| part.rows).sum();
    let facts = [
        ("binlog_file", coordinates.file.clone()),
        ("binlog_position", coordinates.position.map(|position| position.to_string())),
        ("gtid", coordinates.gtid.clone()),
        ("coordinates_of", coordinates.of.map(|of| name_of(of).to_string())),
        ("server_version", dump.facts.server_version.clone()),
        ("program", dump.facts.program.clone()),
        ("character_set", dump.facts.character_set.clone()),
        ("tables", Some(count(PartKind::Schema))),
        ("rows", Some(rows.to_string())),
        (STATUS_REASON, verdict.reason.clone()),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}

/// The first comment of a `restore.sql`.
pub(super) fn restore_comment(needs: &[Need]) -> Vec<u8> {
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
