//! Globals: roles and tablespaces that a dump of PostgreSQL needs and does not make, since `pg_dump` leaves them to
//! `pg_dumpall`; and the tablespaces that it makes, which need directories. They are looked for in lines that look like statements; one that is none costs a role that nobody needs.

use std::collections::BTreeSet;

use crate::dump::letters::Letters;
use crate::error::Result;
use crate::progress::Monitor;
use crate::repository::Repository;
use crate::repository::snapshot::Snapshot;
use crate::verify::row_options::each_piece_of_dump;

/// So many are looked for; more stand in no dump but one that means harm.
const GLOBALS_MAX: usize = 10_000;

/// Longest line that is looked at.
const LINE_MAX_BYTES: usize = 16 << 10;

/// Names of roles and of tablespaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Globals {
    pub roles: BTreeSet<Vec<u8>>,
    pub tablespaces: BTreeSet<Vec<u8>>,
}

/// What a dump needs besides itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NeededGlobals {
    pub missing: Globals,
    /// Tablespaces that it makes.
    pub own_tablespaces: BTreeSet<Vec<u8>>,
}

/// What a snapshot's dump needs.
pub fn needed_globals(repository: &Repository, snapshot: &Snapshot, monitor: &dyn Monitor) -> Result<NeededGlobals> {
    let mut found = Finder::default();
    each_piece_of_dump(repository, snapshot, monitor, |piece| found.push(piece))?;
    let mut needed = found.finish();
    let letters = Letters::of_facts_of_postgres(&snapshot.manifest.facts);
    let Globals { roles, tablespaces } = &mut needed.missing;
    for names in [roles, tablespaces] {
        *names = std::mem::take(names).into_iter().map(|name| letters.name_in_utf8(name.into()).into_owned()).collect();
    }
    Ok(needed)
}

#[derive(Default)]
struct Finder {
    named: Globals,
    made: Globals,
    /// The beginning of the present line.
    line: Vec<u8>,
}

impl Finder {
    fn push(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_MAX_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.look_at(&line);
            }
        }
    }

    fn finish(mut self) -> NeededGlobals {
        let line = std::mem::take(&mut self.line);
        self.look_at(&line);
        let Finder { named, made, .. } = self;
        let missing =
            Globals { roles: &named.roles - &made.roles, tablespaces: &named.tablespaces - &made.tablespaces };
        NeededGlobals { missing, own_tablespaces: made.tablespaces }
    }

    fn look_at(&mut self, line: &[u8]) {
        if self.named.roles.len() + self.named.tablespaces.len() >= GLOBALS_MAX {
            return;
        }
        if let Some(rest) = line.strip_prefix(b"CREATE ROLE ") {
            self.made.roles.extend(name_at(rest).map(|(name, _)| name));
        } else if let Some(rest) = line.strip_prefix(b"CREATE TABLESPACE ")
            && self.made.tablespaces.len() < GLOBALS_MAX
        {
            self.made.tablespaces.extend(name_at(rest).map(|(name, _)| name));
        } else if let Some(rest) = line.strip_prefix(b"SET default_tablespace = ") {
            // An empty one is the usual one.
            let named = name_at(rest).map(|(name, _)| name).filter(|name| !name.is_empty());
            self.named.tablespaces.extend(named);
        }
        let marks: &[&[u8]] = match line {
            [b'A', b'L', b'T', b'E', b'R', b' ', ..] => &[b" OWNER TO ", b" FOR ROLE ", b" TO ", b" FROM "],
            [b'G', b'R', b'A', b'N', b'T', b' ', ..] => &[b" TO ", b" GRANTED BY "],
            [b'R', b'E', b'V', b'O', b'K', b'E', b' ', ..] => &[b" FROM "],
            line if line.starts_with(b"CREATE DATABASE ") => {
                self.take_tablespace_of_database(line);
                return;
            }
            line if line.starts_with(b"CREATE POLICY ") => &[b" TO "],
            line if line.starts_with(b"SET SESSION AUTHORIZATION ") => &[b" AUTHORIZATION "],
            _ => return,
        };
        for mark in marks {
            let places = line.windows(mark.len()).enumerate().filter(|(_, window)| window == mark);
            for (at, _) in places {
                self.take_names(&line[at + mark.len()..]);
            }
        }
    }

    /// `CREATE DATABASE name WITH TEMPLATE = template0 ... TABLESPACE = fast;`
    fn take_tablespace_of_database(&mut self, line: &[u8]) {
        const MARK: &[u8] = b" TABLESPACE = ";
        let place = line.windows(MARK.len()).rposition(|window| window == MARK);
        let name = place.and_then(|at| name_at(&line[at + MARK.len()..]));
        self.named.tablespaces.extend(name.map(|(name, _)| name));
    }

    /// Names with commas between them.
    fn take_names(&mut self, mut text: &[u8]) {
        while let Some((name, rest)) = name_at(text) {
            if !name.eq_ignore_ascii_case(b"public") {
                self.named.roles.insert(name);
            }
            let Some(next) = rest.strip_prefix(b", ") else { return };
            text = next;
        }
    }
}

/// The name that a text begins with, and what follows.
fn name_at(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (quote, body) = match text {
        [quote @ (b'"' | b'\''), body @ ..] => (*quote, body),
        _ => {
            let end = text
                .iter()
                .position(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 || byte == b'$'));
            let (name, rest) = text.split_at(end.unwrap_or(text.len()));
            return (!name.is_empty()).then(|| (name.to_vec(), rest));
        }
    };
    let (mut name, mut at) = (Vec::new(), 0);
    loop {
        match (*body.get(at)?, body.get(at + 1)) {
            (byte, Some(next)) if byte == quote && *next == quote => at += 1,
            (byte, _) if byte == quote => return Some((name, &body[at + 1..])),
            _ => {}
        }
        name.push(body[at]);
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dump_needs_is_found_but_what_it_makes() {
        let text = "ALTER TABLE public.orders OWNER TO shop;\n\
                    ALTER FUNCTION a(text) OWNER TO \"we\"\"ird role\";\n\
                    GRANT SELECT,INSERT ON TABLE public.orders TO reader WITH GRANT OPTION;\n\
                    GRANT ALL ON SCHEMA public TO PUBLIC;\n\
                    REVOKE ALL ON TABLE t FROM auditor;\n\
                    ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA public GRANT SELECT ON TABLES TO clerk;\n\
                    CREATE POLICY p ON t FOR SELECT TO one, two USING ((id > 1));\n\
                    SET SESSION AUTHORIZATION 'other';\n\
                    SET default_tablespace = '';\nSET default_tablespace = fast;\n\
                    SET default_tablespace = own;\nCREATE TABLESPACE own OWNER boss LOCATION '/x';\n\
                    CREATE DATABASE d WITH TEMPLATE = template0 ENCODING = 'UTF8' TABLESPACE = \"of d\";\n\
                    CREATE ROLE made;\nGRANT made TO boss GRANTED BY granter;\n\
                    INSERT INTO t VALUES (1, 'x OWNER TO nobody;');";
        let expected = ["auditor", "boss", "clerk", "granter", "one", "other", "reader", "shop", "two", "we\"ird role"];
        for size in [1, 7, text.len()] {
            let mut finder = Finder::default();
            text.as_bytes().chunks(size).for_each(|piece| finder.push(piece));
            let NeededGlobals { missing, own_tablespaces } = finder.finish();
            let names = |names: BTreeSet<Vec<u8>>| -> Vec<String> {
                names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
            };
            assert_eq!(names(missing.roles), expected);
            assert_eq!(names(missing.tablespaces), ["fast", "of d"]);
            assert_eq!(names(own_tablespaces), ["own"]);
        }
    }
}
