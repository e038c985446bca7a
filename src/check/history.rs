//! The catalog: every record there, each continuing the one before, and the checkpoints telling the same.

use std::collections::BTreeMap;

use crate::check::Check;
use crate::error::{Error, Result};
use crate::id::hash;
use crate::repository::catalog::{CHECKPOINT_FOLDER, Catalog, checkpoint_key};
use crate::repository::record::{Change, Record, record_key};
use crate::store::backend::ByteRange;

impl Check<'_> {
    pub(super) fn history(&mut self) -> Result<()> {
        let checkpoints = self.checkpoints()?;
        let mut folded = Some(Catalog::default());
        let mut previous_hash = Some([0; 32]);
        for sequence in 1..=self.catalog.sequence {
            self.check_cancelled()?;
            let file = self.record(sequence, previous_hash, &mut folded)?;
            previous_hash = file.as_deref().map(hash);
            if let (Some(folded), true) = (&folded, checkpoints.contains_key(&sequence)) {
                self.checkpoint(sequence, folded)?;
            }
        }
        self.report.records = self.catalog.sequence;
        if let Some(evidence) = self.repository.lost_history() {
            self.damaged("the catalog", format!("its newest records are gone: {evidence}"));
        }
        if folded.is_some_and(|folded| folded.encode() != self.catalog.encode()) {
            self.damaged("the catalog", "its records tell another history than the checkpoint it was opened from");
        }
        Ok(())
    }

    /// Reads one record and adds it to the history, which ends where one is missing or damaged. Gives its file, if that
    /// could be read.
    fn record(
        &mut self,
        sequence: u64,
        previous_hash: Option<[u8; 32]>,
        folded: &mut Option<Catalog>,
    ) -> Result<Option<Vec<u8>>> {
        let file = match self.repository.backend().get_range(&record_key(sequence), ByteRange::Whole) {
            Ok(file) => file,
            Err(error) => {
                *folded = None;
                self.failed(name_record(error, sequence))?;
                return Ok(None);
            }
        };
        let record = Record::decode(&file, sequence).and_then(|record| {
            let continues = previous_hash.is_none_or(|hash| hash == record.previous_hash);
            let broken = || Error::corrupt(format!("catalog record {sequence}"), "it does not continue the one before");
            if continues { Ok(record) } else { Err(broken()) }
        });
        if let Ok(Record { writer, change: Change::WriterOpened { .. }, .. }) = &record {
            self.writers.insert(*writer);
        }
        let followed = record.and_then(|record| match folded.as_mut() {
            Some(folded) => folded.follow(record, &file),
            None => Ok(()),
        });
        if let Err(error) = followed {
            *folded = None;
            self.failed(error)?;
        }
        Ok(Some(file))
    }

    /// The checkpoints that are there.
    fn checkpoints(&mut self) -> Result<BTreeMap<u64, String>> {
        let listed = match self.repository.backend().list_after(CHECKPOINT_FOLDER, None) {
            Ok(listed) => listed,
            Err(error) => {
                self.failed(error)?;
                return Ok(BTreeMap::new());
            }
        };
        let numbered = listed.into_iter().filter_map(|it| Some((it.key.rsplit('/').next()?.parse().ok()?, it.key)));
        Ok(numbered.collect())
    }

    /// Compares a checkpoint with the records that it sums up.
    fn checkpoint(&mut self, sequence: u64, folded: &Catalog) -> Result<()> {
        let key = checkpoint_key(sequence);
        let read = self.repository.backend().get_range(&key, ByteRange::Whole);
        let reason = match read.and_then(|file| Catalog::decode(&file, sequence)) {
            Ok(checkpoint) if checkpoint.encode() == folded.encode() => return Ok(()),
            // A newer version's, or deleted by a writer meanwhile.
            Err(Error::Unsupported { .. } | Error::ObjectMissing { .. }) => return Ok(()),
            Ok(_) => "it tells another history than the records".to_string(),
            Err(error) => error.to_string(),
        };
        let what = format!("checkpoint {sequence} was wrong: {reason}");
        match self.write_checkpoint(&key, folded) {
            Ok(()) => self.rebuilt(format!("{what}; it is written anew")),
            Err(error) => self.rebuilt(format!("{what}; it could not be written anew: {error}")),
        }
        Ok(())
    }

    fn write_checkpoint(&self, key: &str, folded: &Catalog) -> Result<()> {
        let backend = self.repository.backend();
        backend.delete(key)?;
        let mut object = backend.put_new(key)?;
        object.write(&folded.encode())?;
        object.finish().map(|_| ())
    }
}

/// A missing record has no name but its key; people know it by its number.
fn name_record(error: Error, sequence: u64) -> Error {
    match error {
        Error::ObjectMissing { .. } => Error::corrupt(format!("catalog record {sequence}"), "it is missing"),
        other => other,
    }
}
