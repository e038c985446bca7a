//! Stories of comparing the documents of two exports of MongoDB, and of finding them in many.

mod support;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use support::mongo::{exported_orders, fixture, number, orders, text};
use support::mounted::Stage;
use support::repository::TestRepository;
use support::rows::{
    Dice, assert_any_bytes_are_understood_or_invalid, assert_history_tells_states, change_some, diff, found, options,
    states,
};
use yesterfs::dump::mongo::ExportForm;
use yesterfs::repository::snapshot::Snapshot;

const JSON: ExportForm = ExportForm::Json;

/// How `mongoexport` lays documents out.
const LAYOUTS: [fn(&[String]) -> String; 4] = [lines, array, pretty, pretty_array];

fn lines(documents: &[String]) -> String {
    documents.iter().map(|document| format!("{document}\n")).collect()
}

fn array(documents: &[String]) -> String {
    format!("[{}]\n", documents.join(",\n"))
}

fn indented(document: &str) -> String {
    format!("{:#}", serde_json::from_str::<serde_json::Value>(document).unwrap())
}

fn pretty(documents: &[String]) -> String {
    lines(&documents.iter().map(|it| indented(it)).collect::<Vec<_>>())
}

fn pretty_array(documents: &[String]) -> String {
    array(&documents.iter().map(|it| indented(it)).collect::<Vec<_>>())
}

fn ingest(place: &TestRepository, text: &str) -> Arc<Snapshot> {
    exported_orders(place, JSON, text.as_bytes())
}

/// A document whose strings look like others, and of which some are long.
fn hostile(dice: &mut Dice, id: u64, longest: u64) -> String {
    let long = if dice.roll(40) == 0 { longest } else { 300 };
    let (mut inner, length) = (String::new(), dice.roll(long));
    while (inner.len() as u64) < length {
        inner.push_str(&format!(
            "}},\\n{{\\\"_id\\\":{},\\\"a\\\":\\\"{}\\\\",
            dice.roll(3000),
            "x".repeat(dice.roll(60) as usize)
        ));
    }
    let id = if dice.roll(2) == 0 { format!("{{\"$numberInt\":\"{id}\"}}") } else { id.to_string() };
    format!("{{\"first\":{},\"in\":{{\"_id\":[{{}},\"{inner}\"]}},\"_id\":{id}}}", dice.roll(1 << 40))
}

/// Changes some of them.
fn change(dice: &mut Dice, documents: &mut Vec<String>, longest: u64) {
    change_some(dice, documents, |dice, id| hostile(dice, id, longest));
}

#[test]
fn reading_what_differs_finds_what_reading_all_finds() {
    let (mut changes, mut quiet) = (0, 0);
    for seed in 1..50u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        // Where documents may be as long as chunks, no chunk is sure to end with one.
        let longest = [2_000, 8_000, 12_000, 90_000][seed as usize % 4];
        let laid_out = LAYOUTS[seed as usize / 4 % 4];
        let mut documents: Vec<String> = (0..3000).map(|id| hostile(&mut dice, id, longest)).collect();
        let before = ingest(&place, &laid_out(&documents));
        change(&mut dice, &mut documents, longest);
        let differences = found(&place, &before, &ingest(&place, &laid_out(&documents)));
        changes += differences.changes.len();
        let has_note = differences.notes.iter().any(|note| note.contains("read from the first one on"));
        quiet += u64::from(!has_note);
        assert!(has_note || longest < 40_000, "{seed}");
    }
    assert!(changes > 100 && quiet > 10, "{changes} changes, {quiet} without a note");
}

#[test]
fn the_layout_of_an_export_makes_no_difference() {
    let (mut dice, place) = (Dice(7), TestRepository::new());
    let documents: Vec<String> = (0..500).map(|id| hostile(&mut dice, id, 2000)).collect();
    // What serde_json prints has its fields in another order.
    let documents: Vec<String> =
        documents.iter().map(|it| serde_json::from_str::<serde_json::Value>(it).unwrap().to_string()).collect();
    let first = ingest(&place, &lines(&documents));
    let mut changed = documents.clone();
    changed[77] = changed[77].replacen("\"first\":", "\"second\":", 1);
    for laid_out in LAYOUTS {
        assert!(found(&place, &first, &ingest(&place, &laid_out(&documents))).changes.is_empty());
        let changes = found(&place, &first, &ingest(&place, &laid_out(&changed))).changes;
        assert_eq!((changes.len(), changes[0].operation), (1, '*'));
    }
}

#[test]
fn the_work_follows_the_changes() {
    let place = TestRepository::new();
    let of = |id: u64, status: &str| format!("{{\"_id\":{id},\"status\":\"{status}\",\"n\":{}}}", id * 7);
    let mut documents: Vec<String> =
        (0..100_000).map(|id| of(id, &format!("{:016x}", id.wrapping_mul(0x9e37_79b9_7f4a)))).collect();
    let before = ingest(&place, &lines(&documents));
    documents[61_234] = of(61_234, "another");
    documents.remove(20_000);
    let moved = documents.remove(5);
    documents.push(moved);
    let found = diff(&place, &before, &ingest(&place, &lines(&documents)), &options()).unwrap();
    assert_eq!((found.changes.len(), found.notes.len()), (2, 0), "{:?}", found.notes);
    assert!(found.bytes_read() < 600_000, "{} bytes", found.bytes_read());
}

#[test]
fn any_bytes_are_understood_or_invalid() {
    let place = TestRepository::new();
    let whole = lines(&(0..200).map(|id| format!("{{\"_id\":{id},\"a\":\"b\"}}")).collect::<Vec<_>>());
    let first = ingest(&place, &whole);
    assert_any_bytes_are_understood_or_invalid(&place, &first, whole.as_bytes(), |place, bytes| {
        exported_orders(place, JSON, bytes)
    });
    let found = diff(&place, &first, &ingest(&place, &whole[..whole.len() - 3]), &options()).unwrap();
    assert_eq!((found.changes.len(), found.changes[0].operation), (1, '-'));
    assert!(found.notes.iter().any(|note| note.contains("end in the middle on side B")), "{:?}", found.notes);
}

#[test]
fn history_tells_what_finding_the_document_in_every_snapshot_tells() {
    let mut told = 0;
    for seed in 1..9u64 {
        let (mut dice, place) = (Dice(seed * 0x51_7cc1), TestRepository::new());
        let longest = [2_000, 8_000, 12_000, 90_000][seed as usize % 4];
        let mut documents: Vec<String> = (0..1500).map(|id| hostile(&mut dice, id, longest)).collect();
        let mut snapshots = Vec::new();
        for _ in 0..6 {
            snapshots.push(ingest(&place, &LAYOUTS[seed as usize % 4](&documents)));
            change(&mut dice, &mut documents, longest);
        }
        for _ in 0..60 {
            let id = dice.roll(1550).to_string();
            told += assert_history_tells_states(&place, &snapshots, &id, |_, _| false);
        }
    }
    assert!(told > 300, "{told}");
}

#[test]
fn a_document_is_found_by_its_id() {
    let place = TestRepository::new();
    let oid = |at: u32| format!("{at:08x}6162636465666768");
    let of = |at: u32| {
        let mut dice = Dice(u64::from(at) + 1);
        let filling: String = (0..20).map(|_| format!("{:013x} ", dice.roll(1 << 52))).collect();
        format!("{{\"text\":\"{filling}\",\"_id\":{{\"$oid\":\"{}\"}}}}", oid(at))
    };
    let mut documents: Vec<String> = (0..50_000).map(of).collect();
    let others = [
        r#"{"_id":"a,b"}"#,
        r#"{"_id":{"a":1}}"#,
        r#"{"_id":{"$numberLong":"42"}}"#,
        r#"{"_id":{"$date":"2026-11-28T00:00:00Z"}}"#,
    ];
    documents.extend(others.map(str::to_string));
    let snapshot = [ingest(&place, &lines(&documents))];
    let find = |key: &str| states(&place, &snapshot, key).remove(0).map(|text| String::from_utf8(text).unwrap());
    for at in [0, 31_415, 49_999] {
        assert_eq!(find(&oid(at)), Some(of(at)));
    }
    assert_eq!(find(&format!(r#"{{"$oid":"{}"}}"#, oid(777))), Some(of(777)));
    for (key, document) in ["a,b", r#"{ "a": 1 }"#, "42", r#"{"$date":"2026-11-28T00:00:00Z"}"#].into_iter().zip(others)
    {
        assert_eq!(find(key).as_deref(), Some(document));
    }
    assert_eq!((find("43"), find(r#"{"a":2}"#)), (None, None));
}

/// What the real program exported, and the same with two documents changed by hand.
fn two_exports(place: &TestRepository) {
    let types = fs::read_to_string(fixture("types.canonical.json")).unwrap();
    let mut documents: Vec<String> = types.lines().map(str::to_string).collect();
    ingest(place, &lines(&documents));
    documents.remove(1);
    let object = documents.iter().position(|it| it.contains("\"object\"")).unwrap();
    documents[object] = r#"{"_id":"object","v":{"$numberInt":"8"},"w":9}"#.to_string();
    ingest(place, &array(&documents));
}

#[test]
fn the_command_line_shows_documents_in_every_form() {
    let place = TestRepository::new();
    two_exports(&place);
    let run = |arguments: &[&str]| place.yesterfs(&[&["diff", "shop@latest~1", "shop", "--rows"], arguments].concat());
    let counts = "shop.orders: 0 rows inserted, 1 deleted, 1 updated\n";
    assert_eq!(run(&[]), (counts.into(), String::new(), Some(1)));
    assert_eq!(run(&["shop.orders"]).0, counts);
    let text = "--- shop.orders\n+++ shop.orders\n@@ _id=\"object\" @@\n-{\"_id\":\"object\",\"v\":{\"a\":{\"b\":{\"c\":[{\"$numberInt\":\"1\"},{\"d\":null}]}}}}\n\
                +{\"_id\":\"object\",\"v\":{\"$numberInt\":\"8\"},\"w\":9}\n@@ _id=\"negzero\" @@\n-{\"_id\":\"negzero\",\"v\":{\"$numberDouble\":\"-0.0\"}}\n";
    assert_eq!(run(&["--format", "text"]).0, text);
    let json = run(&["--json"]).0;
    assert_eq!(
        json.lines().next().unwrap(),
        r#"{"type":"row","table":"shop.orders","op":"update","key":{"_id":"object"},"before":{"_id":"object","v":{"a":{"b":{"c":[{"$numberInt":"1"},{"d":null}]}}}},"after":{"_id":"object","v":{"$numberInt":"8"},"w":9},"changed":["v","w"]}"#
    );
    let (_, told, code) = run(&["--sql"]);
    assert!(told.contains("MongoDB has no SQL") && code == Some(2), "{told}");
    let (_, told, code) = run(&["shop.order"]);
    assert!(told.contains("did you mean shop.orders?") && code == Some(2), "{told}");
    let rows = |arguments: &[&str]| place.yesterfs(&[&["rows", "shop", "shop.orders", "--key"], arguments].concat());
    assert_eq!(rows(&["object"]).0, "{\"_id\":\"object\",\"v\":{\"$numberInt\":\"8\"},\"w\":9}\n");
    let history = place.yesterfs(&["history", "shop", "shop.orders", "--key", "object"]).0;
    assert!(history.contains("v: {\"a\":") && history.contains("w: no such field -> 9"), "{history}");
}

/// Numbers that are others once they were read and written again, fields out of order, and more levels than readers of JSON like.
#[test]
fn documents_are_shown_as_they_were_exported() {
    let place = TestRepository::new();
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let document = |last: &str| {
        format!(
            "{{\"_id\":1,\"z\":31.245270191439438,\"a\":1E+2,\"big\":12345678901234567890123,\"deep\":{deep},\"d\":{last}}}"
        )
    };
    let (before, after) = (document("0.1"), document("0.10000000000000001"));
    for text in [&before, &after] {
        ingest(&place, &format!("{text}\n"));
    }
    assert_eq!(place.yesterfs(&["rows", "shop", "shop.orders", "--key", "1"]).0, format!("{after}\n"));
    let json = place.yesterfs(&["rows", "shop", "shop.orders", "--key", "1", "--json"]).0;
    assert!(json.contains(&format!("\"row\":{after}")), "{json}");
    let differs = place.yesterfs(&["diff", "shop~1", "shop", "--rows", "--json"]).0;
    assert!(differs.contains(&format!("\"key\":{{\"_id\":1}},\"before\":{before},\"after\":{after}")), "{differs}");
    let history = place.yesterfs(&["history", "shop", "shop.orders", "--key", "1"]).0;
    assert!(history.contains("    d: 0.1 -> 0.10000000000000001\n"), "{history}");
    let history = place.yesterfs(&["history", "shop", "shop.orders", "--key", "1", "--json"]).0;
    assert!(history.contains(&format!("\"before\":{before},\"after\":{after}")), "{history}");
}

#[test]
fn dumps_are_not_compared_with_exports() {
    let place = TestRepository::new();
    ingest(&place, "{\"_id\":1}\n");
    orders(&place, &[support::mongo::document(&[number("_id", 1), text("a", "b")])]);
    let (_, told, code) = place.yesterfs(&["diff", "shop@latest~1", "shop", "--rows"]);
    assert!(told.contains("not compared with what mongoexport wrote") && code == Some(2), "{told}");
}

#[test]
fn documents_that_differ_are_lines_of_json_in_the_mount() {
    let stage = Stage::new();
    let folder = stage.make_directory("exports");
    let export = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let ingest =
        || stage.succeed(&["ingest", "mongo", "--source", "shop", "--database", "shop", folder.to_str().unwrap()]);
    export("orders.json", "{\"_id\":1,\"a\":1}\n{\"_id\":2}\n");
    export("same.json", "{\"_id\":1}\n");
    ingest();
    export("orders.json", "[{\"_id\":1,\"a\":\"x\"},{\"_id\":2}]\n");
    ingest();
    let mount = stage.mount();
    let rows = mount.path("diff/shop~1..shop/rows");
    let listed = String::from_utf8(support::mounted::run(Command::new("ls").arg("-R").arg(&rows))).unwrap();
    assert!(listed.contains("orders.json") && !listed.contains("same"), "{listed}");
    assert_eq!(
        fs::read_to_string(rows.join("shop/orders.json")).unwrap(),
        "{\"type\":\"row\",\"table\":\"shop.orders\",\"op\":\"update\",\"key\":{\"_id\":1},\"before\":{\"_id\":1,\"a\":1},\
         \"after\":{\"_id\":1,\"a\":\"x\"},\"changed\":[\"a\"]}\n"
    );
    mount.unmount();
}

#[test]
fn an_id_is_found_whatever_value_it_is() {
    let place = TestRepository::new();
    for last in ["1", "2"] {
        let ids = ["7.5", "{\"$numberDouble\":\"8.5\"}", "true", "null", "\"true\"", "\"9.5\""];
        ingest(&place, &lines(&ids.map(|id| format!("{{\"_id\":{id},\"a\":{last}}}"))));
    }
    let found = |key: &str| place.yesterfs(&["rows", "shop", "shop.orders", "--key", key]).0;
    for (key, id) in [
        ("7.5", "7.5"),
        ("{\"$numberDouble\":\"7.5\"}", "7.5"),
        ("8.50", "{\"$numberDouble\":\"8.5\"}"),
        ("null", "null"),
    ] {
        assert_eq!(found(key), format!("{{\"_id\":{id},\"a\":2}}\n"), "{key}");
    }
    // What may be text is that, too.
    assert_eq!(
        (found("9.5").as_str(), found("\"true\"").as_str()),
        ("{\"_id\":\"9.5\",\"a\":2}\n", "{\"_id\":\"true\",\"a\":2}\n")
    );
    assert!(found("true").contains("{\"_id\":true,"));
    let history = place.yesterfs(&["history", "shop", "shop.orders", "--key", "8.5"]).0;
    assert!(history.contains("    a: 1 -> 2\n"), "{history}");
}

#[test]
fn what_is_no_document_is_told_by_what_it_is() {
    let place = TestRepository::new();
    let export = place.path("orders.json");
    fs::write(&export, "{\"_id\":1}\nconnected to: mongodb://localhost/\n{\"_id\":2}\n").unwrap();
    let words =
        ["ingest", "mongo", "--source", "shop", "--database", "shop", "--keep-incomplete", export.to_str().unwrap()];
    assert_eq!(place.yesterfs(&words).2, Some(3));
    let id = place.reopen().unwrap().catalog().snapshots().next().unwrap().id.to_string();
    let (_, told, code) = place.yesterfs(&["rows", &id, "shop.orders", "--key", "5"]);
    assert!(
        code == Some(2) && told.contains("shop.orders") && told.contains("what stands there is no JSON object"),
        "{told}"
    );
}
