//! Documents: finds where documents begin and end that stand back to back. Each begins with its length.

use crate::dump::mongo::Fault;

/// Longest document: 16 MiB are a server's limit for documents, and it allows itself a little more for its own.
pub const DOCUMENT_MAX_BYTES: usize = 17 << 20;

/// An empty one: its length, and a zero at the end.
pub(super) const DOCUMENT_MIN_BYTES: usize = 5;

/// The documents of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentCounts {
    pub documents: u64,
    /// Bytes of the longest.
    pub longest: u64,
    /// Of CSV, the bytes of the record of names in front of them: none where that was left out.
    pub names: Option<u64>,
}

impl DocumentCounts {
    /// One more, which begins with these bytes.
    pub(super) fn add(&mut self, word: u32) {
        self.documents += 1;
        self.longest = self.longest.max(word.into());
    }
}

/// What the next bytes are.
pub(super) enum Step {
    /// Some of four bytes that say what follows. The others have not come.
    PartOfWord,
    /// The last of these four, or all.
    Word(u32),
    /// In a document, or the end of it.
    Inside { is_end: bool },
    /// The end of a document that does not end as it must.
    BadEnd,
}

/// Steps through documents, and whatever four bytes stand between them.
#[derive(Default)]
pub(super) struct Framing {
    /// Where in the stream the next byte stands.
    pub at: u64,
    word: [u8; 4],
    /// Bytes of the word that have come.
    word_bytes: usize,
    /// Bytes of the present document that have not come.
    rest: usize,
}

impl Framing {
    /// The word that came last, or came in part.
    pub fn word(&self) -> [u8; 4] {
        self.word
    }

    /// Bytes of a word whose rest has not come.
    pub fn held(&self) -> usize {
        self.word_bytes
    }

    /// Whether a document has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.rest > 0 || self.word_bytes > 0
    }

    /// Takes one step into `piece`, which must not be empty: how many bytes it takes, and what they are.
    pub fn step(&mut self, piece: &[u8]) -> (usize, Step) {
        let count = piece.len().min(if self.rest > 0 { self.rest } else { 4 - self.word_bytes });
        self.at += count as u64;
        if self.rest > 0 {
            self.rest -= count;
            return match self.rest {
                0 if piece[count - 1] != 0 => (count, Step::BadEnd),
                rest => (count, Step::Inside { is_end: rest == 0 }),
            };
        }
        self.word[self.word_bytes..self.word_bytes + count].copy_from_slice(&piece[..count]);
        self.word_bytes += count;
        if self.word_bytes < 4 {
            return (count, Step::PartOfWord);
        }
        self.word_bytes = 0;
        (count, Step::Word(u32::from_le_bytes(self.word)))
    }

    /// What [`Step::BadEnd`] means.
    pub fn bad_end(&self) -> Fault {
        Fault::new(self.at - 1, "a document that does not end with a zero")
    }

    /// Takes the word that was just read for the length of a document.
    pub fn begin(&mut self) -> Result<(), Fault> {
        let length = i32::from_le_bytes(self.word);
        let within = |length: &usize| (DOCUMENT_MIN_BYTES..=DOCUMENT_MAX_BYTES).contains(length);
        match usize::try_from(length).ok().filter(within) {
            Some(length) => self.rest = length - 4,
            None => return Err(Fault::new(self.at - 4, format!("{length} bytes is no length of a document"))),
        }
        Ok(())
    }
}

/// Reads a file of documents.
#[derive(Default)]
pub struct Documents {
    framing: Framing,
    counts: DocumentCounts,
    fault: Option<Fault>,
}

impl Documents {
    /// Takes the next piece, of any length, and tells where documents begin.
    pub fn push(&mut self, mut piece: &[u8], begins: &mut impl FnMut(u64)) {
        while !piece.is_empty() && self.fault.is_none() {
            let (count, step) = self.framing.step(piece);
            piece = &piece[count..];
            match step {
                Step::Word(word) => match self.framing.begin() {
                    Ok(()) => {
                        begins(self.framing.at - 4);
                        self.counts.add(word);
                    }
                    Err(fault) => self.fault = Some(fault),
                },
                Step::BadEnd => self.fault = Some(self.framing.bad_end()),
                Step::PartOfWord | Step::Inside { .. } => {}
            }
        }
    }

    /// Tells that nothing follows: which documents there were, and what is wrong.
    pub fn finish(self) -> (DocumentCounts, Option<Fault>) {
        let cut = self.framing.is_inside().then(|| Fault::new(self.framing.at, "it ends within a document"));
        (self.counts, self.fault.or(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &[u8] = include_bytes!("../../../tests/fixtures/mongo/directory/shop/orders.bson");

    fn read(bytes: &[u8], piece: usize) -> (Vec<u64>, u64, Option<Fault>) {
        let (mut documents, mut begins) = (Documents::default(), Vec::new());
        bytes.chunks(piece).for_each(|piece| documents.push(piece, &mut |at| begins.push(at)));
        let (counts, fault) = documents.finish();
        (begins, counts.documents, fault)
    }

    #[test]
    fn documents_are_found_however_they_come() {
        let (begins, count, fault) = read(ORDERS, usize::MAX);
        assert_eq!((count, begins.len(), begins[0], fault), (300, 300, 0, None));
        for piece in [1, 2, 3, 5, 7, 4096] {
            assert_eq!(read(ORDERS, piece).0, begins, "pieces of {piece}");
        }
        for cut in (1..5000).chain([ORDERS.len() - 1]) {
            let (_, count, fault) = read(&ORDERS[..cut], usize::MAX);
            assert_eq!(fault.is_none(), begins.contains(&(cut as u64)), "cut at {cut}");
            let whole = begins.iter().filter(|&&begin| begin + 4 <= cut as u64).count();
            assert_eq!(count, whole as u64, "cut at {cut}");
        }
    }

    #[test]
    fn the_longest_document_is_known() {
        let (mut documents, (begins, ..)) = (Documents::default(), read(ORDERS, usize::MAX));
        documents.push(ORDERS, &mut |_| {});
        let longest = begins.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert_eq!(documents.finish().0, DocumentCounts { documents: 300, longest, names: None });
    }

    #[test]
    fn what_is_no_document_is_told() {
        for (word, expected) in [(4, "4 bytes is no"), (-1, "-1 bytes is no"), (i32::MAX, "2147483647 bytes is no")] {
            let bytes = [&[5, 0, 0, 0, 0][..], &i32::to_le_bytes(word), &[0; 20]].concat();
            let (_, count, fault) = read(&bytes, 3);
            let fault = fault.unwrap();
            assert_eq!((count, fault.at), (1, 5));
            assert!(fault.to_string().contains(expected) && fault.to_string().contains("byte 5"), "{fault}");
        }
        let (_, _, fault) = read(&[5, 0, 0, 0, 7, 5, 0, 0, 0, 0], usize::MAX);
        assert_eq!(fault.unwrap().at, 4);
        let longest = [&(DOCUMENT_MAX_BYTES as i32).to_le_bytes()[..], &vec![0; DOCUMENT_MAX_BYTES - 4]].concat();
        assert_eq!(read(&longest, 1 << 20).2, None);
    }
}
