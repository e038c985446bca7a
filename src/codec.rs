//! How values become bytes on disk (`docs/format.md` section 1): little-endian integers, varints,
//! length-prefixed bytes, and the sealed frame around every small immutable file.

use crate::error::{Error, Result};
use crate::id::{WriterId, WriterObject, hash};
use crate::time::Timestamp;

/// Version of the on-disk format that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Builds an encoded value.
#[derive(Debug, Default, Clone)]
pub struct Encoder {
    pub bytes: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder::default()
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// LEB128: seven bits a byte, low bits first.
    pub fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
        self
    }

    /// A signed integer as a zigzag varint.
    pub fn signed(&mut self, value: i64) -> &mut Self {
        self.varint(((value << 1) ^ (value >> 63)) as u64)
    }

    /// Bytes without a length.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A varint length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(bytes.len() as u64).raw(bytes)
    }

    /// Seconds as a signed varint, then nanoseconds as a varint.
    pub fn time(&mut self, time: Timestamp) -> &mut Self {
        self.signed(time.seconds).varint(u64::from(time.nanos))
    }

    /// Names a pack or a segment.
    pub fn writer_object(&mut self, name: &WriterObject) -> &mut Self {
        self.raw(&name.writer.0).varint(name.number.into())
    }

    /// A count, then each item by `encode`.
    pub fn list<T>(&mut self, items: &[T], mut encode: impl FnMut(&mut Encoder, &T)) -> &mut Self {
        self.varint(items.len() as u64);
        items.iter().for_each(|item| encode(self, item));
        self
    }
}

/// Why bytes could not be decoded; the caller adds which object they came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct DecodeError {
    pub reason: &'static str,
    pub at: usize,
}

impl DecodeError {
    /// The [`Error::Corrupt`] that names `object`; for use in `map_err`.
    pub fn of(object: impl Into<String>) -> impl FnOnce(DecodeError) -> Error {
        let object = object.into();
        move |error| Error::Corrupt { object, reason: error.to_string() }
    }
}

/// Takes an encoded value apart. Never panics, whatever the bytes.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, at: 0 }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A failure at this place.
    pub fn fail<T>(&self, reason: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError { reason, at: self.at })
    }

    /// The next `len` bytes as they are.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => self.fail("ends too early"),
        }
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0u8; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return self.fail("number too large");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        self.fail("number too long")
    }

    /// A varint that must fit 32 bits.
    pub fn varint32(&mut self) -> Result<u32, DecodeError> {
        let value = self.varint()?;
        u32::try_from(value).or_else(|_| self.fail("number above 32 bits"))
    }

    /// The name of a pack or a segment.
    pub fn writer_object(&mut self) -> Result<WriterObject, DecodeError> {
        Ok(WriterObject { writer: WriterId(self.array()?), number: self.varint32()? })
    }

    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Length-prefixed bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) => self.raw(len),
            Err(_) => self.fail("ends too early"),
        }
    }

    /// Length-prefixed UTF-8.
    pub fn text(&mut self) -> Result<String, DecodeError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).or_else(|_| self.fail("text is not UTF-8"))
    }

    pub fn time(&mut self) -> Result<Timestamp, DecodeError> {
        let seconds = self.signed()?;
        let nanos = self.varint32()?;
        if nanos >= 1_000_000_000 {
            return self.fail("nanoseconds out of range");
        }
        Ok(Timestamp { seconds, nanos })
    }

    /// A count, then that many items. The count is not trusted: at first no more memory is taken than there are bytes left.
    pub fn list<T>(
        &mut self,
        mut decode: impl FnMut(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.varint()?;
        let fitting = self.remaining() / size_of::<T>().max(1);
        let mut items = Vec::with_capacity(usize::try_from(count).map_or(fitting, |count| count.min(fitting)));
        for _ in 0..count {
            items.push(decode(self)?);
        }
        Ok(items)
    }

    /// Fails unless everything was taken.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { self.fail("has bytes after its end") }
    }
}

/// How many first bytes of both are equal.
#[inline]
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 32;
    let blocks = a.as_chunks::<BLOCK>().0.iter().zip(b.as_chunks::<BLOCK>().0).take_while(|(a, b)| a == b).count();
    let same = blocks * BLOCK;
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// Feature bits that this version knows; a file that demands others is refused. Packs have some of their own.
const KNOWN_READ_FEATURES: u32 = 0;
const KNOWN_WRITE_FEATURES: u32 = 0;

/// What a frame says of itself before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    pub magic: [u8; 8],
    pub version: u16,
    pub read_features: u32,
    pub write_features: u32,
}

impl FrameHeader {
    const BYTES: usize = 8 + 2 + 4 + 4;

    fn decode(input: &mut Decoder) -> Result<FrameHeader, DecodeError> {
        let (magic, version) = (input.array()?, input.u16()?);
        Ok(FrameHeader { magic, version, read_features: input.u32()?, write_features: input.u32()? })
    }
}

const FRAME_HASH_BYTES: usize = 32;

/// Wraps the body of a small immutable file: header in front, BLAKE3 of all of it behind.
pub fn seal(magic: &[u8; 8], body: &[u8]) -> Vec<u8> {
    seal_with_features(magic, KNOWN_READ_FEATURES, KNOWN_WRITE_FEATURES, body)
}

/// [`seal`] for a file that has features of its own.
pub fn seal_with_features(magic: &[u8; 8], read_features: u32, write_features: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = Encoder::new();
    frame.raw(magic).u16(FORMAT_VERSION).u32(read_features).u32(write_features).raw(body);
    let sum = hash(&frame.bytes);
    frame.raw(&sum);
    frame.bytes
}

/// Checks the frame around `bytes` and returns the body. `object` names the file in errors.
///
/// # Errors
/// [`Error::Corrupt`] where the magic or the hash is wrong, [`Error::Unsupported`] where the version or a feature
/// needed to read is not known here.
pub fn unseal<'a>(magic: &[u8; 8], bytes: &'a [u8], object: &str) -> Result<&'a [u8]> {
    unseal_with_features(magic, KNOWN_READ_FEATURES, bytes, object).map(|(_, body)| body)
}

/// [`unseal`] for a file that may demand `known` features, with what stands before the body.
pub fn unseal_with_features<'a>(
    magic: &[u8; 8],
    known: u32,
    bytes: &'a [u8],
    object: &str,
) -> Result<(FrameHeader, &'a [u8])> {
    if bytes.len() < FrameHeader::BYTES + FRAME_HASH_BYTES {
        return Err(Error::corrupt(object, format!("only {} bytes long", bytes.len())));
    }
    let (frame, sum) = bytes.split_at(bytes.len() - FRAME_HASH_BYTES);
    let header = FrameHeader::decode(&mut Decoder::new(frame)).map_err(DecodeError::of(object))?;
    if &header.magic != magic {
        return Err(Error::corrupt(object, "it does not start with the magic of its kind"));
    }
    if hash(frame) != sum {
        return Err(Error::corrupt(object, "its checksum does not match its bytes"));
    }
    refuse_unknown(header.version, header.read_features & !known, object)?;
    Ok((header, &frame[FrameHeader::BYTES..]))
}

/// The body of a frame that is known to be damaged.
pub fn unverified_body(frame: &[u8]) -> &[u8] {
    let body = frame.get(FrameHeader::BYTES..frame.len().saturating_sub(FRAME_HASH_BYTES));
    body.unwrap_or_default()
}

/// Features of a sealed frame that must be known to write to the repository, and are not; 0 for none. What is too short to
/// be a frame has none: [`unseal`] refuses it.
pub fn unknown_write_features(frame: &[u8]) -> u32 {
    FrameHeader::decode(&mut Decoder::new(frame)).map_or(0, |header| header.write_features & !KNOWN_WRITE_FEATURES)
}

/// The refusal of a version or of read features from the future.
fn refuse_unknown(version: u16, unknown_features: u32, object: &str) -> Result<()> {
    if version == 0 {
        return Err(Error::corrupt(object, "it has format version 0, which never was"));
    }
    if version > FORMAT_VERSION {
        let reason = format!("it has format version {version}, this one reads up to {FORMAT_VERSION}");
        return Err(Error::Unsupported { object: object.into(), reason });
    }
    if unknown_features != 0 {
        let reason = format!("it uses unknown features {unknown_features:#x}");
        return Err(Error::Unsupported { object: object.into(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(unsigned: u64, signed: i64, bytes: Vec<u8>) {
            let mut encoder = Encoder::new();
            encoder.varint(unsigned).signed(signed).bytes(&bytes);
            let mut decoder = Decoder::new(&encoder.bytes);
            prop_assert_eq!(decoder.varint().unwrap(), unsigned);
            prop_assert_eq!(decoder.signed().unwrap(), signed);
            prop_assert_eq!(decoder.bytes().unwrap(), &bytes[..]);
            prop_assert!(decoder.end().is_ok());
        }

        #[test]
        fn any_flipped_bit_of_a_frame_is_noticed(body: Vec<u8>, place: prop::sample::Index, bit in 0..8u8) {
            let mut frame = seal(b"TESTTEST", &body);
            let at = place.index(frame.len());
            frame[at] ^= 1 << bit;
            prop_assert!(unseal(b"TESTTEST", &frame, "test frame").is_err());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            let mut decoder = Decoder::new(&bytes);
            let _ = decoder.list(|item| item.bytes().map(<[u8]>::len));
            let _ = unseal(b"TESTTEST", &bytes, "garbage");
        }
    }

    #[test]
    fn a_future_version_is_refused_by_name() {
        let mut frame = Encoder::new();
        frame.raw(b"TESTTEST").u16(FORMAT_VERSION + 1).u32(0).u32(0).raw(b"body");
        let sum = hash(&frame.bytes);
        frame.raw(&sum);
        let error = unseal(b"TESTTEST", &frame.bytes, "catalog record 7").unwrap_err();
        assert!(matches!(&error, Error::Unsupported { object, .. } if object == "catalog record 7"), "{error}");
    }
}
