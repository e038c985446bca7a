use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::compressed::{UnwrapLimit, Unwrapper, Wrapping};

/// The recipe of a file that comes in pieces of this length, and how much of it stands there as it is.
fn recipe_of(file: &[u8], piece: usize) -> (Vec<u8>, u64) {
    let mut recipe = Vec::new();
    let mut maker = RecipeMaker::new(b"dump.sql", 7, &mut recipe);
    file.chunks(piece.max(1)).for_each(|bytes| maker.push(bytes, &|| false, &mut recipe));
    let missed = maker.finish(&|| false, &mut recipe);
    (recipe, missed)
}

fn rebuilt(recipe: &[u8], text: &[u8]) -> crate::error::Result<Vec<u8>> {
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
fn rows(count: u32) -> Vec<u8> {
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
fn noise(length: usize) -> Vec<u8> {
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
    newer[8] = 2;
    assert!(refusal(&newer, &text).unwrap().contains("needs a newer yesterfs"));
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
