//! Frame: the session's settings around a patch, and around rows of one dump.

use crate::dump::layout::{HEADER_FILE, META_DIRECTORY};
use crate::dump::mysql::{QuoteModes, setting};
use crate::error::{Error, Result};
use crate::rows::patch::mysql::modes;
use crate::rows::side::DumpSide;
use crate::rows::tables::TablePair;

/// What `mariadb-dump` takes where it is told nothing.
const USUAL_CHARACTER_SET: &str = "utf8mb4";

/// The settings that both dumps were made with.
pub struct Frame {
    sides: [Settings; 2],
    target: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Settings {
    character_set: String,
    time_zone: Option<String>,
    modes: QuoteModes,
}

impl Settings {
    fn of(dump: &DumpSide) -> Result<Settings> {
        let header = dump
            .repository
            .tree()?
            .lookup_path(&dump.snapshot.manifest.root, [META_DIRECTORY, HEADER_FILE].join("/").as_bytes())?;
        let header = dump.text(header.as_ref().and_then(|node| node.content()))?;
        let time_zone = setting(&header, "TIME_ZONE").map(|zone| String::from_utf8_lossy(&zone).into_owned());
        Ok(Settings { character_set: character_set_of(dump).to_string(), time_zone, modes: modes(dump)? })
    }

    /// With `more` before what all else is read by.
    fn opening(&self, more: &str) -> String {
        let Settings { character_set, time_zone, modes } = self;
        let backslashes = if modes.plain_backslash { ",NO_BACKSLASH_ESCAPES" } else { "" };
        // The dump's own statements are among those that make a table anew.
        let quotes = if modes.ansi_quotes { ",ANSI_QUOTES" } else { "" };
        let mut text = format!(
            "SET @YESTERFS_CLIENT=@@CHARACTER_SET_CLIENT, @YESTERFS_RESULTS=@@CHARACTER_SET_RESULTS, \
             @YESTERFS_CONNECTION=@@COLLATION_CONNECTION;\nSET NAMES {character_set};\n"
        );
        if let Some(zone) = time_zone {
            let zone = zone.replace('\'', "''");
            text.push_str(&format!("SET @YESTERFS_ZONE=@@TIME_ZONE, TIME_ZONE='{zone}';\n"));
        }
        text.push_str(&format!(
            "{more}SET @YESTERFS_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO{backslashes}{quotes}';\n"
        ));
        text
    }

    fn closing(&self, more: &str) -> String {
        let zone = if self.time_zone.is_some() { "SET TIME_ZONE=@YESTERFS_ZONE;\n" } else { "" };
        format!(
            "SET SQL_MODE=@YESTERFS_MODE;\n{more}{zone}\
             SET CHARACTER_SET_CLIENT=@YESTERFS_CLIENT, CHARACTER_SET_RESULTS=@YESTERFS_RESULTS, \
             COLLATION_CONNECTION=@YESTERFS_CONNECTION;\n"
        )
    }
}

/// The settings that rows of a dump are to be read with, as a statement has them, and what sets them back.
pub fn around_rows(dump: &DumpSide) -> Result<[Vec<u8>; 2]> {
    let settings = Settings::of(dump)?;
    Ok([settings.opening("").into_bytes(), settings.closing("").into_bytes()])
}

/// # Errors
/// As [`DumpSide::check_set_of`], for the set that [`around_rows`] tells.
pub fn check_set_around_rows(dump: &DumpSide, pair: &TablePair) -> Result<()> {
    dump.check_set_of(pair, character_set_of(dump))
}

/// The set that values of a dump are in.
fn character_set_of<'d>(dump: &'d DumpSide) -> &'d str {
    dump.fact("character_set").filter(|name| is_plain(name)).unwrap_or(USUAL_CHARACTER_SET)
}

/// Whether it can stand in a statement as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Frame {
    pub fn new(dumps: [&DumpSide; 2], target: usize) -> Result<Frame> {
        Ok(Frame { sides: [Settings::of(dumps[0])?, Settings::of(dumps[1])?], target })
    }

    /// # Errors
    /// [`Error::Invalid`] where a value of one dump would mean another thing in the other.
    pub fn check_sides_agree(&self) -> Result<()> {
        let [a, b] = &self.sides;
        if a.character_set != b.character_set {
            return Err(differing("character set", &a.character_set, &b.character_set));
        }
        if a.time_zone != b.time_zone {
            let shown = |zone: &Option<String>| zone.clone().unwrap_or_else(|| "the server's".to_string());
            return Err(differing("time zone", &shown(&a.time_zone), &shown(&b.time_zone)));
        }
        Ok(())
    }

    /// # Errors
    /// [`Error::Invalid`] where a table is in another character set than the dump that the settings are of.
    pub fn check_set_of(&self, dumps: [&DumpSide; 2], pair: &TablePair) -> Result<()> {
        self.sides.iter().zip(dumps).try_for_each(|(settings, dump)| dump.check_set_of(pair, &settings.character_set))
    }

    pub fn character_set(&self) -> &str {
        &self.sides[self.target].character_set
    }

    /// What comes first.
    pub fn opening(&self) -> Vec<u8> {
        let checks = "SET @YESTERFS_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0;\n";
        self.sides[self.target].opening(checks).into_bytes()
    }

    /// What sets everything back.
    pub fn closing(&self) -> Vec<u8> {
        self.sides[self.target].closing("SET FOREIGN_KEY_CHECKS=@YESTERFS_CHECKS;\n").into_bytes()
    }
}

fn differing(what: &'static str, a: &str, b: &str) -> Error {
    Error::invalid("patch", what, format!("one dump was made with {a}, the other with {b}"))
}
