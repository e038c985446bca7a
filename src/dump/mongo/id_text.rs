//! IdText: the `_id` of a document as people write it.

use serde_json::Value;

use crate::dump::mongo::bson::{object_id, text_id, whole_number};

/// What may be meant: an `_id` with one of these keys, or with this JSON.
#[derive(Debug, Default)]
pub struct IdText {
    pub keys: Vec<Vec<u8>>,
    pub json: Option<WantedJson>,
}

/// An `_id` as Extended JSON.
#[derive(Debug)]
pub struct WantedJson(Value);

impl WantedJson {
    /// Whether this JSON is the same, in its canonical form or in the relaxed one.
    pub fn is(&self, json: &[u8]) -> bool {
        serde_json::from_slice::<Value>(json).is_ok_and(|it| relaxed(it) == self.0)
    }
}

/// A double, which is a number in relaxed JSON unless that has none such, as that.
fn relaxed(value: Value) -> Value {
    let double = value.get("$numberDouble").and_then(Value::as_str).and_then(|digits| digits.parse::<f64>().ok());
    double.and_then(serde_json::Number::from_f64).map_or(value, Value::Number)
}

impl IdText {
    /// Reads what was written: JSON, an object id by its digits, a number, or else a string. `None` for what begins as JSON and
    /// is none.
    pub fn read(text: &[u8]) -> Option<IdText> {
        if matches!(text.first(), Some(b'{' | b'"')) {
            return serde_json::from_slice(text).ok().map(IdText::of_json);
        }
        let word = std::str::from_utf8(text).unwrap_or_default();
        let id = object_id(word);
        let number = word.parse::<i64>().ok().map(|number| number.to_string().into_bytes());
        let keys = id.into_iter().chain(number).chain([text_id(text)]).collect();
        // `7.5`, `true`, `null`.
        let other = serde_json::from_str(word).ok().filter(|value| key_of_value(value).is_none());
        Some(IdText { keys, json: other.map(WantedJson) })
    }

    fn of_json(value: Value) -> IdText {
        match key_of_value(&value) {
            Some(key) => IdText { keys: vec![key], json: None },
            None => IdText { keys: Vec::new(), json: Some(WantedJson(relaxed(value))) },
        }
    }
}

/// What CSV may have for an `_id` that people write so: just that, or the object id of these digits.
pub fn csv_ids(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let is_object_id = std::str::from_utf8(text).ok().and_then(object_id).is_some();
    let id = is_object_id.then(|| [b"ObjectId(", &*text.to_ascii_lowercase(), b")"].concat());
    std::iter::once(text.to_vec()).chain(id)
}

/// The key of a value of Extended JSON: of a string, an object id, or a whole number of whichever type.
pub(super) fn key_of_value(value: &Value) -> Option<Vec<u8>> {
    let field = |name: &str| value.get(name).and_then(Value::as_str);
    let of_whole = |number: i64| number.to_string().into_bytes();
    let of_double = |number: f64| whole_number(number).map(String::into_bytes);
    if let Value::String(text) = value {
        return Some(text_id(text.as_bytes()));
    }
    if let Value::Number(number) = value {
        return number.as_i64().map(of_whole).or_else(|| of_double(number.as_f64()?));
    }
    let whole = field("$numberInt").or(field("$numberLong")).and_then(|digits| digits.parse().ok());
    let double = || field("$numberDouble").and_then(|digits| digits.parse().ok());
    field("$oid").and_then(object_id).or_else(|| whole.map(of_whole)).or_else(|| of_double(double()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Vec<u8>> {
        IdText::read(text.as_bytes()).unwrap().keys
    }

    #[test]
    fn ids_in_csv_are_text() {
        assert!(csv_ids(b"a,b").eq([b"a,b".to_vec()]));
        let id = [&b"507F1f77bcf86cd799439011"[..], b"ObjectId(507f1f77bcf86cd799439011)"];
        assert!(csv_ids(id[0]).eq(id.map(<[u8]>::to_vec)));
        assert!(csv_ids(id[1]).eq([id[1].to_vec()]));
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
        let json = |text: &[u8]| IdText::read(text).unwrap().json.unwrap();
        for (text, same) in [
            ("7.5", r#"{"$numberDouble":"7.5"}"#),
            (r#"{"$numberDouble":"7.5"}"#, "7.50"),
            ("true", "true"),
            ("null", "null"),
        ] {
            assert!(json(text.as_bytes()).is(same.as_bytes()) && !json(text.as_bytes()).is(b"false"), "{text}");
            assert_eq!(keys(text).len(), usize::from(!text.starts_with('{')));
        }
        assert!(IdText::read(b"42").unwrap().json.is_none() && IdText::read(b"a.5").unwrap().json.is_none());
        let json = json(br#"{ "a" : {"$numberInt":"1"} }"#);
        assert!(json.is(br#"{"a":{"$numberInt":"1"}}"#) && !json.is(br#"{"a":{"$numberInt":"2"}}"#) && !json.is(b"{"));
        assert_eq!(keys(r#"{"$numberDouble": "7.0"}"#), [b"7".to_vec()]);
        assert!(IdText::read(b"{").is_none());
    }
}
