//! Manifests: what the `*.json` files of a directory that MySQL Shell filled tell of it. Sources: the manual of MySQL Shell,
//! "Dump Files and Metadata", and what its versions 8.0 to 9.7 wrote.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::dump::mysql::tab::{Decoding, FieldForm, FieldWords};
use crate::error::{Error, Result};

/// Names of files without endings, by the names of what they are of.
type BaseNames = HashMap<String, String>;

/// `@.json`: the whole dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpManifest {
    /// `mysqlsh Ver 8.0.43 for Linux on x86_64 - for MySQL 8.0.43 (MySQL Community Server (GPL))`.
    pub dumper: String,
    pub server_version: String,
    /// It makes its databases: not where only some tables were asked for.
    pub makes_databases: bool,
    pub schemas: Vec<String>,
    base_names: BaseNames,
    /// Where the binary log stood, and what was executed, if all is of one moment.
    pub binlog: Option<(String, u64)>,
    pub gtid: Option<String>,
    /// Times of rows are in UTC, not in the server's time zone.
    pub is_in_utc: bool,
    pub character_set: String,
}

/// `SCHEMA.json`: a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaManifest {
    pub tables: Vec<String>,
    pub views: Vec<String>,
    pub has_definition: bool,
    pub has_views: bool,
    base_names: BaseNames,
}

/// `SCHEMA@TABLE.json`: a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableManifest {
    pub columns: Vec<Vec<u8>>,
    /// How the values of each of them are written.
    pub decodings: Vec<Option<Decoding>>,
    pub form: FieldForm,
    /// What the names of the files of its rows end with: `tsv.zst`.
    pub extension: String,
    pub has_chunks: bool,
    pub has_definition: bool,
    pub has_rows: bool,
    pub has_triggers: bool,
    /// The beginnings of the names of these files.
    pub base_names: Vec<String>,
}

/// `@.done.json`, which is written last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneManifest {
    /// Bytes of rows that were put into each file, before they were compressed.
    pub file_bytes: BTreeMap<String, u64>,
}

/// Whether a member is true; so it is where it is not there.
fn is_true(value: &Value, member: &str) -> bool {
    value.get(member).and_then(Value::as_bool).unwrap_or(true)
}

fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or_default().to_string()
}

fn texts(value: &Value, member: &str) -> Vec<String> {
    let all = value.get(member).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_string).collect()
}

fn base_names(value: &Value) -> BaseNames {
    let all = value.get("basenames").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, base)| Some((name.clone(), base.as_str()?.to_string()))).collect()
}

/// A name as MySQL Shell writes it in the name of a file.
fn encoded(name: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || !it.is_ascii() || matches!(it, '-' | '.' | '_' | '~');
    name.chars().map(|it| if is_plain(it) { it.to_string() } else { format!("%{:02X}", u32::from(it)) }).collect()
}

/// What the function of MySQL takes that makes the bytes of a column, in the manifest with this name.
fn decoding(function: &Value, base_name: &str) -> Result<Decoding> {
    match function.as_str() {
        Some("FROM_BASE64") => Ok(Decoding::Base64),
        Some("UNHEX") => Ok(Decoding::Hexadecimal),
        _ => {
            let value = format!("{function} in {base_name}.json");
            Err(Error::invalid("decodeColumns", value, "only FROM_BASE64 and UNHEX are known"))
        }
    }
}

fn object(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().filter(Value::is_object)
}

impl DumpManifest {
    /// `None` for what MySQL Shell does not write.
    pub fn read(bytes: &[u8]) -> Option<DumpManifest> {
        let value = object(bytes).filter(|value| value.get("dumper").is_some_and(Value::is_string))?;
        let is_of_one_moment = value.get("consistent").and_then(Value::as_bool) == Some(true);
        let is_gtid_sure = value.get("gtidExecutedInconsistent").and_then(Value::as_bool) != Some(true);
        let (file, gtid) = (text(&value, "binlogFile"), text(&value, "gtidExecuted"));
        let position = value.get("binlogPosition").and_then(Value::as_u64);
        Some(DumpManifest {
            dumper: text(&value, "dumper"),
            server_version: text(&value, "serverVersion"),
            makes_databases: text(&value, "origin") != "dumpTables",
            schemas: texts(&value, "schemas"),
            base_names: base_names(&value),
            binlog: position.filter(|_| is_of_one_moment && !file.is_empty()).map(|position| (file, position)),
            gtid: Some(gtid).filter(|gtid| is_of_one_moment && is_gtid_sure && !gtid.is_empty()),
            is_in_utc: is_true(&value, "tzUtc"),
            character_set: text(&value, "defaultCharacterSet"),
        })
    }

    /// What the names of the files of a database begin with.
    pub fn base_name(&self, schema: &str) -> String {
        self.base_names.get(schema).cloned().unwrap_or_else(|| encoded(schema))
    }
}

impl SchemaManifest {
    pub fn read(bytes: &[u8]) -> Option<SchemaManifest> {
        let value = object(bytes)?;
        Some(SchemaManifest {
            tables: texts(&value, "tables"),
            views: texts(&value, "views"),
            has_definition: is_true(&value, "includesDdl"),
            has_views: is_true(&value, "includesViewsDdl"),
            base_names: base_names(&value),
        })
    }

    /// What the names of the files of a table or a view begin with, in a database whose files' names begin so.
    pub fn base_name(&self, schema: &str, table: &str) -> String {
        self.base_names.get(table).cloned().unwrap_or_else(|| format!("{schema}@{}", encoded(table)))
    }
}

impl TableManifest {
    /// That of a table whose files' names begin so; `None` for what MySQL Shell does not write.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] where its rows could not be told apart.
    pub fn read(bytes: &[u8], base_name: &str) -> Result<Option<TableManifest>> {
        let Some(value) = object(bytes) else { return Ok(None) };
        let Some(options) = value.get("options").filter(|options| options.is_object()) else { return Ok(None) };
        let word = |name: &str| options.get(name).and_then(Value::as_str);
        let form = FieldForm::from_words(FieldWords {
            fields_terminated_by: word("fieldsTerminatedBy"),
            fields_enclosed_by: word("fieldsEnclosedBy"),
            fields_escaped_by: word("fieldsEscapedBy"),
            lines_terminated_by: word("linesTerminatedBy"),
        })?;
        let columns = texts(options, "columns");
        let functions = options.get("decodeColumns");
        let function = |column: &String| functions.and_then(|all| all.get(column));
        let decodings = columns.iter().map(|it| function(it).map(|it| decoding(it, base_name)).transpose());
        let of_partitions = base_names(&value);
        let partitions = texts(&value, "partitions");
        let of_partition = |name: &String| {
            of_partitions.get(name).cloned().unwrap_or_else(|| format!("{base_name}@{}", encoded(name)))
        };
        let base_names = match partitions.is_empty() {
            true => vec![base_name.to_string()],
            false => partitions.iter().map(of_partition).collect(),
        };
        Ok(Some(TableManifest {
            decodings: decodings.collect::<Result<_>>()?,
            columns: columns.into_iter().map(String::into_bytes).collect(),
            form,
            extension: value.get("extension").and_then(Value::as_str).unwrap_or("tsv.zst").to_string(),
            has_chunks: is_true(&value, "chunking"),
            has_definition: is_true(&value, "includesDdl"),
            has_rows: is_true(&value, "includesData"),
            has_triggers: !texts(&value, "triggers").is_empty(),
            base_names,
        }))
    }
}

impl DoneManifest {
    pub fn read(bytes: &[u8]) -> Option<DoneManifest> {
        let value = object(bytes)?;
        let files = value.get("chunkFileBytes").and_then(Value::as_object).into_iter().flatten();
        let file_bytes = files.filter_map(|(name, bytes)| Some((name.clone(), bytes.as_u64()?))).collect();
        Some(DoneManifest { file_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_tells_of_itself() {
        let text = r#"{"dumper": "mysqlsh Ver 8.0.43", "version": "2.0.1", "schemas": ["a b", "c"], "basenames": {"a b": "x"},
            "serverVersion": "8.0.43", "binlogFile": "b.000004", "binlogPosition": 5951, "gtidExecuted": "u:1-3",
            "gtidExecutedInconsistent": false, "consistent": true, "tzUtc": true, "defaultCharacterSet": "utf8mb4"}"#;
        let manifest = DumpManifest::read(text.as_bytes()).unwrap();
        assert_eq!((manifest.base_name("a b"), manifest.base_name("c@é/")), ("x".into(), "c%40é%2F".into()));
        assert_eq!(manifest.binlog, Some(("b.000004".into(), 5951)));
        assert_eq!((manifest.gtid.as_deref(), manifest.is_in_utc), (Some("u:1-3"), true));
        let unsure = DumpManifest::read(text.replace(r#""consistent": true"#, r#""consistent": false"#).as_bytes());
        assert_eq!(unsure.map(|it| (it.binlog, it.gtid)), Some((None, None)));
        let unsure = DumpManifest::read(text.replace(r#"Inconsistent": false"#, r#"Inconsistent": true"#).as_bytes());
        assert_eq!(unsure.map(|it| (it.binlog.is_some(), it.gtid)), Some((true, None)));
        let schema = SchemaManifest::read(br#"{"tables": ["t", "u /"], "basenames": {"t": "x@9"}}"#).unwrap();
        assert_eq!((schema.base_name("x", "t"), schema.base_name("x", "u /")), ("x@9".into(), "x@u%20%2F".into()));
        for other in ["", "[]", "{}", r#"{"dumper": 1}"#, "\u{0}"] {
            assert_eq!(DumpManifest::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_table_tells_how_its_rows_are_written() {
        let text = r#"{"options": {"columns": ["id", "b", "h"], "decodeColumns": {"b": "FROM_BASE64", "h": "UNHEX"},
            "fieldsTerminatedBy": "\t", "fieldsEnclosedBy": "", "fieldsEscapedBy": "\\", "linesTerminatedBy": "\n"},
            "triggers": ["t"], "extension": "tsv.gz", "chunking": false, "partitions": ["p0", "p 1"], "basenames": {"p0": "s@t@p0"}}"#;
        let table = TableManifest::read(text.as_bytes(), "s@t").unwrap().unwrap();
        assert_eq!(table.form, FieldForm::default());
        assert_eq!(table.decodings, [None, Some(Decoding::Base64), Some(Decoding::Hexadecimal)]);
        assert_eq!(table.base_names, ["s@t@p0", "s@t@p%201"]);
        assert!(table.has_rows && table.has_triggers && !table.has_chunks && table.extension == "tsv.gz");
        assert!(TableManifest::read(text.replace(r"\n", r"\t").as_bytes(), "s@t").is_err());
        let other = text.replace("UNHEX", "UNCOMPRESS");
        let error = TableManifest::read(other.as_bytes(), "s@t").unwrap_err().to_string();
        assert!(error.contains("UNCOMPRESS") && error.contains("s@t.json"), "{error}");
        assert_eq!(TableManifest::read(b"{}", "s@t").unwrap(), None);
    }
}
