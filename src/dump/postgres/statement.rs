//! What a statement means for the structure of a dump.

use crate::dump::postgres::part::PartKind;
use crate::dump::postgres::phrase::Phrase;
use crate::dump::postgres::words::{QualifiedName, Word, Words};

/// Where a statement belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs {
    /// To a part of this kind about what has this name.
    To { kind: PartKind, name: QualifiedName },
    /// To the part about this database.
    ToDatabase(Vec<u8>),
    /// To whatever the next statement belongs to that tells.
    ToNext,
    /// To whatever the one before belongs to.
    ToPrevious,
    /// Nothing is known of such statements.
    Unknown,
}

fn unnamed(kind: PartKind) -> Belongs {
    in_database(kind, Vec::new())
}

fn in_database(kind: PartKind, name: Vec<u8>) -> Belongs {
    Belongs::To { kind, name: QualifiedName { schema: None, name } }
}

fn in_schema(kind: PartKind, name: Option<QualifiedName>) -> Belongs {
    name.map_or(Belongs::Unknown, |name| Belongs::To { kind, name })
}

/// The statement `text`, which may be cut.
pub fn statement(text: &[u8]) -> Belongs {
    let mut words = Words::new(text);
    let Some(Word::Plain(verb)) = words.next() else { return Belongs::Unknown };
    match verb.to_ascii_uppercase().as_slice() {
        b"COPY" => in_schema(PartKind::Data, words.qualified_name()),
        b"INSERT" => {
            words.pass("INTO");
            in_schema(PartKind::Data, words.qualified_name())
        }
        b"CREATE" => created(words),
        b"ALTER" => altered(words),
        b"DROP" => dropped(words),
        b"COMMENT" => told_about(words.skip_to("ON")),
        b"SECURITY" => told_about(words.skip_to("ON")),
        b"GRANT" | b"REVOKE" => granted(words),
        b"SELECT" => selected(words),
        b"REFRESH" => {
            words.pass_all(&["MATERIALIZED", "VIEW"]);
            in_schema(PartKind::View, words.qualified_name())
        }
        b"SET" | b"BEGIN" => Belongs::ToNext,
        b"RESET" | b"COMMIT" => Belongs::ToPrevious,
        _ => Belongs::Unknown,
    }
}

fn created(mut words: Words) -> Belongs {
    let Some(phrase) = Phrase::take(&mut words) else { return Belongs::Unknown };
    words.pass_all(&["IF", "NOT", "EXISTS"]);
    match phrase {
        Phrase::Rule => of_table(words, "TO"),
        Phrase::OfTable => of_table(words, "ON"),
        Phrase::Index => match words.skip_to("ON") {
            Some(mut words) => {
                words.pass("ONLY");
                in_schema(PartKind::Post, words.qualified_name())
            }
            None => Belongs::Unknown,
        },
        Phrase::ExtendedStatistics => {
            in_schema(PartKind::Post, words.skip_to("FROM").and_then(|mut words| words.qualified_name()))
        }
        phrase => object(phrase, words),
    }
}

/// `CREATE USER MAPPING FOR name SERVER name`.
fn mapped(words: Words) -> Belongs {
    let server = words.skip_to("SERVER").and_then(|mut words| words.take_name());
    server.map_or(Belongs::Unknown, |name| in_database(PartKind::Server, name))
}

/// Something whose own name comes first, then `link` and that of its table.
fn of_table(mut words: Words, link: &str) -> Belongs {
    words.next();
    let Some(mut words) = words.skip_to(link) else { return Belongs::Unknown };
    if words.pass("DOMAIN") {
        return in_schema(PartKind::Type, words.qualified_name());
    }
    in_schema(PartKind::Post, words.qualified_name())
}

/// What belongs to the object whose name comes next.
fn object(phrase: Phrase, mut words: Words) -> Belongs {
    match phrase {
        Phrase::InSchema(kind) => in_schema(kind, words.qualified_name()),
        Phrase::InDatabase(kind) => words.take_name().map_or(Belongs::Unknown, |name| in_database(kind, name)),
        Phrase::Unnamed(kind) => unnamed(kind),
        Phrase::Database => words.take_name().map_or(Belongs::Unknown, Belongs::ToDatabase),
        Phrase::Schema => {
            let schema = words.take_name().map(|name| QualifiedName { schema: Some(name), name: Vec::new() });
            in_schema(PartKind::Schema, schema)
        }
        Phrase::Function => in_schema(PartKind::Function, function(&mut words)),
        Phrase::Operator => in_schema(PartKind::Operator, operator(&mut words)),
        Phrase::Cast => in_database(PartKind::Cast, arguments(&mut words).unwrap_or_default()),
        Phrase::Transform => {
            let start = words.clone();
            words.clone().skip_to("LANGUAGE").map_or(Belongs::Unknown, |mut end| {
                end.next();
                in_database(PartKind::Transform, start.up_to(&end).trim_ascii().to_vec())
            })
        }
        Phrase::UserMapping => mapped(words),
        Phrase::OfTable | Phrase::Rule => of_table(words, "ON"),
        // It comes next to what it is about.
        Phrase::Index | Phrase::ExtendedStatistics => Belongs::ToPrevious,
        Phrase::Column => match words.qualified_name() {
            // The column's own name follows where there is a schema.
            Some(QualifiedName { schema: Some(first), name }) if words.peek() != Some(Word::Symbol(b'.')) => {
                let (schema, _column) = (None, name);
                in_schema(PartKind::Post, Some(QualifiedName { schema, name: first }))
            }
            name => in_schema(PartKind::Post, name),
        },
    }
}

/// A function's name, and the types of its arguments with it: functions of one name differ in these.
fn function(words: &mut Words) -> Option<QualifiedName> {
    let mut found = words.qualified_name()?;
    found.name.extend(arguments(words)?);
    Some(found)
}

fn operator(words: &mut Words) -> Option<QualifiedName> {
    let mut ahead = words.clone();
    let schema = ahead.take_name().filter(|_| ahead.pass_symbol(b'.'));
    if schema.is_some() {
        *words = ahead;
    }
    Some(words.operator()).filter(|name| !name.is_empty()).map(|name| QualifiedName { schema, name })
}

/// What stands in the parentheses that come next, and those, without default values.
fn arguments(words: &mut Words) -> Option<Vec<u8>> {
    if !words.pass_symbol(b'(') {
        return None;
    }
    let mut shown = b"(".to_vec();
    let (mut depth, mut start, mut is_kept) = (0, words.clone(), true);
    loop {
        let before = words.clone();
        let word = words.next()?;
        let ends = depth == 0 && matches!(word, Word::Symbol(b',' | b')'));
        if is_kept && (ends || (depth == 0 && word.is("DEFAULT"))) {
            let separator: &[u8] = if shown.len() > 1 { b", " } else { b"" };
            shown.extend([separator, start.up_to(&before).trim_ascii()].concat());
            is_kept = false;
        }
        match word {
            Word::Symbol(b'(') => depth += 1,
            Word::Symbol(b')') if depth == 0 => break,
            Word::Symbol(b')') => depth -= 1,
            Word::Symbol(b',') if depth == 0 => (start, is_kept) = (words.clone(), true),
            _ => {}
        }
    }
    shown.push(b')');
    Some(shown)
}

fn altered(mut words: Words) -> Belongs {
    if words.pass("INDEX") {
        words.pass_all(&["IF", "EXISTS"]);
        let index = words.qualified_name();
        return match words.pass("ATTACH") {
            true => in_schema(
                PartKind::IndexAttachments,
                index.map(|index| QualifiedName { schema: index.schema, name: Vec::new() }),
            ),
            false => Belongs::ToPrevious,
        };
    }
    let Some(phrase) = Phrase::take(&mut words) else { return Belongs::Unknown };
    words.pass_all(&["IF", "EXISTS"]);
    words.pass("ONLY");
    match phrase {
        Phrase::InSchema(PartKind::Table) => {
            let name = words.qualified_name();
            match how_altered(&mut words) {
                PartKind::Attachment => in_schema(PartKind::Attachment, words.qualified_name()),
                PartKind::Drops => unnamed(PartKind::Drops),
                kind => in_schema(kind, name),
            }
        }
        Phrase::Unnamed(PartKind::Roles) => {
            words.next();
            let database = Some(()).filter(|()| words.pass_all(&["IN", "DATABASE"])).and_then(|()| words.take_name());
            database.map_or(unnamed(PartKind::Roles), Belongs::ToDatabase)
        }
        phrase => object(phrase, words),
    }
}

/// What the part is about that holds this `ALTER TABLE`, of which the words behind the name are given.
/// A partitioned table, and the one that a statement makes a part of it.
pub fn attachment(text: &[u8]) -> Option<[QualifiedName; 2]> {
    let mut words = Words::new(text);
    if !words.pass_all(&["ALTER", "TABLE"]) {
        return None;
    }
    words.pass("ONLY");
    let parent = words.qualified_name()?;
    let is_attached = words.pass_all(&["ATTACH", "PARTITION"]);
    Some([parent, words.qualified_name().filter(|_| is_attached)?])
}

fn how_altered(words: &mut Words) -> PartKind {
    let Some(first) = words.next() else { return PartKind::Table };
    if first.is("ATTACH") {
        words.pass("PARTITION");
        return PartKind::Attachment;
    }
    if first.is("DROP") {
        return PartKind::Drops;
    }
    if first.is("ALTER") {
        words.pass("COLUMN");
        words.next();
        return if words.pass("DROP") { PartKind::Drops } else { PartKind::Table };
    }
    if first.is("ENABLE") || first.is("DISABLE") {
        return if words.pass_all(&["TRIGGER", "ALL"]) { PartKind::Data } else { PartKind::Post };
    }
    if first.is("REPLICA") {
        return if words.any(|word| word.is("USING")) { PartKind::Post } else { PartKind::Table };
    }
    let is_post = ["ADD", "VALIDATE", "CLUSTER"].iter().any(|keyword| first.is(keyword));
    if is_post { PartKind::Post } else { PartKind::Table }
}

fn dropped(mut words: Words) -> Belongs {
    let Some(phrase) = Phrase::take(&mut words) else { return unnamed(PartKind::Drops) };
    words.pass_all(&["IF", "EXISTS"]);
    match phrase {
        Phrase::Database => object(phrase, words),
        Phrase::Unnamed(kind @ (PartKind::Roles | PartKind::Tablespaces)) => unnamed(kind),
        _ => unnamed(PartKind::Drops),
    }
}

/// A comment, or a label.
fn told_about(words: Option<Words>) -> Belongs {
    let Some(mut words) = words else { return Belongs::Unknown };
    match Phrase::take(&mut words) {
        Some(Phrase::InSchema(PartKind::Table)) => in_schema(PartKind::Post, words.qualified_name()),
        Some(phrase) => object(phrase, words),
        None => Belongs::Unknown,
    }
}

fn granted(words: Words) -> Belongs {
    match words.skip_to("ON") {
        // Roles.
        None => unnamed(PartKind::Grants),
        on => told_about(on),
    }
}

fn selected(mut words: Words) -> Belongs {
    if words.pass_symbol(b'*') {
        words.pass("FROM");
    }
    let Some(QualifiedName { name: function, .. }) = words.qualified_name() else { return Belongs::Unknown };
    match function.as_slice() {
        b"set_config" => Belongs::ToNext,
        b"setval" => {
            let name = words.find_map(|word| word.text().map(|text| Words::new(text).qualified_name()));
            in_schema(PartKind::Sequence, name.flatten())
        }
        name if name.starts_with(b"lo_") || name == b"lowrite" => unnamed(PartKind::LargeObjects),
        name if name.starts_with(b"pg_restore_") => {
            let is_schema = |word: &Word| word.text() == Some(b"schemaname");
            let schema = words.find(is_schema).and_then(|_| words.find_map(|word| word.text().map(<[u8]>::to_vec)));
            in_schema(PartKind::Statistics, Some(QualifiedName { schema, name: Vec::new() }))
        }
        _ => Belongs::Unknown,
    }
}

/// Whether it makes a function or a procedure, whose body may be statements.
pub fn makes_routine(statement: &[u8]) -> bool {
    let mut words = Words::new(statement);
    words.pass("CREATE");
    if words.pass("OR") {
        words.pass("REPLACE");
    }
    words.pass("FUNCTION") || words.pass("PROCEDURE")
}

/// Whether `psql` counts the blocks of a statement, for the end of which it waits then: it looks at words alone, whatever stands between.
pub fn counts_blocks(statement: &[u8]) -> bool {
    let mut words = Words::new(statement);
    let mut counted = std::iter::from_fn(|| {
        let mut is_variable = false;
        while let Some(word) = words.next() {
            let is_mark = |of: &[u8]| of.len() == 1 && matches!(words.peek(), Some(Word::Text(_) | Word::Symbol(b'&')));
            match word {
                Word::Plain(of) if !is_variable && !of[0].is_ascii_digit() && !is_mark(of) => {
                    return Some(of);
                }
                word => is_variable = word == Word::Symbol(b':'),
            }
        }
        None
    });
    let is = |word: Option<&[u8]>, all: &[&str]| {
        word.is_some_and(|word| all.iter().any(|it| word.eq_ignore_ascii_case(it.as_bytes())))
    };
    if !is(counted.next(), &["CREATE"]) {
        return false;
    }
    let mut made = counted.next();
    if is(made, &["OR"]) {
        made = if is(counted.next(), &["REPLACE"]) { counted.next() } else { None };
    }
    is(made, &["FUNCTION", "PROCEDURE"])
}

/// Whether rows follow it.
pub fn copies_from_here(statement: &[u8]) -> bool {
    Words::new(statement).skip_to("FROM").is_some_and(|mut words| words.pass("STDIN"))
}
