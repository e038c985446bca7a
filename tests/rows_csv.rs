//! Stories of comparing the records of two exports of MongoDB as CSV, and of finding them in many.

mod support;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use support::mongo::{exported_orders, fixture};
use support::mounted::Stage;
use support::repository::TestRepository;
use support::rows::{
    Dice, assert_any_bytes_are_understood_or_invalid, assert_history_tells_states, change_some, diff, found, options,
    states,
};
use yesterfs::dump::mongo::ExportForm;
use yesterfs::repository::snapshot::Snapshot;
use yesterfs::rows::RowDiffOptions;

const CSV: ExportForm = ExportForm::Csv { has_names: true };
const WITHOUT_NAMES: ExportForm = ExportForm::Csv { has_names: false };

const NAMES: [&str; 4] = ["_id", "n", "in.text", "tags"];

/// How lines may end.
const LINE_ENDS: [&str; 2] = ["\n", "\r\n"];

type Record = Vec<String>;

/// A field as `mongoexport` writes it.
fn written(field: &str) -> String {
    let is_quoted = field.starts_with(' ') || field.contains(['"', ',', '\r', '\n']);
    if is_quoted { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_string() }
}

fn line(record: &[String]) -> String {
    record.iter().map(|field| written(field)).collect::<Vec<_>>().join(",")
}

fn lines(records: &[Record], end: &str) -> String {
    records.iter().map(|record| line(record) + end).collect()
}

fn names() -> Record {
    NAMES.map(str::to_string).into()
}

fn with_names(records: &[Record], end: &str) -> String {
    lines(&[names()], end) + &lines(records, end)
}

fn ingest(place: &TestRepository, text: &str) -> Arc<Snapshot> {
    exported_orders(place, CSV, text.as_bytes())
}

/// A record whose text looks like others, and of which some are long.
fn hostile(dice: &mut Dice, id: u64, longest: u64) -> Record {
    let long = if dice.roll(40) == 0 { longest } else { 300 };
    let (mut inner, length) = (String::new(), dice.roll(long));
    while (inner.len() as u64) < length {
        let filling = "x".repeat(dice.roll(60) as usize);
        let other = format!("{},{},\"{filling}\"\n", dice.roll(3000), dice.roll(1 << 40));
        inner.push_str(["\n", "\"", "\r\n", ",\"\n", "\"\n"][dice.roll(5) as usize]);
        inner.push_str(&other);
    }
    // Lines that are the same in many records, with quotes or without.
    let same = ["", "[]", "[\"a\"]\n7,0,,\n\"", "\n7,0,,\n7,0,,\n"][dice.roll(4) as usize];
    vec![id.to_string(), dice.roll(1 << 40).to_string(), inner, same.to_string()]
}

/// Changes some of them.
fn change(dice: &mut Dice, records: &mut Vec<Record>, longest: u64) {
    change_some(dice, records, |dice, id| hostile(dice, id, longest));
}

#[test]
fn reading_what_differs_finds_what_reading_all_finds() {
    let (mut changes, mut quiet) = (0, 0);
    for seed in 1..50u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        // Where records may be as long as chunks, no chunk is sure to end with one.
        let longest = [2_000, 8_000, 12_000, 90_000][seed as usize % 4];
        let (end, has_names) = (LINE_ENDS[seed as usize / 4 % 2], seed / 8 % 3 > 0);
        let ingest = |records: &[Record]| match has_names {
            true => exported_orders(&place, CSV, with_names(records, end).as_bytes()),
            false => exported_orders(&place, WITHOUT_NAMES, lines(records, end).as_bytes()),
        };
        let mut records: Vec<Record> = (0..3000).map(|id| hostile(&mut dice, id, longest)).collect();
        let before = ingest(&records);
        change(&mut dice, &mut records, longest);
        let differences = found(&place, &before, &ingest(&records));
        changes += differences.changes.len();
        let has_note = differences.notes.iter().any(|note| note.contains("read from the first one on"));
        quiet += u64::from(!has_note);
        assert!(has_note || longest < 40_000, "{seed}");
    }
    assert!(changes > 100 && quiet > 10, "{changes} changes, {quiet} without a note");
}

#[test]
fn what_is_written_in_another_way_is_the_same() {
    let (mut dice, place) = (Dice(7), TestRepository::new());
    let records: Vec<Record> = (0..500).map(|id| hostile(&mut dice, id, 2000)).collect();
    let first = ingest(&place, &with_names(&records, "\n"));
    let quoted = |record: &Record| {
        record.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect::<Vec<_>>().join(",") + "\n"
    };
    let all_quoted = [names()].iter().chain(&records).map(quoted).collect::<String>();
    for text in [with_names(&records, "\r\n"), all_quoted] {
        let found = found(&place, &first, &ingest(&place, &text));
        assert!(found.changes.is_empty() && found.redefined.is_empty());
    }
}

#[test]
fn the_work_follows_the_changes() {
    let place = TestRepository::new();
    let of = |id: u64, status: &str| vec![id.to_string(), status.into(), format!("\"{}\",\n", id * 7), String::new()];
    let mut records: Vec<Record> =
        (0..100_000).map(|id| of(id, &format!("{:016x}", id.wrapping_mul(0x9e37_79b9_7f4a)))).collect();
    let before = ingest(&place, &with_names(&records, "\n"));
    records[61_234] = of(61_234, "another");
    records.remove(20_000);
    let moved = records.remove(5);
    records.push(moved);
    let found = diff(&place, &before, &ingest(&place, &with_names(&records, "\n")), &options()).unwrap();
    assert_eq!((found.changes.len(), found.notes.len()), (2, 0), "{:?}", found.notes);
    assert!(found.bytes_read() < 600_000, "{} bytes", found.bytes_read());
}

#[test]
fn any_bytes_are_understood_or_invalid() {
    let place = TestRepository::new();
    let whole = "_id,a\n".to_string() + &(0..200).map(|id| format!("{id},\"b\"\n")).collect::<String>();
    let first = ingest(&place, &whole);
    assert_any_bytes_are_understood_or_invalid(&place, &first, whole.as_bytes(), |place, bytes| {
        exported_orders(place, CSV, bytes)
    });
    let found = diff(&place, &first, &ingest(&place, &whole[..whole.len() - 3]), &options()).unwrap();
    assert_eq!((found.changes.len(), found.changes[0].operation), (1, '-'));
    assert!(found.notes.iter().any(|note| note.contains("end in the middle on side B")), "{:?}", found.notes);
    let error = diff(&place, &first, &ingest(&place, "_id,a\n1,2\n3\n"), &options()).unwrap_err().to_string();
    assert!(
        error.contains("shop.orders") && error.contains("another number of fields (1) than the first (2)"),
        "{error}"
    );
}

#[test]
fn columns_are_matched_by_their_names() {
    let place = TestRepository::new();
    let first = ingest(&place, "_id,a,gone\n1,x,0\n2,y,0\n");
    let second = ingest(&place, "new,a,_id\n9,x,1\n9,z,2\n");
    let found = found(&place, &first, &second);
    assert_eq!(found.of("shop.orders"), [('*', "2,y,0", "9,z,2", "a")]);
    assert_eq!(found.redefined, ["shop.orders"]);
    let (told, _, code) = place.yesterfs(&["diff", "shop@latest~1", "shop", "--rows"]);
    let line = "shop.orders: 0 rows inserted, 0 deleted, 1 updated; defined in another way, column new added, column gone removed\n";
    assert_eq!((&*told, code), (line, Some(1)));
    // Without names there is nothing to match.
    let third = exported_orders(&place, WITHOUT_NAMES, b"1,x,0\n");
    let error = diff(&place, &first, &third, &options()).unwrap_err().to_string();
    assert!(error.contains("no column is named in both"), "{error}");
}

#[test]
fn records_without_an_id_are_compared_by_columns_or_as_wholes() {
    let place = TestRepository::new();
    let by = |key: &str| RowDiffOptions { key: Some(vec![key.into()]), ..options() };
    let exports = [
        (CSV, "sku,a\nS1,x\nS2,y\nS2,y\n", "sku,a\nS2,y\nS1,z\nS2,y\n"),
        (WITHOUT_NAMES, "S1,x\nS2,y\n", "S2,y\nS1,z\n"),
    ];
    for ((form, a, b), [key, changed]) in exports.into_iter().zip([["sku", "a"], ["1", "2"]]) {
        let [a, b] = [a, b].map(|text| exported_orders(&place, form, text.as_bytes()));
        assert_eq!(found(&place, &a, &b).of("shop.orders"), [('-', "S1,x", "", ""), ('+', "", "S1,z", "")]);
        let by_key = diff(&place, &a, &b, &by(key)).unwrap();
        assert_eq!(by_key.of("shop.orders"), [('*', "S1,x", "S1,z", changed)]);
        let error = diff(&place, &a, &b, &by("other")).unwrap_err().to_string();
        assert!(error.contains("has no such column") && error.contains(key), "{error}");
    }
    let (_, told, code) = place.yesterfs(&["rows", "shop", "shop.orders", "--key", "S1"]);
    assert!(told.contains("it has no key; name the columns") && code == Some(2), "{told}");
    let row = place.yesterfs(&["rows", "shop", "shop.orders", "--by", "1", "--key", "S1"]).0;
    assert_eq!(row, "1: S1\n2: z\n");
    let (_, told, code) = place.yesterfs(&["history", "shop", "shop.orders", "--key", "S1"]);
    assert!(told.contains("it has no key; name the columns to find the row by: --by") && code == Some(2), "{told}");
    let (told, _, code) = place.yesterfs(&["history", "shop", "shop.orders", "--by", "1", "--key", "S1"]);
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with("shop@")).collect();
    assert_eq!((lines, code), (vec!["    2: x -> z", "    1: S1", "    2: x"], Some(0)), "{told}");
}

#[test]
fn collections_that_came_went_or_are_exported_otherwise_are_compared() {
    let place = TestRepository::new();
    let names_only = ingest(&place, "_id,a\n");
    let one = ingest(&place, "_id,a\n1,\" x\"\n");
    assert_eq!(found(&place, &names_only, &one).of("shop.orders"), [('+', "", "1,\" x\"", "")]);
    assert_eq!(found(&place, &one, &names_only).of("shop.orders"), [('-', "1,\" x\"", "", "")]);
    // Of the same name as JSON, it is another file.
    let json = exported_orders(&place, ExportForm::Json, b"{\"_id\":1}\n");
    let found = diff(&place, &one, &json, &options()).unwrap();
    assert_eq!(found.of("shop.orders"), [('-', "1,\" x\"", "", ""), ('+', "", "{\"_id\":1}", "")]);
    let (told, notes, _) = place.yesterfs(&["history", "shop", "shop.orders", "--key", "1"]);
    assert!(told.ends_with("seen\n    {\"_id\":1}\n") && told.lines().count() == 2, "{told}");
    assert!(notes.contains("shop.orders was exported in another form, by which the row cannot be found"), "{notes}");
    // One whose value only JSON tells, and that no record of CSV could have.
    ingest(&place, "a\n1\n");
    for last in ["1", "2"] {
        exported_orders(&place, ExportForm::Json, format!("{{\"_id\":7.5,\"a\":{last}}}\n").as_bytes());
    }
    for key in ["7.5", "8.5"] {
        let (told, notes, code) = place.yesterfs(&["history", "shop", "shop.orders", "--key", key]);
        assert!(notes.contains("shop.orders was exported in another form"), "{key}: {notes}");
        assert_eq!((told.contains("a: 1 -> 2"), code == Some(0)), (key == "7.5", key == "7.5"), "{key}: {told}{notes}");
    }
}

#[test]
fn a_row_that_looks_like_the_names_is_one() {
    for count in (300..1800).step_by(100) {
        let place = TestRepository::new();
        // So many that they are a chunk, where it happens to be cut behind them.
        let record = |first: String, field: &dyn Fn(u64) -> String| -> String {
            line(&std::iter::once(first).chain((0..count).map(field)).collect::<Record>()) + "\n"
        };
        let names = record("_id".into(), &|at| format!("column {at}"));
        let rows = (0..40).map(|id| record(id.to_string(), &|at| (at * id % 97).to_string())).collect::<String>();
        let quoted = format!("\"{}\"\n", names.trim_end().replace(',', "\",\""));
        let before = ingest(&place, &(names.clone() + &rows));
        let after = ingest(&place, &(quoted + &names + &rows));
        assert_eq!(found(&place, &before, &after).of("shop.orders"), [('+', "", names.trim_end(), "")], "{count}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let place = TestRepository::new();
    exported_orders(&place, CSV, b"_id,a\n1,x\n");
    exported_orders(&place, CSV, b"_id,a\n1,\xff\n");
    let told = place.yesterfs(&["diff", "shop@latest~1", "shop", "--rows", "--json"]).0;
    let line = "\"after\":{\"_id\":\"1\",\"a\":\"\u{fffd}\",\"a_hex\":\"ff\"},\"changed\":[\"a\"]}";
    assert!(told.lines().next().unwrap().ends_with(line), "{told}");
}

#[test]
fn history_tells_what_finding_the_record_in_every_snapshot_tells() {
    let mut told = 0;
    for seed in 1..9u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        let longest = [2_000, 8_000, 12_000, 90_000][seed as usize % 4];
        let mut records: Vec<Record> = (0..1500).map(|id| hostile(&mut dice, id, longest)).collect();
        let mut snapshots = Vec::new();
        for night in 0..6 {
            // The same rows mean something else where columns are called otherwise.
            let text = with_names(&records, "\n");
            let text = if night == 2 && seed % 2 == 0 { text.replacen(",n,", ",other,", 1) } else { text };
            snapshots.push(ingest(&place, &text));
            change(&mut dice, &mut records, longest);
        }
        for _ in 0..60 {
            let id = dice.roll(1550).to_string();
            told += assert_history_tells_states(&place, &snapshots, &id, |states, at| {
                seed % 2 == 0 && states[at].is_some() && (at == 2 || at == 3) && states[at - 1].is_some()
            });
        }
    }
    assert!(told > 300, "{told}");
}

#[test]
fn a_record_is_found_by_its_id() {
    let place = TestRepository::new();
    let oid = |at: u32| format!("{at:08x}6162636465666768");
    let of = |at: u32| {
        let mut dice = Dice(u64::from(at) + 1);
        let filling: String = (0..20).map(|_| format!("{:013x} ", dice.roll(1 << 52))).collect();
        vec![format!("ObjectId({})", oid(at)), at.to_string(), filling, "\"\n".into()]
    };
    let mut records: Vec<Record> = (0..50_000).map(of).collect();
    let others = ["a,b", "{\"a\":1,\"b\":2}", "42", "2026-11-28T00:00:00.000Z"];
    records.extend(others.map(|id| vec![id.into(), String::new(), String::new(), String::new()]));
    let snapshot = [ingest(&place, &with_names(&records, "\n"))];
    let find = |key: &str| states(&place, &snapshot, key).remove(0).map(|text| String::from_utf8(text).unwrap());
    for at in [0, 31_415, 49_999] {
        assert_eq!(find(&oid(at)), Some(line(&of(at))));
        assert_eq!(find(&format!("ObjectId({})", oid(at))), Some(line(&of(at))));
    }
    for id in others {
        assert_eq!(find(id), Some(format!("{},,,", written(id))), "{id}");
    }
    assert_eq!(find("43"), None);
}

#[test]
fn the_command_line_shows_records_in_every_form() {
    let place = TestRepository::new();
    let users = fs::read_to_string(fixture("export/users.csv")).unwrap();
    ingest(&place, &users);
    let changed = users.replacen("u1@example.org,befijjbbh", "u1@example.org,\"be,\nfi\"", 1);
    ingest(&place, &changed);
    let run = |arguments: &[&str]| place.yesterfs(&[&["diff", "shop@latest~1", "shop", "--rows"], arguments].concat());
    let counts = "shop.orders: 0 rows inserted, 0 deleted, 1 updated\n";
    assert_eq!(run(&[]), (counts.into(), String::new(), Some(1)));
    assert_eq!(run(&["shop.orders"]).0, counts);
    let id = "ObjectId(6b03499236ad21863dc9590a)";
    let tags = r#""[""dideiadb"",""ggj"",""dihfgdjf""]""#;
    let text = format!(
        "--- shop.orders\n+++ shop.orders\n@@ _id={id} @@\n-{id},u1@example.org,befijjbbh,{tags}\n\
         +{id},u1@example.org,\"be,\\#012fi\",{tags}\n"
    );
    assert_eq!(run(&["--format", "text"]).0, text);
    let json = run(&["--json"]).0;
    let tags = r#""tags":"[\"dideiadb\",\"ggj\",\"dihfgdjf\"]""#;
    let line = format!(
        r#"{{"type":"row","table":"shop.orders","op":"update","key":{{"_id":"{id}"}},"before":{{"_id":"{id}","email":"u1@example.org","name":"befijjbbh",{tags}}},"after":{{"_id":"{id}","email":"u1@example.org","name":"be,\nfi",{tags}}},"changed":["name"]}}"#
    );
    assert_eq!(json.lines().next().unwrap(), line);
    let (_, told, code) = run(&["--sql"]);
    assert!(told.contains("MongoDB has no SQL") && code == Some(2), "{told}");
    let (_, told, code) = run(&["shop.order"]);
    assert!(told.contains("did you mean shop.orders?") && code == Some(2), "{told}");
    let rows = |arguments: &[&str]| place.yesterfs(&[&["rows", "shop", "shop.orders"], arguments].concat());
    let row =
        format!("_id: {id}\nemail: u1@example.org\nname: be,\\#012fi\ntags: [\"dideiadb\",\"ggj\",\"dihfgdjf\"]\n");
    assert_eq!(rows(&["--key", "6b03499236ad21863dc9590a"]).0, row);
    assert_eq!(rows(&["--by", "email", "--key", "u1@example.org"]).0, row);
    let (_, told, code) = rows(&["--key", id, "--sql"]);
    assert!(told.contains("MongoDB has no SQL") && code == Some(2), "{told}");
    let history = place.yesterfs(&["history", "shop", "shop.orders", "--key", id]).0;
    assert!(
        history.contains("    name: befijjbbh -> be,\\#012fi\n") && history.contains("    _id: ObjectId(6b"),
        "{history}"
    );
}

#[test]
fn records_that_differ_are_lines_of_json_in_the_mount() {
    let stage = Stage::new();
    let folder = stage.make_directory("exports");
    let export = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let ingest =
        || stage.succeed(&["ingest", "mongo", "--source", "shop", "--database", "shop", folder.to_str().unwrap()]);
    export("users.csv", "_id,a.b\n1,\"x\"\"\"\n2,\n");
    export("users.json", "{\"_id\":1}\n");
    export("same.csv", "_id\n1\n");
    export("to.csv", "_id\n1\n");
    export("empty.csv", "");
    // Collections that are called as if they were files of others.
    export("users.csv.json", "{\"_id\":1}\n");
    export("users.csv.json.json", "{\"_id\":1}\n");
    export("users.csv.csv", "_id\n1\n");
    ingest();
    export("users.csv", "_id,a.b\n1,y\n2,\n");
    fs::remove_file(folder.join("to.csv")).unwrap();
    export("to.json", "{\"_id\":1}\n");
    export("empty.csv", "_id\n1\n");
    export("users.csv.json", "{\"_id\":2}\n");
    export("users.csv.json.json", "{\"_id\":3}\n");
    export("users.csv.csv", "_id\n4\n");
    ingest();
    let mount = stage.mount();
    let rows = mount.path("diff/shop~1..shop/rows");
    let listed = String::from_utf8(support::mounted::run(Command::new("ls").arg(rows.join("shop")))).unwrap();
    assert_eq!(
        listed,
        "empty.csv.json\nto.csv.json\nto.json\nusers.csv.csv.json\nusers.csv.json\nusers.csv.json.json\nusers.csv.json.json.json\n"
    );
    let text = |name: &str| fs::read_to_string(rows.join("shop").join(name)).unwrap();
    assert_eq!(
        text("users.csv.json"),
        "{\"type\":\"row\",\"table\":\"shop.users\",\"op\":\"update\",\"key\":{\"_id\":\"1\"},\"before\":{\"_id\":\"1\",\"a.b\":\"x\\\"\"},\
         \"after\":{\"_id\":\"1\",\"a.b\":\"y\"},\"changed\":[\"a.b\"]}\n"
    );
    let came = "{\"type\":\"row\",\"table\":\"shop.empty\",\"op\":\"insert\",\"key\":{\"_id\":\"1\"},\"after\":{\"_id\":\"1\"}}\n";
    assert_eq!(text("empty.csv.json"), came);
    assert!(text("to.csv.json").contains("\"op\":\"delete\"") && text("to.json").contains("\"op\":\"insert\""));
    assert!(!rows.join("shop/users.json").exists());
    for (file, id) in [("users.csv.json.json", "2"), ("users.csv.json.json.json", "3"), ("users.csv.csv.json", "\"4\"")]
    {
        assert!(text(file).contains(&format!("\"after\":{{\"_id\":{id}}}")), "{file}: {}", text(file));
    }
    mount.unmount();
}
