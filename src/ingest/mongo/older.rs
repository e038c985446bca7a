//! OlderFiles: what the files of the snapshot before hold. All at once, since an archive names its collections as it goes.

use std::collections::HashMap;

use crate::error::Result;
use crate::ingest::dump::DumpReading;
use crate::ingest::mongo::layout::FilePath;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::tree::TreeReader;
use crate::store::ChunkStore;

/// Contents by path: of files in the root, and in its directories.
#[derive(Default)]
pub struct OlderFiles(HashMap<FilePath, Content>);

impl OlderFiles {
    /// Those of the snapshot before. Where they cannot be read, there are none.
    pub fn of(reading: &DumpReading) -> OlderFiles {
        let chunks = reading.session.chunks().store();
        let read = reading.before().map(|root| OlderFiles::read(chunks, root));
        let read = read.transpose().inspect_err(|error| log::warn!("going on without the last snapshot: {error}"));
        read.ok().flatten().unwrap_or_default()
    }

    fn read(chunks: &ChunkStore, root: &Node) -> Result<OlderFiles> {
        let (mut files, reader) = (HashMap::new(), TreeReader::new(chunks));
        for entry in root.directory().into_iter().flat_map(|root| reader.entries(root)) {
            let entry = entry?;
            let Some(below) = entry.node.directory() else {
                files.extend(entry.node.content().map(|content| (vec![entry.name.to_vec()], content.clone())));
                continue;
            };
            for file in reader.entries(below) {
                let file = file?;
                let path = || vec![entry.name.to_vec(), file.name.to_vec()];
                files.extend(file.node.content().map(|content| (path(), content.clone())));
            }
        }
        Ok(OlderFiles(files))
    }

    pub fn at(&self, path: &FilePath) -> Option<&Content> {
        self.0.get(path)
    }
}
