//! The document of an `_id` in a collection. Documents stand in no order that can be relied on, but no two have the same `_id`: where
//! the next newer snapshot is known, an older one has the document at the same place, or among what both do not share, or nowhere.

use std::ops::Range;

use crate::dump::mongo::{IdText, WantedJson, csv_ids};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::rows::comparison::{Comparison, RowView};
use crate::rows::form::RowForm;
use crate::rows::gaps::Gap;
use crate::rows::key::push_value;
use crate::rows::locate::{KeyPlace, Locator, NEAR_BYTES, wanted_key};
use crate::rows::nearby::Nearby;

/// What a row is looked for by: it has one of these keys, or what tells a document from others is this JSON.
pub struct Wanted {
    pub keys: Vec<Vec<u8>>,
    pub json: Option<WantedJson>,
}

/// The keys of records of CSV in a collection of this name that people may mean by these values.
///
/// # Errors
/// [`Error::Invalid`] where there is no key, or another number of columns.
pub fn csv_keys(comparison: &Comparison, name: &str, values: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    match comparison.key() {
        Some([_]) => csv_ids(&values.join(&b',')).map(|id| wanted_key(comparison, name, &[id])).collect(),
        _ => Ok(vec![wanted_key(comparison, name, values)?]),
    }
}

impl Wanted {
    /// A row of this form by its key: values as text, one for each column of it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the key.
    pub fn of(form: RowForm, comparison: &Comparison, name: &str, values: &[Vec<u8>]) -> Result<Wanted> {
        match form {
            RowForm::Document(_) => Wanted::document(&values.join(&b',')),
            RowForm::Csv { .. } => csv_keys(comparison, name, values).map(Wanted::keys),
            RowForm::Mysql(_) | RowForm::Postgres(_) => Ok(Wanted::keys(vec![wanted_key(comparison, name, values)?])),
        }
    }

    fn keys(keys: Vec<Vec<u8>>) -> Wanted {
        Wanted { keys, json: None }
    }

    /// A document's `_id`, as JSON or as plain text.
    pub fn document(text: &[u8]) -> Result<Wanted> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        let IdText { keys, json } =
            IdText::read(text).ok_or_else(|| Error::invalid("key", shown(), "it begins like JSON and is none"))?;
        let key = |id: Vec<u8>| {
            let mut key = Vec::new();
            push_value(&mut key, Some(&id));
            key
        };
        Ok(Wanted { keys: keys.into_iter().map(key).collect(), json })
    }

    pub fn is_met(&self, key: &[u8], row: &RowView, by: usize) -> bool {
        let is_json = |wanted: &WantedJson| {
            row.literal(by).is_some_and(|id| row.form.documents().is_some_and(|form| form.is_id(id, wanted)))
        };
        self.keys.iter().any(|wanted| wanted == key) || self.json.as_ref().is_some_and(is_json)
    }
}

/// What two collections do not share.
#[derive(Default)]
pub struct Unshared {
    pub gaps: Vec<Gap>,
    /// Bytes of the longest document of both.
    pub longest: u64,
}

/// Whether a document is sure to begin, or to end, between what two contents do not share and this place, which both have. Then both
/// have the same documents there. The longest of both has so many bytes.
pub fn is_framed_alike(
    repository: &Repository,
    older: &Content,
    gaps: &[Gap],
    place: u64,
    longest: u64,
) -> Result<bool> {
    let Some(gap) = gaps.iter().rev().find(|gap| gap.sides[0].end <= place) else { return Ok(true) };
    let mut bytes = Nearby::new(repository.chunks()?, older);
    Ok(bytes.document_before(place, place - gap.sides[0].end, longest)?.is_some())
}

impl Locator<'_> {
    /// The document, wherever it is.
    pub fn document(&self) -> Result<KeyPlace> {
        let size = self.side.data.size;
        match self.place_in_order(&self.wanted)? {
            Some(start) => match self.row_in_stretch(start, size.min(start + 2 * NEAR_BYTES))? {
                Some(place) => return Ok(place),
                None => self.note_disorder(),
            },
            None if size > NEAR_BYTES => self.note_no_order(),
            None => {}
        }
        Ok(self.row_in_stretch(0, size)?.unwrap_or_default())
    }

    /// The document in what this collection, the first of two, does not share with another one, in which it is not elsewhere. What
    /// is near to a place is read first.
    pub fn document_among(&self, Unshared { gaps, longest }: &Unshared, near: u64) -> Result<KeyPlace> {
        let mut ranges: Vec<Range<u64>> = gaps.iter().map(|gap| gap.sides[0].clone()).collect();
        ranges.sort_by_key(|range| range.start.saturating_sub(near).max(near.saturating_sub(range.end)));
        let (mut bytes, size) = (Nearby::new(self.dump.repository.chunks()?, &self.side.data), self.side.data.size);
        for range in ranges {
            let before = match range.start {
                0 => Some(0),
                start => bytes.document_before(start, start, *longest)?,
            };
            let Some(before) = before else { return self.document() };
            let end = bytes.document_behind(range.end, NEAR_BYTES, *longest)?.unwrap_or(size);
            if let Some(place) = self.row_in_stretch(range.start - before, end)? {
                return Ok(place);
            }
        }
        Ok(KeyPlace::default())
    }
}
