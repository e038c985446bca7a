//! PartOrder: the parts of a dump in the order of the files that they make.

use crate::ingest::dump::part_list::PartList;

#[derive(Debug)]
pub struct PartOrder {
    /// By object: its rank among all paths. Those that have one path have one rank.
    ranks: Vec<u32>,
    /// The numbers of parts, by the ranks of their objects.
    parts: Vec<u32>,
    /// By rank: where its parts end among these.
    ends: Vec<u32>,
}

impl PartOrder {
    pub fn of(list: &PartList) -> PartOrder {
        let (ranks, count) = ranks(list);
        let rank_of = |object: u32| ranks[object as usize] as usize;
        let mut ends = vec![0; count];
        list.all().for_each(|part| ends[rank_of(part.object)] += 1);
        // They are where parts begin until each was put there.
        let mut sum = 0;
        ends.iter_mut().for_each(|end| sum += std::mem::replace(end, sum));
        let mut parts = vec![0; sum as usize];
        for (number, part) in (0..).zip(list.all()) {
            let end = &mut ends[rank_of(part.object)];
            parts[*end as usize] = number;
            *end += 1;
        }
        let mut order = PartOrder { ranks, parts, ends };
        (0..count).for_each(|rank| order.sort_files(list, rank));
        order
    }

    /// Sorts the parts of one object by file, and those of one file by their place in the dump.
    fn sort_files(&mut self, list: &PartList, rank: usize) {
        let range = self.range(rank);
        let parts = &mut self.parts[range];
        if parts.len() > 1 && list.is_restorable(&list.get(parts[0])) {
            parts.sort_by_cached_key(|&number| (list.file_name(&list.get(number)), number));
        }
    }

    fn range(&self, rank: usize) -> std::ops::Range<usize> {
        let start = rank.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[rank] as usize
    }

    pub fn rank(&self, object: u32) -> u32 {
        self.ranks[object as usize]
    }

    /// The parts of all objects of this rank.
    pub fn parts(&self, rank: u32) -> &[u32] {
        &self.parts[self.range(rank as usize)]
    }

    /// The parts of each object that has some.
    pub fn objects(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.ends.len()).map(|rank| &self.parts[self.range(rank)]).filter(|parts| !parts.is_empty())
    }
}

/// By object: its rank; and how many ranks there are.
fn ranks(list: &PartList) -> (Vec<u32>, usize) {
    let objects = list.objects.count();
    let mut sorted: Vec<u32> = (0..objects).collect();
    sorted.sort_unstable_by(|&a, &b| list.path_of_object(a).cmp(list.path_of_object(b)));
    let mut ranks = vec![0; objects as usize];
    let mut count = 0;
    for same in sorted.chunk_by(|&a, &b| list.path_of_object(a).eq(list.path_of_object(b))) {
        same.iter().for_each(|&object| ranks[object as usize] = count);
        count += 1;
    }
    (ranks, count as usize)
}
