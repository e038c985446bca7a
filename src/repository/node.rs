//! Node: one directory entry with all that POSIX knows of it. It lies in a page of its directory's tree.
//! Encoding: `docs/format.md` section 6.

use std::sync::Arc;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::error::Result;
use crate::id::ChunkId;
use crate::repository::content::Content;
use crate::time::Timestamp;

/// One entry of a directory, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Permission bits with set-id and sticky: the low 12 bits of `st_mode`.
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    /// Names of owner and group on the machine it came from; empty where it had none.
    pub owner: Vec<u8>,
    pub group: Vec<u8>,
    pub modified: Timestamp,
    pub xattrs: Xattrs,
    /// Set for files (of any type but directory) with more than one name.
    pub hard_link: Option<HardLink>,
    pub kind: NodeKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    File {
        content: Content,
        /// The file changed under every attempt to read it: these bytes may never have stood there together.
        torn: bool,
    },
    Directory(DirectoryRoot),
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    Socket,
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
}

/// Major and minor number of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

/// What ties the names of one file together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardLink {
    /// `st_nlink` at the source; it may count names outside of the snapshot.
    pub count: u32,
    /// Path from the snapshot's root, without leading slash, of the group's first name in tree order;
    /// the entry at that path carries its own path here.
    pub first_path: Vec<u8>,
}

/// Extended attributes, POSIX ACLs and file capabilities among them (`system.posix_acl_access`, `security.capability`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Xattrs {
    #[default]
    None,
    /// Few and small: in the node itself.
    Inline(Vec<Xattr>),
    /// Encoded with [`Xattrs::encode_list`], as a chunk of its own, so that they do not burden every listing.
    Chunk(ChunkId),
}

/// One extended attribute; lists are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// Encoded attributes longer than this stand in a chunk of their own.
pub const XATTRS_INLINE_MAX_BYTES: usize = 512;

/// A directory's tree of entries, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectoryRoot {
    /// `None` for an empty directory.
    pub page: Option<RootPage>,
    pub totals: Totals,
}

/// Where the root page of a directory stands.
#[derive(Debug, Clone)]
pub enum RootPage {
    /// In a chunk of its own.
    Stored(ChunkId),
    /// In the node of the directory, and so in the page above: the only page of a small one.
    Inline(Arc<[u8]>),
}

/// Longest page that stands in a node.
pub const PAGE_INLINE_MAX_BYTES: usize = 1024;

impl RootPage {
    /// The id of the page, wherever it stands.
    pub fn id(&self) -> ChunkId {
        match self {
            RootPage::Stored(id) => *id,
            RootPage::Inline(bytes) => ChunkId::of(bytes),
        }
    }

    /// Its id, if it is a chunk.
    pub fn stored(&self) -> Option<ChunkId> {
        match self {
            RootPage::Stored(id) => Some(*id),
            RootPage::Inline(_) => None,
        }
    }
}

/// Equal pages have equal entries, wherever they stand.
impl PartialEq for RootPage {
    fn eq(&self, other: &RootPage) -> bool {
        match (self, other) {
            (RootPage::Inline(one), RootPage::Inline(other)) => one == other,
            _ => self.id() == other.id(),
        }
    }
}

impl Eq for RootPage {}

/// Sums over a part of a tree; every inner entry of a page carries them for what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Entries of this directory (in trees of directories), extents (in contents).
    pub entries: u64,
    /// Directories among these entries.
    pub directories: u64,
    /// These entries and everything below them, at any depth: what a pre-order walk passes.
    pub descendants: u64,
    /// Logical bytes of all files at any depth; a file with several names counts at each.
    pub bytes: u64,
    /// The same without holes.
    pub data_bytes: u64,
}

impl Totals {
    /// The sum of two parts.
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            entries: self.entries.saturating_add(other.entries),
            directories: self.directories.saturating_add(other.directories),
            descendants: self.descendants.saturating_add(other.descendants),
            bytes: self.bytes.saturating_add(other.bytes),
            data_bytes: self.data_bytes.saturating_add(other.data_bytes),
        }
    }

    pub fn encode(&self, encoder: &mut Encoder) {
        encoder.varint(self.entries).varint(self.directories).varint(self.descendants);
        encoder.varint(self.bytes).varint(self.data_bytes);
    }

    pub fn decode(decoder: &mut Decoder) -> Result<Totals, DecodeError> {
        Ok(Totals {
            entries: decoder.varint()?,
            directories: decoder.varint()?,
            descendants: decoder.varint()?,
            bytes: decoder.varint()?,
            data_bytes: decoder.varint()?,
        })
    }
}

impl Xattrs {
    /// The bytes of a list of attributes, as they stand in a node or in a chunk of their own.
    pub fn encode_list(list: &[Xattr]) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.list(list, |encoder, xattr| {
            encoder.bytes(&xattr.name).bytes(&xattr.value);
        });
        encoder.bytes
    }

    pub fn decode_list(decoder: &mut Decoder) -> Result<Vec<Xattr>, DecodeError> {
        decoder.list(|item| Ok(Xattr { name: item.bytes()?.to_vec(), value: item.bytes()?.to_vec() }))
    }

    /// The list that the chunk `id` is.
    pub fn decode_chunk(id: &ChunkId, plain: &[u8]) -> Result<Vec<Xattr>> {
        let mut decoder = Decoder::new(plain);
        let list = Xattrs::decode_list(&mut decoder).and_then(|list| decoder.end().map(|()| list));
        list.map_err(DecodeError::of(format!("the attribute list in chunk {id}")))
    }
}

/// Bits of the second byte of a node.
const HAS_XATTRS_INLINE: u8 = 1;
const HAS_XATTRS_CHUNK: u8 = 2;
const HAS_HARD_LINK: u8 = 4;
const IS_TORN: u8 = 8;
/// The low 12 bits of `st_mode`.
const PERMISSION_BITS: u16 = 0o7777;
const KNOWN_BITS: u8 = HAS_XATTRS_INLINE | HAS_XATTRS_CHUNK | HAS_HARD_LINK | IS_TORN;

impl Node {
    /// What this entry, under its name, adds to the totals of its directory.
    pub fn totals(&self) -> Totals {
        let (directories, below) = match &self.kind {
            NodeKind::Directory(root) => (1, root.totals),
            NodeKind::File { content, .. } => {
                (0, Totals { bytes: content.size, data_bytes: content.data_bytes, ..Totals::default() })
            }
            _ => (0, Totals::default()),
        };
        Totals {
            entries: 1,
            directories,
            descendants: below.descendants.saturating_add(1),
            bytes: below.bytes,
            data_bytes: below.data_bytes,
        }
    }

    /// What a file holds.
    pub fn content(&self) -> Option<&Content> {
        match &self.kind {
            NodeKind::File { content, .. } => Some(content),
            _ => None,
        }
    }

    /// `st_size` for what has a size of its own: a file's logical bytes, a symlink's target length.
    pub fn size(&self) -> u64 {
        match &self.kind {
            NodeKind::File { content, .. } => content.size,
            NodeKind::Symlink { target } => target.len() as u64,
            _ => 0,
        }
    }

    /// The directory below this entry, if it is one.
    pub fn directory(&self) -> Option<&DirectoryRoot> {
        match &self.kind {
            NodeKind::Directory(root) => Some(root),
            _ => None,
        }
    }

    pub fn encode(&self, encoder: &mut Encoder) {
        let mut bits = match self.xattrs {
            Xattrs::None => 0,
            Xattrs::Inline(_) => HAS_XATTRS_INLINE,
            Xattrs::Chunk(_) => HAS_XATTRS_CHUNK,
        };
        if self.hard_link.is_some() {
            bits |= HAS_HARD_LINK;
        }
        if matches!(self.kind, NodeKind::File { torn: true, .. }) {
            bits |= IS_TORN;
        }
        encoder.u8(self.kind.letter()).u8(bits).u16(self.permissions);
        encoder.varint(u64::from(self.uid)).varint(u64::from(self.gid)).bytes(&self.owner).bytes(&self.group);
        encoder.time(self.modified);
        match &self.xattrs {
            Xattrs::None => {}
            Xattrs::Inline(list) => {
                encoder.raw(&Xattrs::encode_list(list));
            }
            Xattrs::Chunk(id) => {
                encoder.raw(&id.0);
            }
        }
        if let Some(link) = &self.hard_link {
            encoder.varint(u64::from(link.count)).bytes(&link.first_path);
        }
        self.kind.encode(encoder);
    }

    /// Of an encoded node only this: whether it is a name of a file with several.
    pub fn decode_has_hard_link(decoder: &mut Decoder) -> Result<bool, DecodeError> {
        let (_letter, bits) = (decoder.u8()?, decoder.u8()?);
        Ok(bits & HAS_HARD_LINK != 0)
    }

    pub fn decode(decoder: &mut Decoder) -> Result<Node, DecodeError> {
        let letter = decoder.u8()?;
        let bits = decoder.u8()?;
        let misplaced = match letter {
            b'f' => 0,
            DIRECTORY_LETTER => HAS_HARD_LINK | IS_TORN,
            _ => IS_TORN,
        };
        if bits & !KNOWN_BITS != 0 || bits & 3 == 3 || bits & misplaced != 0 {
            return decoder.fail("unknown node bits");
        }
        let permissions = decoder.u16()?;
        if permissions & !PERMISSION_BITS != 0 {
            return decoder.fail("unknown permission bits");
        }
        Ok(Node {
            permissions,
            uid: decoder.varint32()?,
            gid: decoder.varint32()?,
            owner: decoder.bytes()?.to_vec(),
            group: decoder.bytes()?.to_vec(),
            modified: decoder.time()?,
            xattrs: match bits & 3 {
                HAS_XATTRS_INLINE => Xattrs::Inline(Xattrs::decode_list(decoder)?),
                HAS_XATTRS_CHUNK => Xattrs::Chunk(ChunkId(decoder.array()?)),
                _ => Xattrs::None,
            },
            hard_link: if bits & HAS_HARD_LINK == 0 {
                None
            } else {
                Some(HardLink { count: decoder.varint32()?, first_path: decoder.bytes()?.to_vec() })
            },
            kind: NodeKind::decode(letter, bits & IS_TORN != 0, decoder)?,
        })
    }
}

/// The first byte of a directory's encoded node.
pub const DIRECTORY_LETTER: u8 = b'd';

impl NodeKind {
    /// The letter that `ls -l` and `find -type` use; the first byte of an encoded node.
    pub fn letter(&self) -> u8 {
        match self {
            NodeKind::File { .. } => b'f',
            NodeKind::Directory(_) => DIRECTORY_LETTER,
            NodeKind::Symlink { .. } => b'l',
            NodeKind::Fifo => b'p',
            NodeKind::Socket => b's',
            NodeKind::CharacterDevice(_) => b'c',
            NodeKind::BlockDevice(_) => b'b',
        }
    }

    fn encode(&self, encoder: &mut Encoder) {
        match self {
            NodeKind::File { content, .. } => content.encode(encoder),
            NodeKind::Directory(root) => root.encode(encoder),
            NodeKind::Symlink { target } => {
                encoder.bytes(target);
            }
            NodeKind::Fifo | NodeKind::Socket => {}
            NodeKind::CharacterDevice(device) | NodeKind::BlockDevice(device) => {
                encoder.varint(u64::from(device.major)).varint(u64::from(device.minor));
            }
        }
    }

    fn decode(letter: u8, torn: bool, decoder: &mut Decoder) -> Result<NodeKind, DecodeError> {
        let device = |decoder: &mut Decoder| {
            Ok::<_, DecodeError>(DeviceNumber { major: decoder.varint32()?, minor: decoder.varint32()? })
        };
        Ok(match letter {
            b'f' => NodeKind::File { content: Content::decode(decoder)?, torn },
            DIRECTORY_LETTER => NodeKind::Directory(DirectoryRoot::decode(decoder)?),
            b'l' => NodeKind::Symlink { target: decoder.bytes()?.to_vec() },
            b'p' => NodeKind::Fifo,
            b's' => NodeKind::Socket,
            b'c' => NodeKind::CharacterDevice(device(decoder)?),
            b'b' => NodeKind::BlockDevice(device(decoder)?),
            _ => return decoder.fail("unknown node type"),
        })
    }
}

impl DirectoryRoot {
    pub fn encode(&self, encoder: &mut Encoder) {
        match &self.page {
            None => {
                encoder.u8(0);
            }
            Some(RootPage::Stored(id)) => {
                encoder.u8(1).raw(&id.0);
                self.totals.encode(encoder);
            }
            Some(RootPage::Inline(page)) => {
                encoder.u8(2);
                self.totals.encode(encoder);
                encoder.bytes(page);
            }
        }
    }

    pub fn decode(decoder: &mut Decoder) -> Result<DirectoryRoot, DecodeError> {
        match decoder.u8()? {
            0 => Ok(DirectoryRoot::default()),
            1 => {
                let page = RootPage::Stored(ChunkId(decoder.array()?));
                Ok(DirectoryRoot { page: Some(page), totals: Totals::decode(decoder)? })
            }
            2 => {
                let totals = Totals::decode(decoder)?;
                let page = decoder.bytes()?;
                if page.len() > PAGE_INLINE_MAX_BYTES {
                    return decoder.fail("a page in a node is too long");
                }
                Ok(DirectoryRoot { page: Some(RootPage::Inline(page.into())), totals })
            }
            _ => decoder.fail("unknown directory form"),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A directory with nothing in it.
    pub fn empty_directory() -> Node {
        Node {
            permissions: 0o755,
            uid: 0,
            gid: 0,
            owner: Vec::new(),
            group: Vec::new(),
            modified: Timestamp::default(),
            xattrs: Xattrs::None,
            hard_link: None,
            kind: NodeKind::Directory(DirectoryRoot::default()),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Node, DecodeError> {
        Node::decode(&mut Decoder::new(bytes))
    }

    fn inline_directory(page_bytes: usize) -> DirectoryRoot {
        DirectoryRoot { page: Some(RootPage::Inline(vec![1; page_bytes].into())), totals: Totals::default() }
    }

    #[test]
    fn a_page_is_the_same_wherever_it_stands_and_a_long_one_stands_in_no_node() {
        let [page, other] = [3, 4].map(|bytes| inline_directory(bytes).page.unwrap());
        let stored = RootPage::Stored(ChunkId::of(&[1; 3]));
        assert_eq!([page == stored, page == other, other == stored], [true, false, false]);
        let long = Node { kind: NodeKind::Directory(inline_directory(1025)), ..empty_directory() };
        let mut encoder = Encoder::new();
        long.encode(&mut encoder);
        assert_eq!(decode(&encoder.bytes).unwrap_err().reason, "a page in a node is too long");
    }

    #[test]
    fn bits_that_mean_nothing_are_refused() {
        let kinds = [
            (NodeKind::File { content: Content::empty(), torn: false }, HAS_HARD_LINK | IS_TORN),
            (NodeKind::Directory(DirectoryRoot::default()), 0),
            (NodeKind::Directory(inline_directory(1024)), 0),
            (NodeKind::Fifo, HAS_HARD_LINK),
        ];
        for (kind, allowed) in kinds {
            let mut encoder = Encoder::new();
            let node = Node { kind, ..empty_directory() };
            node.encode(&mut encoder);
            assert_eq!(decode(&encoder.bytes).unwrap(), node);
            for bit in (0..8).map(|bit| 1 << bit).filter(|bit| *bit >= HAS_HARD_LINK && bit & allowed == 0) {
                let mut bytes = encoder.bytes.clone();
                bytes[1] |= bit;
                assert_eq!(decode(&bytes).unwrap_err().reason, "unknown node bits", "{bit}");
            }
            for bit in 12..16 {
                let mut bytes = encoder.bytes.clone();
                bytes[3] |= 1 << (bit - 8);
                assert_eq!(decode(&bytes).unwrap_err().reason, "unknown permission bits", "{bit}");
            }
        }
    }

    #[test]
    fn a_chunk_of_attributes_holds_nothing_else() {
        let list = [Xattr { name: b"user.a".to_vec(), value: b"1".to_vec() }];
        let mut bytes = Xattrs::encode_list(&list);
        let id = ChunkId::of(&bytes);
        assert_eq!(Xattrs::decode_chunk(&id, &bytes).unwrap(), list);
        bytes.push(0);
        assert!(Xattrs::decode_chunk(&id, &bytes).is_err());
    }
}
