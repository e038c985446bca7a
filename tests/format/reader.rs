//! A reader of repositories, written from `docs/format.md` and from nothing else: it shares no line with the library.
//! Where the repository is not as the document says, it panics with what it found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::listing::{Body, Line, Runs};

pub type Id = [u8; 32];

/// BLAKE3 of some bytes.
pub fn hash(bytes: &[u8]) -> Id {
    *blake3::hash(bytes).as_bytes()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes an encoded value apart (section 1).
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn raw(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn id(&mut self) -> Id {
        self.raw(32).try_into().unwrap()
    }

    fn u8(&mut self) -> u8 {
        self.raw(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.raw(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.raw(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.raw(8).try_into().unwrap())
    }

    fn varint(&mut self) -> u64 {
        let mut value = 0u128;
        for place in 0..10 {
            let byte = self.u8();
            value |= u128::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                assert!(place == 0 || byte != 0, "a varint is not the shortest");
                return value.try_into().expect("a varint of more than 64 bits");
            }
        }
        panic!("a varint of more than ten bytes")
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.varint();
        self.raw(length as usize)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn signed(&mut self) -> i64 {
        let zigzag = self.varint();
        if zigzag.is_multiple_of(2) { (zigzag / 2) as i64 } else { -((zigzag / 2) as i64) - 1 }
    }

    fn time(&mut self) -> (i64, u32) {
        let seconds = self.signed();
        let nanos = self.varint();
        assert!(nanos < 1_000_000_000);
        (seconds, nanos as u32)
    }

    fn optional_id(&mut self) -> Option<Id> {
        match self.u8() {
            0 => None,
            1 => Some(self.id()),
            form => panic!("an optional id of form {form}"),
        }
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Bytes<'a>) -> T) -> Vec<T> {
        let count = self.varint();
        (0..count).map(|_| item(self)).collect()
    }

    fn end(&self) {
        assert!(self.0.is_empty(), "{} bytes are left over", self.0.len());
    }
}

/// The bytes of a Zstandard frame (RFC 8878).
fn unzstd(frame: &[u8], plain_bytes: usize) -> Vec<u8> {
    let plain = zstd::bulk::decompress(frame, plain_bytes).unwrap();
    assert_eq!(plain.len(), plain_bytes);
    plain
}

/// The page that is told by differences (section 4).
fn page_of_differences(mut page: Vec<u8>) -> Vec<u8> {
    let mut header = Bytes(&page[2..]);
    let count = header.u32() as usize;
    let lengths: Vec<usize> = (0..count).map(|_| header.u32() as usize).collect();
    let mut start = 6 + 4 * count;
    for (number, &length) in lengths.iter().enumerate() {
        if number > 0 && lengths[number - 1] == length {
            let mut borrow = 0;
            for at in start..start + length {
                let (told, before) = (page[at], page[at - length]);
                let sum = (told & 127) + (before & 127) + borrow;
                page[at] = (sum & 127) | ((told ^ before) & 128);
                borrow = u8::from(sum > 127 && page[at] & before & 128 != 0);
            }
        }
        start += length;
    }
    page
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The body of a frame (section 1) that demands no feature.
fn body_of<'a>(magic: &str, file: &'a [u8]) -> Bytes<'a> {
    let (read_features, body) = open_frame(magic, file);
    assert_eq!(read_features, 0, "read features of a {magic}");
    body
}

/// Read features and body of a frame.
fn open_frame<'a>(magic: &str, file: &'a [u8]) -> (u32, Bytes<'a>) {
    let (frame, sum) = file.split_at(file.len() - 32);
    let mut header = Bytes(frame);
    assert_eq!(header.raw(8), magic.as_bytes());
    assert_eq!(hash(frame), sum, "the hash of a {magic}");
    assert_eq!(header.u16(), 1, "version of a {magic}");
    let read_features = header.u32();
    let write_features = header.u32();
    assert!(write_features == 0 || magic == "YFS-FOOT" && write_features == 1, "write features of a {magic}");
    (read_features, header)
}

/// The same frame after `change` was made to all before its hash.
pub fn reseal(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = file[..file.len() - 32].to_vec();
    change(&mut frame);
    let sum = hash(&frame);
    frame.extend(sum);
    frame
}

/// Where a chunk's record lies.
struct Place {
    pack: PathBuf,
    offset: usize,
    length: usize,
    /// Which of the chunks of a group.
    member: usize,
    plain_bytes: u64,
}

/// What a manifest says (section 10).
pub struct Manifest {
    pub id: Id,
    /// Its place among all that were ever added.
    sequence: u64,
    encoded: Vec<u8>,
    pub source: String,
    pub status: u8,
    root: Node,
    witnesses: Option<Id>,
    pub files: u64,
    pub has_xattrs: bool,
    pub tags: BTreeSet<String>,
    /// The last drill as its record has it, and in how many tables something differed; `None` where it failed.
    pub drill: Option<(Vec<u8>, Option<u64>)>,
}

/// Entries, directories, descendants, bytes, data bytes (section 6).
type Totals = [u64; 5];

fn totals(input: &mut Bytes) -> Totals {
    std::array::from_fn(|_| input.varint())
}

fn plus(a: Totals, b: Totals) -> Totals {
    std::array::from_fn(|field| a[field] + b[field])
}

#[derive(Clone)]
struct Node {
    line: Line,
    xattrs_chunk: Option<Id>,
    content: Option<Content>,
    directory: Option<(Option<Root>, Totals)>,
}

#[derive(Clone)]
enum Content {
    Inline(Vec<u8>),
    Extents(Vec<Extent>),
    Tree(Id, Totals),
}

/// Where the root page of a tree stands.
#[derive(Clone)]
enum Root {
    Chunk(Id),
    /// In a node (section 6).
    Inline(Vec<u8>),
}

#[derive(Clone)]
struct Extent {
    length: u64,
    /// Chunk and offset; a hole has none.
    chunk: Option<(Id, u64)>,
}

impl Extent {
    /// Section 7.
    fn read(input: &mut Bytes) -> Extent {
        let form = input.u8();
        let length = input.varint();
        assert!(length > 0 && form <= 2);
        let chunk = (form > 0).then(|| (input.id(), if form == 2 { input.varint() } else { 0 }));
        Extent { length, chunk }
    }

    fn totals(&self) -> Totals {
        [1, 0, 0, self.length, if self.chunk.is_some() { self.length } else { 0 }]
    }
}

fn attribute_list(input: &mut Bytes) -> Vec<(Vec<u8>, Vec<u8>)> {
    let list = input.list(|item| (item.bytes().to_vec(), item.bytes().to_vec()));
    assert!(list.is_sorted_by(|a, b| a.0 < b.0), "attributes are not in order");
    list
}

impl Node {
    /// Section 6.
    fn read(input: &mut Bytes) -> Node {
        let (letter, bits) = (input.u8(), input.u8());
        assert!(bits < 16 && bits & 3 != 3);
        let permissions = input.u16();
        let (uid, gid) = (input.varint() as u32, input.varint() as u32);
        let (owner, group) = (input.bytes().to_vec(), input.bytes().to_vec());
        let modified = input.time();
        let xattrs = if bits & 1 != 0 { attribute_list(input) } else { Vec::new() };
        let xattrs_chunk = (bits & 2 != 0).then(|| input.id());
        let first_path = (bits & 4 != 0).then(|| {
            assert!(input.varint() > 1, "a hard link with one name");
            input.bytes().to_vec()
        });
        let mut content = None;
        let mut directory = None;
        let body = match letter {
            b'f' => {
                content = Some(Content::read(input));
                Body::Nothing
            }
            b'd' => {
                directory = Some(match input.u8() {
                    0 => (None, Totals::default()),
                    1 => (Some(Root::Chunk(input.id())), totals(input)),
                    form => {
                        assert_eq!(form, 2);
                        let totals = totals(input);
                        let page = input.bytes().to_vec();
                        assert!(page.len() <= 1024 && page[1] == 0, "no small leaf");
                        (Some(Root::Inline(page)), totals)
                    }
                });
                Body::Nothing
            }
            b'l' => Body::Target(input.bytes().to_vec()),
            b'c' | b'b' => Body::Device(input.varint() as u32, input.varint() as u32),
            b'p' | b's' => Body::Nothing,
            _ => panic!("a node of type {letter}"),
        };
        let line =
            Line { letter: letter.into(), permissions, uid, gid, owner, group, modified, xattrs, first_path, body };
        Node { line, xattrs_chunk, content, directory }
    }

    fn totals(&self) -> Totals {
        match (&self.content, &self.directory) {
            (Some(content), _) => {
                let [.., bytes, data] = content.totals();
                [1, 0, 1, bytes, data]
            }
            (_, Some((_, [_, _, descendants, bytes, data]))) => [1, 1, 1 + descendants, *bytes, *data],
            _ => [1, 0, 1, 0, 0],
        }
    }
}

impl Content {
    /// Section 7.
    fn read(input: &mut Bytes) -> Content {
        assert!(input.u8() <= 1, "an unknown chunk class");
        match input.u8() {
            0 => Content::Inline(input.bytes().to_vec()),
            1 => Content::Extents(input.list(Extent::read)),
            2 => Content::Tree(input.id(), totals(input)),
            form => panic!("a content of form {form}"),
        }
    }

    fn totals(&self) -> Totals {
        match self {
            Content::Inline(bytes) => [0, 0, 0, bytes.len() as u64, bytes.len() as u64],
            Content::Extents(list) => list.iter().map(Extent::totals).fold(Totals::default(), plus),
            Content::Tree(_, totals) => *totals,
        }
    }
}

/// An entry of a tree of pages: key, value, totals, and how many levels of pages end behind it.
struct TreeEntry {
    key: Vec<u8>,
    value: Vec<u8>,
    totals: Totals,
    boundary: usize,
}

/// The number *b* of section 8.
fn boundary(hash: &Id) -> usize {
    let low = u64::from_le_bytes(hash[..8].try_into().unwrap());
    low.trailing_zeros() as usize / 7
}

/// An open repository.
pub struct Reader {
    root: PathBuf,
    places: HashMap<Id, Place>,
    /// The ids that the footer of a pack lists.
    slots: HashMap<(Vec<u8>, u64), Vec<Id>>,
    /// In the order in which they were added.
    pub snapshots: Vec<Manifest>,
    /// The kinds of all records.
    pub changes: Vec<u8>,
    snapshots_added: u64,
    /// How chunks are to be compressed, encoded.
    pub compression: Vec<u8>,
    /// The hash of the last record, and the published segments with their records, encoded as a checkpoint has them.
    last_record: Id,
    segments: Vec<Vec<u8>>,
}

impl Reader {
    /// Reads config, records, segments and footers, from the first record on.
    pub fn open(root: &Path) -> Reader {
        let config = fs::read(root.join("config")).unwrap();
        let mut body = body_of("YFS-CONF", &config);
        body.raw(16);
        body.time();
        let mut reader = Reader {
            root: root.to_path_buf(),
            places: HashMap::new(),
            slots: HashMap::new(),
            snapshots: Vec::new(),
            changes: Vec::new(),
            snapshots_added: 0,
            compression: vec![1],
            last_record: [0; 32],
            segments: Vec::new(),
        };
        for sequence in 1u64.. {
            let path = root.join(format!("catalog/{:017}/{sequence:020}", sequence / 1000));
            if !path.exists() {
                break;
            }
            let file = fs::read(&path).unwrap();
            reader.apply(&file, sequence);
            reader.last_record = hash(&file);
        }
        reader
    }

    /// Section 9.
    fn apply(&mut self, file: &[u8], sequence: u64) {
        let mut body = body_of("YFS-RCRD", file);
        assert_eq!((body.u64(), body.id()), (sequence, self.last_record), "number and predecessor of a record");
        body.raw(8);
        body.time();
        let kind = body.u8();
        self.changes.push(kind);
        match kind {
            1 => drop((body.text(), body.text())),
            2 => self.publish(&mut body),
            3 => {
                self.publish(&mut body);
                self.snapshots_added += 1;
                self.snapshots.push(read_manifest(body.bytes(), self.snapshots_added));
            }
            4 => {
                let gone = body.list(Bytes::id);
                body.text();
                self.snapshots.retain(|snapshot| !gone.contains(&snapshot.id));
            }
            5 => {
                let id = body.id();
                let (added, removed) = (body.list(Bytes::text), body.list(Bytes::text));
                if let Some(snapshot) = self.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
                    snapshot.tags.retain(|tag| !removed.contains(tag));
                    snapshot.tags.extend(added);
                }
            }
            6 => {
                self.compression = body.0.to_vec();
                assert!(body.u8() == 1 || (1..=19).contains(&body.u8()));
            }
            7 => {
                let id = body.id();
                let encoded = body.0.to_vec();
                let _what = (body.time(), body.text(), body.varint(), body.varint());
                let different = body.varint();
                if let Some(snapshot) = self.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
                    snapshot.drill = Some((encoded, Some(different)));
                }
            }
            8 => {
                let id = body.id();
                let encoded = body.0.to_vec();
                body.time();
                assert!(body.text().len() <= 4096);
                if let Some(snapshot) = self.snapshots.iter_mut().find(|snapshot| snapshot.id == id) {
                    snapshot.drill = Some((encoded, None));
                }
            }
            _ => panic!("a change of kind {kind}"),
        }
        body.end();
    }

    /// Reads the segments that a record names (section 5), and the footers of their packs.
    fn publish(&mut self, record: &mut Bytes) {
        let sequence = self.changes.len() as u64;
        for (writer, number, file_hash) in record.list(|item| (hex(item.raw(8)), item.varint(), item.id())) {
            let file = fs::read(self.root.join(format!("segments/{writer}-{number}"))).unwrap();
            assert_eq!(hash(&file), file_hash, "the segment is not the one that the record names");
            let name = [unhex(&writer), varint(number), file_hash.to_vec()].concat();
            self.segments.push([varint(sequence), name].concat());
            let mut body = body_of("YFS-SEGM", &file);
            assert_eq!((hex(body.raw(8)), u64::from(body.u32())), (writer, number));
            body.list(|pack| {
                let (kind, writer, number) = (pack.u8(), pack.raw(8), pack.varint());
                self.read_footer(kind, writer, number, std::array::from_fn(|_| pack.varint()));
            });
            body.end();
        }
    }

    /// The body that a checkpoint behind the last record must have (section 11).
    fn checkpoint_body(&self) -> Vec<u8> {
        let mut body = (self.changes.len() as u64).to_le_bytes().to_vec();
        body.extend(self.last_record);
        body.extend(varint(self.snapshots_added));
        body.extend(varint(0));
        body.extend(&self.compression);
        body.extend(varint(self.segments.len() as u64));
        body.extend(self.segments.concat());
        body.extend(varint(self.snapshots.len() as u64));
        for Manifest { sequence, encoded, tags, .. } in &self.snapshots {
            body.extend([varint(*sequence), varint(encoded.len() as u64), encoded.clone()].concat());
            body.extend(varint(tags.len() as u64));
            tags.iter().for_each(|tag| body.extend([varint(tag.len() as u64), tag.clone().into_bytes()].concat()));
        }
        let (mut compared, mut failed) = (Vec::new(), Vec::new());
        for (sequence, (encoded, different)) in
            self.snapshots.iter().filter_map(|it| Some((it.sequence, it.drill.clone()?)))
        {
            let list = if different.is_some() { &mut compared } else { &mut failed };
            list.push([varint(sequence), encoded].concat());
        }
        if !compared.is_empty() || !failed.is_empty() {
            body.extend([varint(compared.len() as u64), compared.concat()].concat());
        }
        if !failed.is_empty() {
            body.extend([varint(failed.len() as u64), failed.concat()].concat());
        }
        body
    }

    /// Reads the checkpoint behind the last record.
    pub fn check_checkpoint(&self) {
        let file = fs::read(self.root.join(format!("checkpoints/{:020}", self.changes.len()))).unwrap();
        assert_eq!(
            body_of("YFS-CKPT", &file).0,
            self.checkpoint_body(),
            "the checkpoint does not say what the records say"
        );
    }

    /// Section 4. `told` is what the segment says: file bytes, footer bytes, chunks, plain bytes.
    fn read_footer(&mut self, kind: u8, writer: &[u8], number: u64, told: [u64; 4]) {
        let folder = writer[0] ^ (number & 0xff) as u8;
        let pack = self.root.join(format!("packs/{folder:02x}/{}-{number}", hex(writer)));
        let file = fs::read(&pack).unwrap();
        let mut header = Bytes(&file);
        assert_eq!((header.raw(8), header.u16()), (&b"YFS-PACK"[..], 1));
        let read_features = header.u32();
        assert_eq!((header.u8(), header.raw(8), u64::from(header.u32())), (kind, writer, number));
        let mut offset = file.len() - header.0.len();
        assert_eq!(offset, 27);

        let mut trailer = Bytes(&file[file.len() - 12..]);
        let frame_bytes = trailer.u32() as usize;
        assert_eq!(trailer.raw(8), b"YFS-PEND");
        let frame = &file[file.len() - 12 - frame_bytes..file.len() - 12];
        let (features, mut footer) = open_frame("YFS-FOOT", frame);
        assert_eq!(features, read_features, "header and footer tell different features");
        if features == 1 {
            let ids = Bytes(footer.0).list(Bytes::id);
            self.slots.insert((writer.to_vec(), number), ids);
        }
        let records = records_of(features, &mut footer);
        let base_packs = footer.list(|item| (item.raw(8).to_vec(), item.varint()));
        footer.end();
        let (chunks, plain_bytes) =
            records.iter().flat_map(|record| &record.1).fold((0, 0), |sum, chunk| (sum.0 + 1, sum.1 + chunk.1));
        assert_eq!(told, [file.len() as u64, frame_bytes as u64 + 12, chunks, plain_bytes]);
        let mut named = BTreeSet::new();
        for (length, chunks) in records {
            let record = &file[offset..offset + length];
            assert!(record[0] == 6 || chunks.len() == 1, "a record of {} chunks is no group", chunks.len());
            for (member, (id, plain_bytes)) in chunks.into_iter().enumerate() {
                let (codec, _, bases, payload) = open_record(record, member);
                named.extend(bases.into_iter().map(|base| (base.writer, base.number)));
                let runs = if codec == 7 { left_to_footers(&payload).0 } else { Vec::new() };
                named.extend(runs.into_iter().map(|(writer, number, ..)| (writer, number)));
                self.places.insert(id, Place { pack: pack.clone(), offset, length, member, plain_bytes });
            }
            offset += length;
        }
        assert_eq!(offset, file.len() - 12 - frame_bytes, "records do not end where the footer begins");
        assert_eq!(base_packs, named.into_iter().collect::<Vec<_>>(), "the footer does not list the packs of bases");
    }

    /// The plain bytes of a chunk (section 4).
    fn chunk(&self, id: &Id) -> Vec<u8> {
        let place = self.places.get(id).unwrap_or_else(|| panic!("no pack holds chunk {}", hex(id)));
        let pack = fs::read(&place.pack).unwrap();
        let plain = self.plain(&pack[place.offset..place.offset + place.length], place.member, 8);
        assert_eq!((hash(&plain), plain.len() as u64), (*id, place.plain_bytes));
        plain
    }

    fn plain(&self, record: &[u8], member: usize, depth: u32) -> Vec<u8> {
        let (codec, plain_bytes, bases, payload) = open_record(record, member);
        assert!(bases.len() <= 4 && (bases.is_empty() || depth > 0));
        let base: Vec<u8> = bases.iter().flat_map(|base| self.base(base, depth - 1)).collect();
        assert!(base.len() <= 1_048_576);
        assert!(codec == 7 || matches!(codec, 2 | 4 | 5) != bases.is_empty());
        match codec {
            8 => page_of_differences(unzstd(&payload, plain_bytes)),
            0 => payload,
            1 => lz4_flex::block::decompress(&payload, plain_bytes).unwrap(),
            2 => apply_delta(&base, &payload, plain_bytes),
            3 => unzstd(&payload, plain_bytes),
            4 | 5 => {
                let mut packed = Bytes(&payload);
                let length = packed.varint() as usize;
                let operations = match codec {
                    4 => lz4_flex::block::decompress(packed.0, length).unwrap(),
                    _ => unzstd(packed.0, length),
                };
                apply_delta(&base, &operations, plain_bytes)
            }
            7 => {
                let (runs, gaps, rest) = left_to_footers(&payload);
                let ids = runs.iter().flat_map(|(writer, number, first, count)| {
                    let listed = &self.slots[&(writer.clone(), *number)];
                    listed[*first as usize..(*first + *count) as usize].to_vec()
                });
                let (mut rest, mut operations) = (Bytes(&rest), Vec::new());
                for (gap, id) in gaps.into_iter().zip(ids) {
                    operations.extend([rest.raw(gap as usize), &id].concat());
                }
                operations.extend(rest.0);
                apply_delta(&base, &operations, plain_bytes)
            }
            _ => panic!("a chunk of codec {codec}"),
        }
    }

    fn base(&self, base: &Base, depth: u32) -> Vec<u8> {
        let folder = base.writer[0] ^ (base.number & 0xff) as u8;
        let pack =
            fs::read(self.root.join(format!("packs/{folder:02x}/{}-{}", hex(&base.writer), base.number))).unwrap();
        assert_ne!(pack[base.offset], 6, "a base is a group");
        self.plain(&pack[base.offset..base.offset + base.length], 0, depth)
    }

    /// All entries of a snapshot by their paths; that of the root is empty.
    pub fn list(&self, snapshot: &Manifest) -> BTreeMap<Vec<u8>, Line> {
        let mut lines = BTreeMap::new();
        self.list_node(Vec::new(), &snapshot.root, &mut lines);
        assert_eq!(snapshot.files, lines.values().filter(|line| line.letter == 'f').count() as u64);
        assert_eq!(snapshot.has_xattrs, lines.values().any(|line| !line.xattrs.is_empty()));
        self.check_witnesses(snapshot.root.directory.clone().unwrap().0, snapshot.witnesses);
        lines
    }

    fn list_node(&self, path: Vec<u8>, node: &Node, lines: &mut BTreeMap<Vec<u8>, Line>) {
        let mut line = node.line.clone();
        if let Some(id) = &node.xattrs_chunk {
            let chunk = self.chunk(id);
            let mut input = Bytes(&chunk);
            line.xattrs = attribute_list(&mut input);
            input.end();
        }
        if let Some(content) = &node.content {
            let (bytes, runs) = self.read(content);
            line.body = Body::File { size: bytes.len() as u64, hash: hex(&hash(&bytes)), runs };
        }
        if let Some((root, _)) = &node.directory {
            for TreeEntry { key: name, value, .. } in self.directory(root.clone()) {
                let child = Node::read(&mut Bytes(&value));
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                self.list_node([&path, separator, &name].concat(), &child, lines);
            }
        }
        lines.insert(path, line);
    }

    fn directory(&self, root: Option<Root>) -> Vec<TreeEntry> {
        let entries = self.tree(b'D', root, |key, value| {
            let mut input = Bytes(value);
            let node = Node::read(&mut input);
            input.end();
            (node.totals(), boundary(&hash(key)))
        });
        assert!(entries.is_sorted_by(|a, b| a.key < b.key), "names are not in order");
        entries
    }

    /// The bytes of a content, and where it has data.
    fn read(&self, content: &Content) -> (Vec<u8>, Runs) {
        let extents = match content {
            Content::Inline(bytes) => return (bytes.clone(), Runs::of(0, bytes.len() as u64)),
            Content::Extents(list) => list.clone(),
            Content::Tree(root, _) => {
                let leaf = |key: &[u8], value: &[u8]| {
                    assert!(key.is_empty());
                    let extent = Extent::read(&mut Bytes(value));
                    (extent.totals(), extent.chunk.map_or(0, |(id, _)| boundary(&id)))
                };
                let entries = self.tree(b'C', Some(Root::Chunk(*root)), leaf);
                entries.iter().map(|entry| Extent::read(&mut Bytes(&entry.value))).collect()
            }
        };
        let (mut bytes, mut runs) = (Vec::new(), Runs::default());
        for Extent { length, chunk } in extents {
            match chunk {
                None => bytes.resize(bytes.len() + length as usize, 0),
                Some((id, offset)) => {
                    runs.add(bytes.len() as u64, length);
                    bytes.extend(&self.chunk(&id)[offset as usize..][..length as usize]);
                }
            }
        }
        (bytes, runs)
    }

    /// Goes through witnesses beside their directory, and down where they go down (section 8).
    fn check_witnesses(&self, directory: Option<Root>, witnesses: Option<Id>) {
        if witnesses.is_none() {
            return;
        }
        let entries = self.directory(directory);
        let mut names = entries.iter();
        // Their pages end where the names say.
        let witnesses = self.tree(b'W', witnesses.map(Root::Chunk), |_, _| {
            ([1, 0, 0, 0, 0], names.next().map_or(0, |entry| boundary(&hash(&entry.key))))
        });
        assert_eq!(entries.len(), witnesses.len());
        for (entry, witness) in entries.iter().zip(&witnesses) {
            let node = Node::read(&mut Bytes(&entry.value));
            let mut input = Bytes(&witness.value);
            match (input.u8(), node.directory) {
                (0, None) => {}
                (1, None) => {
                    assert_eq!(node.line.letter, 'f');
                    let _seen = (input.time(), input.varint());
                }
                (2, Some(_)) => {}
                (3, Some((below, _))) => self.check_witnesses(below, Some(input.id())),
                (form, _) => panic!("a witness of form {form} for a {}", node.line.letter),
            }
            input.end();
        }
    }

    /// The leaf entries of a tree of pages, whose totals and boundaries `describe` tells; the pages must be exactly those
    /// that the boundary rule makes.
    fn tree(
        &self,
        kind: u8,
        root: Option<Root>,
        mut describe: impl FnMut(&[u8], &[u8]) -> (Totals, usize),
    ) -> Vec<TreeEntry> {
        let Some(root) = root else { return Vec::new() };
        let mut entries = Vec::new();
        let (page, id) = match root {
            Root::Chunk(id) => (self.chunk(&id), id),
            Root::Inline(page) => (page.clone(), hash(&page)),
        };
        self.leaves(kind, &page, 10, &mut |key, value| {
            let (totals, boundary) = describe(key, value);
            entries.push(TreeEntry { key: key.to_vec(), value: value.to_vec(), totals, boundary });
        });
        assert_eq!(build(kind, &entries), Some(id), "the pages are not those of the boundary rule");
        entries
    }

    fn leaves(&self, kind: u8, page: &[u8], above: u8, leaf: &mut impl FnMut(&[u8], &[u8])) {
        let mut header = Bytes(page);
        let (found, level, count) = (header.u8(), header.u8(), header.u32());
        assert!(found == kind && level < above && count > 0);
        let lengths: Vec<u32> = (0..count).map(|_| header.u32()).collect();
        for length in lengths {
            let mut entry = Bytes(header.raw(length as usize));
            let key = entry.bytes();
            match level {
                0 => leaf(key, entry.0),
                _ => self.leaves(kind, &self.chunk(&entry.id()), level, leaf),
            }
        }
    }
}

fn read_manifest(bytes: &[u8], sequence: u64) -> Manifest {
    let mut input = Bytes(bytes);
    let source = input.text();
    let _name = (input.text(), input.time(), input.time());
    let kind = input.u8();
    assert!([b'd', b's', b'm', b'g', b'o'].contains(&kind));
    let status = input.u8();
    let _origin = (input.text(), input.text(), input.bytes());
    let root = Node::read(&mut input);
    let (witnesses, _parent) = (input.optional_id(), input.optional_id());
    let files = input.varint();
    let has_xattrs = input.u8() == 1;
    let _counts = (input.varint(), input.varint(), input.varint());
    input.list(|item| drop((item.bytes(), item.text())));
    let tags = input.list(Bytes::text).into_iter().collect();
    input.list(|item| drop((item.text(), item.text())));
    input.end();
    let encoded = bytes.to_vec();
    Manifest {
        id: hash(bytes),
        sequence,
        encoded,
        source,
        status,
        root,
        witnesses,
        files,
        has_xattrs,
        tags,
        drill: None,
    }
}

/// Where a base of a delta lies.
struct Base {
    writer: Vec<u8>,
    number: u64,
    offset: usize,
    length: usize,
}

/// A record: its length, and the ids and plain lengths of its chunks.
type Record = (usize, Vec<(Id, u64)>);

/// The records of a pack, as they lie in it (section 4).
fn records_of(features: u32, footer: &mut Bytes) -> Vec<Record> {
    if features == 0 {
        return footer.list(|item| {
            let (id, length) = (item.id(), item.varint() as usize);
            (length, vec![(id, item.varint())])
        });
    }
    assert_eq!(features, 1, "a pack of the future");
    let ids = footer.list(Bytes::id);
    let chunks: Vec<(Id, u64)> = ids.into_iter().map(|id| (id, footer.varint())).collect();
    let mut groups = footer.list(|item| (item.varint() as usize, item.varint() as usize)).into_iter();
    let runs = footer.list(Bytes::varint);
    let (mut records, mut chunks): (Vec<Record>, _) = (Vec::new(), chunks.into_iter());
    // The group that is not written yet, and how many chunks it is to have.
    let mut open: Option<(Record, usize)> = None;
    for (number, run) in runs.into_iter().enumerate() {
        for chunk in chunks.by_ref().take(run as usize) {
            if number % 2 == 1 {
                records.push((footer.varint() as usize, vec![chunk]));
                continue;
            }
            if open.as_ref().is_none_or(|((_, members), count)| members.len() == *count) {
                records.extend(open.take().map(|(record, _)| record));
                let (length, count) = groups.next().unwrap();
                open = Some(((length, Vec::new()), count));
            }
            open.as_mut().unwrap().0.1.push(chunk);
        }
    }
    assert!(open.as_ref().is_none_or(|((_, members), count)| members.len() == *count), "a group is not full");
    records.extend(open.map(|(record, _)| record));
    assert!(groups.next().is_none() && chunks.next().is_none(), "not all chunks are told where they lie");
    records
}

/// Codec, plain length, bases and payload of a record, or of one chunk of a group.
fn open_record(record: &[u8], member: usize) -> (u8, usize, Vec<Base>, Vec<u8>) {
    if record[0] == 6 {
        return open_group(record).swap_remove(member);
    }
    let mut record = Bytes(record);
    let (codec, plain_bytes) = (record.u8(), record.varint() as usize);
    let bases = record.list(|item| {
        let (writer, number) = (item.raw(8).to_vec(), item.varint());
        Base { writer, number, offset: item.varint() as usize, length: item.varint() as usize }
    });
    let payload = record.bytes().to_vec();
    record.end();
    (codec, plain_bytes, bases, payload)
}

/// What codec 7 leaves to footers: runs of writer, number, first slot and count; then gaps, then the rest.
type LeftToFooters = (Vec<(Vec<u8>, u64, u64, u64)>, Vec<u64>, Vec<u8>);

fn left_to_footers(payload: &[u8]) -> LeftToFooters {
    let mut payload = Bytes(payload);
    let body_bytes = payload.varint() as usize;
    let body = unzstd(payload.0, body_bytes);
    let mut body = Bytes(&body);
    let runs = body.list(|item| (item.raw(8).to_vec(), item.varint(), item.varint(), item.varint()));
    let ids: u64 = runs.iter().map(|run| run.3).sum();
    assert!(ids <= 32_768);
    let gaps = (0..ids).map(|_| body.varint()).collect();
    (runs, gaps, body.0.to_vec())
}

/// The chunks of a group, as if each had a record of its own.
fn open_group(record: &[u8]) -> Vec<(u8, usize, Vec<Base>, Vec<u8>)> {
    let mut record = Bytes(&record[1..]);
    let body_bytes = record.varint() as usize;
    let body = unzstd(record.bytes(), body_bytes);
    record.end();
    let mut body = Bytes(&body);
    let packs = body.list(|item| (item.raw(8).to_vec(), item.varint()));
    let counts = body.list(Bytes::varint);
    assert!((1..=4096).contains(&counts.len()) && counts.iter().all(|count| (1..=4).contains(count)));
    let total: u64 = counts.iter().sum();
    let numbers: Vec<u64> = (0..total).map(|_| body.varint()).collect();
    let gaps: Vec<i64> = (0..total).map(|_| body.signed()).collect();
    let mut ends = vec![0; packs.len()];
    let bases = numbers.into_iter().zip(gaps).map(|(number, gap)| {
        let (writer, pack) = packs[number as usize].clone();
        let (offset, length) = (ends[number as usize] + gap, body.varint() as i64);
        ends[number as usize] = offset + length;
        Base { writer, number: pack, offset: offset as usize, length: length as usize }
    });
    let mut bases = bases.collect::<Vec<Base>>().into_iter();
    let members = counts.into_iter().map(|count| {
        let (plain_bytes, operations) = until_copy_of_nothing(&mut body);
        (2, plain_bytes, bases.by_ref().take(count as usize).collect(), operations)
    });
    let members = members.collect();
    body.end();
    members
}

/// What a delta in a group makes, and its operations as a delta alone would have them.
fn until_copy_of_nothing(body: &mut Bytes) -> (usize, Vec<u8>) {
    let (mut plain_bytes, mut operations) = (0, Vec::new());
    loop {
        let tag = body.varint();
        let literals = body.raw((tag / 2) as usize);
        plain_bytes += literals.len();
        let length = body.varint();
        if length > 0 || !literals.is_empty() {
            operations.extend([&varint(tag), literals].concat());
        }
        if length == 0 {
            assert!(tag.is_multiple_of(2), "a copy of nothing moves");
            return (plain_bytes, operations);
        }
        plain_bytes += length as usize;
        operations.extend(varint(length));
        if tag % 2 == 1 {
            let moved = body.varint();
            operations.extend(varint(moved));
        }
    }
}

/// The chunk that a delta makes of its base.
fn apply_delta(base: &[u8], operations: &[u8], plain_bytes: usize) -> Vec<u8> {
    let mut input = Bytes(operations);
    let (mut plain, mut place) = (Vec::new(), 0i64);
    while plain.len() < plain_bytes {
        let tag = input.varint();
        let literals = input.raw((tag / 2) as usize);
        plain.extend_from_slice(literals);
        place += literals.len() as i64;
        if plain.len() < plain_bytes {
            let length = input.varint() as usize;
            if tag % 2 == 1 {
                place += input.signed();
            }
            plain.extend_from_slice(&base[place as usize..place as usize + length]);
            place += length as i64;
        }
    }
    input.end();
    plain
}

/// A level of a tree that is being built.
#[derive(Default)]
struct Level {
    count: u32,
    lengths: Vec<u8>,
    entries: Vec<u8>,
    totals: Totals,
    key: Vec<u8>,
    made: u32,
    last: Option<Id>,
}

/// The root page of the tree that these entries make (section 8).
fn build(kind: u8, entries: &[TreeEntry]) -> Option<Id> {
    let mut levels: Vec<Level> = Vec::new();
    for entry in entries {
        add(&mut levels, kind, 0, &entry.key, &entry.value, entry.totals, entry.boundary);
    }
    let mut level = 0;
    loop {
        let open = levels.get(level)?;
        if open.count > 0 {
            end_page(&mut levels, kind, level, 0);
        }
        match &levels[level] {
            Level { made: 1, last, .. } => return *last,
            _ => level += 1,
        }
    }
}

fn add(levels: &mut Vec<Level>, kind: u8, at: usize, key: &[u8], value: &[u8], totals: Totals, boundary: usize) {
    if at == levels.len() {
        levels.push(Level::default());
    }
    let open = &mut levels[at];
    open.count += 1;
    let entry = [&varint(key.len() as u64), key, value].concat();
    open.lengths.extend((entry.len() as u32).to_le_bytes());
    open.entries.extend(entry);
    open.totals = plus(open.totals, totals);
    open.key = key.to_vec();
    if boundary > at || open.count == 1024 || open.entries.len() >= 65_536 {
        end_page(levels, kind, at, boundary);
    }
}

fn end_page(levels: &mut Vec<Level>, kind: u8, at: usize, boundary: usize) {
    let Level { count, lengths, entries, totals, key, made, .. } = std::mem::take(&mut levels[at]);
    let page = [&[kind, at as u8][..], &count.to_le_bytes(), &lengths, &entries].concat();
    let id = hash(&page);
    levels[at] = Level { made: made + 1, last: Some(id), ..Level::default() };
    let sums = totals.map(varint).concat();
    add(levels, kind, at + 1, &key, &[&id[..], &sums].concat(), totals, boundary);
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
