//! What a snapshot tells of its dump: files in `_meta`, and facts of the snapshot.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitStatus;

use serde_json::json;

use crate::dump::part_line::PartLine;
use crate::ingest::dump::part_list::PartList;
use crate::ingest::dump::reading::StoredInput;
use crate::ingest::dump::verdict::Verdict;

/// The fact that tells why a snapshot has another status than complete.
pub const STATUS_REASON: &str = "status_reason";

/// Facts that count something.
const COUNTS: [&str; 1] = ["tables"];

/// What is known of a dump besides its parts: names and values.
pub type Facts = Vec<(&'static str, Option<String>)>;

/// `status.json`: whether the dump is complete, and why not.
pub fn status(verdict: &Verdict, exit: Option<ExitStatus>) -> Vec<u8> {
    json_file(&status_of(verdict, exit))
}

fn status_of(verdict: &Verdict, exit: Option<ExitStatus>) -> serde_json::Value {
    json!({
        "status": verdict.status.name(),
        "reason": verdict.reason,
        "exit_status": exit.and_then(|exit| exit.code()),
    })
}

/// `inputs`: a line of JSON for each, in the order of the dump.
pub fn input_lines<F>(inputs: &[StoredInput<F>]) -> impl Iterator<Item = Vec<u8>> {
    inputs.iter().map(|input| {
        let place = input.start..input.start + input.length;
        input_line(&input.name, place, &input.verdict, input.ended.exit)
    })
}

/// That of an input that has this place among all that came.
pub fn input_line(name: &str, place: Range<u64>, verdict: &Verdict, exit: Option<ExitStatus>) -> Vec<u8> {
    let mut line = json!({ "name": name, "start": place.start, "length": place.end - place.start });
    let mut status = status_of(verdict, exit);
    if let (Some(line), Some(status)) = (line.as_object_mut(), status.as_object_mut()) {
        line.append(status);
    }
    format!("{line}\n").into_bytes()
}

/// `coordinates.json`: that of the only input, else a list of what each tells.
pub fn coordinates_of_all(each: Vec<Vec<u8>>) -> Vec<u8> {
    match &each[..] {
        [alone] => alone.clone(),
        several => [b"[\n", &several.join(&b",\n"[..])[..], b"]\n"].concat(),
    }
}

/// A value as a file.
pub fn json_file(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// One line of `parts` for each part, in the order of the dump: its length, its rows, its file.
pub fn part_lines(parts: &PartList) -> impl Iterator<Item = Vec<u8>> + '_ {
    parts.all().map(|part| {
        let path = parts.path(&part).collect::<Vec<_>>().join(&b'/');
        PartLine { length: part.length, rows: part.rows, path: &path }.line()
    })
}

/// Of the facts of several inputs those that all have alike, and the sums of what counts something.
pub fn facts_of_all(mut each: impl Iterator<Item = Facts>) -> Facts {
    let first = each.next().unwrap_or_default();
    each.fold(first, |told, other| {
        let both = |(name, value): (&'static str, Option<String>)| {
            let found = other.iter().find(|(of, _)| *of == name).and_then(|(_, value)| value.as_ref());
            let value = value.zip(found).and_then(|(a, b)| match COUNTS.contains(&name) {
                true => Some((a.parse::<u64>().ok()? + b.parse::<u64>().ok()?).to_string()),
                false => Some(a).filter(|a| a == b),
            });
            (name, value)
        };
        told.into_iter().map(both).collect()
    })
}

/// The facts of the snapshot.
pub fn facts(told: Facts, rows: Option<u64>, verdict: &Verdict) -> BTreeMap<String, String> {
    let shared = [("rows", rows.map(|rows| rows.to_string())), (STATUS_REASON, verdict.reason.clone())];
    let all = told.into_iter().chain(shared);
    all.filter_map(|(name, value)| Some((name.to_string(), value?))).collect()
}
