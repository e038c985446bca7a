//! `yesterfs verify`

use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use yesterfs::error::Error;
use yesterfs::repository::drill::Drill;
use yesterfs::verify::{DrillServer, VerifiedTable, VerifyOptions, verify};

use super::exit::{CommandResult, Failure, Outcome};
use super::invocation::{Invocation, clock, processors};
use super::output::{Output, Record, counted, human_duration, printable, printed};
use super::progress::{Show, Terminal};
use super::snapshots::drill_record;

const EXAMPLES: &str = "\
Examples:
  yesterfs verify shop --with mysql
  yesterfs verify shop@yesterday --with postgres --tmp /var/tmp --json
  yesterfs verify shop --with mysql --server-bin /opt/mariadb-11.4/bin";

/// Load a dump into a server made for it, and compare: the restore drill
///
/// Starts a server in a directory of its own, reached by a socket and not by network, loads the snapshot there as restore --into
/// does, dumps it again, and compares all rows. Then the server ends and its directory goes, whatever happens. The exit status is
/// 0 only if everything is equal. What was found is kept with the snapshot: yesterfs snapshots and yesterfs show tell it. A dump
/// that the server does not take ends with the statement that failed, and that it failed is kept.
///
/// Needs the programs of a server (Debian: mariadb-server, or postgresql; of MongoDB, mongod), and room: the data of the server,
/// one and a half to three times the dump, and the second dump, compressed; of MongoDB also as it is.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Verify {
    /// The snapshot: SOURCE, SOURCE@TIME, SOURCE@latest~N or an id; yesterfs --help tells more
    #[arg(value_name = "SNAP")]
    snapshot: OsString,

    /// The server to do it with: of the kind that was dumped
    #[arg(long, value_enum, value_name = "SERVER")]
    with: With,

    /// Directory of the server's programs [default: where PATH leads, and where packages have them]
    #[arg(long, value_name = "DIR")]
    server_bin: Option<PathBuf>,

    /// Directory in which the server gets its own [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    tmp: Option<PathBuf>,

    /// Leave the server's directory where something differs or fails
    #[arg(long)]
    keep: bool,

    /// Memory for rows that differ, in MiB; what is more waits in temporary files
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    memory: usize,

    /// Threads that decode and compress [default: as many as processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print a JSON object a table, and a summary
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum With {
    /// MariaDB or MySQL
    Mysql,
    Postgres,
    /// MongoDB
    Mongo,
}

pub fn run(args: Verify, invocation: &Invocation) -> CommandResult {
    let with = match args.with {
        With::Mysql => DrillServer::Mysql,
        With::Postgres => DrillServer::Postgres,
        With::Mongo => DrillServer::Mongo,
    };
    let terminal = invocation.start_progress(if args.json { Show::Nothing } else { Show::Text }, args.json)?;
    let repository = invocation.open(terminal.clone())?;
    let target = invocation.target(&repository, &args.snapshot)?;
    if !target.path.is_empty() {
        let hint = "leave the path out";
        return Err(Failure::Usage { problem: "a drill is done with a whole dump", hint });
    }
    let options = VerifyOptions {
        with,
        server_bin: args.server_bin.clone(),
        temporary_directory: args.tmp.clone().unwrap_or_else(std::env::temp_dir),
        keep: args.keep,
        memory_bytes: args.memory.saturating_mul(1 << 20),
        threads: processors(args.threads),
    };
    let (mut output, mut failed) = (Output::default(), Ok(()));
    let mut tell = |table: &VerifiedTable| printed(&mut failed, args.print(table, &mut output));
    let result = verify(&repository, &target.snapshot, &options, &clock, terminal.as_ref(), &mut tell);
    terminal.finish();
    failed?;
    let drill = result.map_err(|error| match error {
        Error::Interrupted => Failure::Hinted { error, hint: "nothing is kept of it; the next one begins anew".into() },
        error => error.into(),
    })?;
    if args.json {
        output.record(&drill_record(Record::new("verify"), &drill).put("seconds", terminal.elapsed_seconds()))?;
    } else if !invocation.quiet {
        output.line(summary(&drill, &terminal))?;
    }
    output.flush()?;
    Ok(if drill.is_equal() { Outcome::Done } else { Outcome::Different })
}

fn summary(drill: &Drill, terminal: &Terminal) -> String {
    let result = match drill.tables_different {
        0 => "equal".to_string(),
        count => format!("{} different", counted(count, "table", "tables")),
    };
    let (tables, rows) = (counted(drill.tables, "table", "tables"), counted(drill.rows, "row", "rows"));
    let server = printable(drill.server.as_bytes());
    format!("{result}: {tables}, {rows}; server {server}; {}", human_duration(terminal.elapsed_seconds()))
}

impl Verify {
    fn print(&self, table: &VerifiedTable, output: &mut Output) -> io::Result<()> {
        if self.json {
            let record = Record::new("verified")
                .put("table", table.name.as_str())
                .put("equal", table.is_equal())
                .put("rows", table.rows)
                .put("changed", table.changed)
                .put("missing", table.missing)
                .put("added", table.added)
                .put("redefined", table.is_redefined);
            return output.record(&match &table.problem {
                Some(problem) => record.put("problem", problem.as_str()),
                None => record,
            });
        }
        let rows = counted(table.rows, "row", "rows");
        let problem = table.problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default();
        let result = match table.is_equal() {
            true => "equal".to_string(),
            false => format!(
                "DIFFERENT: {} changed, {} missing, {} added{problem}",
                table.changed, table.missing, table.added
            ),
        };
        output.line(printable(format!("{}: {rows}, {result}", table.name).as_bytes()))
    }
}
