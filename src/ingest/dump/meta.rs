//! What a snapshot tells of its dump: files in `_meta`, and facts of the snapshot.

use std::collections::BTreeMap;
use std::process::ExitStatus;

use serde_json::json;

use crate::ingest::dump::part_list::PartList;
use crate::ingest::dump::verdict::Verdict;

/// The fact that tells why a snapshot has another status than complete.
pub const STATUS_REASON: &str = "status_reason";

/// What is known of a dump besides its parts: names and values.
pub type Facts = Vec<(&'static str, Option<String>)>;

/// `status.json`: whether the dump is complete, and why not.
pub fn status(verdict: &Verdict, exit: Option<ExitStatus>) -> Vec<u8> {
    json_file(&json!({
        "status": verdict.status.name(),
        "reason": verdict.reason,
        "exit_status": exit.and_then(|exit| exit.code()),
    }))
}

/// A value as a file.
pub fn json_file(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// One line of `parts` for each part, in the order of the dump: its length, its rows, its file.
pub fn part_lines(parts: &PartList) -> impl Iterator<Item = Vec<u8>> + '_ {
    parts.all().iter().map(|part| {
        let mut line = format!("{} {}", part.length, part.rows).into_bytes();
        let mut between = b' ';
        for name in parts.path(part) {
            line.push(between);
            line.extend_from_slice(name);
            between = b'/';
        }
        line.push(b'\n');
        line
    })
}

/// The facts of the snapshot.
pub fn facts(told: Facts, rows: Option<u64>, verdict: &Verdict) -> BTreeMap<String, String> {
    let shared = [("rows", rows.map(|rows| rows.to_string())), (STATUS_REASON, verdict.reason.clone())];
    let all = told.into_iter().chain(shared);
    all.filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}
