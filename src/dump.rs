//! Dumps of databases: bytes in, what stands where out. Nothing here reads, writes or knows of a repository.

pub mod backup;
mod carry;
pub mod layout;
pub mod letters;
pub mod mongo;
pub mod mysql;
pub mod name;
pub mod part_line;
pub mod postgres;
pub mod renaming;
mod stops;
pub mod table;
pub mod unpack;
mod values;
