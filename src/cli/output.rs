//! What results look like: lines and tables for people, one JSON object a line for programs.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use yesterfs::error::Error;
use yesterfs::time::Timestamp;

/// Lines are gathered up to this many bytes before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// Standard output. Only whole lines are written at a time, so that lines of several threads never mix.
#[derive(Default)]
pub struct Output {
    lines: Vec<u8>,
}

impl Output {
    /// Adds one line; `line` comes without its end.
    pub fn line(&mut self, line: impl AsRef<[u8]>) -> io::Result<()> {
        self.lines.extend_from_slice(line.as_ref());
        self.lines.push(b'\n');
        if self.lines.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    /// Adds text as it is.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lines.extend_from_slice(bytes);
        if self.lines.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    /// Adds one line of JSON.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        self.line(serde_json::to_vec(record)?)
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        write_out(&lines)
    }
}

impl Drop for Output {
    /// Lines that came before a failure are still shown; whether they could be matters no more.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Stops a verb that cannot print what it gives; why that is stays in `failed`, apart from the errors of the library.
pub fn printed(failed: &mut io::Result<()>, result: io::Result<()>) -> yesterfs::Result<()> {
    result.map_err(|error| {
        *failed = Err(error);
        Error::Interrupted
    })
}

/// Writes `bytes` to standard output at once.
pub fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Standard output for large data: without the buffer that looks for the end of the last line in all of it.
pub fn unbuffered() -> io::Result<File> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}

/// One JSON object with its fields in the order they were put.
#[derive(Default, Clone)]
pub struct Record(Vec<(String, Field)>);

/// What a field of a record holds.
#[derive(Clone)]
enum Field {
    Value(Value),
    /// JSON that stays as it is written: read and written again, numbers could become others.
    Json(Box<RawValue>),
    Record(Record),
}

impl Record {
    /// A record whose first field, `type`, says what it is.
    pub fn new(kind: &str) -> Record {
        Record::default().put("type", kind)
    }

    pub fn put(self, name: &str, value: impl Into<Value>) -> Record {
        self.push(name, Field::Value(value.into()))
    }

    /// JSON as it is written.
    pub fn put_json(self, name: &str, json: Box<RawValue>) -> Record {
        self.push(name, Field::Json(json))
    }

    fn push(mut self, name: &str, field: Field) -> Record {
        self.0.push((name.to_string(), field));
        self
    }

    /// Bytes as text; where they are not UTF-8, their hexadecimal follows as `<name>_hex`.
    pub fn put_bytes(self, name: &str, bytes: &[u8]) -> Record {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.put(name, text),
            Err(_) => self
                .put(name, String::from_utf8_lossy(bytes).into_owned())
                .put(&format!("{name}_hex"), hexadecimal(bytes)),
        }
    }

    pub fn put_path(self, name: &str, path: impl AsRef<OsStr>) -> Record {
        self.put_bytes(name, path.as_ref().as_bytes())
    }

    /// A time as RFC 3339 in UTC.
    pub fn put_time(self, name: &str, time: Timestamp) -> Record {
        self.put(name, time.to_rfc3339())
    }

    /// A record inside of this one.
    pub fn put_record(self, name: &str, record: Record) -> Record {
        self.push(name, Field::Record(record))
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Value(value) => value.serialize(serializer),
            Field::Json(json) => json.serialize(serializer),
            Field::Record(record) => record.serialize(serializer),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name or path for people: as it is, but with control characters and bytes that are not UTF-8 as `\#ooo`
/// (octal), the way rsync prints them, so that one name is one line and a terminal obeys no file name.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        let valid = piece.valid();
        for (at, character) in valid.char_indices() {
            let looks_escaped = character == '\\' && is_escape(&valid.as_bytes()[at..]);
            if looks_escaped || (character.is_control() && character != '\t') {
                push_escaped(&mut text, &valid.as_bytes()[at..at + character.len_utf8()]);
            } else {
                text.push(character);
            }
        }
        push_escaped(&mut text, piece.invalid());
    }
    text
}

/// True if `bytes` begin with what [`push_escaped`] writes.
fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'\\', b'#', digits @ ..] if digits.len() >= 3 && digits[..3].iter().all(u8::is_ascii_digit))
}

fn push_escaped(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\#{byte:03o}"));
    }
}

/// [`printable`] for paths of this machine.
pub fn printable_path(path: impl AsRef<OsStr>) -> String {
    printable(path.as_ref().as_bytes())
}

/// `bytes` in binary units with three digits or so: `512 B`, `1.2 GiB`.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A number with commas between thousands.
pub fn human_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 entry`, `12,345 entries`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", human_count(count), if count == 1 { one } else { many })
}

/// `0.4 s`, `1 min 12 s`, `3 h 5 min`.
pub fn human_duration(seconds: f64) -> String {
    if seconds < 59.95 { format!("{seconds:.1} s") } else { human_whole_duration(seconds.round() as u64) }
}

/// `12 s`, `1 min 12 s`, `3 h 5 min`.
pub fn human_whole_duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// How many times smaller what is stored is than what it stands for: `12.5x`; nothing if nothing was stored.
pub fn human_ratio(bytes: u64, bytes_stored: u64) -> Option<String> {
    match bytes_stored {
        0 => None,
        stored => Some(format!("{:.1}x", bytes as f64 / stored as f64)),
    }
}

/// Where a column's cells stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows of cells in columns as wide as their widest cell.
pub struct Table {
    columns: Vec<Column>,
    /// All cells, row by row, and where each ends: a list of ten thousand snapshots is as many lines, but not as many
    /// pieces of memory for each column.
    text: String,
    ends: Vec<usize>,
}

struct Column {
    align: Align,
    /// Of its widest cell, in characters.
    width: usize,
}

impl Table {
    /// A table that begins with a row of titles.
    pub fn new(columns: &[(&str, Align)]) -> Table {
        let aligns: Vec<Align> = columns.iter().map(|(_, align)| *align).collect();
        let mut table = Table::untitled(&aligns);
        table.row(columns.iter().map(|(title, _)| title.to_string()).collect());
        table
    }

    /// A table without titles.
    pub fn untitled(columns: &[Align]) -> Table {
        let columns = columns.iter().map(|&align| Column { align, width: 0 }).collect();
        Table { columns, text: String::new(), ends: Vec::new() }
    }

    /// Adds a row; cells that it lacks are empty.
    pub fn row(&mut self, cells: Vec<String>) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            let cell = cells.get(at).map_or("", String::as_str);
            column.width = column.width.max(cell.chars().count());
            self.text.push_str(cell);
            self.ends.push(self.text.len());
        }
    }

    pub fn print(&self, output: &mut Output) -> io::Result<()> {
        let (mut line, mut start) = (String::new(), 0);
        for row in self.ends.chunks(self.columns.len().max(1)) {
            line.clear();
            for (column, &end) in self.columns.iter().zip(row) {
                column.write(&self.text[start..end], &mut line);
                start = end;
            }
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}

impl Column {
    /// Adds a cell of the column to a line, two spaces behind the one before.
    fn write(&self, cell: &str, line: &mut String) {
        let padding = self.width.saturating_sub(cell.chars().count());
        let (before, behind) = if self.align == Align::Left { (0, padding) } else { (padding, 0) };
        let gap = if line.is_empty() { 0 } else { 2 };
        line.extend(std::iter::repeat_n(' ', gap + before));
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', behind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_utf_8_come_with_their_hexadecimal() {
        let record = Record::new("entry").put_bytes("path", b"caf\xc3\xa9").put_bytes("target", b"a\xffb");
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"type":"entry","path":"café","target":"a�b","target_hex":"61ff62"}"#);
    }

    #[test]
    fn unprintable_names_are_escaped_as_rsync_does() {
        assert_eq!(printable("plain café\t.txt".as_bytes()), "plain café\t.txt");
        assert_eq!(printable(b"two\nlines"), "two\\#012lines");
        assert_eq!(printable(b"bad\xffbyte\x1b[1m"), "bad\\#377byte\\#033[1m");
        assert_eq!(printable(b"\\#012 \\#12 \\"), "\\#134#012 \\#12 \\");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_their_text() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("TAGS", Align::Left)]);
        table.row(["", "7", "weekly"].map(String::from).to_vec());
        table.row(["café-au-lait", "12,345", ""].map(String::from).to_vec());
        table.row(vec!["short".into()]);
        let mut output = Output::default();
        table.print(&mut output).unwrap();
        let expected = ["NAME            SIZE  TAGS", "                   7  weekly", "café-au-lait  12,345", "short"];
        let printed = std::mem::take(&mut output.lines);
        assert_eq!(String::from_utf8(printed).unwrap(), expected.map(|line| format!("{line}\n")).concat());
    }

    #[test]
    fn sizes_read_well_at_the_edges() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn counts_durations_and_ratios_read_well() {
        assert_eq!(human_count(0), "0");
        assert_eq!(human_count(999), "999");
        assert_eq!(human_count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "entry", "entries"), "1 entry");
        assert_eq!(counted(0, "entry", "entries"), "0 entries");
        assert_eq!(human_duration(0.04), "0.0 s");
        assert_eq!(human_duration(59.97), "1 min 0 s");
        assert_eq!(human_duration(72.0), "1 min 12 s");
        assert_eq!(human_duration(11_100.0), "3 h 5 min");
        assert_eq!(human_ratio(100, 8).as_deref(), Some("12.5x"));
        assert_eq!(human_ratio(100, 0), None);
    }
}
