//! CsvRecords: finds the records in an export as CSV, and what is in one. All have as many fields. The first has their names, unless
//! that was left out; each other is a document.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::dump::mongo::export::{Edge, ExportEnd};
use crate::dump::mongo::{DocumentCounts, Fault};
use crate::dump::stops::{BLOCK_BYTES, stops_from};

/// What the next byte is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The beginning of a record, or nothing more.
    Between,
    Record,
    /// What is quoted in a record. A doubled quote ends one quotation and begins the next, which is the same.
    Quoted,
}

/// Reads an export as CSV.
pub struct CsvRecords {
    /// Where the next byte stands.
    at: u64,
    place: Place,
    /// The record of names has not ended.
    expects_names: bool,
    /// Where the present record begins, or the next one.
    start: u64,
    counts: DocumentCounts,
    /// Fields of the first record, once it has ended, and of the present one.
    fields_of_first: Option<u64>,
    fields: u64,
    fault: Option<Fault>,
}

impl CsvRecords {
    pub fn new(has_names: bool) -> CsvRecords {
        CsvRecords {
            at: 0,
            place: Place::Between,
            expects_names: has_names,
            start: 0,
            counts: DocumentCounts { names: Some(0), ..DocumentCounts::default() },
            fields_of_first: None,
            fields: 1,
            fault: None,
        }
    }

    /// Whether the present place is in no record.
    pub fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// Whether the record of names has not ended.
    pub fn expects_names(&self) -> bool {
        self.expects_names
    }

    /// Whether a record was met that is not as the others, behind which nothing is told.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Takes the next piece, of any length, and tells where documents begin and end.
    pub fn push(&mut self, piece: &[u8], tell: &mut impl FnMut(Edge)) {
        let mut at = 0;
        while at < piece.len() && self.fault.is_none() {
            if self.place == Place::Quoted {
                let end = memchr(b'"', &piece[at..]);
                self.place = if end.is_some() { Place::Record } else { Place::Quoted };
                at = end.map_or(piece.len(), |length| at + length + 1);
            } else {
                at = self.block(piece, at, tell);
            }
        }
        self.at += piece.len() as u64;
    }

    fn begin(&mut self, at: u64, tell: &mut impl FnMut(Edge)) {
        if !self.expects_names {
            tell(Edge::Begin(at));
            self.counts.documents += 1;
        }
        (self.place, self.fields, self.start) = (Place::Record, 1, at);
    }

    /// Goes on outside of quotes: over many bytes, or up to where some begin.
    fn block(&mut self, piece: &[u8], from: usize, tell: &mut impl FnMut(Edge)) -> usize {
        let end = piece.len().min(from + BLOCK_BYTES);
        let mut stops = stops_from(piece, from, |byte| (byte == b',') | (byte == b'"') | (byte == b'\n'));
        if self.place == Place::Between {
            self.begin(self.at + from as u64, tell);
        }
        while stops != 0 {
            let at = from + stops.trailing_zeros() as usize;
            stops &= stops - 1;
            match piece[at] {
                b',' => self.fields += 1,
                b'"' => {
                    self.place = Place::Quoted;
                    return at + 1;
                }
                _ => {
                    self.end(self.at + at as u64, tell);
                    if self.fault.is_some() {
                        return at + 1;
                    }
                    if at + 1 < end {
                        self.begin(self.at + at as u64 + 1, tell);
                    }
                }
            }
        }
        end
    }

    /// A record ends with the line break there.
    fn end(&mut self, at: u64, tell: &mut impl FnMut(Edge)) {
        self.place = Place::Between;
        let bytes = at + 1 - self.start;
        self.counts.longest = self.counts.longest.max(bytes);
        let expected = *self.fields_of_first.get_or_insert(self.fields);
        if self.fields != expected {
            let what = format!("a record has another number of fields ({}) than the first ({expected})", self.fields);
            self.fault = Some(Fault::new(at, what));
        } else if std::mem::take(&mut self.expects_names) {
            self.counts.names = Some(bytes);
            tell(Edge::EndOfNames(at));
        } else {
            tell(Edge::End(at));
        }
    }

    pub fn finish(self) -> ExportEnd {
        let cut = match self.place {
            Place::Between => None,
            Place::Record => Some("its last line has no end"),
            Place::Quoted => Some("it ends within quotes"),
        };
        let fault = self.fault.or_else(|| cut.map(|what| Fault::new(self.at, what)));
        ExportEnd { counts: self.counts, is_marked: false, fault }
    }
}

/// Where the fields of a record stand, without its line break.
pub fn csv_fields(record: &[u8], fields: &mut Vec<Range<usize>>) {
    fields.clear();
    let (mut start, mut at, mut is_quoted) = (0, 0, false);
    while let Some(length) = memchr2(b',', b'"', &record[at..]) {
        at += length;
        match record[at] {
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            _ => {
                fields.push(start..at);
                start = at + 1;
            }
        }
        at += 1;
    }
    fields.push(start..record.len());
}

/// What a field says: without its quotes, and with one for each two in them. What is quoted otherwise stands as it is.
pub fn csv_text(field: &[u8]) -> Cow<'_, [u8]> {
    let Some(quoted) = field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Cow::Borrowed(field);
    };
    let Some(first) = memchr(b'"', quoted) else { return Cow::Borrowed(quoted) };
    let (mut text, mut rest) = (quoted[..first].to_vec(), &quoted[first..]);
    while let Some(at) = memchr(b'"', rest) {
        let behind = at + 1 + usize::from(rest.get(at + 1) == Some(&b'"'));
        text.extend_from_slice(&rest[..=at]);
        rest = &rest[behind..];
    }
    text.extend_from_slice(rest);
    Cow::Owned(text)
}

/// What all fields of a record say.
pub fn csv_names(record: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    csv_fields(record, &mut fields);
    fields.into_iter().map(|field| csv_text(&record[field]).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "_id,name,tags\n1,\"a\n\"\"b\"\",\",[]\n2,c,\"[\"\"x\"\",\"\"y\"\"]\"\n3,,\n";

    fn read(bytes: &[u8], piece: usize) -> (Vec<u64>, ExportEnd) {
        let (mut records, mut begins) = (CsvRecords::new(true), Vec::new());
        bytes.chunks(piece).for_each(|piece| records.push(piece, &mut |edge| begins.extend(begin(edge))));
        (begins, records.finish())
    }

    fn begin(edge: Edge) -> Option<u64> {
        if let Edge::Begin(at) = edge { Some(at) } else { None }
    }

    fn whole(documents: u64, longest: u64, names: u64) -> ExportEnd {
        let counts = DocumentCounts { documents, longest, names: Some(names) };
        ExportEnd { counts, is_marked: false, fault: None }
    }

    #[test]
    fn records_are_found_however_they_come() {
        let expected = ["1,", "2,", "3,"].map(|record| USERS.find(&format!("\n{record}")).unwrap() as u64 + 1);
        for piece in [1, 2, 3, 5, 1 << 20] {
            let (begins, end) = read(USERS.as_bytes(), piece);
            assert_eq!((&begins[..], end), (&expected[..], whole(3, 20, 14)));
        }
        assert_eq!(read(b"_id\n", 1).1, whole(0, 4, 4));
        let (mut without_names, mut begins) = (CsvRecords::new(false), Vec::new());
        without_names.push(b"1,2\n3,4\n", &mut |edge| begins.extend(begin(edge)));
        assert_eq!((begins, without_names.finish()), (vec![0, 4], whole(2, 4, 0)));
        assert_eq!(read(b"", 1).1, whole(0, 0, 0));
    }

    #[test]
    fn what_is_cut_off_shows_but_at_the_end_of_a_line() {
        for cut in 1..USERS.len() {
            let whole = read(&USERS.as_bytes()[..cut], 7).1.fault.is_none();
            let line = USERS[..cut].ends_with('\n') && USERS[..cut].matches('"').count().is_multiple_of(2);
            assert_eq!(whole, line, "cut at {cut}");
        }
    }

    #[test]
    fn records_of_other_lengths_are_told() {
        let fault = read(b"a,b\n1,2\n3\n4,5\n", 4).1.fault.unwrap();
        assert_eq!(
            (fault.at, fault.what.as_str()),
            (9, "a record has another number of fields (1) than the first (2)")
        );
    }

    #[test]
    fn fields_say_what_was_quoted() {
        let says = |record: &str| -> Vec<String> {
            csv_names(record.as_bytes()).into_iter().map(|it| String::from_utf8(it).unwrap()).collect()
        };
        assert_eq!(says("a,,c"), ["a", "", "c"]);
        assert_eq!(says(""), [""]);
        assert_eq!(says(r#""a,""b"",",c,"""#), ["a,\"b\",", "c", ""]);
        assert_eq!(says("\"\",\"\"\"\",\"a\nb\""), ["", "\"", "a\nb"]);
        // No program writes such.
        assert_eq!(says(r#"a"b,c"d,"a"b"#), [r#"a"b,c"d"#, r#""a"b"#]);
        assert_eq!(says(r#""a"b"c""#), [r#"a"b"c"#]);
    }
}
