use std::io::Write;

use proptest::prelude::*;
use zstd::zstd_safe::CParameter;

use crate::codec::Encoder;
use crate::compressed::recipe::tests::{noise, rebuilt, rows};
use crate::compressed::recipe::*;
use crate::compressed::{UnwrapLimit, Unwrapper, Wrapping};

/// The recipe of a file that comes in pieces of this length, and how much of it stands there as it is.
fn recipe_of(file: &[u8], piece: usize) -> (Vec<u8>, u64) {
    let mut recipe = Vec::new();
    let mut maker = RecipeMaker::of_zstd(b"dump.sql", 7, &mut recipe);
    file.chunks(piece.max(1)).for_each(|bytes| maker.push(bytes, &|| false, &mut recipe));
    let missed = maker.finish(&|| false, &mut recipe);
    (recipe, missed)
}

/// What comes out of a file, up to where it breaks.
fn text_of(file: &[u8]) -> Vec<u8> {
    let mut unwrapper = Unwrapper::new(Wrapping::Zstd, UnwrapLimit::NoBomb);
    let (mut text, mut room, mut rest) = (Vec::new(), vec![0; 100_000], file);
    while let Ok(step) = unwrapper.step(rest, &mut room) {
        text.extend_from_slice(&room[..step.given]);
        rest = &rest[step.taken..];
        if rest.is_empty() && step.given == 0 {
            break;
        }
    }
    text
}

fn compressed(text: &[u8], level: i32, is_told: bool, parameters: &[CParameter]) -> Vec<u8> {
    let mut writer = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
    parameters.iter().for_each(|parameter| writer.set_parameter(*parameter).unwrap());
    if is_told {
        writer.set_pledged_src_size(Some(text.len() as u64)).unwrap();
    }
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

/// Of `rows(8000)`: what `zstd` 1.5.4 made of it by default, and with `-6 --no-check`, one after the other, and its recipe.
const ORIGINAL: &[u8] = include_bytes!("../../../../tests/fixtures/original.zst");
const RECIPE: &[u8] = include_bytes!("../../../../tests/fixtures/original.zst.recipe");

#[test]
fn recipes_that_were_made_once_are_followed_for_ever() {
    let text = rows(8000);
    assert!(rebuilt(RECIPE, &[&text[..], &text].concat()).unwrap() == ORIGINAL);
    // And are still made so.
    let (recipe, missed) = recipe_of(ORIGINAL, 1000);
    assert_eq!(missed, 0);
    assert!(recipe == RECIPE);
    assert!(recipe.len() < ORIGINAL.len() / 20, "{} of {} bytes", recipe.len(), ORIGINAL.len());
}

#[test]
fn what_libzstd_writes_is_told_in_little() {
    let text = rows(60_000);
    for length in [text.len(), 200_000, 100_000] {
        let text = &text[..length];
        for level in 1..=8 {
            for (is_told, has_checksum) in [(true, true), (false, false)] {
                let file = compressed(text, level, is_told, &[CParameter::ChecksumFlag(has_checksum)]);
                let (recipe, missed) = recipe_of(&file, 50_000);
                assert!(rebuilt(&recipe, text).unwrap() == file, "{length} bytes, level {level}");
                println!("{length} bytes, level {level}: {} of {} bytes, {missed} missed", recipe.len(), file.len());
                assert!(recipe.len() * 8 < file.len(), "{length}, level {level}: {} of {}", recipe.len(), file.len());
            }
        }
    }
}

#[test]
fn whatever_comes_is_made_again() {
    let text = rows(20_000);
    let one = compressed(&text, 3, false, &[]);
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &one].concat();
    let several = [compressed(&text[..9], 9, true, &[]), compressed(b"", 1, true, &[]), one.clone()].concat();
    let mixed = [noise(300_000), vec![7; 400_000], text.clone(), noise(50_000), text.clone()].concat();
    let mixed = [1, 3, 4, 6].map(|level| compressed(&mixed, level, level == 3, &[])).concat();
    let hard = compressed(&text, 19, false, &[]);
    let long = compressed(&text, 3, false, &[CParameter::WindowLog(24), CParameter::EnableLongDistanceMatching(true)]);
    let odd = compressed(&text, 3, false, &[CParameter::WindowLog(16), CParameter::TargetLength(3)]);
    let files = [one, skipped, several, mixed, hard, long, odd, b"\x28\xb5\x2f\xfd\x00".to_vec(), b"no frame".to_vec()];
    for file in files {
        for length in [file.len(), file.len() / 2, file.len().saturating_sub(3)] {
            let file = &file[..length];
            for piece in [100, 1 << 20] {
                let (recipe, _) = recipe_of(file, piece);
                assert!(rebuilt(&recipe, &text_of(file)).unwrap() == file, "{length} bytes");
            }
        }
    }
}

#[test]
fn recipes_that_do_not_fit_are_refused() {
    let text = [rows(8000), rows(8000)].concat();
    let refusal = |recipe: &[u8], text: &[u8]| rebuilt(recipe, text).err().map(|error| error.to_string());
    assert!(refusal(RECIPE, &text[..text.len() - 1]).unwrap().contains("ends early"));
    let mut other = text.clone();
    other[77] ^= 1;
    assert!(refusal(RECIPE, &other).is_some());
    for length in 0..RECIPE.len() {
        assert!(refusal(&RECIPE[..length], &text).is_some(), "cut at {length}");
    }
    let of = |version: u8, record: &[u8]| {
        let mut recipe = Encoder::new();
        recipe.raw(&MAGIC).u8(version).bytes(b"a").varint(0).bytes(record);
        refusal(&recipe.bytes, &text).unwrap()
    };
    assert!(of(ZSTD_VERSION, &[kind::BEGIN, 6]).contains("another version"));
    assert!(of(VERSION, &[kind::BLOCK, 0, 0]).contains("another version"));
    assert!(of(ZSTD_VERSION, &[kind::BLOCK, 0, 0]).contains("of no frame"));
    assert!(of(ZSTD_VERSION, &[kind::FRAME, 1, 0, 0, 60, 60, 1, 5, 0]).contains("no such search"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_file_and_no_recipe_makes_it_fail_otherwise(garbage in proptest::collection::vec(any::<u8>(), 0..40), at in 0..RECIPE.len(), of_recipe: bool) {
        let splice = |bytes: &[u8]| {
            let at = at.min(bytes.len());
            [&bytes[..at], &garbage[..], &bytes[(at + garbage.len()).min(bytes.len())..]].concat()
        };
        if of_recipe {
            let text = [rows(8000), rows(8000)].concat();
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
