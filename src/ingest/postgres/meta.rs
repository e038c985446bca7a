//! What a snapshot tells of a dump of PostgreSQL.

use serde_json::json;

use crate::dump::layout::ROW_MARKS;
use crate::dump::letters::Letters;
use crate::dump::name::quoted_name;
use crate::dump::postgres::{DumpFacts, Need, NeedKind, RowMarks};
use crate::ingest::dump::{Facts, NeedLine, json_file, needs_comment};

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

/// The facts of a snapshot of a dump, which was an archive of this form, if it was one.
pub fn facts(facts: &DumpFacts, archive: Option<&str>) -> Facts {
    vec![
        ("archive", archive.map(str::to_string)),
        ("server_version", facts.server_version.clone()),
        ("program", facts.program.clone()),
        ("character_set", facts.character_set.clone()),
        ("tables", Some(facts.tables.to_string())),
        (ROW_MARKS, facts.row_marks.map(RowMarks::to_words)),
    ]
}

/// How a `restore.sql` tells that its table needs a sequence.
pub const NEEDS_SEQUENCE: &str = "It needs sequence";

/// How it tells that its table needs a role.
pub const NEEDS_ROLE: &str = "It needs role";

/// What a `restore.sql` tells of a need.
pub fn need_line(need: &Need) -> NeedLine<'_> {
    NeedLine {
        label: match need.kind {
            NeedKind::Table => "It refers to table",
            NeedKind::Sequence => NEEDS_SEQUENCE,
            NeedKind::Function => "It needs function",
            NeedKind::Other => "It needs",
            NeedKind::Role => NEEDS_ROLE,
        },
        name: match need.kind {
            NeedKind::Role => vec![&need.name],
            _ => vec![&need.schema, &need.name],
        },
    }
}

/// The first comment of a `restore.sql`.
pub fn restore_comment(needs: &[NeedLine], is_attached: bool) -> Vec<u8> {
    let purpose =
        "Loads one table, with its rows, indexes and triggers, into the present database: psql DATABASE < restore.sql";
    let mut comment = needs_comment(purpose, needs, b'"');
    if is_attached {
        comment.extend_from_slice(b"-- It is part of another table, of which attach.sql makes it one again.\n");
    }
    comment.push(b'\n');
    comment
}

/// Makes the schema of a table, unless it is there or every database has it.
pub fn make_schema(name: &[u8], letters: Letters) -> Vec<u8> {
    if name.is_empty() || name == b"public" {
        return b"\n".to_vec();
    }
    [b"CREATE SCHEMA IF NOT EXISTS ", &quoted_name(&letters.encoded(name), b'"')[..], b";\n\n"].concat()
}
