//! What must be there before a table can be made: whatever its statements name with a schema, as dumps name everything that is not
//! the system's own, and roles.

use crate::dump::postgres::part::{Need, NeedKind};
use crate::dump::postgres::words::{QualifiedName, Word, Words};

/// Needs of one statement that are kept.
const NEEDS_MAX: usize = 1000;

/// What `text` needs besides `own`, the table that it makes or alters.
pub fn needs(text: &[u8], own: &QualifiedName) -> Vec<Need> {
    let mut words = Words::new(text);
    // Policies and rules hold whole queries, in which names of columns have those of tables in front.
    let is_query = holds_query(&words);
    let mut needs: Vec<Need> = Vec::new();
    let mut before = None;
    let mut ahead = words.clone();
    while let Some(word) = words.next() {
        let found = match &word {
            word if word.is("NEXTVAL") => sequence(words.clone()),
            Word::Plain(number) if number[0].is_ascii_digit() => None,
            Word::Plain(_) | Word::Name(_) => {
                ahead.qualified_name().filter(|name| name.schema.is_some()).and_then(|name| {
                    words = ahead.clone();
                    let kind = kind_of(before.as_ref(), &words, is_query)?;
                    Some((kind, name)).filter(|(_, name)| name != own && !is_of_system(name))
                })
            }
            _ => None,
        };
        if let Some((kind, QualifiedName { schema, name })) = found {
            let need = Need { kind, schema: schema.unwrap_or_default(), name };
            if needs.len() < NEEDS_MAX && !needs.contains(&need) {
                needs.push(need);
            }
        }
        // `INHERITS (name, name)`.
        let is_heir = before.as_ref().is_some_and(|before: &Word| before.is("INHERITS"));
        if !is_heir || word == Word::Symbol(b')') {
            before = Some(word);
        }
        ahead = words.clone();
    }
    needs
}

/// The roles that a statement names: an owner, or whom it grants or refuses something.
pub fn roles(text: &[u8]) -> Vec<Need> {
    let mut words = Words::new(text);
    let named = match words.next() {
        Some(verb) if verb.is("GRANT") => words.skip_to("TO"),
        Some(verb) if verb.is("REVOKE") => words.skip_to("FROM"),
        Some(verb) if verb.is("CREATE") && words.pass("POLICY") => words.skip_to("TO"),
        Some(verb) if verb.is("ALTER") => owner(words),
        _ => None,
    };
    let Some(mut words) = named else { return Vec::new() };
    let mut roles: Vec<Need> = Vec::new();
    while let Some(word) = words.next().filter(|_| roles.len() < NEEDS_MAX) {
        let is_anybody = ["PUBLIC", "CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"].iter().any(|all| word.is(all));
        if let Some(name) = word.name().filter(|_| !is_anybody) {
            roles.push(Need { kind: NeedKind::Role, schema: Vec::new(), name });
        }
        if !words.pass_symbol(b',') {
            break;
        }
    }
    roles
}

/// The words behind `OWNER TO`. What is altered may be called owner, too.
pub fn owner(mut words: Words) -> Option<Words> {
    loop {
        words = words.skip_to("OWNER")?;
        if words.pass("TO") {
            return Some(words);
        }
    }
}

fn holds_query(words: &Words) -> bool {
    let mut words = words.clone();
    words.pass("CREATE");
    words.pass_all(&["OR", "REPLACE"]);
    words.pass("POLICY") || words.pass("RULE") || words.pass("STATISTICS")
}

/// What kind of thing a name is that stands behind `before`, and before `behind`.
fn kind_of(before: Option<&Word>, behind: &Words, is_query: bool) -> Option<NeedKind> {
    let follows = |keywords: &[&str]| before.is_some_and(|word| keywords.iter().any(|keyword| word.is(keyword)));
    if follows(&["REFERENCES", "INHERITS", "OF"]) || (is_query && follows(&["FROM", "JOIN", "INTO", "UPDATE", "ONLY"]))
    {
        return Some(NeedKind::Table);
    }
    if behind.peek() == Some(Word::Symbol(b'(')) {
        return Some(NeedKind::Function);
    }
    (!is_query).then_some(NeedKind::Other)
}

/// Rows in triggers look like schemas.
fn is_of_system(name: &QualifiedName) -> bool {
    let schema = name.schema.as_deref().unwrap_or_default();
    matches!(schema, b"pg_catalog" | b"information_schema" | b"new" | b"old" | b"excluded")
}

/// `nextval('name'::regclass)`.
fn sequence(mut words: Words) -> Option<(NeedKind, QualifiedName)> {
    if !words.pass_symbol(b'(') {
        return None;
    }
    let word = words.next()?;
    Some((NeedKind::Sequence, Words::new(word.text()?).qualified_name()?))
}
