//! What a `CREATE TABLE` says of the columns and keys of its table.

use std::borrow::Cow;

use crate::dump::mysql::lexer::{Lexer, Sink};
use crate::dump::mysql::words::{QuoteModes, Word, Words};
use crate::dump::table::{Column, ColumnKind, Key, TableSchema};

/// Finds the statement.
#[derive(Default)]
struct Statements {
    found: Option<TableSchema>,
}

impl Sink for Statements {
    fn statement(&mut self, _: u64, text: &[u8], modes: QuoteModes) {
        if self.found.is_none() {
            self.found = create_table(text, modes);
        }
    }
}

/// The first table that `text` makes, the statements of which begin in these modes.
pub fn table_schema(text: &[u8], modes: QuoteModes) -> Option<TableSchema> {
    let (mut lexer, mut statements) = (Lexer::reading(modes, false), Statements::default());
    lexer.push(text, &mut statements);
    lexer.finish(&mut statements);
    statements.found
}

/// Of the first table that `text` makes, how many bytes a value of each column has that holds bits.
pub fn bytes_of_bits(text: &[u8], modes: QuoteModes) -> Vec<Option<usize>> {
    let (mut lexer, mut found) = (Lexer::reading(modes, false), Bits(None));
    lexer.push(text, &mut found);
    lexer.finish(&mut found);
    found.0.unwrap_or_default()
}

struct Bits(Option<Vec<Option<usize>>>);

impl Sink for Bits {
    fn statement(&mut self, _: u64, text: &[u8], modes: QuoteModes) {
        let Some((_, mut words)) = begin_table(text, modes).filter(|_| self.0.is_none()) else { return };
        let mut found = Vec::new();
        if words.pass_symbol(b'(') {
            while let Some((item, goes_on)) = next_item(&mut words) {
                if is_column(&item) {
                    found.push(bytes_of_column(&item));
                }
                if !goes_on {
                    break;
                }
            }
        }
        self.0 = Some(found);
    }
}

/// `bits bit(9)`.
fn bytes_of_column(item: &[(u32, Word)]) -> Option<usize> {
    let [_, (_, kind), rest @ ..] = item else { return None };
    let bits = match rest {
        [(_, Word::Symbol(b'(')), (_, Word::Plain(digits)), ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => 1,
    };
    kind.is("BIT").then_some(usize::div_ceil(bits, 8))
}

/// What follows the name of the table that this statement makes, and that name.
fn begin_table(text: &[u8], modes: QuoteModes) -> Option<(Vec<u8>, Words<'_>)> {
    let mut words = Words::new(text, modes);
    if !words.pass("CREATE") {
        return None;
    }
    let mut words = words.skip_to(&["TABLE"])?.past_if_exists();
    let (_, name) = words.qualified_name()?;
    Some((name, words))
}

fn create_table(text: &[u8], modes: QuoteModes) -> Option<TableSchema> {
    let (name, mut words) = begin_table(text, modes)?;
    let mut schema = TableSchema { name, ..TableSchema::default() };
    let mut definition = words.clone();
    if words.pass_symbol(b'(') {
        while let Some((item, goes_on)) = next_item(&mut words) {
            note(&mut schema, &item);
            if !goes_on {
                break;
            }
        }
    }
    while let Some(word) = definition.next() {
        if word.is("AUTO_INCREMENT") && definition.pass_symbol(b'=') {
            schema.auto_increment = definition.next().and_then(|word| Some(word.name()?.into_owned()));
            continue;
        }
        push_word(&mut schema.definition, &word);
    }
    Some(schema)
}

/// Adds a word so that different ones stay different.
fn push_word(definition: &mut Vec<u8>, word: &Word) {
    match word {
        Word::Symbol(byte) => definition.push(*byte),
        Word::Plain(word) => definition.extend(word.to_ascii_lowercase()),
        Word::Name(name) => definition.extend_from_slice(name),
        Word::Text(text) => {
            definition.push(b'\'');
            definition.extend_from_slice(text);
        }
    }
    definition.push(0);
}

/// The words of one column or key, without what is in parentheses further in than the names of a key's columns; and whether
/// another one follows.
fn next_item<'a>(words: &mut Words<'a>) -> Option<(Vec<(u32, Word<'a>)>, bool)> {
    let (mut item, mut depth) = (Vec::new(), 0);
    loop {
        let word = words.next()?;
        match word {
            Word::Symbol(b',') if depth == 0 => return Some((item, true)),
            Word::Symbol(b')') if depth == 0 => return Some((item, false)),
            Word::Symbol(b')') => depth -= 1,
            Word::Symbol(b'(') => {
                item.push((depth, word));
                depth += 1;
                continue;
            }
            _ => {}
        }
        item.push((depth, word));
    }
}

fn note(schema: &mut TableSchema, item: &[(u32, Word)]) {
    let Some((_, first)) = item.first() else { return };
    let begins = |keyword: &str| first.is(keyword);
    if begins("PRIMARY") || begins("UNIQUE") || begins("CONSTRAINT") {
        schema.keys.extend(key(item));
    } else if is_column(item) {
        schema.columns.extend(column(item));
    }
}

/// Whether an item is a column. Servers put a name in quotes that is one of these words, but for the last one.
fn is_column(item: &[(u32, Word)]) -> bool {
    const OTHERS: [&str; 9] =
        ["PRIMARY", "UNIQUE", "CONSTRAINT", "KEY", "INDEX", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"];
    let is_at = |place: usize, word: &str| item.get(place).is_some_and(|(_, it)| it.is(word));
    let is_other = OTHERS.iter().any(|other| is_at(0, other)) || (is_at(0, "PERIOD") && is_at(1, "FOR"));
    !item.is_empty() && !is_other
}

/// A primary or a unique key. Parts of columns count as the columns; one with an expression has no columns that are named.
fn key(item: &[(u32, Word)]) -> Option<Key> {
    let top: Vec<&Word> = item.iter().filter(|(depth, _)| *depth == 0).map(|(_, word)| word).collect();
    let kind = top.iter().take_while(|word| !word.is("FOREIGN") && !word.is("CHECK"));
    let kind = kind.clone().find(|word| word.is("PRIMARY") || word.is("UNIQUE"))?;
    let inside = item.iter().filter(|(depth, _)| *depth == 1);
    let (mut columns, mut is_named) = (Vec::new(), false);
    for (_, word) in inside {
        match word {
            Word::Symbol(b'(') if !is_named => columns.push(Vec::new()),
            Word::Symbol(b',') => is_named = false,
            word if !is_named => columns.extend(word.name().map(Cow::into_owned)),
            _ => {}
        }
        is_named = is_named || *word != Word::Symbol(b',');
    }
    Some(Key { is_primary: kind.is("PRIMARY"), columns })
}

fn column(item: &[(u32, Word)]) -> Option<Column> {
    let name = item.first()?.1.name()?.into_owned();
    let top: Vec<&Word> = item[1..].iter().filter(|(depth, _)| *depth == 0).map(|(_, word)| word).collect();
    let has = |keyword: &str| top.iter().any(|word| word.is(keyword));
    let follows = |first: &str, second: &str| top.windows(2).any(|two| two[0].is(first) && two[1].is(second));
    let is_computed = top.windows(2).any(|two| two[0].is("AS") && *two[1] == Word::Symbol(b'('));
    Some(Column {
        name,
        kind: kind_of(top.first()?),
        is_generated: is_computed || has("GENERATED"),
        changes_itself: follows("ON", "UPDATE"),
        is_not_null: follows("NOT", "NULL"),
        is_invisible: has("INVISIBLE"),
        is_fixed: false,
    })
}

fn kind_of(word: &Word) -> ColumnKind {
    const TEXT: [&str; 9] = ["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"];
    const BYTES: [&str; 9] =
        ["binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "uuid", "inet6", "inet4"];
    const GEOMETRY: [&str; 8] = [
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
    ];
    let is_among = |words: &[&str]| words.iter().any(|it| word.is(&it.to_ascii_uppercase()));
    match word {
        _ if is_among(&TEXT) => ColumnKind::Text,
        _ if is_among(&BYTES) => ColumnKind::Bytes,
        _ if is_among(&GEOMETRY) => ColumnKind::Geometry,
        _ if word.is("BIT") => ColumnKind::Bits,
        _ if word.is("FLOAT") => ColumnKind::AsText,
        _ => ColumnKind::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> TableSchema {
        table_schema(text.as_bytes(), QuoteModes::default()).unwrap()
    }

    const ORDERS: &str = "\
-- Table structure for table `orders`
DROP TABLE IF EXISTS `orders`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `a``b` varchar(20) DEFAULT 'it''s, (GENERATED)' COMMENT 'AS ( NOT NULL',
  `price` decimal(10,2) NOT NULL DEFAULT 0.00,
  `ratio` float DEFAULT NULL,
  `total` decimal(12,2) GENERATED ALWAYS AS (`price` * 2) STORED,
  `bits` bit(9) DEFAULT b'0' INVISIBLE,
  `at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  `data` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL CHECK (json_valid(`data`)),
  PRIMARY KEY (`id`,`price`),
  UNIQUE KEY `u` (`a``b`(10) DESC),
  UNIQUE KEY `v` (`price`,`at`) USING BTREE,
  KEY `k` (`ratio`),
  CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `o` (`id`) ON DELETE SET NULL ON UPDATE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4
/*!50100 PARTITION BY KEY (`id`) */;
";

    #[test]
    fn columns_and_keys_are_found() {
        let table = read(ORDERS);
        assert_eq!(table.name, b"orders");
        let names: Vec<_> = table.columns.iter().map(|it| std::str::from_utf8(&it.name).unwrap()).collect();
        assert_eq!(names, ["id", "a`b", "price", "ratio", "total", "bits", "at", "data"]);
        let those = |is: fn(&Column) -> bool| table.columns.iter().map(|it| u8::from(is(it))).collect::<Vec<_>>();
        assert_eq!(those(|it| it.is_generated), [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(those(|it| it.is_not_null), [1, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(those(|it| it.changes_itself), [0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(those(|it| it.is_invisible), [0, 0, 0, 0, 0, 1, 0, 0]);
        let kinds: Vec<_> = table.columns.iter().map(|it| it.kind).collect();
        use ColumnKind::{AsText, Bits, Exact, Text};
        assert_eq!(kinds, [Exact, Text, Exact, AsText, Exact, Bits, Exact, Text]);
        let identifying: Vec<_> = table.identifying_keys().map(|key| key.columns.concat()).collect();
        assert_eq!(identifying, [b"idprice".to_vec(), b"priceat".to_vec()]);
        assert_eq!(table.keys.len(), 3);
        assert_eq!(table.auto_increment.as_deref(), Some(b"17".as_slice()));
        let bits = bytes_of_bits(ORDERS.as_bytes(), QuoteModes::default());
        assert_eq!(bits, [None, None, None, None, None, Some(2), None, None]);
    }

    #[test]
    fn only_the_next_number_does_not_count_for_the_definition() {
        let (table, later) = (read(ORDERS), read(&ORDERS.replace("AUTO_INCREMENT=17 ", "AUTO_INCREMENT=18 ")));
        assert_eq!(table.definition, later.definition);
        for (old, new) in [("varchar(20)", "varchar(21)"), ("KEY `k`", "KEY `l`"), ("int(11)", "INT(11)  ")] {
            let other = read(&ORDERS.replace(old, new));
            assert_eq!(table.definition == other.definition, old == "int(11)", "{old}");
        }
    }

    #[test]
    fn names_need_no_quotes() {
        let text = "CREATE TABLE t (\n  period int(11) NOT NULL,\n  `key` date,\n  Ölß$1 timestamp GENERATED ALWAYS AS ROW START,\n  \
                    PERIOD FOR SYSTEM_TIME (Ölß$1, b),\n  PRIMARY KEY (period,`key`),\n  KEY type (period)\n) ENGINE=InnoDB;\n";
        let table = read(text);
        let names: Vec<_> = table.columns.iter().map(|it| std::str::from_utf8(&it.name).unwrap()).collect();
        assert_eq!(names, ["period", "key", "Ölß$1"]);
        assert_eq!(table.keys[0].columns, [b"period".to_vec(), b"key".to_vec()]);
        assert_eq!(bytes_of_bits(text.as_bytes(), QuoteModes::default()).len(), 3);
    }

    #[test]
    fn ansi_quotes_enclose_names() {
        let modes = QuoteModes { ansi_quotes: true, ..QuoteModes::default() };
        let table = table_schema(b"CREATE TABLE \"t\" (\"a\" int, PRIMARY KEY (\"a\"))", modes);
        assert_eq!(table, None, "it does not end");
        let table = table_schema(b"CREATE TABLE \"t\" (\"a\" int, PRIMARY KEY (\"a\"));", modes).unwrap();
        assert_eq!((table.columns.len(), table.keys.len()), (1, 1));
    }
}
