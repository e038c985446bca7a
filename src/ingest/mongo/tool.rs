//! ToolCommand: what a command line of `mongodump` or `mongoexport` says of what comes of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::dump::mongo::ExportForm;

/// Where `mongodump` writes to that is not told where to.
const USUAL_DIRECTORY: &str = "dump";

/// What one says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCommand {
    /// The file or directory that it writes; `None` where it prints.
    pub output: Option<PathBuf>,
    pub database: Option<String>,
    pub collection: Option<String>,
    /// How it writes a collection; `None` where it dumps.
    pub form: Option<ExportForm>,
}

impl ToolCommand {
    /// Reads the words behind the name of the program, which may itself be behind that of another one (`nice`, `ssh HOST`).
    /// `None` where neither program is there.
    pub fn read(words: &[OsString]) -> Option<ToolCommand> {
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let program = |word: &String| Path::new(word).file_name().and_then(|name| name.to_str()).map(str::to_string);
        let is_tool = |word: &String| matches!(program(word).as_deref(), Some("mongodump" | "mongoexport"));
        let at = words.iter().position(is_tool)?;
        let is_export = program(&words[at]).as_deref() == Some("mongoexport");
        let options = Options(&words[at + 1..]);
        let output = options.value("--out", "-o").map(str::to_string);
        let output = match is_export {
            true => output,
            false if options.has("--archive") => None,
            false => options.value("--archive", "").map(str::to_string).or(output).or(Some(USUAL_DIRECTORY.into())),
        };
        Some(ToolCommand {
            output: output.filter(|output| !is_standard_output(output)).map(PathBuf::from),
            database: options.value("--db", "-d").map(str::to_string).or(options.database_of_uri()),
            collection: options.value("--collection", "-c").map(str::to_string),
            form: is_export.then(|| options.form()),
        })
    }
}

fn is_standard_output(path: &str) -> bool {
    matches!(path, "-" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1")
}

/// The words behind the name of the program.
struct Options<'a>(&'a [String]);

impl<'a> Options<'a> {
    /// Whether this word is there.
    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }

    /// The value of an option, which is a word of its own, or behind `=`, or behind its short form.
    fn value(&self, long: &str, short: &str) -> Option<&'a str> {
        self.0.iter().enumerate().find_map(|(at, word)| {
            if word == long || (word == short && !short.is_empty()) {
                return self.0.get(at + 1).map(String::as_str);
            }
            let behind_short = || {
                let value = word.strip_prefix(short).filter(|_| !short.is_empty() && !word.starts_with("--"))?;
                Some(value.strip_prefix('=').unwrap_or(value))
            };
            word.strip_prefix(long).and_then(|value| value.strip_prefix('=')).or_else(behind_short)
        })
    }

    fn form(&self) -> ExportForm {
        match self.has("--csv") || self.value("--type", "").is_some_and(|form| form.eq_ignore_ascii_case("csv")) {
            true => ExportForm::Csv { has_names: !self.has("--noHeaderLine") },
            false => ExportForm::Json,
        }
    }

    /// `shop` of `mongodb://host/shop?ssl=true`.
    fn database_of_uri(&self) -> Option<String> {
        let path = self.0.iter().find_map(|word| {
            let at = word.find("mongodb://").or_else(|| word.find("mongodb+srv://"))?;
            word[at..].split_once("://")?.1.split_once('/')
        });
        let name = path?.1.split('?').next().unwrap_or_default();
        Some(name.to_string()).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<ToolCommand> {
        ToolCommand::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[track_caller]
    fn assert_output(line: &str, expected: Option<&str>) {
        assert_eq!(read(line).unwrap().output, expected.map(PathBuf::from), "{line}");
    }

    #[test]
    fn what_is_written_where_is_read() {
        for line in [
            "mongoexport --out x/c.json",
            "mongoexport --out=x/c.json",
            "mongoexport -o x/c.json",
            "mongoexport -ox/c.json",
            "nice -n 10 /opt/bin/mongoexport -v -o=x/c.json",
            "mongodump --archive=x/c.json",
        ] {
            assert_output(line, Some("x/c.json"));
        }
        assert_output("mongodump --oplog", Some("dump"));
        assert_output("mongodump --out d", Some("d"));
        for line in ["mongodump --archive --oplog", "mongoexport -c orders", "mongoexport --out /dev/stdout"] {
            assert_output(line, None);
        }
        // An option of another program.
        assert_output("ssh -o BatchMode=yes db mongodump --archive", None);
        assert_eq!(read("ssh -o BatchMode=yes db dump-all"), None);
    }

    #[test]
    fn what_is_exported_is_read() {
        let names = |line: &str| read(line).map(|it| (it.database, it.collection)).unwrap();
        let both = (Some("shop".to_string()), Some("orders".to_string()));
        assert_eq!(names("mongoexport --db shop --collection orders"), both);
        assert_eq!(names("mongoexport -dshop -c=orders"), both);
        assert_eq!(names("mongoexport --uri=mongodb+srv://u:p@h/shop?ssl=true --collection=orders"), both);
        assert_eq!(names("mongoexport mongodb://h:27017/ -c orders"), (None, both.1));
        let form = |line: &str| read(line).unwrap().form;
        assert_eq!(form("mongodump"), None);
        assert_eq!(form("mongoexport --jsonArray"), Some(ExportForm::Json));
        assert_eq!(form("mongoexport --type=csv --fields a"), Some(ExportForm::Csv { has_names: true }));
        assert_eq!(form("mongoexport --type CSV --noHeaderLine"), Some(ExportForm::Csv { has_names: false }));
    }
}
