//! What programs that copy the data of a server leave beside the copy: where the server's log stood. Each file is small, and is
//! read whole. Passwords, which some of them hold, are never taken.

use crate::dump::mysql::{Coordinates, CoordinatesOf};

/// Files that tell of the copy that they lie in. What the earlier ones say of coordinates comes before the later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackupFile {
    /// Of `mariadb-backup` and XtraBackup: where the binary log stood.
    BinlogInfo,
    /// Of the same: which program copied which server, and when.
    Info,
    /// Of the same, with `--slave-info`: how far the log of the primary was applied.
    ReplicaInfo,
    /// Of a replica: how far it had applied the log of its primary.
    RelayLogInfo,
    /// Of a replica: which primary it has, and how far it had fetched the log.
    MasterInfo,
    /// Of a base backup of PostgreSQL.
    BackupLabel,
}

/// What such a file tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupFacts {
    pub coordinates: Coordinates,
    /// Further facts, by their names.
    pub others: Vec<(&'static str, String)>,
}

/// Longer files of these names are something else.
pub const BACKUP_FILE_MAX_BYTES: u64 = 16 << 10;

impl BackupFile {
    /// What a file of this name is.
    pub fn named(name: &[u8]) -> Option<BackupFile> {
        Some(match name {
            b"xtrabackup_binlog_info" | b"mariadb_backup_binlog_info" => BackupFile::BinlogInfo,
            b"xtrabackup_info" | b"mariadb_backup_info" => BackupFile::Info,
            b"xtrabackup_slave_info" | b"mariadb_backup_slave_info" => BackupFile::ReplicaInfo,
            b"backup_label" => BackupFile::BackupLabel,
            b"relay-log.info" => BackupFile::RelayLogInfo,
            b"master.info" => BackupFile::MasterInfo,
            // Of a replica of several primaries.
            _ if !name.ends_with(b".info") => return None,
            _ if name.starts_with(b"relay-log-") => BackupFile::RelayLogInfo,
            _ if name.starts_with(b"master-") || name.ends_with(b"_master.info") => BackupFile::MasterInfo,
            _ => return None,
        })
    }

    /// Reads what such a file holds, or says why that cannot be.
    pub fn read(self, bytes: &[u8]) -> Result<BackupFacts, &'static str> {
        let text = String::from_utf8_lossy(bytes);
        match self {
            BackupFile::BinlogInfo => binlog_info(&text),
            BackupFile::Info => backup_info(&text),
            BackupFile::ReplicaInfo => replica_info(bytes),
            BackupFile::RelayLogInfo => relay_log_info(&text),
            BackupFile::MasterInfo => master_info(&text),
            BackupFile::BackupLabel => backup_label(&text),
        }
    }
}

const NO_POSITION: &str = "it does not say where the log stood";

/// File, position and GTIDs, with tabs between them; sets of GTIDs of MySQL stand on several lines.
fn binlog_info(text: &str) -> Result<BackupFacts, &'static str> {
    let mut fields = text.trim().splitn(3, '\t');
    let (file, position) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let gtid = fields.next().map(|gtid| gtid.split_whitespace().collect::<String>());
    let mut coordinates = place(file, position, CoordinatesOf::Server)?;
    coordinates.gtid = gtid.filter(|gtid| !gtid.is_empty());
    Ok(BackupFacts { coordinates, others: Vec::new() })
}

/// Lines `name = value`.
fn backup_info(text: &str) -> Result<BackupFacts, &'static str> {
    let lines =
        || text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
    let value =
        |wanted: &str| lines().find(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| value);
    let Some(tool) = value("tool_name") else { return Err("it does not say which program made it") };
    let program = [Some(tool), value("tool_version")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let told = [
        ("program", Some(program.as_str())),
        ("server_version", value("server_version")),
        ("backup_started", value("start_time")),
        ("backup_finished", value("end_time")),
        ("innodb_from_lsn", value("innodb_from_lsn")),
        ("innodb_to_lsn", value("innodb_to_lsn")),
    ];
    let others = told.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))).collect();
    let coordinates = match value("binlog_pos") {
        Some(told) => quoted_place(told)?,
        None => Coordinates::default(),
    };
    Ok(BackupFacts { coordinates, others })
}

/// `filename 'binlog.000001', position '328', GTID of the last change '0-1-5'`.
fn quoted_place(told: &str) -> Result<Coordinates, &'static str> {
    let mut quoted = told.split('\'').skip(1).step_by(2);
    let (file, position) = (quoted.next().unwrap_or_default(), quoted.next().unwrap_or_default());
    let gtid = quoted.next().filter(|gtid| !gtid.is_empty()).map(str::to_string);
    Ok(Coordinates { gtid, ..place(file, position, CoordinatesOf::Server)? })
}

/// Statements: `CHANGE MASTER TO ...`, `SET GLOBAL gtid_slave_pos = ...`.
fn replica_info(bytes: &[u8]) -> Result<BackupFacts, &'static str> {
    let mut coordinates = Coordinates::default();
    bytes.split(|&byte| byte == b';').for_each(|statement| coordinates.note(statement));
    if coordinates.of.is_none() {
        return Err(NO_POSITION);
    }
    coordinates.of = Some(CoordinatesOf::Primary);
    Ok(BackupFacts { coordinates, others: Vec::new() })
}

/// Relay log, place in it, log of the primary, place in it; before these often how many lines there are.
fn relay_log_info(text: &str) -> Result<BackupFacts, &'static str> {
    let mut lines = text.lines().skip(usize::from(starts_with_count(text)) + 2);
    let (file, position) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    Ok(BackupFacts { coordinates: place(file, position, CoordinatesOf::Primary)?, others: Vec::new() })
}

/// Log, place in it, host, user, password, port, and more; before these how many lines there are.
fn master_info(text: &str) -> Result<BackupFacts, &'static str> {
    let lines: Vec<&str> = text.lines().skip(usize::from(starts_with_count(text))).take(6).collect();
    let [file, position, host, _user, _password, port] = lines[..] else {
        return Err("it has fewer lines than such files have");
    };
    port.parse::<u16>().map_err(|_| "what should be a port is none")?;
    let coordinates = match file {
        // A replica that has never reached its primary.
        "" => Coordinates::default(),
        _ => place(file, position, CoordinatesOf::Primary)?,
    };
    let others = vec![("primary_host", host.to_string()), ("primary_port", port.to_string())];
    Ok(BackupFacts { coordinates, others })
}

fn starts_with_count(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.parse::<u32>().is_ok())
}

/// Lines `NAME: value`.
fn backup_label(text: &str) -> Result<BackupFacts, &'static str> {
    let value = |wanted: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(name, _)| *name == wanted).map(|(_, value)| value.trim())
    };
    // `0/2000028 (file 000000010000000000000002)`
    let (start, file) = value("START WAL LOCATION").and_then(|told| told.split_once(" (file ")).ok_or(NO_POSITION)?;
    let file = file.strip_suffix(')').ok_or(NO_POSITION)?;
    let checkpoint = value("CHECKPOINT LOCATION");
    if !is_lsn(start) || checkpoint.is_some_and(|checkpoint| !is_lsn(checkpoint)) {
        return Err("what should be a place in the log is none");
    }
    let told = [
        ("wal_file", Some(file)),
        ("wal_position", Some(start)),
        ("checkpoint", checkpoint),
        ("timeline", value("START TIMELINE")),
        ("backup_started", value("START TIME")),
        ("backup_label", value("LABEL")),
    ];
    let others = told.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))).collect();
    let of = match value("BACKUP FROM") {
        Some("standby") => CoordinatesOf::Primary,
        _ => CoordinatesOf::Server,
    };
    Ok(BackupFacts { coordinates: Coordinates { of: Some(of), ..Coordinates::default() }, others })
}

/// Whether this is a place in the log of PostgreSQL: `0/2000028`.
fn is_lsn(text: &str) -> bool {
    let is_half = |half: &str| (1..=8).contains(&half.len()) && half.bytes().all(|digit| digit.is_ascii_hexdigit());
    text.split_once('/').is_some_and(|(high, low)| is_half(high) && is_half(low))
}

/// A place in a binary log.
fn place(file: &str, position: &str, of: CoordinatesOf) -> Result<Coordinates, &'static str> {
    let position = position.parse().map_err(|_| NO_POSITION)?;
    if file.is_empty() || file.contains('\0') {
        return Err(NO_POSITION);
    }
    Ok(Coordinates { of: Some(of), file: Some(file.to_string()), position: Some(position), gtid: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<BackupFacts, &'static str> {
        BackupFile::named(name.as_bytes()).unwrap_or_else(|| panic!("{name} tells nothing")).read(text.as_bytes())
    }

    #[test]
    fn names_tell_which_files_tell() {
        let all =
            "master.info master-east.info bad_master.info relay-log.info relay-log-east.info xtrabackup_slave_info";
        assert!(all.split(' ').all(|name| BackupFile::named(name.as_bytes()).is_some()));
        let none = "master.info.old relay.info info .info multi-master.info backup_label.old";
        assert!(none.split(' ').all(|name| BackupFile::named(name.as_bytes()).is_none()));
    }

    #[test]
    fn sets_of_gtids_may_stand_on_several_lines() {
        let told = read("xtrabackup_binlog_info", "bin.000007\t154\tuuid-1:1-5,\nuuid-2:1-7\n").unwrap().coordinates;
        assert_eq!((told.file.as_deref(), told.position), (Some("bin.000007"), Some(154)));
        assert_eq!(told.gtid.as_deref(), Some("uuid-1:1-5,uuid-2:1-7"));
    }

    #[test]
    fn a_replica_tells_of_its_primary_and_never_its_password() {
        let text = "33\nbinlog.000003\n1234\ndb.example\nrepl\nsecret\n3306\n60\n0\n\n\n";
        let told = read("master.info", text).unwrap();
        assert_eq!(told.coordinates.of, Some(CoordinatesOf::Primary));
        assert_eq!(told.coordinates.position, Some(1234));
        assert_eq!(told.others, [("primary_host", "db.example".into()), ("primary_port", "3306".into())]);
        assert!(!format!("{told:?}").contains("secret"));
        for (name, text) in [
            ("relay-log.info", "5\n./relay.000002\n556\nbinlog.000003\n1234\n0\n"),
            ("relay-log-east.info", "./relay.000002\n556\nbinlog.000003\n1234\n"),
            ("xtrabackup_slave_info", "CHANGE MASTER TO MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=1234;\n"),
        ] {
            assert_eq!(read(name, text).unwrap().coordinates, told.coordinates, "{name}");
        }
        let told = read("xtrabackup_slave_info", "SET GLOBAL gtid_slave_pos = '0-1-5';\nCHANGE MASTER 'a' TO x = y;\n");
        assert_eq!(told.unwrap().coordinates.gtid.as_deref(), Some("0-1-5"));
    }

    #[test]
    fn what_is_malformed_is_said_to_be() {
        for (name, text) in [
            ("xtrabackup_binlog_info", ""),
            ("xtrabackup_binlog_info", "binlog.000001 328"),
            ("xtrabackup_binlog_info", "binlog.000001\t-1\n"),
            ("xtrabackup_info", "uuid = 1\n"),
            ("xtrabackup_info", "tool_name = x\nbinlog_pos = filename 'a'\n"),
            ("xtrabackup_slave_info", "\0\0\0"),
            ("master.info", "18\nbinlog.000003\n"),
            ("master.info", "18\nbinlog.000003\n12\nhost\nuser\npassword\nport\n"),
            ("master.info", "18\nbinlog.000003\nabc\nhost\nuser\npassword\n3306\n"),
            ("relay-log.info", "5\n"),
            ("backup_label", "CHECKPOINT LOCATION: 0/2000060\n"),
            ("backup_label", "START WAL LOCATION: somewhere (file 000000010000000000000002)\n"),
        ] {
            assert!(read(name, text).is_err(), "{name}: {text:?}");
        }
        // A replica that was never connected is no malformed one.
        assert_eq!(read("master.info", "33\n\n4\nhost\nuser\n\n3306\n").unwrap().coordinates, Coordinates::default());
    }
}
