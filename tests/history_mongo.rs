//! Stories of one document of MongoDB through all snapshots of a source.

mod support;

use std::sync::Arc;

use support::mongo::{document, number, orders, text};
use support::repository::TestRepository;
use support::rows::{Dice, MIB};
use yesterfs::error::{Error, Result};
use yesterfs::progress::{Counters, Recorder};
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::{DumpSide, HistoryStep, find_rows, row_history};

/// The number of a snapshot, counted from 0, and the document before and behind.
type Step = (u64, Option<Vec<u8>>, Option<Vec<u8>>);

/// What a history told, and what it took.
#[derive(Debug, Default)]
struct History {
    steps: Vec<Step>,
    bytes: u64,
    notes: Vec<String>,
}

impl History {
    /// The numbers of the snapshots, and what became of the document there.
    fn told(&self) -> Vec<String> {
        let word = |step: &Step| match step {
            (number, None, _) => format!("{number}+"),
            (number, _, None) => format!("{number}-"),
            (number, ..) => format!("{number}*"),
        };
        self.steps.iter().map(word).collect()
    }
}

fn try_history(place: &TestRepository, collection: &str, id: &str) -> Result<History> {
    let (monitor, mut history) = (Recorder::default(), History::default());
    let snapshots: Vec<Arc<Snapshot>> = place.repository.catalog().choices("shop").rev().cloned().collect();
    let mut give = |step: &HistoryStep| -> Result<()> {
        let text = |side: usize| step.sides[side].as_ref().map(|view| view.text().to_vec());
        history.steps.push((step.snapshot.sequence - 1, text(0), text(1)));
        Ok(())
    };
    let values = [id.as_bytes().to_vec()];
    row_history(&place.repository, &snapshots, collection.as_bytes(), None, &values, &monitor, &mut give)?;
    history.bytes = Counters::get(&monitor.counters.bytes_read);
    history.notes = monitor.notes.into_inner().unwrap();
    Ok(history)
}

#[track_caller]
fn history(place: &TestRepository, id: &str) -> History {
    try_history(place, "shop.orders", id).unwrap()
}

/// A document of some hundred bytes that are not the same all over.
fn of(id: i32, status: &str) -> Vec<u8> {
    let mut dice = Dice(id as u64 + 1);
    let filling: String = (0..20).map(|_| format!("{:013x} ", dice.roll(1 << 52))).collect();
    document(&[number("_id", id), text("status", status), text("filling", &filling)])
}

fn all(count: i32) -> Vec<Vec<u8>> {
    (0..count).map(|id| of(id, "new")).collect()
}

#[test]
fn a_document_is_followed_by_reading_only_what_changed() {
    let place = TestRepository::new();
    let mut documents = all(40_000); // 12 MiB
    orders(&place, &documents); // 0
    documents[7] = of(7, "paid");
    documents[39_000] = of(39_000, "paid");
    orders(&place, &documents); // 1: far away
    documents[31_415] = of(31_415, "paid");
    orders(&place, &documents); // 2
    orders(&place, &documents); // 3: nothing at all
    documents[31_416] = of(31_416, "paid");
    orders(&place, &documents); // 4: next to it
    documents.drain(100..200);
    orders(&place, &documents); // 5: all that follows moves
    let at = documents.iter().position(|it| it[..] == of(31_415, "paid")).unwrap();
    let removed = documents.remove(at);
    orders(&place, &documents); // 6
    documents.push(removed);
    orders(&place, &documents); // 7: where the order of keys would not have it
    documents[500] = of(500_000, "other");
    orders(&place, &documents); // 8
    let found = history(&place, "31415");
    assert_eq!(found.told(), ["7+", "6-", "2*", "0+"], "{:?}", found.notes);
    assert_eq!(found.notes.len(), 1, "in the newest it is not where keys in order would have it: {:?}", found.notes);
    assert!(found.bytes < 16 * MIB as u64, "{} bytes", found.bytes);
    let found = history(&place, "20000");
    assert_eq!((found.told(), found.notes.len()), (vec!["0+".to_string()], 0), "{:?}", found.notes);
    assert!(found.bytes < 3 * MIB as u64, "{} bytes", found.bytes);
    // One that never was: the newest is read for it, and of the others what they do not share with the next.
    let found = history(&place, "77777");
    assert!(found.steps.is_empty() && found.notes.len() == 2, "{found:?}");
    assert!(found.bytes < 32 * MIB as u64, "{} bytes", found.bytes);
}

#[test]
fn where_a_snapshot_shares_the_documents_nothing_is_read() {
    let place = TestRepository::new();
    let mut documents = all(40_000);
    orders(&place, &documents);
    let read = history(&place, "31415").bytes;
    assert!(read > 0);
    for number in 0..12 {
        documents[number * 10] = of(number as i32 * 10, "paid");
        orders(&place, &documents);
    }
    assert_eq!(history(&place, "31415").bytes, read, "only the newest snapshot is read");
}

/// A document that holds others.
fn hostile(dice: &mut Dice, id: i32, longest: u64) -> Vec<u8> {
    let long = if dice.roll(40) == 0 { longest } else { 300 };
    let mut inner = Vec::new();
    let length = dice.roll(long);
    while (inner.len() as u64) < length {
        let other = dice.roll(2000) as i32;
        inner.extend(document(&[number("_id", other), text("a", &"x".repeat(dice.roll(60) as usize))]));
    }
    let binary = [&b"\x05inner\0"[..], &(inner.len() as u32).to_le_bytes(), b"\0", &inner].concat();
    document(&[text("first", &format!("{}", dice.roll(1 << 40))), binary, number("_id", id)])
}

#[test]
fn history_tells_what_finding_the_document_in_every_snapshot_tells() {
    let mut told = 0;
    for seed in 1..9u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        // Where documents may be as long as chunks, no chunk is sure to end with one.
        let longest = [2_000, 20_000, 60_000, 90_000][seed as usize % 4];
        let mut present: Vec<(i32, Vec<u8>)> = (0..2000).map(|id| (id, hostile(&mut dice, id, longest))).collect();
        let mut snapshots = Vec::new();
        for _ in 0..8 {
            for _ in 0..dice.roll(12) {
                let at = dice.roll(present.len() as u64) as usize;
                match dice.roll(5) {
                    0 => drop(present.remove(at)),
                    // As when it is deleted and comes again.
                    1 => {
                        let moved = present.remove(at);
                        present.push(moved);
                    }
                    2 => present.insert(at, (5000 + told, hostile(&mut dice, 5000 + told, longest))),
                    _ => present[at].1 = hostile(&mut dice, present[at].0, longest),
                }
                told += 1;
            }
            let documents: Vec<Vec<u8>> = present.iter().map(|(_, document)| document.clone()).collect();
            snapshots.push(orders(&place, &documents));
        }
        for _ in 0..60 {
            let id = dice.roll(2100).to_string();
            let in_snapshot = |snapshot: &Snapshot| {
                let (monitor, mut found) = (Recorder::default(), None);
                let side = DumpSide::new(&place.repository, snapshot, &monitor).unwrap();
                find_rows(&side, b"shop.orders", None, &[id.clone().into_bytes()], &monitor, &mut |row| {
                    found = Some(row.row.text().to_vec());
                    Ok(())
                })
                .unwrap();
                found
            };
            let states: Vec<_> = snapshots.iter().map(|snapshot| in_snapshot(snapshot)).collect();
            let mut expected: Vec<_> = (1..states.len())
                .filter(|&at| states[at] != states[at - 1])
                .map(|at| (at as u64, states[at - 1].clone(), states[at].clone()))
                .rev()
                .collect();
            expected.extend(states[0].clone().map(|state| (0, None, Some(state))));
            let found = history(&place, &id);
            let notes = &found.notes;
            assert!(
                found.steps == expected,
                "{seed}: {id}: {:?}, {notes:?}, {} expected",
                found.told(),
                expected.len()
            );
        }
    }
    assert!(told > 200, "{told}");
}

#[test]
fn ids_are_understood_as_rows_understands_them() {
    let place = TestRepository::new();
    let inner = document(&[number("a", 1), text("b", "x")]);
    let compound = |status: &str| document(&[[&b"\x03_id\0"[..], &inner].concat(), text("status", status)]);
    let named = |status: &str| document(&[text("_id", "42"), text("status", status)]);
    orders(&place, &[compound("new"), named("new")]); // 0
    orders(&place, &[compound("new"), named("paid")]); // 1
    orders(&place, &[compound("paid"), named("paid"), of(7, "new")]); // 2
    let json = r#"{"a":{"$numberInt":"1"},"b":"x"}"#;
    assert_eq!(history(&place, json).told(), ["2*", "0+"]);
    assert_eq!(history(&place, "42").told(), ["1*", "0+"], "no number is 42, but a text is");
    assert_eq!(history(&place, "\"42\"").told(), ["1*", "0+"]);
    assert_eq!(history(&place, "7").told(), ["2+"]);
    assert!(history(&place, r#"{"a":{"$numberInt":"2"}}"#).steps.is_empty());
    for id in ["7", json] {
        let error = try_history(&place, "shop.none", id).unwrap_err();
        assert!(matches!(error, Error::NotFound { what: "collection", .. }), "{error}");
    }
    let error = try_history(&place, "shop.orders", "{").unwrap_err();
    assert!(error.to_string().contains("it begins like JSON and is none"), "{error}");
}

#[test]
fn the_command_line_shows_documents_and_their_fields() {
    let place = TestRepository::new();
    let of = |fields: &[Vec<u8>]| document(&[&[number("_id", 42)], fields].concat());
    let other = document(&[number("_id", 41)]);
    let name = |snapshot: Arc<Snapshot>| format!("shop@{}", snapshot.manifest.name);
    let names = [
        name(orders(&place, &[of(&[text("a", "x"), number("b", 1)])])),
        name(orders(&place, &[of(&[number("b", 1), text("a", "x")])])),
        name(orders(&place, &[of(&[number("b", 2), text("c", "y")])])),
        name(orders(&place, std::slice::from_ref(&other))),
        name(orders(&place, &[other, of(&[])])),
    ];
    let (text, told, code) = place.yesterfs(&["history", "shop", "shop.orders", "--key", "42"]);
    let [first, turned, changed, gone, again] = &names;
    let id = r#""_id":{"$numberInt":"42"}"#;
    let expected = format!(
        "{again}: inserted\n    {{{id}}}\n\
         {gone}: deleted\n    {{{id},\"b\":{{\"$numberInt\":\"2\"}},\"c\":\"y\"}}\n\
         {changed}: updated\n    b: {{\"$numberInt\":\"1\"}} -> {{\"$numberInt\":\"2\"}}\n    c: no such field -> \"y\"\n    \
         a: \"x\" -> no such field\n\
         {turned}: updated\n    its fields are in another order\n\
         {first}: seen\n    {{{id},\"a\":\"x\",\"b\":{{\"$numberInt\":\"1\"}}}}\n"
    );
    assert_eq!((text, told, code), (expected, String::new(), Some(0)));
    // The source can be left out where there is but one.
    let (json, ..) = place.yesterfs(&["history", "shop.orders", "--key", "42", "--json"]);
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 5, "{json}");
    assert!(lines[2].ends_with(r#""changed":["b","c","a"]}"#), "{json}");
    assert!(lines[0].contains(r#""op":"insert","after":{"_id":{"$numberInt":"42"}}"#), "{json}");
    let (_, told, code) = place.yesterfs(&["history", "shop", "shop.orders", "--key", "43"]);
    assert!(told.contains("no row \"43\"") && code == Some(2), "{told}");
}
