//! What keeps commands in a dump of PostgreSQL from `psql`, and which of them `psql` would run: read again here, in another way.

use super::rewriting::rewritten;
use super::{in_any_pieces, piece_length};
use yesterfs::dump::postgres::{CommandGuard, restricted};

/// No input has it.
const KEY: &str = "KeyOfNoDump";

/// Lets a dump by, but for commands that no dump has.
pub fn postgres_commands(data: &[u8]) {
    if data.windows(KEY.len()).any(|window| window == KEY.as_bytes()) {
        return;
    }
    let guarded = |key: Option<&str>, length| rewritten(data, length, Box::new(CommandGuard::new(key)));
    let plain = in_any_pieces(data, |length| guarded(None, length), "other pieces have other commands");
    let keyed = in_any_pieces(data, |length| guarded(Some(KEY), length), "other pieces are restricted otherwise");
    // Only without one does it count how psql may read strings.
    assert!(plain.is_none() || keyed.is_some(), "a key keeps a dump from passing");
    keyed.iter().for_each(|keyed| assert_few_are_let_through(keyed));
    let Some((plain, keyed)) = plain.zip(keyed) else {
        return assert_nothing_hostile_passed(data);
    };
    assert!(plain == data, "a dump changes that may pass");
    assert!(!data.contains(&0), "psql takes two lines for one");
    assert!(!has_hostile(&plain), "psql runs a command");
    let is_ours = |it: &&[u8]| it.windows(KEY.len()).any(|window| window == KEY.as_bytes());
    let mut restrictions = commands(&keyed).0.into_iter().filter(|it| find(it, b"restrict ").is_some_and(|at| at <= 3));
    assert!(restrictions.all(|it| is_ours(&it)), "psql gets the key of the dump");
    let (found, are_all) = commands(data);
    assert!(!are_all || !found.is_empty() || keyed == data, "a dump without commands changes");
}

/// What was given out until a dump was refused, piece by piece.
fn assert_nothing_hostile_passed(data: &[u8]) {
    use yesterfs::dump::renaming::Rewrite;
    let (mut guard, mut out) = (CommandGuard::new(None), Vec::new());
    let _ = data.chunks(piece_length(data)).try_for_each(|piece| guard.push(piece, &mut out));
    assert!(data.starts_with(&out), "a dump changes until it is refused");
    assert!(!has_hostile(&out), "psql gets a command before a dump is refused");
}

fn has_hostile(text: &[u8]) -> bool {
    commands(text).0.iter().any(|command| !is_allowed(command))
}

/// Wherever commands are let through a restriction, one that is allowed stands there, and the restriction holds again.
fn assert_few_are_let_through(text: &[u8]) {
    let (opening, closing) = (format!("\\unrestrict {KEY}\n"), restricted(KEY));
    let mut rest = text;
    while let Some(at) = find(rest, opening.as_bytes()) {
        rest = &rest[at + opening.len()..];
        let end = find(rest, b"\n").expect("a restriction that ends for nothing");
        assert!(is_allowed(&rest[..end]), "a command is let through a restriction");
        rest = &rest[end + 1..];
        assert!(rest.starts_with(closing.trim_end().as_bytes()), "a restriction is not made again");
        rest = &rest[closing.trim_end().len()..];
        let line = &rest[..find(rest, b"\n").unwrap_or(rest.len())];
        assert!(line.trim_ascii().is_empty(), "a restriction with another key");
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Whether it does no more than to go to another database of the same server, or to tell the encoding or a restriction.
fn is_allowed(command: &[u8]) -> bool {
    let text = command.trim_ascii_end();
    let words: Vec<&[u8]> = text.splitn(2, |&byte| byte == b' ').collect();
    let [verb, argument] = words[..] else { return false };
    let is_plain = |text: &[u8]| {
        text.iter().all(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_.-$".contains(byte))
    };
    match (verb, argument) {
        (b"\\encoding" | b"\\restrict" | b"\\unrestrict", _) => is_plain(argument),
        (b"\\connect", [b'"', inside @ .., b'"']) => {
            let text = String::from_utf8_lossy(inside).replace("\"\"", "");
            !text.contains(['"', '=']) && !text.contains("://")
        }
        (b"\\connect", _) if argument.starts_with(b"-reuse-previous=on \"dbname='") => {
            let value = &argument[b"-reuse-previous=on \"dbname='".len()..];
            let value = String::from_utf8_lossy(value).replace("\"\"", "").replace("\\\\", "").replace("\\'", "");
            value.strip_suffix("'\"").is_some_and(|value| !value.contains(['"', '\'']))
        }
        (b"\\connect", _) => is_plain(argument),
        _ => false,
    }
}

/// The commands that `psql` would run between statements. What follows one within a statement is not looked at: only a restriction
/// keeps `psql` from that. Tells whether there is none.
pub fn commands(text: &[u8]) -> (Vec<&[u8]>, bool) {
    let (mut found, mut at, mut escapes) = (Vec::new(), 0, false);
    let mut statement = Statement::default();
    while at < text.len() {
        let rest = &text[at..];
        match rest[0] {
            b'\\' if statement.words.is_empty() => {
                let length = find(rest, b"\n").unwrap_or(rest.len());
                found.push(&rest[..length]);
                at += length;
            }
            b'\\' => return (found, false),
            b';' if statement.depth == 0 && statement.blocks == 0 => {
                let ended = std::mem::take(&mut statement);
                escapes = ended.sets_escapes().unwrap_or(escapes);
                at += if ended.brings_rows() { rows(rest) } else { 1 };
            }
            _ => {
                let length = token(rest, escapes);
                statement.take(&rest[..length]);
                at += length;
            }
        }
    }
    (found, true)
}

/// The length of the rows of a `COPY`, from the semicolon before them on.
fn rows(text: &[u8]) -> usize {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    assert!(first[1..].trim_ascii().is_empty(), "psql reads what follows a COPY in its line behind the rows");
    let mut length = first.len();
    for line in lines {
        length += line.len();
        if matches!(line, b"\\.\n" | b"\\.\r\n" | b"\\.") {
            break;
        }
    }
    length
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_$".contains(&byte) || !byte.is_ascii()
}

/// The length of a word, a string, a comment, or of a single byte.
fn token(text: &[u8], escapes: bool) -> usize {
    let behind = |start: usize, end: &[u8]| find(&text[start..], end).map_or(text.len(), |at| start + at + end.len());
    match text {
        [b'-', b'-', ..] => text.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(text.len()),
        [b'/', b'*', ..] => comment(text),
        [b'"', ..] => behind(1, b"\""),
        [b'\'', ..] => string(text, 1, escapes),
        [b'e' | b'E', b'\'', ..] => string(text, 2, true),
        [b'$', ..] => {
            let name = text[1..].iter().take_while(|&&byte| byte != b'$' && is_word_byte(byte)).count();
            match text.get(1 + name) {
                Some(b'$') if !text[1].is_ascii_digit() => behind(name + 2, &text[..name + 2]),
                _ => 1,
            }
        }
        _ => text.iter().take_while(|&&byte| is_word_byte(byte)).count().max(1),
    }
}

fn string(text: &[u8], start: usize, escapes: bool) -> usize {
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'\\' if escapes => at += 2,
            // In another line it goes on.
            b'\'' => match text[at + 1..].iter().position(|byte| !byte.is_ascii_whitespace()) {
                Some(blank) if text[at + 1 + blank] == b'\'' && text[at + 1..][..blank].contains(&b'\n') => {
                    at += blank + 2
                }
                _ => return at + 1,
            },
            _ => at += 1,
        }
    }
    text.len()
}

fn comment(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
}

/// What `psql` and the server know of a statement that has begun.
#[derive(Default)]
struct Statement {
    /// Words, strings and signs that stand in no parentheses, but comments, in small letters.
    words: Vec<String>,
    depth: usize,
    /// Those that a function's body opens.
    blocks: usize,
}

impl Statement {
    fn take(&mut self, token: &[u8]) {
        if token[0].is_ascii_whitespace() || token.starts_with(b"--") || token.starts_with(b"/*") {
            return;
        }
        match token {
            b"(" => self.depth += 1,
            b")" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let word = String::from_utf8_lossy(token).to_ascii_lowercase();
        if self.depth == 0 || self.words.is_empty() {
            self.words.push(word.clone());
        }
        if self.depth == 0 && self.makes_routine() {
            match &word[..] {
                "begin" => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn begins_with(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(word, wanted)| word == wanted)
    }

    fn makes_routine(&self) -> bool {
        let beginnings: [&[&str]; 4] = [
            &["create", "function"],
            &["create", "procedure"],
            &["create", "or", "replace", "function"],
            &["create", "or", "replace", "procedure"],
        ];
        beginnings.iter().any(|words| self.begins_with(words))
    }

    fn brings_rows(&self) -> bool {
        let from = self.words.iter().position(|word| word == "from");
        self.begins_with(&["copy"]) && from.is_some_and(|at| self.words.get(at + 1).is_some_and(|word| word == "stdin"))
    }

    /// Whether backslashes escape in strings from here on.
    fn sets_escapes(&self) -> Option<bool> {
        let [set, name, sign, value] = &self.words[..] else { return None };
        let sets = set == "set" && name == "standard_conforming_strings" && (sign == "=" || sign == "to");
        // Any beginning will do, in quotes or without.
        let value = value.trim_matches('\'');
        let begins = |words: [&str; 4]| {
            value.len() > usize::from(value.starts_with('o')) && words.iter().any(|it| it.starts_with(value))
        };
        match (begins(["off", "false", "no", "0"]), begins(["on", "true", "yes", "1"]) || value == "default") {
            (false, false) => None,
            (escapes, _) => Some(escapes).filter(|_| sets),
        }
    }
}
