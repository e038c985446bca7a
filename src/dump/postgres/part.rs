//! Part: a range of a dump that belongs together. Each byte of a dump is in exactly one.

use crate::dump::letters::Letters;
use crate::dump::postgres::Event;

/// What a part tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKind {
    /// Settings of sessions, and where they go to another database.
    Header,
    /// The lines that say that the dump of a database is complete.
    Footer,
    Roles,
    /// Who is in which role.
    Grants,
    Tablespaces,
    /// The database itself.
    Database,
    /// What removes all that is made behind it.
    Drops,
    LargeObjects,
    DefaultPrivileges,
    Cast,
    Transform,
    AccessMethod,
    EventTrigger,
    Extension,
    ForeignDataWrapper,
    Language,
    Publication,
    Server,
    Subscription,
    /// What the reader does not know.
    Other,
    /// The schema itself.
    Schema,
    /// Which index is part of which.
    IndexAttachments,
    /// What the planner knows of tables and indexes.
    Statistics,
    Collation,
    Conversion,
    Function,
    Operator,
    OperatorClass,
    OperatorFamily,
    Sequence,
    TextSearchConfiguration,
    TextSearchDictionary,
    TextSearchParser,
    TextSearchTemplate,
    Type,
    View,
    /// What makes a table.
    Table,
    Data,
    /// What comes behind its rows: constraints, indexes, triggers, privileges, comments.
    Post,
    /// What makes it a part of another table.
    Attachment,
}

impl PartKind {
    /// Whether it is one of the parts that make a table.
    pub fn is_of_table(self) -> bool {
        self >= PartKind::Table
    }

    /// Whether it is about a schema, or something in one.
    pub fn is_in_schema(self) -> bool {
        self >= PartKind::Schema
    }

    /// Whether it is about the server, not about something in a database.
    pub fn is_global(self) -> bool {
        self <= PartKind::Tablespaces
    }
}

/// What a part is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    pub kind: PartKind,
    /// The database that it is, or that it is in. `None` where the dump does not say.
    pub database: Option<Vec<u8>>,
    /// Empty for what is in none.
    pub schema: Vec<u8>,
    /// Empty for what has none.
    pub name: Vec<u8>,
}

impl Object {
    fn names(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.database.iter_mut().chain([&mut self.schema, &mut self.name])
    }
}

/// A part of a dump: it reaches to where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub start: u64,
    pub object: Object,
}

/// What a table needs besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub kind: NeedKind,
    pub schema: Vec<u8>,
    pub name: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedKind {
    /// A table that it refers to, or inherits from.
    Table,
    Sequence,
    Function,
    /// A type, a collation, an operator class.
    Other,
    /// Who owns it, or may do something with it. In no schema.
    Role,
}

impl Event {
    /// With its names, which are in these letters, in UTF-8.
    pub fn in_utf8(mut self, letters: Letters) -> Event {
        match &mut self {
            Event::Part(part) => letters.make_utf8(part.object.names()),
            Event::Needs(needs) => {
                letters.make_utf8(needs.iter_mut().flat_map(|need| [&mut need.schema, &mut need.name]))
            }
            Event::Owns { table, sequence } => letters.make_utf8(table.names().chain(sequence.names())),
            Event::Row(_) | Event::NextDump => {}
        }
        self
    }
}
