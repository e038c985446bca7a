//! JsonDocuments: finds the documents in an export as JSON. It knows strings, objects and arrays, and what may stand between
//! documents; what a document says does not matter. A document may have any length.

use memchr::memchr3;

use crate::dump::mongo::export::{Edge, ExportEnd};
use crate::dump::mongo::{DocumentCounts, Fault};

/// Objects and arrays within one another. A server allows 180, and an export adds up to two around a value.
const DEPTH_MAX: usize = 256;

/// Most strings are shorter: they are looked through byte by byte.
const SHORT_BYTES: usize = 16;

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing has come but white space.
    Start,
    /// The next line, or in an array a comma or its end.
    BehindDocument,
    /// A document, or nothing more: at the beginning of a line, or behind the bracket of an array.
    MayBegin,
    /// In an array, behind a comma: a document.
    MustBegin,
    /// A document, but no string in it.
    Inside,
    Text,
    /// A string, behind a backslash.
    Escaped,
    /// Nothing, behind an array.
    Ended,
}

/// Reads an export as JSON.
pub struct JsonDocuments {
    /// Where the next byte stands.
    at: u64,
    place: Place,
    is_array: bool,
    /// Whatever may stand between documents in any form of export may stand between any two.
    is_lenient: bool,
    /// What closes the objects and arrays that are open.
    open: Vec<u8>,
    documents: u64,
    /// Where the last one begins.
    last: u64,
    /// Bytes of the longest, up to the next one.
    longest: u64,
    fault: Option<Fault>,
}

impl Default for JsonDocuments {
    fn default() -> JsonDocuments {
        let open = Vec::with_capacity(DEPTH_MAX);
        JsonDocuments {
            at: 0,
            place: Place::Start,
            is_array: false,
            is_lenient: false,
            open,
            documents: 0,
            last: 0,
            longest: 0,
            fault: None,
        }
    }
}

impl JsonDocuments {
    /// One that may begin between any two documents of an export that was judged before.
    pub fn within() -> JsonDocuments {
        JsonDocuments { is_lenient: true, ..JsonDocuments::default() }
    }

    /// Whether the present place is in no document.
    pub fn is_between(&self) -> bool {
        !matches!(self.place, Place::Inside | Place::Text | Place::Escaped)
    }

    /// Whether something was met that is no document, behind which nothing is told.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Takes the next piece, of any length, and tells where documents begin and end.
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(Edge)) {
        let mut at = 0;
        while at < piece.len() && self.fault.is_none() {
            match self.place {
                Place::Inside => at = self.inside(piece, at, tell),
                Place::Text => at = self.text(piece, at),
                Place::Escaped => {
                    self.place = Place::Text;
                    at += 1;
                }
                _ => {
                    self.between(piece[at], self.at + at as u64, tell);
                    at += 1;
                }
            }
        }
        self.at += piece.len() as u64;
    }

    /// A byte that is in no document.
    fn between(&mut self, byte: u8, at: u64, tell: &mut impl FnMut(Edge)) {
        let is_line = byte == b'\n' && !self.is_array;
        self.place = match (self.place, byte) {
            (Place::BehindDocument, _) if is_line => Place::MayBegin,
            (place, b' ' | b'\t' | b'\r' | b'\n') => place,
            (place, b',' | b'[' | b']') if self.is_lenient => place,
            (Place::Start, b'[') => {
                self.is_array = true;
                Place::MayBegin
            }
            (Place::Start | Place::MayBegin | Place::MustBegin, b'{') => {
                tell(Edge::Begin(at));
                self.end_last(at);
                self.last = at;
                self.documents += 1;
                self.open.push(b'}');
                Place::Inside
            }
            (Place::BehindDocument, b',') if self.is_array => Place::MustBegin,
            (Place::BehindDocument | Place::MayBegin, b']') if self.is_array => Place::Ended,
            (place, _) => {
                self.fault = Some(Fault::new(at, self.unexpected(place)));
                place
            }
        };
    }

    /// The last document ends before this place.
    fn end_last(&mut self, at: u64) {
        if self.documents > 0 {
            self.longest = self.longest.max(at - self.last);
        }
    }

    fn unexpected(&self, place: Place) -> &'static str {
        match place {
            Place::Ended => "something follows the end of the array",
            Place::BehindDocument if self.is_array => {
                "what follows a document is neither a comma nor the end of the array"
            }
            Place::BehindDocument => "a document does not end with its line",
            _ => "what stands there is no JSON object",
        }
    }

    /// Goes through a document up to a string, or to its end.
    fn inside(&mut self, piece: &[u8], mut at: usize, tell: &mut impl FnMut(Edge)) -> usize {
        while let Some(&byte) = piece.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    at = self.text(piece, at);
                    if self.place != Place::Inside {
                        return at;
                    }
                }
                b'{' | b'[' if self.open.len() == DEPTH_MAX => {
                    self.fail(at, format!("more than {DEPTH_MAX} objects and arrays are within one another"));
                    return at;
                }
                b'{' => self.open.push(b'}'),
                b'[' => self.open.push(b']'),
                b'}' | b']' => {
                    if self.open.pop() != Some(byte) {
                        self.fail(at, "a bracket closes another one than was opened");
                    } else if self.open.is_empty() {
                        self.place = if self.is_lenient { Place::Start } else { Place::BehindDocument };
                        tell(Edge::End(self.at + at as u64));
                    } else {
                        continue;
                    }
                    return at;
                }
                _ => {}
            }
        }
        at
    }

    /// Goes on in a string: where it ends, or the piece.
    fn text(&mut self, piece: &[u8], mut at: usize) -> usize {
        self.place = Place::Text;
        while let Some(next) = next_stop(piece, at) {
            at = next + 1;
            match piece[next] {
                b'"' => {
                    self.place = Place::Inside;
                    return at;
                }
                b'\\' if at == piece.len() => self.place = Place::Escaped,
                b'\\' => at += 1,
                _ => {
                    self.fail(at, "a line ends within a string");
                    return at;
                }
            }
        }
        piece.len()
    }

    /// The byte before this one is wrong.
    fn fail(&mut self, behind: usize, what: impl Into<String>) {
        self.fault.get_or_insert(Fault::new(self.at + behind as u64 - 1, what));
    }

    pub fn finish(mut self) -> ExportEnd {
        self.end_last(self.at);
        let cut = match self.place {
            Place::Start | Place::Ended => None,
            Place::MayBegin if !self.is_array => None,
            Place::BehindDocument if !self.is_array => Some("its last line has no end"),
            Place::BehindDocument | Place::MayBegin | Place::MustBegin => Some("its array has no end"),
            Place::Inside | Place::Text | Place::Escaped => Some("it ends within a document"),
        };
        let fault = self.fault.or_else(|| cut.map(|what| Fault::new(self.at, what)));
        let counts = DocumentCounts { documents: self.documents, longest: self.longest, names: None };
        ExportEnd { counts, is_marked: self.place == Place::Ended, fault }
    }
}

/// The first byte from `at` on that ends or escapes something in a string, or the end of a line.
#[inline]
fn next_stop(piece: &[u8], at: usize) -> Option<usize> {
    let rest = piece.get(at..)?;
    let is_stop = |&byte: &u8| matches!(byte, b'"' | b'\\' | b'\n');
    let short = &rest[..rest.len().min(SHORT_BYTES)];
    let found = short.iter().position(is_stop).or_else(|| {
        let long = &rest[short.len()..];
        memchr3(b'"', b'\\', b'\n', long).map(|length| short.len() + length)
    });
    found.map(|length| at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "{\"a\":\"}\\\"{[\\\\\"}\n{\"b\":[1,{\"c\":{}}],\"d\":\"\\\\\"}\n";

    fn read(bytes: &[u8], piece: usize) -> (Vec<u64>, ExportEnd) {
        let (mut documents, mut begins) = (JsonDocuments::default(), Vec::new());
        let mut ends = 0;
        let mut tell = |edge| match edge {
            Edge::Begin(at) => begins.push(at),
            Edge::End(at) => {
                assert_eq!(bytes[at as usize - 1], b'}');
                ends += 1;
            }
            Edge::EndOfNames(at) => panic!("names at {at}"),
        };
        bytes.chunks(piece).for_each(|piece| documents.push(piece, &mut tell));
        let end = documents.finish();
        assert!(end.fault.is_some() || ends == begins.len(), "{ends} ends");
        (begins, end)
    }

    /// Asserts where documents begin, however the bytes come.
    #[track_caller]
    fn assert_begins(text: &str, expected: &[u64], is_marked: bool) {
        for piece in [1, 2, 3, 5, 16, 17, 1 << 20] {
            let (begins, end) = read(text.as_bytes(), piece);
            let ends = expected.iter().skip(1).copied().chain([text.len() as u64]);
            let longest = expected.iter().zip(ends).map(|(begin, end)| end - begin).max().unwrap_or(0);
            let counts = DocumentCounts { documents: expected.len() as u64, longest, names: None };
            let expected_end = ExportEnd { counts, is_marked, fault: None };
            assert_eq!((&begins[..], end), (expected, expected_end), "{text:?} by {piece}");
        }
    }

    #[track_caller]
    fn assert_fault(text: &str, place: u64, what: &str) {
        for piece in [1, 2, 3, 5, 16, 17, 1 << 20] {
            let fault = read(text.as_bytes(), piece).1.fault.unwrap_or_else(|| panic!("{text:?} is whole"));
            assert!(fault.at == place && fault.what.contains(what), "{text:?} by {piece}: {fault}");
        }
    }

    #[test]
    fn documents_are_found_in_all_forms() {
        assert_begins(LINES, &[0, LINES.find('\n').unwrap() as u64 + 1], false);
        assert_begins("", &[], false);
        assert_begins("[]\n", &[], true);
        assert_begins("[{},{\"a\":[]}]\n", &[1, 4], true);
        assert_begins("[\n{\n\t\"a\": \"],\"\n},\n{\n\t\"b\": 1\n}\n]\n", &[2, 18], true);
        assert_begins(
            "{\n\t\"a\": {\n\t\t\"b\": \"long enough to be looked for at once: \\\"\"\n\t}\n}\n{\n}\r\n",
            &[0, 65],
            false,
        );
    }

    #[test]
    fn what_is_cut_off_shows_but_at_the_end_of_a_line() {
        for cut in 1..LINES.len() {
            let whole = LINES.as_bytes()[cut - 1] == b'\n';
            assert_eq!(read(&LINES.as_bytes()[..cut], 7).1.fault.is_none(), whole, "cut at {cut}");
        }
        let array = "[{\"a\":1},{\"b\":\"]\"}]\n";
        for cut in 1..array.len() - 1 {
            assert!(read(&array.as_bytes()[..cut], 7).1.fault.is_some(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_export_is_told() {
        assert_fault("{}\nconnected to: shop\n", 3, "no JSON object");
        assert_fault("[1]\n", 1, "no JSON object");
        assert_fault("[{}]\n{}\n", 5, "follows the end of the array");
        assert_fault("[{}\n{}]\n", 4, "neither a comma");
        assert_fault("[{},]\n", 4, "no JSON object");
        assert_fault("{}{}\n", 2, "does not end with its line");
        assert_fault("{\"a\":[}\n", 6, "closes another");
        assert_fault("{\"a\":\"x\n{\"a\":\"y\"}\n", 7, "ends within a string");
        assert_fault(&format!("{{\"a\":{}", "[".repeat(256)), 5 + 255, "more than 256");
        assert_fault("{}", 2, "last line has no end");
        assert_fault("{\"a\":\"\\", 7, "ends within a document");
    }
}
