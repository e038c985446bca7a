//! CsvRecords: finds the records in an export as CSV. All have as many fields. The first has their names, unless that was left out;
//! each other is a document.

use memchr::{memchr, memchr3};

use crate::dump::mongo::export::ExportEnd;
use crate::dump::mongo::{DocumentCounts, Fault};

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
    /// The record of names has not begun.
    expects_names: bool,
    documents: u64,
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
            documents: 0,
            fields_of_first: None,
            fields: 1,
            fault: None,
        }
    }

    pub fn push(&mut self, piece: &[u8], begins: &mut impl FnMut(u64)) {
        let mut at = 0;
        while at < piece.len() && self.fault.is_none() {
            match self.place {
                Place::Between => self.begin(self.at + at as u64, begins),
                Place::Record => at = self.record(piece, at),
                Place::Quoted => {
                    let end = memchr(b'"', &piece[at..]);
                    self.place = if end.is_some() { Place::Record } else { Place::Quoted };
                    at = end.map_or(piece.len(), |length| at + length + 1);
                }
            }
        }
        self.at += piece.len() as u64;
    }

    fn begin(&mut self, at: u64, begins: &mut impl FnMut(u64)) {
        if !std::mem::take(&mut self.expects_names) {
            begins(at);
            self.documents += 1;
        }
        (self.place, self.fields) = (Place::Record, 1);
    }

    /// Goes on in a record, outside of quotes.
    fn record(&mut self, piece: &[u8], at: usize) -> usize {
        let Some(length) = memchr3(b',', b'"', b'\n', &piece[at..]) else { return piece.len() };
        let at = at + length;
        match piece[at] {
            b',' => self.fields += 1,
            b'"' => self.place = Place::Quoted,
            _ => {
                self.place = Place::Between;
                let expected = *self.fields_of_first.get_or_insert(self.fields);
                if self.fields != expected {
                    let what =
                        format!("a record has another number of fields ({}) than the first ({expected})", self.fields);
                    self.fault = Some(Fault::new(self.at + at as u64, what));
                }
            }
        }
        at + 1
    }

    pub fn finish(self) -> ExportEnd {
        let cut = match self.place {
            Place::Between => None,
            Place::Record => Some("its last line has no end"),
            Place::Quoted => Some("it ends within quotes"),
        };
        let fault = self.fault.or_else(|| cut.map(|what| Fault::new(self.at, what)));
        ExportEnd { counts: DocumentCounts { documents: self.documents, longest: 0 }, is_marked: false, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "_id,name,tags\n1,\"a\n\"\"b\"\",\",[]\n2,c,\"[\"\"x\"\",\"\"y\"\"]\"\n3,,\n";

    fn read(bytes: &[u8], piece: usize) -> (Vec<u64>, ExportEnd) {
        let (mut records, mut begins) = (CsvRecords::new(true), Vec::new());
        bytes.chunks(piece).for_each(|piece| records.push(piece, &mut |at| begins.push(at)));
        (begins, records.finish())
    }

    fn whole(documents: u64) -> ExportEnd {
        ExportEnd { counts: DocumentCounts { documents, longest: 0 }, is_marked: false, fault: None }
    }

    #[test]
    fn records_are_found_however_they_come() {
        let expected = ["1,", "2,", "3,"].map(|record| USERS.find(&format!("\n{record}")).unwrap() as u64 + 1);
        for piece in [1, 2, 3, 5, 1 << 20] {
            let (begins, end) = read(USERS.as_bytes(), piece);
            assert_eq!((&begins[..], end), (&expected[..], whole(3)));
        }
        assert_eq!(read(b"_id\n", 1).1, whole(0));
        let (mut without_names, mut begins) = (CsvRecords::new(false), Vec::new());
        without_names.push(b"1,2\n3,4\n", &mut |at| begins.push(at));
        assert_eq!((begins, without_names.finish()), (vec![0, 4], whole(2)));
        assert_eq!(read(b"", 1).1, whole(0));
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
}
