//! Files as compressors write them, and how they are made again.

use super::piece_length;
use yesterfs::compressed::recipe::{RecipeMaker, RecipeReader};
use yesterfs::compressed::{UnwrapLimit, Unwrapper, Wrapping};
use yesterfs::id::hash;

/// Most that may come out of an input: some kilobytes of which most bytes come out again and again.
const PLAIN_MAX_BYTES: u64 = 4 << 20;

/// What is asked for at once.
const ROOM_BYTES: usize = 64 << 10;

/// What comes out of an input in pieces, and how that ended.
fn unwrapped(wrapping: Wrapping, data: &[u8], length: usize, room: usize) -> (Vec<u8>, String) {
    let mut unwrapper = Unwrapper::new(wrapping, UnwrapLimit::Bytes(PLAIN_MAX_BYTES));
    let (mut plain, mut out) = (Vec::new(), vec![0; room]);
    for mut input in data.chunks(length) {
        loop {
            let step = match unwrapper.step(input, &mut out) {
                Ok(step) => step,
                Err(error) => return (plain, format!("{error:?}")),
            };
            plain.extend_from_slice(&out[..step.given]);
            input = &input[step.taken..];
            if input.is_empty() && step.given < room {
                break;
            }
        }
    }
    (plain, format!("{:?}", unwrapper.finish().map_err(|error| error.to_string())))
}

fn unwrap(wrapping: Wrapping, data: &[u8]) -> (Vec<u8>, String) {
    let whole = unwrapped(wrapping, data, data.len().max(1), ROOM_BYTES);
    let pieces = unwrapped(wrapping, data, piece_length(data), 1 + hash(data)[2] as usize);
    let is_whole = |end: &str| end == "Ok(None)";
    assert!(is_whole(&whole.1) == is_whole(&pieces.1), "{} in one piece, {} in several", whole.1, pieces.1);
    assert!(!is_whole(&whole.1) || whole.0 == pieces.0, "something else comes out of other pieces");
    let most = PLAIN_MAX_BYTES + ROOM_BYTES as u64;
    assert!(whole.0.len() as u64 <= most && pieces.0.len() as u64 <= most, "more comes out than may");
    whole
}

/// Whatever is not gzip.
pub fn wrapped(data: &[u8]) {
    if let Some(wrapping) = Wrapping::of(data).filter(|&wrapping| wrapping != Wrapping::Gzip) {
        let (plain, end) = unwrap(wrapping, data);
        if end == "Ok(None)" && plain.len() as u64 <= PLAIN_MAX_BYTES / 2 {
            let (twice, end) = unwrap(wrapping, &data.repeat(2));
            assert!(end == "Ok(None)" && twice == plain.repeat(2), "two files one after the other are not both: {end}");
        }
        if wrapping == Wrapping::Zstd {
            told_by_recipe(data, &plain, &end, RecipeMaker::of_zstd);
        }
    }
}

pub fn gzip(data: &[u8]) {
    let (plain, end) = unwrap(Wrapping::Gzip, data);
    told_by_recipe(data, &plain, &end, RecipeMaker::new);
}

/// Makes the recipe of a file from which this came out, and follows it.
fn told_by_recipe(data: &[u8], plain: &[u8], end: &str, begin: fn(&[u8], u64, &mut Vec<u8>) -> RecipeMaker) {
    let mut made = Vec::new();
    let mut maker = begin(b"dump.sql", 0, &mut made);
    data.chunks(piece_length(data)).for_each(|piece| maker.push(piece, &|| false, &mut made));
    maker.finish(&|| false, &mut made);
    // What breaks off has more plain bytes than came out of it.
    if end == "Ok(None)" {
        assert!(follow(&made, plain).as_deref() == Some(data), "the recipe makes another file");
    }
}

/// Follows a recipe.
fn follow(recipe: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let source = |bytes: &[u8]| {
        let mut rest: Vec<Vec<u8>> = bytes.chunks(1000).rev().map(<[u8]>::to_vec).collect();
        move |out: &mut Vec<u8>| {
            let next = rest.pop();
            Ok(next.map(|next| out.extend(next)).is_some())
        }
    };
    let (mut recipe, mut text) = (source(recipe), source(text));
    let mut made = Vec::new();
    let reader = RecipeReader::open("a.recipe".into(), &mut recipe).ok()?;
    let followed = reader.rebuild(&mut text, &mut |bytes| {
        made.extend_from_slice(bytes);
        Ok(())
    });
    followed.ok().map(|()| made)
}

pub fn recipe(data: &[u8]) {
    let _ = follow(data, &data.repeat(3));
}
