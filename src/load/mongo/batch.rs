//! Batch: documents on their way to a server, in the command that inserts them, byte for byte as they are in the dump.

use crate::dump::mongo::{id_element, shown_element};

/// Bytes of a batch, unless it is one document.
const BATCH_MAX_BYTES: usize = 4 << 20;

/// Servers take a hundred thousand.
const BATCH_MAX_DOCUMENTS: usize = 10_000;

/// Documents of a collection.
#[derive(Default)]
pub struct Batch {
    /// As an array.
    elements: Vec<u8>,
    /// Where each begins there.
    starts: Vec<usize>,
    /// Documents in batches before.
    before: u64,
}

impl Batch {
    /// Whether this one document fits, too.
    pub fn has_room(&self, document: &[u8]) -> bool {
        let is_small = self.elements.len() + document.len() <= BATCH_MAX_BYTES;
        self.is_empty() || (is_small && self.starts.len() < BATCH_MAX_DOCUMENTS)
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn push(&mut self, document: &[u8]) {
        self.elements.push(EMBEDDED);
        self.elements.extend_from_slice(self.starts.len().to_string().as_bytes());
        self.elements.push(0);
        self.starts.push(self.elements.len());
        self.elements.extend_from_slice(document);
    }

    /// The next one.
    pub fn clear(&mut self) {
        self.before += self.starts.len() as u64;
        self.elements.clear();
        self.starts.clear();
    }

    /// The command. With `anyhow`, documents that the validator of the collection would refuse are taken.
    pub fn command(&self, collection: &str, anyhow: bool) -> Vec<u8> {
        let name = (collection.len() as u32 + 1).to_le_bytes();
        let mut fields = [&b"\x02insert\0"[..], &name, collection.as_bytes(), b"\0\x08ordered\0\x01"].concat();
        if anyhow {
            fields.extend_from_slice(b"\x08bypassDocumentValidation\0\x01");
        }
        fields.extend_from_slice(b"\x04documents\0");
        push_document(&self.elements, &mut fields);
        let mut command = Vec::with_capacity(fields.len() + 5);
        push_document(&fields, &mut command);
        command
    }

    /// Which document of the collection it is that has this number in the batch.
    pub fn shown(&self, number: usize) -> String {
        let count = self.before + number as u64 + 1;
        let document = self.starts.get(number).and_then(|&start| {
            let length = self.elements.get(start..)?.first_chunk().map(|length| u32::from_le_bytes(*length))?;
            self.elements.get(start..start + length as usize)
        });
        let id = document.and_then(|document| id_element(document).map(|range| shown_element(&document[range])));
        id.map_or(format!("document {count}"), |id| format!("document {count}, whose _id is {id}"))
    }
}

const EMBEDDED: u8 = 3;

fn push_document(fields: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(fields.len() as u32 + 5).to_le_bytes());
    out.extend_from_slice(fields);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_hold_documents_as_they_are() {
        let document = b"\x0e\0\0\0\x10_id\0\x2a\0\0\0\0";
        let mut batch = Batch::default();
        for _ in 0..11 {
            assert!(batch.has_room(document));
            batch.push(document);
        }
        let command = batch.command("orders", true);
        assert_eq!(command.len() as u32, u32::from_le_bytes(*command.first_chunk().unwrap()));
        let shown = crate::dump::mongo::shown_document(&command);
        let begin = r#"{"insert":"orders","ordered":true,"bypassDocumentValidation":true,"documents":[{"_id":"#;
        assert!(shown.starts_with(begin), "{shown}");
        assert_eq!(command.windows(document.len()).filter(|it| it == document).count(), 11);
        batch.clear();
        batch.push(document);
        assert_eq!(batch.shown(0), r#"document 12, whose _id is {"$numberInt":"42"}"#);
        assert_eq!(batch.shown(9), "document 21");
        assert!(!batch.has_room(&vec![0; BATCH_MAX_BYTES]));
        assert!(Batch::default().has_room(&vec![0; 17 << 20]));
    }
}
