//! NeedList: what the parts of a dump need. A dump may have a million tables whose every part names an owner, or another table, so
//! all is kept in little memory, and what was named shortly before only once.

use std::collections::VecDeque;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::ingest::dump::few_names::FewNames;
use crate::ingest::dump::needs::NeedLine;

/// Of more needs of one part the rest is left out: no server allows so many.
const NEEDS_MAX: usize = 1000;

/// Among so many that were named last another is looked for.
const RECENT_MAX: usize = 16;

/// A part needs something.
#[derive(Debug, Clone, Copy)]
struct Use {
    /// The part's number.
    part: u32,
    /// Where it is told what.
    at: u32,
}

#[derive(Debug, Default)]
pub struct NeedList {
    /// What stands in front of names.
    labels: FewNames,
    /// By need: the number of its label, how many names, the names.
    told: Encoder,
    /// Where the last ones begin in that, and the length of each.
    recent: VecDeque<(usize, usize)>,
    /// In the order of parts.
    uses: Vec<Use>,
}

impl NeedList {
    /// The part needs this. Parts come in the order of their numbers.
    pub fn add(&mut self, part: u32, need: &NeedLine) {
        let known: Vec<NeedLine> = self.of(part).collect();
        if known.len() >= NEEDS_MAX || known.contains(need) {
            return;
        }
        // What is told behind 4 GiB has no place in a use: hundreds of millions of other needs are before it.
        if let Ok(at) = u32::try_from(self.tell(need)) {
            self.uses.push(Use { part, at });
        }
    }

    /// Where a need is told.
    fn tell(&mut self, need: &NeedLine) -> usize {
        let label = self.labels.number_of(need.label);
        let at = self.told.bytes.len();
        self.told.u8(label).list(&need.name, |told, name| {
            told.bytes(name);
        });
        let (before, new) = self.told.bytes.split_at(at);
        let known = self.recent.iter().position(|&(start, length)| before[start..start + length] == *new);
        let told = match known.and_then(|known| self.recent.remove(known)) {
            Some(known) => {
                self.told.bytes.truncate(at);
                known
            }
            None => (at, new.len()),
        };
        self.recent.truncate(RECENT_MAX - 1);
        self.recent.push_front(told);
        told.0
    }

    /// What the part of this number needs.
    pub fn of(&self, part: u32) -> impl Iterator<Item = NeedLine<'_>> {
        let first = self.uses.partition_point(|used| used.part < part);
        let uses = self.uses[first..].iter().take_while(move |used| used.part == part);
        uses.filter_map(|used| self.need(used.at).ok())
    }

    /// What all of these parts need, each once.
    pub fn of_all(&self, parts: &[u32]) -> Vec<NeedLine<'_>> {
        let mut needs: Vec<NeedLine> = Vec::new();
        for need in parts.iter().flat_map(|&part| self.of(part)) {
            if !needs.contains(&need) {
                needs.push(need);
            }
        }
        needs
    }

    fn need(&self, at: u32) -> Result<NeedLine<'_>, DecodeError> {
        let mut told = Decoder::new(&self.told.bytes[at as usize..]);
        let label = self.labels.get(told.u8()?).unwrap_or_default();
        Ok(NeedLine { label, name: told.list(Decoder::bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need<'n>(label: &'static str, name: &[&'n str]) -> NeedLine<'n> {
        NeedLine { label, name: name.iter().map(|name| name.as_bytes()).collect() }
    }

    #[test]
    fn what_parts_need_comes_back() {
        let mut list = NeedList::default();
        let (owner, parent) = (need("role", &["ann"]), need("table", &["shop", "parent"]));
        for part in [3, 3, 7] {
            list.add(part, &owner);
            list.add(part, &parent);
        }
        list.add(9, &need("", &[]));
        for part in [3, 7] {
            assert_eq!(list.of(part).collect::<Vec<_>>(), [owner.clone(), parent.clone()]);
        }
        assert_eq!(list.of(5).count(), 0);
        assert_eq!(list.of_all(&[3, 7, 8, 9]), [owner, parent, need("", &[])]);
    }

    #[test]
    fn what_many_parts_need_is_told_once() {
        let mut list = NeedList::default();
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for part in 0..1000u32 {
            list.add(part, &need("role", &["ann"]));
            list.add(part, &need("table", &["shop", &names[part as usize / 10]]));
        }
        let digits = 10 + 90 * 2;
        assert_eq!(list.told.bytes.len(), 6 + 100 * 8 + digits);
    }

    #[test]
    fn more_needs_of_a_part_than_any_server_allows_are_left_out() {
        let mut list = NeedList::default();
        let names: Vec<String> = (0..NEEDS_MAX + 10).map(|number| number.to_string()).collect();
        names.iter().for_each(|name| list.add(0, &need("table", &[name])));
        assert_eq!(list.of(0).count(), NEEDS_MAX);
    }
}
