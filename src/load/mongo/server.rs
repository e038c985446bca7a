//! MongoServer: talks to a server, by MongoDB's own driver.

use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::results::CollectionType;
use mongodb::sync::Client;

use crate::error::{Error, Result};
use crate::load::mongo::url::MongoUrl;

/// What servers of today refuse in options that older ones had.
const GONE_OPTIONS: [&str; 2] = ["autoIndexId", "temp"];

/// A server that answered.
pub struct MongoServer {
    client: Client,
    /// For messages.
    name: String,
}

/// How a collection was made.
#[derive(Debug, Clone, Default)]
pub struct Definition {
    options: Document,
    indexes: Vec<Document>,
}

/// A document that the server did not take: its number in the batch, and why.
pub struct Refused {
    pub number: usize,
    pub reason: String,
}

impl Definition {
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &[u8]) -> std::result::Result<Definition, String> {
        let mut metadata: Document = serde_json::from_slice(json).map_err(|cause| cause.to_string())?;
        let mut options = match metadata.remove("options") {
            Some(Bson::Document(options)) => options,
            Some(_) => return Err("its options are no object".into()),
            None => Document::new(),
        };
        GONE_OPTIONS.iter().for_each(|name| drop(options.remove(name)));
        let Some(Bson::Array(listed)) = metadata.remove("indexes").or(Some(Bson::Array(Vec::new()))) else {
            return Err("its indexes are no array".into());
        };
        let mut indexes = Vec::new();
        for index in listed {
            let Bson::Document(mut index) = index else { return Err("an index is no object".into()) };
            // The server makes these itself.
            let is_own = index.get_str("name").is_ok_and(|name| name == "_id_")
                || index.get_bool("clustered").unwrap_or_default();
            if !is_own {
                // Of the old server.
                index.remove("ns");
                index.remove("v");
                indexes.push(index);
            }
        }
        Ok(Definition { options, indexes })
    }

    pub fn has_validator(&self) -> bool {
        self.options.contains_key("validator")
    }
}

impl MongoServer {
    pub fn connect(url: &MongoUrl) -> Result<MongoServer> {
        let name = url.shown();
        let failed = |reason: String| Error::Load { what: "asking the server".into(), client: name.clone(), reason };
        let text = url.with_password()?;
        let client = Client::with_uri_str(text).map_err(|cause| failed(cause.to_string()))?;
        client.database("admin").run_command(doc! { "ping": 1 }).run().map_err(|cause| failed(cause.to_string()))?;
        Ok(MongoServer { client, name })
    }

    fn run(&self, database: &str, what: &str, command: Document) -> Result<Document> {
        let ran = self.client.database(database).run_command(command).run();
        ran.map_err(|cause| self.failed(what, &cause))
    }

    fn failed(&self, what: &str, cause: &mongodb::error::Error) -> Error {
        self.refused(what, cause.to_string())
    }

    /// What it did not do, and why.
    pub fn refused(&self, what: &str, reason: String) -> Error {
        Error::Load { what: what.into(), client: self.name.clone(), reason }
    }

    /// The names of all collections and views of a database.
    pub fn collections(&self, database: &str) -> Result<Vec<String>> {
        let listed = self.client.database(database).list_collection_names().run();
        listed.map_err(|cause| self.failed("asking the server for its collections", &cause))
    }

    /// What it calls its version.
    pub fn version(&self) -> Result<String> {
        let told = self.run("admin", "asking the server for its version", doc! { "buildInfo": 1 })?;
        Ok(told.get_str("version").unwrap_or_default().to_string())
    }

    pub fn databases(&self) -> Result<Vec<String>> {
        let listed = self.client.list_database_names().run();
        listed.map_err(|cause| self.failed("asking the server for its databases", &cause))
    }

    /// The names of collections of a database that have documents of their own, which views and time series do not.
    pub fn stored_collections(&self, database: &str) -> Result<Vec<String>> {
        let failed = |cause| self.failed("asking the server for its collections", &cause);
        let mut names = Vec::new();
        for listed in self.client.database(database).list_collections().run().map_err(failed)? {
            let listed = listed.map_err(failed)?;
            names.extend((listed.collection_type == CollectionType::Collection).then_some(listed.name));
        }
        Ok(names)
    }

    /// Gives all documents of a collection, byte for byte.
    pub fn each_document(
        &self,
        database: &str,
        collection: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = |cause| self.failed(&format!("reading {database}.{collection}"), &cause);
        let found = self.client.database(database).collection::<RawDocumentBuf>(collection).find(doc! {}).run();
        let mut cursor = found.map_err(failed)?;
        while cursor.advance().map_err(failed)? {
            each(cursor.current().as_bytes())?;
        }
        Ok(())
    }

    pub fn drop_collection(&self, database: &str, collection: &str) -> Result<()> {
        let what = format!("dropping {database}.{collection}");
        self.run(database, &what, doc! { "drop": collection }).map(|_| ())
    }

    /// Makes a collection or a view, without its indexes.
    pub fn create(&self, database: &str, collection: &str, definition: &Definition) -> Result<()> {
        let mut command = doc! { "create": collection };
        command.extend(definition.options.clone());
        self.run(database, &format!("making {database}.{collection}"), command).map(|_| ())
    }

    pub fn make_indexes(&self, database: &str, collection: &str, definition: &Definition) -> Result<()> {
        for index in &definition.indexes {
            let name = index.get_str("name").unwrap_or("without a name");
            let what = format!("making the index {name} of {database}.{collection}");
            let command = doc! { "createIndexes": collection, "indexes": [index.clone()] };
            self.run(database, &what, command)?;
        }
        Ok(())
    }

    /// Inserts documents by a command that has them.
    pub fn insert(&self, database: &str, what: &str, command: Vec<u8>) -> Result<std::result::Result<(), Refused>> {
        let command = RawDocumentBuf::from_bytes(command).map_err(|cause| self.refused(what, cause.to_string()))?;
        let reply = self.client.database(database).run_raw_command(command).run();
        let reply = reply.map_err(|cause| self.failed(what, &cause))?;
        if let Ok(error) = reply.get_document("writeConcernError") {
            return Err(self.refused(what, error.get_str("errmsg").unwrap_or("it may not last").to_string()));
        }
        let Some(Bson::Document(error)) = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()) else {
            return Ok(Ok(()));
        };
        let number = error.get_i32("index").unwrap_or_default().try_into().unwrap_or_default();
        Ok(Err(Refused { number, reason: error.get_str("errmsg").unwrap_or("refused").to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_keep_the_order_and_the_types_of_their_fields() {
        let json = br#"{"options":{"capped":true,"size":{"$numberLong":"65536"},"autoIndexId":true},
            "indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"},
            {"v":{"$numberInt":"2"},"key":{"z":{"$numberInt":"1"},"a":{"$numberDouble":"-1.0"}},"name":"z_a","ns":"a.b"}]}"#;
        let definition = Definition::read(json).unwrap();
        assert_eq!(definition.options, doc! { "capped": true, "size": 65536_i64 });
        assert_eq!(definition.indexes, [doc! { "key": { "z": 1, "a": -1.0 }, "name": "z_a" }]);
        let keys: Vec<&String> = definition.indexes[0].get_document("key").unwrap().keys().collect();
        assert_eq!(keys, ["z", "a"]);
        assert!(Definition::read(b"{}").unwrap().indexes.is_empty());
        for wrong in [&b"{"[..], b"[]", br#"{"options":1}"#, br#"{"indexes":{}}"#, br#"{"indexes":[1]}"#] {
            assert!(Definition::read(wrong).is_err());
        }
    }
}
