//! Bson: what stands at the top of a document. What is nested in it is passed over.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// A field at the top of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'d> {
    pub name: &'d [u8],
    pub value: Value<'d>,
    /// The byte that says of which type it is.
    pub kind: u8,
    /// The value as it stands in the document.
    pub raw: &'d [u8],
    /// The same with type and name in front.
    pub element: &'d [u8],
}

/// Its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'d> {
    Text(&'d [u8]),
    Bool(bool),
    Int(i64),
    Timestamp { seconds: u32, ordinal: u32 },
    Other,
}

/// The field of this name. `None` also where the document is not well-formed up to it.
pub fn field<'d>(document: &'d [u8], name: &str) -> Option<Value<'d>> {
    let found = Fields::new(document).find(|field| field.name == name.as_bytes());
    found.map(|field| field.value)
}

/// The text of a field.
pub fn text<'d>(document: &'d [u8], name: &str) -> Option<&'d [u8]> {
    match field(document, name)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The fields at the top of a document, in order, as far as it is well-formed.
#[derive(Clone)]
pub struct Fields<'d> {
    rest: &'d [u8],
    /// The zero was met that ends a document.
    has_ended: bool,
}

impl<'d> Fields<'d> {
    pub fn new(document: &'d [u8]) -> Fields<'d> {
        Fields { rest: document.get(4..).unwrap_or_default(), has_ended: false }
    }

    /// Whether all fields were given, and the document ended there.
    pub fn are_all(&self) -> bool {
        self.has_ended && self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'d [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn zero_ended(&mut self) -> Option<&'d [u8]> {
        let length = memchr::memchr(0, self.rest)?;
        self.take(length + 1).map(|name| &name[..length])
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(i32::from_le_bytes(*self.take(4)?.first_chunk()?)).ok()
    }

    fn text(&mut self) -> Option<&'d [u8]> {
        let length = self.length()?;
        self.take(length)?.strip_suffix(b"\0")
    }

    /// What is as long as it says, its own length included.
    fn nested(&mut self) -> Option<&'d [u8]> {
        let length = self.length()?;
        self.take(length.checked_sub(4)?)
    }

    fn value(&mut self, kind: u8) -> Option<Value<'d>> {
        let of_length = |fields: &mut Self, count| fields.take(count).map(|_| Value::Other);
        match kind {
            // Null, undefined, the smallest and the largest key.
            0x06 | 0x0a | 0x7f | 0xff => Some(Value::Other),
            0x08 => Some(Value::Bool(self.take(1)? != [0])),
            0x10 => Some(Value::Int(i32::from_le_bytes(*self.take(4)?.first_chunk()?).into())),
            0x12 => Some(Value::Int(i64::from_le_bytes(*self.take(8)?.first_chunk()?))),
            0x11 => {
                let ordinal = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
                Some(Value::Timestamp { seconds: u32::from_le_bytes(*self.take(4)?.first_chunk()?), ordinal })
            }
            // A double, a date.
            0x01 | 0x09 => of_length(self, 8),
            // An object id.
            0x07 => of_length(self, 12),
            // A decimal.
            0x13 => of_length(self, 16),
            0x02 => self.text().map(Value::Text),
            // Code, a symbol.
            0x0d | 0x0e => self.text().map(|_| Value::Other),
            // A document, an array, code with its scope.
            0x03 | 0x04 | 0x0f => self.nested().map(|_| Value::Other),
            // Binary data, with its sort.
            0x05 => {
                let length = self.length()?;
                of_length(self, length.checked_add(1)?)
            }
            // A regular expression, and its options.
            0x0b => self.zero_ended().and(self.zero_ended()).map(|_| Value::Other),
            // A collection and an object id.
            0x0c => {
                self.text()?;
                of_length(self, 12)
            }
            _ => None,
        }
    }
}

impl<'d> Iterator for Fields<'d> {
    type Item = Field<'d>;

    fn next(&mut self) -> Option<Field<'d>> {
        let element = self.rest;
        let kind = self.take(1)?[0];
        if kind == 0 {
            self.has_ended = true;
            return None;
        }
        let name = self.zero_ended()?;
        let before = self.rest;
        let value = self.value(kind)?;
        let raw = &before[..before.len() - self.rest.len()];
        let element = &element[..element.len() - self.rest.len()];
        Some(Field { name, value, kind, raw, element })
    }
}

/// The field that tells a document from all others of its collection.
const ID: &[u8] = b"_id";

/// Where the element stands that tells a document from all others: its type, name and value. It need not be the first.
pub fn id_element(document: &[u8]) -> Option<Range<usize>> {
    let mut fields = Fields::new(document);
    loop {
        let start = document.len() - fields.rest.len();
        let field = fields.next()?;
        if field.name == ID {
            return Some(start..start + field.element.len());
        }
    }
}

/// What such an element means: whole numbers are the same in whichever type they are, all else is what it is.
pub fn key_of_element(element: &[u8]) -> Vec<u8> {
    let document = [&[0; 4], element, &[0]].concat();
    let field = Fields::new(&document).next().filter(|field| field.element.len() == element.len());
    let Some(field) = field else { return element.to_vec() };
    let whole = match (field.value, field.kind) {
        (Value::Int(number), _) => Some(number.to_string()),
        (_, 0x01) => field.raw.first_chunk().map(|bytes| f64::from_le_bytes(*bytes)).and_then(whole_number),
        _ => None,
    };
    whole.map_or_else(|| [&[field.kind], field.raw].concat(), String::into_bytes)
}

/// The digits of a number that has none behind the point, and is exact.
pub(super) fn whole_number(number: f64) -> Option<String> {
    const EXACT_MAX: f64 = (1u64 << 53) as f64;
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then(|| (number as i64).to_string())
}

/// The names of the fields at the top that two documents do not both have with the same value: those of the second in their
/// order, then those that only the first has. A document may have a name several times.
pub fn changed_fields(a: &[u8], b: &[u8]) -> Vec<Vec<u8>> {
    let of = |document| {
        let mut values: HashMap<&[u8], Vec<(u8, &[u8])>> = HashMap::new();
        Fields::new(document).for_each(|field| values.entry(field.name).or_default().push((field.kind, field.raw)));
        values
    };
    let (before, after, mut told) = (of(a), of(b), HashSet::new());
    let names = Fields::new(b).chain(Fields::new(a)).map(|field| field.name);
    names.filter(|name| told.insert(*name) && before.get(name) != after.get(name)).map(<[u8]>::to_vec).collect()
}

/// The key of an object id that is given by its digits.
pub fn object_id(digits: &str) -> Option<Vec<u8>> {
    let is_id = digits.len() == 24 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = is_id.then(|| (0..24).step_by(2).map(byte).collect()).flatten();
    bytes.map(|bytes| [&[0x07], &bytes[..]].concat())
}

/// The key of a string.
pub fn text_id(text: &[u8]) -> Vec<u8> {
    let length = (text.len() as u32 + 1).to_le_bytes();
    [&[0x02], &length[..], text, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every type, made by a real server.
    const TYPES: &[u8] = include_bytes!("../../../tests/fixtures/mongo/directory/shop/types.bson");

    #[test]
    fn every_type_is_passed() {
        let (mut rest, mut kinds, mut documents) = (TYPES, std::collections::BTreeSet::new(), 0);
        while let Some(length) = rest.first_chunk().map(|length| i32::from_le_bytes(*length) as usize) {
            let (document, behind) = rest.split_at(length);
            let mut fields = Fields::new(document);
            let names: Vec<&[u8]> = fields.by_ref().map(|field| field.name).collect();
            assert!(names.contains(&b"_id".as_slice()) && names.len() == 2, "{document:?}");
            assert!(fields.rest.is_empty(), "not to its end: {document:?}");
            let value = document.windows(3).position(|window| window == b"\0v\0").map(|at| document[at]);
            kinds.extend(value);
            let first = document[4..].split(|&byte| byte == 0).next().unwrap();
            kinds.insert(first[0]);
            let mut second = Fields::new(document);
            second.next();
            kinds.insert(second.rest[0]);
            (rest, documents) = (behind, documents + 1);
        }
        assert_eq!(documents, 45);
        let usual = [1, 2, 3, 4, 5, 7, 8, 9, 0x0a, 0x0b, 0x0d, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x7f, 0xff];
        assert!(usual.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    }

    #[test]
    fn what_a_server_no_longer_makes_is_passed_too() {
        // Undefined, a pointer into a collection, a symbol, and a number behind them.
        let document = b"\x36\0\0\0\x06u\0\x0cp\0\x03\0\0\0ab\x00123456789012\x0es\0\x03\0\0\0xy\0\x10n\0\x07\0\0\0\0";
        assert_eq!(field(document, "n"), Some(Value::Int(7)));
        assert_eq!(field(document, "missing"), None);
    }

    #[test]
    fn what_is_not_well_formed_ends_the_fields() {
        let negative = b"\x20\0\0\0\x02a\0\xff\xff\xff\xffabc\0\x10n\0\x07\0\0\0\0";
        let unknown = b"\x20\0\0\0\x20a\0\x10n\0\x07\0\0\0\0";
        let beyond = b"\x20\0\0\0\x05a\0\xff\xff\xff\x7f\0";
        for document in [&negative[..], unknown, beyond, b"", b"\x05\0\0\0", b"\x05\0\0\0\x10", b"\x05\0\0\0\x10n"] {
            assert_eq!(field(document, "n"), None, "{document:?}");
        }
        assert_eq!(field(b"\x0c\0\0\0\x10n\0\x07\0\0\0\0", "n"), Some(Value::Int(7)));
        assert_eq!(text(b"\x0f\0\0\0\x02t\0\x03\0\0\0ab\0\0", "t"), Some(&b"ab"[..]));
        assert_eq!(text(b"\x0c\0\0\0\x10t\0\x07\0\0\0\0", "t"), None);
    }

    #[test]
    fn documents_are_told_apart_by_their_ids() {
        let int = b"\x10_id\0\x07\0\0\0";
        let document = [&b"\x1f\0\0\0\x02a\0\x02\0\0\0x\0"[..], int, b"\0"].concat();
        assert_eq!(&document[id_element(&document).unwrap()], int);
        assert_eq!(id_element(b"\x0c\0\0\0\x10n\0\x07\0\0\0\0"), None);
        let long = b"\x12_id\0\x07\0\0\0\0\0\0\0";
        let double = [&b"\x01_id\0"[..], &7f64.to_le_bytes()].concat();
        let half = [&b"\x01_id\0"[..], &7.5f64.to_le_bytes()].concat();
        for element in [&int[..], long, &double] {
            assert_eq!(key_of_element(element), b"7");
        }
        assert_ne!(key_of_element(&half), b"7");
        let text = b"\x02_id\0\x02\0\0\x007\0";
        assert_eq!(key_of_element(text), text_id(b"7"));
        let id = b"\x07_id\0Pz\x1fw\xbc\xf8l\xd7\x99C\x90\x11";
        assert_eq!(Some(key_of_element(id)), object_id("507a1f77bcf86cd799439011"));
        assert_eq!((object_id("507a1f77bcf86cd79943901"), object_id("507a1f77bcf86cd79943901x")), (None, None));
        let other = [&b"\x1f\0\0\0\x02b\0\x02\0\0\0x\0"[..], int, b"\0"].concat();
        assert_eq!(changed_fields(&document, &other), [b"b", b"a"]);
        assert!(changed_fields(&document, &document).is_empty());
        // What one of two of the same name says.
        let twice = [&b"\x1f\0\0\0"[..], b"\x10_id\0\x08\0\0\0", int, b"\0"].concat();
        let once = [&b"\x0c\0\0\0"[..], int, b"\0"].concat();
        assert_eq!(
            (changed_fields(&once, &twice), changed_fields(&twice, &once)),
            (vec![ID.to_vec()], vec![ID.to_vec()])
        );
        assert!(changed_fields(&twice, &twice).is_empty());
    }
}
