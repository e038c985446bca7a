//! Phrase: the words that say of what kind the object is whose name follows, as `MATERIALIZED VIEW`.

use crate::dump::postgres::part::PartKind;
use crate::dump::postgres::words::Words;

/// What the words before a name say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phrase {
    /// An object of this kind, in a schema.
    InSchema(PartKind),
    /// A function: its arguments belong to its name.
    Function,
    Operator,
    /// An object of this kind, in the database.
    InDatabase(PartKind),
    /// Something whose parts are all in one file.
    Unnamed(PartKind),
    Database,
    Schema,
    Cast,
    Transform,
    UserMapping,
    /// Something that a table has, which is named behind it.
    OfTable,
    Rule,
    Index,
    ExtendedStatistics,
    Column,
}

/// Longer ones first where one begins as another does.
const PHRASES: [(&[&str], Phrase); 49] = [
    (&["TABLE"], Phrase::InSchema(PartKind::Table)),
    (&["FOREIGN", "TABLE"], Phrase::InSchema(PartKind::Table)),
    (&["VIEW"], Phrase::InSchema(PartKind::View)),
    (&["MATERIALIZED", "VIEW"], Phrase::InSchema(PartKind::View)),
    (&["SEQUENCE"], Phrase::InSchema(PartKind::Sequence)),
    (&["INDEX"], Phrase::Index),
    (&["TYPE"], Phrase::InSchema(PartKind::Type)),
    (&["DOMAIN"], Phrase::InSchema(PartKind::Type)),
    (&["FUNCTION"], Phrase::Function),
    (&["PROCEDURE"], Phrase::Function),
    (&["ROUTINE"], Phrase::Function),
    (&["AGGREGATE"], Phrase::Function),
    (&["TRIGGER"], Phrase::OfTable),
    (&["CONSTRAINT", "TRIGGER"], Phrase::OfTable),
    (&["CONSTRAINT"], Phrase::OfTable),
    (&["RULE"], Phrase::Rule),
    (&["POLICY"], Phrase::OfTable),
    (&["COLUMN"], Phrase::Column),
    (&["SCHEMA"], Phrase::Schema),
    (&["DATABASE"], Phrase::Database),
    (&["EXTENSION"], Phrase::InDatabase(PartKind::Extension)),
    (&["OPERATOR", "CLASS"], Phrase::InSchema(PartKind::OperatorClass)),
    (&["OPERATOR", "FAMILY"], Phrase::InSchema(PartKind::OperatorFamily)),
    (&["OPERATOR"], Phrase::Operator),
    (&["COLLATION"], Phrase::InSchema(PartKind::Collation)),
    (&["CONVERSION"], Phrase::InSchema(PartKind::Conversion)),
    (&["TEXT", "SEARCH", "CONFIGURATION"], Phrase::InSchema(PartKind::TextSearchConfiguration)),
    (&["TEXT", "SEARCH", "DICTIONARY"], Phrase::InSchema(PartKind::TextSearchDictionary)),
    (&["TEXT", "SEARCH", "PARSER"], Phrase::InSchema(PartKind::TextSearchParser)),
    (&["TEXT", "SEARCH", "TEMPLATE"], Phrase::InSchema(PartKind::TextSearchTemplate)),
    (&["STATISTICS"], Phrase::ExtendedStatistics),
    (&["CAST"], Phrase::Cast),
    (&["TRANSFORM"], Phrase::Transform),
    (&["LANGUAGE"], Phrase::InDatabase(PartKind::Language)),
    (&["ACCESS", "METHOD"], Phrase::InDatabase(PartKind::AccessMethod)),
    (&["FOREIGN", "DATA", "WRAPPER"], Phrase::InDatabase(PartKind::ForeignDataWrapper)),
    (&["FOREIGN", "SERVER"], Phrase::InDatabase(PartKind::Server)),
    (&["SERVER"], Phrase::InDatabase(PartKind::Server)),
    (&["USER", "MAPPING"], Phrase::UserMapping),
    (&["EVENT", "TRIGGER"], Phrase::InDatabase(PartKind::EventTrigger)),
    (&["PUBLICATION"], Phrase::InDatabase(PartKind::Publication)),
    (&["SUBSCRIPTION"], Phrase::InDatabase(PartKind::Subscription)),
    (&["LARGE", "OBJECT"], Phrase::Unnamed(PartKind::LargeObjects)),
    (&["DEFAULT", "PRIVILEGES"], Phrase::Unnamed(PartKind::DefaultPrivileges)),
    (&["ROLE"], Phrase::Unnamed(PartKind::Roles)),
    (&["USER"], Phrase::Unnamed(PartKind::Roles)),
    (&["GROUP"], Phrase::Unnamed(PartKind::Roles)),
    (&["TABLESPACE"], Phrase::Unnamed(PartKind::Tablespaces)),
    (&["PARAMETER"], Phrase::Unnamed(PartKind::Grants)),
];

/// Words that may stand before them in a `CREATE`.
const MANNERS: [&str; 11] = [
    "OR",
    "REPLACE",
    "UNLOGGED",
    "TEMPORARY",
    "TEMP",
    "UNIQUE",
    "TRUSTED",
    "PROCEDURAL",
    "RECURSIVE",
    "DEFAULT",
    "GLOBAL",
];

impl Phrase {
    /// Passes the words that say what is created, altered, or told about.
    pub fn take(words: &mut Words) -> Option<Phrase> {
        if let Some(phrase) = Phrase::here(words) {
            return Some(phrase);
        }
        while MANNERS.iter().any(|manner| words.pass(manner)) {}
        Phrase::here(words)
    }

    fn here(words: &mut Words) -> Option<Phrase> {
        PHRASES.iter().find(|(keywords, _)| words.pass_all(keywords)).map(|(_, phrase)| *phrase)
    }
}
