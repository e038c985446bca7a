//! Who defines what is loaded: looked at before anything is changed, for a server refuses a definer at the end of the load, when
//! it comes to views and triggers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::dump::layout::TRIGGERS_FILE;
use crate::dump::mysql::{Account, Requirements, RequirementsFinder};
use crate::error::{Error, Result};
use crate::load::mysql::{PlacedTable, Run};
use crate::load::outline::beside_rows;
use crate::load::tables::{from_hex, text_in};
use crate::repository::content::Content;
use crate::repository::node::Node;

/// One of these lets a user name another one as definer: of MariaDB the second, of MySQL the others.
const PRIVILEGES: [&str; 5] = ["SUPER", "SET USER", "SET_USER_ID", "SET_ANY_DEFINER", "ALL PRIVILEGES"];

/// One of these lets a user make triggers and functions where there is a binary log.
const PRIVILEGES_FOR_LOG: [&str; 3] = ["SUPER", "BINLOG ADMIN", "ALL PRIVILEGES"];

/// Bytes that set a session back behind the triggers of a `restore.sql`.
const BEHIND_TRIGGERS_MAX_BYTES: u64 = 64 << 10;

impl Run<'_> {
    /// What a whole dump requires.
    pub(super) fn requirements(&self, root: &Node, dump: &Content) -> Result<Requirements> {
        let mut finder = RequirementsFinder::default();
        beside_rows(self.repository.contents()?, dump, &self.tables.parts_of_any(root)?)?.each_piece(&mut |piece| {
            finder.push(piece);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(finder.finish())
    }

    /// Looks at the definers of tables, whose triggers have some.
    pub(super) fn look_at_definers_of_tables(&self, tables: &[PlacedTable]) -> Result<()> {
        let (mut finder, mut has_triggers) = (RequirementsFinder::default(), false);
        for table in tables {
            let triggers = self.triggers_of(table)?;
            has_triggers |= !triggers.is_empty();
            if !self.options.left_out.definers {
                finder.push(&self.as_loaded(table, triggers)?);
            }
        }
        self.look_at_definers(finder.finish().definers)?;
        self.look_at_log(has_triggers)
    }

    fn triggers_of(&self, table: &PlacedTable) -> Result<Vec<u8>> {
        text_in(&self.repository.contents()?, self.tables.file_of(table.found.name, TRIGGERS_FILE)?.as_ref())
    }

    /// The triggers of a table as they are loaded; nothing where its `restore.sql` was made without definers.
    fn as_loaded(&self, table: &PlacedTable, triggers: Vec<u8>) -> Result<Vec<u8>> {
        let contents = self.repository.contents()?;
        let restore = &table.found.content;
        let start = restore.size.saturating_sub(triggers.len() as u64 + BEHIND_TRIGGERS_MAX_BYTES);
        let mut end = Vec::new();
        contents.read(restore, start, (restore.size - start) as usize, &mut end)?;
        let is_there = !triggers.is_empty() && end.windows(triggers.len()).any(|window| window == triggers);
        Ok(if is_there { triggers } else { Vec::new() })
    }

    /// Refuses triggers and functions, where there are some, that the server would refuse for its binary log's sake: when it comes to
    /// them, the tables before them have been replaced.
    pub(super) fn look_at_log(&self, has_programs: bool) -> Result<()> {
        let client = &self.loader.client;
        // Who may not ask is told by the server.
        let ask = |question| client.ask(&[], question).unwrap_or_default();
        if !has_programs || ask("SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators").trim() != "1\t0" {
            return Ok(());
        }
        let grants = ask("SHOW GRANTS");
        if grants.is_empty() || allow(&grants, &PRIVILEGES_FOR_LOG) {
            return Ok(());
        }
        let reason = "the server has a binary log, and only a user with SUPER may make triggers and functions then, unless \
                      log_bin_trust_function_creators is set";
        Err(Error::invalid("user", ask("SELECT CURRENT_USER()").trim(), reason))
    }

    /// Refuses definers that the server would refuse; tells of those that it does not know.
    pub(super) fn look_at_definers(&self, mut definers: BTreeSet<Account>) -> Result<()> {
        if definers.is_empty() || self.options.left_out.definers {
            return Ok(());
        }
        let client = &self.loader.client;
        let present = client.ask(&[], "SELECT HEX(CURRENT_USER())")?;
        let present = from_hex(present.trim());
        definers.retain(|account| [&account.user[..], &account.host].join(&b'@') != present);
        if definers.is_empty() {
            return Ok(());
        }
        // Who may not ask that is told by the server what it does not like.
        let may_name = client.ask(&[], "SHOW GRANTS").map_or(true, |grants| allow(&grants, &PRIVILEGES));
        if !may_name {
            let reason = "only a user with SUPER, SET USER or SET_ANY_DEFINER may name";
            return Err(Error::Accounts { what: "definers", reason, names: definers.iter().map(shown).collect() });
        }
        let known = client.ask(&[], "SELECT HEX(User), HEX(Host) FROM mysql.user").unwrap_or_default();
        let known = known.lines().filter_map(|line| line.split_once('\t'));
        let known: BTreeSet<_> = known.map(|(user, host)| (from_hex(user), from_hex(host))).collect();
        let is_known = |account: &Account| {
            // Roles have no host.
            let hosts = [&account.host[..], b""];
            hosts[..if account.host == b"%" { 2 } else { 1 }]
                .iter()
                .any(|host| known.contains(&(account.user.clone(), host.to_vec())))
        };
        let missing: Vec<String> = definers.iter().filter(|account| !is_known(account)).map(shown).collect();
        if !missing.is_empty() && !known.is_empty() {
            self.loader.monitor.note(&format!(
                "the server does not have these definers, and what they define fails when it is used: {}; \
                 --without-definer makes whoever loads it the definer",
                missing.join(", ")
            ));
        }
        Ok(())
    }
}

fn shown(account: &Account) -> String {
    String::from_utf8_lossy(&account.quoted()).into_owned()
}

/// Whether these grants give one of these privileges for all of a server, or could by way of a role.
fn allow(grants: &str, wanted: &[&str]) -> bool {
    grants.lines().any(|grant| match grant.split_once(" ON ") {
        Some((privileges, of)) => {
            let of_server = of.starts_with("*.* ");
            let privileges = privileges.trim_start_matches("GRANT ");
            of_server && privileges.split(", ").any(|privilege| wanted.contains(&privilege))
        }
        None => grant.starts_with("GRANT "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_tell_who_may_name_definers() {
        for enough in [
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
            "GRANT SELECT, SET USER, CREATE ON *.* TO `a`@`%`",
            "GRANT USAGE ON *.* TO `a`@`%`\nGRANT SET_ANY_DEFINER ON *.* TO `a`@`%`",
            "GRANT USAGE ON *.* TO `a`@`%`\nGRANT `role`@`%` TO `a`@`%`",
        ] {
            assert!(allow(enough, &PRIVILEGES), "{enough}");
        }
        let little = "GRANT USAGE, SUPERVISE ON *.* TO `a`@`%`\nGRANT ALL PRIVILEGES ON `shop`.* TO `a`@`%`";
        assert!(!allow(little, &PRIVILEGES));
    }
}
