//! Documents as canonical Extended JSON, which tells every type of every value: what `mongoexport --jsonFormat=canonical` prints.

use crate::dump::mongo::bson::{Field, Fields};
use crate::dump::mongo::decimal::decimal_text;

/// Documents in documents. Servers allow 100 and a little more for their own.
const DEPTH_MAX: usize = 250;

/// A document as JSON. `None` where it is not well-formed, or nested too deeply.
pub fn extended_json(document: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(document.len() * 2);
    push_document(document, false, 0, &mut out)?;
    Some(out)
}

/// The value of an element: its type, its name, and what the value is.
pub fn element_json(element: &[u8]) -> Option<String> {
    let length = (element.len() as u32 + 5).to_le_bytes();
    let document = [&length[..], element, &[0]].concat();
    let field = Fields::new(&document).next().filter(|field| field.element.len() == element.len())?;
    let mut out = String::new();
    push_value(&field, 0, &mut out)?;
    Some(out)
}

/// The same for people; of what is not well-formed, its bytes.
pub fn shown_document(document: &[u8]) -> String {
    extended_json(document).unwrap_or_else(|| shown_bytes(document))
}

/// The value of an element, likewise.
pub fn shown_element(element: &[u8]) -> String {
    element_json(element).unwrap_or_else(|| shown_bytes(element))
}

/// What stands for bytes that are no document, or no value.
pub(super) fn shown_bytes(bytes: &[u8]) -> String {
    let mut out = "{\"$malformed\":\"".to_string();
    push_base64(bytes, &mut out);
    out.push_str("\"}");
    out
}

fn push_document(document: &[u8], is_array: bool, depth: usize, out: &mut String) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let (mut fields, mut is_first) = (Fields::new(document), true);
    out.push(if is_array { '[' } else { '{' });
    for field in fields.by_ref() {
        if !is_first {
            out.push(',');
        }
        is_first = false;
        if !is_array {
            push_text(field.name, out);
            out.push(':');
        }
        push_value(&field, depth, out)?;
    }
    out.push(if is_array { ']' } else { '}' });
    fields.are_all().then_some(())
}

fn push_value(field: &Field, depth: usize, out: &mut String) -> Option<()> {
    let raw = field.raw;
    let number = |out: &mut String, name: &str, text: String| out.push_str(&format!("{{\"{name}\":\"{text}\"}}"));
    match field.kind {
        0x01 => number(out, "$numberDouble", double_text(f64::from_le_bytes(*raw.first_chunk()?))),
        0x02 => push_text(text_of(raw)?, out),
        0x03 => push_document(raw, false, depth + 1, out)?,
        0x04 => push_document(raw, true, depth + 1, out)?,
        0x05 => push_binary(raw, out)?,
        0x06 => out.push_str("{\"$undefined\":true}"),
        0x07 => number(out, "$oid", hexadecimal(raw)),
        0x08 => out.push_str(if raw == [0] { "false" } else { "true" }),
        0x09 => {
            out.push_str("{\"$date\":");
            number(out, "$numberLong", i64::from_le_bytes(*raw.first_chunk()?).to_string());
            out.push('}');
        }
        0x0a => out.push_str("null"),
        0x0b => {
            let (pattern, options) = raw.strip_suffix(b"\0")?.split_at(memchr::memchr(0, raw)?);
            push_named(
                "$regularExpression",
                |out| {
                    push_named_text(&[("pattern", pattern), ("options", options.get(1..)?)], out);
                    Some(())
                },
                out,
            )?;
        }
        0x0c => {
            let (collection, id) = raw.split_at_checked(raw.len().checked_sub(12)?)?;
            push_named(
                "$dbPointer",
                |out| {
                    out.push_str("{\"$ref\":");
                    push_text(text_of(collection)?, out);
                    out.push_str(&format!(",\"$id\":{{\"$oid\":\"{}\"}}}}", hexadecimal(id)));
                    Some(())
                },
                out,
            )?;
        }
        0x0d => push_named_text(&[("$code", text_of(raw)?)], out),
        0x0e => push_named_text(&[("$symbol", text_of(raw)?)], out),
        0x0f => {
            let length = usize::try_from(i32::from_le_bytes(*raw.get(4..)?.first_chunk()?)).ok()?;
            let (code, scope) = raw.get(4..)?.split_at_checked(length.checked_add(4)?)?;
            out.push_str("{\"$code\":");
            push_text(text_of(code)?, out);
            out.push_str(",\"$scope\":");
            push_document(scope, false, depth + 1, out)?;
            out.push('}');
        }
        0x10 => number(out, "$numberInt", i32::from_le_bytes(*raw.first_chunk()?).to_string()),
        0x11 => {
            let [ordinal, seconds] = [raw, raw.get(4..)?].map(|it| it.first_chunk().copied().map(u32::from_le_bytes));
            out.push_str(&format!("{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}", seconds?, ordinal?));
        }
        0x12 => number(out, "$numberLong", i64::from_le_bytes(*raw.first_chunk()?).to_string()),
        0x13 => number(out, "$numberDecimal", decimal_text(u128::from_le_bytes(*raw.first_chunk()?))),
        0x7f => out.push_str("{\"$maxKey\":1}"),
        0xff => out.push_str("{\"$minKey\":1}"),
        _ => return None,
    }
    Some(())
}

fn push_named(name: &str, push: impl FnOnce(&mut String) -> Option<()>, out: &mut String) -> Option<()> {
    out.push_str(&format!("{{\"{name}\":"));
    push(out)?;
    out.push('}');
    Some(())
}

/// An object of texts.
fn push_named_text(texts: &[(&str, &[u8])], out: &mut String) {
    for (at, (name, text)) in texts.iter().enumerate() {
        out.push_str(if at == 0 { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        push_text(text, out);
    }
    out.push('}');
}

fn push_binary(raw: &[u8], out: &mut String) -> Option<()> {
    let (kind, mut bytes) = raw.get(4..)?.split_first()?;
    if *kind == 2 {
        // Of this old sort, the length stands there twice.
        bytes = bytes.get(4..)?;
    }
    out.push_str("{\"$binary\":{\"base64\":\"");
    push_base64(bytes, out);
    out.push_str(&format!("\",\"subType\":\"{kind:02x}\"}}}}"));
    Some(())
}

fn push_base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digits = (0..=three.len()).map(|place| char::from(DIGITS[bits >> (18 - 6 * place) & 63]));
        out.extend(digits.chain(std::iter::repeat_n('=', 3 - three.len())));
    }
}

/// What stands between the length of a string and its zero.
fn text_of(raw: &[u8]) -> Option<&[u8]> {
    raw.get(4..)?.strip_suffix(b"\0")
}

/// A string of JSON. What is no UTF-8 becomes replacement characters.
pub fn json_text(text: &[u8]) -> String {
    let mut out = String::new();
    push_text(text, &mut out);
    out
}

fn push_text(text: &[u8], out: &mut String) {
    out.push('"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The shortest digits that mean this number, as JSON would have them.
fn double_text(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".into(),
        _ if number.is_infinite() => {
            if number > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        _ => format!("{number:?}"),
    }
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// The same documents, from the real programs.
    const TYPES: &[u8] = include_bytes!("../../../tests/fixtures/mongo/directory/shop/types.bson");
    const EXPORTED: &str = include_str!("../../../tests/fixtures/mongo/types.canonical.json");

    fn documents() -> Vec<&'static [u8]> {
        let (mut rest, mut found) = (TYPES, Vec::new());
        while let Some(length) = rest.first_chunk().map(|length| i32::from_le_bytes(*length) as usize) {
            let (document, behind) = rest.split_at(length);
            found.push(document);
            rest = behind;
        }
        found
    }

    #[test]
    fn every_type_is_as_mongoexport_prints_it() {
        let mut compared = 0;
        for (document, line) in documents().into_iter().zip(EXPORTED.lines()) {
            let (found, expected): (Value, Value) =
                (serde_json::from_str(&extended_json(document).unwrap()).unwrap(), serde_json::from_str(line).unwrap());
            assert_eq!(found["_id"], expected["_id"]);
            // Of these, mongoexport tells no type.
            if ["undefined", "symbol", "dptr"].iter().all(|id| found["_id"] != **id) {
                assert_eq!(found, expected);
                compared += 1;
            }
        }
        assert_eq!(compared, 42);
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        for document in documents() {
            for end in 0..document.len() {
                assert_eq!(extended_json(&document[..end]), None, "{document:?} up to {end}");
            }
            for at in 4..document.len() {
                let mut other = document.to_vec();
                other[at] ^= 0x55;
                extended_json(&other);
            }
        }
        let mut deep = b"\x05\0\0\0\0".to_vec();
        for depth in 0..300 {
            assert_eq!(extended_json(&deep).is_some(), depth <= DEPTH_MAX, "{depth}");
            let body = [&b"\x03a\0"[..], &deep, b"\0"].concat();
            deep = [&(body.len() as u32 + 4).to_le_bytes()[..], &body].concat();
        }
    }

    #[test]
    fn values_are_told_by_themselves() {
        assert_eq!(element_json(b"\x10_id\0\x07\0\0\0").unwrap(), r#"{"$numberInt":"7"}"#);
        assert_eq!(
            element_json(b"\x05_id\0\x05\0\0\0\x02\x01\0\0\0a").unwrap(),
            r#"{"$binary":{"base64":"YQ==","subType":"02"}}"#
        );
        assert_eq!(element_json(b"\x10_id\0\x07"), None);
    }
}
