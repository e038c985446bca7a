//! Directories that are copies of the data of a real server: where its log stood is known of their snapshots.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::mariadb::MariaDb;
use support::mounted::Stage;
use support::postgres::Postgres;
use support::repository::TestRepository;
use support::server::succeed;

/// The facts of the newest snapshot of `lake`, as `show` prints them.
fn facts(stage: &Stage) -> BTreeMap<String, String> {
    let shown: serde_json::Value = serde_json::from_str(&stage.succeed(&["show", "lake", "--json"])).unwrap();
    assert_eq!(shown["status"], "complete");
    let facts = shown["facts"].as_object().unwrap();
    facts.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_string())).collect()
}

fn facts_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// The parts of these facts that are about coordinates.
fn coordinates(facts: &BTreeMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    let names = ["binlog_file", "binlog_position", "gtid", "coordinates_of", "coordinates_from"];
    let told = names.iter().filter_map(|name| Some((name.to_string(), facts.get(&format!("{prefix}{name}"))?.clone())));
    told.collect()
}

/// A server with a table.
fn server() -> MariaDb {
    let server = MariaDb::start();
    server.make_empty("shop");
    server.run("shop", "CREATE TABLE orders (id INT PRIMARY KEY, name TEXT); INSERT INTO orders VALUES (1, 'one')");
    server
}

#[test]
fn a_copy_of_mariadb_tells_where_its_log_stood() {
    let (server, stage) = (server(), Stage::new());
    let copy = stage.path("copy");
    server.copy_to(&copy, &[]);
    stage.ingest(&copy, "lake");
    let facts = facts(&stage);
    let status = server.run("", "SHOW MASTER STATUS");
    let status: Vec<&str> = status.split('\t').collect();
    let gtid = server.run("", "SELECT @@gtid_binlog_pos");
    let expected = [
        ("binlog_file", status[0]),
        ("binlog_position", status[1]),
        ("gtid", gtid.trim()),
        ("coordinates_of", "server"),
        ("coordinates_from", "xtrabackup_binlog_info"),
    ];
    assert_eq!(coordinates(&facts, ""), facts_of(&expected));
    let version = server.run("", "SELECT VERSION()");
    assert_eq!(facts["server_version"], version.trim());
    assert!(
        facts["program"].starts_with("mariabackup ") || facts["program"].starts_with("mariadb-backup "),
        "{facts:?}"
    );
    assert_eq!(facts["innodb_from_lsn"], "0");
    assert!(facts["innodb_to_lsn"].parse::<u64>().unwrap() > 0);
    assert!(facts["backup_started"] <= facts["backup_finished"]);

    let mut value = [0; 100];
    let mount = stage.mount();
    let length = rustix::fs::getxattr(mount.latest("lake"), "user.yesterfs.binlog_position", &mut value[..]).unwrap();
    assert_eq!(&value[..length], status[1].as_bytes());
}

#[test]
fn a_replica_tells_of_its_primary_too() {
    let (server, stage) = (server(), Stage::new());
    let primary = "MASTER_HOST='primary.example', MASTER_PORT=3307, MASTER_USER='repl', MASTER_PASSWORD='tell-nobody'";
    server.run("", format!("CHANGE MASTER TO {primary}, MASTER_LOG_FILE='far.000007', MASTER_LOG_POS=4242"));
    let (copy, files) = (stage.path("copy"), stage.make_directory("files"));
    server.copy_to(&copy, &["--slave-info"]);
    assert!(copy.join("xtrabackup_slave_info").exists());
    stage.ingest(&copy, "lake");
    let told = facts(&stage);
    assert_eq!(told["coordinates_of"], "server");
    assert_eq!(
        (told["primary_binlog_file"].as_str(), told["primary_binlog_position"].as_str()),
        ("far.000007", "4242")
    );

    for name in ["master.info", "relay-log.info"] {
        fs::copy(server.data().join(name), files.join(name)).unwrap();
    }
    assert!(fs::read_to_string(files.join("master.info")).unwrap().contains("tell-nobody"));
    stage.ingest(&files, "lake");
    let expected = [
        ("binlog_file", "far.000007"),
        ("binlog_position", "4242"),
        ("coordinates_of", "primary"),
        ("coordinates_from", "relay-log.info"),
    ];
    let told = facts(&stage);
    assert_eq!(coordinates(&told, ""), facts_of(&expected));
    assert_eq!((told["primary_host"].as_str(), told["primary_port"].as_str()), ("primary.example", "3307"));
    assert!(!stage.succeed(&["show", "lake", "--json"]).contains("tell-nobody"));
    fs::remove_file(files.join("relay-log.info")).unwrap();
    stage.ingest(&files, "lake");
    assert_eq!(coordinates(&facts(&stage), "")["coordinates_from"], "master.info");
}

#[test]
fn a_base_backup_tells_where_replay_begins() {
    let (server, stage) = (Postgres::start(), Stage::new());
    let copy = stage.path("copy");
    server.copy_to(&copy);
    stage.ingest(&copy, "lake");
    let facts = facts(&stage);
    let start = &facts["wal_position"];
    let file = server.run("postgres", format!("SELECT pg_walfile_name('{start}')"));
    assert_eq!(facts["wal_file"], file.trim());
    let passed =
        format!("SELECT '{start}'::pg_lsn <= '{}'::pg_lsn AND '{start}' < pg_current_wal_lsn()", facts["checkpoint"]);
    assert_eq!(server.run("postgres", passed).trim(), "t");
    let expected = [("timeline", "1"), ("coordinates_of", "server"), ("backup_label", "nightly")];
    assert!(expected.iter().all(|&(name, value)| facts[name] == value), "{facts:?}");
    assert!(facts["backup_started"].starts_with("20"), "{facts:?}");
}

#[test]
fn copies_below_the_directory_are_told_by_their_paths() {
    let (server, place) = (server(), TestRepository::new());
    let monday = place.path("copies/monday");
    server.copy_to(&monday, &[]);
    // As rsnapshot does: files that are the same are the same file.
    link_all(&monday, &place.path("copies/tuesday"));
    let first = place.ingest(&place.path("copies"), "lake").snapshot.manifest.facts.clone();
    let copied = coordinates(&first, "monday/");
    assert_eq!(copied["coordinates_from"], "xtrabackup_binlog_info");
    assert_eq!(copied, coordinates(&first, "tuesday/"));
    assert_eq!(coordinates(&first, ""), facts_of(&[]));
    let again = place.ingest(&place.path("copies"), "lake");
    assert!(again.counters.files_unchanged > 100, "{:?}", again.counters);
    assert_eq!(again.snapshot.manifest.facts, first, "what is unchanged tells the same");
}

fn link_all(from: &Path, to: &Path) {
    succeed(Command::new("cp").arg("-al").args([from, to]).output().unwrap(), "cp");
}

#[test]
fn malformed_files_are_told_and_fail_nothing() {
    let (stage, files) = (Stage::new(), TestRepository::new().path("files"));
    fs::create_dir_all(files.join("below")).unwrap();
    let malformed: [(&str, &[u8]); 9] = [
        ("empty_master.info", b""),
        ("short_master.info", b"14\nbinlog.000001\n4\n"),
        ("bad_master.info", b"18\nbinlog.000001\nnowhere\n127.0.0.1\nroot\n\n3306\n60\n0\n"),
        ("binary_master.info", &[0xff; 3000]),
        ("lines_master.info", &[b'\n'; 16 << 10]),
        ("long_master.info", &[b'9'; (16 << 10) + 1]),
        ("backup_label", b"START WAL LOCATION: 0/2000028\n"),
        ("xtrabackup_binlog_info", b"binlog.000001"),
        ("xtrabackup_info", b"\0\0\0"),
    ];
    for (name, bytes) in malformed {
        fs::write(files.join(name), bytes).unwrap();
        fs::write(files.join("below").join(name), bytes).unwrap();
    }
    stage.ingest(&files, "lake");
    let facts = facts(&stage);
    let reason = "xtrabackup_binlog_info: it does not say where the log stood";
    assert_eq!(facts, facts_of(&[("coordinates_problem", reason), ("below/coordinates_problem", reason)]));

    let place = TestRepository::new();
    let told = place.try_ingest(&files, "lake", |_| {}).unwrap();
    assert!(told.problems.is_empty(), "they are whole files, whatever they hold: {:?}", told.problems);
}
