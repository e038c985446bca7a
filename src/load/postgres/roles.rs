//! Roles and tablespaces: those that a dump makes and the server has, which stay; and roles that it only names, which must be there, as must the
//! right to give them what is made. A server would tell so at the end of the load.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::dump::layout::{GLOBALS_DIRECTORY, POST_FILE, ROLES_FILE, SCHEMA_FILE, TABLESPACES_FILE};
use crate::dump::postgres::{
    NamedRoles, Ownership, RoleFinder, ServerGlobals, created_role, created_tablespace, each_statement,
};
use crate::error::{Error, Result};
use crate::load::outline::beside_rows;
use crate::load::postgres::{MAINTENANCE_DATABASE, Run};
use crate::load::tables::{TableName, from_hex, text_in};
use crate::repository::content::Content;
use crate::repository::snapshot::Snapshot;

/// Each role, and whether whoever asks may make it an owner: since version 16, a member need not be able to.
const ROLES: &str = "SELECT encode(convert_to(rolname::text, 'UTF8'), 'hex') || ' ' || pg_catalog.pg_has_role(oid, \
                     CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END) \
                     FROM pg_catalog.pg_roles";

const TABLESPACES: &str = "SELECT encode(convert_to(spcname::text, 'UTF8'), 'hex') FROM pg_catalog.pg_tablespace";

impl Run<'_> {
    /// What of a dump is left out.
    pub(super) fn ownership(&self) -> Ownership {
        let left_out = &self.options.left_out;
        Ownership { owners: left_out.owners, privileges: left_out.privileges }
    }

    /// The roles and tablespaces that the dump makes and the server has.
    pub(super) fn globals_that_stay(&self, snapshot: &Snapshot) -> Result<Option<Arc<ServerGlobals>>> {
        let mut made = ServerGlobals::default();
        self.each_global(snapshot, ROLES_FILE, &mut |text| made.roles.extend(created_role(text)))?;
        self.each_global(snapshot, TABLESPACES_FILE, &mut |text| made.tablespaces.extend(created_tablespace(text)))?;
        if made == ServerGlobals::default() {
            return Ok(None);
        }
        let roles = self.roles()?.into_keys().filter(|role| made.roles.contains(role)).collect();
        let lines = self.loader.client.ask(&self.in_database(MAINTENANCE_DATABASE), TABLESPACES)?;
        let tablespaces =
            lines.lines().map(|name| self.as_dumped(name)).filter(|name| made.tablespaces.contains(name)).collect();
        let there = ServerGlobals { roles, tablespaces };
        for (what, names) in [("roles", &there.roles), ("tablespaces", &there.tablespaces)] {
            if !names.is_empty() {
                let names = self.shown(names.iter()).join(", ");
                self.loader.monitor.note(&format!("{what} that the server has stay as they are: {names}"));
            }
        }
        Ok(Some(Arc::new(there)))
    }

    /// Gives the statements of a file of what is in no database.
    fn each_global(&self, snapshot: &Snapshot, file: &str, take: &mut impl FnMut(&[u8])) -> Result<()> {
        let path = [GLOBALS_DIRECTORY, file].join("/");
        let node = self.repository.tree()?.lookup_path(&snapshot.manifest.root, path.as_bytes())?;
        let text = text_in(&self.repository.contents()?, node.as_ref().and_then(|node| node.content()))?;
        each_statement(&text, take);
        Ok(())
    }

    /// Looks at the roles that a whole dump names.
    pub(super) fn look_at_roles_of_dump(&self, snapshot: &Snapshot, dump: &Content) -> Result<()> {
        let Some(parts) = self.tables.parts(snapshot)? else { return Ok(()) };
        let mut finder = RoleFinder::new(self.ownership());
        beside_rows(self.repository.contents()?, dump, &parts)?.each_piece(&mut |piece| {
            finder.push(piece);
            Ok(ControlFlow::Continue(()))
        })?;
        self.look_at_roles(finder.finish())
    }

    /// The same of tables.
    pub(super) fn look_at_roles_of_tables<'n>(&self, tables: impl Iterator<Item = TableName<'n>>) -> Result<()> {
        let contents = self.repository.contents()?;
        let mut finder = RoleFinder::new(self.ownership());
        for table in tables {
            for file in [SCHEMA_FILE, POST_FILE] {
                finder.push(&text_in(&contents, self.tables.file_of(table, file)?.as_ref())?);
            }
        }
        self.look_at_roles(finder.finish())
    }

    fn look_at_roles(&self, named: NamedRoles) -> Result<()> {
        let NamedRoles { owners, others } = named;
        if owners.is_empty() && others.is_empty() {
            return Ok(());
        }
        let there = self.roles()?;
        let missing: HashSet<_> = owners.union(&others).filter(|role| !there.contains_key(*role)).collect();
        if !missing.is_empty() {
            let reason = "the server does not have";
            return Err(Error::Accounts { what: "roles", reason, names: self.shown(missing.into_iter()) });
        }
        let foreign: Vec<_> = owners.iter().filter(|role| there.get(*role) == Some(&false)).collect();
        if !foreign.is_empty() {
            let reason = "whoever loads it is neither nor a member of";
            return Err(Error::Accounts { what: "owners", reason, names: self.shown(foreign.into_iter()) });
        }
        Ok(())
    }

    /// The roles of the server, each with whether it may be made an owner.
    fn roles(&self) -> Result<HashMap<Vec<u8>, bool>> {
        let lines = self.loader.client.ask(&self.in_database(MAINTENANCE_DATABASE), ROLES)?;
        let roles = lines.lines().filter_map(|line| line.split_once(' '));
        Ok(roles.map(|(name, may_own)| (self.as_dumped(name), may_own == "true")).collect())
    }

    /// A name that the server tells, as statements of the dump have it.
    fn as_dumped(&self, digits: &str) -> Vec<u8> {
        self.letters.encoded(&from_hex(digits)).into_owned()
    }

    fn shown<'n>(&self, names: impl Iterator<Item = &'n Vec<u8>>) -> Vec<String> {
        let in_utf8 = |name: &'n Vec<u8>| self.letters.name_in_utf8(name.into());
        let mut names: Vec<_> = names.map(|name| String::from_utf8_lossy(&in_utf8(name)).into_owned()).collect();
        names.sort();
        names
    }
}
