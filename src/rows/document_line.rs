//! A document of MongoDB that differs, as a line of JSON, be it a document or a record of CSV.

use crate::dump::mongo::{hexadecimal, json_text};
use crate::rows::comparison::{Comparison, RowView};
use crate::rows::difference::{Operation, RowChange};

/// What changed of a document of `collection`, without a line's end: its key, and all of it before and after, as Extended JSON; of a
/// record of CSV, the text of each column.
pub fn document_line(collection: &str, row: &RowChange) -> String {
    let mut line = format!("{{\"type\":\"row\",\"table\":{}", json_text(collection.as_bytes()));
    let operation = match row.operation() {
        Operation::Insert => "insert",
        Operation::Delete => "delete",
        Operation::Update => "update",
    };
    line.push_str(&format!(",\"op\":\"{operation}\""));
    let key = row.latest().zip(row.comparison.key()).map(|(view, key)| match view.form.documents() {
        Some(form) => format!("{{\"_id\":{}}}", form.shown_id(view.literal(0).unwrap_or_default())),
        None => columns_json(row.comparison, view, key.iter().copied()),
    });
    if let Some(key) = key {
        line.push_str(&format!(",\"key\":{key}"));
    }
    for (name, side) in ["before", "after"].into_iter().zip(&row.sides) {
        let shown = side.as_ref().map(|view| match view.form.documents() {
            Some(form) => form.shown(view.text()),
            None => columns_json(row.comparison, view, 0..row.comparison.columns().len()),
        });
        if let Some(shown) = shown {
            line.push_str(&format!(",\"{name}\":{shown}"));
        }
    }
    if row.operation() == Operation::Update {
        let names: Vec<String> = row.changed_names().iter().map(|name| json_text(name)).collect();
        line.push_str(&format!(",\"changed\":[{}]", names.join(",")));
    }
    line.push('}');
    line
}

/// The text of these columns, as far as the record has them; of what is not UTF-8, the bytes too.
fn columns_json(comparison: &Comparison, view: &RowView, columns: impl Iterator<Item = usize>) -> String {
    let mut fields = Vec::new();
    for column in columns {
        let (name, Some(literal)) = (&comparison.columns()[column], view.literal(column)) else { continue };
        let value = view.form.shown_value(literal);
        fields.push(format!("{}:{}", json_text(name), json_text(&value)));
        if std::str::from_utf8(&value).is_err() {
            fields.push(format!("{}:\"{}\"", json_text(&[name, &b"_hex"[..]].concat()), hexadecimal(&value)));
        }
    }
    format!("{{{}}}", fields.join(","))
}
