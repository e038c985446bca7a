//! StatementFile: a file of statements beside one of rows, taken apart: what sets up the session, what makes the table, and what
//! comes behind its rows.

use std::ops::Range;

use memchr::memmem;

use crate::dump::mysql::session::told_settings;
use crate::dump::mysql::{DumpEnd, DumpFacts, Event, MysqlDump, PartKind};
use crate::dump::name::quoted_name;

/// The last line of a file that was written to its end.
const TRAILER: &[u8] = b"\n-- Dump completed";

/// A file of statements.
pub struct StatementFile {
    text: Vec<u8>,
    parts: Vec<(PartKind, Range<usize>)>,
    /// The table that it makes.
    pub table: Option<Vec<u8>>,
    /// The view that it makes.
    pub view: Option<Vec<u8>>,
    facts: DumpFacts,
}

impl StatementFile {
    pub fn read(text: Vec<u8>) -> StatementFile {
        let (mut dump, mut parts, mut table, mut view) = (MysqlDump::default(), Vec::new(), None, None);
        let mut tell = |event: Event| {
            let Event::Part(part) = event else { return };
            parts.push((part.kind, part.start as usize));
            match part.kind {
                PartKind::Schema => table = table.take().or(Some(part.name)),
                PartKind::View | PartKind::ViewStub => view = Some(part.name),
                _ => {}
            }
        };
        dump.push(&text, &mut tell);
        let facts = dump.finish(&mut tell);
        let ends = parts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]).collect::<Vec<_>>();
        let parts = parts.into_iter().zip(ends).map(|((kind, start), end)| (kind, start..end)).collect();
        StatementFile { text, parts, table, view, facts }
    }

    fn those(&self, is: impl Fn(PartKind) -> bool) -> Vec<u8> {
        let those = self.parts.iter().filter(|(kind, _)| is(*kind));
        those.flat_map(|(_, range)| self.text[range.clone()].iter().copied()).collect()
    }

    fn header(&self) -> Vec<u8> {
        self.those(|kind| kind == PartKind::Header)
    }

    /// The lines at its beginning that tell what was dumped by which program.
    pub fn banner(&self) -> Vec<u8> {
        let header = self.header();
        let is_of_banner = |line: &&[u8]| line.starts_with(b"--") || line.starts_with(b"/*M!");
        header.split_inclusive(|&byte| byte == b'\n').take_while(is_of_banner).collect::<Vec<_>>().concat()
    }

    /// The character set and the time zone that it is in.
    pub fn settings(&self) -> Vec<u8> {
        told_settings(&self.header())
    }

    /// It has rows itself.
    pub fn has_rows(&self) -> bool {
        self.parts.iter().any(|(kind, _)| *kind == PartKind::Data)
    }

    /// What comes before the rows.
    pub fn before_rows(&self) -> Vec<u8> {
        self.those(|kind| !matches!(kind, PartKind::Header | PartKind::Footer | PartKind::Triggers))
    }

    /// All but what sets up the session.
    pub fn content(&self) -> Vec<u8> {
        self.those(|kind| !matches!(kind, PartKind::Header | PartKind::Footer))
    }

    /// What comes behind the rows.
    pub fn behind_rows(&self) -> Vec<u8> {
        self.those(|kind| kind == PartKind::Triggers)
    }

    /// What shows that it is not whole.
    pub fn fault(&self) -> Option<&'static str> {
        let footer = || self.those(|kind| kind == PartKind::Footer);
        let has_trailer = || footer().windows(TRAILER.len()).any(|window| window == TRAILER);
        match self.facts.end {
            DumpEnd::InStatement => Some("it ends within a statement"),
            _ if self.facts.program.is_some() && !has_trailer() => Some("it does not end with \"-- Dump completed\""),
            _ if !self.facts.session.settings.is_empty() && footer().is_empty() => {
                Some("it does not set back what it sets")
            }
            _ => None,
        }
    }
}

/// Files that make views, in an order in which each comes behind those that it needs: `views` has the name and the text of each. The
/// server quotes every name in the definition of a view.
pub fn in_order_of_needs(views: &[(Vec<u8>, Vec<u8>)]) -> Vec<usize> {
    let quoted: Vec<Vec<u8>> = views.iter().map(|(name, _)| quoted_name(name, b'`')).collect();
    let (mut order, mut is_met) = (Vec::new(), vec![false; views.len()]);
    // The places that are being looked at, and where the look for what they need goes on.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for first in 0..views.len() {
        if !std::mem::replace(&mut is_met[first], true) {
            open.push((first, 0));
        }
        while let Some((view, from)) = open.pop() {
            let needs = |other: &usize| !is_met[*other] && memmem::find(&views[view].1, &quoted[*other]).is_some();
            match (from..views.len()).find(needs) {
                Some(other) => {
                    is_met[other] = true;
                    open.extend([(view, other + 1), (other, 0)]);
                }
                None => order.push(view),
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOMERS: &str = "\
/*M!999999\\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version\t10.11.19-MariaDB

/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;

--
-- Table structure for table `customers`
--

DROP TABLE IF EXISTS `customers`;
CREATE TABLE `customers` (
  `id` int(11) NOT NULL
);

/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

-- Dump completed on 2026-11-26 16:17:40
DELIMITER ;;
CREATE TRIGGER told BEFORE INSERT ON customers FOR EACH ROW SET NEW.id = 1;;
DELIMITER ;
";

    fn shown(text: Vec<u8>) -> String {
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_file_is_taken_apart_around_the_rows() {
        let file = StatementFile::read(CUSTOMERS.into());
        assert_eq!((file.fault(), file.table.as_deref()), (None, Some(&b"customers"[..])));
        let banner = shown(file.banner());
        assert!(banner.starts_with("/*M!999999") && banner.ends_with("10.11.19-MariaDB\n"), "{banner}");
        assert_eq!(shown(file.settings()).lines().count(), 2);
        let before = shown(file.before_rows());
        assert!(before.starts_with("--\n-- Table structure") && before.trim_end().ends_with(");"), "{before}");
        let behind = shown(file.behind_rows());
        assert!(behind.starts_with("DELIMITER ;;\n") && behind.ends_with("DELIMITER ;\n"), "{behind}");
    }

    #[test]
    fn a_file_that_was_cut_shows_that() {
        let end = CUSTOMERS.find("-- Dump completed").unwrap();
        for (cut, fault) in [
            (end, "it does not end with \"-- Dump completed\""),
            (CUSTOMERS.find(");").unwrap(), "it ends within a statement"),
            (CUSTOMERS.len() - 30, "it ends within a statement"),
        ] {
            assert_eq!(StatementFile::read(CUSTOMERS[..cut].into()).fault(), Some(fault), "cut at {cut}");
        }
        assert_eq!(StatementFile::read(b"CREATE TABLE `a` (`b` int);\n".to_vec()).fault(), None);
    }

    #[test]
    fn views_come_behind_what_they_need() {
        let view =
            |name: &str, needs: &str| (name.as_bytes().to_vec(), format!("VIEW `{name}` AS {needs}").into_bytes());
        let views = [view("a", "`b`"), view("b", "`d` JOIN `c`"), view("c", "1"), view("d", "`a`"), view("e", "`f`")];
        assert_eq!(in_order_of_needs(&views), [2, 3, 1, 0, 4]);
    }
}
