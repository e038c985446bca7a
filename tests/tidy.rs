//! The house rules that a compiler does not check. Every rule is a function of one file, tried below on small texts, so
//! that each is known to be able to fail; at the end they are asked about this very checkout.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors of the library, the lowest first: a file imports from its own floor and those below it. `edges` may import from all.
const FLOORS: [&[&str]; 7] = [
    &["error", "id", "codec", "time", "progress"],
    &["dump", "compressed"],
    &["store"],
    &["repository"],
    &["ingest", "view", "diff", "rows", "restore", "load", "rebuild", "check"],
    &["verify"],
    &["mount"],
];

/// The floor of the verbs, which never call each other.
const VERBS: usize = 4;

/// Which file or folder may name an outside crate. Every dependency has a line here.
const DOORS: [(&str, &[&str]); 34] = [
    ("blake3", &["src/id.rs"]),
    ("bzip2", &["src/compressed"]),
    ("clap", &["src/cli"]),
    ("clap_complete", &["src/cli/completions.rs"]),
    ("clap_mangen", &["src/cli/man.rs"]),
    (
        "crossbeam_channel",
        &[
            "src/store/data_lane.rs",
            "src/repository/content_stream.rs",
            "src/ingest",
            "src/restore",
            "src/mount",
            "src/cli/progress.rs",
        ],
    ),
    ("encoding_rs", &["src/dump/letters/sets.rs"]),
    ("fastcdc", &["src/store/chunker.rs"]),
    ("flate2", &["src/compressed/gzip.rs", "src/compressed/zlib.rs"]),
    ("fluent_uri", &["src/load/server.rs"]),
    ("fuser", &["src/mount"]),
    ("getrandom", &["src/id.rs"]),
    ("globset", &["src/cli/find.rs"]),
    ("ignore", &["src/ingest/exclude.rs"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("jiff", &["src/time.rs"]),
    ("liblzma", &["src/compressed"]),
    // System calls that rustix lacks.
    ("libc", &["src/store/backend/local", "src/mount", "src/ingest/input/terminal.rs"]),
    ("log", ANYWHERE),
    ("lz4_flex", &["src/store/compress.rs", "src/compressed/lz4.rs"]),
    ("memchr", &["src/compressed/recipe", "src/dump", "src/store/delta.rs"]),
    ("mongodb", &["src/load/mongo/server.rs"]),
    // Nothing names it: Cargo.toml says why it is there.
    ("tokio", &[]),
    ("zstd", &["src/store/compress.rs", "src/compressed/zstandard.rs"]),
    ("nix", &["src/repository/metadata/owners.rs"]),
    ("quick_cache", &["src/store/cache.rs"]),
    ("rocksdb", &["src/store/index/database.rs"]),
    // Safe system calls.
    ("rustix", ANYWHERE),
    ("serde", &["src/cli", "src/dump/mongo/export/fields.rs"]),
    (
        "serde_json",
        &[
            "src/cli",
            "src/dump/mongo/export/fields.rs",
            "src/dump/mongo/id_text.rs",
            "src/dump/mongo/metadata.rs",
            "src/dump/mysql/shell/manifest.rs",
            "src/load/inputs.rs",
            "src/load/mongo/server.rs",
            "src/ingest/dump/meta.rs",
            "src/ingest/mongo/meta.rs",
            "src/ingest/mysql/meta.rs",
            "src/ingest/postgres/meta.rs",
        ],
    ),
    ("sha1_smol", &["src/dump/mongo/name.rs"]),
    ("signal_hook", &["src/cli"]),
    ("thiserror", &["src/error.rs", "src/codec.rs"]),
    ("twox_hash", &["src/compressed"]),
];

const ANYWHERE: &[&str] = &["src"];

/// What only some places may do, and why.
const RESERVED: [(&str, &[&str], &str); 8] = [
    ("println!", &["src/cli"], "the library never prints"),
    ("eprintln!", &["src/cli"], "the library never prints"),
    ("print!", &["src/cli"], "the library never prints"),
    ("eprint!", &["src/cli"], "the library never prints"),
    ("dbg!", &[], "it is for debugging"),
    ("process::exit", &["src/cli"], "the library never ends the process"),
    ("SystemTime::now", &["src/cli", "src/mount"], "the library is told the time; only the kernel cannot tell it"),
    ("Instant::now", &["src/cli", "src/mount"], "the library is told the time; only the kernel cannot tell it"),
];

const FUNCTION_MAX_LINES: usize = 70;
const FILE_MAX_LINES: usize = 500;

/// Files that are longer, and why. Lines of tests do not count.
const LONG_FILES: [(&str, &str); 0] = [];

/// Words that say nothing about what they name; `blob` is a type in databases.
const EMPTY_NAMES: [&str; 9] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "stuff", "blob"];

/// One Rust file.
struct Source {
    path: String,
    /// Line by line, as it is.
    raw: Vec<String>,
    /// The same lines with comments and the contents of literals blanked.
    code: Vec<String>,
    /// The same without tests.
    code_without_tests: Vec<String>,
    /// Lines of tests.
    test_lines: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let lines = |text: &str| text.split('\n').map(str::to_string).collect::<Vec<_>>();
        let code = blank_comments_and_literals(text);
        let only_tests = path.starts_with("tests/") || path.ends_with("/tests.rs");
        let (without_tests, test_lines) = if only_tests { (blank(&code), 0) } else { blank_tests(&code) };
        let code_without_tests = lines(&without_tests);
        Source { path: path.into(), raw: lines(text), code: lines(&code), code_without_tests, test_lines }
    }

    fn complaint(&self, line: usize, what: impl AsRef<str>) -> String {
        format!("{}:{}: {}", self.path, line + 1, what.as_ref())
    }
}

/// Spaces for everything but line ends.
fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Rust without its comments and without what stands in its literals; every character keeps its place.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = code.chars().next_back();
        let length = length_of_blank(rest, before).unwrap_or(0);
        if length == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            code.push_str(&blank(&rest[..length]));
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment or literal that `rest` begins with, where it does.
fn length_of_blank(rest: &str, before: Option<char>) -> Option<usize> {
    let after_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |at| at + 2));
    }
    let prefix = if after_word {
        ""
    } else {
        ["br", "cr", "r", "b", "c"].into_iter().find(|it| rest.starts_with(it)).unwrap_or("")
    };
    let literal = &rest[prefix.len()..];
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if prefix.ends_with('r') && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let begin = prefix.len() + hashes + 1;
        return Some(rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len()));
    }
    if literal.starts_with('"') {
        return Some(prefix.len() + length_of_quoted(literal, '"'));
    }
    let character: Vec<char> = literal.chars().take(3).collect();
    match character[..] {
        ['\'', '\\', _] | ['\'', _, '\''] => Some(prefix.len() + length_of_quoted(literal, '\'')),
        _ => None,
    }
}

/// Bytes up to the closing quote of what begins with an opening one.
fn length_of_quoted(literal: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in literal.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    literal.len()
}

/// Blanks every item under `#[cfg(test)]`, and counts their lines.
fn blank_tests(code: &str) -> (String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let (mut result, mut lines) = (String::new(), 0);
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let item = &rest[at + MARK.len()..];
        let end = at + MARK.len() + end_of_item(item).unwrap_or(item.len());
        result.push_str(&rest[..at]);
        result.push_str(&blank(&rest[at..end]));
        lines += rest[at..end].lines().count();
        rest = &rest[end..];
    }
    (result + rest, lines)
}

/// Where the item ends that `code` begins with: at its closing brace, or at its semicolon.
fn end_of_item(code: &str) -> Option<usize> {
    let (mut braces, mut others) = (0usize, 0usize);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            ';' if braces == 0 && others == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `line`, not as part of a longer one.
fn places<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let begins_as_word = word.starts_with(is_word);
    let ends_as_word = word.ends_with(is_word);
    line.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let goes_on = begins_as_word && before.is_some_and(is_word) || ends_as_word && after.is_some_and(is_word);
        !goes_on
    })
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
    })
}

/// The module of the library that a path belongs to; `None` for the binary and the map.
fn module_of(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let module = below.split('/').next()?.trim_end_matches(".rs");
    (!["main", "lib", "cli"].contains(&module)).then_some(module)
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Imports point down; verbs never call verbs; the command line belongs to the binary.
fn floors(source: &Source) -> Vec<String> {
    let Some(module) = module_of(&source.path) else { return Vec::new() };
    let Some(floor) = floor_of(module) else {
        return vec![source.complaint(0, format!("module \"{module}\" has no floor; give it one in tests/tidy.rs"))];
    };
    let mut complaints = Vec::new();
    for (number, line) in source.code_without_tests.iter().enumerate() {
        for at in places(line, "crate::") {
            let imported: String = line[at + "crate::".len()..].chars().take_while(|&c| is_word(c)).collect();
            // Names that src/lib.rs re-exports come from the ground.
            let is_reexported = imported.starts_with(char::is_uppercase) || imported.is_empty();
            let allowed = is_reexported
                || floor_of(&imported)
                    .is_some_and(|there| there < floor || imported == module || (there == floor && floor != VERBS));
            if !allowed {
                complaints.push(source.complaint(number, format!("\"{module}\" must not import from \"{imported}\"")));
            }
        }
        if source.path.matches('/').count() == 1 && line.contains("super::") {
            complaints.push(source.complaint(number, "write `crate::`, so that the floor can be seen"));
        }
        for _ in places(line, "yesterfs::") {
            complaints.push(source.complaint(number, "the library calls itself `crate`"));
        }
    }
    complaints
}

/// Every outside crate has one door.
fn doors(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.code_without_tests.iter().enumerate() {
        for (name, allowed) in DOORS {
            let is_named = places(line, name).any(|at| {
                let (before, after) = (&line[..at], &line[at + name.len()..]);
                let is_path = after.starts_with("::") && !before.ends_with("::") && !before.ends_with('.');
                is_path || (before.trim_start().starts_with("use ") && before.trim() == "use")
            });
            if is_named && !is_below(&source.path, allowed) {
                complaints.push(source.complaint(number, format!("crate {name} may only be named in {allowed:?}")));
            }
        }
    }
    complaints
}

/// Every dependency in `Cargo.toml` has a door.
fn dependencies_have_doors(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim().replace('-', "_"));
    let without = names.filter(|name| !DOORS.iter().any(|(door, _)| door == name));
    without.map(|name| format!("Cargo.toml: crate {name} has no door; give it one in tests/tidy.rs")).collect()
}

fn reserved(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.code_without_tests.iter().enumerate() {
        for (call, allowed, why) in RESERVED {
            if places(line, call).next().is_some() && !is_below(&source.path, allowed) {
                complaints.push(source.complaint(number, format!("{call}: {why}")));
            }
        }
    }
    complaints
}

/// A comment in this line, or one that ends above it.
fn has_comment(source: &Source, line: usize, text: &str) -> bool {
    let above = source.raw[..line].iter().rev().map(|above| above.trim()).take_while(|above| above.starts_with("//"));
    let beside = source.raw[line].split_once("//").map(|(_, comment)| comment);
    above.chain(beside).any(|comment| comment.contains(text))
}

/// What may panic says why it does not.
fn unwraps(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.code_without_tests.iter().enumerate() {
        for call in [".unwrap()", ".expect(", "panic!", "unreachable!"] {
            if places(line, call).next().is_some() && !has_comment(source, number, "") {
                complaints
                    .push(source.complaint(number, format!("{call} without a comment that says why it cannot happen")));
            }
        }
    }
    complaints
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let lines = source.code.iter().enumerate();
    let unsafe_lines = lines.filter(|(_, line)| places(line, "unsafe").next().is_some());
    // A statement that is broken over two lines has its comment above the first.
    let is_explained =
        |line: usize| [line, line.saturating_sub(1)].iter().any(|it| has_comment(source, *it, "SAFETY: "));
    let unexplained = unsafe_lines.filter(|(number, _)| !is_explained(*number));
    unexplained.map(|(number, _)| source.complaint(number, "`unsafe` without a SAFETY comment")).collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.code.iter().enumerate() {
        let Some(at) = places(line, "fn").find(|&at| line[at + 2..].trim_start().starts_with(is_word)) else {
            continue;
        };
        let rest = [&line[at..]].into_iter().chain(source.code[number + 1..].iter().map(String::as_str));
        let item = rest.collect::<Vec<_>>().join("\n");
        let lines = item[..end_of_item(&item).unwrap_or(item.len())].lines().count();
        if lines > FUNCTION_MAX_LINES {
            complaints
                .push(source.complaint(number, format!("a function of {lines} lines; at most {FUNCTION_MAX_LINES}")));
        }
    }
    complaints
}

/// `long` are the files that may be longer: no more and no fewer.
fn long_files(source: &Source, long: &[(&str, &str)]) -> Vec<String> {
    let lines = source.raw.len() - source.test_lines;
    let is_listed = long.iter().any(|(path, _)| *path == source.path);
    match lines > FILE_MAX_LINES {
        true if !is_listed => vec![source.complaint(0, format!("{lines} lines; split it, or list it with a reason"))],
        false if is_listed => vec![source.complaint(0, "it is short enough now: take it off the list")],
        _ => Vec::new(),
    }
}

/// The words of a name in camel or snake case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| is_word(c) && c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words
}

fn is_empty_name(name: &str) -> bool {
    words(name).iter().any(|word| EMPTY_NAMES.contains(&word.as_str()))
}

/// Files, modules and types are named after what they are.
fn empty_names(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    if source.path.trim_end_matches(".rs").split('/').any(is_empty_name) {
        complaints.push(source.complaint(0, "a file name that says nothing"));
    }
    for (number, line) in source.code.iter().enumerate() {
        for keyword in ["struct", "enum", "trait", "type", "mod"] {
            for at in places(line, keyword) {
                let rest = line[at + keyword.len()..].trim_start();
                let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
                if is_empty_name(&name) {
                    complaints.push(source.complaint(number, format!("\"{name}\" says nothing")));
                }
            }
        }
    }
    complaints
}

/// Words of unfinished work, and paths of the machine that somebody works on, in any file.
fn unfinished(path: &str, text: &str) -> Vec<String> {
    // Put together here, or this file would have them.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!"),
        concat!("unimplemented", "!"),
    ];
    let machine = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Use", "rs/")];
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in words.iter().filter(|word| places(line, word).next().is_some()) {
            complaints.push(format!("{path}:{}: {word}: finish it, or leave it out", number + 1));
        }
        for place in machine.iter().filter(|place| line.contains(*place)) {
            complaints.push(format!("{path}:{}: {place} exists on one machine only", number + 1));
        }
    }
    complaints
}

/// Sections of `docs/format.md` that a comment cites, in a sentence that names the document.
fn cited_sections(source: &Source, document: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in source.raw.iter().enumerate() {
        let Some((_, citation)) = line.split_once("docs/format.md` section") else { continue };
        let sentence = citation.split('.').next().unwrap_or_default();
        let cited = sentence.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        for section in cited.filter(|section| !document.contains(&format!("\n## {section}. "))) {
            complaints.push(source.complaint(number, format!("docs/format.md has no section {section}")));
        }
    }
    complaints
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What cargo makes, and bytes for which the tests of parsers answer.
const MADE: [&str; 9] = [
    ".git",
    "target",
    "Cargo.lock",
    "fuzz/target",
    "fuzz/Cargo.lock",
    "fuzz/corpus",
    "fuzz/found",
    "fuzz/artifacts",
    "fuzz/coverage",
];

/// Every file of the checkout that people write: path below it, and text.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![checkout().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(checkout()).unwrap().to_str().unwrap().to_string();
            // Of what tests made every byte is checked elsewhere.
            let is_made = MADE.contains(&name.as_str()) || name.starts_with("tests/fixtures/");
            match path.is_dir() {
                _ if is_made => {}
                true => folders.push(path),
                false => found
                    .push((name.clone(), fs::read_to_string(&path).unwrap_or_else(|_| panic!("{name} is no text")))),
            }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let sources: Vec<Source> = rust.map(|(path, text)| Source::new(&path, &text)).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Asks `rule` about every file below `src`.
#[track_caller]
fn assert_kept(rule: impl Fn(&Source) -> Vec<String>) {
    let library = sources().into_iter().filter(|source| source.path.starts_with("src/"));
    assert_no_complaints(library.flat_map(|source| rule(&source)).collect());
}

#[track_caller]
fn assert_no_complaints(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_point_down() {
    assert_kept(floors);
}

#[test]
fn outside_crates_have_one_door() {
    assert_kept(doors);
    assert_no_complaints(dependencies_have_doors(&fs::read_to_string(checkout().join("Cargo.toml")).unwrap()));
}

#[test]
fn the_library_does_not_print_exit_or_read_clocks() {
    assert_kept(reserved);
}

#[test]
fn what_may_panic_says_why_it_does_not() {
    assert_kept(unwraps);
}

#[test]
fn unsafe_code_says_why_it_is_safe() {
    assert_no_complaints(sources().iter().flat_map(unsafe_code).collect());
}

#[test]
fn functions_fit_on_a_screen() {
    assert_no_complaints(sources().iter().flat_map(long_functions).collect());
}

#[test]
fn files_can_be_read_at_one_sitting() {
    assert_kept(|source| long_files(source, &LONG_FILES));
    for (path, _) in LONG_FILES {
        assert!(checkout().join(path).exists(), "{path} is listed, but there is no such file");
    }
}

#[test]
fn names_say_something() {
    assert_no_complaints(sources().iter().flat_map(empty_names).collect());
}

#[test]
fn nothing_is_unfinished_or_tied_to_one_machine() {
    assert_no_complaints(files().iter().flat_map(|(path, text)| unfinished(path, text)).collect());
}

#[test]
fn cited_sections_of_the_format_exist() {
    let document = fs::read_to_string(checkout().join("docs/format.md")).unwrap();
    assert_kept(|source| cited_sections(source, &document));
}

/// The exit codes and what they mean, as the program's help lists them.
fn exit_codes(source: &str) -> Vec<(String, String)> {
    let table = source.split("Exit status:\n").nth(1).unwrap_or_default().split('"').next().unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.trim().split_once("  "));
    rows.map(|(code, meaning)| (code.to_string(), meaning.to_string())).collect()
}

#[test]
fn the_documents_list_the_exit_codes_that_the_program_lists() {
    let codes = exit_codes(&fs::read_to_string(checkout().join("src/cli/exit.rs")).unwrap());
    assert!(codes.len() > 5, "{codes:?}");
    for name in ["README.md", "docs/semantics.md"] {
        let document = fs::read_to_string(checkout().join(name)).unwrap().replace('`', "");
        for (code, meaning) in &codes {
            assert!(document.contains(&format!("| {code} | {meaning} |")), "{name} does not say {code}: {meaning}");
        }
    }
}

#[test]
fn the_readme_names_every_command() {
    let source = fs::read_to_string(checkout().join("src/cli.rs")).unwrap();
    let list = source.split("\ncommands! {").nth(1).unwrap().split('}').next().unwrap();
    let commands: Vec<&str> =
        list.lines().filter_map(|line| line.trim().split_once(" => ")).map(|pair| pair.1).collect();
    assert!(commands.len() > 10, "{commands:?}");
    let readme = fs::read_to_string(checkout().join("README.md")).unwrap();
    for command in commands.iter().map(|command| command.trim_end_matches(',')) {
        let is_named = [' ', '`'].iter().any(|end| readme.contains(&format!("`{command}{end}")));
        assert!(is_named, "README.md does not list `{command}`");
    }
}

#[test]
fn every_module_of_the_library_is_known() {
    let map = fs::read_to_string(checkout().join("src/lib.rs")).unwrap();
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let unknown: Vec<&str> = modules.filter(|module| floor_of(module).is_none()).collect();
    assert!(unknown.is_empty(), "{unknown:?} have no floor; give them one in tests/tidy.rs");
}

#[test]
fn every_file_of_the_library_is_reached() {
    let paths: Vec<PathBuf> = sources().iter().map(|source| PathBuf::from(&source.path)).collect();
    for source in sources().iter().filter(|source| module_of(&source.path).is_some()) {
        let name = Path::new(&source.path).file_stem().unwrap().to_str().unwrap().to_string();
        let folder = Path::new(&source.path).parent().unwrap();
        let parent = if folder == Path::new("src") { PathBuf::from("src/lib.rs") } else { folder.with_extension("rs") };
        assert!(paths.contains(&parent), "{} has no parent module", source.path);
        let text = fs::read_to_string(checkout().join(&parent)).unwrap();
        let declared = text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")));
        assert!(declared, "{} is not declared in {}", source.path, parent.display());
    }
}

/// The rules themselves, on small texts.
mod rules {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path, text)
    }

    #[track_caller]
    fn complains(complaints: Vec<String>, expected: &[&str]) {
        assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.contains(expected), "{complaint}");
        }
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a // b.unwrap()\n/* c\n d */ e \"f\\\"g\" 'h' '\\'' b'i' r#\"j\"k\"# 'life fn br\"l\" m";
        let code = blank_comments_and_literals(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "e", "'life", "fn", "m"]);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.matches('\n').count(), 2);
    }

    #[test]
    fn tests_are_no_code_of_the_library() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { { } }\n}\nfn c() {}\n#[cfg(test)]\nmod tests;\nfn d() {}";
        let (code, lines) = blank_tests(text);
        assert_eq!(
            code.split_whitespace().filter(|word| word.contains("()")).collect::<Vec<_>>(),
            ["a()", "c()", "d()"]
        );
        assert_eq!(lines, 6);
    }

    #[test]
    fn an_import_upward_is_found() {
        complains(
            floors(&source("src/store/pack.rs", "use crate::codec;\nuse crate::repository::tree;")),
            &[":2: \"store\""],
        );
        complains(floors(&source("src/error.rs", "fn f(_: crate::store::ChunkStore) {}")), &["\"error\" must not"]);
        complains(floors(&source("src/ingest/file.rs", "use crate::diff::Diff;")), &["\"ingest\" must not"]);
        complains(floors(&source("src/view.rs", "use crate::mount::Mount;")), &["\"view\" must not"]);
        complains(floors(&source("src/mount/fuse.rs", "use crate::cli::Options;")), &["\"mount\" must not"]);
        complains(floors(&source("src/pool.rs", "")), &["has no floor"]);
        complains(floors(&source("src/diff.rs", "use super::view;")), &["write `crate::`"]);
        complains(floors(&source("src/diff.rs", "use yesterfs::Error;")), &["calls itself"]);
        let fine = "use crate::Error;\nuse crate::diff::walk;\nuse crate::store::ChunkStore;\n#[cfg(test)]\nmod tests { use crate::ingest::x; }";
        complains(floors(&source("src/diff/walk.rs", fine)), &[]);
        complains(floors(&source("src/cli/diff.rs", "use crate::cli;\nuse yesterfs::Error;")), &[]);
    }

    #[test]
    fn a_crate_outside_its_door_is_found() {
        complains(doors(&source("src/store.rs", "use blake3::Hasher;")), &["crate blake3"]);
        complains(doors(&source("src/store.rs", "let x = rocksdb::DB::open();")), &["crate rocksdb"]);
        complains(doors(&source("src/store.rs", "use jiff;")), &["crate jiff"]);
        complains(doors(&source("src/identity.rs", "use blake3::Hasher;")), &["crate blake3"]);
        complains(doors(&source("src/id.rs", "use blake3::Hasher;")), &[]);
        complains(doors(&source("src/cli/diff.rs", "use clap::Args;")), &[]);
        complains(
            doors(&source("src/store.rs", "// blake3::hash\n#[ignore]\nlet a = crate::log::x + my_clap::y;")),
            &[],
        );
        complains(
            dependencies_have_doors("[package]\n\n[dependencies]\nnew-crate = \"1\"\nblake3 = \"1\"\n\n[dev]\nx = 1"),
            &["new_crate"],
        );
    }

    #[test]
    fn printing_exiting_and_clocks_are_found() {
        complains(
            reserved(&source("src/store.rs", "println!(\"x\"); std::process::exit(1);")),
            &["println!", "process::exit"],
        );
        complains(reserved(&source("src/restore.rs", "let now = SystemTime::now();")), &["SystemTime::now"]);
        complains(reserved(&source("src/mount.rs", "Instant::now(); eprintln!()")), &["eprintln!"]);
        complains(reserved(&source("src/cli/ls.rs", "println!(); Instant::now(); dbg!(1)")), &["dbg!"]);
    }

    #[test]
    fn an_unexplained_panic_is_found() {
        let text = "a.unwrap();\n// Never empty.\nb.expect(\"x\");\nc.unwrap() // never empty\n;d.unwrap_or(1);\n\nunreachable!()";
        complains(unwraps(&source("src/a.rs", text)), &[":1: .unwrap()", ":7: unreachable!"]);
        complains(unwraps(&source("src/a/tests.rs", "a.unwrap()")), &[]);
    }

    #[test]
    fn unexplained_unsafe_code_is_found() {
        complains(unsafe_code(&source("src/a.rs", "unsafe { x }")), &["SAFETY"]);
        complains(unsafe_code(&source("src/a.rs", "// SAFETY: it is so.\nlet a =\n    unsafe { x };")), &[]);
        complains(unsafe_code(&source("src/a.rs", "// SAFETY: it is so.\na();\nb();\nunsafe { x };")), &["SAFETY"]);
        complains(unsafe_code(&source("src/a.rs", "// SAFETY: it is\n// so.\nunsafe { x }\nlet not_unsafe = 1;")), &[]);
    }

    #[test]
    fn long_functions_and_files_are_found() {
        let body = |lines: usize| format!("fn a(\n x: [u8; 3],\n) {{\n{}}}\nfn b() {{}}\n", "x();\n".repeat(lines));
        complains(long_functions(&source("src/a.rs", &body(FUNCTION_MAX_LINES - 4))), &[]);
        complains(long_functions(&source("src/a.rs", &body(FUNCTION_MAX_LINES - 3))), &["of 71 lines"]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "x();\n".repeat(FILE_MAX_LINES));
        complains(long_files(&source("src/a.rs", &format!("x\n{tests}")), &[]), &[]);
        let long = source("src/a.rs", &"x\n".repeat(FILE_MAX_LINES + 1));
        complains(long_files(&long, &[]), &["502 lines"]);
        complains(long_files(&long, &[("src/a.rs", "it must be")]), &[]);
        complains(long_files(&source("src/a.rs", "x"), &[("src/a.rs", "it must be")]), &["take it off"]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        complains(
            empty_names(&source("src/pack_utils.rs", "struct PackManager;\nmod helpers {}")),
            &["file name", "PackManager", "helpers"],
        );
        complains(empty_names(&source("src/commons.rs", "struct Managed { common: u8 }")), &[]);
    }

    #[test]
    fn unfinished_work_is_found() {
        complains(unfinished("a.md", concat!("x\n// TO", "DO: y")), &["a.md:2"]);
        complains(unfinished("a.sh", concat!("cd /wo", "rk/main")), &["one machine"]);
        complains(unfinished("a.rs", "let todos = framework;"), &[]);
    }

    #[test]
    fn exit_codes_are_read_from_the_help() {
        let text = "x = \"\\\nExit status:\n    0  done; all\n  130  interrupted\";\n 7  no";
        let expected = [("0".to_string(), "done; all".to_string()), ("130".to_string(), "interrupted".to_string())];
        assert_eq!(exit_codes(text), expected);
    }

    #[test]
    fn a_citation_of_no_section_is_found() {
        let text =
            "//! See `docs/format.md` sections 1 and 99. There are 5.\n/// (`docs/format.md` section 2): three 3";
        complains(
            cited_sections(&source("src/a.rs", text), "\n## 1. Codec\n\n## 2. Layout\n\n## 3. X\n"),
            &["section 99"],
        );
    }
}
