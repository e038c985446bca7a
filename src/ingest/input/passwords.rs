//! Passwords: found in command lines by the ways in which programs take them, to be left out of what is kept and shown.

/// What stands in the place of one.
const HIDDEN: &str = "***";

/// Names of options, variables and settings end so that have passwords behind `=`.
const NAMES: [&str; 5] = ["password", "passwd", "passphrase", "pass", "pwd"];

/// Options of MongoDB's programs that have them as the next word; in those of others that word may be a database.
const OPTIONS_OF_MONGO: [&str; 2] = ["-p ", "--password "];

/// What ends a value that stands in no quotes.
const ENDS: [char; 5] = ['\'', '"', '&', ';', ')'];

/// The words of a command as one line.
pub fn words_without_passwords(words: impl Iterator<Item = String>) -> String {
    // A word of its own is one value, whatever is in it.
    let whole = |word: String| match word.split_once('=') {
        Some((name, _)) if is_plain(name) && ends_as_password(name) => format!("{name}={HIDDEN}"),
        _ => word,
    };
    without_passwords(&words.map(whole).collect::<Vec<_>>().join(" "))
}

/// A line, for a shell or of words, with `***` in place of the password in `--password=x`, `-px` (as MySQL's and MariaDB's programs
/// take it), `MYSQL_PWD=x`, `password=x` in connection strings and URLs, `scheme://user:x@host`, and `-p x` of MongoDB's programs.
pub fn without_passwords(line: &str) -> String {
    let is_mongo = line.contains("mongo");
    let (mut shown, mut at) = (String::new(), 0);
    while let Some(character) = line[at..].chars().next() {
        match password_at(line, at, is_mongo) {
            Some((start, end)) if start < end => {
                shown.push_str(&line[at..start]);
                shown.push_str(HIDDEN);
                at = end;
            }
            _ => {
                shown.push(character);
                at += character.len_utf8();
            }
        }
    }
    shown
}

/// The beginning and the end of the password that what stands at a place leads to.
fn password_at(line: &str, at: usize, is_mongo: bool) -> Option<(usize, usize)> {
    let (before, rest) = line.split_at(at);
    if let Some(value) = rest.strip_prefix('=').filter(|_| ends_as_password(before)) {
        // `password = x` stands in connection strings; `PASSWORD= x` of a shell is an empty one.
        let blanks = if before.ends_with(' ') { value.len() - value.trim_start().len() } else { 0 };
        let start = at + 1 + blanks;
        return Some((start, value_end(line, start)));
    }
    if let Some(address) = rest.strip_prefix("://") {
        let address =
            &address[..address.find(|it: char| it.is_whitespace() || it == '\'' || it == '"').unwrap_or(address.len())];
        let host = address.rfind('@')?;
        let user = address[..host].find(':')?;
        return Some((at + 3 + user + 1, at + 3 + host));
    }
    if before.chars().next_back().is_some_and(|it| !it.is_whitespace() && !ENDS.contains(&it)) {
        return None;
    }
    if let Some(option) = OPTIONS_OF_MONGO.iter().find(|option| is_mongo && rest.starts_with(**option)) {
        return Some((at + option.len(), value_end(line, at + option.len())));
    }
    let value = rest.strip_prefix("-p")?;
    let begins = value.chars().next().is_some_and(|it| !it.is_whitespace() && it != '-');
    begins.then(|| (at + 2, value_end(line, at + 2)))
}

fn ends_as_password(text: &str) -> bool {
    let text = text.trim_end().as_bytes();
    NAMES
        .iter()
        .any(|name| text.len() >= name.len() && text[text.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether this can be the name of an option or of a variable.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Where a value ends that begins there, with its quotes.
fn value_end(line: &str, start: usize) -> usize {
    let value = &line[start..];
    let quoted = value.trim_start_matches('\\');
    let is_quote = |it: &char| matches!(it, '\'' | '"');
    if let Some(quote) = quoted.chars().next().filter(is_quote) {
        let inside = start + (value.len() - quoted.len()) + 1;
        return line[inside..].find(quote).map_or(line.len(), |length| inside + length + 1);
    }
    let end = value.find(|it: char| it.is_whitespace() || ENDS.contains(&it));
    start + end.unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        let kept = [
            ("dump --password=secret shop", "dump --password=*** shop"),
            ("MYSQL_PWD=secret dump", "MYSQL_PWD=*** dump"),
            ("sh -c 'PGPASSWORD=\"se cret\" pg_dump; x'", "sh -c 'PGPASSWORD=*** pg_dump; x'"),
            ("export MYSQL_PWD='a b'; dump", "export MYSQL_PWD=***; dump"),
            ("dump -uroot -psecret shop", "dump -uroot -p*** shop"),
            ("ssh h \"mysqldump -p'a b' shop\"", "ssh h \"mysqldump -p*** shop\""),
            ("sh -c 'mariadb-dump -psecret'", "sh -c 'mariadb-dump -p***'"),
            ("--pass=secret --passphrase=secret", "--pass=*** --passphrase=***"),
            ("postgres://me:secret@db/shop", "postgres://me:***@db/shop"),
            ("mongodb://me:a@secret@db/shop", "mongodb://me:***@db/shop"),
            ("postgres://db/shop?user=me&password=secret&x=1", "postgres://db/shop?user=me&password=***&x=1"),
            ("pg_dump host=h password=secret dbname=shop", "pg_dump host=h password=*** dbname=shop"),
            ("pg_dump -d 'host=h password = \\'a b\\' x'", "pg_dump -d 'host=h password = *** x'"),
            ("mongoexport -u me -p secret -c orders", "mongoexport -u me -p *** -c orders"),
            ("mongodump --password secret --archive", "mongodump --password *** --archive"),
            ("mysqldump -p shop --port=3306", "mysqldump -p shop --port=3306"),
            ("mysqldump --password shop", "mysqldump --password shop"),
            ("pg_dump --single-transaction é", "pg_dump --single-transaction é"),
        ];
        for (line, shown) in kept {
            assert_eq!(without_passwords(line), shown);
        }
    }

    #[test]
    fn a_word_that_is_a_password_is_hidden_to_its_end() {
        let shown = |words: &[&str]| words_without_passwords(words.iter().map(|word| word.to_string()));
        assert_eq!(shown(&["dump", "--password=a b'c", "shop"]), "dump --password=*** shop");
        assert_eq!(shown(&["env", "MYSQL_PWD=a b", "dump"]), "env MYSQL_PWD=*** dump");
        assert_eq!(shown(&["pg_dump", "host=h password=x dbname=shop"]), "pg_dump host=h password=*** dbname=shop");
    }
}
