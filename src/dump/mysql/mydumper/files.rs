//! Which file of a directory is which, and in which order they load.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// What a file of statements makes. Within a database they load in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    Tablespaces,
    Database,
    Sequence,
    Schema,
    /// A table in the place of a view, until all that the view needs is there.
    ViewStub,
    Data,
    Triggers,
    View,
    /// Routines and events.
    Routines,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFile {
    /// As it is called in the directory.
    pub name: Vec<u8>,
    pub kind: FileKind,
    /// As the file is named for them, which may be for want of something better.
    pub database: Vec<u8>,
    pub object: Vec<u8>,
    /// Numbers of the piece of a table's rows.
    piece: Vec<u64>,
}

/// Ends of names, each before those that it ends with.
const ENDS: [(&str, FileKind); 9] = [
    ("all-schema-create-tablespace.sql", FileKind::Tablespaces),
    ("-schema-create.sql", FileKind::Database),
    ("-schema-sequence.sql", FileKind::Sequence),
    ("-schema-triggers.sql", FileKind::Triggers),
    ("-schema-view.sql", FileKind::View),
    ("-schema-post.sql", FileKind::Routines),
    ("-schema-mv.sql", FileKind::View),
    ("-schema.sql", FileKind::Schema),
    (".sql", FileKind::Data),
];

/// Fewest digits of the number of a piece.
const PIECE_DIGITS: usize = 5;

/// Whether this is what tells of a dump that was completed.
pub fn is_metadata(name: &[u8]) -> bool {
    name == b"metadata"
}

/// Whether this is what tells of a dump that was not, or of a part of one.
pub fn is_partial_metadata(name: &[u8]) -> bool {
    name.starts_with(b"metadata.partial")
}

/// The files with statements, in the order in which they load, and all others. Names are given with how each is compressed.
pub fn in_loading_order(names: Vec<(Vec<u8>, Option<&'static str>)>) -> (Vec<StatementFile>, Vec<Vec<u8>>) {
    let mut sorted = Sorted::default();
    for (name, suffix) in names {
        let plain = name.strip_suffix(suffix.unwrap_or_default().as_bytes()).unwrap_or(&name);
        let found = ENDS.iter().find_map(|(end, kind)| Some((plain.strip_suffix(end.as_bytes())?, *kind)));
        match found {
            Some((subject, kind)) => sorted.files.push((subject.to_vec(), kind, name)),
            None => sorted.others.push(name),
        }
    }
    sorted.finish()
}

#[derive(Default)]
struct Sorted {
    /// What each is about: `database` or `database.object`.
    files: Vec<(Vec<u8>, FileKind, Vec<u8>)>,
    others: Vec<Vec<u8>>,
}

impl Sorted {
    fn finish(self) -> (Vec<StatementFile>, Vec<Vec<u8>>) {
        let subjects = |wanted: FileKind| -> BTreeSet<Vec<u8>> {
            let those = self.files.iter().filter(|(_, kind, _)| *kind == wanted);
            those.map(|(subject, ..)| subject.clone()).collect()
        };
        let (databases, tables, views) =
            (subjects(FileKind::Database), subjects(FileKind::Schema), subjects(FileKind::View));
        let mut files: Vec<StatementFile> = Vec::new();
        for (mut subject, kind, name) in self.files.iter().cloned() {
            let mut piece = Vec::new();
            if kind == FileKind::Data {
                piece = split_piece(&mut subject, &tables);
            }
            let kind = if kind == FileKind::Schema && views.contains(&subject) { FileKind::ViewStub } else { kind };
            let (database, object) = match kind {
                FileKind::Tablespaces => (Vec::new(), Vec::new()),
                FileKind::Database | FileKind::Routines => (subject, Vec::new()),
                _ => split_database(&subject, &databases),
            };
            files.push(StatementFile { name, kind, database, object, piece });
        }
        files.sort_by(StatementFile::compare);
        (files, self.others)
    }
}

/// Takes the numbers of a piece off what a file is about: `shop.orders.00001` is of the table of `shop.orders-schema.sql`.
fn split_piece(subject: &mut Vec<u8>, tables: &BTreeSet<Vec<u8>>) -> Vec<u64> {
    let mut piece = Vec::new();
    while !tables.contains(subject) {
        let Some(dot) = subject.iter().rposition(|&byte| byte == b'.') else { break };
        let digits = &subject[dot + 1..];
        let is_number = digits.len() >= PIECE_DIGITS && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let Some(number) = number.filter(|_| is_number) else { break };
        piece.insert(0, number);
        subject.truncate(dot);
    }
    piece
}

/// `shop.orders` is of the longest database that is known and may be meant, else of what is before its first dot.
fn split_database(subject: &[u8], databases: &BTreeSet<Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
    let dots: Vec<usize> = (0..subject.len()).filter(|&at| subject[at] == b'.').collect();
    let known = dots.iter().rev().find(|&&dot| databases.contains(&subject[..dot]));
    match known.or(dots.first()) {
        Some(&dot) => (subject[..dot].to_vec(), subject[dot + 1..].to_vec()),
        None => (subject.to_vec(), Vec::new()),
    }
}

impl StatementFile {
    /// Views and routines load once all tables of all databases are there.
    pub fn is_late(&self) -> bool {
        self.kind >= FileKind::View
    }

    fn compare(&self, other: &StatementFile) -> Ordering {
        // The files of a table stand together.
        let rank = |file: &StatementFile| match file.kind {
            FileKind::Schema | FileKind::ViewStub | FileKind::Data | FileKind::Triggers => FileKind::Schema,
            kind => kind,
        };
        let tablespaces = |file: &StatementFile| file.kind != FileKind::Tablespaces;
        let place = |file: &StatementFile| (tablespaces(file), file.is_late());
        place(self)
            .cmp(&place(other))
            .then_with(|| self.database.cmp(&other.database))
            .then_with(|| rank(self).cmp(&rank(other)))
            .then_with(|| self.object.cmp(&other.object))
            .then_with(|| self.kind.cmp(&other.kind))
            .then_with(|| self.piece.cmp(&other.piece))
            .then_with(|| self.name.cmp(&other.name))
    }
}

/// What the last file was about.
#[derive(Default)]
pub struct LastNames(Option<(FileKind, Vec<u8>, Vec<u8>)>);

impl LastNames {
    /// Whether this one is about something else.
    pub fn change_to(&mut self, file: &StatementFile) -> bool {
        let present = Some((file.kind, file.database.clone(), file.object.clone()));
        let is_other = self.0 != present;
        self.0 = present;
        is_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let wrapping = |name: &str| [".gz", ".zst"].into_iter().find(|suffix| name.ends_with(suffix));
        let names = names.iter().map(|name| (name.as_bytes().to_vec(), wrapping(name))).collect();
        let (files, others) = in_loading_order(names);
        let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let line = |file: &StatementFile| format!("{} {}", shown(&file.name), shown(&file.object));
        (files.iter().map(line).collect(), others.iter().map(|name| shown(name)).collect())
    }

    #[test]
    fn files_load_in_order() {
        let (files, others) = ordered(&[
            "metadata",
            "shop-schema-post.sql",
            "shop.v-schema-view.sql.gz",
            "shop.v-schema.sql.gz",
            "shop.orders.00010.sql",
            "shop.orders.00009.00002.sql",
            "shop.orders.00009.00001.sql.zst",
            "shop.orders-schema-triggers.sql",
            "shop.orders-schema.sql",
            "shop.numbers-schema-sequence.sql",
            "shop.z.sql",
            "shop-schema-create.sql",
            "a.b-schema-create.sql",
            "a.b.t-schema.sql",
            "a.b.t.00000-schema.sql",
            "a.b.t.00000.sql",
            "a.b.t.00000.00001.sql",
            "all-schema-create-tablespace.sql",
            "shop.orders-metadata",
        ]);
        assert_eq!(
            files,
            [
                "all-schema-create-tablespace.sql ",
                "a.b-schema-create.sql ",
                "a.b.t-schema.sql t",
                "a.b.t.00000-schema.sql t.00000",
                "a.b.t.00000.sql t.00000",
                "a.b.t.00000.00001.sql t.00000",
                "shop-schema-create.sql ",
                "shop.numbers-schema-sequence.sql numbers",
                "shop.orders-schema.sql orders",
                "shop.orders.00009.00001.sql.zst orders",
                "shop.orders.00009.00002.sql orders",
                "shop.orders.00010.sql orders",
                "shop.orders-schema-triggers.sql orders",
                "shop.v-schema.sql.gz v",
                "shop.z.sql z",
                "shop.v-schema-view.sql.gz v",
                "shop-schema-post.sql ",
            ]
        );
        assert_eq!(others, ["metadata", "shop.orders-metadata"]);
        assert!(is_metadata(b"metadata") && is_partial_metadata(b"metadata.partial.0") && !is_metadata(b"metadata.x"));
    }
}
