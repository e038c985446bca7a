//! Verdict: how whole a dump is, and why.

use std::process::ExitStatus;

use crate::error::{Error, Result};
use crate::ingest::input::OpenInput;
use crate::repository::snapshot::SnapshotStatus;

/// What the end of a dump shows of its being whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has the mark that dumps end with.
    Marked,
    /// Such dumps have no mark; only its command can tell.
    Unmarked,
    /// Each of its files has its mark, but nothing tells which there should be.
    Unlisted,
    /// It is not whole, for this reason.
    Cut(&'static str),
}

/// How the input of a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputEnd {
    /// How its command ended; `None` where there was none.
    pub exit: Option<ExitStatus>,
    /// That tells nothing of what printed the dump: it is that of the last program of a pipeline.
    pub exit_of_last: bool,
    /// Where compressed data ended that goes on.
    pub cut_at: Option<u64>,
}

impl InputEnd {
    /// Of an input that was read, whose command ended so.
    pub fn of(input: &OpenInput, exit: Option<ExitStatus>) -> InputEnd {
        InputEnd { exit, exit_of_last: input.hides_failures(), cut_at: input.cut_at() }
    }
}

/// What the reason says where the dump's command did not end well.
pub const COMMAND_FAILED: &str = "its command failed with";

const UNMARKED: &str = "such dumps have no mark at their end; yesterfs can run the command that makes them, behind --, and see how it ends";
const EXIT_OF_LAST: &str =
    "such dumps have no mark at their end, and a pipeline ends as its last program does (but for bash -o pipefail -c)";

/// How whole a dump is.
pub struct Verdict {
    pub status: SnapshotStatus,
    pub reason: Option<String>,
}

impl Verdict {
    /// Refuses an incomplete dump that need not be kept.
    pub fn accept(&self, origin: &str, keep_incomplete: bool) -> Result<()> {
        match (self.status, &self.reason) {
            (SnapshotStatus::Incomplete, Some(reason)) if !keep_incomplete => {
                Err(Error::Incomplete { input: origin.into(), reason: reason.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Judges a dump by its end and that of its input.
    pub fn of(ending: Ending, ended: &InputEnd) -> Verdict {
        let incomplete = |reason: String| Verdict { status: SnapshotStatus::Incomplete, reason: Some(reason) };
        if let Some(exit) = ended.exit.filter(|exit| !exit.success()) {
            return incomplete(format!("{COMMAND_FAILED} {exit}"));
        }
        if let Some(at) = ended.cut_at {
            return incomplete(format!("its compressed data is cut off after {at} bytes"));
        }
        let (status, reason) = match ending {
            Ending::Cut(reason) => return incomplete(reason.into()),
            Ending::Unlisted => return Verdict::without_list(),
            Ending::Unmarked if ended.exit.is_none() => (SnapshotStatus::Unverified, Some(UNMARKED.to_string())),
            Ending::Unmarked if ended.exit_of_last => (SnapshotStatus::Unverified, Some(EXIT_OF_LAST.to_string())),
            Ending::Unmarked | Ending::Marked => (SnapshotStatus::Complete, None),
        };
        Verdict { status, reason }
    }

    /// Of a directory whose files are whole, where nothing tells which there should be.
    pub fn without_list() -> Verdict {
        let reason = "nothing in the directory tells which files there should be";
        Verdict { status: SnapshotStatus::Unverified, reason: Some(reason.into()) }
    }

    /// The same, where this shows that it is not whole.
    pub fn with_fault(self, fault: Option<&str>) -> Verdict {
        match fault.filter(|_| self.status != SnapshotStatus::Incomplete) {
            Some(fault) => Verdict { status: SnapshotStatus::Incomplete, reason: Some(fault.into()) },
            None => self,
        }
    }

    /// Judges several by the worst of them.
    pub fn of_all<'v>(verdicts: impl Iterator<Item = (&'v str, &'v Verdict)> + Clone) -> Verdict {
        let is_alone = verdicts.clone().count() == 1;
        let rank = |status| match status {
            SnapshotStatus::Incomplete => 2,
            SnapshotStatus::Unverified => 1,
            _ => 0,
        };
        let mut worst = Verdict { status: SnapshotStatus::Complete, reason: None };
        for (name, verdict) in verdicts.filter(|(_, verdict)| verdict.reason.is_some()) {
            if rank(verdict.status) > rank(worst.status) {
                let told = |reason: &String| if is_alone { reason.clone() } else { format!("\"{name}\": {reason}") };
                worst = Verdict { status: verdict.status, reason: verdict.reason.as_ref().map(told) };
            }
        }
        worst
    }
}
