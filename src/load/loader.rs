//! Loader: gives texts to clients, several at the same time.

use std::ffi::OsString;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::load::at_once::each_at_once;
use crate::load::client::{Client, Complaint, Feed};
use crate::load::failure::{StatementLines, failed_statement};
use crate::load::text::{SqlText, Stretch};
use crate::progress::{Counters, Monitor};

/// One text on its way to the server.
pub struct Load<'a> {
    /// For messages.
    pub what: String,
    pub text: SqlText<'a>,
    /// What its client is told besides.
    pub arguments: Vec<OsString>,
}

/// Runs clients.
pub struct Loader<'a> {
    pub client: Client,
    pub lines: StatementLines,
    /// Clients at the same time.
    pub threads: usize,
    pub monitor: &'a dyn Monitor,
}

impl Load<'_> {
    pub fn bytes(&self) -> u64 {
        self.text.bytes()
    }
}

impl Loader<'_> {
    /// Several clients take one text after the other, until one fails.
    pub fn run_all(&self, loads: Vec<Load<'_>>) -> Result<()> {
        Counters::add(&self.monitor.counters().bytes_expected, loads.iter().map(Load::bytes).sum());
        each_at_once(loads, self.threads, |load| {
            let ran = self.run(&load);
            Counters::add(&self.monitor.counters().entries, 1);
            ran
        })
    }

    fn run(&self, load: &Load<'_>) -> Result<()> {
        let complaint =
            self.client.feed(&load.arguments, |feed| load.text.each_piece(&mut |piece| self.give(feed, piece)))?;
        complaint.or_else(|complaint| self.tell(load, &complaint))
    }

    /// One client takes all of a text, and stays while what is to come before the rest of it is loaded by others: `between` is
    /// called behind each statement of it, which prints [`MARK`](crate::load::client::MARK).
    pub fn run_in_steps(&self, load: &Load<'_>, mut between: impl FnMut() -> Result<()>) -> Result<()> {
        Counters::add(&self.monitor.counters().bytes_expected, load.bytes());
        let complaint = self.client.feed(&load.arguments, |feed| {
            if load.text.begin(&mut |piece| self.give(feed, piece))?.is_break() {
                return Ok(());
            }
            for stretch in &load.text.made_of {
                if load.text.stretch(stretch, &mut |piece| self.give(feed, piece))?.is_break() {
                    break;
                }
                if matches!(stretch, Stretch::Statement(_)) {
                    if feed.wait().is_break() {
                        break;
                    }
                    between()?;
                }
            }
            Ok(())
        })?;
        complaint.or_else(|complaint| self.tell(load, &complaint))
    }

    fn give(&self, feed: &mut Feed, piece: &[u8]) -> Result<ControlFlow<()>> {
        if self.monitor.is_cancelled() {
            return Err(Error::Interrupted);
        }
        Counters::add(&self.monitor.counters().bytes, piece.len() as u64);
        feed.take(piece)
    }

    /// Tells what a client complained about.
    fn tell(&self, load: &Load<'_>, complaint: &Complaint) -> Result<()> {
        let statement = failed_statement(&load.text, &complaint.text, self.lines)?;
        let statement = statement.map(|text| format!(", in the statement: {text}")).unwrap_or_default();
        Err(self.client.failed(&format!("loading {}", load.what), format!("{}{statement}", complaint.text)))
    }
}
