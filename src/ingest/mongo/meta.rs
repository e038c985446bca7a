//! What a snapshot tells of its dump: files in `_meta`, and facts of the snapshot.

use std::collections::BTreeMap;

use serde_json::json;

use crate::dump::layout::{EXPORT, FORM};
use crate::dump::mongo::DocumentCounts;
use crate::ingest::dump::{Verdict, facts as facts_of, json_file};
use crate::ingest::mongo::container::ContainerPart;
use crate::ingest::mongo::files::{MongoDump, MongoFile, Program};
use crate::ingest::mongo::layout::{FRAME_PATH, path_of};

/// The fact that tells when the last operation was that a dump has.
pub const OPLOG_LAST: &str = "oplog_last";

/// A line of numbers and a file.
fn line(numbers: &[u64], path: &[Vec<u8>]) -> Vec<u8> {
    let mut line: Vec<u8> = numbers.iter().flat_map(|number| format!("{number} ").into_bytes()).collect();
    line.extend_from_slice(&path.join(&b'/'));
    line.push(b'\n');
    line
}

/// A line for each collection: its bytes, its documents, the bytes of the longest if it is BSON, its file.
pub fn collection_lines(files: &[&MongoFile]) -> impl Iterator<Item = Vec<u8>> {
    files.iter().filter_map(|file| {
        let DocumentCounts { documents, longest } = file.documents?;
        let numbers = [file.content.size, documents, longest];
        Some(line(if longest > 0 { &numbers } else { &numbers[..2] }, &file.path))
    })
}

/// A line for each part of an archive, in its order: its length, the documents that begin in it, its file.
pub fn part_lines(files: &[MongoFile], parts: &[ContainerPart]) -> impl Iterator<Item = Vec<u8>> {
    let frame = path_of(&FRAME_PATH);
    parts.iter().map(move |part| {
        let path = part.file().map_or(&frame, |file| &files[file].path);
        line(&[part.length, part.documents.into()], path)
    })
}

/// Which moment the dump is of, for people.
fn consistency(dump: &MongoDump) -> String {
    match dump.oplog {
        _ if dump.made_by == Program::Mongoexport => {
            "none: others may have written while a collection was exported".into()
        }
        Some(Some(window)) => format!("at {} of the oplog, once oplog.bson was replayed", window.last),
        Some(None) => "one moment: nothing was written while it was dumped".into(),
        None => "none: it was dumped without --oplog, and each collection is of its own moment".into(),
    }
}

/// `coordinates.json`: which moment the dump is of, and what made it.
pub fn coordinates(dump: &MongoDump) -> Vec<u8> {
    let window = dump.oplog.flatten();
    json_file(&json!({
        "consistency": consistency(dump),
        "oplog_first": window.map(|window| window.first.to_string()),
        "oplog_last": window.map(|window| window.last.to_string()),
        "server_version": dump.prelude.server_version,
        "program": program(dump),
    }))
}

fn program(dump: &MongoDump) -> Option<String> {
    dump.prelude.tool_version.as_ref().map(|version| format!("mongodump {version}"))
}

/// The facts of the snapshot.
pub fn facts(dump: &MongoDump, verdict: &Verdict) -> BTreeMap<String, String> {
    let window = dump.oplog.flatten();
    let collections = || dump.files.iter().filter(|file| file.is_collection());
    let documents: u64 = collections().filter_map(|file| file.documents).map(|counts| counts.documents).sum();
    let told = vec![
        ("collections", Some(collections().count().to_string())),
        ("documents", Some(documents.to_string())),
        ("consistency", Some(consistency(dump))),
        ("oplog_first", window.map(|window| window.first.to_string())),
        (OPLOG_LAST, window.map(|window| window.last.to_string())),
        ("server_version", dump.prelude.server_version.clone()),
        ("program", program(dump)),
        (FORM, (dump.made_by == Program::Mongoexport).then(|| EXPORT.to_string())),
    ];
    facts_of(told, None, verdict)
}
