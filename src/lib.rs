//! yesterfs: a repository of point-in-time snapshots, shown as ordinary read-only directories.

pub mod codec;
pub mod error;
pub mod id;
pub mod ingest;
pub mod mount;
pub mod progress;
pub mod repository;
pub mod store;
pub mod time;
pub mod view;

pub use error::{Error, ErrorKind, Result};
