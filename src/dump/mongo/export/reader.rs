//! ExportReader: takes an export as JSON, from the beginning of any of its documents on, and gives each.

use crate::dump::mongo::DOCUMENT_MAX_BYTES;
use crate::dump::mongo::export::json::{Edge, JsonDocuments};

/// Longest text of a document: a number of eight bytes may take eight times as many.
const TEXT_MAX_BYTES: usize = 8 * DOCUMENT_MAX_BYTES;

/// Gives documents.
pub struct ExportReader {
    documents: JsonDocuments,
    /// What came of the present document.
    text: Vec<u8>,
    /// Where the next byte stands.
    at: u64,
    edges: Vec<Edge>,
}

impl Default for ExportReader {
    fn default() -> ExportReader {
        ExportReader { documents: JsonDocuments::within(), text: Vec::new(), at: 0, edges: Vec::new() }
    }
}

impl ExportReader {
    /// Takes the next piece. False where what follows cannot be a document.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<bool, E> {
        let mut edges = std::mem::take(&mut self.edges);
        self.documents.push(piece, &mut |edge| edges.push(edge));
        let (base, mut taken) = (self.at, 0);
        for edge in edges.drain(..) {
            match edge {
                Edge::Begin(at) => taken = (at - base) as usize,
                Edge::End(at) => {
                    let rest = &piece[taken..(at - base) as usize];
                    if self.text.is_empty() {
                        tell(base + taken as u64, rest)?;
                    } else {
                        self.text.extend_from_slice(rest);
                        tell(at - self.text.len() as u64, &self.text)?;
                        self.text.clear();
                    }
                }
            }
        }
        self.edges = edges;
        self.at += piece.len() as u64;
        if !self.documents.is_between() {
            self.text.extend_from_slice(&piece[taken..]);
        }
        Ok(!self.documents.has_fault() && self.text.len() <= TEXT_MAX_BYTES)
    }

    /// Whether a document has ended here, and no other has begun.
    pub fn is_between(&self) -> bool {
        self.documents.is_between()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &[u8] = include_bytes!("../../../../tests/fixtures/mongo/export/orders.json");

    /// The documents from a place on, and whether there is nothing else.
    fn read(bytes: &[u8], from: usize, piece: usize) -> (Vec<String>, bool, bool) {
        let (mut reader, mut found, mut are_documents) = (ExportReader::default(), Vec::new(), true);
        for piece in bytes[from..].chunks(piece) {
            are_documents &= reader
                .push(piece, &mut |start, document| {
                    assert_eq!(&bytes[from + start as usize..][..document.len()], document);
                    found.push(String::from_utf8(document.to_vec()).unwrap());
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
        (found, are_documents, reader.is_between())
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
