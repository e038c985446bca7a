use std::io::Write;

use proptest::prelude::*;

use super::StreamForm::{Plain, Zlib};
use super::lines::pieces_of;
use super::*;
use crate::codec::Encoder;
use crate::compressed::{UnwrapLimit, Unwrapper, Wrapping};

/// The recipe of a file that comes in pieces of this length, and how much of it stands there as it is.
fn recipe_of(file: &[u8], piece: usize) -> (Vec<u8>, u64) {
    let mut recipe = Vec::new();
    let mut maker = RecipeMaker::new(b"dump.sql", 7, &mut recipe);
    file.chunks(piece.max(1)).for_each(|bytes| maker.push(bytes, &|| false, &mut recipe));
    let missed = maker.finish(&|| false, &mut recipe);
    (recipe, missed)
}

pub fn rebuilt(recipe: &[u8], text: &[u8]) -> crate::error::Result<Vec<u8>> {
    let pieces = |bytes: &[u8]| {
        let mut rest: Vec<Vec<u8>> = bytes.chunks(10_000).rev().map(<[u8]>::to_vec).collect();
        move |out: &mut Vec<u8>| {
            let next = rest.pop();
            Ok(next.map(|next| out.extend(next)).is_some())
        }
    };
    let (mut recipe, mut text) = (pieces(recipe), pieces(text));
    let reader = RecipeReader::open("a.recipe".into(), &mut recipe)?;
    let mut made = Vec::new();
    reader.rebuild(&mut text, &mut |bytes| {
        made.extend_from_slice(bytes);
        Ok(())
    })?;
    Ok(made)
}

/// What comes out of a file, up to where it breaks.
fn text_of(file: &[u8]) -> Vec<u8> {
    let mut unwrapper = Unwrapper::new(Wrapping::Gzip, UnwrapLimit::NoBomb);
    let mut text = vec![0; 8 << 20];
    let mut length = 0;
    let mut rest = file;
    while let Ok(step) = unwrapper.step(rest, &mut text[length..][..4096]) {
        (length, rest) = (length + step.given, &rest[step.taken..]);
        if rest.is_empty() && step.given == 0 {
            break;
        }
    }
    text.truncate(length);
    text
}

/// Text like a dump's, always the same.
pub fn rows(count: u32) -> Vec<u8> {
    let noise = |row: u32| u64::from(row / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let row = |row| format!("({row},'{:x}','order {}',NULL),\n", noise(row), noise(row) % 97);
    (0..count).map(row).collect::<String>().into_bytes()
}

fn gzipped(text: &[u8], level: u32) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// Of `rows(3000)`: what gzip 1.12 made of it with -6 and -9, one after the other, and its recipe.
const ORIGINAL: &[u8] = include_bytes!("../../../tests/fixtures/original.gz");
const RECIPE: &[u8] = include_bytes!("../../../tests/fixtures/original.gz.recipe");

#[test]
fn recipes_that_were_made_once_are_followed_for_ever() {
    let text = rows(3000);
    assert!(rebuilt(RECIPE, &[&text[..], &text].concat()).unwrap() == ORIGINAL);
    // And are still made so.
    let (recipe, missed) = recipe_of(ORIGINAL, 1000);
    assert_eq!(missed, 0);
    assert!(recipe == RECIPE);
    assert!(recipe.len() < ORIGINAL.len() / 20, "{} of {} bytes", recipe.len(), ORIGINAL.len());
}

#[test]
fn a_recipe_tells_where_the_text_is() {
    let mut bytes = RECIPE.to_vec();
    let mut source = |out: &mut Vec<u8>| {
        out.append(&mut bytes);
        Ok(!out.is_empty())
    };
    let reader = RecipeReader::open("a.recipe".into(), &mut source).unwrap();
    assert_eq!((&reader.path[..], reader.start), (&b"dump.sql"[..], 7));
}

#[test]
fn whatever_comes_is_made_again() {
    let text = rows(20_000);
    let one = gzipped(&text, 6);
    let several = [gzipped(&text[..9], 9), gzipped(b"", 1), gzipped(&text, 1), gzipped(&text[5000..], 0)].concat();
    let mut stored_in_between = gzipped(&noise(200_000), 6);
    stored_in_between.extend(gzipped(&text, 4));
    for file in [one, several, stored_in_between, b"\x1f\x8b\x08\x00".to_vec(), b"no gzip at all".to_vec(), Vec::new()]
    {
        for length in [file.len(), file.len() / 2, file.len().saturating_sub(3)] {
            let file = &file[..length];
            for piece in [100, 1 << 20] {
                let (recipe, _) = recipe_of(file, piece);
                assert!(rebuilt(&recipe, &text_of(file)).unwrap() == file, "{length} bytes");
            }
        }
    }
}

/// Bytes that do not shrink.
pub fn noise(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|at| (at.wrapping_mul(at ^ 0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as u8)
        .collect()
}

#[test]
fn recipes_that_do_not_fit_are_refused() {
    let text = [rows(3000), rows(3000)].concat();
    let refusal = |recipe: &[u8], text: &[u8]| rebuilt(recipe, text).err().map(|error| error.to_string());
    assert!(refusal(RECIPE, &text[..text.len() - 1]).unwrap().contains("ends early"));
    let mut other = text.clone();
    other[77] ^= 1;
    assert!(refusal(RECIPE, &other).is_some());
    for length in 0..RECIPE.len() {
        assert!(refusal(&RECIPE[..length], &text).is_some(), "cut at {length}");
    }
    let mut newer = RECIPE.to_vec();
    newer[8] = 4;
    assert!(refusal(&newer, &text).unwrap().contains("needs a newer yesterfs"));
    // Records of archives in the recipe of a file of gzip, and where they cannot be.
    let of = |version: u8, records: &[&[u8]]| {
        let mut recipe = Encoder::new();
        recipe.raw(&MAGIC).u8(version).bytes(b"a").varint(0);
        records.iter().for_each(|record| {
            recipe.bytes(record);
        });
        refusal(&recipe.bytes, &text).unwrap()
    };
    assert!(of(VERSION, &[&[kind::LINES, 4, 1]]).contains("another version"));
    assert!(of(ARCHIVE_VERSION, &[&[kind::CUT, 4, 9], &[kind::CUT, 4, 9]]).contains("where that cannot be"));
    assert!(of(ARCHIVE_VERSION, &[&[kind::CUT_END, 0]]).contains("nothing is cut"));
    assert!(of(ARCHIVE_VERSION, &[&[kind::LINES, 0, 1]]).contains("no such length"));
    assert!(of(ARCHIVE_VERSION, &[&[kind::CUT, 4, 0]]).contains("no such length"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_file_and_no_recipe_makes_it_fail_otherwise(garbage in proptest::collection::vec(any::<u8>(), 0..40), at in 0..3000usize, of_recipe: bool) {
        let splice = |bytes: &[u8]| {
            let at = at.min(bytes.len());
            [&bytes[..at], &garbage[..], &bytes[(at + garbage.len()).min(bytes.len())..]].concat()
        };
        let text = [rows(3000), rows(3000)].concat();
        if of_recipe {
            let made = rebuilt(&splice(RECIPE), &text).ok();
            prop_assert!(made.is_none_or(|made| made == ORIGINAL));
        } else {
            let file = splice(ORIGINAL);
            let (recipe, _) = recipe_of(&file, 500);
            // Of damaged files nothing is kept.
            let made = rebuilt(&recipe, &text_of(&file)).ok();
            prop_assert!(made.is_none_or(|made| made == file));
        }
    }
}

fn deflated(text: &[u8], level: u32) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// Pieces of so many bytes with their lengths in front, and an empty one.
fn in_pieces(stream: &[u8], piece: usize) -> Vec<u8> {
    let length = |length: usize| [&[0][..], &(length as u32).to_le_bytes()].concat();
    let pieces = stream.chunks(piece).flat_map(|piece| [length(piece.len()), piece.to_vec()]);
    pieces.chain([length(0)]).collect::<Vec<_>>().concat()
}

/// What an archive has: bytes as they are, and streams, with where their text begins.
enum Told {
    AsItIs(Vec<u8>),
    Stream(StreamForm, u64, Vec<u8>),
}

/// The recipe of an archive whose bytes come in pieces of this length, the archive, and how much of it stands there as it is.
fn recipe_of_archive(told: &[Told], step: usize, end: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let (mut recipe, mut archive) = (Vec::new(), Vec::new());
    let mut maker = RecipeMaker::of_archive(b"dump.sql", 7, &mut recipe);
    for told in told {
        let bytes = match told {
            Told::AsItIs(bytes) => bytes,
            Told::Stream(form, at, bytes) => {
                maker.begin_stream(*form, 4, *at);
                bytes
            }
        };
        let bytes = &bytes[..bytes.len().min(end - archive.len())];
        archive.extend_from_slice(bytes);
        bytes.chunks(step.max(1)).for_each(|bytes| maker.push(bytes, &|| false, &mut recipe));
    }
    let missed = maker.finish(&|| false, &mut recipe);
    (recipe, archive, missed)
}

/// The members of [`ORIGINAL`] as streams of zlib, whose checksums nobody looks at.
fn streams_of_original() -> [Vec<u8>; 2] {
    const HEADER: [u8; 3] = [0x1f, 0x8b, 8];
    let second = 3 + ORIGINAL[3..].windows(3).position(|three| three == HEADER).unwrap();
    [&ORIGINAL[..second], &ORIGINAL[second..]].map(|member| {
        let header = crate::compressed::gzip::header_length(member).unwrap().unwrap();
        [&[0x78, 0x9c][..], &member[header..member.len() - 8], b"ADLR"].concat()
    })
}

#[test]
fn an_archive_is_made_again_of_the_text_of_its_streams() {
    let (first, second, small) = (rows(3000), rows(3000), rows(2));
    let [of_first, of_second] = streams_of_original();
    let text = [b"COPY\n", &first[..], b"\\.\nCOPY\n", &small, &second, b"end"].concat();
    let lines_at = 7 + text.len() as u64;
    let lines = rows(1000);
    let text = [text, lines.clone()].concat();
    let small_at = 7 + 5 + first.len() as u64 + 8;
    let told = [
        Told::AsItIs(b"table of contents".to_vec()),
        Told::Stream(Zlib, 7 + 5, in_pieces(&of_first, 4096)),
        Told::AsItIs(b"\x01\0\x02\0\0\0".to_vec()),
        Told::Stream(Zlib, small_at, in_pieces(&deflated(&small, 6), 4096)),
        Told::Stream(Zlib, small_at + small.len() as u64, in_pieces(&of_second, 1000)),
        Told::AsItIs(b"behind".to_vec()),
        Told::Stream(Plain, lines_at, [pieces_of(&lines, 4), vec![0; 5]].concat()),
        Told::AsItIs(b"the end".to_vec()),
    ];
    let (recipe, archive, missed) = recipe_of_archive(&told, 10_000, usize::MAX);
    assert!(rebuilt(&recipe, &text).unwrap() == archive);
    assert!(recipe.len() < archive.len() / 15, "{} of {} bytes", recipe.len(), archive.len());
    assert!(missed < 256, "{missed} bytes");
    // Cut off anywhere, it comes back so.
    for end in (0..archive.len()).step_by(997).chain(archive.len() - 40..archive.len()) {
        let (recipe, cut, _) = recipe_of_archive(&told, 3000, end);
        assert!(rebuilt(&recipe, &text).unwrap() == cut && cut.len() == end, "cut at {end} of {}", archive.len());
    }
}

#[test]
fn a_stream_of_which_the_text_ends_early_stands_as_it_is_from_there_on() {
    let text = rows(60_000);
    let bytes = in_pieces(&deflated(&text, 6), 4096);
    for there in [0, 5000, 1 << 20, text.len() - 1, text.len()] {
        let mut recipe = Vec::new();
        let mut maker = RecipeMaker::of_archive(b"dump.sql", 0, &mut recipe);
        maker.begin_stream(Zlib, 4, 0);
        maker.text_reaches(there as u64);
        bytes.chunks(50_000).for_each(|bytes| maker.push(bytes, &|| false, &mut recipe));
        let missed = maker.finish(&|| false, &mut recipe);
        assert!(rebuilt(&recipe, &text[..there]).unwrap() == bytes, "{there} bytes of text");
        assert_eq!(missed < 10, there == text.len(), "{missed}");
    }
}

#[test]
fn what_is_no_stream_of_an_archive_stands_as_it_is() {
    let text = rows(4000);
    let stream = deflated(&text, 6);
    let [mut damaged, mut no_zlib, mut uneven] = [0; 3].map(|_| in_pieces(&stream, 4096));
    damaged[4096 + 1000] ^= 1;
    no_zlib[6] ^= 1;
    // The second piece claims to be longer than the first.
    uneven[5 + 4096 + 2] += 1;
    for bytes in [damaged, no_zlib, uneven, vec![0; 5], vec![0xff; 3000], in_pieces(&stream, 1)] {
        let told = [
            Told::Stream(Zlib, 7, bytes.clone()),
            Told::AsItIs(b"behind".to_vec()),
            Told::Stream(Zlib, 0, in_pieces(&stream, 50)),
            Told::Stream(Plain, 7 + text.len() as u64, bytes),
        ];
        let (recipe, archive, _) = recipe_of_archive(&told, 700, usize::MAX);
        assert!(rebuilt(&recipe, &text).unwrap() == archive);
    }
}
