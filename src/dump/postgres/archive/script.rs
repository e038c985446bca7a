//! Script: the text that an archive stands for, as `pg_restore --file=-` prints it: `_printTocEntry` and its neighbours in
//! `pg_backup_archiver.c` say what that is.

use crate::dump::postgres::archive::large_objects::{for_each_object, privileges_of_each};
use crate::dump::postgres::archive::owner::owned_object;
use crate::dump::postgres::archive::quote::{push_identifier, push_qualified};
use crate::dump::postgres::archive::toc::{Entry, PARTITIONED_TABLE, Text, Toc};
use crate::dump::postgres::words::Words;

/// The kind of entries that hold large objects.
const LARGE_OBJECTS: &[u8] = b"BLOBS";

/// That of entries that tell of many large objects, since version 17.
const LARGE_OBJECT_METADATA: &[u8] = b"BLOB METADATA";

/// When an entry is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Main,
    /// Privileges come once all is there that they are on.
    Privileges,
    /// What may need privileges, or must not see what is made.
    Last,
}

/// What of an entry is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    definition: bool,
    data: bool,
}

/// The text of one archive.
pub struct Script {
    toc: Toc,
    /// Keeps psql from running what a server slipped in.
    key: String,
    is_standard: bool,
    has_search_path: bool,
    /// Entries before this one were printed in the main pass.
    next: usize,
    /// Those whose data came.
    came: Vec<bool>,
    tablespace: Option<Text>,
    table_am: Option<Text>,
    schema: Option<Text>,
}

impl Script {
    pub fn new(toc: Toc, key: String) -> Script {
        let came = vec![false; toc.entries.len()];
        let (tablespace, table_am, schema) = (None, None, None);
        let (is_standard, has_search_path) = (true, false);
        Script { toc, key, is_standard, has_search_path, next: 0, came, tablespace, table_am, schema }
    }

    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Whether backslashes are nothing special in strings.
    pub fn is_standard(&self) -> bool {
        self.is_standard
    }

    /// Whether the data of an entry are large objects.
    pub fn holds_large_objects(&self, at: usize) -> bool {
        self.toc.text(self.toc.entries[at].kind) == LARGE_OBJECTS
    }

    /// The first entry with large objects whose data has not come.
    pub fn next_with_large_objects(&self) -> Option<usize> {
        (0..self.toc.entries.len())
            .find(|&at| self.toc.entries[at].has_data && !self.came[at] && self.holds_large_objects(at))
    }

    /// The first entry whose data has not come.
    pub fn missing(&self) -> Option<usize> {
        self.toc.entries.iter().zip(&self.came).position(|(entry, came)| entry.has_data && !came)
    }

    /// Whether the data of an entry came.
    pub fn has_come(&self, at: usize) -> bool {
        self.came[at]
    }

    /// The beginning.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"--\n-- PostgreSQL database dump\n--\n\n");
        push_all(out, &[b"\\restrict ", self.key.as_bytes(), b"\n\n"]);
        let header = &self.toc.header;
        for (words, version) in
            [("-- Dumped from database", &header.server_version), ("-- Dumped by pg_dump", &header.program_version)]
        {
            if let Some(version) = version {
                push_all(out, &[words.as_bytes(), b" version ", version, b"\n"]);
            }
        }
        out.push(b'\n');
        self.begin_session(out);
    }

    /// What is set before all else.
    fn begin_session(&mut self, out: &mut Vec<u8>) {
        let toc = &self.toc;
        let definition = |kind: &[u8]| {
            let found = toc.entries.iter().find(|entry| toc.text(entry.kind) == kind);
            found.map(|entry| toc.text(entry.definition))
        };
        out.extend_from_slice(
            b"SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET idle_in_transaction_session_timeout = 0;\n",
        );
        if toc.header.version >= (1, 16) {
            out.extend_from_slice(b"SET transaction_timeout = 0;\n");
        }
        if let Some(encoding) = definition(b"ENCODING").and_then(value_set) {
            push_all(out, &[b"SET client_encoding = '", &encoding, b"';\n"]);
        }
        self.is_standard = definition(b"STDSTRINGS").and_then(value_set).is_none_or(|value| value == b"on");
        let switch: &[u8] = if self.is_standard { b"on" } else { b"off" };
        push_all(out, &[b"SET standard_conforming_strings = ", switch, b";\n"]);
        let path = definition(b"SEARCHPATH").unwrap_or_default();
        self.has_search_path = !path.is_empty();
        out.extend_from_slice(path);
        out.extend_from_slice(
            b"SET check_function_bodies = false;\nSET xmloption = content;\nSET client_min_messages = warning;\n",
        );
        if !self.is_standard {
            out.extend_from_slice(b"SET escape_string_warning = off;\n");
        }
        out.extend_from_slice(b"SET row_security = off;\n\n");
    }

    /// What stands before the data of an entry, which comes now.
    pub fn begin_data(&mut self, at: usize, out: &mut Vec<u8>) {
        self.print_main(at, out);
        if self.next == at {
            self.print_definition(at, out);
            self.next += 1;
        }
        self.came[at] = true;
        self.print(at, b"Data for ", out);
        if self.holds_large_objects(at) {
            out.extend_from_slice(b"BEGIN;\n\n");
        } else {
            out.extend_from_slice(self.toc.text(self.toc.entries[at].copy));
        }
    }

    /// What stands behind it.
    pub fn end_data(&self, at: usize, out: &mut Vec<u8>) {
        if self.holds_large_objects(at) {
            out.extend_from_slice(b"COMMIT;\n\n");
        }
    }

    /// All that is left, where all data came.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.print_main(self.toc.entries.len(), out);
        for pass in [Pass::Privileges, Pass::Last] {
            for at in 0..self.toc.entries.len() {
                if self.pass_of(&self.toc.entries[at]) == pass {
                    self.print_definition(at, out);
                }
            }
        }
        out.extend_from_slice(b"--\n-- PostgreSQL database dump complete\n--\n\n");
        push_all(out, &[b"\\unrestrict ", self.key.as_bytes(), b"\n\n"]);
    }

    /// Definitions of the main pass, up to an entry.
    fn print_main(&mut self, end: usize, out: &mut Vec<u8>) {
        while self.next < end {
            let at = self.next;
            if self.pass_of(&self.toc.entries[at]) == Pass::Main {
                self.print_definition(at, out);
            }
            self.next += 1;
        }
    }

    fn print_definition(&mut self, at: usize, out: &mut Vec<u8>) {
        let entry = &self.toc.entries[at];
        let wanted = self.wanted(entry);
        if wanted.definition || (wanted.data && !entry.has_data) {
            let is_statistics = self.toc.text(entry.kind) == b"STATISTICS DATA";
            self.print(at, if is_statistics { b"Statistics for " } else { b"" }, out);
        }
    }

    fn pass_of(&self, entry: &Entry) -> Pass {
        match self.toc.text(entry.kind) {
            b"ACL" | b"ACL LANGUAGE" | b"DEFAULT ACL" => Pass::Privileges,
            b"EVENT TRIGGER" | b"MATERIALIZED VIEW DATA" => Pass::Last,
            b"COMMENT" | b"SECURITY LABEL" if self.toc.text(entry.tag).starts_with(b"EVENT TRIGGER ") => Pass::Last,
            b"STATISTICS DATA" if entry.is_post_data => Pass::Last,
            _ => Pass::Main,
        }
    }

    fn wanted(&self, entry: &Entry) -> Wanted {
        let (kind, tag) = (self.toc.text(entry.kind), self.toc.text(entry.tag));
        let is_addition = matches!(kind, b"ACL" | b"COMMENT" | b"SECURITY LABEL");
        let is_of_session = matches!(kind, b"ENCODING" | b"STDSTRINGS" | b"SEARCHPATH");
        // The database is made by who loads it.
        let is_of_database = matches!(kind, b"DATABASE" | b"DATABASE PROPERTIES");
        if is_of_session || is_of_database || (is_addition && tag.starts_with(b"DATABASE ")) || kind == b"<Init>" {
            return Wanted { definition: false, data: false };
        }
        let definition = self.toc.text(entry.definition);
        let is_definition = !definition.is_empty() && !definition.starts_with(b"-- load via partition root ");
        let is_large_object = is_addition && tag.starts_with(b"LARGE OBJECT");
        let is_data = matches!(kind, b"SEQUENCE SET" | b"BLOB" | LARGE_OBJECT_METADATA) || is_large_object;
        match entry.has_data {
            true => Wanted { definition: is_definition, data: true },
            false => Wanted { definition: is_definition && !is_data, data: is_data },
        }
    }

    /// One entry, without its data.
    fn print(&mut self, at: usize, prefix: &[u8], out: &mut Vec<u8>) {
        self.select(at, out);
        let entry = &self.toc.entries[at];
        self.print_title(entry, prefix, out);
        let (kind, definition) = (self.toc.text(entry.kind), self.toc.text(entry.definition));
        if kind == LARGE_OBJECT_METADATA {
            for_each_object(definition, b"SELECT pg_catalog.lo_create('", b"')", out);
        } else if kind == b"ACL" && self.toc.text(entry.tag).starts_with(b"LARGE OBJECTS") {
            let objects = entry.depends_on.and_then(|id| self.toc.with_id(id));
            let objects = objects.map_or(&[][..], |at| self.toc.text(self.toc.entries[at].definition));
            privileges_of_each(definition, objects, out);
        } else if !definition.is_empty() {
            push_all(out, &[definition, b"\n\n"]);
        }
        self.print_owner(entry, out);
        let method = self.toc.present(entry.table_am);
        if let (PARTITIONED_TABLE, Some(method)) = (entry.relation_kind, method) {
            out.extend_from_slice(b"ALTER TABLE ");
            push_qualified(out, self.toc.text(entry.schema), self.toc.text(entry.tag));
            out.extend_from_slice(b" SET ACCESS METHOD ");
            push_identifier(out, method);
            out.extend_from_slice(b";\n\n");
        }
    }

    /// What is to be set before an entry.
    fn select(&mut self, at: usize, out: &mut Vec<u8>) {
        let entry = &self.toc.entries[at];
        let is_other = |now: Option<Text>, wanted: Text| {
            let now = now.and_then(|now| self.toc.present(now));
            self.toc.present(wanted).filter(|wanted| now != Some(*wanted))
        };
        if let Some(schema) = is_other(self.schema, entry.schema).filter(|it| !it.is_empty() && !self.has_search_path) {
            out.extend_from_slice(b"SET search_path = ");
            push_identifier(out, schema);
            let system: &[u8] = if schema == b"pg_catalog" { b"" } else { b", pg_catalog" };
            push_all(out, &[system, b";\n\n"]);
            self.schema = Some(entry.schema);
        }
        if let Some(tablespace) = is_other(self.tablespace, entry.tablespace) {
            out.extend_from_slice(b"SET default_tablespace = ");
            match tablespace {
                b"" => out.extend_from_slice(b"''"),
                name => push_identifier(out, name),
            }
            out.extend_from_slice(b";\n\n");
            self.tablespace = Some(entry.tablespace);
        }
        if entry.relation_kind == PARTITIONED_TABLE {
            return;
        }
        if let Some(method) = is_other(self.table_am, entry.table_am) {
            out.extend_from_slice(b"SET default_table_access_method = ");
            push_identifier(out, method);
            out.extend_from_slice(b";\n\n");
            self.table_am = Some(entry.table_am);
        }
    }

    fn print_title(&self, entry: &Entry, prefix: &[u8], out: &mut Vec<u8>) {
        push_all(out, &[b"--\n-- ", prefix, b"Name: "]);
        push_line(out, self.toc.text(entry.tag));
        push_all(out, &[b"; Type: ", self.toc.text(entry.kind)]);
        for (label, name) in [(&b"; Schema: "[..], entry.schema), (b"; Owner: ", entry.owner)] {
            out.extend_from_slice(label);
            match self.toc.present(name) {
                None => out.push(b'-'),
                Some(name) => push_line(out, name),
            }
        }
        let tablespace = self.toc.text(entry.tablespace);
        if !tablespace.is_empty() {
            out.extend_from_slice(b"; Tablespace: ");
            push_line(out, tablespace);
        }
        out.extend_from_slice(b"\n--\n\n");
    }

    /// `ALTER ... OWNER TO`. What cannot be dropped has no owner of its own.
    fn print_owner(&self, entry: &Entry, out: &mut Vec<u8>) {
        let (owner, drop) = (self.toc.text(entry.owner), self.toc.text(entry.drop));
        if owner.is_empty() || drop.is_empty() {
            return;
        }
        if self.toc.text(entry.kind) == LARGE_OBJECT_METADATA {
            let mut end = b" OWNER TO ".to_vec();
            push_identifier(&mut end, owner);
            return for_each_object(self.toc.text(entry.definition), b"ALTER LARGE OBJECT ", &end, out);
        }
        let Some(object) = owned_object(&self.toc, entry) else { return };
        push_all(out, &[b"ALTER ", &object, b" OWNER TO "]);
        push_identifier(out, owner);
        out.extend_from_slice(b";\n\n");
    }
}

pub(super) fn push_all(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

/// A name in a comment, which a line break would end.
fn push_line(out: &mut Vec<u8>, name: &[u8]) {
    out.extend(name.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

/// What `SET name = 'value'` sets.
fn value_set(statement: &[u8]) -> Option<Vec<u8>> {
    Words::new(statement).find_map(|word| word.text().map(<[u8]>::to_vec))
}
