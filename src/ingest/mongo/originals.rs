//! Originals: what becomes of compressed files besides what was in them.

use crate::compressed::{UnwrapLimit, Wrapping};
use crate::dump::layout::ORIGINAL_DIRECTORY;
use crate::error::Result;
use crate::ingest::dump::{DumpReading, Original, OriginalKeeper, OriginalPolicy, WrappedOriginal, unwrap_and_listen};
use crate::ingest::input::OpenInput;
use crate::ingest::mongo::files::MongoFile;
use crate::ingest::mongo::layout::FilePath;
use crate::repository::content::Content;
use crate::store::EncodeQueue;

/// Keeps originals, and has what all dumps are stored by.
#[derive(Clone, Copy)]
pub struct Originals<'a, 'r> {
    pub reading: &'a DumpReading<'a, 'r>,
    pub policy: OriginalPolicy,
    /// How much may come out of each.
    pub limit: UnwrapLimit,
    /// Whether dumps are taken that are not whole.
    pub keep_incomplete: bool,
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
        let pieces = unwrap_and_listen(&mut input, (wrapping, self.limit));
        let wrapped = WrappedOriginal { form, pieces, text: &text.join(&b'/'), text_at: 0 };
        let (stored, original) = self.keeper(&path).beside(wrapped, queue.clone(), || store(input))?;
        Ok((stored, Some(KeptOriginal { path, text, original })))
    }

    /// The file to be kept, once what was in it was published.
    pub fn settle(&self, kept: KeptOriginal, text: &Content) -> Result<MongoFile> {
        let Original { name, content, .. } = self.keeper(&kept.path).settle(kept.original, text)?;
        let mut path: FilePath = name.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        path.insert(0, ORIGINAL_DIRECTORY.into());
        Ok(MongoFile { path, content, documents: None })
    }

    fn keeper(&self, path: &FilePath) -> OriginalKeeper<'_, '_> {
        self.reading.keeper(path.join(&b'/'))
    }
}
