//! Pipelines of shells: the exit status of one is that of its last program, and tells nothing of those before it.

use std::ffi::OsString;
use std::path::Path;

/// Programs that run what stands behind `-c`.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// Whether this command may end well though what prints its output failed: a shell runs a pipeline, and nothing says
/// `pipefail` to it.
pub fn hides_failures(words: &[OsString]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let is_shell = Path::new(program).file_name().is_some_and(|name| SHELLS.iter().any(|shell| name == *shell));
    let arguments: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let is_told = arguments.iter().any(|word| word.contains("pipefail"));
    is_shell && !is_told && arguments.iter().any(|word| has_pipe(word))
}

/// `|` between programs; `||` is none, nor is one in quotes.
fn has_pipe(line: &str) -> bool {
    let (mut quote, mut characters) = (None, line.chars().peekable());
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if open == character => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                characters.next();
            }
            (None, '\'' | '"') => quote = Some(character),
            (None, '|') if characters.next_if_eq(&'|').is_none() => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pipelines_of_shells_hide_failures() {
        let hides = |words: &[&str]| hides_failures(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(hides(&["sh", "-c", "mysqldump --compact shop | gzip"]));
        assert!(hides(&["/bin/bash", "-ec", "a '||' |b"]));
        assert!(hides(&["sh", "-c", "a \"it's\" | b"]));
        for words in [
            &["mysqldump", "a|b"][..],
            &["sh", "-c", "a || b"],
            &["sh", "-c", "a 'x | y' \"z|\" \\| \\'"],
            &["bash", "-o", "pipefail", "-c", "a | b"],
            &["bash", "-c", "set -o pipefail; a | b"],
            &[],
        ] {
            assert!(!hides(words), "{words:?}");
        }
    }
}
