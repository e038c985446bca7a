//! What a snapshot tells of a dump of MySQL or MariaDB.

use serde_json::json;

use crate::dump::layout::{FORM, ROW_MARKS, XML};
use crate::dump::mysql::{CoordinatesOf, DumpFacts, Need, NeedKind, RowMarks};
use crate::ingest::dump::{Facts, NeedLine, json_file, needs_comment};

/// `coordinates.json`: where replication would go on from this dump, and what made it.
pub fn coordinates(facts: &DumpFacts) -> Vec<u8> {
    let coordinates = &facts.coordinates;
    json_file(&json!({
        "of": coordinates.of.map(CoordinatesOf::name),
        "binlog_file": coordinates.file,
        "binlog_position": coordinates.position,
        "gtid": gtid(facts),
        "server_version": facts.server_version,
        "program": facts.program,
        "character_set": facts.character_set,
    }))
}

fn gtid(facts: &DumpFacts) -> Option<&String> {
    facts.coordinates.gtid.as_ref().filter(|gtid| !gtid.is_empty())
}

/// The facts of a snapshot of a dump with so many tables.
pub fn facts(facts: &DumpFacts, tables: u64, is_xml: bool) -> Facts {
    let coordinates = &facts.coordinates;
    vec![
        ("binlog_file", coordinates.file.clone()),
        ("binlog_position", coordinates.position.map(|position| position.to_string())),
        ("gtid", gtid(facts).cloned()),
        ("coordinates_of", coordinates.of.map(|of| of.name().to_string())),
        ("server_version", facts.server_version.clone()),
        ("program", facts.program.clone()),
        ("character_set", facts.character_set.clone()),
        (FORM, is_xml.then(|| XML.to_string())),
        ("tables", Some(tables.to_string())),
        (ROW_MARKS, facts.row_marks.map(RowMarks::to_words)),
    ]
}

/// In front of a function that a trigger calls.
pub const NEEDS_FUNCTION: &str = "Its triggers need function";

/// What a `restore.sql` tells of a need.
pub fn need_line(need: &Need) -> NeedLine<'_> {
    NeedLine {
        label: match need.kind {
            NeedKind::Table => "It refers to table",
            NeedKind::Sequence => "It needs sequence",
            NeedKind::Function => NEEDS_FUNCTION,
            NeedKind::Procedure => "Its triggers need procedure",
            NeedKind::TableOfTrigger => "Its triggers need table",
        },
        name: need.database.iter().chain([&need.name]).map(Vec::as_slice).collect(),
    }
}

/// The first comment of a `restore.sql`.
pub fn restore_comment(needs: &[NeedLine]) -> Vec<u8> {
    let purpose =
        "Loads one table, with its rows and triggers, into the present database: mariadb DATABASE < restore.sql";
    let mut comment = needs_comment(purpose, needs, b'`');
    comment.push(b'\n');
    comment
}
