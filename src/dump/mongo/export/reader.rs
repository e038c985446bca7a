//! ExportReader: takes an export, from the beginning of any of its documents on, and gives each.

use crate::dump::mongo::export::{Edge, Export, ExportForm};
use crate::dump::mongo::{DOCUMENT_MAX_BYTES, Fault};

/// Longest text of a document: a number of eight bytes may take eight times as many.
const TEXT_MAX_BYTES: usize = 8 * DOCUMENT_MAX_BYTES;

/// What an export has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportEvent<'a> {
    /// The record of names of one as CSV.
    Names(&'a [u8]),
    /// A document, and where it begins; of CSV, a record without its line break.
    Document { start: u64, text: &'a [u8] },
}

/// Gives documents.
pub struct ExportReader {
    export: Export,
    /// What came of the present document.
    text: Vec<u8>,
    /// Where the next byte stands.
    at: u64,
    edges: Vec<Edge>,
}

impl ExportReader {
    /// One that begins between documents; of CSV with names, at the beginning.
    pub fn new(form: ExportForm) -> ExportReader {
        ExportReader { export: Export::within(form), text: Vec::new(), at: 0, edges: Vec::new() }
    }

    /// Takes the next piece. False where what follows cannot be a document.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(ExportEvent) -> Result<(), E>) -> Result<bool, E> {
        let mut edges = std::mem::take(&mut self.edges);
        self.export.each_edge(piece, &mut |edge| edges.push(edge));
        let (base, mut taken) = (self.at, 0);
        for edge in edges.drain(..) {
            let (Edge::Begin(at) | Edge::End(at) | Edge::EndOfNames(at)) = edge;
            let piece_at = (at - base) as usize;
            if let Edge::Begin(_) = edge {
                taken = piece_at;
                continue;
            }
            let rest = &piece[taken..piece_at];
            let text = if self.text.is_empty() {
                rest
            } else {
                self.text.extend_from_slice(rest);
                &self.text
            };
            tell(event(edge, at - text.len() as u64, text))?;
            self.text.clear();
        }
        self.edges = edges;
        self.at += piece.len() as u64;
        if !self.export.is_between() {
            self.text.extend_from_slice(&piece[taken..]);
        }
        Ok(self.fault().is_none() && self.text.len() <= TEXT_MAX_BYTES)
    }

    /// What it stumbled over, by its place in what it was given.
    pub fn fault(&self) -> Option<&Fault> {
        self.export.fault()
    }

    /// Whether a document has ended here, and no other has begun.
    pub fn is_between(&self) -> bool {
        self.export.is_between()
    }

    /// Whether names come before the next document.
    pub fn expects_names(&self) -> bool {
        self.export.expects_names()
    }
}

/// What ends at such an edge.
fn event(edge: Edge, start: u64, text: &[u8]) -> ExportEvent<'_> {
    // A line of CSV may end with two bytes; JSON ends with a brace.
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match edge {
        Edge::EndOfNames(_) => ExportEvent::Names(text),
        Edge::Begin(_) | Edge::End(_) => ExportEvent::Document { start, text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &[u8] = include_bytes!("../../../../tests/fixtures/mongo/export/orders.json");

    /// The documents from a place on, and whether there is nothing else.
    fn read_as(form: ExportForm, bytes: &[u8], from: usize, piece: usize) -> (Vec<String>, bool, bool) {
        let (mut reader, mut found, mut are_documents) = (ExportReader::new(form), Vec::new(), true);
        let mut tell = |event: ExportEvent| {
            let text = match event {
                ExportEvent::Names(text) => text,
                ExportEvent::Document { start, text } => {
                    assert_eq!(&bytes[from + start as usize..][..text.len()], text);
                    text
                }
            };
            found.push(String::from_utf8(text.to_vec()).unwrap());
            Ok::<(), ()>(())
        };
        for piece in bytes[from..].chunks(piece) {
            are_documents &= reader.push(piece, &mut tell).unwrap();
        }
        (found, are_documents, reader.is_between())
    }

    fn read(bytes: &[u8], from: usize, piece: usize) -> (Vec<String>, bool, bool) {
        read_as(ExportForm::Json, bytes, from, piece)
    }

    #[test]
    fn records_are_given_however_they_come() {
        let records = ["_id,name", "1,\"a\n\"\"b\"\",\r\n\"", "2,", ""];
        let unix = format!("{}\n{}\n{}\n", records[0], records[1], records[2]);
        let dos = format!("{}\r\n{}\r\n{}\r\n", records[0], records[1], records[2]);
        let [with_names, without] = [true, false].map(|has_names| ExportForm::Csv { has_names });
        for piece in [1, 2, 3, 5, 7, usize::MAX] {
            for text in [&unix, &dos] {
                assert_eq!(read_as(with_names, text.as_bytes(), 0, piece).0, records[..3], "{piece}");
                let second = text.find('1').unwrap();
                assert_eq!(read_as(without, text.as_bytes(), second, piece).0, records[1..3], "{piece}");
            }
            // A blank line is a record of one empty field.
            assert_eq!(
                read_as(with_names, b"a\n\n\"\"\n", 0, piece),
                (vec!["a".into(), "".into(), "\"\"".into()], true, true)
            );
        }
        assert!(!read_as(with_names, b"a,b\n1\n", 0, 3).1);
    }

    #[test]
    fn documents_are_given_however_they_come() {
        let lines: Vec<String> = String::from_utf8_lossy(ORDERS).lines().map(str::to_string).collect();
        let array = format!("[{}]\n", lines.join(",\n"));
        for piece in [1, 2, 3, 5, 7, 4096, usize::MAX] {
            assert_eq!(read(ORDERS, 0, piece), (lines.clone(), true, true), "pieces of {piece}");
            assert_eq!(read(array.as_bytes(), 0, piece), (lines.clone(), true, true), "an array by {piece}");
            let second = array.find(",\n").unwrap() + 2;
            assert_eq!(read(array.as_bytes(), second, piece).0, lines[1..], "an array from its second by {piece}");
        }
        assert!(!read(&ORDERS[..ORDERS.len() - 2], 0, 100).2);
        assert!(!read(b"{}\nconnected to: shop\n", 0, 3).1);
    }
}
