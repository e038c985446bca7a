//! Dumps of databases as text: bytes in, what stands where out. Nothing here reads, writes or knows of a repository.

pub mod mysql;
pub mod name;
pub mod postgres;
