//! The store: bytes in, ids out. It knows nothing of files or snapshots.

pub mod backend;
pub mod cache;
pub mod chunk_store;
pub mod chunk_writer;
pub mod chunker;
pub mod compress;
pub mod index;
pub mod pack;
pub mod segment;

pub use chunk_store::ChunkStore;
pub use chunk_writer::{ChunkWriter, DataLane};
