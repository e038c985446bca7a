//! What leaves something of a dump out while it is loaded, or changes it, and what tells of that before.

use std::collections::HashSet;
use std::sync::Arc;

use super::commands::commands;
use super::postgres::read_rows;
use super::rewriting::rewritten;
use super::{in_any_pieces, mysql_texts};
use yesterfs::dump::letters::Letters;
use yesterfs::dump::mysql::{DefinerCutter, ReplicationCutter, RequirementsFinder, StatementStarts};
use yesterfs::dump::postgres::{
    CommandGuard, DropEditor, DropRule, ForeignKeyCutter, GlobalsCutter, NamedRoles, Ownership, OwnershipCutter,
    RoleFinder, ServerGlobals, Strings, TableInSchema, TableMaker, alterations, created_role, created_tablespace,
    each_statement, foreign_keys, holds_command,
};
use yesterfs::dump::renaming::Rewrite;

/// What comes of a text in whatever pieces it passes; `None` where it is refused.
fn filtered(data: &[u8], make: impl Fn() -> Box<dyn Rewrite>) -> Option<Vec<u8>> {
    in_any_pieces(data, |length| rewritten(data, length, make()), "other pieces are changed otherwise")
}

/// Leaves out who defines what a dump makes, and tells who that is.
pub fn mysql_filters(data: &[u8]) {
    let required = |length: usize| {
        let mut finder = RequirementsFinder::default();
        data.chunks(length).for_each(|piece| finder.push(piece));
        finder.finish()
    };
    in_any_pieces(data, required, "other pieces require something else");
    let Some(cut) = filtered(data, || Box::<DefinerCutter>::default()) else { return };
    let statements = |text: &[u8]| {
        let (mut starts, mut found) = (StatementStarts::default(), Vec::new());
        starts.push(text, &mut |_, statement| found.push(statement.to_vec()));
        starts.finish(&mut |_, statement| found.push(statement.to_vec()));
        found
    };
    let (before, after) = (statements(data), statements(&cut));
    assert!(before.len() == after.len(), "a statement comes or goes with who defines it");
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    for (before, after) in changed {
        assert!(has_lost_a_definer(before, after), "something else goes than who defines it");
    }
    assert!(mysql_texts(data) == mysql_texts(&cut), "other rows are loaded");
    mysql_replication(data, &before, &statements);
}

/// Leaves out what servers replicate and log, each statement for one that does nothing.
fn mysql_replication(data: &[u8], before: &[Vec<u8>], statements: &dyn Fn(&[u8]) -> Vec<Vec<u8>>) {
    let Some(cut) = filtered(data, || Box::<ReplicationCutter>::default()) else { return };
    let after = statements(&cut);
    assert!(before.len() == after.len(), "a statement comes or goes with what is replicated");
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    for (_, after) in changed {
        assert!(after.trim_ascii() == b"DO 0", "a statement became another one");
    }
    assert!(mysql_texts(data) == mysql_texts(&cut), "other rows are loaded without what is replicated");
}

/// Whether a statement is another one but for a stretch, which begins as a definer does.
fn has_lost_a_definer(before: &[u8], after: &[u8]) -> bool {
    let Some(lost) = before.len().checked_sub(after.len()) else { return false };
    let begins = |at: &usize| before[*at..].get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"DEFINER"));
    (0..=after.len())
        .filter(begins)
        .any(|at| before[..at] == after[..at] && before.get(at + lost..) == Some(&after[at..]))
}

/// What is done with a dump of PostgreSQL.
pub fn postgres_filters(data: &[u8]) {
    owners(data);
    globals(data);
    keys(data);
    drops(data);
    altered(data);
    made(data);
}

fn statements(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    each_statement(text, &mut |statement| found.push(statement.to_vec()));
    found
}

/// All rows pass, and all statements but those that may go, in their order. Gives what went.
#[track_caller]
fn gone(before: &[u8], after: &[u8]) -> Vec<Vec<u8>> {
    let rows = |data: &[u8]| {
        let (rows, is_whole) = read_rows(data, Strings::default(), false, data.len().max(1));
        (rows.into_iter().map(|(start, text)| start.map(|_| text)).collect::<Vec<_>>(), is_whole)
    };
    assert!(rows(before) == rows(after), "other rows are loaded");
    let stayed = statements(after);
    let mut stayed = stayed.iter().peekable();
    let gone = statements(before).into_iter().filter(|statement| stayed.next_if_eq(&statement).is_none()).collect();
    assert!(stayed.peek().is_none(), "a statement comes that was not there");
    gone
}

/// Whether a statement begins with one of these words.
fn begins_with(statement: &[u8], verbs: &[&str]) -> bool {
    verbs.iter().any(|verb| statement.get(..verb.len()).is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes())))
}

fn named_roles(data: &[u8], left_out: Ownership, length: usize) -> NamedRoles {
    let mut finder = RoleFinder::new(left_out);
    data.chunks(length).for_each(|piece| finder.push(piece));
    finder.finish()
}

fn owners(data: &[u8]) {
    for [owners, privileges] in [[false, false], [true, false], [false, true], [true, true]] {
        let left_out = Ownership { owners, privileges };
        let named = in_any_pieces(data, |length| named_roles(data, left_out, length), "other pieces name other roles");
        let Some(cut) = filtered(data, || Box::new(OwnershipCutter::new(left_out))) else { continue };
        assert!(owners || privileges || cut == data, "nothing is to be left out, and something is");
        let gone = gone(data, &cut);
        assert!(gone.iter().all(|it| begins_with(it, &["ALTER", "GRANT", "REVOKE", "SET"])), "more than owners goes");
        assert!(named == named_roles(&cut, Ownership::default(), cut.len().max(1)), "what is left out names roles");
    }
}

fn globals(data: &[u8]) {
    let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<HashSet<_>>();
    let there =
        ServerGlobals { roles: names(&["postgres", "alice", "Bob; Type: TABLE"]), tablespaces: names(&["fast"]) };
    let there = Arc::new(there);
    let Some(cut) = filtered(data, || Box::new(GlobalsCutter::new(&there))) else { return };
    assert!(gone(data, &cut).iter().all(|it| begins_with(it, &["CREATE", "ALTER"])), "more goes than what is there");
    let is_there = |text: &[u8]| {
        created_role(text).is_some_and(|name| there.roles.contains(&name))
            || created_tablespace(text).is_some_and(|name| there.tablespaces.contains(&name))
    };
    assert!(!statements(&cut).iter().any(|text| is_there(text)), "what is there is made again");
}

fn keys(data: &[u8]) {
    let Some(cut) = filtered(data, || Box::<ForeignKeyCutter>::default()) else { return };
    let keys = foreign_keys(data);
    assert!(foreign_keys(&cut).is_empty(), "a foreign key stays");
    assert!(
        gone(data, &cut).iter().flat_map(|it| [it, &b";\n"[..]].concat()).eq(keys),
        "other keys go than are made then"
    );
}

fn drops(data: &[u8]) {
    let rule = DropRule { drops: false, databases_that_stay: Arc::default() };
    if let Some(cut) = filtered(data, || Box::new(DropEditor::new(&rule, false))) {
        let conditional = [&b"DROP DATABASE IF EXISTS "[..], b"drop database IF EXISTS "];
        let again = rewritten(&cut, cut.len().max(1), Box::new(DropEditor::new(&rule, false)));
        assert!(again.as_ref() == Some(&cut), "what was to be left out is left");
        if !conditional.iter().any(|it| cut.windows(it.len()).any(|window| window == *it)) {
            let verbs = ["DROP", "ALTER", "CREATE", "SELECT", "SET"];
            let _ =
                gone(data, &cut).iter().inspect(|it| assert!(begins_with(it, &verbs), "more goes than drops")).count();
        }
    }
    for has_made in [false, true] {
        let rule = DropRule { drops: true, databases_that_stay: Arc::default() };
        let Some(edited) = filtered(data, || Box::new(DropEditor::new(&rule, has_made))) else { continue };
        let others = |text: &[u8]| {
            let is_other =
                |it: &Vec<u8>| !begins_with(it, &["DROP", "ALTER", "CREATE", "SELECT", "DO", "BEGIN", "COMMIT"]);
            statements(text).into_iter().filter(is_other).collect::<Vec<_>>()
        };
        assert!(others(data) == others(&edited), "something else changes than drops");
    }
}

fn own() -> TableInSchema {
    TableInSchema { schema: b"sales".to_vec(), table: b"orders".to_vec() }
}

/// What alters a table is what stands there; what takes it away again is a single statement, and no more dangerous.
fn altered(data: &[u8]) {
    let all: HashSet<Vec<u8>> = statements(data).into_iter().collect();
    for alteration in alterations(data, &own()) {
        assert!(all.contains(&alteration.text), "an alteration that does not stand there");
        let again = alterations(&[&alteration.text[..], b";\n"].concat(), &own());
        assert!(again == [alteration.clone()] || !is_closed(&alteration.text), "an alteration is read otherwise");
        let Some(undo) = alteration.undo.filter(|undo| !undo.is_empty()) else { continue };
        let harm = holds_command(&undo, Letters::Plain) && !holds_command(&alteration.text, Letters::Plain);
        assert!(!harm, "a command is made");
        let ended = statements(&[&undo[..], b";\nSELECT 1;\n"].concat());
        assert!(
            ended.len() == 2 && ended[0] == undo || !is_closed(&alteration.text),
            "more than one statement takes it away"
        );
    }
}

/// Whether nothing that a statement opens goes on behind it, as where a dump is cut.
fn is_closed(statement: &[u8]) -> bool {
    statements(&[statement, b";\nSELECT 1;\n"].concat()) == [statement, b"SELECT 1"]
}

/// As part of a transaction: no command is in it.
fn made(data: &[u8]) {
    for has_default_privileges in [false, true] {
        let maker = || Box::new(TableMaker::of_table(own(), has_default_privileges, Letters::Plain));
        // Commands between statements are kept out before.
        let guarded = rewritten(data, data.len().max(1), Box::new(CommandGuard::new(None)));
        let Some(made) = filtered(data, || maker()).filter(|_| guarded.is_some()) else { continue };
        assert!(commands(data).1, "psql runs a command that stands in a statement");
        if !has_default_privileges {
            let rows = |data: &[u8]| {
                let (rows, is_whole) = read_rows(data, Strings::default(), false, data.len().max(1));
                (rows.into_iter().map(|(start, text)| start.map(|_| text)).collect::<Vec<_>>(), is_whole)
            };
            assert!(rows(data) == rows(&made), "other rows are loaded");
        }
    }
}
