//! Fields: what stands at the top of a document as JSON. What is nested in it is passed over.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use memchr::memchr2;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::dump::mongo::extended_json::shown_bytes;
use crate::dump::mongo::id_text::key_of_value;

/// The name of the field that tells a document from all others of its collection, as JSON.
const ID: &[u8] = b"\"_id\"";

/// A field at the top of an object: its name as it is written, in quotes, and where its value stands.
struct Field<'d> {
    name: &'d [u8],
    value: Range<usize>,
}

/// The fields at the top of an object, in order, as far as it is well-formed.
struct Fields<'d> {
    document: &'d [u8],
    at: usize,
}

impl<'d> Fields<'d> {
    fn new(document: &'d [u8]) -> Fields<'d> {
        Fields { document, at: 0 }
    }

    /// Passes white space, and this byte behind it.
    fn pass(&mut self, byte: u8) -> Option<()> {
        self.pass_space();
        self.document.get(self.at).filter(|found| **found == byte)?;
        self.at += 1;
        Some(())
    }

    fn pass_space(&mut self) {
        self.at += self.document[self.at..].iter().take_while(|byte| is_space(**byte)).count();
    }

    /// Passes a string, of which the first quote comes next.
    fn pass_text(&mut self) -> Option<()> {
        self.at = end_of_text(self.document, self.at)?;
        Some(())
    }

    /// Passes a value of whatever kind.
    fn pass_value(&mut self) -> Option<()> {
        let mut depth = 0u32;
        loop {
            match self.document.get(self.at)? {
                b'"' => self.pass_text()?,
                b'{' | b'[' => (depth, self.at) = (depth + 1, self.at + 1),
                // What closes the object itself is no value.
                b'}' | b']' => (depth, self.at) = (depth.checked_sub(1)?, self.at + 1),
                _ if depth > 0 => self.at += 1,
                _ => return self.pass_word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes a number, or a word.
    fn pass_word(&mut self) -> Option<()> {
        let is_end = |byte: &u8| is_space(*byte) || !is_of_word(byte);
        self.at += self.document[self.at..].iter().position(is_end).filter(|length| *length > 0)?;
        Some(())
    }
}

impl<'d> Iterator for Fields<'d> {
    type Item = Field<'d>;

    fn next(&mut self) -> Option<Field<'d>> {
        self.pass(if self.at == 0 { b'{' } else { b',' })?;
        self.pass_space();
        let start = self.at;
        self.document.get(start).filter(|byte| **byte == b'"')?;
        self.pass_text()?;
        let name = &self.document[start..self.at];
        self.pass(b':')?;
        self.pass_space();
        let start = self.at;
        self.pass_value()?;
        Some(Field { name, value: start..self.at })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where a string ends that begins with the quote there.
fn end_of_text(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let stop = at + memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[stop] == b'"' {
            return Some(stop + 1);
        }
        at = stop + 2;
    }
}

/// Where the value stands that tells a document from all others. It need not be the first.
pub fn id_of_json(document: &[u8]) -> Option<Range<usize>> {
    Fields::new(document).find(|field| field.name == ID).map(|field| field.value)
}

/// What such a value means, as [`crate::dump::mongo::key_of_element`] has it where that tells strings, object ids and whole
/// numbers, in whichever type they are; all else is what is written.
pub fn key_of_json(literal: &[u8]) -> Vec<u8> {
    let value = serde_json::from_slice::<Value>(literal).unwrap_or_default();
    key_of_value(&value).unwrap_or_else(|| [b"\0", &*compact_json(literal)].concat())
}

/// The same JSON without white space, but where it alone keeps two words apart, as in no JSON.
pub fn compact_json(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = next_space(json, 0) else { return Cow::Borrowed(json) };
    let (mut out, mut at) = (json[..first].to_vec(), first);
    while at < json.len() {
        let behind = at + json[at..].iter().take_while(|byte| is_space(**byte)).count();
        let end = next_space(json, behind).unwrap_or(json.len());
        if out.last().is_some_and(is_of_word) && json.get(behind).is_some_and(is_of_word) {
            out.push(b' ');
        }
        out.extend_from_slice(&json[behind..end]);
        at = end;
    }
    Cow::Owned(out)
}

fn is_of_word(byte: &u8) -> bool {
    !matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"')
}

/// The first white space from a place on that is in no string.
fn next_space(json: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_text(json, at)?,
            _ if is_space(byte) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// JSON on one line; of what is none, its bytes.
pub fn shown_json(json: &[u8]) -> String {
    let text = std::str::from_utf8(json).ok().filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let compact = text.and_then(|text| String::from_utf8(compact_json(text.as_bytes()).into_owned()).ok());
    compact.unwrap_or_else(|| shown_bytes(json))
}

/// The names of the fields at the top that two documents do not both have with the same value: those of the second in their
/// order, then those that only the first has.
pub fn changed_json_fields(a: &[u8], b: &[u8]) -> Vec<Vec<u8>> {
    fn values(document: &[u8]) -> HashMap<&[u8], Vec<Cow<'_, [u8]>>> {
        let mut values: HashMap<&[u8], Vec<Cow<[u8]>>> = HashMap::new();
        let each = Fields::new(document);
        each.for_each(|field| values.entry(field.name).or_default().push(compact_json(&document[field.value])));
        values
    }
    let (before, after, mut told) = (values(a), values(b), HashSet::new());
    let names = Fields::new(b).chain(Fields::new(a)).map(|field| field.name);
    let changed = names.filter(|name| told.insert(*name) && before.get(name) != after.get(name));
    changed.map(|name| serde_json::from_slice(name).map_or_else(|_| name.to_vec(), String::into_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::mongo::bson::{object_id, text_id};

    fn id(document: &str) -> Option<&str> {
        id_of_json(document.as_bytes()).map(|range| &document[range])
    }

    #[test]
    fn documents_are_told_apart_by_their_ids() {
        assert_eq!(id(r#"{"_id":{"$oid":"507f"},"a":1}"#), Some(r#"{"$oid":"507f"}"#));
        assert_eq!(id("{\n\t\"a\" : { \"_id\": [ \"}\\\"\" ] } ,\n\t\"_id\" : -7.5\n}"), Some("-7.5"));
        assert_eq!(id(r#"{"a":"\"_id\":1","b":[{}],"_id":"x\\"}"#), Some(r#""x\\""#));
        for none in ["", "{", "{}", "[]", r#"{"_id"}"#, r#"{"_id":}"#, r#"{"_id":"x}"#, r#"{"a":1 "_id":2}"#] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn keys_are_those_of_the_same_ids_in_bson() {
        let seven = ["7", "7.0", r#"{"$numberInt":"7"}"#, r#"{ "$numberLong": "7" }"#, r#"{"$numberDouble":"7.0"}"#];
        for written in seven {
            assert_eq!(key_of_json(written.as_bytes()), b"7", "{written}");
        }
        assert_eq!(key_of_json(br#""7""#), text_id(b"7"));
        assert_eq!(key_of_json(br#""\u00e9""#), text_id("é".as_bytes()));
        let oid = "507f1f77bcf86cd799439011";
        assert_eq!(Some(key_of_json(format!(r#"{{"$oid":"{oid}"}}"#).as_bytes())), object_id(oid));
        let others =
            ["7.5", "null", "true", "[7]", r#"{"a":7}"#, r#"{"a":"7"}"#, r#"{"$date":"2026-11-28T00:00:00Z"}"#, "{7"];
        let mut keys: Vec<Vec<u8>> = others.iter().map(|other| key_of_json(other.as_bytes())).collect();
        assert_eq!(key_of_json(b"{ \"a\" :\n7 }"), keys[4]);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), others.len());
    }

    #[test]
    fn white_space_between_words_goes() {
        assert_eq!(&*compact_json(b"{ \"a b\" :\t[ 1 , \"\\\" \\\\\" ]\r\n}"), b"{\"a b\":[1,\"\\\" \\\\\"]}");
        assert!(matches!(compact_json(b"{\"a\":1}"), Cow::Borrowed(_)));
        assert_eq!((&*compact_json(b"{ \"a"), &*compact_json(b"[1  2\n]")), (&b"{\"a"[..], &b"[1 2]"[..]));
    }

    #[test]
    fn changed_fields_are_named() {
        let (a, b) = (r#"{"_id":1,"a":{"b": 1},"gone":2,"s":"x"}"#, r#"{"_id":1,"\u00e9":0,"a":{"b":1},"s":"y"}"#);
        let names: Vec<String> = changed_json_fields(a.as_bytes(), b.as_bytes())
            .into_iter()
            .map(|it| String::from_utf8(it).unwrap())
            .collect();
        assert_eq!(names, ["é", "s", "gone"]);
        assert!(changed_json_fields(a.as_bytes(), a.as_bytes()).is_empty());
    }
}
