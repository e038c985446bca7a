//! What the readers of dumps tell that are no text, but can be made text: archives.

use crate::compressed::recipe::StreamForm;
use crate::error::Result;

/// What comes of an archive, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'b> {
    /// Text that stands in the archive as it is.
    Shared(&'b [u8]),
    /// Text that does not.
    Text(&'b [u8]),
    /// Bytes of the archive that are no text.
    Frame(&'b [u8]),
    /// The next bytes of the archive that are no text are a stream, cut into pieces with their lengths in front, of so many bytes
    /// each behind one that is 0, and an empty one at the end. The text that follows is what is in it.
    Stream { form: StreamForm, length_bytes: usize },
}

/// Who is told.
pub type Tell<'t> = dyn FnMut(Output) -> Result<()> + 't;

/// What is known of an archive at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveEnd {
    /// What shows that it is not whole.
    pub fault: Option<String>,
    /// The database that was dumped.
    pub database: Option<Vec<u8>>,
    /// How it is written, for people.
    pub form: Option<String>,
    /// It tells itself which files there should be.
    pub lists_files: bool,
}

/// Reads an archive that is one file.
pub trait ArchiveReader {
    /// What such a file is called that has no name.
    fn usual_name(&self) -> &'static str;
    /// Whether it has streams: see [`Output::Stream`].
    fn has_streams(&self) -> bool {
        false
    }
    /// Takes the next bytes.
    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()>;
    /// Tells the rest of the text, and what is known at the end.
    fn finish(self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd>;
}

/// Reads an archive that is a directory: it says which file is next.
pub trait DirectoryReader {
    /// The name of the next file without how it is compressed; `None` behind the last.
    fn next_file(&mut self) -> Option<Vec<u8>>;
    fn is_missing(&mut self, file: &[u8]);
    /// Something is wrong.
    fn note(&mut self, fault: String);
    fn begin_file(&mut self, tell: &mut Tell) -> Result<()>;
    /// Whether all of the present file is text.
    fn is_in_text(&self) -> bool;
    fn push(&mut self, piece: &[u8], tell: &mut Tell) -> Result<()>;
    fn end_file(&mut self, tell: &mut Tell) -> Result<()>;
    fn finish(self: Box<Self>, tell: &mut Tell) -> Result<ArchiveEnd>;
}
