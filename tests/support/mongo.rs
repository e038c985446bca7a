//! Dumps of MongoDB, as `mongodump` would write them.

// Every test program uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use yesterfs::compressed::UnwrapLimit;
use yesterfs::dump::mongo::ExportForm;
use yesterfs::error::Result;
use yesterfs::ingest::IngestOptions;
use yesterfs::ingest::dump::OriginalPolicy;
use yesterfs::ingest::mongo::{ArchiveInput, ExportInput, ExportOf, MongoInput, MongoOptions, ingest_mongo};
use yesterfs::ingest::stream::StreamInput;
use yesterfs::progress::Recorder;
use yesterfs::repository::node::Node;
use yesterfs::repository::snapshot::{Manifest, Snapshot};

use super::mounted::within;
use super::repository::{TestRepository, now};
use super::server::stop;
use super::stored::stored_tree;

/// A snapshot's files by path, and its manifest.
pub struct Dumped {
    pub files: BTreeMap<String, Vec<u8>>,
    pub nodes: BTreeMap<String, Node>,
    pub manifest: Manifest,
}

impl Dumped {
    /// What an ingest makes.
    pub fn of(place: &TestRepository, options: MongoOptions) -> Result<Dumped> {
        let snapshot = ingest_mongo(&place.repository, options, &now, &Recorder::default())?.snapshot;
        let (mut files, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        for (path, (node, bytes)) in stored_tree(&place.repository, &snapshot)? {
            let path = String::from_utf8(path).unwrap();
            if node.content().is_some() {
                files.insert(path.clone(), bytes);
            }
            nodes.insert(path, node);
        }
        Ok(Dumped { files, nodes, manifest: snapshot.manifest.clone() })
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        self.manifest.facts.get(name).map(String::as_str)
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.files[path].clone()).unwrap()
    }

    /// Files of the dump itself.
    pub fn members(&self) -> BTreeMap<String, Vec<u8>> {
        let is_member = |path: &String| !path.starts_with("_meta/") && !path.starts_with("_original/");
        self.files
            .iter()
            .filter(|(path, _)| is_member(path))
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    }

    /// What all parts are, each taken from its file.
    pub fn joined_parts(&self) -> Vec<u8> {
        let (mut taken, mut joined) = (BTreeMap::<&str, usize>::new(), Vec::new());
        let parts = self.text("_meta/parts");
        for line in parts.lines() {
            let mut words = line.splitn(3, ' ');
            let length: usize = words.next().unwrap().parse().unwrap();
            let path = words.nth(1).unwrap();
            let start = taken.entry(path).or_default();
            joined.extend_from_slice(&self.files[path][*start..*start + length]);
            *start += length;
        }
        joined
    }
}

const START_MAX: Duration = Duration::from_secs(120);

/// A server of a test's own that speaks MongoDB's protocol. It ends with the test.
pub struct MongoServer {
    directory: TempDir,
    port: u16,
    server: Child,
}

impl MongoServer {
    /// A new, empty server with a log of operations.
    pub fn start() -> MongoServer {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = run_server(directory.path(), port, &[]);
        let mut started = MongoServer { directory, port, server };
        started.wait();
        started
    }

    /// Ends it and starts it again, so that it lets nobody in but who has a password.
    pub fn restart_closed(&mut self) {
        stop(&mut self.server, Signal::TERM);
        self.server = run_server(self.directory.path(), self.port, &["--auth"]);
        self.wait();
    }

    fn wait(&mut self) {
        let port = self.port;
        within(START_MAX, "the server answers", || {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(self.directory.path().join("log")).unwrap());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    /// Where it is, for whoever is this user.
    pub fn url_of(&self, user: &str, options: &str) -> String {
        format!("mongodb://{user}@127.0.0.1:{}/?directConnection=true{options}", self.port)
    }

    /// Where it is on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port)
    }

    /// The words of a command that has the client do something.
    pub fn client_command(&self, words: &[&str]) -> Vec<OsString> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mongo/client.py");
        let program = [environment().join("bin/python3"), script].map(PathBuf::into_os_string);
        program.into_iter().chain([self.port.to_string().into()]).chain(words.iter().map(OsString::from)).collect()
    }

    /// Has the client do something; gives what it prints.
    #[track_caller]
    pub fn client(&self, words: &[&str]) -> String {
        let command = self.client_command(words);
        let output = Command::new(&command[0]).args(&command[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    }

    /// The files of a dump of it.
    #[track_caller]
    pub fn dump(&self, name: &str, options: &[&str]) -> PathBuf {
        let directory = self.directory.path().join(name);
        self.client(&[&["dump", directory.to_str().unwrap()], options].concat());
        directory
    }
}

fn run_server(directory: &Path, port: u16, options: &[&str]) -> Child {
    let mut command = Command::new(environment().join("bin/secantusd-py"));
    command.args(["--host", "127.0.0.1", "--cache-size", "128M", "--port", &port.to_string()]).args(options);
    command.arg("--storage-path").arg(directory.join("data")).current_dir(directory);
    let log = fs::File::create(directory.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for MongoServer {
    fn drop(&mut self) {
        // It has nothing to keep.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The Python environment that `tests/run.sh` makes, with the server and its driver.
fn environment() -> PathBuf {
    let cache = || env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    let usual = || cache().or_else(home).expect("HOME is set").join("yesterfs/mongo");
    let place = env::var_os("YESTERFS_TEST_MONGO").map_or_else(usual, PathBuf::from);
    assert!(
        place.join("bin/secantusd-py").exists(),
        "no {}/bin/secantusd-py: tests/run.sh installs it",
        place.display()
    );
    place
}

/// What the real program wrote.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mongo").join(name)
}

/// All files below a directory, by path.
pub fn files_of(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_of(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// Writes files by path.
pub fn write_files(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A collection of an archive.
#[derive(Clone)]
pub struct Collection {
    pub database: String,
    pub name: String,
    pub kind: &'static str,
    pub metadata: String,
    pub documents: Vec<u8>,
}

/// One with usual metadata.
pub fn collection(database: &str, name: &str, documents: Vec<u8>) -> Collection {
    let shown = serde_json::Value::from(name);
    let metadata = format!(r#"{{"indexes":[],"collectionName":{shown},"type":"collection"}}"#);
    Collection { database: database.into(), name: name.into(), kind: "collection", metadata, documents }
}

/// A document with these fields, each encoded.
pub fn document(fields: &[Vec<u8>]) -> Vec<u8> {
    let body = fields.concat();
    [&(body.len() as u32 + 5).to_le_bytes()[..], &body, b"\0"].concat()
}

pub fn text(name: &str, value: &str) -> Vec<u8> {
    let length = value.len() as u32 + 1;
    [b"\x02", name.as_bytes(), b"\0", &length.to_le_bytes(), value.as_bytes(), b"\0"].concat()
}

pub fn number(name: &str, value: i32) -> Vec<u8> {
    [b"\x10", name.as_bytes(), b"\0", &value.to_le_bytes()[..]].concat()
}

/// Where documents begin, and the end.
pub fn edges(documents: &[u8]) -> Vec<usize> {
    let mut edges = vec![0];
    while let Some(length) = documents[*edges.last().unwrap()..].first_chunk() {
        edges.push(edges.last().unwrap() + u32::from_le_bytes(*length) as usize);
    }
    edges
}

/// CRC-64/XZ, bit by bit.
pub fn crc64(bytes: &[u8]) -> u64 {
    let step = |crc: u64, _| if crc & 1 == 1 { crc >> 1 ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u64::from(byte), step))
}

/// A stretch of an archive.
pub enum Block {
    /// So many documents of a collection, or those that are left.
    Documents(usize, usize),
    /// The end of a collection.
    End(usize),
}

pub fn prelude(collections: &[Collection]) -> Vec<u8> {
    let versions = [text("version", "0.1"), text("server_version", "8.0.1"), text("tool_version", "100.0.0")];
    let header = document(&[&[number("concurrent_collections", 4)][..], &versions].concat());
    let mut out = [&[0x6d, 0xe2, 0x99, 0x81][..], &header].concat();
    for listed in collections {
        let Collection { database, name, kind, metadata, .. } = listed;
        out.extend(document(&[
            text("db", database),
            text("collection", name),
            text("metadata", metadata),
            number("size", 0),
            text("type", kind),
        ]));
    }
    out.extend([0xff; 4]);
    out
}

fn head(collection: &Collection, end: Option<u64>) -> Vec<u8> {
    let is_end = [&b"\x08EOF\0"[..], &[u8::from(end.is_some())]].concat();
    let sum = [&b"\x12CRC\0"[..], &end.unwrap_or(0).to_le_bytes()].concat();
    document(&[text("db", &collection.database), text("collection", &collection.name), is_end, sum])
}

/// An archive with these blocks.
pub fn pack(collections: &[Collection], blocks: &[Block]) -> Vec<u8> {
    let mut out = prelude(collections);
    let mut rest: Vec<&[u8]> = collections.iter().map(|collection| &collection.documents[..]).collect();
    for block in blocks {
        match *block {
            Block::Documents(of, count) => {
                let edges = edges(rest[of]);
                let (documents, behind) = rest[of].split_at(edges[count.min(edges.len() - 1)]);
                rest[of] = behind;
                out.extend(head(&collections[of], None));
                out.extend(documents);
            }
            Block::End(of) => out.extend(head(&collections[of], Some(crc64(&collections[of].documents)))),
        }
        out.extend([0xff; 4]);
    }
    out
}

/// The collections of a dump in a directory, in order of their files; what has no database last.
pub fn collections_of(directory: &Path) -> Vec<Collection> {
    let files = files_of(directory);
    let mut collections = Vec::new();
    for (path, metadata) in &files {
        let Some(stem) = path.strip_suffix(".metadata.json") else { continue };
        let value: serde_json::Value = serde_json::from_slice(metadata).unwrap();
        collections.push(Collection {
            database: stem.split('/').next().unwrap().into(),
            name: value["collectionName"].as_str().unwrap().into(),
            kind: if value["type"] == "view" { "view" } else { "collection" },
            metadata: String::from_utf8(metadata.clone()).unwrap(),
            documents: files.get(&format!("{stem}.bson")).cloned().unwrap_or_default(),
        });
    }
    let oplog = files.get("oplog.bson").map(|oplog| collection("", "oplog", oplog.clone()));
    collections.extend(oplog.map(|oplog| Collection { metadata: String::new(), kind: "", ..oplog }));
    collections
}

/// The blocks of collections that are written by turns, so many documents at a time, in this order.
pub fn by_turns(collections: &[Collection], order: &[usize], documents: usize) -> Vec<Block> {
    let mut left: Vec<usize> = collections.iter().map(|it| edges(&it.documents).len() - 1).collect();
    let mut blocks = Vec::new();
    while order.iter().any(|&of| left[of] > 0) {
        for &of in order.iter().filter(|&&of| left[of] > 0).collect::<Vec<_>>() {
            blocks.push(Block::Documents(of, documents));
            left[of] = left[of].saturating_sub(documents);
        }
    }
    blocks.extend(order.iter().map(|&of| Block::End(of)));
    blocks
}

/// An archive with these collections, which come mixed.
pub fn packed(listed: &[Collection]) -> Vec<u8> {
    let order: Vec<usize> = (0..listed.len()).rev().collect();
    pack(listed, &by_turns(listed, &order, 7))
}

/// An archive for each database of a dump in a directory, as `mongodump --db NAME --archive` prints it.
pub fn archive_of_each(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut of = BTreeMap::<String, Vec<Collection>>::new();
    for collection in collections_of(directory) {
        of.entry(collection.database.clone()).or_default().push(collection);
    }
    of.into_iter().map(|(database, listed)| (database, packed(&listed))).collect()
}

/// Archives by what they are called.
pub fn archives(inputs: Vec<(Option<&str>, StreamInput)>) -> MongoInput {
    let named = |(name, input): (Option<&str>, StreamInput)| ArchiveInput { name: name.map(str::to_string), input };
    MongoInput::Archives(inputs.into_iter().map(named).collect())
}

/// Makes a snapshot of the source `shop`, whatever is wrong with the dump.
pub fn ingest(place: &TestRepository, input: MongoInput) -> Arc<Snapshot> {
    let common = IngestOptions { source: "shop".into(), host: "here".into(), user: "me".into(), ..Default::default() };
    let options = MongoOptions {
        common,
        input,
        keep_incomplete: true,
        unwrap_limit: UnwrapLimit::NoBomb,
        original: OriginalPolicy::Keep,
        threads: 2,
    };
    ingest_mongo(&place.repository, options, &now, &Recorder::default()).unwrap().snapshot
}

/// An export of one collection.
pub fn exported_orders(place: &TestRepository, form: ExportForm, text: &[u8]) -> Arc<Snapshot> {
    let of = ExportOf { database: "shop".into(), collection: "orders".into(), form: Some(form) };
    let input = StreamInput::Reader(Box::new(std::io::Cursor::new(text.to_vec())));
    ingest(place, MongoInput::Exports(vec![ExportInput { name: None, input, of }]))
}

/// A dump of one collection, as an archive.
pub fn orders(place: &TestRepository, documents: &[Vec<u8>]) -> Arc<Snapshot> {
    let listed = [collection("shop", "orders", documents.concat())];
    let blocks = by_turns(&listed, &[0], 1000);
    let archive = pack(&listed, &blocks);
    ingest(place, archives(vec![(None, StreamInput::Reader(Box::new(std::io::Cursor::new(archive))))]))
}
