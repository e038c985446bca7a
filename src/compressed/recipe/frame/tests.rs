use std::io::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use zstd::zstd_safe::CParameter;

use super::{FrameHead, FrameStream};
use crate::codec::Encoder;
use crate::compressed::recipe::tests::{noise, rebuilt, rows};
use crate::compressed::recipe::*;
use crate::compressed::sequences::predictor::{Predictor, Search, Sight, Undo, Way};
use crate::compressed::sequences::{Recent, Sequence};
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

/// A frame with a window of 2 MiB, and no content size.
const HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];

/// More than any of these files takes, and less than each took.
const SOON: Duration = Duration::from_secs(20);

/// 128 KiB of one byte.
fn repeated() -> [u8; 4] {
    [2, 0, 0x10, b'a']
}

/// A block of so many copies, each of three bytes from the place before, in twelve bytes; and of the last three of a frame.
fn copies(count: u16) -> Vec<u8> {
    let [low, high] = (count - 0x7f00 * u16::from(count >= 0x7f00)).to_le_bytes();
    let count = if count >= 0x7f00 { vec![255, low, high] } else { vec![high + 128, low] };
    let body = [&[0][..], &count, &[0x54, 0, 0, 0, 1]].concat();
    [&[(body.len() << 3 | 4) as u8, 0, 0][..], &body].concat()
}

/// What following records says.
fn refusal(records: &[&[u8]], text: &[u8]) -> String {
    let mut recipe = Encoder::new();
    recipe.raw(&MAGIC).u8(ZSTD_VERSION).bytes(b"a").varint(0);
    records.iter().for_each(|record| {
        recipe.bytes(record);
    });
    rebuilt(&recipe.bytes, text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// A frame with two tables, and one with rows, and a window of this logarithm.
fn frame(way: u8, window_log: u32) -> Vec<u8> {
    let mut record = Encoder::new();
    record.u8(kind::FRAME).u8(way).u8(0).varint(1 << window_log).raw(&[16, 16, 3, 5, 0]);
    record.bytes
}

#[test]
fn no_content_is_too_long_to_be_told() {
    let content = [0xff; 8];
    let file = [&[0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x58][..], &content, &[1, 0, 0]].concat();
    let (recipe, _) = recipe_of(&file, 1 << 20);
    assert!(rebuilt(&recipe, b"").unwrap() == file);
}

#[test]
fn few_blocks_wait_however_little_is_in_them() {
    for block in [&[0, 0, 0][..], &[8, 0, 0, b'a']] {
        let file = block.repeat((3 << 20) / block.len());
        let mut frame = FrameStream::new(FrameHead::read(&HEAD).unwrap().unwrap());
        assert!(frame.read_blocks(&file).unwrap());
        assert!(frame.waiting.len() <= 4096, "{} blocks", frame.waiting.len());
    }
    let begun = Instant::now();
    let file = [&HEAD[..], &[0, 0, 0].repeat(40_000), &[8, 0, 0, b'a'].repeat(40_000), &[1, 0, 0]].concat();
    let (recipe, missed) = recipe_of(&file, 1 << 20);
    assert!(rebuilt(&recipe, &[b'a'; 40_000]).unwrap() == file);
    assert!(missed > file.len() as u64 / 2, "{missed} bytes missed");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn windows_that_are_too_long_are_refused_at_once() {
    let head = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 14 << 3];
    assert!(FrameHead::read(&head).is_err());
    assert!(FrameHead::read(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3]).is_ok());
}

#[test]
fn jobs_with_hardly_anything_before_are_no_trouble() {
    let block = [kind::BLOCK, 0, 9];
    let job = [kind::BLOCK, 8, 1, 9];
    assert!(refusal(&[&frame(2, 10), &block, &job], &[7; 10]).contains("a job that is too short"));
    let search = |way| Search {
        way,
        is_new: false,
        window_bytes: 1 << 10,
        logs: [16, 16],
        tried_log: 3,
        hashed_bytes: 5,
        step: 0,
    };
    for way in [Way::Fast, Way::Double, Way::Rows { ahead: 2 }] {
        let mut predictor = Predictor::new(search(way));
        for start in 0..30 {
            predictor.begin_job(Sight { text: &[7; 40], start, low: 0, origin: 0 }, 9);
        }
        // What a job begins with is never taken back.
        assert_eq!(predictor.undo.capacity(), 0);
    }
    assert_eq!(size_of::<Undo>(), 12);
}

#[test]
fn windows_that_are_too_short_are_refused() {
    for way in 1..=5 {
        let blocks = [[kind::BLOCK, 0, 200, 1], [kind::BLOCK, 0, 200, 1]];
        let said = refusal(&[&frame(way, 3), &blocks[0], &blocks[1]], &[7; 400]);
        assert!(said.contains("no such search"), "way {way}: {said}");
    }
}

#[test]
fn what_is_predicted_in_vain_ends_the_telling() {
    let begun = Instant::now();
    for first in [4, 0] {
        let file = [&HEAD[..], &repeated().repeat(first), &copies(43_690).repeat(2000)].concat();
        let (recipe, _) = recipe_of(&file, 1 << 20);
        assert!(recipe.len() < file.len() + 1000, "{} of {} bytes", recipe.len(), file.len());
        assert!(rebuilt(&recipe, &vec![b'a'; first << 17]).unwrap() == file);
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn recipes_do_not_become_much_longer_than_files() {
    let file = [&HEAD[..], &repeated().repeat(4), &copies(128).repeat(20_000)].concat();
    let (recipe, missed) = recipe_of(&file, 1 << 20);
    assert!(recipe.len() < file.len() + (80 << 10), "{} of {} bytes", recipe.len(), file.len());
    assert!(missed > file.len() as u64 / 2, "{missed} bytes missed of {}", file.len());
    assert!(rebuilt(&recipe, &vec![b'a'; (4 << 17) + 20_000 * 384]).unwrap() == file);
}

#[test]
fn a_recipe_of_many_small_frames_is_poor() {
    let file = (0..400u32).map(|number| compressed(&number.to_le_bytes(), 3, true, &[])).collect::<Vec<_>>().concat();
    let (recipe, missed) = recipe_of(&file, 1000);
    assert!(recipe.len() > file.len() / 2 && missed > file.len() as u64 / 2, "{missed} of {} bytes", file.len());
    assert!(rebuilt(&recipe, &text_of(&file)).unwrap() == file);
}

#[test]
fn a_block_that_repeats_nothing_stands_as_it_is() {
    let behind = [2, 0, 0, b'a', 1, 0, 0];
    let file = [&HEAD[..], &behind].concat();
    let (recipe, missed) = recipe_of(&file, 1 << 20);
    assert_eq!(missed, behind.len() as u64);
    assert!(rebuilt(&recipe, b"").unwrap() == file);
    assert!(refusal(&[&frame(2, 20), &[kind::BLOCK, 1, 0]], b"").contains("nothing is repeated"));
}

#[test]
fn copies_from_beyond_the_window_are_not_told() {
    let mut writer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    writer.set_parameter(CParameter::WindowLog(10)).unwrap();
    writer.write_all(&rows(2000)).unwrap();
    writer.flush().unwrap();
    // Three bytes from 1,500 places before, behind blocks that are told.
    let far = [(8 << 3) | 5, 0, 0, 0, 1, 0x54, 0, 10, 0, 0xdf, 0x05];
    let file = [&writer.get_ref()[..], &far].concat();
    let (recipe, missed) = recipe_of(&file, 1 << 20);
    assert!(missed > file.len() as u64 / 2, "{missed} bytes missed of {}", file.len());
    assert!(rebuilt(&recipe, b"").unwrap() == file);
}

#[test]
fn records_are_no_longer_than_blocks_can_be() {
    let frame = frame(2, 20);
    let coded = |codes: usize, tables: usize, corrections: u64| {
        let mut record = Encoder::new();
        record.u8(kind::BLOCK).u8(2).varint(30).u8(0).bytes(&vec![0; codes]).u8(0).bytes(&vec![0; tables]).varint(10);
        record.varint(corrections);
        (0..corrections).for_each(|_| {
            record.raw(&[0, 0, 3, 4]);
        });
        record.bytes
    };
    let said = |record: &[u8]| refusal(&[&frame, record], &[7; 100]);
    assert!(said(&coded(257, 0, 0)).contains("in too many bytes"));
    assert!(said(&coded(0, 513, 0)).contains("in too many bytes"));
    assert!(said(&coded(0, 0, 11)).contains("more corrections than sequences"));
    assert!(said(&[&[kind::BYTES][..], &vec![0; 2 << 20]].concat()).contains("too long"));
    assert!(said(&coded(0, 0, 10)).contains("it ends early"));
}

#[test]
fn nothing_follows_what_a_record_tells() {
    assert!(refusal(&[&[&frame(2, 20)[..], &[0]].concat()], b"").contains("bytes after its end"));
    assert!(refusal(&[&frame(2, 20), &[kind::BLOCK, 0, 1, 0]], b"a").contains("bytes after its end"));
    let (recipe, _) = recipe_of(&compressed(&rows(10), 3, true, &[]), 1000);
    assert!(rebuilt(&recipe, &rows(10)).is_ok());
    let longer = [&recipe[..], &[0]].concat();
    assert!(rebuilt(&longer, &rows(10)).unwrap_err().to_string().contains("behind its end"));
}

#[test]
fn the_largest_offset_is_no_trouble() {
    let mut recent = Recent::default();
    assert_eq!(recent.pass(&Sequence { literals: 0, length: 3, offset: u32::MAX }), Some(u32::MAX - 3));
}
