//! Loads dumps of MongoDB: no client does, but the server's own driver, since MongoDB's programs are in few systems' packages.

mod batch;
mod collections;
mod server;
mod unload;
mod url;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use self::batch::Batch;
pub use self::collections::is_loaded;
use self::collections::{DumpCollection, collections, find};
use self::server::MongoServer;
pub use self::unload::unload;
pub use self::url::MongoUrl;
use crate::dump::mongo::DocumentReader;
use crate::error::{Error, Result};
use crate::load::at_once::each_at_once;
use crate::load::{LoadOptions, LoadReport};
use crate::progress::{Counters, Monitor};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::snapshot::Snapshot;

/// A collection, and what it is called on the server.
struct Load {
    from: DumpCollection,
    database: String,
    name: String,
    is_there: bool,
}

impl Load {
    fn shown(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// Loads what `options` say.
pub fn load(
    repository: &Repository,
    snapshot: &Snapshot,
    url: &MongoUrl,
    options: &LoadOptions,
    monitor: &dyn Monitor,
) -> Result<LoadReport> {
    if options.client.as_ref().is_some_and(|client| !client.is_empty()) {
        return Err(Error::invalid("option", "--client", "dumps of MongoDB are loaded without a program"));
    }
    let all = collections(repository, snapshot)?;
    let mut loads = match options.tables.is_empty() {
        true => whole(all, snapshot, monitor)?,
        false => named(&all, options)?,
    };
    if let (Some(of_url), Some(load)) =
        (url.database(), loads.iter().find(|load| Some(&*load.database) != url.database()))
    {
        let reason = format!(
            "databases of MongoDB are loaded under their names, \"{}\": leave \"{of_url}\" out of the URL, or load collections \
             with --table and --as",
            load.database
        );
        return Err(Error::invalid("option", "--into", reason));
    }
    let server = MongoServer::connect(url)?;
    look_for_present(&server, &mut loads, options.overwrite)?;
    let bytes = loads.iter().map(|load| load.from.bytes()).sum();
    Counters::add(&monitor.counters().bytes_expected, bytes);
    let count = loads.len() as u64;
    Loading { repository, server: &server, monitor }.run_all(loads, options.threads)?;
    Ok(LoadReport { tables: (!options.tables.is_empty()).then_some(count), bytes })
}

/// All of a dump, but for what a server keeps for itself.
fn whole(all: Vec<DumpCollection>, snapshot: &Snapshot, monitor: &dyn Monitor) -> Result<Vec<Load>> {
    if all.is_empty() {
        let name = format!("{}@{}", snapshot.manifest.source, snapshot.manifest.name);
        let reason = "it has no collections as mongodump writes them; what mongoexport wrote, mongoimport loads";
        return Err(Error::invalid("snapshot", name, reason));
    }
    let (own, loaded): (Vec<_>, Vec<_>) = all.into_iter().partition(DumpCollection::is_of_server);
    if !own.is_empty() {
        let names = own.iter().map(DumpCollection::shown).collect::<Vec<_>>().join(", ");
        monitor.note(&format!("not loaded, since servers keep these for themselves: {names}"));
    }
    let load =
        |from: DumpCollection| Load { database: from.database.clone(), name: from.name.clone(), from, is_there: false };
    Ok(loaded.into_iter().map(load).collect())
}

/// Some collections, of which a single one may get another name.
fn named(all: &[DumpCollection], options: &LoadOptions) -> Result<Vec<Load>> {
    let mut loads = Vec::new();
    for name in &options.tables {
        let from = find(all, name)?.clone();
        let (database, name) = match &options.rename {
            // A database has no dot in its name.
            Some(rename) => rename
                .split_once('.')
                .ok_or_else(|| Error::invalid("option", "--as", "collections are named DATABASE.COLLECTION"))?,
            None => (&*from.database, &*from.name),
        };
        loads.push(Load { database: database.into(), name: name.into(), from, is_there: false });
    }
    Ok(loads)
}

/// Looks, before anything is changed, which collections are there.
fn look_for_present(server: &MongoServer, loads: &mut [Load], may_replace: bool) -> Result<()> {
    let mut present: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for load in loads {
        if !present.contains_key(&load.database) {
            present.insert(load.database.clone(), server.collections(&load.database)?);
        }
        load.is_there = present.get(&load.database).is_some_and(|names| names.contains(&load.name));
        if load.is_there && !may_replace {
            return Err(Error::Exists { what: "collection", name: load.shown() });
        }
    }
    Ok(())
}

struct Loading<'l> {
    repository: &'l Repository,
    server: &'l MongoServer,
    monitor: &'l dyn Monitor,
}

impl Loading<'_> {
    /// Several collections at the same time, then the views, until one fails.
    fn run_all(&self, loads: Vec<Load>, threads: usize) -> Result<()> {
        let (views, loads): (Vec<_>, Vec<_>) = loads.into_iter().partition(|load| load.from.is_view);
        each_at_once(loads, threads, |load| self.run(&load))?;
        views.iter().try_for_each(|view| self.run(view))
    }

    fn run(&self, load: &Load) -> Result<()> {
        let definition = load.from.definition(self.repository)?;
        if load.is_there {
            self.server.drop_collection(&load.database, &load.name)?;
        }
        self.server.create(&load.database, &load.name, &definition)?;
        if let Some(content) = load.from.documents.as_ref().filter(|_| !load.from.is_view) {
            self.insert(load, content, definition.has_validator())?;
        }
        self.server.make_indexes(&load.database, &load.name, &definition)?;
        Counters::add(&self.monitor.counters().entries, 1);
        Ok(())
    }

    /// Inserts documents, in their order.
    fn insert(&self, load: &Load, content: &Content, anyhow: bool) -> Result<()> {
        let (mut reader, mut batch) = (DocumentReader::default(), Batch::default());
        self.repository.contents()?.each_piece(content, 1, |piece| {
            let are_documents = reader.push(piece, &mut |_, document| {
                if !batch.has_room(document) {
                    self.send(load, &mut batch, anyhow)?;
                }
                batch.push(document);
                Ok::<_, Error>(())
            })?;
            match are_documents {
                true => Ok(ControlFlow::Continue(())),
                false => {
                    Err(Error::invalid("collection", load.from.shown(), "its file holds something else than documents"))
                }
            }
        })?;
        if !batch.is_empty() {
            self.send(load, &mut batch, anyhow)?;
        }
        if !reader.is_between() {
            self.monitor.note(&format!("the documents of {} end in the middle of one", load.from.shown()));
        }
        Ok(())
    }

    fn send(&self, load: &Load, batch: &mut Batch, anyhow: bool) -> Result<()> {
        if self.monitor.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let what = format!("loading {}", load.shown());
        let command = batch.command(&load.from.documents_name(&load.name), anyhow);
        Counters::add(&self.monitor.counters().bytes, command.len() as u64);
        if let Err(refused) = self.server.insert(&load.database, &what, command)? {
            let reason = format!("{}, in {}", refused.reason, batch.shown(refused.number));
            return Err(self.server.refused(&what, reason));
        }
        batch.clear();
        Ok(())
    }
}
