//! Part: a range of a dump that belongs together. Each byte of a dump is in exactly one.

/// What a part tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKind {
    /// What comes before all else: settings of the session, where its binary log stands.
    Header,
    /// What sets the session back, and the line that says that the dump is complete.
    Footer,
    /// Where replication would begin. Such statements stay in the header where they stand there; else they are in the footer.
    Coordinates,
    Users,
    Roles,
    Grants,
    Tablespaces,
    Servers,
    /// Plugins, and functions of shared libraries.
    Plugins,
    Database,
    Sequence,
    Schema,
    Data,
    Triggers,
    /// A view as a table or a view of nothing, until all that it needs is there.
    ViewStub,
    View,
    Procedure,
    Function,
    Package,
    PackageBody,
    Event,
}

impl PartKind {
    /// Whether it is about the server, not about an object of a database.
    pub fn is_global(self) -> bool {
        self <= PartKind::Plugins
    }

    /// Whether it is one of the parts that make a table.
    pub fn is_of_table(self) -> bool {
        matches!(self, PartKind::Schema | PartKind::Data | PartKind::Triggers)
    }
}

/// A part of a dump: it reaches to where the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub start: u64,
    pub kind: PartKind,
    /// The database that it is about, or in. `None` where the dump does not say.
    pub database: Option<Vec<u8>>,
    /// The object; empty for parts about a database or the server.
    pub name: Vec<u8>,
}

/// What a table needs besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub kind: NeedKind,
    pub database: Option<Vec<u8>>,
    pub name: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedKind {
    /// A table that a foreign key refers to.
    Table,
    Sequence,
    /// A function that a trigger calls. One without a database may be the server's own.
    Function,
    /// A procedure that a trigger calls.
    Procedure,
    /// A table that a trigger writes or reads.
    TableOfTrigger,
}
