//! CutMarks: where else than by its bytes a content is cut: at the edges of its parts, and between rows. Rules:
//! `docs/format.md` section 3.

use std::collections::VecDeque;

use crate::store::chunker::ChunkSizes;

/// Marks of the bytes that are not cut yet, in order. Those of rows are as many as rows in a buffer.
#[derive(Debug, Default)]
pub struct CutMarks {
    edges: VecDeque<u64>,
    rows: VecDeque<u64>,
}

impl CutMarks {
    /// A part ends here that is no shorter than the smallest chunk, and another begins. Places come in order.
    pub fn edge(&mut self, at: u64) {
        self.edges.push_back(at);
    }

    /// A row begins here.
    pub fn row(&mut self, at: u64) {
        self.rows.push_back(at);
    }

    /// Nothing before this place will be cut any more.
    pub fn forget_before(&mut self, at: u64) {
        for marks in [&mut self.edges, &mut self.rows] {
            let passed = marks.partition_point(|&mark| mark < at);
            marks.drain(..passed);
        }
    }

    /// Length of the first chunk of `rest`, which begins at `at`.
    pub fn first_cut(&self, at: u64, rest: &[u8], sizes: ChunkSizes) -> usize {
        let end = at + rest.len() as u64;
        let edge = first_from(&self.edges, at + sizes.min_bytes as u64).filter(|&edge| edge <= end);
        let run = edge.map_or(rest, |edge| &rest[..(edge - at) as usize]);
        let cut = sizes.first_cut(run);
        // What would be left before an edge is too little for a chunk.
        if edge.is_some() && run.len() - cut < sizes.min_bytes && run.len() <= sizes.max_bytes {
            return run.len();
        }
        let row = first_from(&self.rows, at + cut as u64).map(|row| (row - at) as usize);
        row.filter(|&length| length <= run.len().min(sizes.max_bytes)).unwrap_or(cut)
    }
}

/// The first mark that is not before this place.
fn first_from(marks: &VecDeque<u64>, at: u64) -> Option<u64> {
    marks.get(marks.partition_point(|&mark| mark < at)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: ChunkSizes = ChunkSizes::SMALL;

    /// Bytes that look random and are the same in every run.
    fn noise(length: usize) -> Vec<u8> {
        (0u64..).flat_map(|n| crate::id::hash(&n.to_le_bytes())).take(length).collect()
    }

    fn cuts(bytes: &[u8], edges: &[u64], rows: &[u64]) -> Vec<u64> {
        let mut marks = CutMarks::default();
        edges.iter().for_each(|&edge| marks.edge(edge));
        rows.iter().for_each(|&row| marks.row(row));
        let (mut at, mut cuts) = (0, Vec::new());
        while at < bytes.len() {
            at += marks.first_cut(at as u64, &bytes[at..], SIZES);
            marks.forget_before(at as u64);
            cuts.push(at as u64);
        }
        cuts
    }

    #[test]
    fn edges_are_cuts_and_leave_no_small_chunks() {
        let bytes = noise(300_000);
        let plain = cuts(&bytes, &[], &[]);
        // Near a cut, in the middle of a chunk, and near each other.
        let edges = [plain[2] + 100, plain[5] - 5_000, plain[5] - 4_000, 250_000];
        let marked = cuts(&bytes, &edges, &[]);
        assert!(marked.contains(&edges[1]) && marked.contains(&edges[3]), "{marked:?}");
        assert!(marked.contains(&edges[0]) && !marked.contains(&plain[2]), "{marked:?}");
        assert!(!marked.contains(&edges[2]), "a chunk of a thousand bytes");
        let mut lengths = marked.windows(2).map(|two| (two[1] - two[0]) as usize);
        assert!(lengths.all(|length| (SIZES.min_bytes..=SIZES.max_bytes).contains(&length)), "{marked:?}");
    }

    #[test]
    fn chunks_end_between_rows() {
        let bytes = noise(300_000);
        let rows: Vec<u64> = (0..300_000).step_by(241).collect();
        let marked = cuts(&bytes, &[], &rows);
        let inner = &marked[..marked.len() - 1];
        assert!(inner.iter().all(|cut| cut % 241 == 0), "{marked:?}");
        // A row that is longer than a chunk is cut all the same.
        assert!(cuts(&bytes, &[], &[0, 200_000]).len() > 10);
    }
}
