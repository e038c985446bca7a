//! DropEditor: what a dump made with `--clean` removes before it makes it anew. Where nothing may be replaced that is left out;
//! else it is changed so that it does not mind what is not there, and happens all or not at all.

use std::collections::HashSet;
use std::sync::Arc;

use crate::codec::DecodeError;
use crate::dump::name::quoted_name;
use crate::dump::postgres::lexer::Sink;
use crate::dump::postgres::part::PartKind;
use crate::dump::postgres::phrase::Phrase;
use crate::dump::postgres::remark::{Remark, remark};
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::statement::{Belongs, statement};
use crate::dump::postgres::words::Words;
use crate::dump::renaming::Edits;

/// What is made of drops.
#[derive(Debug, Clone, Default)]
pub struct DropRule {
    /// What the server has is dropped; else nothing is.
    pub drops: bool,
    /// Databases that are neither dropped nor made.
    pub databases_that_stay: Arc<HashSet<Vec<u8>>>,
}

/// Changes drops.
pub type DropEditor = Rewriter<Drops>;

/// What was seen of them.
#[derive(Default)]
pub struct Drops {
    rule: DropRule,
    /// Between the first drop and what is made then.
    is_among_drops: bool,
    /// Something was made in the present database: drops behind that are not those of `--clean`, and stay.
    has_made: bool,
    edits: Edits,
}

impl Rewriter<Drops> {
    /// For a dump, or for a later piece of one, before which something was made.
    pub fn new(rule: &DropRule, has_made: bool) -> DropEditor {
        Rewriter::with(Drops { rule: rule.clone(), has_made, ..Drops::default() })
    }
}

impl Editor for Drops {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        Ok(&mut self.edits)
    }
}

impl Drops {
    fn put(&mut self, at: u64, text: &[u8]) {
        self.edits.push((at..at, text.to_vec()));
    }

    fn leave_out(&mut self, start: u64, text: &[u8]) {
        self.edits.push((start..start + text.len() as u64, Vec::new()));
    }

    /// What drops something in a database.
    fn drop(&mut self, start: u64, text: &[u8]) {
        if !self.rule.drops {
            self.is_among_drops = true;
            return self.leave_out(start, text);
        }
        if !std::mem::replace(&mut self.is_among_drops, true) {
            self.put(start, b"BEGIN;\n");
        }
        for at in places_of_conditions(text) {
            self.put(start + at as u64, b"IF EXISTS ");
        }
        if let Some(view) = replaced_view(text) {
            self.put(
                start,
                &[b"DO $yesterfs$BEGIN IF pg_catalog.to_regclass(", &view[..], b") IS NOT NULL THEN "].concat(),
            );
            self.put(start + text.len() as u64, b"; END IF; END$yesterfs$");
        }
        if let Some(number) = unlinked(text) {
            let lists = [
                b"SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '",
                &number[..],
                b"'",
            ];
            self.edits.push((start..start + text.len() as u64, lists.concat()));
        }
    }

    /// What comes behind the drops.
    fn end_drops(&mut self, start: u64) {
        if std::mem::take(&mut self.is_among_drops) && self.rule.drops {
            self.put(start, b"COMMIT;\n");
        }
    }

    /// `DROP DATABASE name`, `CREATE DATABASE name ...`
    fn database(&mut self, start: u64, text: &[u8]) {
        let mut words = Words::new(text);
        let is_dropped = words.pass("DROP");
        if !(is_dropped || words.pass("CREATE")) || !words.pass("DATABASE") {
            return;
        }
        let at = words.place();
        let has_condition = words.pass_all(&["IF", "EXISTS"]);
        let stays = words.take_name().is_some_and(|name| self.rule.databases_that_stay.contains(&name));
        if stays {
            self.leave_out(start, text);
        } else if is_dropped && !has_condition {
            self.put(start + at as u64, b"IF EXISTS ");
        }
    }
}

impl Sink for Drops {
    fn comment(&mut self, _: u64, text: &[u8]) {
        self.has_made &= !matches!(remark(text), Remark::Begins { .. });
    }

    fn statement(&mut self, start: u64, text: &[u8]) {
        match statement(text) {
            Belongs::To { kind: PartKind::Drops, .. } if self.has_made => {}
            Belongs::To { kind: PartKind::Drops, .. } => self.drop(start, text),
            // Views that need each other become views of nothing first.
            Belongs::To { kind: PartKind::View, .. } if self.is_among_drops && replaced_view(text).is_some() => {
                self.drop(start, text)
            }
            Belongs::To { kind: PartKind::LargeObjects, .. } if unlinking(text).is_some() && !self.has_made => {
                self.drop(start, text)
            }
            // Others may need those that stay.
            Belongs::To { kind: PartKind::Roles | PartKind::Tablespaces, .. } if Words::new(text).pass("DROP") => {
                self.leave_out(start, text);
            }
            // Large objects come in transactions of their own.
            Belongs::ToNext if !Words::new(text).pass("BEGIN") => {}
            belongs => {
                self.end_drops(start);
                self.has_made |= Words::new(text).pass("CREATE");
                if let Belongs::ToDatabase(_) = belongs {
                    self.database(start, text);
                }
            }
        }
    }

    fn insert(&mut self, start: u64, _: &[u8]) {
        self.end_drops(start);
    }

    fn command(&mut self, start: u64, text: &[u8]) {
        self.end_drops(start);
        self.has_made &= !text.starts_with(b"\\connect ");
    }
}

/// The name of a view that is replaced, as a string.
fn replaced_view(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    let is_replaced = words.pass_all(&["CREATE", "OR", "REPLACE", "VIEW"]);
    let start = words.clone();
    words.qualified_name().filter(|_| is_replaced)?;
    Some(quoted_name(start.up_to(&words).trim_ascii(), b'\''))
}

/// Where `IF EXISTS` is missing in what drops something: before what it drops, and before the table that has it.
fn places_of_conditions(text: &[u8]) -> Vec<usize> {
    let mut words = Words::new(text);
    let mut places = Vec::new();
    if words.pass("ALTER") && Phrase::take(&mut words).is_some() {
        places.extend(place_of_condition(&mut words));
        words.pass("ONLY");
        words.qualified_name();
    }
    // ALTER COLUMN name DROP DEFAULT knows no condition.
    if words.pass("DROP") && Phrase::take(&mut words).is_some() {
        places.extend(place_of_condition(&mut words));
    }
    places
}

fn place_of_condition(words: &mut Words) -> Option<usize> {
    let place = words.place();
    (!words.pass_all(&["IF", "EXISTS"])).then_some(place)
}

/// What stands behind the name of the function in `SELECT pg_catalog.lo_unlink(...)`.
fn unlinking(text: &[u8]) -> Option<Words<'_>> {
    let mut words = Words::new(text);
    let function = words.pass("SELECT").then(|| words.qualified_name())??;
    (function.name == b"lo_unlink").then_some(words)
}

/// The number of the large object, where it is told as such, not looked up.
fn unlinked(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = unlinking(text)?;
    let number = words.pass_symbol(b'(').then(|| words.next())??;
    number.text().filter(|text| text.iter().all(u8::is_ascii_digit)).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    const DUMP: &str = "SET a = b;\nDROP DATABASE postgres;\nDROP DATABASE shop;\nDROP ROLE app;\nDROP TABLESPACE fast;\n\
        CREATE DATABASE postgres WITH TEMPLATE = template0;\nCREATE DATABASE shop;\n\\connect shop\n\
        ALTER TABLE ONLY public.t DROP CONSTRAINT c;\nALTER TABLE public.t ALTER COLUMN id DROP DEFAULT;\n\
        SELECT pg_catalog.lo_unlink('12');\n\
        SELECT pg_catalog.lo_unlink(oid) FROM x;\nCREATE OR REPLACE VIEW v AS SELECT NULL;\nDROP TRIGGER x ON public.t;\n\
        DROP MATERIALIZED VIEW IF EXISTS m;\nDROP FUNCTION public.f(a integer);\n\
        SET x = y;\n--\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: -\n--\n\
        CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DROP TABLE x;';\nCREATE OR REPLACE VIEW v AS SELECT 1;\n\
        COPY t (a) FROM stdin;\nDROP TABLE t;\n\\.\nDROP TABLE t;\n";

    fn edited(drops: bool, stays: &[&[u8]], size: usize) -> String {
        let stays = stays.iter().map(|name| name.to_vec()).collect();
        let rule = DropRule { drops, databases_that_stay: Arc::new(stays) };
        let (mut editor, mut out) = (Box::new(DropEditor::new(&rule, false)), Vec::new());
        DUMP.as_bytes().chunks(size).for_each(|piece| editor.push(piece, &mut out).unwrap());
        editor.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn drops_mind_nothing_that_is_missing_and_are_one() {
        let replaced = [
            ("DROP DATABASE", "DROP DATABASE IF EXISTS"),
            ("DROP ROLE app", ""),
            ("DROP TABLESPACE fast", ""),
            (
                "ALTER TABLE ONLY public.t DROP CONSTRAINT c",
                "BEGIN;\nALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS c",
            ),
            ("ALTER TABLE public.t ALTER", "ALTER TABLE IF EXISTS public.t ALTER"),
            ("lo_unlink('12')", "lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '12'"),
            (
                "CREATE OR REPLACE VIEW v AS SELECT NULL",
                "DO $yesterfs$BEGIN IF pg_catalog.to_regclass('v') IS NOT NULL THEN \
                 CREATE OR REPLACE VIEW v AS SELECT NULL; END IF; END$yesterfs$",
            ),
            ("DROP TRIGGER", "DROP TRIGGER IF EXISTS"),
            ("DROP FUNCTION", "DROP FUNCTION IF EXISTS"),
            ("CREATE FUNCTION", "COMMIT;\nCREATE FUNCTION"),
        ];
        let expected = replaced.iter().fold(DUMP.to_string(), |dump, (old, new)| dump.replace(old, new));
        for size in [1, 17, DUMP.len()] {
            assert_eq!(edited(true, &[], size), expected);
        }
    }

    #[test]
    fn nothing_is_dropped_where_nothing_may_be_replaced() {
        let gone = [
            "DROP DATABASE postgres",
            "CREATE DATABASE postgres WITH TEMPLATE = template0",
            "DROP ROLE app",
            "DROP TABLESPACE fast",
            "ALTER TABLE ONLY public.t DROP CONSTRAINT c",
            "ALTER TABLE public.t ALTER COLUMN id DROP DEFAULT",
            "SELECT pg_catalog.lo_unlink('12')",
            "SELECT pg_catalog.lo_unlink(oid) FROM x",
            "CREATE OR REPLACE VIEW v AS SELECT NULL",
            "DROP TRIGGER x ON public.t",
            "DROP MATERIALIZED VIEW IF EXISTS m",
            "DROP FUNCTION public.f(a integer)",
        ];
        let expected = gone.iter().fold(DUMP.to_string(), |dump, text| dump.replacen(text, "", 1));
        let expected = expected.replace("DROP DATABASE shop", "DROP DATABASE IF EXISTS shop");
        for size in [1, 17, DUMP.len()] {
            assert_eq!(edited(false, &[b"postgres"], size), expected);
        }
    }
}
