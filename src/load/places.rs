//! Places: the databases of the server into which those of a dump go.

use std::ops::Range;

use crate::dump::layout::database_directory;
use crate::dump::name::name_of_file;
use crate::dump::part_line::PartLine;
use crate::error::{Error, Result};
use crate::load::outline::{each_part, text_at};
use crate::load::passages::{Leading, Passage, PassageFinder};
use crate::load::tables::{Database, DumpTables, text_of};
use crate::repository::content::Content;
use crate::repository::content_reader::ContentReader;
use crate::repository::node::Node;

/// Where a whole dump goes: what it names no database for into the one that the server's URL names, or else into the one that the
/// snapshot calls so.
pub struct Places<'u> {
    passages: Vec<Passage>,
    of_url: Option<&'u str>,
    has_databases: bool,
}

impl<'u> Places<'u> {
    /// Finds the places of a dump. A URL with another database than the dump names, or `neutral`, is refused, since nothing would
    /// go there; and one into which several would be poured.
    pub fn find(
        tables: &DumpTables,
        contents: ContentReader,
        (root, dump): (&Node, &Content),
        leading: &Leading,
        (of_url, neutral): (Option<&'u str>, Option<&str>),
    ) -> Result<Places<'u>> {
        let mut finder = PassageFinder::new(leading, tables.inputs(root, &contents)?);
        each_part(contents, dump, &tables.parts_of_any(root)?, |part: &PartLine, range: Range<u64>| {
            finder.push(part, range, |range| text_at(&contents, dump, range))
        })?;
        let places =
            Places { passages: finder.finish(dump.size), of_url, has_databases: !tables.databases().is_empty() };
        let Some(of_url) = of_url else { return Ok(places) };
        match places.unnamed().count() {
            0 => places.refuse_named(of_url, neutral, tables.databases())?,
            1 => {}
            _ => return Err(places.several_in_one(of_url)),
        }
        Ok(places)
    }

    /// What clients are given one after the other.
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// The directories of databases that the dump does not lead to.
    fn unnamed(&self) -> impl Iterator<Item = &[u8]> {
        self.passages.iter().filter_map(|passage| passage.unnamed.as_deref())
    }

    /// The database of the server that one of the dump goes into.
    pub fn place_of(&self, database: &Database) -> Vec<u8> {
        let directory = database_directory(&database.name);
        match self.of_url.filter(|_| self.unnamed().any(|unnamed| unnamed == directory)) {
            Some(of_url) => of_url.as_bytes().to_vec(),
            None => database.name.clone(),
        }
    }

    /// The database in which the client of a passage begins; `None` where the dump leads it to all.
    pub fn beginning_of(&self, passage: &Passage) -> Result<Option<String>> {
        match (&passage.unnamed, self.of_url) {
            (None, of_url) => Ok(of_url.filter(|_| !self.has_databases).map(str::to_string)),
            (Some(_), Some(of_url)) => Ok(Some(of_url.to_string())),
            (Some(directory), None) => {
                let name = name_of_file(directory).ok_or_else(|| {
                    let reason = "it is too long for a file, so that the snapshot does not tell all of it";
                    Error::invalid("name", String::from_utf8_lossy(directory), reason)
                })?;
                text_of(&name).map(Some)
            }
        }
    }

    /// What a passage is called where it fails.
    pub fn title_of(&self, passage: &Passage) -> Result<String> {
        if self.passages.len() == 1 {
            return Ok("the dump".into());
        }
        let into = self.beginning_of(passage)?.map(|name| format!(" into \"{name}\"")).unwrap_or_default();
        Ok(format!("the dump \"{}\"{into}", passage.input))
    }

    fn refuse_named(&self, of_url: &str, neutral: Option<&str>, databases: &[Database]) -> Result<()> {
        let named = listed(databases.iter().map(|database| &database.name[..]));
        if databases.is_empty() || of_url == named || Some(of_url) == neutral {
            return Ok(());
        }
        let what = if databases.len() > 1 { "databases" } else { "database" };
        Err(Error::invalid(
            "option",
            "--into",
            format!(
                "the dump names its {what} itself, \"{named}\": leave \"{of_url}\" out of the URL, or load tables with --table"
            ),
        ))
    }

    fn several_in_one(&self, of_url: &str) -> Error {
        let unnamed: Vec<Vec<u8>> = self.unnamed().map(|name| name_of_file(name).unwrap_or(name.to_vec())).collect();
        let unnamed = listed(unnamed.iter().map(|name| &name[..]));
        Error::invalid(
            "option",
            "--into",
            format!(
                "the dump does not name its databases \"{unnamed}\" itself, and all would go into one: leave \"{of_url}\" out of the \
                 URL, and each goes into its own, or load tables with --table"
            ),
        )
    }
}

/// Names with quotes between them.
fn listed<'n>(names: impl Iterator<Item = &'n [u8]>) -> String {
    names.map(String::from_utf8_lossy).collect::<Vec<_>>().join("\", \"")
}
