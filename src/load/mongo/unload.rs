//! Unload: what a server has, as the files that `mongodump` would write.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::dump::mongo::{
    BUCKETS_PREFIX, DOCUMENTS_SUFFIX, METADATA_SUFFIX, PRELUDE_FILE, Prelude, TIME_SERIES, collection_file_name,
    json_text,
};
use crate::error::{Error, Result};
use crate::load::mongo::MongoUrl;
use crate::load::mongo::collections::is_loaded;
use crate::load::mongo::server::MongoServer;
use crate::progress::Monitor;

/// Writes the documents of all collections that a dump can bring to a server into `directory`, which is made. Of how they were
/// made only their names are written.
///
/// # Errors
/// [`Error::Load`] where the server does not give them; [`Error::Io`] where they cannot be written.
pub fn unload(url: &MongoUrl, directory: &Path, monitor: &dyn Monitor) -> Result<()> {
    let server = MongoServer::connect(url)?;
    std::fs::create_dir(directory).map_err(Error::io("make", directory))?;
    let prelude = Prelude { server_version: Some(server.version()?), ..Prelude::default() };
    write(&directory.join(PRELUDE_FILE), &prelude.to_json())?;
    for database in server.databases()? {
        let mut collections = server.stored_collections(&database)?;
        collections.retain(|collection| is_loaded(&database, collection));
        let place = directory.join(&database);
        if !collections.is_empty() {
            std::fs::create_dir(&place).map_err(Error::io("make", &place))?;
        }
        for collection in collections {
            Unloading { server: &server, place: &place, monitor }.collection(&database, &collection)?;
        }
    }
    Ok(())
}

/// Collections of one database.
struct Unloading<'u> {
    server: &'u MongoServer,
    place: &'u Path,
    monitor: &'u dyn Monitor,
}

impl Unloading<'_> {
    fn collection(&self, database: &str, collection: &str) -> Result<()> {
        let path = |name: &str, suffix| {
            self.place.join(std::ffi::OsStr::from_bytes(&collection_file_name(name.as_bytes(), suffix)))
        };
        // The documents of a time series lie beside its own metadata.
        let (name, kind) = match collection.strip_prefix(BUCKETS_PREFIX) {
            Some(series) => (series, TIME_SERIES),
            None => (collection, "collection"),
        };
        let shown = json_text(name.as_bytes());
        let metadata = format!("{{\"indexes\":[],\"collectionName\":{shown},\"type\":\"{kind}\"}}");
        write(&path(name, METADATA_SUFFIX), metadata.as_bytes())?;
        let path = path(collection, DOCUMENTS_SUFFIX);
        let mut file = BufWriter::new(File::create(&path).map_err(Error::io("make", &path))?);
        self.server.each_document(database, collection, &mut |document| {
            if self.monitor.is_cancelled() {
                return Err(Error::Interrupted);
            }
            file.write_all(document).map_err(Error::io("write", &path))
        })?;
        file.flush().map_err(Error::io("write", &path))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(Error::io("write", path))
}
