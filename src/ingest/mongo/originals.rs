//! Originals: what becomes of compressed files besides what was in them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use crate::compressed::{UnwrapLimit, Wrapping};
use crate::dump::layout::ORIGINAL_DIRECTORY;
use crate::error::{Error, Result};
use crate::ingest::dump::{DumpReading, Original, OriginalKeeper, OriginalPolicy, PIECES_WAITING_MAX};
use crate::ingest::input::OpenInput;
use crate::ingest::mongo::files::MongoFile;
use crate::ingest::mongo::layout::FilePath;
use crate::repository::content::Content;
use crate::store::EncodeQueue;

/// Keeps originals.
#[derive(Clone, Copy)]
pub struct Originals<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    pub policy: OriginalPolicy,
    /// How much may come out of each.
    pub limit: UnwrapLimit,
}

/// One that was kept, or its recipe.
pub struct KeptOriginal {
    /// Its path below the directory of originals.
    path: FilePath,
    /// The file that holds what was in it.
    pub text: FilePath,
    original: Original,
}

impl Originals<'_, '_> {
    /// Has `store` store what is in an input, which is to be the file `text`, and keeps meanwhile what it is unwrapped from.
    pub fn beside<T>(
        &self,
        mut input: OpenInput,
        wrapping: Wrapping,
        [path, text]: [FilePath; 2],
        queue: &EncodeQueue,
        store: impl FnOnce(OpenInput) -> Result<T>,
    ) -> Result<(T, Option<KeptOriginal>)> {
        let Some(form) = self.policy.form(wrapping) else {
            input.unwrap_as(wrapping, self.limit, None);
            return Ok((store(input)?, None));
        };
        let has_failed = AtomicBool::new(false);
        let is_given_up = || self.reading.monitor.is_cancelled() || has_failed.load(Ordering::Relaxed);
        let keeper = self.keeper(&path, &is_given_up);
        let (stored, original) = std::thread::scope(|scope| {
            let (listener, pieces) = sync_channel(PIECES_WAITING_MAX);
            let (keeper, lent, text) = (&keeper, queue.clone(), text.join(&b'/'));
            let keeping = scope.spawn(move || keeper.keep(form, pieces, lent, &text, 0));
            input.unwrap_as(wrapping, self.limit, Some(listener));
            let stored = store(input);
            has_failed.store(stored.is_err(), Ordering::Relaxed);
            (stored, keeping.join().unwrap_or(Err(Error::Interrupted)))
        });
        Ok((stored?, Some(KeptOriginal { path, text, original: original? })))
    }

    /// The file to be kept, once what was in it was published.
    pub fn settle(&self, kept: KeptOriginal, text: &Content) -> Result<MongoFile> {
        let is_given_up = || self.reading.monitor.is_cancelled();
        let Original { name, content, .. } = self.keeper(&kept.path, &is_given_up).settle(kept.original, text)?;
        let mut path: FilePath = name.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        path.insert(0, ORIGINAL_DIRECTORY.into());
        Ok(MongoFile { path, content, documents: None })
    }

    fn keeper<'k>(&'k self, path: &FilePath, is_given_up: &'k (dyn Fn() -> bool + Sync)) -> OriginalKeeper<'k, 'k> {
        let DumpReading { session, .. } = self.reading;
        OriginalKeeper { session, before: self.reading.before(), name: path.join(&b'/'), is_given_up }
    }
}
