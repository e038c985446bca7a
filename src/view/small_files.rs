//! The small files behind a file in its directory, for whoever reads them in that order: a batch of them is decoded
//! together, since they lie side by side in their pack.

use crate::error::Result;
use crate::repository::content::Content;
use crate::repository::node::NodeKind;
use crate::view::View;

/// Files of one batch: few at first, since a reader is close behind.
const BATCH_MIN_FILES: usize = 16;
const BATCH_MAX_FILES: usize = 64;
const BATCH_MAX_BYTES: u64 = 1 << 20;

/// Regular files that come behind a file in its directory.
#[derive(Clone, Copy)]
pub struct SmallFiles<'w> {
    /// The number of that file.
    pub behind: u64,
    /// Larger ones are left out, ...
    pub size_max_bytes: u64,
    /// ... and those whose numbers this refuses, ...
    pub wanted: &'w dyn Fn(u64) -> bool,
    /// ... and all behind so many.
    pub count_max: u64,
}

/// Files about to be read, by number.
#[derive(Default)]
struct Batch {
    files: Vec<(u64, Content)>,
    bytes: u64,
}

impl View {
    /// These files, by number, and what they hold, until `emit` returns false. One that cannot be read is left to whoever
    /// needs it.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn small_files(&self, which: SmallFiles, emit: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
        let located = self.located(which.behind)?;
        let (mut batch, mut batch_files, mut files_left) = (Batch::default(), BATCH_MIN_FILES, which.count_max);
        let mut goes_on = true;
        self.snapshots.list_behind(&self.repository, &located, &mut |ino, node| {
            let NodeKind::File { content, .. } = &node.kind else { return Ok(true) };
            if content.size == 0 || content.size > which.size_max_bytes || !(which.wanted)(ino) {
                return Ok(true);
            }
            batch.bytes += content.size;
            batch.files.push((ino, content.clone()));
            files_left = files_left.saturating_sub(1);
            if batch.files.len() >= batch_files || batch.bytes >= BATCH_MAX_BYTES {
                goes_on = self.read_batch(&mut batch, which, emit)?;
                batch_files = (2 * batch_files).min(BATCH_MAX_FILES);
            }
            Ok(goes_on && files_left > 0)
        })?;
        if goes_on {
            self.read_batch(&mut batch, which, emit)?;
        }
        Ok(())
    }

    /// Empties the batch. False where `emit` returned that.
    fn read_batch(
        &self,
        batch: &mut Batch,
        which: SmallFiles,
        emit: &mut dyn FnMut(u64, &[u8]) -> bool,
    ) -> Result<bool> {
        let (contents, mut bytes) = (self.repository.contents()?, Vec::new());
        contents.prefetch_small(batch.files.iter().map(|(_, content)| content))?;
        batch.bytes = 0;
        for (ino, content) in batch.files.drain(..) {
            // The reader may have come closer meanwhile.
            if !(which.wanted)(ino) {
                continue;
            }
            bytes.clear();
            match contents.read(&content, 0, content.size as usize, &mut bytes) {
                Ok(()) if !emit(ino, &bytes) => return Ok(false),
                Ok(()) => {}
                Err(error) => log::debug!("inode {ino} is left to its reader: {error}"),
            }
        }
        Ok(true)
    }
}
