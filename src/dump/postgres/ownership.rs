//! OwnershipCutter: leaves out of a dump who owns what it makes, or who may do something with that, as `pg_restore` does with
//! `--no-owner` and `--no-privileges`. RoleFinder: finds the roles that a dump names, so that they are known before it is loaded.

use std::collections::BTreeSet;

use crate::codec::DecodeError;
use crate::dump::postgres::lexer::{Lexer, Sink};
use crate::dump::postgres::needs::{owner, roles};
use crate::dump::postgres::rewriter::{Editor, Rewriter};
use crate::dump::postgres::staying::created_role;
use crate::dump::postgres::words::{Word, Words};
use crate::dump::renaming::Edits;

/// So many roles are looked for; more stand in no dump but one that means harm.
const ROLES_MAX: usize = 10_000;

/// What of a dump is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    pub owners: bool,
    /// What is granted on objects, and refused. Who is in which role stays.
    pub privileges: bool,
}

/// Gives out what it takes, without these statements.
pub type OwnershipCutter = Rewriter<OwnershipEditor>;

pub struct OwnershipEditor {
    left_out: Ownership,
    edits: Edits,
}

impl Rewriter<OwnershipEditor> {
    pub fn new(left_out: Ownership) -> OwnershipCutter {
        Rewriter::with(OwnershipEditor { left_out, edits: Edits::new() })
    }
}

impl Editor for OwnershipEditor {
    fn edits(&mut self) -> Result<&mut Edits, DecodeError> {
        Ok(&mut self.edits)
    }
}

impl Sink for OwnershipEditor {
    fn statement(&mut self, start: u64, text: &[u8]) {
        if About::of(text).is_some_and(|about| self.left_out.has(about)) {
            self.edits.push((start..start + text.len() as u64, Vec::new()));
        }
    }
}

impl Ownership {
    fn has(self, about: About) -> bool {
        match about {
            About::Owner => self.owners,
            About::Privilege => self.privileges,
            About::Grantor => self.owners || self.privileges,
        }
    }
}

/// What a statement tells of roles that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Owner,
    Privilege,
    /// Who grants what is granted next.
    Grantor,
}

impl About {
    fn of(text: &[u8]) -> Option<About> {
        let mut words = Words::new(text);
        match words.next()? {
            verb if verb.is("ALTER") && words.pass_all(&["DEFAULT", "PRIVILEGES"]) => Some(About::Privilege),
            verb if verb.is("ALTER") => owner(words).map(|_| About::Owner),
            // Without an object, it is a role that is granted.
            verb if verb.is("GRANT") || verb.is("REVOKE") => words.skip_to("ON").map(|_| About::Privilege),
            verb if verb.is("SET") && words.pass_all(&["SESSION", "AUTHORIZATION"]) => match words.next()? {
                // `pg_dump` writes an owner so, and a grantor as a name. DEFAULT is neither, and harms nobody.
                Word::Text(_) => Some(About::Owner),
                _ => Some(About::Grantor),
            },
            _ => None,
        }
    }
}

/// The roles that a dump names and does not make.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NamedRoles {
    /// Those for whom it acts: to whom it gives what it makes, who grant it, and whose default privileges it sets.
    pub owners: BTreeSet<Vec<u8>>,
    /// Those whom it names otherwise.
    pub others: BTreeSet<Vec<u8>>,
}

/// Finds them in a dump of which this is left out.
pub struct RoleFinder {
    lexer: Lexer,
    found: Found,
}

struct Found {
    left_out: Ownership,
    named: NamedRoles,
    made: BTreeSet<Vec<u8>>,
}

impl RoleFinder {
    pub fn new(left_out: Ownership) -> RoleFinder {
        let found = Found { left_out, named: NamedRoles::default(), made: BTreeSet::new() };
        RoleFinder { lexer: Lexer::default(), found }
    }

    /// Takes the next piece, of any length.
    pub fn push(&mut self, piece: &[u8]) {
        self.lexer.push(piece, &mut self.found);
    }

    /// Tells that nothing follows.
    pub fn finish(mut self) -> NamedRoles {
        self.lexer.finish(&mut self.found);
        let Found { named, made, .. } = self.found;
        NamedRoles { owners: &named.owners - &made, others: &named.others - &made }
    }
}

impl Sink for Found {
    fn statement(&mut self, _: u64, text: &[u8]) {
        if self.named.owners.len() + self.named.others.len() + self.made.len() >= ROLES_MAX {
            return;
        }
        let about = About::of(text);
        if about.is_some_and(|about| self.left_out.has(about)) {
            return;
        }
        self.made.extend(created_role(text));
        let place = if about == Some(About::Owner) { &mut self.named.owners } else { &mut self.named.others };
        place.extend(roles(text).into_iter().map(|need| need.name));
        self.named.owners.extend(session_role(text).into_iter().chain(role_of_defaults(text)));
    }
}

/// `SET SESSION AUTHORIZATION name`
fn session_role(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    let word = words.pass_all(&["SET", "SESSION", "AUTHORIZATION"]).then(|| words.next())??;
    let is_nobody = word.is("DEFAULT");
    word.text().map(<[u8]>::to_vec).or_else(|| word.name().filter(|_| !is_nobody))
}

/// `ALTER DEFAULT PRIVILEGES FOR ROLE name ...`
fn role_of_defaults(text: &[u8]) -> Option<Vec<u8>> {
    let mut words = Words::new(text);
    words.pass_all(&["ALTER", "DEFAULT", "PRIVILEGES", "FOR", "ROLE"]).then(|| words.take_name())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    const DUMP: &str = "CREATE ROLE made;\nCREATE TABLE public.owner (owner text);\nALTER TABLE public.owner OWNER TO app;\n\
        COPY public.owner (owner) FROM stdin;\nALTER TABLE x OWNER TO y;\n\\.\n\
        INSERT INTO public.owner VALUES ('\nGRANT ALL ON TABLE x TO y;\n');\n\
        ALTER SCHEMA s OWNER TO made;\nCREATE POLICY p ON public.owner TO reader, PUBLIC USING (true);\n\
        REVOKE ALL ON TABLE public.owner FROM app;\nSET SESSION AUTHORIZATION boss;\nGRANT SELECT(owner) ON TABLE public.owner TO web, made;\n\
        RESET SESSION AUTHORIZATION;\nSET SESSION AUTHORIZATION 'other';\n\
        ALTER DEFAULT PRIVILEGES FOR ROLE chief IN SCHEMA public GRANT SELECT ON TABLES TO web;\nGRANT made TO member;\n";

    fn cut(left_out: Ownership, size: usize) -> String {
        let (mut cutter, mut out) = (Box::new(OwnershipCutter::new(left_out)), Vec::new());
        DUMP.as_bytes().chunks(size).for_each(|piece| cutter.push(piece, &mut out).unwrap());
        cutter.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn owners_and_privileges_are_left_out_and_rows_stay() {
        let owners = [
            "ALTER TABLE public.owner OWNER TO app",
            "ALTER SCHEMA s OWNER TO made",
            "SET SESSION AUTHORIZATION 'other'",
        ];
        let privileges = [
            "REVOKE ALL ON TABLE public.owner FROM app",
            "GRANT SELECT(owner) ON TABLE public.owner TO web, made",
            "ALTER DEFAULT PRIVILEGES FOR ROLE chief IN SCHEMA public GRANT SELECT ON TABLES TO web",
        ];
        let grantor = ["SET SESSION AUTHORIZATION boss"];
        let without = |texts: &[&str]| texts.iter().fold(DUMP.to_string(), |dump, text| dump.replacen(text, "", 1));
        for size in [1, 13, DUMP.len()] {
            assert_eq!(cut(Ownership::default(), size), DUMP);
            assert_eq!(
                cut(Ownership { owners: true, privileges: false }, size),
                without(&[&owners[..], &grantor].concat())
            );
            assert_eq!(
                cut(Ownership { owners: false, privileges: true }, size),
                without(&[&privileges[..], &grantor].concat())
            );
            let all = [&owners[..], &privileges, &grantor].concat();
            assert_eq!(cut(Ownership { owners: true, privileges: true }, size), without(&all));
        }
    }

    #[test]
    fn roles_are_found_but_those_that_the_dump_makes() {
        let found = |owners: bool, privileges: bool, size: usize| {
            let mut finder = RoleFinder::new(Ownership { owners, privileges });
            DUMP.as_bytes().chunks(size).for_each(|piece| finder.push(piece));
            let named = finder.finish();
            let shown = |names: BTreeSet<Vec<u8>>| {
                names.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(" ")
            };
            [shown(named.owners), shown(named.others)]
        };
        for size in [1, 13, DUMP.len()] {
            assert_eq!(found(false, false, size), ["app boss chief other", "app member reader web"]);
            assert_eq!(found(true, false, size), ["chief", "app member reader web"]);
            assert_eq!(found(false, true, size), ["app other", "member reader"]);
            assert_eq!(found(true, true, size), ["", "member reader"]);
        }
    }
}
