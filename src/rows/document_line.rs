//! A document of MongoDB that differs, as a line of JSON.

use crate::dump::mongo::json_text;
use crate::rows::difference::{Operation, RowChange};

/// What changed of a document of `collection`, without a line's end: its key, and all of it before and after, as Extended JSON.
pub fn document_line(collection: &str, row: &RowChange) -> String {
    let shown = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut line = format!("{{\"type\":\"row\",\"table\":{}", json_text(collection.as_bytes()));
    let operation = match row.operation() {
        Operation::Insert => "insert",
        Operation::Delete => "delete",
        Operation::Update => "update",
    };
    line.push_str(&format!(",\"op\":\"{operation}\""));
    if let Some(view) = row.latest() {
        let id = view.form.shown_key(view.literal(0).unwrap_or_default()).into_owned();
        line.push_str(&format!(",\"key\":{{\"_id\":{}}}", shown(id)));
    }
    for (name, side) in ["before", "after"].into_iter().zip(&row.sides) {
        if let Some(view) = side {
            line.push_str(&format!(",\"{name}\":{}", shown(view.form.shown_row(view.text()).into_owned())));
        }
    }
    if row.operation() == Operation::Update {
        let names: Vec<String> = row.changed_names().iter().map(|name| json_text(name)).collect();
        line.push_str(&format!(",\"changed\":[{}]", names.join(",")));
    }
    line.push('}');
    line
}
