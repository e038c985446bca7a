//! Documents of MongoDB as they are shown: JSON of which nothing but the fields at the top is taken apart.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use yesterfs::rows::RowView;

/// The fields at the top of a document, each value as the snapshot has it.
pub fn shown_fields(view: &RowView) -> Vec<(String, Box<RawValue>)> {
    // What is shown of a document is JSON.
    serde_json::from_slice(&view.form.shown_row(view.text())).map_or_else(|_| Vec::new(), |Fields(fields)| fields)
}

/// The fields of an object, in order.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}
