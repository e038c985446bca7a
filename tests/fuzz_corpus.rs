//! The fuzz targets, without a fuzzer: each parser gets the files of its saved corpus, and a fixed number of inputs made of them,
//! always the same.

#[path = "../fuzz/parsers.rs"]
mod parsers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parsers::{TARGETS, Target};

/// Changed inputs for each parser.
const CHANGED: u64 = 1500;

/// The saved corpus is part of every clone.
const CORPUS_MAX_BYTES: u64 = 320 << 10;

/// Longer inputs show nothing that shorter ones do not.
const INPUT_MAX_BYTES: usize = 16 << 10;

/// What means something to one parser or another.
const WORDS: [&[u8]; 28] = [
    b"'",
    b"\\",
    b"`",
    b"\"",
    b";",
    b"\n",
    b"/*!50003 ",
    b"*/",
    b"-- ",
    b"#",
    b"DELIMITER ;;\n",
    b"\n-- Table structure for table `a`\n",
    b"INSERT INTO `a` VALUES (1,'",
    b"),(",
    b"SET sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES';\n",
    b"$_$",
    b"SET NAMES sjis;\n",
    b"SET character_set_client = gb18030;\n",
    b"SET client_encoding = 'BIG5';\n",
    b"\xa5\x5c\x81\x30\x81",
    b"COPY public.a (b) FROM stdin;\n",
    b"\n\\.\n",
    b"\\connect shop\n",
    b"BEGIN ATOMIC\n",
    &[0; 8],
    &[0xff; 4],
    &[5, 0, 0, 0, 0],
    &[0x1f, 0x8b, 8, 0],
];

fn corpus_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// The saved inputs of one parser, by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = corpus_directory().join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let files = entries.map(|entry| entry.unwrap()).map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        start..start + self.below((length - start).min(200) + 1)
    }
}

/// One of the inputs, changed in a few places.
fn changed(inputs: &[&[u8]], number: u64) -> Vec<u8> {
    let mut numbers = Numbers(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    numbers.below(1);
    let mut input = inputs[numbers.below(inputs.len())].to_vec();
    for _ in 0..=numbers.below(5) {
        let at = numbers.below(input.len() + 1);
        match numbers.below(8) {
            0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'\'', b'\\', b'\n'][numbers.below(8)],
            2 => input.truncate(at),
            3 => drop(input.drain(numbers.range(input.len()))),
            4 => {
                let again = input[numbers.range(input.len())].to_vec();
                input.splice(at..at, again);
            }
            5 | 6 => {
                let word = WORDS[numbers.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            _ => {
                let other = inputs[numbers.below(inputs.len())];
                let taken = other[numbers.range(other.len())].to_vec();
                input.splice(at..at, taken);
            }
        }
    }
    input.truncate(INPUT_MAX_BYTES);
    input
}

/// Gives a parser one input; where it panics, keeps the input and tells where.
fn give((name, parser): Target, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| parser(input))).is_err() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{what}"));
        std::fs::write(&kept, input).unwrap();
        panic!("{name} panics on {what} ({} bytes), kept as {}", input.len(), kept.display());
    }
}

fn give_all(target: Target) {
    let saved = corpus(target.0);
    assert!(!saved.is_empty(), "{} has no corpus", target.0);
    give(target, "nothing", b"");
    saved.iter().for_each(|(name, input)| give(target, name, input));
    let inputs: Vec<&[u8]> = saved.values().map(|input| &input[..input.len().min(INPUT_MAX_BYTES)]).collect();
    (0..CHANGED).for_each(|number| give(target, &number.to_string(), &changed(&inputs, number)));
}

#[test]
fn no_parser_breaks_a_promise() {
    std::thread::scope(|scope| {
        let all = TARGETS.map(|target| scope.spawn(move || give_all(target)));
        let failed = all.into_iter().filter_map(|parser| parser.join().err()).count();
        assert_eq!(failed, 0, "parsers that broke a promise");
    });
}

/// The text of a target: nothing here compiles it, which takes a nightly toolchain, but all are alike, and what they call is compiled.
fn target_of(name: &str) -> String {
    format!(
        "#![no_main]\n\n#[allow(dead_code)]\n#[path = \"../parsers.rs\"]\nmod parsers;\n\n\
         libfuzzer_sys::fuzz_target!(|data: &[u8]| parsers::{name}(data));\n"
    )
}

#[test]
fn every_parser_has_a_target_and_a_small_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let [manifest, readme] = ["Cargo.toml", "README.md"].map(|file| std::fs::read_to_string(root.join(file)).unwrap());
    let names = |directory: &str| {
        let entries = std::fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names("corpus"), TARGETS.iter().map(|(name, _)| name.to_string()).collect());
    assert_eq!(names("fuzz_targets"), TARGETS.iter().map(|(name, _)| format!("{name}.rs")).collect());
    let mut bytes = 0;
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let target = std::fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert_eq!(target, target_of(name));
        assert!(readme.contains(&format!("`{name}`")), "fuzz/README.md does not tell of {name}");
        bytes += corpus(name).values().map(|input| input.len() as u64).sum::<u64>();
    }
    assert!(bytes <= CORPUS_MAX_BYTES, "{bytes} bytes");
}
