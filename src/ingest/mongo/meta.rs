//! What a snapshot tells of its dump: files in `_meta`, and facts of the snapshot.

use std::collections::BTreeMap;

use serde_json::json;

use crate::dump::layout::{EXPORT, FORM};
use crate::dump::mongo::DocumentCounts;
use crate::ingest::dump::{Verdict, coordinates_of_all, facts as facts_of, facts_of_all, json_file};
use crate::ingest::mongo::files::{Coordinates, MongoDump, MongoFile, Program};
use crate::ingest::mongo::layout::OPLOG_FILE;

/// The fact that tells when the last operation was that a dump has.
pub const OPLOG_LAST: &str = "oplog_last";

/// A line of numbers and a file.
fn line(numbers: &[u64], path: &[Vec<u8>]) -> Vec<u8> {
    let mut line: Vec<u8> = numbers.iter().flat_map(|number| format!("{number} ").into_bytes()).collect();
    line.extend_from_slice(&path.join(&b'/'));
    line.push(b'\n');
    line
}

/// A line for each collection: its bytes, its documents, the bytes of the longest, of CSV those of the record of names, its file.
pub fn collection_lines(files: &[&MongoFile]) -> impl Iterator<Item = Vec<u8>> {
    files.iter().filter_map(|file| {
        let DocumentCounts { documents, longest, names } = file.documents?;
        let longest = Some(longest).filter(|longest| *longest > 0 || names.is_some());
        let numbers: Vec<u64> = [file.content.size, documents].into_iter().chain(longest).chain(names).collect();
        Some(line(&numbers, &file.path))
    })
}

/// A line for each part of each archive, in its order: its length, the documents that begin in it, its file.
pub fn part_lines(dump: &MongoDump) -> impl Iterator<Item = Vec<u8>> {
    dump.archives.iter().flat_map(move |archive| {
        let frame = archive.place.frame();
        archive.parts.iter().map(move |part| {
            let path = part.file().map_or(&frame, |file| &dump.files[file].path);
            line(&[part.length, part.documents.into()], path)
        })
    })
}

/// Which moment a dump is of, for people.
fn consistency(made_by: Program, told: &Coordinates) -> String {
    let file = told.other_oplog.as_deref().unwrap_or(OPLOG_FILE);
    match told.oplog {
        _ if made_by == Program::Mongoexport => "none: others may have written while a collection was exported".into(),
        Some(Some(window)) => format!("at {} of the oplog, once {file} was replayed", window.last),
        Some(None) => "one moment: nothing was written while it was dumped".into(),
        None => "none: it was dumped without --oplog, and each collection is of its own moment".into(),
    }
}

/// `coordinates.json`: which moment the dump is of, and what made it.
pub fn coordinates(dump: &MongoDump) -> Vec<u8> {
    let each = dump.coordinates.iter().map(|told| {
        let window = told.oplog.flatten();
        json_file(&json!({
            "consistency": consistency(dump.made_by, told),
            "oplog_first": window.map(|window| window.first.to_string()),
            "oplog_last": window.map(|window| window.last.to_string()),
            "server_version": told.prelude.server_version,
            "program": program(told),
        }))
    });
    coordinates_of_all(each.collect())
}

fn program(told: &Coordinates) -> Option<String> {
    told.prelude.tool_version.as_ref().map(|version| format!("mongodump {version}"))
}

/// The facts of the snapshot.
pub fn facts(dump: &MongoDump, verdict: &Verdict) -> BTreeMap<String, String> {
    // What is at `oplog.bson` is the first one's that has operations.
    let window = dump.coordinates.iter().find_map(|told| told.oplog).flatten();
    let collections = || dump.files.iter().filter(|file| file.is_collection());
    let documents: u64 = collections().filter_map(|file| file.documents).map(|counts| counts.documents).sum();
    let alike = facts_of_all(dump.coordinates.iter().map(|told| {
        vec![
            ("consistency", Some(consistency(dump.made_by, told))),
            ("server_version", told.prelude.server_version.clone()),
            ("program", program(told)),
        ]
    }));
    let own = vec![
        ("collections", Some(collections().count().to_string())),
        ("documents", Some(documents.to_string())),
        ("oplog_first", window.map(|window| window.first.to_string())),
        (OPLOG_LAST, window.map(|window| window.last.to_string())),
        (FORM, (dump.made_by == Program::Mongoexport).then(|| EXPORT.to_string())),
    ];
    facts_of([alike, own].concat(), None, verdict)
}
