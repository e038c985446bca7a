//! ArchiveText: tells the text of an archive as its data comes.

use crate::dump::postgres::archive::large_objects::ObjectWriter;
use crate::dump::postgres::archive::script::Script;
use crate::dump::postgres::archive::toc::Toc;
use crate::dump::unpack::{ArchiveEnd, Output, Tell};
use crate::error::Result;

/// The text of one archive.
pub struct ArchiveText {
    script: Script,
    /// The entry whose data comes.
    present: Option<usize>,
    object: Option<ObjectWriter>,
    /// What is to be told.
    made: Vec<u8>,
}

impl ArchiveText {
    /// Begins the text, with what keeps psql from running what a server slipped in.
    pub fn begin(toc: Toc, key: &str, tell: &mut Tell) -> Result<ArchiveText> {
        let script = Script::new(toc, key.to_string());
        let mut text = ArchiveText { script, present: None, object: None, made: Vec::new() };
        text.script.begin(&mut text.made);
        text.tell(tell)?;
        Ok(text)
    }

    fn tell(&mut self, tell: &mut Tell) -> Result<()> {
        if !self.made.is_empty() {
            tell(Output::Text(&self.made))?;
            self.made.clear();
        }
        Ok(())
    }

    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The data of an entry begins.
    pub fn begin_data(&mut self, entry: usize, tell: &mut Tell) -> Result<()> {
        self.end_data(tell)?;
        self.present = Some(entry);
        self.script.begin_data(entry, &mut self.made);
        self.tell(tell)
    }

    /// The entry whose data comes.
    pub fn present(&self) -> Option<usize> {
        self.present
    }

    /// A large object begins, in the data of the present entry.
    pub fn begin_object(&mut self, number: u32) {
        self.end_object();
        self.object = Some(ObjectWriter::begin(number, self.script.is_standard(), &mut self.made));
    }

    /// Bytes of the present large object.
    pub fn object_bytes(&mut self, bytes: &[u8], tell: &mut Tell) -> Result<()> {
        if let Some(object) = &mut self.object {
            object.push(bytes, &mut self.made);
        }
        self.tell(tell)
    }

    fn end_object(&mut self) {
        if let Some(object) = self.object.take() {
            object.finish(&mut self.made);
        }
    }

    /// The data of the present entry ends.
    pub fn end_data(&mut self, tell: &mut Tell) -> Result<()> {
        self.end_object();
        if let Some(entry) = self.present.take() {
            self.script.end_data(entry, &mut self.made);
        }
        self.tell(tell)
    }

    /// All data has come: tells the rest of the text, or what is missing.
    pub fn finish(&mut self, tell: &mut Tell) -> Result<Option<String>> {
        self.end_data(tell)?;
        if let Some(at) = self.script.missing() {
            return Ok(Some(format!("{} missing", self.data_of(at))));
        }
        self.script.finish(&mut self.made);
        self.tell(tell)?;
        Ok(None)
    }

    /// The data of an entry, for people, up to the verb.
    pub fn data_of(&self, entry: usize) -> String {
        if self.script.holds_large_objects(entry) {
            return "the large objects are".into();
        }
        let toc = self.script.toc();
        let Some(entry) = toc.entries.get(entry) else { return "data is".into() };
        let shown = |text| String::from_utf8_lossy(toc.text(text));
        match toc.text(entry.schema) {
            b"" => format!("the rows of \"{}\" are", shown(entry.tag)),
            _ => format!("the rows of \"{}\".\"{}\" are", shown(entry.schema), shown(entry.tag)),
        }
    }

    /// What is known of an archive of this form, with what shows that it is not whole.
    pub fn end(&self, form: &str, fault: Option<String>) -> ArchiveEnd {
        let header = &self.script.toc().header;
        let (major, minor) = header.version;
        let form = Some(format!("{form}, version {major}.{minor}"));
        ArchiveEnd { fault, database: header.database.clone(), form, lists_files: true }
    }
}
