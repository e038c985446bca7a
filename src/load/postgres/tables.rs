//! Tables of a dump of PostgreSQL, loaded by themselves: all of a database in one transaction, with the parts of those that are
//! partitioned. Their foreign keys come last, so that it does not matter in which order they are named.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::dump::layout::{ATTACHMENT_FILE, DATA_FILE, POST_FILE, RESTORE_FILE, SCHEMA_FILE};
use crate::dump::letters::Letters;
use crate::dump::name::{split_at_dots, split_quoted};
use crate::dump::postgres::{QualifiedName, TableInSchema, foreign_keys, table_schema};
use crate::error::{Error, Result};
use crate::load::LoadReport;
use crate::load::loader::Load;
use crate::load::postgres::present::Present;
use crate::load::postgres::{Run, quoted};
use crate::load::tables::{Database, TableName, refuse_other_letters, text_in, text_of};
use crate::load::text::{Change, SqlText, Stretch};
use crate::repository::content::Content;

/// A table, and where it goes.
struct PlacedTable {
    of_database: Vec<u8>,
    old: TableInSchema,
    /// Its `restore.sql`.
    content: Content,
    /// What makes it a part of a table that is loaded, too.
    attachment: Option<Content>,
    database: String,
    schema: String,
    table: String,
}

impl PlacedTable {
    fn name(&self) -> TableName<'_> {
        TableName { database: &self.of_database, schema: Some(&self.old.schema), table: &self.old.table }
    }

    /// What it is called in its file, which is in these letters, and what it is to be called.
    fn change(&self, letters: Letters) -> Option<Change> {
        let new = TableInSchema { schema: self.schema.clone().into(), table: self.table.clone().into() };
        (self.old != new).then(|| {
            let [old, new] = [self.old.clone(), new].map(|TableInSchema { schema, table }| TableInSchema {
                schema: letters.encoded(&schema).into_owned(),
                table: letters.encoded(&table).into_owned(),
            });
            Change::PostgresTable { old, new }
        })
    }

    fn place(&self) -> [&str; 3] {
        [&self.database, &self.schema, &self.table]
    }

    fn shown(&self) -> String {
        self.place().join(".")
    }

    /// In SQL.
    fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.table))
    }

    /// What makes its schema. Its file makes one of its own, but none that every database has.
    fn schema(&self) -> Option<String> {
        let is_other = self.old.schema != self.schema.as_bytes() && self.schema != "public";
        is_other.then(|| format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(&self.schema)))
    }
}

impl Run<'_> {
    pub(super) fn load_tables(&self, names: &[String]) -> Result<LoadReport> {
        // All are looked at before anything is changed.
        let mut placed: Vec<PlacedTable> = Vec::new();
        for name in names {
            let table = self.place(name)?;
            for table in self.with_parts(table)? {
                match placed.iter_mut().find(|other| other.place() == table.place()) {
                    // As a part it is more than by itself.
                    Some(other) => other.attachment = other.attachment.take().or(table.attachment),
                    None => placed.push(table),
                }
            }
        }
        // Parts have default values that are those of a sequence of the whole.
        placed.sort_by_key(|table| table.attachment.is_some());
        self.refuse_taken(&placed)?;
        self.look_at_roles_of_tables(placed.iter().map(PlacedTable::name))?;
        let count = placed.len() as u64;
        let mut databases: Vec<Vec<PlacedTable>> = Vec::new();
        for table in placed {
            match databases.iter_mut().find(|tables| tables[0].database == table.database) {
                Some(tables) => tables.push(table),
                None => databases.push(vec![table]),
            }
        }
        let mut loads = Vec::new();
        for tables in databases {
            self.make_database(&tables[0].database)?;
            loads.push(self.load_of(names, &tables)?);
        }
        let report = LoadReport { tables: Some(count), bytes: loads.iter().map(Load::bytes).sum() };
        self.loader.run_all(loads)?;
        Ok(report)
    }

    /// Some tables of one database, all or none of them.
    fn load_of(&self, names: &[String], tables: &[PlacedTable]) -> Result<Load<'_>> {
        let contents = self.repository.contents()?;
        let mut begin = String::new();
        if self.options.overwrite {
            // In one statement, they may refer to one another.
            let names: Vec<String> = tables.iter().map(PlacedTable::quoted).collect();
            begin.push_str(&format!("DROP TABLE IF EXISTS {};\n", names.join(", ")));
        }
        begin.extend(tables.iter().filter_map(PlacedTable::schema));
        let mut made_of = vec![Stretch::Statement(begin.into())];
        made_of.extend(tables.iter().map(|table| Stretch::File(table.content.clone())));
        // There is a new name only for one that is alone.
        let rename = tables.first().and_then(|table| table.change(self.letters));
        let mut end = Vec::new();
        for attachment in tables.iter().filter_map(|table| table.attachment.as_ref()) {
            end.extend(text_in(&contents, Some(attachment))?);
        }
        for table in tables {
            let post = self.tables.file_of(table.name(), POST_FILE)?;
            let keys = foreign_keys(&text_in(&contents, post.as_ref())?);
            end.extend(rename.as_ref().map_or_else(|| Ok(keys.clone()), |rename| rename.applied_to(&keys))?);
        }
        made_of.push(Stretch::Statement(end));
        for table in tables {
            self.tell_new_names(table);
        }
        let mut changes = vec![Change::Commands(self.commands.clone()), Change::WithoutForeignKeys];
        changes.extend(self.without_ownership());
        changes.extend(rename);
        let whole = SqlText::whole(contents, Content::empty(), 1);
        let text = SqlText { made_of, changes, ..whole };
        let mut arguments = self.fed_in(&tables[0].database);
        arguments.push("--single-transaction".into());
        let what = match (names, tables) {
            ([name], [_]) => name.clone(),
            (_, [table]) => table.shown(),
            (_, tables) => format!("{} tables of {}", tables.len(), tables[0].database),
        };
        Ok(Load { what, text, arguments })
    }

    /// A table, and all that are parts of it, at any depth, if it is partitioned.
    fn with_parts(&self, table: PlacedTable) -> Result<Vec<PlacedTable>> {
        let contents = self.repository.contents()?;
        let schema = text_in(&contents, self.tables.file_of(table.name(), SCHEMA_FILE)?.as_ref())?;
        if !table_schema(&schema, b"").is_some_and(|schema| schema.is_partitioned) {
            return Ok(vec![table]);
        }
        let refuse = |reason: &str| Err(Error::invalid("table", table.shown(), reason));
        if self.tables.file_of(table.name(), DATA_FILE)?.is_some() {
            return refuse("its rows come by way of it (--load-via-partition-root), which only the whole dump loads");
        }
        let all = self.tables.partitions(&table.of_database, &contents)?;
        let in_utf8 = |name: &Vec<u8>| self.letters.name_in_utf8(name.into()).into_owned();
        let in_schema = |name: &QualifiedName| TableInSchema {
            schema: name.schema.as_ref().map_or_else(|| table.old.schema.clone(), in_utf8),
            table: in_utf8(&name.name),
        };
        let (mut found, mut looked_at) = (vec![table.old.clone()], 0);
        while looked_at < found.len() {
            let parts = all.iter().filter(|[parent, _]| in_schema(parent) == found[looked_at]);
            let parts: Vec<_> = parts.map(|[_, part]| in_schema(part)).filter(|part| !found.contains(part)).collect();
            found.extend(parts);
            looked_at += 1;
        }
        if self.options.rename.is_some() && found.len() > 1 {
            return refuse("it has partitions, which keep their names: without --as, into the database in the URL");
        }
        let mut tables = Vec::new();
        for part in found.into_iter().skip(1) {
            tables.push(self.part(&table, part)?);
        }
        tables.insert(0, table);
        Ok(tables)
    }

    /// A part of a table.
    fn part(&self, of: &PlacedTable, old: TableInSchema) -> Result<PlacedTable> {
        let name = TableName { database: &of.of_database, schema: Some(&old.schema), table: &old.table };
        let [content, attachment] =
            [self.tables.file_of(name, RESTORE_FILE)?, self.tables.file_of(name, ATTACHMENT_FILE)?];
        let missing = || Error::invalid("table", of.shown(), "a part of it is not in the dump");
        let [schema, table] = [text_of(&old.schema)?, text_of(&old.table)?];
        Ok(PlacedTable {
            of_database: of.of_database.clone(),
            content: content.ok_or_else(missing)?,
            attachment,
            database: of.database.clone(),
            schema,
            table,
            old,
        })
    }

    fn tell_new_names(&self, placed: &PlacedTable) {
        let (old, new) = (String::from_utf8_lossy(&placed.old.table), &placed.table);
        if old != *new {
            self.loader.monitor.note(&format!(
                "the indexes, unique constraints, sequences and statistics of {old} get names that begin with {new}"
            ));
        }
    }

    /// Finds a table, and a place for it.
    fn place(&self, what: &str) -> Result<PlacedTable> {
        let usual = "tables are named DATABASE.SCHEMA.TABLE";
        let found = self.tables.find(what, usual, self.meant(what), self.meant_by_quotes(what))?;
        let TableName { database: of_database, schema, table } = found.name;
        let old = TableInSchema { schema: schema.unwrap_or_default().to_vec(), table: table.to_vec() };
        let own = [text_of(&old.schema)?, text_of(table)?];
        let [database, schema, table] = self.place_for(&found.name, own)?;
        refuse_other_letters(self.letters, &[&schema, &table])?;
        let of_database = of_database.to_vec();
        Ok(PlacedTable { of_database, old, content: found.content, attachment: None, database, schema, table })
    }

    /// Looks whether the places are free, or may be taken.
    fn refuse_taken(&self, placed: &[PlacedTable]) -> Result<()> {
        let mut there: HashMap<&str, HashMap<_, _>> = HashMap::new();
        for table in placed {
            let names = match there.entry(&table.database) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let is_there = self.has_database(&table.database)?;
                    let present = if is_there { self.present_in(&table.database)? } else { Vec::new() };
                    let named = |it: Present| {
                        let what = it.what();
                        ((it.schema, it.name), what)
                    };
                    place.insert(present.into_iter().map(named).collect())
                }
            };
            match names.get(&(table.schema.clone().into(), table.table.clone().into())) {
                None => {}
                Some(&"table") if self.options.overwrite => {}
                Some(&"table") => return Err(Error::Exists { what: "table", name: table.shown() }),
                Some(present) => return Err(Error::OtherKind { what: "table", name: table.shown(), present }),
            }
        }
        Ok(())
    }

    /// What a name can mean: with its database, or where there is but one, without.
    fn meant<'n>(&'n self, name: &'n str) -> impl Iterator<Item = TableName<'n>> {
        let name = name.as_bytes();
        let in_database = |database: &'n [u8], rest: &'n [u8]| {
            split_at_dots(rest).map(move |(schema, table)| TableName { database, schema: Some(schema), table })
        };
        let only = self.only_database();
        let named = split_at_dots(name).flat_map(move |(database, rest)| in_database(database, rest));
        named.chain(only.into_iter().flat_map(move |database| in_database(&database.name, name)))
    }

    /// The same of one with names in quotes.
    fn meant_by_quotes<'n>(&'n self, name: &'n str) -> Option<TableName<'n>> {
        let (database, schema, table) = match split_quoted(name.as_bytes(), b'"')?[..] {
            [database, schema, table] => (database, schema, table),
            [schema, table] => (&*self.only_database()?.name, schema, table),
            _ => return None,
        };
        Some(TableName { database, schema: Some(schema), table })
    }

    fn only_database(&self) -> Option<&Database> {
        Some(self.tables.databases()).filter(|all| all.len() == 1)?.first()
    }

    /// The database, schema and name that a table gets.
    fn place_for(&self, name: &TableName, [schema, table]: [String; 2]) -> Result<[String; 3]> {
        let Some(place) = &self.options.rename else {
            let database = self.server.database.clone().map_or_else(|| text_of(name.database), Ok)?;
            return Ok([database, schema, table]);
        };
        // Its own names need no quotes, whatever is in them.
        let database = place.strip_suffix(&format!(".{schema}.{table}")).filter(|database| !database.is_empty());
        match database {
            Some(database) if !database.contains('"') => Ok([database.to_string(), schema, table]),
            _ => three_names(place).ok_or_else(|| {
                let reason =
                    "a table of PostgreSQL becomes DATABASE.SCHEMA.TABLE; a name that has dots is put in double quotes";
                Error::invalid("option", "--as", reason)
            }),
        }
    }
}

/// `database.schema.table`, each of which may stand in double quotes.
fn three_names(place: &str) -> Option<[String; 3]> {
    let (mut names, mut rest) = (Vec::new(), place);
    loop {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(inside) => quoted_part(inside)?,
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_string(), &rest[end..])
            }
        };
        names.push(name);
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None if behind.is_empty() => break,
            None => return None,
        }
    }
    <[String; 3]>::try_from(names).ok().filter(|names| names.iter().all(|name| !name.is_empty()))
}

/// A name up to its closing quote, of which those in it are doubled, and what is behind it.
fn quoted_part(mut rest: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(_) => name.push('"'),
            None => return Some((name, behind)),
        }
        rest = &behind[1..];
    }
}
