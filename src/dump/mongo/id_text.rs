//! IdText: the `_id` of a document as people write it.

use serde_json::Value;

use crate::dump::mongo::bson::{object_id, text_id};
use crate::dump::mongo::extended_json::element_json;

/// What was written.
#[derive(Debug)]
pub enum IdText {
    /// One of these keys.
    Keys(Vec<Vec<u8>>),
    Json(WantedJson),
}

/// An `_id` as canonical Extended JSON.
#[derive(Debug)]
pub struct WantedJson(Value);

impl WantedJson {
    /// Whether an element has this value.
    pub fn is_of(&self, element: &[u8]) -> bool {
        element_json(element).and_then(|json| serde_json::from_str::<Value>(&json).ok()).is_some_and(|it| it == self.0)
    }
}

impl IdText {
    /// Reads what was written: JSON, an object id by its digits, a number, or else a string. `None` for what begins as JSON and
    /// is none.
    pub fn read(text: &[u8]) -> Option<IdText> {
        if matches!(text.first(), Some(b'{' | b'"')) {
            return IdText::of_json(serde_json::from_slice(text).ok()?);
        }
        let word = std::str::from_utf8(text).unwrap_or_default();
        let id = object_id(word);
        let number = word.parse::<i64>().ok().map(|number| number.to_string().into_bytes());
        Some(IdText::Keys(id.into_iter().chain(number).chain([text_id(text)]).collect()))
    }

    fn of_json(value: Value) -> Option<IdText> {
        let field = |name: &str| value.get(name).and_then(Value::as_str);
        let whole = ["$numberInt", "$numberLong"].iter().find_map(|name| field(name)?.parse::<i64>().ok());
        let key = match &value {
            Value::String(text) => Some(text_id(text.as_bytes())),
            _ => field("$oid").and_then(object_id).or(whole.map(|number| number.to_string().into_bytes())),
        };
        Some(key.map_or(IdText::Json(WantedJson(value)), |key| IdText::Keys(vec![key])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Vec<u8>> {
        match IdText::read(text.as_bytes()).unwrap() {
            IdText::Keys(keys) => keys,
            IdText::Json(_) => Vec::new(),
        }
    }

    #[test]
    fn ids_are_read_as_people_write_them() {
        let id = object_id("507f1f77bcf86cd799439011").unwrap();
        assert_eq!(keys("42"), [b"42".to_vec(), text_id(b"42")]);
        assert_eq!(keys("a,b"), [text_id(b"a,b")]);
        assert_eq!(keys("\"42\""), [text_id(b"42")]);
        assert_eq!(keys("507f1f77bcf86cd799439011"), [id.clone(), text_id(b"507f1f77bcf86cd799439011")]);
        assert_eq!(keys(r#"{"$oid": "507f1f77bcf86cd799439011"}"#), [id]);
        assert_eq!(keys(r#"{"$numberLong": "-5"}"#), [b"-5".to_vec()]);
        let IdText::Json(json) = IdText::read(br#"{ "a" : {"$numberInt":"1"} }"#).unwrap() else { panic!() };
        let element = |number: u8| [&b"\x03_id\0\x0c\0\0\0\x10a\0"[..], &[number, 0, 0, 0, 0]].concat();
        assert!(json.is_of(&element(1)) && !json.is_of(&element(2)));
        assert!(IdText::read(b"{").is_none());
    }
}
