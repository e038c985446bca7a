//! Account: a user or a role, as statements name it.

use std::ops::Range;

use crate::dump::mysql::words::{QuoteModes, Word, Words};
use crate::dump::name::quoted_name;

/// What comes behind the definer of an object.
const OBJECTS: [&str; 6] = ["VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "PACKAGE", "EVENT"];

/// A user of a host. A role has no host, and a user who has none is one of all hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    pub user: Vec<u8>,
    pub host: Vec<u8>,
}

impl Account {
    /// The one that comes next, and where it ends.
    pub fn next(words: &mut Words) -> Option<Account> {
        let user = words.next()?;
        let mut behind = words.clone();
        let (user, host) = match (&user, behind.next()) {
            // `user`@`host`, and `user`@host, which is one word behind the user.
            (_, Some(Word::Plain(b"@"))) => (user.name()?.into_owned(), behind.next()?.name()?.into_owned()),
            (_, Some(Word::Plain(host))) if host.starts_with(b"@") => (user.name()?.into_owned(), host[1..].to_vec()),
            (Word::Plain(user), Some(host @ (Word::Name(_) | Word::Text(_)))) if user.ends_with(b"@") => {
                (user[..user.len() - 1].to_vec(), host.name()?.into_owned())
            }
            // CURRENT_USER()
            (Word::Plain(user), Some(Word::Symbol(b'('))) if behind.pass_symbol(b')') => (user.to_vec(), Vec::new()),
            _ => {
                let name = user.name()?.into_owned();
                return Some(match (&user, name.iter().position(|&byte| byte == b'@')) {
                    (Word::Plain(_), Some(at)) => Account { user: name[..at].to_vec(), host: name[at + 1..].to_vec() },
                    _ => Account { user: name, host: b"%".to_vec() },
                });
            }
        };
        *words = behind;
        Some(Account { user, host })
    }

    /// As any statement may name it.
    pub fn quoted(&self) -> Vec<u8> {
        [quoted_name(&self.user, b'`'), quoted_name(&self.host, b'`')].join(&b'@')
    }

    /// Whether it is whoever runs the statement.
    pub fn is_present_one(&self) -> bool {
        [&b"CURRENT_USER"[..], b"CURRENT_ROLE"].iter().any(|name| self.user.eq_ignore_ascii_case(name))
    }
}

/// Who defines what a statement makes, and where it says that.
pub fn definer(text: &[u8], modes: QuoteModes) -> Option<(Account, Range<usize>)> {
    let mut words = Words::new(text, modes);
    let start = loop {
        let start = words.place();
        match words.next()? {
            Word::Symbol(b'(') => return None,
            word if OBJECTS.iter().any(|object| word.is(object)) => return None,
            word if word.is("DEFINER") && words.pass_symbol(b'=') => break start,
            _ => {}
        }
    };
    let account = Account::next(&mut words)?;
    Some((account, start..words.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definers_are_found_however_they_are_quoted() {
        let quoted = |text: &str| {
            let (account, place) = definer(text.as_bytes(), QuoteModes::default())?;
            Some((String::from_utf8(account.quoted()).unwrap(), text[place].to_string()))
        };
        for (definer, account) in [
            ("DEFINER=`a``b`@`%`", "`a``b`@`%`"),
            ("DEFINER = 'a'@localhost", "`a`@`localhost`"),
            ("DEFINER=a@'10.0.0.%'", "`a`@`10.0.0.%`"),
            ("DEFINER=a@b", "`a`@`b`"),
            ("DEFINER=`role`", "`role`@`%`"),
            ("DEFINER=``@`h`", "``@`h`"),
        ] {
            for made in ["SQL SECURITY DEFINER */ /*!50001 VIEW v", "*/ /*!50106 EVENT `e`", "PROCEDURE `p`()"] {
                let text = format!("/*!50001 CREATE ALGORITHM=UNDEFINED */ /*!50013 {definer} {made}");
                assert_eq!(quoted(&text), Some((account.to_string(), definer.to_string())), "{text}");
            }
        }
        let (present, place) = definer(b"CREATE DEFINER=CURRENT_USER() VIEW v", QuoteModes::default()).unwrap();
        assert!(present.is_present_one() && place == (7..29));
        for text in ["CREATE TABLE t (definer = 1)", "CREATE VIEW v AS SELECT definer = a", "CREATE DEFINER", ""] {
            assert_eq!(quoted(text), None, "{text}");
        }
    }
}
