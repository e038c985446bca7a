//! The store: bytes in, ids out. It knows nothing of files or snapshots.

pub mod backend;
mod base;
pub mod cache;
pub mod chunk_encoder;
pub mod chunk_record;
pub mod chunk_store;
pub mod chunk_writer;
pub mod chunker;
pub mod compress;
pub mod data_lane;
pub mod delta;
pub mod delta_group;
pub mod index;
pub mod listed_delta;
mod owner;
pub mod pack;
pub mod segment;
mod told_page;

pub use chunk_encoder::{BaseHint, UseOfBase};
pub use chunk_store::ChunkStore;
pub use chunk_writer::ChunkWriter;
pub use data_lane::{ChunkBatch, DataLane, EncodeQueue};
