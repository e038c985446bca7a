//! yesterfs: a repository of point-in-time snapshots, shown as ordinary read-only directories.
//!
//! This is the map. What is on disk: `docs/format.md`. What users can rely on: `docs/semantics.md`. Why it is as it is, with
//! numbers: `docs/design.md`.
//!
//! # Nouns
//!
//! - *chunk*: up to 1 MiB of bytes, named by their hash; the unit of dedup. *pack*: an immutable file of many chunks.
//! - *content*: the bytes of a file, as a list of *extents*, each a range of a chunk or a hole.
//! - *node*: one directory entry with its metadata. *page*: part of a tree, of a directory's nodes or of a long content's
//!   extents; stored as a chunk.
//! - *snapshot*: a root node, and when and from what it was made: its *manifest*. *source*: a named lineage of snapshots.
//! - *record*: one numbered change of the repository. *catalog*: all of them. *checkpoint*: the catalog, folded.
//! - *segment*: the list of packs that a writer publishes. *index*: where each chunk lies; a cache.
//! - *part*: a range of a database dump that is about one object. Its bytes are the dump's.
//! - *witness*: what tells the next ingest that a file is unchanged.
//!
//! # Floors
//!
//! Each imports only from those below it; `tests/tidy.rs` sees to it.
//!
//! | Floor | Modules | |
//! |---|---|---|
//! | the binary | `main`, `cli` | words in, text and exit codes out; nothing else prints, exits or reads the clock |
//! | edge | [`mount`] | the kernel |
//! | drill | [`verify`] | verbs one after the other |
//! | verbs | [`ingest`], [`view`], [`diff`], [`rows`], [`restore`], [`load`], [`rebuild`], [`check`] | functions; none calls another |
//! | repository | [`repository`] | names in, history out: catalog, snapshots, trees, contents, metadata |
//! | store | [`store`] | bytes in, ids out: chunks, packs, segments, index, and the one seam to storage, [`store::backend`] |
//! | bytes | [`dump`], [`compressed`] | what database dumps and compressed files hold: bytes in, events or bytes out |
//! | ground | [`error`], [`id`], [`codec`], [`time`], [`progress`] | values |
//!
//! Each outside crate is named in one place only: `rocksdb` in `store::index`, `fuser` in [`mount`], and so on.
//!
//! # The walk of one file
//!
//! In: the walk of [`ingest::directory`] finds it and hands it, with some dozens of its neighbours, to a thread, which asks
//! whether the previous snapshot has it unchanged. If not, its bytes go to a
//! [`ContentWriter`](repository::content_writer::ContentWriter), which cuts them ([`store::chunker`]), beside what the file
//! held before, and gives batches of chunks to its [`DataLane`](store::DataLane): known? Then only the id comes back; else the
//! chunk is told against an older one ([`store::delta`]), or compressed, and appended to a pack. The ids become extents, the extents a content, the
//! content a node. The builder puts nodes in order of names into a
//! [`DirectoryWriter`](repository::tree::DirectoryWriter), which makes pages of them; a page is a chunk too. At the end the
//! [`WriteSession`](repository::session::WriteSession) finishes the packs, writes the segment that lists them, and appends
//! the record that names the segment and holds the manifest. Then the snapshot exists.
//!
//! Out: `mount::fuse` asks the [`View`](view::View) about an inode number, which is a snapshot and a position in it. The
//! [`TreeReader`](repository::tree::TreeReader) descends the pages by their totals to the node; the
//! [`ContentReader`](repository::content_reader::ContentReader) finds the extents that cover the bytes asked for; the
//! [`ChunkStore`](store::ChunkStore) has each chunk in its cache, or finds its pack in the index, reads the record, decodes it,
//! and compares its hash with its id. Only then do bytes go up.
//!
//! Calls go down, values come up.
//!
//! # Invariants
//!
//! 1. Config, packs, segments and records are written once, whole or not at all, and never change.
//! 2. A snapshot exists when its record does. A record is appended only after all records before it were read and applied.
//! 3. What a record names is durable before the record is begun: packs, then the segment, then the record.
//! 4. Dedup trusts only packs that a record has published, and those of its own session.
//! 5. Bytes leave the store only after their id was verified.
//! 6. The index holds nothing that cannot be made anew from records, segments and packs.
//! 7. A command that failed, or an input that ended early, never becomes a snapshot that looks complete.
//! 8. An empty or failing listing is never a reason to delete.
//! 9. Safety never rests on clocks.
//! 10. Memory is bounded by options and named constants, not by the size of repositories or files, and no queue is
//!     unbounded. What an ingest must hold grows with the source: the names in the directories that it is in, and some 65
//!     bytes for each file with several names, until all of these were met (`docs/design.md`, "Ingest of directories"); of a
//!     dump, some 200 bytes for each table, or a kilobyte where its parts are scattered over the dump, and for each collection
//!     of MongoDB.
//! 11. Corruption is reported as corruption: never as "not found", never as short data, never by a panic.

pub mod check;
pub mod codec;
pub mod compressed;
pub mod diff;
pub mod dump;
pub mod error;
pub mod id;
pub mod ingest;
pub mod load;
pub mod mount;
pub mod progress;
pub mod rebuild;
pub mod repository;
pub mod restore;
pub mod rows;
pub mod store;
pub mod time;
pub mod verify;
pub mod view;

pub use error::{Error, ErrorKind, Result};
