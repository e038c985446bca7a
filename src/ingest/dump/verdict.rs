//! Verdict: how whole a dump is, and why.

use std::process::ExitStatus;

use crate::repository::snapshot::SnapshotStatus;

/// What the end of a dump shows of its being whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has the mark that dumps end with.
    Marked,
    /// Such dumps have no mark; only its command can tell.
    Unmarked,
    /// It is not whole, for this reason.
    Cut(&'static str),
}

/// How whole a dump is.
pub struct Verdict {
    pub status: SnapshotStatus,
    pub reason: Option<String>,
}

impl Verdict {
    /// Judges a dump by its end and by how its command ended, where there was one.
    pub fn of(ending: Ending, exit: Option<ExitStatus>) -> Verdict {
        let incomplete = |reason: String| Verdict { status: SnapshotStatus::Incomplete, reason: Some(reason) };
        if let Some(exit) = exit.filter(|exit| !exit.success()) {
            return incomplete(format!("its command failed with {exit}"));
        }
        let (status, reason) = match ending {
            Ending::Cut(reason) => return incomplete(reason.into()),
            Ending::Unmarked if exit.is_none() => {
                (SnapshotStatus::Unverified, Some("such dumps have no mark at their end".to_string()))
            }
            Ending::Unmarked | Ending::Marked => (SnapshotStatus::Complete, None),
        };
        Verdict { status, reason }
    }
}
