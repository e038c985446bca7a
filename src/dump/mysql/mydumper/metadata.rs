//! MydumperMetadata: what the file `metadata` of a directory tells. Up to version 0.12 it is a text with titles, then an INI file.

use crate::dump::mysql::facts::{Coordinates, CoordinatesOf, shown};
use crate::dump::mysql::words::{QuoteModes, Words};

/// What it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MydumperMetadata {
    pub coordinates: Coordinates,
    /// When it began and ended, by the server's clock.
    pub started: Option<String>,
    pub finished: Option<String>,
    /// Rows that were dumped of each table.
    pub rows: Vec<TableRows>,
}

/// Rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    pub database: Vec<u8>,
    pub table: Vec<u8>,
    pub rows: u64,
}

/// What the present lines are about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Section {
    Other,
    Coordinates(CoordinatesOf),
    Table { database: Vec<u8>, table: Vec<u8>, rows: Option<u64> },
}

impl MydumperMetadata {
    pub fn read(text: &[u8]) -> MydumperMetadata {
        let (mut metadata, mut section) = (MydumperMetadata::default(), Section::Other);
        for line in text.split(|&byte| byte == b'\n') {
            let line = line.trim_ascii();
            match section_of(line) {
                Some(next) => {
                    metadata.take(section);
                    section = next;
                }
                None => metadata.line(line, &mut section),
            }
        }
        metadata.take(section);
        metadata
    }

    fn line(&mut self, line: &[u8], section: &mut Section) {
        let told = line.strip_prefix(b"# ").unwrap_or(line);
        if let Some(time) = told.strip_prefix(b"Started dump at:") {
            self.started = Some(shown(time.trim_ascii()));
        } else if let Some(time) = told.strip_prefix(b"Finished dump at:") {
            self.finished = Some(shown(time.trim_ascii()));
        } else if let Some(at) = line.iter().position(|&byte| byte == b'=' || byte == b':') {
            // Coordinates may be behind a mark of a comment.
            let name = line[..at].trim_ascii().to_ascii_lowercase();
            let name = name.strip_prefix(b"#").unwrap_or(&name).trim_ascii();
            self.value(name, unquoted(line[at + 1..].trim_ascii()), section);
        }
    }

    fn value(&mut self, name: &[u8], value: &[u8], section: &mut Section) {
        match section {
            Section::Other => {}
            Section::Coordinates(of) => {
                // Those of the server itself come before those of the one that it replicates from.
                if value.is_empty() || (self.coordinates.of.is_some() && self.coordinates.of != Some(*of)) {
                    return;
                }
                match name {
                    b"log" | b"file" | b"source_log_file" | b"relay_master_log_file" => {
                        self.coordinates.of = Some(*of);
                        self.coordinates.file.get_or_insert_with(|| shown(value));
                    }
                    b"pos" | b"position" | b"source_log_pos" | b"exec_master_log_pos" => {
                        self.coordinates.position = self.coordinates.position.or(shown(value).parse().ok());
                    }
                    b"gtid" | b"executed_gtid_set" => {
                        self.coordinates.of = Some(*of);
                        self.coordinates.gtid.get_or_insert_with(|| shown(value));
                    }
                    _ => {}
                }
            }
            Section::Table { table, rows, .. } => match name {
                b"real_table_name" => *table = value.to_vec(),
                b"rows" => *rows = shown(value).parse().ok(),
                // It has values, and no rows that are counted.
                b"is_sequence" | b"is_view" => *section = Section::Other,
                _ => {}
            },
        }
    }

    fn take(&mut self, section: Section) {
        if let Section::Table { database, table, rows: Some(rows) } = section {
            self.rows.push(TableRows { database, table, rows });
        }
    }
}

/// The section that begins with this line.
fn section_of(line: &[u8]) -> Option<Section> {
    match line {
        b"SHOW MASTER STATUS:" => return Some(Section::Coordinates(CoordinatesOf::Server)),
        b"SHOW SLAVE STATUS:" => return Some(Section::Coordinates(CoordinatesOf::Primary)),
        _ => {}
    }
    let name = line.strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some(match name {
        b"master" | b"source" => Section::Coordinates(CoordinatesOf::Server),
        name if name.starts_with(b"replication") => Section::Coordinates(CoordinatesOf::Primary),
        name => table_of(name).unwrap_or(Section::Other),
    })
}

/// `` `shop`.`orders` ``, or with double quotes.
fn table_of(name: &[u8]) -> Option<Section> {
    let mut words = Words::new(name, QuoteModes { ansi_quotes: true, ..QuoteModes::default() });
    let (database, table) = words.qualified_name()?;
    Some(Section::Table { database: database?, table, rows: None })
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coordinates(of: CoordinatesOf, file: &str, position: u64, gtid: Option<&str>) -> Coordinates {
        Coordinates { of: Some(of), file: Some(file.into()), position: Some(position), gtid: gtid.map(str::to_string) }
    }

    #[test]
    fn old_metadata_is_read() {
        let text = "Started dump at: 2026-11-26 11:00:00\nSHOW MASTER STATUS:\n\tLog: bin.000001\n\tPos: 345\n\tGTID:0-1-7\n\n\
                    SHOW SLAVE STATUS:\n\tHost: primary\n\tLog: other.000009\n\tPos: 99\n\tGTID:\n\nFinished dump at: 2026-11-26 11:00:05\n";
        let read = MydumperMetadata::read(text.as_bytes());
        assert_eq!(read.coordinates, coordinates(CoordinatesOf::Server, "bin.000001", 345, Some("0-1-7")));
        assert_eq!(read.started.as_deref(), Some("2026-11-26 11:00:00"));
        assert_eq!(read.finished.as_deref(), Some("2026-11-26 11:00:05"));
        let of_primary = text.replace("SHOW MASTER STATUS", "OTHER");
        let read = MydumperMetadata::read(of_primary.as_bytes());
        assert_eq!(read.coordinates, coordinates(CoordinatesOf::Primary, "other.000009", 99, None));
    }

    #[test]
    fn ini_metadata_is_read() {
        let text = "# Started dump at: 2026-11-26 11:00:00\n[config]\nquote-character = BACKTICK\n\n[source]\n# Channel_Name = ''\n\
                    File = bin.000002\nPosition = 777\nExecuted_Gtid_Set = uuid:1-9\n\n[`shop`.`orders`]\nreal_table_name=orders\n\
                    rows = 12\ndata_checksum = 1234\n\n[`shop`.`mydumper_0`]\nreal_table_name=we`ird.table\nrows = 0\n\n\
                    [`shop`.`numbers`]\nreal_table_name=numbers\nrows = 1\nis_sequence = 1\n\n# Finished dump at: 2026-11-26 11:00:05\n";
        let read = MydumperMetadata::read(text.as_bytes());
        assert_eq!(read.coordinates, coordinates(CoordinatesOf::Server, "bin.000002", 777, Some("uuid:1-9")));
        let rows = |table: &str, rows| TableRows { database: b"shop".to_vec(), table: table.into(), rows };
        assert_eq!(read.rows, [rows("orders", 12), rows("we`ird.table", 0)]);
        assert_eq!(read.finished.as_deref(), Some("2026-11-26 11:00:05"));
        let data = "[source]\n#SOURCE_HOST = \"\"\nexecuted_gtid_set = \"uuid:1-9\"\nSOURCE_AUTO_POSITION = 1\n\
                    #SOURCE_LOG_FILE = \"bin.000002\"\n#SOURCE_LOG_POS = 777\n";
        assert_eq!(MydumperMetadata::read(data.as_bytes()).coordinates, read.coordinates);
    }

    #[test]
    fn anything_else_tells_nothing() {
        for text in ["", "[", "[`a`.`b`]\nrows = x", "=\n:", "[source]\nFile =\nPosition =\n", "\u{0}\u{0}"] {
            assert_eq!(MydumperMetadata::read(text.as_bytes()), MydumperMetadata::default(), "{text:?}");
        }
    }
}
