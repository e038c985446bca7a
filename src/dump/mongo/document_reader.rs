//! DocumentReader: takes a file of documents, from the beginning of any of them on, and gives each.

use crate::dump::mongo::documents::{DOCUMENT_MAX_BYTES, DOCUMENT_MIN_BYTES};

/// Gives documents.
#[derive(Default)]
pub struct DocumentReader {
    /// What was read from `base` on.
    text: Vec<u8>,
    base: u64,
}

impl DocumentReader {
    /// Takes the next piece. False where what follows cannot be a document.
    pub fn push<E>(&mut self, piece: &[u8], tell: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<bool, E> {
        self.text.extend_from_slice(piece);
        let (mut at, mut are_documents) = (0, true);
        while let Some(length) = self.text[at..].first_chunk().map(|length| i32::from_le_bytes(*length)) {
            let within = |length: &usize| (DOCUMENT_MIN_BYTES..=DOCUMENT_MAX_BYTES).contains(length);
            let Some(length) = usize::try_from(length).ok().filter(within) else {
                are_documents = false;
                break;
            };
            let Some(document) = self.text[at..].get(..length) else { break };
            if !document.ends_with(&[0]) {
                are_documents = false;
                break;
            }
            tell(self.base + at as u64, document)?;
            at += length;
        }
        self.text.drain(..at);
        self.base += at as u64;
        Ok(are_documents)
    }

    /// Whether a document has ended here, and no other has begun.
    pub fn is_between(&self) -> bool {
        self.text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &[u8] = include_bytes!("../../../tests/fixtures/mongo/directory/shop/orders.bson");

    fn read(bytes: &[u8], piece: usize) -> (Vec<u64>, bool, bool) {
        let (mut reader, mut begins, mut are_documents) = (DocumentReader::default(), Vec::new(), true);
        for piece in bytes.chunks(piece) {
            are_documents &= reader
                .push(piece, &mut |start, document| {
                    assert_eq!(&bytes[start as usize..][..document.len()], document);
                    begins.push(start);
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
        (begins, are_documents, reader.is_between())
    }

    #[test]
    fn documents_are_given_however_they_come() {
        let (begins, are_documents, is_between) = read(ORDERS, usize::MAX);
        assert_eq!((begins.len(), are_documents, is_between), (300, true, true));
        for piece in [1, 2, 3, 5, 7, 4096] {
            assert_eq!(read(ORDERS, piece), (begins.clone(), true, true), "pieces of {piece}");
        }
        assert!(!read(&ORDERS[..ORDERS.len() - 1], 100).2);
        for word in [4, -1, i32::MAX] {
            let bytes = [&[5, 0, 0, 0, 0][..], &i32::to_le_bytes(word), &[0; 20]].concat();
            assert!(!read(&bytes, 3).1);
        }
        assert!(!read(&[5, 0, 0, 0, 7], 9).1);
    }
}
