//! Which roles the parts of a dump name. Nearly every part of a table names its owner, so each name is kept once.

use std::collections::HashMap;

use crate::dump::postgres::{Need, NeedKind};

/// What parts name.
#[derive(Default)]
pub struct Roles {
    numbers: HashMap<Vec<u8>, u32>,
    names: Vec<Need>,
    /// The number of a part, and a role that it names; in the order of parts.
    uses: Vec<(u32, u32)>,
}

impl Roles {
    /// Takes note of what a part needs if that is a role; else gives it back.
    pub fn take(&mut self, part: u32, need: Need) -> Option<Need> {
        if need.kind != NeedKind::Role {
            return Some(need);
        }
        // A dump has not as many names as bytes.
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let role = *self.numbers.entry(need.name.clone()).or_insert(next);
        if role == next {
            self.names.push(need);
        }
        let known = self.uses.iter().rev().take_while(|(named_by, _)| *named_by == part);
        if known.clone().count() < super::NEEDS_MAX && !known.into_iter().any(|&(_, known)| known == role) {
            self.uses.push((part, role));
        }
        None
    }

    /// What this part names.
    pub fn of(&self, part: u32) -> impl Iterator<Item = &Need> {
        let first = self.uses.partition_point(|&(named_by, _)| named_by < part);
        let uses = self.uses[first..].iter().take_while(move |(named_by, _)| *named_by == part);
        uses.filter_map(|&(_, role)| self.names.get(role as usize))
    }
}
