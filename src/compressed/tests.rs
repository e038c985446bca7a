use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Data that shrinks, but not to nothing.
fn data(length: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"INSERT 0123456789"[(state >> 24) as usize % 17]
    };
    (0..length).map(|_| next()).collect()
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn zstd_frame(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn bzipped(plain: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn xzipped(plain: &[u8]) -> Vec<u8> {
    let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// A frame of independent blocks of up to 64 KiB, with every checksum.
fn lz4_frame(plain: &[u8]) -> Vec<u8> {
    use twox_hash::XxHash32;
    let descriptor = [&[0b0111_1100, 0x40][..], &(plain.len() as u64).to_le_bytes()].concat();
    let mut frame = [&lz4::MAGIC[..], &descriptor, &[(XxHash32::oneshot(0, &descriptor) >> 8) as u8]].concat();
    for plain in plain.chunks(64 << 10) {
        // What does not shrink is stored as it is, which the highest bit tells.
        let (block, bit) = match lz4_flex::block::compress(plain) {
            block if block.len() < plain.len() => (block, 0),
            _ => (plain.to_vec(), 1 << 31),
        };
        frame.extend_from_slice(&(block.len() as u32 | bit).to_le_bytes());
        frame.extend_from_slice(&block);
        frame.extend_from_slice(&XxHash32::oneshot(0, &block).to_le_bytes());
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&XxHash32::oneshot(0, plain).to_le_bytes());
    frame
}

type Compress = fn(&[u8]) -> Vec<u8>;

/// What compresses to each format.
const COMPRESS: [Compress; 5] = [gzipped, zstd_frame, bzipped, xzipped, lz4_frame];

/// What comes out, and whether all of it did.
fn unwrapped(
    compressed: &[u8],
    piece: usize,
    room: usize,
    limit: UnwrapLimit,
) -> Result<(Vec<u8>, Option<u64>), UnwrapError> {
    let mut unwrapper = Unwrapper::new(Wrapping::of(compressed).unwrap(), limit);
    let (mut plain, mut out) = (Vec::new(), vec![0; room]);
    for mut input in compressed.chunks(piece) {
        loop {
            let step = unwrapper.step(input, &mut out)?;
            plain.extend_from_slice(&out[..step.given]);
            input = &input[step.taken..];
            if input.is_empty() && step.given < room {
                break;
            }
        }
    }
    Ok((plain, unwrapper.finish()?))
}

fn at_once(compressed: &[u8]) -> Result<(Vec<u8>, Option<u64>), UnwrapError> {
    unwrapped(compressed, compressed.len(), 1000, UnwrapLimit::NoBomb)
}

/// Three files after one another, the second of which is empty.
fn three(compress: Compress) -> (Vec<u8>, Vec<u8>) {
    let (first, last) = (data(70_000), data(20));
    ([compress(&first), compress(b""), compress(&last)].concat(), [first, last].concat())
}

#[test]
fn files_after_one_another_come_out_whole_in_pieces_of_any_length() {
    for compress in COMPRESS {
        let (compressed, plain) = three(compress);
        for (piece, room) in [(1, 1), (1, 1 << 20), (7, 100), (4096, 3), (1 << 20, 1 << 20)] {
            let found = unwrapped(&compressed, piece, room, UnwrapLimit::NoBomb).unwrap();
            assert!(found == (plain.clone(), None), "pieces of {piece}, room for {room}");
        }
    }
}

#[test]
fn headers_of_gzip_may_hold_more() {
    let plain = data(100);
    let mut writer = flate2::GzBuilder::new()
        .extra(vec![9; 300])
        .filename("dump.sql")
        .comment("nightly")
        .write(Vec::new(), flate2::Compression::best());
    writer.write_all(&plain).unwrap();
    let compressed = writer.finish().unwrap();
    for piece in [1, 1000] {
        assert_eq!(unwrapped(&compressed, piece, 64, UnwrapLimit::NoBomb).unwrap(), (plain.clone(), None));
    }
    let mut with_checksum = gzipped(&plain);
    with_checksum[3] |= 2;
    with_checksum.splice(10..10, [1, 2]);
    assert_eq!(at_once(&with_checksum).unwrap(), (plain, None));
}

#[test]
fn what_is_cut_short_gives_what_there_is() {
    for compress in COMPRESS {
        let (compressed, plain) = three(compress);
        let ends = [compress(&data(70_000)).len(), compress(&data(70_000)).len() + compress(b"").len()];
        for length in (5..compressed.len()).step_by(97).chain(ends).chain([compressed.len() - 1]) {
            let (found, cut) = at_once(&compressed[..length]).unwrap();
            assert!(plain.starts_with(&found));
            assert_eq!(cut, (!ends.contains(&length)).then_some(length as u64), "cut at {length}");
        }
    }
}

#[test]
fn what_follows_is_told_by_its_place() {
    for compress in COMPRESS {
        let whole = compress(b"hello");
        for garbage in [&b"\0\0\0\0\0\0"[..], b"x", b"\x1f\x8c"] {
            if whole.starts_with(&xz::MAGIC) && garbage[0] == 0 {
                // Padding, of which two bytes are missing.
                let error = at_once(&[&whole[..], garbage].concat()).unwrap_err();
                assert_eq!(error, UnwrapError::Trailing { at: whole.len() as u64 + 4 });
                continue;
            }
            let error = at_once(&[&whole[..], garbage].concat()).unwrap_err();
            assert_eq!(error, UnwrapError::Trailing { at: whole.len() as u64 });
        }
    }
}

#[test]
fn damage_is_told() {
    for compress in COMPRESS {
        let whole = compress(&data(5000));
        // The checksum, and a byte that it is of.
        for at in [whole.len() - 8, whole.len() - 3, whole.len() / 2] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let found = at_once(&damaged);
            assert!(
                matches!(found, Err(UnwrapError::Damaged { .. })) || found.as_ref().is_ok_and(|(_, cut)| cut.is_some()),
                "{at}: {found:?}"
            );
        }
    }
    let mut unknown = gzipped(b"x");
    unknown[2] = 9;
    assert!(at_once(&unknown).unwrap_err().to_string().contains("unknown way"));
}

#[test]
fn skipped_frames_and_padding_are_no_data() {
    let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"hello"].concat();
    for compress in [zstd_frame, lz4_frame] {
        let found = at_once(&[compress(b"one"), skipped.clone(), compress(b"two")].concat());
        assert_eq!(found.unwrap(), (b"onetwo".to_vec(), None));
    }
    let padded = [xzipped(b"one"), vec![0; 8], xzipped(b"two"), vec![0; 4]].concat();
    assert_eq!(at_once(&padded).unwrap(), (b"onetwo".to_vec(), None));
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 3 << 20];
    for compress in COMPRESS {
        let bomb = compress(&zeros);
        let most = |bytes| unwrapped(&bomb, 1 << 20, 1 << 16, UnwrapLimit::Bytes(bytes));
        assert!(most(3 << 20).is_ok());
        let error = most((3 << 20) - 1).unwrap_err().to_string();
        assert!(error.contains("3145727 bytes") && error.contains("--max-unwrapped"), "{error}");
    }
    assert!(
        UnwrapLimit::NoBomb.allows(1, UNSUSPICIOUS_BYTES) && !UnwrapLimit::NoBomb.allows(1, UNSUSPICIOUS_BYTES + 1)
    );
    assert!(UnwrapLimit::NoBomb.allows(10 << 20, 2000 << 20) && !UnwrapLimit::NoBomb.allows(10 << 20, 2001 << 20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_fail_otherwise(garbage in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..COMPRESS.len(), at in 0..200usize) {
        let mut bytes = COMPRESS[kind](&data(300));
        bytes.splice(at.max(4).min(bytes.len()).., garbage);
        let _ = at_once(&bytes);
    }
}
