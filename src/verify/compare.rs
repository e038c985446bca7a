//! Comparing: the snapshot with what the server gave back, table by table.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use crate::compressed::UnwrapLimit;
use crate::dump::layout::DATA_FILE;
use crate::dump::table::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::dump::{DumpInput, DumpOptions, DumpRules, OriginalPolicy};
use crate::ingest::mongo::{MongoInput, MongoOptions, ingest_mongo};
use crate::ingest::mysql::ingest_mysql;
use crate::ingest::postgres::ingest_postgres;
use crate::ingest::stream::StreamInput;
use crate::ingest::{IngestOptions, IngestReport};
use crate::load::is_loaded;
use crate::progress::{Counters, Monitor, Problem};
use crate::repository::dump_counts::each_part;
use crate::repository::snapshot::Snapshot;
use crate::repository::{OpenOptions, Repository};
use crate::rows::{
    DumpSide, Operation, RowDiffOptions, TableChange, TableLayout, TablePair, changed_tables, diff_table,
};
use crate::store::backend::LocalBackend;
use crate::time::Clock;
use crate::verify::place::ScratchPlace;
use crate::verify::server::{Engine, SecondDump};
use crate::verify::{DrillServer, VerifyOptions};

/// Bounds of the caches of the repository that the second dump goes to.
const CACHE_BYTES: u64 = 32 << 20;
const INDEX_CACHE_BYTES: u64 = 8 << 20;

/// A table that was compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedTable {
    /// For people: `shop.orders`.
    pub name: String,
    /// Rows that the snapshot has of it.
    pub rows: u64,
    /// Rows that the server gave back with other values, not at all, or besides.
    pub changed: u64,
    pub missing: u64,
    pub added: u64,
    /// What else is not equal, and why rows could not be compared.
    pub problem: Option<String>,
    /// The server defines it in other words, which is no fault: versions do.
    pub is_redefined: bool,
}

impl VerifiedTable {
    pub fn is_equal(&self) -> bool {
        self.changed + self.missing + self.added == 0 && self.problem.is_none()
    }
}

/// What a drill compares.
pub struct Comparing<'a> {
    pub repository: &'a Repository,
    pub snapshot: &'a Snapshot,
    pub options: &'a VerifyOptions,
    pub place: &'a ScratchPlace<'a>,
    pub clock: &'a Clock,
    pub monitor: &'a dyn Monitor,
}

/// The second dump, in a repository of its own.
pub struct Dumped {
    repository: Repository,
    snapshot: Arc<Snapshot>,
}

impl Dumped {
    pub fn server_version(&self) -> String {
        self.snapshot.manifest.facts.get("server_version").cloned().unwrap_or_default()
    }
}

/// Tells problems only: how the second dump is read, and where rows begin, is of no use to whoever wants all of them compared.
struct Apart<'m> {
    monitor: &'m dyn Monitor,
    counters: &'m Counters,
}

impl Monitor for Apart<'_> {
    fn counters(&self) -> &Counters {
        self.counters
    }

    fn problem(&self, problem: Problem) {
        self.monitor.problem(problem);
    }

    fn note(&self, _: &str) {}

    fn is_cancelled(&self) -> bool {
        self.monitor.is_cancelled()
    }
}

/// How many rows each file of a snapshot of a dump has, as it tells itself.
pub fn part_rows(repository: &Repository, snapshot: &Snapshot) -> Result<BTreeMap<Vec<u8>, u64>> {
    let mut rows = BTreeMap::new();
    each_part(repository, snapshot, |part| {
        *rows.entry(part.path.to_vec()).or_default() += part.rows;
        Ok(())
    })?;
    Ok(rows)
}

impl Comparing<'_> {
    /// Dumps the server into a repository in the place.
    pub fn dump(&self, engine: &dyn Engine) -> Result<Dumped> {
        let directory = self.place.path("repository");
        std::fs::create_dir(&directory).map_err(Error::io("make", &directory))?;
        let backend = Arc::new(LocalBackend::new(&directory));
        Repository::init(backend.as_ref(), (self.clock)())?;
        let options = OpenOptions {
            index_directory: directory.join("index"),
            cache_bytes: CACHE_BYTES,
            index_cache_bytes: INDEX_CACHE_BYTES,
        };
        let repository = Repository::open(backend, options, self.repository.monitor().clone())?;
        let dump = engine.dump(self.place, self.repository, self.snapshot, self.monitor)?;
        let IngestReport { snapshot } = self.ingest(&repository, dump)?;
        Ok(Dumped { repository, snapshot })
    }

    fn ingest(&self, repository: &Repository, dump: SecondDump) -> Result<IngestReport> {
        let (source, threads) = (self.snapshot.manifest.source.clone(), self.options.threads);
        let common = IngestOptions { source: source.clone(), ..IngestOptions::default() };
        // What the second dump takes is no progress of the first.
        let apart = Apart { monitor: self.monitor, counters: &Counters::default() };
        let commands = match dump {
            SecondDump::Commands(commands) => commands,
            SecondDump::Directory(directory) => {
                let input = MongoInput::AllOfServer(directory);
                let (unwrap_limit, original) = (UnwrapLimit::default(), OriginalPolicy::default());
                let options = MongoOptions { common, input, keep_incomplete: false, unwrap_limit, original, threads };
                return ingest_mongo(repository, options, self.clock, &apart);
            }
        };
        let program = commands.first().map(Command::get_program).unwrap_or_default().to_string_lossy().into_owned();
        let input = |command: Command| {
            let input = StreamInput::Program(Box::new(command));
            DumpInput { name: None, input, fallback_database: source.clone() }
        };
        let inputs = commands.into_iter().map(input).collect();
        let options = DumpOptions { common, inputs, rules: DumpRules::default(), threads };
        let ingest = match self.options.with {
            DrillServer::Postgres => ingest_postgres,
            DrillServer::Mysql | DrillServer::Mongo => ingest_mysql,
        };
        ingest(repository, options, self.clock, &apart).map_err(|error| not_dumped(error, program))
    }

    /// Compares all tables, and gives each to `tell`; tells how many there are, their rows, and how many differ.
    pub fn tables(
        &self,
        dumped: &Dumped,
        tell: &mut dyn FnMut(&VerifiedTable) -> Result<()>,
    ) -> Result<(u64, u64, u64)> {
        let (mut tables, mut rows, mut different) = (0, 0, 0);
        let mut count = |table: VerifiedTable| {
            (tables, rows, different) = (tables + 1, rows + table.rows, different + u64::from(!table.is_equal()));
            tell(&table)
        };
        self.rows(dumped, &mut count)?;
        Ok((tables, rows, different))
    }

    /// Row by row, by their keys.
    fn rows(&self, dumped: &Dumped, give: &mut dyn FnMut(VerifiedTable) -> Result<()>) -> Result<()> {
        let counts = part_rows(self.repository, self.snapshot)?;
        let ours = changed_tables(
            self.repository,
            TableLayout::of(&self.snapshot.manifest),
            [Some(&self.snapshot.manifest.root), None],
            &[],
        )?;
        let theirs = changed_tables(
            &dumped.repository,
            TableLayout::of(&dumped.snapshot.manifest),
            [None, Some(&dumped.snapshot.manifest.root)],
            &[],
        )?;
        let apart = Apart { monitor: self.monitor, counters: self.monitor.counters() };
        let sides = [
            DumpSide::new(self.repository, self.snapshot, &apart)?,
            DumpSide::new(&dumped.repository, &dumped.snapshot, &apart)?,
        ];
        for pair in TablePair::joined(ours, theirs) {
            // What the server tells of itself is never the same.
            if self.is_of_server(&pair) {
                continue;
            }
            let path = [&pair.path()[..], b"/", DATA_FILE.as_bytes()].concat();
            let of_documents = pair.sides[0].as_ref().and_then(|ours| ours.documents);
            let rows = of_documents.or_else(|| counts.get(&path).copied()).unwrap_or(0);
            let table = VerifiedTable { name: pair.name(), rows, ..VerifiedTable::default() };
            give(self.compare_rows([&sides[0], &sides[1]], &pair, &apart, table)?)?;
        }
        Ok(())
    }

    fn is_of_server(&self, pair: &TablePair) -> bool {
        if self.options.with != DrillServer::Mongo {
            return pair.is_of_server();
        }
        let text = |name: Option<Vec<u8>>| name.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default();
        !is_loaded(&text(pair.database()), &text(pair.table()))
    }

    fn compare_rows(
        &self,
        sides: [&DumpSide; 2],
        pair: &TablePair,
        apart: &Apart,
        mut table: VerifiedTable,
    ) -> Result<VerifiedTable> {
        let options = RowDiffOptions {
            key: None,
            memory_bytes: self.options.memory_bytes,
            temporary_directory: self.place.directory().to_path_buf(),
            whole: false,
        };
        let compared = diff_table(sides, pair, &options, apart, &mut |change| {
            table.problem = problem_of(change);
            table.is_redefined = change.is_redefined();
            change.each(&mut |row| {
                match row.operation() {
                    Operation::Insert => table.added += 1,
                    Operation::Delete => table.missing += 1,
                    Operation::Update => table.changed += 1,
                }
                Ok(())
            })
        });
        match compared {
            Err(error) if error.kind() == ErrorKind::Invalid => table.problem = Some(error.to_string()),
            compared => compared?,
        }
        Ok(table)
    }
}

/// What is wrong with the second dump is not wrong with a dump of the user's, nor is it to be kept.
fn not_dumped(error: Error, client: String) -> Error {
    let reason = match error {
        Error::Command { reason, .. } => format!("it {reason}"),
        Error::Incomplete { reason, .. } => format!("what it printed is incomplete: {reason}"),
        other => return other,
    };
    Error::Load { what: "dumping the server of the drill".into(), client, reason }
}

/// What is not equal besides rows.
fn problem_of(change: &TableChange) -> Option<String> {
    match &change.pair.sides {
        [Some(_), None] => return Some("the server does not give it back".into()),
        [None, Some(_)] => return Some("the snapshot does not have it".into()),
        _ => {}
    }
    let [Some(ours), Some(theirs)] = change.schemas else { return None };
    let missing = |from: &TableSchema, to: &TableSchema| {
        from.columns.iter().find(|column| to.column(&column.name).is_none()).map(|column| column.name.clone())
    };
    let shown = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
    missing(ours, theirs)
        .map(|name| format!("column {} is missing", shown(name)))
        .or_else(|| missing(theirs, ours).map(|name| format!("column {} was added", shown(name))))
}
