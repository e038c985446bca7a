//! Bson: what stands at the top of a document. What is nested in it is passed over.

/// A field at the top of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'d> {
    pub name: &'d [u8],
    pub value: Value<'d>,
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
pub struct Fields<'d> {
    rest: &'d [u8],
}

impl<'d> Fields<'d> {
    pub fn new(document: &'d [u8]) -> Fields<'d> {
        Fields { rest: document.get(4..).unwrap_or_default() }
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
        let kind = self.take(1)?[0];
        if kind == 0 {
            return None;
        }
        let name = self.zero_ended()?;
        Some(Field { name, value: self.value(kind)? })
    }
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
            let second = Fields { rest: &document[4..] };
            let mut second = second;
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
}
