//! What the server has that a dump makes as well: looked for before anything is changed.

use crate::error::{Error, Result};
use crate::load::mysql::Run;
use crate::load::places::Places;
use crate::load::tables::from_hex;

/// What a server can have that a dump replaces: where it lists that with its kind, and where a snapshot has what kinds.
struct Present {
    of: &'static str,
    made: &'static [(&'static str, &'static str)],
    /// No two have the same name, whatever they are.
    share_names: bool,
}

const PRESENT: [Present; 3] = [
    Present {
        of: "HEX(TABLE_SCHEMA), HEX(TABLE_NAME), TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA",
        made: &[("table", "tables"), ("view", "views"), ("sequence", "sequences")],
        share_names: true,
    },
    Present {
        of: "HEX(ROUTINE_SCHEMA), HEX(ROUTINE_NAME), ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
        made: &[
            ("procedure", "routines/procedures"),
            ("function", "routines/functions"),
            ("package", "routines/packages"),
        ],
        share_names: false,
    },
    Present {
        of: "HEX(EVENT_SCHEMA), HEX(EVENT_NAME), 'EVENT' FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
        made: &[("event", "events")],
        share_names: false,
    },
];

/// What a server calls by these words.
fn kind_of(told: &str) -> &'static str {
    const KINDS: [(&str, &str); 6] = [
        ("VIEW", "view"),
        ("SEQUENCE", "sequence"),
        ("PROCEDURE", "procedure"),
        ("FUNCTION", "function"),
        ("PACKAGE", "package"),
        ("EVENT", "event"),
    ];
    // `BASE TABLE`, `SYSTEM VERSIONED`; `SYSTEM VIEW`; `PACKAGE BODY`
    KINDS.iter().find(|(word, _)| told.contains(word)).map_or("table", |(_, kind)| kind)
}

impl Run<'_> {
    /// Looks whether the server has anything that the dump would replace, and may not; or that is of another kind, which it cannot.
    pub(super) fn refuse_what_is_there(&self, places: &Places) -> Result<()> {
        let places: Vec<_> =
            self.tables.databases().iter().map(|database| (places.place_of(database), database)).collect();
        let list: Vec<String> = places.iter().map(|(place, _)| literal(place)).collect();
        if list.is_empty() {
            return Ok(());
        }
        let list = list.join(", ");
        let dropped = self.dropped_databases(&list)?;
        for Present { of, made, share_names } in &PRESENT {
            let there = self.loader.client.ask(&[], &format!("SELECT {of} IN ({list})"))?;
            for line in there.lines() {
                let [schema, name, kind] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
                let (schema, name, present) = (from_hex(schema), from_hex(name), kind_of(kind));
                for (_, database) in places.iter().filter(|(place, _)| *place == schema && !dropped.contains(place)) {
                    for (what, directory) in made.iter().filter(|(what, _)| *share_names || *what == present) {
                        if self.tables.has_in(database, directory, &name)? {
                            self.refuse_if_in_the_way(what, &schema, &name, present)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Something that is to be made, and what the server has there.
    fn refuse_if_in_the_way(
        &self,
        what: &'static str,
        database: &[u8],
        name: &[u8],
        present: &'static str,
    ) -> Result<()> {
        let name = format!("{}.{}", String::from_utf8_lossy(database), String::from_utf8_lossy(name));
        match (what == present, self.options.overwrite) {
            (false, _) => Err(Error::OtherKind { what, name, present }),
            (true, false) => Err(Error::Exists { what, name }),
            (true, true) => Ok(()),
        }
    }

    /// A database that the dump drops goes with all that is in it, be it in the dump or not.
    fn dropped_databases(&self, list: &str) -> Result<Vec<Vec<u8>>> {
        let statement =
            format!("SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN ({list})");
        let there: Vec<Vec<u8>> = self.loader.client.ask(&[], &statement)?.lines().map(from_hex).collect();
        let contents = self.repository.contents()?;
        let mut dropped = Vec::new();
        for database in self.tables.databases() {
            if there.contains(&database.name) && self.tables.is_dropped(database, &contents)? {
                if !self.options.overwrite {
                    let name = String::from_utf8_lossy(&database.name).into_owned();
                    return Err(Error::Exists { what: "database", name });
                }
                dropped.push(database.name.clone());
            }
        }
        Ok(dropped)
    }

    /// The same where one table is to go.
    pub(super) fn refuse_present_table(&self, database: &str, table: &str) -> Result<()> {
        let (database, table) = (database.as_bytes(), table.as_bytes());
        let there = self.loader.client.ask(
            &[],
            &format!(
                "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                literal(database),
                literal(table)
            ),
        )?;
        match there.trim() {
            "" => Ok(()),
            told => self.refuse_if_in_the_way("table", database, table, kind_of(told)),
        }
    }
}

/// Any bytes as an SQL string.
fn literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("_utf8mb4 x'{digits}'")
}
